"""Text of a CSV that a spreadsheet would run as a formula is written as text, and read again as it was.

A text that begins with = + - @, a tab or the end of a line gets an apostrophe in front; so does one that
begins with apostrophes before such a sign, so that reading takes away exactly what writing put there.
"""

import re
from pathlib import Path
from typing import Any, Final

import pandas as pd

from bayesfactor.keep.marks import BY, marked_csv, marked_page, signed
from bayesfactor.keep.place import written_whole

__all__ = ["escaped", "unescaped", "unescaped_text", "write_csv", "write_page", "write_parquet"]

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED: Final = re.compile(r"''*[=+\-@\t\r\n]")


def escaped(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table none of whose texts, names included, is a formula."""
    return _mapped(table, lambda x: f"'{x}" if isinstance(x, str) and _FORMULA.match(x) else x)


def unescaped(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table read from a CSV with its texts and names as they were before `escaped`."""
    return _mapped(table, lambda x: unescaped_text(x) if isinstance(x, str) else x)


def unescaped_text(text: str) -> str:
    """Return one cell of a CSV as it was before `escaped`."""
    return text[1:] if _ESCAPED.match(text) else text


def write_csv(table: pd.DataFrame, path: str | Path, *, index: bool = True) -> None:
    """Write a table as CSV, whole or not at all, and free of formulas."""
    safe = escaped(table)
    with written_whole(path) as temporary:
        if index:
            safe.to_csv(temporary)
        else:
            safe.to_csv(temporary, index=False)
        # As bytes: reading as text would turn the line ends inside of cells.
        temporary.write_bytes(marked_csv(temporary.read_bytes().decode()).encode())


def write_parquet(table: pd.DataFrame, path: str | Path, *, index: bool = True) -> None:
    """Write a table as Parquet, whole or not at all."""
    signed_table = table.rename(columns=str)
    signed_table.attrs = {BY: signed()}
    with written_whole(path) as temporary:
        temporary.write_bytes(signed_table.to_parquet(index=None if index else False))


def write_page(text: str, path: str | Path) -> None:
    """Write HTML or Markdown, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(marked_page(text), encoding="utf-8")


def _mapped(table: pd.DataFrame, turn: Any) -> pd.DataFrame:
    """Return the table with `turn` applied to every text of its cells, columns and index."""
    made = table.copy(deep=False)
    for position, kind in enumerate(made.dtypes):
        if not pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_datetime64_any_dtype(kind):
            made.isetitem(position, made.iloc[:, position].map(turn).array)
    return made.set_axis(_labels(made.columns, turn), axis=1).set_axis(_labels(made.index, turn), axis=0)


def _labels(index: pd.Index, turn: Any) -> pd.Index:
    if isinstance(index, pd.MultiIndex):
        parts = [_labels(index.get_level_values(i), turn) for i in range(index.nlevels)]
        return pd.MultiIndex.from_arrays(parts, names=[turn(n) for n in index.names])
    if isinstance(index, pd.DatetimeIndex | pd.RangeIndex) or pd.api.types.is_numeric_dtype(index):
        return index.rename(turn(index.name))
    return pd.Index([turn(x) for x in index], name=turn(index.name), dtype=index.dtype)
