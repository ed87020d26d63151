"""Anything tabular becomes one wide table: sorted naive UTC stamps by uniquely named float columns.

Wide or long pandas tables, polars, xarray objects and CSV or Parquet files are read here and nowhere
else. Nothing is filled, dropped or guessed on the way.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.errors import MissingFileError, PanelError
from bayesfactor.panel.calendar import to_stamp, to_stamps
from bayesfactor.panel.words import few, stamps_text
from bayesfactor.schema import ASSET, FACTOR, FACTOR_RETURNS, RETURNS, TIME

__all__ = [
    "FACTORS",
    "PRICES",
    "RETURNS_FORM",
    "Form",
    "coord_labels",
    "opened",
    "read_file",
    "to_wide",
    "window",
]

DATE_NAMES = ("date", "time", "timestamp", "datetime")
ASSET_NAMES = ("asset", "coin", "symbol", "ticker")


@dataclass(frozen=True)
class Form:
    """What a table is called, and the names it may use."""

    what: str
    dim: str
    label_names: tuple[str, ...]
    value_names: tuple[str, ...]
    variables: tuple[str, ...]


PRICES = Form("prices", ASSET, ASSET_NAMES, ("price", "prices", "close"), ("prices",))
RETURNS_FORM = Form("returns", ASSET, ASSET_NAMES, ("return", "returns", "value"), (RETURNS,))
FACTORS = Form(
    "factors", FACTOR, ("factor",), ("return", "returns", "value"), (FACTOR_RETURNS, "factors", RETURNS)
)


def to_wide(data: object, form: Form) -> pd.DataFrame:
    """Return `data` as a wide float table over sorted, unique stamps, columns in the order given."""
    frame = _frame_of(data, form)
    if isinstance(frame.columns, pd.MultiIndex):
        msg = (
            f"{form.what}: columns are one level of names; got {frame.columns.nlevels} levels. "
            f"Pick the level that holds the {form.dim}s."
        )
        raise PanelError(msg)
    frame = _dates_to_index(frame, form)
    label = _label_column(frame, form)
    wide = _checked_wide(frame, form) if label is None else _from_long(frame, label, form)
    return wide.sort_index()


def window(wide: pd.DataFrame, start: object, end: object, what: str) -> pd.DataFrame:
    """Return the rows from `start` to `end`, both inclusive; None leaves a side open."""
    stamps = pd.DatetimeIndex(wide.index)
    keep = np.ones(len(wide), dtype=bool)
    if start is not None:
        keep &= stamps >= to_stamp(start, "start")
    if end is not None:
        keep &= stamps <= to_stamp(end, "end")
    if len(wide) and not keep.any():
        msg = (
            f"{what}: no row lies between start={start!r} and end={end!r}; the data run from "
            f"{stamps_text(stamps[:1])} to {stamps_text(stamps[-1:])}. Widen the window."
        )
        raise PanelError(msg)
    return wide.loc[keep]


def opened[T](data: T) -> T | xr.Dataset:
    """Return the Dataset in a netCDF file, and anything else as it is."""
    if not isinstance(data, str | Path) or Path(data).suffix.lower() != ".nc":
        return data
    path = Path(data)
    if not path.is_file():
        msg = f"factors: the file {str(path)!r} does not exist (seen from {str(Path.cwd())!r}). Check it."
        raise MissingFileError(msg)
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        msg = f"factors: {path.name!r} cannot be read as netCDF: {error}. Write it again."
        raise PanelError(msg) from error


def coord_labels(data: object, dim: str, name: str) -> dict[str, str] | None:
    """Return the coord `name` over `dim` of an xarray object as a dict, or None if it has none."""
    if not isinstance(data, xr.DataArray | xr.Dataset) or name not in data.coords:
        return None
    coord = data.coords[name]
    if coord.dims != (dim,):
        return None
    return dict(zip(data[dim].to_numpy().astype(str), coord.to_numpy().astype(str), strict=True))


def read_file(path: str | Path, what: str, *, words: bool = False) -> pd.DataFrame:
    """Return the table in a CSV or Parquet file; in one of `words`, NA and NULL are words of a CSV."""
    path = Path(path)
    if not path.exists():
        msg = f"{what}: the file {str(path)!r} does not exist (seen from {str(Path.cwd())!r}). Check it."
        raise MissingFileError(msg)
    name = path.name.lower()
    try:
        if name.endswith((".csv", ".csv.gz")):
            return _read_csv(path, what, words=words)
        if name.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
    except ImportError as error:
        msg = f"{what}: reading Parquet needs pyarrow; got {error}. Run pip install 'bayesfactor[parquet]'."
        raise PanelError(msg) from error
    except (ValueError, OSError) as error:
        if isinstance(error, PanelError):
            raise
        msg = f"{what}: {path.name!r} cannot be read: {error}. Write it again as CSV or Parquet."
        raise PanelError(msg) from error
    msg = f"{what}: files end in .csv, .csv.gz, .parquet or .pq; got {path.name!r}. Pass a DataFrame."
    raise PanelError(msg)


def _read_csv(path: Path, what: str, *, words: bool) -> pd.DataFrame:
    # pandas renames repeated columns to BTC.1 on reading, so they are looked for in the raw header
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
    _refuse_duplicates(pd.Index(header), what)
    if words:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    return pd.read_csv(path)


def _frame_of(data: object, form: Form) -> pd.DataFrame:
    if isinstance(data, str | Path):
        frame = read_file(data, form.what)
        dated = _date_column(frame) is not None or isinstance(frame.index, pd.DatetimeIndex)
        return frame if dated or frame.shape[1] == 0 else frame.set_index(frame.columns[0])
    if isinstance(data, xr.Dataset | xr.DataArray):
        return _from_xarray(data, form)
    if isinstance(data, pd.Series):
        data = _from_series(data, form)
    elif not isinstance(data, pd.DataFrame) and hasattr(data, "to_pandas"):
        data = data.to_pandas()
    if not isinstance(data, pd.DataFrame):
        msg = (
            f"{form.what}: give a DataFrame, an xarray object or a path to CSV or Parquet; "
            f"got {type(data).__name__}. Label the rows by date and the columns by {form.dim}."
        )
        raise PanelError(msg)
    return data.reset_index() if isinstance(data.index, pd.MultiIndex) else data


def _from_series(series: pd.Series, form: Form) -> pd.DataFrame:
    if isinstance(series.index, pd.MultiIndex):
        return series.to_frame(form.value_names[0])
    if series.name is None:
        msg = f"{form.what}: a Series needs a name, the {form.dim}'s; got None. Set it with .rename('BTC')."
        raise PanelError(msg)
    return series.to_frame()


def _from_xarray(data: xr.Dataset | xr.DataArray, form: Form) -> pd.DataFrame:
    if isinstance(data, xr.Dataset):
        held = [v for v in form.variables if v in data.data_vars]
        if not held:
            msg = (
                f"{form.what}: a Dataset holds the variable {' or '.join(form.variables)}; "
                f"got {few(data.data_vars) or 'none'}. Rename yours, or pass the DataArray."
            )
            raise PanelError(msg)
        data = data[held[0]]
    if data.dims == (TIME,) and data.name is not None and form.dim == FACTOR:
        data = data.expand_dims({form.dim: [str(data.name)]})
    unlabelled = [d for d in (TIME, form.dim) if d in data.dims and d not in data.coords]
    if set(data.dims) != {TIME, form.dim} or unlabelled:
        msg = (
            f"{form.what}: an xarray object has the dims ({TIME}, {form.dim}), both with labels; "
            f"got dims {data.dims} with labels for {few(data.indexes) or 'none'}. Rename or assign coords."
        )
        raise PanelError(msg)
    return pd.DataFrame(
        data.transpose(TIME, form.dim).to_numpy(),
        index=data.indexes[TIME],
        columns=data.indexes[form.dim],
    )


def _date_column(frame: pd.DataFrame) -> object | None:
    """Return the first column that is called a date and is not made of numbers (a coin may be TIME)."""
    for position, name in enumerate(frame.columns):
        if str(name).lower() in DATE_NAMES and not pd.api.types.is_numeric_dtype(frame.dtypes.iloc[position]):
            return name
    return None


def _dates_to_index(frame: pd.DataFrame, form: Form) -> pd.DataFrame:
    if not isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        column = _date_column(frame)
        if column is not None:
            _refuse_duplicates(frame.columns.astype(str), form.what)
            frame = frame.set_index(column)
    if len(frame) == 0:
        msg = f"{form.what}: the table has no rows. Give at least a few periods."
        raise PanelError(msg)
    return frame.set_axis(to_stamps(frame.index, form.what), axis="index")


def _label_column(frame: pd.DataFrame, form: Form) -> object | None:
    """Return the column of names that makes a table long, or None for a wide one."""
    for position, name in enumerate(frame.columns):
        words = not pd.api.types.is_numeric_dtype(frame.dtypes.iloc[position])
        if words and str(name).lower() in form.label_names:
            return name
    return None


def _from_long(frame: pd.DataFrame, label: object, form: Form) -> pd.DataFrame:
    _refuse_duplicates(frame.columns.astype(str), form.what)
    found = [c for c in frame.columns if str(c).lower() in form.value_names]
    if len(found) != 1:
        msg = (
            f"{form.what}: a long table has exactly one value column, named {' or '.join(form.value_names)}; "
            f"got {few(found) or 'none'} among {few(frame.columns)}. Rename or drop columns."
        )
        raise PanelError(msg)
    _refuse_blank(frame[label], form)
    names = frame[label].astype(str).to_numpy()
    pairs = pd.DataFrame({"stamp": frame.index, "name": names, "value": _numbers(frame[found[0]], form)})
    twice = pairs[pairs.duplicated(["stamp", "name"])]
    if len(twice):
        cells = few(
            f"{n} on {stamps_text(pd.DatetimeIndex([s]))}"
            for s, n in zip(twice["stamp"], twice["name"], strict=True)
        )
        msg = f"{form.what}: one value per date and {form.dim}; given twice: {cells}. Keep one of them."
        raise PanelError(msg)
    wide = pairs.pivot(index="stamp", columns="name", values="value")
    return pd.DataFrame(wide[pd.unique(names)].to_numpy(), index=wide.index, columns=pd.unique(names))


def _checked_wide(frame: pd.DataFrame, form: Form) -> pd.DataFrame:
    if frame.shape[1] == 0:
        msg = f"{form.what}: the table has no {form.dim}s. Give one column for each."
        raise PanelError(msg)
    _refuse_blank(frame.columns.to_series(), form)
    names = frame.columns.astype(str)
    _refuse_duplicates(names, form.what)
    stamps = pd.DatetimeIndex(frame.index)
    if not stamps.is_unique:
        twice = stamps[stamps.duplicated()].unique().sort_values()
        msg = f"{form.what}: one row per date; given more than once: {stamps_text(twice)}. Keep one of each."
        raise PanelError(msg)
    columns = [_numbers(frame.iloc[:, j], form) for j in range(frame.shape[1])]
    return pd.DataFrame(np.column_stack(columns), index=stamps, columns=names.to_numpy(dtype=object))


def _numbers(column: pd.Series, form: Form) -> np.ndarray:
    """Return a column as floats; text that looks like numbers is not taken for numbers."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in {"integer", "floating", "mixed-integer-float", "decimal", "empty"}:
        seen = few(repr(v) for v in column.dropna().unique()[:3])
        msg = (
            f"{form.what}: columns hold numbers; {str(column.name)!r} holds {kind} ({seen}). "
            "Convert it with pd.to_numeric, or drop it."
        )
        raise PanelError(msg)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)


def _refuse_blank(names: pd.Series, form: Form) -> None:
    blank = names.isna() | (names.astype(str).str.strip() == "")
    if blank.any():
        msg = (
            f"{form.what}: every {form.dim} has a name; {int(blank.sum())} have none. Name them or drop them."
        )
        raise PanelError(msg)


def _refuse_duplicates(names: pd.Index, what: str) -> None:
    if not names.is_unique:
        twice = few(names[names.duplicated()].unique())
        msg = f"{what}: names are unique; given more than once: {twice}. Rename or drop the copies."
        raise PanelError(msg)
