"""Anything tabular becomes one wide table: sorted naive UTC stamps by uniquely named float columns.

Wide or long tables of pandas, polars and pyarrow, xarray objects and files of text or Parquet are read here
and nowhere else. Nothing is filled, dropped or guessed on the way; what is left out is said.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.errors import DamagedFileError, MissingFileError, PanelError, SchemaError, warn
from bayesfactor.keep import read
from bayesfactor.panel.calendar import to_stamps
from bayesfactor.panel.columns import numbers_among, read_columns
from bayesfactor.panel.dates import date_columns, dates_of, reading
from bayesfactor.panel.fields import (
    refuse_fields_in_names,
    refuse_fields_of_one_coin,
    refuse_no_header,
    refuse_turned,
    value_among,
)
from bayesfactor.panel.forms import FACTORS, PRICES, RETURNS_FORM, Form
from bayesfactor.panel.levels import one_level
from bayesfactor.panel.words import few, stamps_text
from bayesfactor.periods import between
from bayesfactor.schema import ASSET, FACTOR, TIME
from bayesfactor.tables import Given, clean, given, named, named_column, plain
from bayesfactor.tables.given import without_counters

__all__ = [
    "FACTORS",
    "PRICES",
    "RETURNS_FORM",
    "Form",
    "coord_labels",
    "opened",
    "to_wide",
    "window",
]

DOWNLOADED: Final = "# from "
"""How a file of `bf.download_prices` begins; its coin is its name."""


def to_wide(data: object, form: Form) -> pd.DataFrame:
    """Return `data` as a wide float table over sorted, unique stamps, columns in the order given."""
    if isinstance(data, str | Path) and Path(data).is_dir():
        return _from_folder(Path(data), form)
    table = _given(data, form)
    refuse_no_header(table, form)
    refuse_turned(table, form)
    table = named(one_level(table, form), form.door, counters=True)
    if len(table.frame) == 0:
        msg = f"{form.what}: the table has no rows. Give at least a few periods."
        raise PanelError(msg)
    table = _own_download(table, form)
    label = _label_column(table, form)
    if label is None:
        table = replace(table, frame=without_counters(table.frame, form.door, text=table.text))
    dates = date_columns(table)
    places = [j for j, c in enumerate(table.frame.columns) if c not in dates]
    others = [str(table.frame.columns[j]) for j in places]
    if label is None:
        _refuse_long(table, others, dates, form)
        refuse_fields_in_names(table, form, others, next(iter(dates), None))
        refuse_fields_of_one_coin(table, form, others, next(iter(dates), None))
    stamps = to_stamps(dates_of(table, form, dates), form.what)
    frame = table.frame.iloc[:, places].set_axis(stamps, axis="index")
    wide = _checked_wide(table, frame, form) if label is None else _from_long(table, frame, label, form)
    _warn_of_case([str(c) for c in wide.columns], form)
    return wide.sort_index()


def _warn_of_case(names: list[str], form: Form) -> None:
    """Name columns whose names differ in case alone: rows of one may have gone to two."""
    plain_names = [n.casefold() for n in names]
    alike = (
        [n for n in names if plain_names.count(n.casefold()) > 1]
        if len(set(plain_names)) < len(names)
        else []
    )
    if alike:
        warn(
            f"{form.what}: {few(alike)} differ in case alone and are taken for different {form.dim}s. If "
            "they are not, write them alike, such as by .str.upper().",
        )


def window(wide: pd.DataFrame, start: object, end: object, what: str) -> pd.DataFrame:
    """Return the rows from `start` to `end`, both inclusive and a date its whole day; None is open."""
    stamps = pd.DatetimeIndex(wide.index)
    keep = between(stamps, start, end)
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
        found, _ = read(path)
    except DamagedFileError:
        raise
    except SchemaError as error:
        msg = f"factors: {path.name!r} cannot be read as netCDF: {error} Write it again."
        raise PanelError(msg) from error
    if not isinstance(found, xr.Dataset):
        msg = (
            f"factors: {path.name!r} holds a fit, no factors. Give the file that `bayesfactor factors` wrote."
        )
        raise PanelError(msg)
    return found


def coord_labels(data: object, dim: str, name: str) -> dict[str, str] | None:
    """Return the coord `name` over `dim` of an xarray object as a dict, or None if it has none."""
    if not isinstance(data, xr.DataArray | xr.Dataset) or name not in data.coords:
        return None
    coord = data.coords[name]
    if coord.dims != (dim,):
        return None
    return dict(zip(map(clean, data[dim].to_numpy()), map(clean, coord.to_numpy()), strict=True))


def _given(data: object, form: Form) -> Given:
    """Return a table as it came; an xarray object as a frame of its stamps by its labels."""
    if isinstance(data, xr.Dataset | xr.DataArray):
        return Given(_from_xarray(data, form), f"{form.what}.to_pandas()", labelled=True)
    if isinstance(data, pd.Series):
        return _from_series(data, form)
    found = given(data, form.door, header=False) or _of_rows(data, form)
    if found is None:
        msg = (
            f"{form.what}: give a DataFrame, an xarray object or a path to CSV or Parquet; got "
            f"{type(data).__name__}. Label the rows by date and the columns by {form.dim}."
        )
        raise PanelError(msg)
    if isinstance(found.frame.index, pd.MultiIndex):
        return Given(found.frame.reset_index(), f"{found.code}.reset_index()", labelled=False)
    if found.labelled and plain(found.frame.index.name) in form.label_names:
        return Given(found.frame.reset_index(), f"{found.code}.reset_index()", labelled=False)
    return found


def _of_rows(data: object, form: Form) -> Given | None:
    """Return rows of stamp and numbers, as exchanges answer, which have no names of columns."""
    code = f"pd.DataFrame({form.what})"
    if isinstance(data, Mapping):
        key = next((k for k in data if plain(k) in form.value_names), None)
        data, code = data.get(key), f"pd.DataFrame({form.what}[{key!r}])"
    rows = data.tolist() if isinstance(data, np.ndarray) and data.ndim == 2 else data
    if not isinstance(rows, list) or not rows or not all(isinstance(r, list | tuple) for r in rows):
        return None
    widths = {len(r) for r in rows}
    if len(widths) > 1 or widths < {2} or reading([r[0] for r in rows], 0) is None:
        return None
    return Given(pd.DataFrame(rows), code, labelled=False)


def _from_series(series: pd.Series, form: Form) -> Given:
    if isinstance(series.index, pd.MultiIndex):
        frame = series.to_frame(form.value_names[0]).reset_index()
        return Given(frame, f"{form.what}.reset_index()", labelled=False)
    if series.name is None:
        msg = f"{form.what}: a Series needs a name, the {form.dim}'s; got None. Set it with .rename('BTC')."
        raise PanelError(msg)
    return Given(series.to_frame(), f"{form.what}.to_frame()", labelled=True)


def _from_xarray(data: xr.Dataset | xr.DataArray, form: Form) -> pd.DataFrame:
    if isinstance(data, xr.Dataset):
        held = [v for v in form.variables if v in data.data_vars]
        if not held:
            msg = (
                f"{form.what}: a Dataset holds the variable {' or '.join(form.variables)}; got "
                f"{few(data.data_vars) or 'none'}. Rename yours, or pass the DataArray."
            )
            raise PanelError(msg)
        data = data[held[0]]
    if data.dims == (TIME,) and data.name is not None and form.dim == FACTOR:
        data = data.expand_dims({form.dim: [str(data.name)]})
    unlabelled = [d for d in (TIME, form.dim) if d in data.dims and d not in data.coords]
    if set(data.dims) != {TIME, form.dim} or unlabelled:
        msg = (
            f"{form.what}: an xarray object has the dims ({TIME}, {form.dim}), both with labels; got dims "
            f"{data.dims} with labels for {few(data.indexes) or 'none'}. Rename or assign coords."
        )
        raise PanelError(msg)
    return pd.DataFrame(
        data.transpose(TIME, form.dim).to_numpy(),
        index=data.indexes[TIME],
        columns=data.indexes[form.dim],
    )


def _own_download(table: Given, form: Form) -> Given:
    """Name the column of a file that `bf.download_prices` wrote after the file: it is its coin's."""
    sheet = table.sheet
    if sheet is None or not sheet.above.startswith(DOWNLOADED) or form.dim != ASSET:
        return table
    names = [str(c) for c in table.frame.columns]
    if names != ["date", "close", "volume"]:
        return table
    wanted = names[value_among(table.frame, names, form, text=True)]
    coin = sheet.path.name.split(".csv")[0]
    return Given(table.frame[["date", wanted]].set_axis(["date", coin], axis=1), table.code, False, sheet)  # noqa: FBT003


