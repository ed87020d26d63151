"""Columns of a table become floats: text of a file as it was meant, text in a frame only by who made it."""

import re
from typing import Final

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.dates import convert
from bayesfactor.panel.forms import Form
from bayesfactor.panel.words import few
from bayesfactor.tables import Given, check_decimal, read_numbers
from bayesfactor.tables.given import counting, csv_code
from bayesfactor.tables.numbers import MISSING, is_number

__all__ = ["numbers_among", "read_columns"]

_NUMERIC: Final = {"integer", "floating", "mixed-integer-float", "decimal", "empty"}


def numbers_among(column: pd.Series, *, text: bool) -> bool:
    """Whether a column may hold numbers: it is made of them, or a cell of text is one, or all are empty."""
    if not text:
        return pd.api.types.infer_dtype(column, skipna=True) in _NUMERIC
    cells = [c for c in column if c.lower() not in MISSING]
    return not cells or any(map(is_number, cells))


def read_columns(table: Given, frame: pd.DataFrame, form: Form) -> pd.DataFrame:
    """Return the columns of a table as floats.

    Raises
    ------
    PanelError
        If a column holds words, counts the rows, or has signs of per cent that it cannot have.
    """
    if table.text:
        cells = (c for j in range(frame.shape[1]) for c in frame.iloc[:, j])
        code = csv_code(table.sheet, thousands=True) if table.sheet is not None else ""
        decimal = check_decimal(cells, form.door, code)
        columns = [_from_text(table, frame.iloc[:, j], form, decimal) for j in range(frame.shape[1])]
    else:
        _refuse_text(table, frame, form)
        columns = [
            pd.to_numeric(frame.iloc[:, j], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
            for j in range(frame.shape[1])
        ]
    names = pd.Index([str(c) for c in frame.columns], dtype=object)
    read = pd.DataFrame(np.column_stack(columns), index=frame.index, columns=names)
    counts = counting(read)
    if counts:
        msg = (
            f"{form.what}: no {form.dim} counts the rows; {few(counts)} holds 1, "
            f"2, 3, ... Leave it out: `{form.what} = {table.code}.drop(columns={counts!r})`."
        )
        raise PanelError(msg)
    return read


def _from_text(table: Given, column: pd.Series, form: Form, decimal: str) -> np.ndarray:
    found = read_numbers(column.tolist(), decimal)
    name = str(column.name)
    if found.unread:
        rows = [i for i, c in enumerate(column) if c in set(found.unread)]
        lines = [] if table.sheet is None else [table.sheet.lines[-len(column) :][i] for i in rows]
        where = f", on line {few(lines)}" if lines else ""
        seen = few(map(repr, dict.fromkeys(found.unread)))
        drop = f"`{form.what} = {table.code}.drop(columns={name!r})`"
        remedy = (
            f"Leave the column out: {drop}"
            if len(rows) == len(column)
            else "Mend those cells, or leave them empty"
        )
        msg = f"{form.what}: columns hold numbers; {name!r} holds string ({seen}{where}). {remedy}."
        raise PanelError(msg)
    if found.mixed or (found.percent and not form.percent):
        rule = (
            "all cells of a column have a per cent sign or none" if found.mixed else "have no per cent sign"
        )
        msg = f"{form.what}: {rule}; {name!r} has some. Write numbers without it."
        raise PanelError(msg)
    return found.values


def _refuse_text(table: Given, frame: pd.DataFrame, form: Form) -> None:
    """Refuse columns of a frame that are no numbers; text that looks like numbers is not taken for them."""
    kinds = [pd.api.types.infer_dtype(frame.iloc[:, j], skipna=True) for j in range(frame.shape[1])]
    strange = [j for j, kind in enumerate(kinds) if kind not in _NUMERIC]
    if not strange:
        return
    names = [str(frame.columns[j]) for j in strange]
    first = frame.iloc[:, strange[0]]
    seen = few(repr(v) for v in first.dropna().unique()[:3])
    code = None if kinds[strange[0]] == "boolean" else _conversion(first, form)
    every = pd.concat([frame.iloc[:, j] for j in strange])
    whole = _conversion(every, form) if code is not None and len(names) > 1 else None
    if code is None:
        remedy = f"Leave it out: `{form.what} = {table.code}.drop(columns={names[0]!r})`"
    elif whole is None:
        code = code.replace("t[c]", f"t[{names[0]!r}]")
        remedy = f"Convert it: `{form.what} = {table.code}{convert(names[0], code)}`"
    else:
        made = f".assign(**{{c: table[c].pipe(lambda x: {whole.replace('t[c]', 'x')}) for c in {names!r}}})"
        made = f".pipe(lambda table: table{made})"
        remedy = f"Convert them: `{form.what} = {table.code}{made}`"
    msg = f"{form.what}: columns hold numbers; {names[0]!r} holds {kinds[strange[0]]} ({seen}). {remedy}."
    raise PanelError(msg)


def _conversion(column: pd.Series, form: Form) -> str | None:
    """Return code that turns the column `t[c]` of text into the numbers it means, None if it means none."""
    cells = [str(c).strip() for c in column.dropna()]
    signs = [c for c in cells if re.search(r"[A-Za-z]", c) and c.lower() not in MISSING]
    decimal = check_decimal(cells, form.door)
    found = read_numbers(cells, decimal)
    if found.unread or found.mixed or signs or not np.isfinite(found.values).any():
        return None
    at = "t[c]"
    text = f"{at}.astype(str).str.replace(r'[^0-9.,eE+-]', '', regex=True)"
    if decimal == ",":
        text += ".str.replace('.', '').str.replace(',', '.')"
    elif any("," in c for c in cells):
        text += ".str.replace(',', '')"
    if all(re.fullmatch(r"[0-9.eE+-]+", c) for c in cells):
        text = at
    coerce = (
        ", errors='coerce'" if any(c.lower() in MISSING for c in cells) or len(cells) < len(column) else ""
    )
    return f"pd.to_numeric({text}{coerce}){' / 100' if found.percent else ''}"
