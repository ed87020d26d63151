"""Anything tabular becomes a frame with clean names, and the code that makes it: messages quote that code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor.errors import BayesFactorError, warn
from bayesfactor.tables.names import Door, clean, clean_names, few, plain
from bayesfactor.tables.numbers import check_decimal
from bayesfactor.tables.text import Sheet, check_exists, read_sheet

__all__ = ["TEXT", "Given", "counting", "csv_code", "given", "indexed_code", "named", "without_counters"]

TEXT: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_READERS: Final = (
    ((".xlsx", ".xls", ".ods"), "read_excel"),
    ((".json",), "read_json"),
    ((".feather", ".arrow"), "read_feather"),
    ((".h5", ".hdf5"), "read_hdf"),
    ((".zip",), "read_csv"),
)
"""What reads tables that are not read here."""
_PARQUET: Final = (".parquet", ".pq")
_COUNTERS: Final = {
    "",
    "index",
    "level0",
    "sno",
    "no",
    "nr",
    "number",
    "row",
    "rownames",
    "id",
    "x",
    "rownumber",
}
"""Names, in small letters and digits, of columns that count rows."""
_LEAST: Final = 2
_SURE: Final = 10
"""From so many rows on a column that counts them is one, whatever it is called."""


@dataclass(frozen=True)
class Given:
    """A table as it came: a frame, and how to speak of it."""

    frame: pd.DataFrame
    code: str
    """Python that makes the frame with pandas."""
    labelled: bool
    """Whether the index says what the rows are."""
    sheet: Sheet | None = None
    """Of a file of text, whose cells are all text: its rows."""
    file: bool = False

    @property
    def text(self) -> bool:
        """Whether every cell is text, as in a CSV."""
        return self.sheet is not None


def given(
    data: Any,
    door: Door,
    *,
    variable: str = "",
    header: bool = True,
    any_name: bool = False,
    short_rows: bool = False,
) -> Given | None:
    """Return a table as a frame with clean, unique names of columns, or None if it is none.

    Parameters
    ----------
    data : path of CSV, TSV (.gz too) or Parquet, DataFrame of pandas or polars, pyarrow Table, dict
    variable : str
        What messages call the table; the door's name by default.
    header : bool
        Whether the names of columns are cleaned and judged here; else the header may have several rows.
    any_name : bool
        Whether a file of text may have any suffix.
    short_rows : bool
        Whether rows of a file may end early.

    Raises
    ------
    BayesFactorError
        The door's.
    MissingFileError
        If a path names no file.
    """
    if isinstance(data, str | Path):
        found = _from_file(Path(data), door, any_name=any_name, short_rows=short_rows)
    else:
        frame = _frame(data, door)
        if frame is None:
            return None
        own = variable or door.what
        code = own if isinstance(data, pd.DataFrame) else _code(data, own)
        labelled = not isinstance(frame.index, pd.RangeIndex)
        found = Given(frame, code, labelled=labelled)
    return named(found, door) if header else found


def named(table: Given, door: Door, *, counters: bool = False) -> Given:
    """Return a table whose columns have clean, unique names, and count no rows unless they may."""
    frame = table.frame
    names = clean_names(frame.columns, door)
    twice = few(dict.fromkeys(n for n in names if n and names.count(n) > 1))
    if twice:
        msg = f"{door.what}: names are unique; given more than once: {twice}. Rename or drop the copies."
        raise door.error(msg)
    frame = frame.set_axis(pd.Index(names, dtype=object), axis="columns")
    return replace(table, frame=frame if counters else without_counters(frame, door, text=table.text))


def without_counters(frame: pd.DataFrame, door: Door, *, text: bool) -> pd.DataFrame:
    """Leave out a column that counts the rows from 0 or 1 and has no name, or one of a saved index."""
    kept = []
    for j, name in enumerate(frame.columns):
        known = plain(name) in _COUNTERS or plain(name).startswith("unnamed")
        if known and frame.shape[1] > 1 and _counts(frame.iloc[:, j], text=text, least=_LEAST if j else 1):
            warn(
                f"{door.what}: the column {clean(name)!r} counts the rows, as a saved index "
                "does, and is left out.",
            )
            continue
        kept.append(j)
    return frame if len(kept) == frame.shape[1] else frame.iloc[:, kept]


def counting(frame: pd.DataFrame) -> list[str]:
    """Return columns of numbers that count the rows from 0 or 1, of tables long enough to be sure."""
    return [str(c) for j, c in enumerate(frame.columns) if _counts(frame.iloc[:, j], text=False, least=_SURE)]


def _counts(column: pd.Series, *, text: bool, least: int) -> bool:
    if len(column) < least or not (text or pd.api.types.is_numeric_dtype(column.dtype)):
        return False
    if text and not all(str(c).isascii() and str(c).isdigit() for c in column):
        return False
    values = column.astype("float64").to_numpy()
    return values[0] in {0.0, 1.0} and bool((values == values[0] + np.arange(len(values))).all())


def _from_file(path: Path, door: Door, *, any_name: bool, short_rows: bool) -> Given:
    name = path.name.lower()
    check_exists(path, door)
    if name.endswith(_PARQUET):
        return _from_parquet(path, door)
    if not (any_name or name.endswith(TEXT)):
        reader = next((r for ends, r in _READERS if name.endswith(ends)), None)
        other = f", such as pd.{reader}({str(path)!r})" if reader else ""
        msg = (
            f"{door.what}: files end in {', '.join(TEXT)}, .parquet or .pq; got {path.name!r}. "
            f"Pass a DataFrame{other}."
        )
        raise door.error(msg)
    sheet = read_sheet(path, door, short_rows=short_rows)
    frame = pd.DataFrame(sheet.rows[1:], columns=pd.Index(sheet.rows[0], dtype=object), dtype=object)
    return Given(frame, csv_code(sheet), labelled=False, sheet=sheet, file=True)


def csv_code(sheet: Sheet, decimal: str = ".", *, thousands: bool = False, words: str | None = None) -> str:
    """Return Python that reads a file of text with pandas."""
    code = f"pd.read_csv({str(sheet.path)!r}{sheet.options(decimal, thousands=thousands, words=words)})"
    return code + (".rename(columns=str.strip)" if sheet.padded else "")


def indexed_code(sheet: Sheet, more: str = "") -> str:
    """Return Python that reads a file of text with its first column as index, its numbers with their sign."""
    cells = [c for row in sheet.rows[1:] for c in row[1:]]
    try:
        decimal = check_decimal(cells, Door("", BayesFactorError))
    except BayesFactorError:
        decimal = "."
    return f"{csv_code(replace(sheet, padded=False), decimal)[:-1]}{more}, index_col=0)"


def _from_parquet(path: Path, door: Door) -> Given:
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        msg = (
            f"{door.what}: reading Parquet needs pyarrow; got {error}. "
            "Run pip install 'bayesfactor[parquet]'."
        )
        raise door.error(msg) from error
    except (ValueError, OSError) as error:
        msg = f"{door.what}: {path.name!r} cannot be read: {error}. Write it again as CSV or Parquet."
        raise door.error(msg) from error
    labelled = not isinstance(frame.index, pd.RangeIndex)
    return Given(frame, f"pd.read_parquet({str(path)!r})", labelled=labelled, file=True)


def _frame(data: Any, door: Door) -> pd.DataFrame | None:
    """Return a pandas frame of what is tabular in memory, None of what is not."""
    if isinstance(data, pd.DataFrame):
        return data
    rows = isinstance(data, Mapping) and data and all(isinstance(v, Mapping) for v in data.values())
    if isinstance(data, Mapping) and data and (rows or all(_is_column(v) for v in data.values())):
        try:
            return pd.DataFrame(dict(data))
        except ValueError as error:
            msg = f"{door.what}: columns of a dict are equally long; {error}. Mend them."
            raise door.error(msg) from error
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):
        data = data.collect()
    if not hasattr(data, "to_pandas"):
        return None
    if hasattr(data, "to_dict") and hasattr(data, "get_columns"):
        # polars, without the detour through pyarrow that its to_pandas takes
        return pd.DataFrame(data.to_dict(as_series=False))
    found = data.to_pandas()
    return found if isinstance(found, pd.DataFrame) else None


def _is_column(value: Any) -> bool:
    """Whether a value is a column of cells: no text, no table of its own."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        return False
    return not (isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple))


def _code(data: Any, variable: str) -> str:
    return f"pd.DataFrame({variable})" if isinstance(data, Mapping) else f"{variable}.to_pandas()"