def _from_folder(folder: Path, form: Form) -> pd.DataFrame:
    """Return the coins of a folder that `bf.download_prices` filled, one file for each."""
    paths = sorted(p for p in folder.iterdir() if p.name.endswith(".csv"))
    strange = [p.name for p in paths if not p.read_bytes().startswith(DOWNLOADED.encode())]
    if not paths or strange or form.dim != ASSET:
        msg = (
            f"{form.what}: a folder holds what bf.download_prices wrote; {str(folder)!r} has "
            f"{few(strange) if paths else 'no .csv'}. Give one file."
        )
        raise PanelError(msg)
    return pd.concat([to_wide(p, form) for p in paths], axis=1).sort_index()


def _label_column(table: Given, form: Form) -> str | None:
    """Return the column of names that makes a table long, or None for a wide one."""
    columns = [str(c) for c in table.frame.columns]
    have = [plain(c) for c in columns]
    for wanted in form.label_names:
        for place in (j for j, name in enumerate(have) if name == wanted):
            column = table.frame.iloc[:, place]
            # one word all along beside columns of coins names something else, such as a currency
            told = column.nunique() > 1 or any(name in form.value_names for name in have)
            if told and not numbers_among(column, text=table.text):
                return columns[place]
    return None


def _refuse_long(table: Given, columns: list[str], dates: tuple[str, ...], form: Form) -> None:
    """Refuse a long table whose column of names is called in another way."""
    words = [c for c in columns if c and not numbers_among(table.frame[c], text=table.text)]
    stamps = table.frame[list(dates)].duplicated() if dates else pd.Series(table.frame.index.duplicated())
    if words and stamps.any() and form.dim == ASSET:
        msg = (
            f"{form.what}: rows repeat dates, as in a long table, whose column of {form.dim}s is called "
            f"{few(form.label_names)}; got {few(words)}. Rename the one that holds the {form.dim}s: "
            f"`{form.what} = {table.code}.rename(columns={{{words[0]!r}: {form.dim!r}}})`. For the command "
            f"line, add .to_csv('{form.what}.csv', index=False) and give that file."
        )
        raise PanelError(msg)


