"""Columns of several levels (field by coin, as yfinance writes them) become coins: the price is taken."""

from dataclasses import replace

import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.dates import looks_dated
from bayesfactor.panel.fields import is_field, value_among
from bayesfactor.panel.forms import DATE_NAMES, Form
from bayesfactor.schema import ASSET
from bayesfactor.tables import Given, clean_names, plain
from bayesfactor.tables.given import csv_code, indexed_code
from bayesfactor.tables.numbers import MISSING, is_number

__all__ = ["one_level"]

_MOST = 3
"""Rows of names that a header has at most."""


def one_level(table: Given, form: Form) -> Given:
    """Return a table whose columns have one level of names.

    Raises
    ------
    PanelError
        If none of several levels, or more than one, holds fields.
    """
    frame = _stacked_header(table)
    if not isinstance(frame.columns, pd.MultiIndex):
        return replace(table, frame=frame)
    frame, dates = _dates_apart(frame)
    levels = [clean_names(frame.columns.get_level_values(k), form.door) for k in range(frame.columns.nlevels)]
    varied = [k for k, names in enumerate(levels) if len(set(names)) > 1] or [0]
    fields = [k for k, names in enumerate(levels) if all(map(is_field, names))]
    coins = [k for k in range(len(levels)) if k not in fields and (k in varied or len(varied) == 1)]
    if not (form.dim == ASSET or form.spare_words) or len(fields) != 1 or len(coins) != 1:
        remedy = f"{table.code}.droplevel(0, axis=1)"
        if table.sheet is not None:
            below = table.sheet.lines[1 : 1 + len(table.frame) - len(frame)]
            remedy = csv_code(replace(table.sheet, skipped=[*table.sheet.skipped, *below]))
        msg = (
            f"{form.what}: columns are one level of names, or fields (Close, Volume, ...) by {form.dim}; "
            f"got {len(levels)} levels. Keep the one that holds the {form.dim}s, such as by "
            f"`{form.what} = {remedy}`."
        )
        raise PanelError(msg)
    field, coin = levels[fields[0]], levels[coins[0]]
    # which field is the price is asked of the first coin: all have the same
    own = [j for j, name in enumerate(coin) if name == coin[0]]
    names = [field[j] for j in own]
    code, level = _with_levels(table, len(levels)), f", level={fields[0]}"
    place = value_among(frame.iloc[:, own], names, form, text=table.text, code=code, level=level)
    chosen = field[own[place]]
    kept = [j for j, name in enumerate(field) if name == chosen]
    values = frame.iloc[:, kept].set_axis(pd.Index([coin[j] for j in kept], dtype=object), axis="columns")
    if dates is not None:
        values.insert(0, "date", dates)
    return replace(table, frame=values)


def _with_levels(table: Given, count: int) -> str:
    """Return code that reads a table with its rows of names."""
    if table.sheet is None:
        return table.code
    return indexed_code(table.sheet, f", header={list(range(count))}")


def _stacked_header(table: Given) -> pd.DataFrame:
    """Return the frame of a file with its second and third row of names, if it has any, in its columns."""
    frame = table.frame
    if table.sheet is None or frame.shape[1] < 2:
        return frame
    rows: list[list[str]] = [list(map(str, frame.columns))]
    dates = rows[0][0]
    below = 0
    for cells in frame.head(_MOST - 1).to_numpy().tolist():
        if not any(cells[1:]) and plain(cells[0]) in DATE_NAMES:
            below, dates = below + 1, cells[0]
            break
        if looks_dated(cells[0]) or not any(cells[1:]) or not all(map(_is_word, cells[1:])):
            break
        rows.append(cells)
        below += 1
    if len(rows) == 1:
        return frame
    if plain(dates) not in DATE_NAMES:
        dates = next((row[0] for row in rows if plain(row[0]) in DATE_NAMES), "date")
    # cells of the upper rows may have been merged over several columns
    upper = [_filled(row[1:]) for row in rows[:-1]]
    labels = [(dates, *[""] * len(upper)), *zip(*upper, rows[-1][1:], strict=True)]
    return frame.iloc[below:].set_axis(pd.MultiIndex.from_tuples(labels), axis="columns")


def _is_word(cell: str) -> bool:
    return cell == "" or not (is_number(cell) or looks_dated(cell) or cell.lower() in MISSING)


def _filled(names: list[str]) -> list[str]:
    out: list[str] = []
    for name in names:
        out.append(name or (out[-1] if out else ""))
    return out


def _dates_apart(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[object] | None]:
    """Return the frame without its column of dates, and the dates."""
    for j, label in enumerate(frame.columns):
        names = [plain(x) for x in label if plain(x)]
        if len(names) == 1 and names[0] in DATE_NAMES:
            return frame.iloc[:, [k for k in range(frame.shape[1]) if k != j]], frame.iloc[:, j].tolist()
    return frame, None
