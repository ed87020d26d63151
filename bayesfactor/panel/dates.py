"""Which column holds the dates, and how they are written: ISO 8601 is read, other ways get their remedy."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.forms import DATE_NAMES, Form
from bayesfactor.tables import Given, check_decimal, plain
from bayesfactor.tables.given import csv_code
from bayesfactor.tables.names import few
from bayesfactor.tables.numbers import MISSING, is_number

__all__ = ["convert", "date_columns", "dates_of", "looks_dated"]

_CLOCK: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?")
_ISO: Final = re.compile(
    r"(?:[0-9]{4}([-/.])[0-9]{1,2}(?:\1[0-9]{1,2})?|[0-9]{8})"
    r"(?:[ T][0-9]{1,2}(?::?[0-9]{2}(?::?[0-9]{2}(?:\.[0-9]+)?)?)?\s*(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_DAYS: Final = (
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y", "%b %d, %Y",
    "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%b-%y", "%b %Y", "%B %Y", "%d-%b-%Y", "%d-%b-%y", "%Y.%m.%d",
    "%b %d %Y", "%Y%m%d", "%Y-%m-%d", "%Y/%m/%d",
)  # fmt: skip
_HOURS: Final = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I-%p")
_UNITS: Final = {10: "s", 13: "ms", 16: "us", 19: "ns"}
"""Unit of a count since 1970 by its number of digits, right from 2001 to 2286."""


def looks_dated(cell: str) -> bool:
    """Whether a cell of text is a date or a count since 1970."""
    cell = cell.strip()
    if re.fullmatch(r"[0-9]{10}(?:[0-9]{3}){0,3}(?:\.0)?", cell) or _ISO.fullmatch(cell):
        return True
    return any(_parsed([cell], f) is not None for f in _DAYS)


def date_columns(table: Given) -> tuple[str, ...]:
    """Return the column of dates of a table, and that of clock times if any; none where the index has them.

    The column is called so, or is the first of a file, or the only one of stamps.
    """
    frame = table.frame
    if isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        return ()
    place = _date_column(frame, text=table.text)
    if place is None and table.file and not table.labelled and frame.shape[1]:
        place = 0
    if place is None and not table.labelled and frame.shape[1]:
        place = _only_dates(frame)
    if place is None:
        return ()
    clock = next((j for j in range(frame.shape[1]) if j != place and _is_clock(frame.iloc[:, j])), None)
    return tuple(str(frame.columns[j]) for j in (place, clock) if j is not None)


def dates_of(table: Given, form: Form, columns: Sequence[str]) -> pd.Index:
    """Return the dates of a table out of those columns, or out of its index.

    Raises
    ------
    PanelError
        If dates are counts since 1970 or not written as in ISO 8601; with the code that reads them.
    """
    if not columns:
        return _checked(table.frame.index, table, form, None)
    values = pd.Index(table.frame[columns[0]])
    if len(columns) > 1:
        times = table.frame[columns[1]]
        values = pd.Index([f"{d} {t}" for d, t in zip(map(_day, values), times, strict=True)])
        return _checked(values, table, form, None)
    return _checked(values, table, form, columns[0])


def convert(column: str, code: str) -> str:
    """Return `.assign(...)` that gives a column of a frame `t` the value of `code`."""
    key = f"{column}=" if column.isidentifier() else f"**{{{column!r}: "
    return f".assign({key}lambda t: {code}{'' if column.isidentifier() else '}'})"


def reading(values: Sequence[Any], column: str | int) -> str | None:
    """Return code that turns a column of a frame `t` into dates, None where they are read as they are."""
    cells = [str(v).strip() for v in values if not _is_missing(v)]
    at = f"t[{column!r}]"
    digits = {len(re.sub(r"\.0+$", "", c)) for c in cells if re.fullmatch(r"[0-9]+(\.0+)?", c)}
    counts = [c for c in cells if re.fullmatch(r"[0-9]{10,19}(\.0+)?", c)]
    if cells and len(counts) == len(cells) and digits <= set(_UNITS):
        if digits == {13, 16}:
            return f"pd.to_datetime({at}.where({at} > 10**14, {at} * 1000), unit='us')"
        return f"pd.to_datetime({at}, unit='{_UNITS[max(digits)]}')"
    if cells and all(re.fullmatch(r"[2-6][0-9]{4}(\.[0-9]+)?", c) for c in cells):
        return f"pd.to_datetime({at}.astype(float), unit='D', origin='1899-12-30')"
    if cells and all(isinstance(v, int | np.integer) for v in values) and all(map(_is_compact, cells)):
        return f"pd.to_datetime({at}.astype(str), format='%Y%m%d')"
    if cells and not all(_ISO.fullmatch(c) for c in cells):
        found = [f for f in _formats(cells[0]) if _parsed(cells, f) is not None]
        if found:
            return f"pd.to_datetime({at}, format={_likeliest(cells, found)!r})"
    return None


def _date_column(frame: pd.DataFrame, *, text: bool) -> int | None:
    """Return the place of the column that is called a date, one of dates rather than of counts."""
    names = [plain(c) for c in frame.columns]
    counts = None
    for wanted in DATE_NAMES:
        for place in (j for j, n in enumerate(names) if n == wanted):
            column = frame.iloc[:, place]
            if _is_clock(column):
                continue
            if not _is_numeric(column, text=text):
                return place
            # a coin may be called TIME: its prices are no counts of seconds
            if counts is None and reading(column.tolist(), 0) is not None:
                counts = place
    return counts


def _only_dates(frame: pd.DataFrame) -> int | None:
    """Return the one column of stamps of a frame that has no other labels."""
    found = [j for j, t in enumerate(frame.dtypes) if pd.api.types.is_datetime64_any_dtype(t)]
    return found[0] if len(found) == 1 else None


def _is_numeric(column: pd.Series, *, text: bool) -> bool:
    if not text:
        return pd.api.types.is_numeric_dtype(column.dtype)
    cells = [c for c in column if c.lower() not in MISSING]
    return bool(cells) and all(is_number(c) for c in cells) and not all(map(_is_compact, cells))


def _is_compact(cell: str) -> bool:
    return bool(re.fullmatch(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])", cell))


def _is_clock(column: pd.Series) -> bool:
    cells = [c for c in column if not _is_missing(c)]
    return bool(cells) and all(
        isinstance(c, dt.time) or (isinstance(c, str) and _CLOCK.fullmatch(c.strip())) for c in cells
    )


def _is_missing(value: Any) -> bool:
    return (
        value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value))
    )


def _day(value: Any) -> str:
    return str(value.date()) if isinstance(value, dt.datetime) else str(value)


def _checked(values: pd.Index, table: Given, form: Form, column: str | None) -> pd.Index:
    """Return dates that are read as they are; refuse others with the code that reads them."""
    if isinstance(values, pd.DatetimeIndex | pd.PeriodIndex | pd.RangeIndex):
        return values
    code = reading(values.tolist(), column if column is not None else 0)
    if code is not None:
        start = _numbers_too(table, form, column)
        how = (
            f"{start}{convert(column, code)}"
            if column is not None
            else f"{start}.pipe(lambda t: t.set_axis({code.replace('t[0]', 't.index')}))"
        )
        seen = ", ".join(repr(v) for v in values[:3])
        kind = "counts since 1970" if "unit=" in code else "written in another way"
        kind = "days as a spreadsheet counts them" if "origin=" in code else kind
        other = _other_format(values, code)
        doubt = f" If days and months are the other way round, it is format={other!r}." if other else ""
        msg = (
            f"{form.what}: dates are ISO 8601 (such as 2023-01-31) or datetimes; got {seen}, {kind}. Read "
            f"them so: `{form.what} = {how}`.{doubt} For the command line, add .to_csv('{form.what}.csv', "
            "index=False) and give that file."
        )
        raise PanelError(msg)
    if pd.api.types.infer_dtype(values, skipna=True) in {"string", "mixed"}:
        _refuse_words(values, table, form, column)
        return pd.Index([_with_zone(v) for v in values], dtype=object)
    return values


def _other_format(values: pd.Index, code: str) -> str | None:
    """Return the format by which all dates may be meant as well, if that makes others of them."""
    told = re.search(r"format='([^']+)'", code)
    cells = [str(v).strip() for v in values if not _is_missing(v)]
    if told is None or not cells:
        return None
    meant = _parsed(cells, told[1])
    others = [f for f in _formats(cells[0]) if (found := _parsed(cells, f)) is not None and found != meant]
    return others[0] if others else None


def _numbers_too(table: Given, form: Form, column: str | None) -> str:
    """Return code that reads a table, the numbers of a file with their own decimal sign."""
    if table.sheet is None or column is None:
        return table.code
    cells = [c for name in table.frame.columns if name != column for c in table.frame[name]]
    try:
        decimal = check_decimal(cells, form.door)
    except PanelError:
        return table.code
    other = "," if decimal == "." else "."
    found = [c for c in cells if other in c and is_number(c)]
    return csv_code(table.sheet, decimal, thousands=bool(found), words=column if found else None)


def _refuse_words(values: pd.Index, table: Given, form: Form, column: str | None) -> None:
    """Refuse a column of dates in which some rows, or all, have a word: totals, notes, names of coins."""
    cells = [str(v).strip() for v in values]
    words = [i for i, c in enumerate(cells) if not any(map(str.isdigit, c))]
    if not words:
        return
    seen = few(repr(cells[i]) for i in words)
    if len(words) == len(cells):
        dated = [str(c) for c in table.frame.columns if all(map(looks_dated, map(str, table.frame[c])))]
        remedy = "Give one row for each date, under a column named date"
        if dated:
            remedy = (
                f"Name the column of dates: `{form.what} = {table.code}.rename(columns={{{dated[0]!r}: "
                f"'date'}})`. For the command line, add .to_csv('{form.what}.csv', index=False) and give "
                "that file"
            )
        msg = (
            f"{form.what}: rows have dates; the {'index' if column is None else f'column {column!r}'} holds "
            f"{seen}. {remedy}."
        )
        raise PanelError(msg)
    if table.sheet is None:
        return
    lines = [table.sheet.lines[-len(cells) :][i] for i in words]
    code = csv_code(replace(table.sheet, skipped=[*table.sheet.skipped, *lines]))
    msg = (
        f"{form.what}: dates are ISO 8601 (such as 2023-01-31); got {seen}, on line {few(lines)}. Delete "
        f"such lines, or read the rest: `{form.what} = {code}`. For the command line, add "
        f".to_csv('{form.what}.csv', index=False) and give that file."
    )
    raise PanelError(msg)


def _with_zone(value: Any) -> Any:
    """Write UTC as ISO 8601 does."""
    return re.sub(r"\s*(?:UTC|GMT)$", "+00:00", value.strip()) if isinstance(value, str) else value


def _formats(cell: str) -> list[str]:
    return [day + hour for hour in _HOURS for day in _DAYS if _parsed([cell], day + hour) is not None]


def _parsed(cells: Sequence[str], form: str) -> list[dt.datetime] | None:
    try:
        return [dt.datetime.strptime(cell, form) for cell in cells]  # noqa: DTZ007 - zones come later
    except ValueError:
        return None


def _likeliest(cells: Sequence[str], formats: list[str]) -> str:
    """Return the format, of those that all cells have, which makes the steps between dates most alike."""

    def uneven(form: str) -> tuple[float, int]:
        stamps = sorted(set(_parsed(cells, form) or []))
        steps = [(b - a).total_seconds() for a, b in pairwise(stamps)]
        return max(steps, default=1.0) / min(steps, default=1.0), formats.index(form)

    return min(formats, key=uneven)
