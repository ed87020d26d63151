"""One number or one word for each asset: weights, budgets, volumes, groups, in whatever form they come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.errors import warn
from bayesfactor.schema import ASSET
from bayesfactor.tables.given import Given, given, indexed_code
from bayesfactor.tables.names import Door, clean, clean_names, few, plain
from bayesfactor.tables.numbers import check_decimal, is_number, read_numbers

__all__ = [
    "ASSET_NAMES",
    "by_name",
    "column_called",
    "named_cells",
    "named_column",
    "numbers_of",
    "refuse_sides",
    "warn_of_gross",
]

ASSET_NAMES: Final = (
    "asset", "symbol", "ticker", "coin", "coinid", "pair", "instrument", "instrumentid", "currency",
    "crypto", "token", "market", "id", "name",
)  # fmt: skip
"""What a column of assets is called, in small letters and digits; the first that is there is meant."""
SIDES: Final = ("side", "positionside", "direction", "buysell", "longshort", "action")
"""What a column is called that says which numbers are sold or short."""
_NEGATIVE: Final = ("sell", "sold", "short", "s", "ask")


def column_called(frame: pd.DataFrame, names: Sequence[str]) -> int | None:
    """Return the place of the column that has the first of `names` that is there, or None."""
    have = [plain(c) for c in frame.columns]
    return next((have.index(n) for n in names if n in have), None)


def named_cells(
    data: Any, door: Door, values: Sequence[str], *, keys: Sequence[str] = ASSET_NAMES, only: bool = False
) -> pd.Series | None:
    """Return one cell for each name, as it came; None if `data` is no form of that.

    Parameters
    ----------
    data : mapping, Series, DataArray (asset), table of two columns or more, path of such a table
        In a table the column of names is called as one of `keys`, or is the index, or has no name.
    values : sequence of str
        What the column of values may be called, in small letters and digits.
    only : bool
        Whether a table of two columns may call them as it likes: names first.

    Raises
    ------
    BayesFactorError
        The door's, if a table lacks a column, a row has a value and no name, or names are not printable.
    """
    if isinstance(data, xr.DataArray):
        if data.dims != (ASSET,) or ASSET not in data.coords:
            msg = f"{door.what}: a DataArray has one dim, {ASSET}, labelled; got dims {data.dims}. Label it."
            raise door.error(msg)
        data = pd.Series(data.to_numpy(), index=data.indexes[ASSET])
    if isinstance(data, pd.Series):
        return _cells(data.index, data.to_numpy(dtype=object), door)
    if isinstance(data, Mapping) and not _is_table(data, keys):
        return _cells(list(data), list(data.values()), door)
    table = given(data, door, any_name=True)
    return None if table is None else _from_table(table, door, values, keys, only=only)


def refuse_sides(table: Given, door: Door) -> None:
    """Raise if a table of numbers has a column that says which of them are sold or short.

    Raises
    ------
    BayesFactorError
        The door's.
    """
    place = column_called(table.frame, SIDES)
    if place is not None and any(plain(c) in _NEGATIVE for c in table.frame.iloc[:, place]):
        msg = (
            f"{door.what}: what is sold or short is negative, and there is no column of sides; got "
            f"{str(table.frame.columns[place])!r}. Give its numbers their sign, and leave it out."
        )
        raise door.error(msg)


def by_name(
    data: Any, door: Door, values: Sequence[str], *, percent: bool = True, only: bool = False
) -> pd.Series | None:
    """Return one number for each name, as `named_cells`; text is read as `numbers_of` does."""
    cells = named_cells(data, door, values, only=only)
    return None if cells is None else numbers_of(cells, door, percent=percent)


def named_column(table: Given, place: int, door: Door, what: str) -> list[str]:
    """Return the names in a column, none of which is empty.

    Raises
    ------
    BayesFactorError
        The door's, with the lines that have none: merged cells leave all but the first of them empty.
    """
    names = clean_names(table.frame.iloc[:, place], door)
    blank = [i for i, n in enumerate(names) if not n]
    if blank:
        rows = few(table.sheet.lines[i + 1] if table.sheet else i + 1 for i in blank)
        msg = (
            f"{door.what}: every row names its {what}; none in "
            f"{'line' if table.sheet else 'row'} {rows}. Write it in "
            "each row, where cells were merged too."
        )
        raise door.error(msg)
    return names


def numbers_of(cells: pd.Series, door: Door, *, percent: bool = True) -> pd.Series:
    """Return cells as floats; text as it was meant, with decimal commas, signs of money and of per cent.

    Raises
    ------
    BayesFactorError
        The door's, if a cell is no number, or some cells have a per cent sign and some have none.
    """
    texts = [clean(c) if isinstance(c, str) else None for c in cells]
    words = [t for t in texts if t is not None]
    found = read_numbers([t or "" for t in texts], check_decimal(words, door) if words else ".")
    if found.mixed or (found.percent and not percent) or (found.percent and len(words) < len(texts)):
        what = (
            "all numbers of a column have it, or none" if percent else "these numbers have no per cent sign"
        )
        msg = f"{door.what}: {what}; got {few(w for w in words if '%' in w)}. Write fractions, such as 0.125."
        raise door.error(msg)
    values = found.values.copy()
    bad = list(found.unread)
    for i, (cell, text) in enumerate(zip(cells, texts, strict=True)):
        if text is None:
            try:
                values[i] = np.nan if cell is None or cell is pd.NA else float(cell)
            except (TypeError, ValueError):
                bad.append(repr(cell))
    if bad:
        strange = [
            n
            for n, c, t in zip(cells.index, cells, texts, strict=True)
            if (repr(c) if t is None else t) in bad
        ]
        got = few(map(repr, bad))
        msg = f"{door.what} are finite numbers; no finite number for {few(strange)}; got {got}. Mend them."
        raise door.error(msg)
    return pd.Series(values, index=cells.index)


def _is_table(data: Mapping[Any, Any], keys: Sequence[str]) -> bool:
    """Whether a mapping holds columns: lists under names of columns."""
    lists = all(isinstance(v, list | tuple | np.ndarray | pd.Series) for v in data.values())
    return bool(data) and lists and any(plain(k) in keys for k in data)


def _cells(names: Any, values: Any, door: Door) -> pd.Series:
    return pd.Series(list(values), index=pd.Index(clean_names(names, door), dtype=object), dtype=object)


def _from_table(
    table: Given, door: Door, values: Sequence[str], keys: Sequence[str], *, only: bool
) -> pd.Series:
    frame = table.frame
    if not only:
        refuse_sides(table, door)
    key, value = column_called(frame, keys), column_called(frame, values)
    if key is None and not table.labelled and "" in list(frame.columns):
        key = list(frame.columns).index("")
    if key is None and table.labelled and frame.shape[1]:
        frame = frame.reset_index()
        key, value = 0, column_called(frame.iloc[:, 1:], values)
        value = None if value is None else value + 1
    if only and frame.shape[1] == 2:
        if key is None and value is None and table.text:
            # neither is called as such a column is: the first row may be one of data
            first = pd.DataFrame([list(frame.columns)], columns=frame.columns)
            frame = pd.concat([first, frame], ignore_index=True)
        if key is None:
            key = 0 if value is None else 1 - value
        value = 1 - key
    if key is None or value is None or key == value:
        got = few(frame.columns) or "none"
        msg = f"{door.what}: a table needs the columns asset and {values[0]}; got {got}. "
        raise door.error(msg + _remedy(table, door, key, values[0]))
    cells = frame.iloc[:, value].tolist()
    empty = [not clean(n) and not clean(c) for n, c in zip(frame.iloc[:, key], cells, strict=True)]
    kept = [i for i, none in enumerate(empty) if not none]
    if any(empty):
        frame, cells = frame.iloc[kept], [cells[i] for i in kept]
    names = named_column(replace(table, frame=frame), key, door, ASSET)
    return pd.Series(cells, index=pd.Index(names, dtype=object), dtype=object)


def _remedy(table: Given, door: Door, key: int | None, value: str) -> str:
    """Say what to do with a table whose columns are not those that are needed."""
    names = [str(c) for c in table.frame.columns]
    if table.text and len(names) == 2 and is_number(names[1]) and not is_number(names[0]):
        return f"If that is the first row of data, write the line asset,{value} above it."
    cells = table.frame.iloc[:, 1:].to_numpy(dtype=object).ravel()
    numbers = len(cells) > 0 and all(map(is_number, map(str, cells)))
    if key is None and table.sheet is not None and len(names) > 2 and (numbers or len(table.frame) == 1):
        dated = numbers and not is_number(str(table.frame.iloc[0, 0]))
        code = indexed_code(table.sheet) if dated else table.code
        return f"If there is one column for each asset, take one row: `{door.what} = {code}.iloc[-1]`."
    what = "asset" if key is None else value
    return f"Rename the one that holds the {door.what if what == value else 'assets'} to {what}."


LARGEST_GROSS: Final = 10.0
"""Gross exposure, in portfolio values, above which somebody has written money or per cent."""


def warn_of_gross(weights: np.ndarray, what: str, *, most: float = LARGEST_GROSS) -> None:
    """Warn of weights that look like money or per cent.

    Warns
    -----
    UserWarning
        If their gross is above `most` times the portfolio's value.
    """
    gross, net = float(np.abs(weights).sum()), float(weights.sum())
    if gross > most:
        hundred = min(abs(net - 100.0), abs(gross - 100.0)) < 1.0 or (most < LARGEST_GROSS and gross <= 100.0)
        unit = "per cent, divide by 100" if hundred else "money, divide by the portfolio's value"
        warn(
            f"{what} are fractions of the portfolio's value (0.125 is 12.5 %); their gross is "
            f"{gross:,.6g} times it. "
            f"If they are {unit}.",
        )
