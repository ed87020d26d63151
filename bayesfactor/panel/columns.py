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
from bayesfactor.tables.given import counting
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
        decimal = check_decimal(cells, form.door)
        columns = [_from_text(table, frame.iloc[:, j], form, decimal) for j in range(frame.shape[1])]
    else:
        columns = [_from_frame(table, frame.iloc[:, j], form) for j in range(frame.shape[1])]
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


def _from_frame(table: Given, column: pd.Series, form: Form) -> np.ndarray:
    """Return a column as floats; text that looks like numbers is not taken for numbers."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in _NUMERIC:
        name = str(column.name)
        seen = few(repr(v) for v in column.dropna().unique()[:3])
        code = None if kind == "boolean" else _conversion(column, name)
        remedy = (
            f"Leave it out: `{form.what} = {table.code}.drop(columns={name!r})`"
            if code is None
            else f"Convert it: `{form.what} = {table.code}{convert(name, code)}`"
        )
        msg = f"{form.what}: columns hold numbers; {name!r} holds {kind} ({seen}). {remedy}."
        raise PanelError(msg)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)


def _conversion(column: pd.Series, name: str) -> str | None:
    """Return code that turns a column of text into the numbers it means, None where it means none."""
    cells = [str(c).strip() for c in column.dropna()]
    signs = [c for c in cells if re.search(r"[A-Za-z]", c) and c.lower() not in MISSING]
    try:
        decimal = check_decimal(cells, Form(name, "", (), (), ()).door)
    except PanelError:
        return None
    found = read_numbers(cells, decimal)
    if found.unread or found.mixed or signs or not np.isfinite(found.values).any():
        return None
    at = f"t[{name!r}]"
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