def _from_long(table: Given, frame: pd.DataFrame, label: str, form: Form) -> pd.DataFrame:
    value = value_among(frame, list(frame.columns), form, text=table.text, code=table.code)
    names = named_column(table, list(table.frame.columns).index(label), form.door, form.dim)
    read = read_columns(table, frame.iloc[:, [value]], form)
    pairs = pd.DataFrame({"stamp": frame.index, "name": names, "value": read.iloc[:, 0].to_numpy()})
    twice = pairs.duplicated(["stamp", "name"])
    if twice.any():
        _refuse_twice(table, frame, label, pairs[twice], form)
    wide = pairs.pivot(index="stamp", columns="name", values="value")
    order = list(dict.fromkeys(names))
    return pd.DataFrame(wide[order].to_numpy(), index=wide.index, columns=pd.Index(order, dtype=object))


def _refuse_twice(table: Given, frame: pd.DataFrame, label: str, twice: pd.DataFrame, form: Form) -> None:
    """Raise, and say which column tells the rows of one date and name apart, if one does."""
    cells = few(
        f"{n} on {stamps_text(pd.DatetimeIndex([s]))}"
        for s, n in zip(twice["stamp"], twice["name"], strict=True)
    )
    remedy = "Keep one of them."
    for j, column in enumerate(map(str, frame.columns)):
        if column == label or numbers_among(frame.iloc[:, j], text=table.text):
            continue
        keys = pd.DataFrame(
            {"t": frame.index, "n": frame[label].to_numpy(), "c": frame.iloc[:, j].to_numpy()}
        )
        if not keys.duplicated().any():
            kinds = list(dict.fromkeys(keys["c"]))
            remedy = (
                f"They differ in {column!r} ({few(kinds)}): keep one, such as by `{form.what} = "
                f"{table.code}.pipe(lambda t: t[t[{column!r}] == {kinds[0]!r}])`. For the command line, add "
                f".to_csv('{form.what}.csv', index=False) and give that file."
            )
            break
    msg = f"{form.what}: one value per date and {form.dim}; given twice: {cells}. {remedy}"
    raise PanelError(msg)


def _checked_wide(table: Given, frame: pd.DataFrame, form: Form) -> pd.DataFrame:
    if frame.shape[1] == 0:
        msg = f"{form.what}: the table has no {form.dim}s. Give one column for each."
        raise PanelError(msg)
    if form.spare_words:
        frame = _without_words(frame, form, text=table.text)
    _refuse_blank([str(c) for c in frame.columns], form)
    stamps = pd.DatetimeIndex(frame.index)
    if not stamps.is_unique:
        twice = stamps[stamps.duplicated()].unique().sort_values()
        msg = f"{form.what}: one row per date; given more than once: {stamps_text(twice)}. Keep one of each."
        raise PanelError(msg)
    return read_columns(table, frame, form)


def _without_words(frame: pd.DataFrame, form: Form, *, text: bool) -> pd.DataFrame:
    """Leave out columns of words, and say so."""
    words = [j for j in range(frame.shape[1]) if not numbers_among(frame.iloc[:, j], text=text)]
    if words and len(words) < frame.shape[1]:
        names = few(str(frame.columns[j]) for j in words)
        warn(f"{form.what}: columns of words are left out: {names}.")
        return frame.iloc[:, [j for j in range(frame.shape[1]) if j not in words]]
    return frame


def _refuse_blank(names: list[str], form: Form) -> None:
    blank = [j + 1 for j, n in enumerate(names) if not n]
    if blank:
        msg = (
            f"{form.what}: every {form.dim} has a name; {len(blank)} have none (of the columns of numbers "
            f"number {few(blank)}). Name them or drop them."
        )
        raise PanelError(msg)
