"""What the readers of a tree refuse: (id, a call that raises, the error's class, a piece of its message)."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import xarray as xr
from trees import make_tree, with_attrs, without

from bayesfactor.compare import compare
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import CompareError, MissingFileError, SchemaError
from bayesfactor.keep import load, save


@cache
def tree(**kwargs: object) -> xr.DataTree:
    return make_tree(n_times=30, draws=10, **kwargs)


def folder() -> Path:
    return Path(tempfile.mkdtemp())


def given_nothing() -> xr.DataTree:
    changed = tree().copy(deep=True)
    changed["log_likelihood"].attrs["given"] = "nothing"
    return changed


def given_past() -> xr.DataTree:
    changed = tree().copy(deep=True)
    changed["log_likelihood"].attrs["given"] = "past"
    return changed


def written(name: str, data: bytes | xr.Dataset) -> Path:
    path = folder() / name
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        data.to_netcdf(path, engine="h5netcdf")
    return path


READING_CASES: list[tuple[str, Callable[[], object], type[Exception], str]] = [
    ("diagnose a table", lambda: diagnose(tree()["posterior"].to_dataset()), SchemaError, "reads the DataTree that bf.fit returns; got Dataset"),
    ("diagnose without sample_stats", lambda: diagnose(without(tree(), "sample_stats")), SchemaError, "needs the group.s. sample_stats"),
    ("diagnose without log_likelihood", lambda: diagnose(without(tree(), "log_likelihood")), SchemaError, "needs the group.s. log_likelihood; the tree has: constant_data"),
    ("diagnose a tree of another schema", lambda: diagnose(with_attrs(tree(), schema_version="0")), SchemaError, "reads trees of schema 1; got '0'"),
    ("diagnose an unknown structure", lambda: diagnose(with_attrs(tree(), structure="magic")), SchemaError, "structure 'magic'"),
    ("compare one model", lambda: compare({"a": tree()}), CompareError, "at least two models; got 1"),
    ("compare no model", lambda: compare({}), CompareError, "at least two models; got 0"),
    ("compare a list", lambda: compare([tree(), tree()]), CompareError, "dict of name to tree; got list"),
    ("compare a name that is no tree", lambda: compare({"a": tree(), "b": "hierarchical-t"}), SchemaError, r"compare \('b'\) reads the DataTree.*got str"),
    ("compare without log_likelihood", lambda: compare({"a": tree(), "b": without(tree(), "log_likelihood")}), SchemaError, r"compare \('b'\) needs the group.s. log_likelihood"),
    ("compare other returns", lambda: compare({"a": tree(), "b": tree(data_seed=9)}), CompareError, "same returns: 'b' has returns_digest .*'a' has .*same panel"),
    ("compare other rows", lambda: compare({"a": tree(), "b": make_tree(n_times=25, draws=10)}), CompareError, "same rows: 'b' has 25 rows, 2024-01-01.*'a' has 30 rows"),
    ("compare on another footing", lambda: compare({"a": tree(), "b": given_nothing()}), CompareError, "'a' has rows given 'factors', 'b' has rows given 'nothing'.*given='nothing'"),
    ("compare filters by leaving rows out", lambda: compare({"a": given_past(), "b": given_past()}), CompareError, "deleting a row leaves it in the filter"),
    ("compare by asset", lambda: compare({"a": tree(), "b": tree()}, by="asset"), CompareError, "28 of 30 Pareto k.*Refit"),
    ("compare by a typo", lambda: compare({"a": tree(), "b": tree()}, by="observations"), CompareError, r"time, observation; got 'observations' \(did you mean 'observation'\?\)"),
    ("compare by an unknown method", lambda: compare({"a": tree(), "b": tree()}, method="stackin"), CompareError, r"'stackin' \(did you mean 'stacking'\?\)"),
    ("compare too few draws", lambda: compare({"a": tree(), "b": make_tree(n_times=30, draws=5)}), CompareError, "at least 25 draws; 'b' has 20"),
    ("save to an unknown suffix", lambda: save(tree(), folder() / "fit.pkl"), SchemaError, r"\.nc or \.zarr; got 'fit.pkl'"),
    ("save to no folder", lambda: save(tree(), folder() / "no" / "fit.nc"), MissingFileError, "does not exist; make it first"),
    ("save a dict", lambda: save({"posterior": 1}, folder() / "fit.nc"), SchemaError, "writes a DataTree or a Dataset; got dict"),
    ("load a missing file", lambda: load(folder() / "fit.nc"), MissingFileError, "no file at"),
    ("load an unknown suffix", lambda: load("fit.hdf5"), SchemaError, "suffix decides"),
    ("load words", lambda: load(written("fit.nc", b"not a netCDF file")), SchemaError, "fit.nc cannot be read as a saved fit"),
    ("load a netCDF file of something else", lambda: load(written("fit.nc", xr.Dataset({"x": 1}))), SchemaError, "schema 1; got None"),
]  # fmt: skip
"""One line each; the length is the message's."""
