"""Save and load a tree: one file, written whole or not at all, never code.

The suffix decides: `.nc` is netCDF (through h5netcdf), `.zarr` a Zarr store.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import BayesFactorError, MissingFileError, SchemaError

__all__ = ["load", "save", "written_whole"]

_SUFFIXES = (".nc", ".zarr")


def save(tree: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Write a fit (or a Dataset of risk or of a backtest) to one file, atomically.

    Parameters
    ----------
    tree : DataTree or Dataset
        From `bf.fit`, `bf.forecast`, `bf.decompose_risk`, `bf.backtest` or `bf.score_backtest`. A Dataset in
        netCDF is read again with `xarray.load_dataset`.
    path : str or Path
        Ends in `.nc` or `.zarr`. What stood there before is replaced once the new file is whole.

    Returns
    -------
    Path

    Raises
    ------
    SchemaError
        If the suffix is unknown or the object is neither a DataTree nor a Dataset.
    MissingFileError
        If the folder does not exist.
    """
    path = _checked(path)
    if not isinstance(tree, xr.DataTree | xr.Dataset):
        msg = f"save writes a DataTree or a Dataset; got {type(tree).__name__}."
        raise SchemaError(msg)
    if not path.parent.is_dir():
        msg = f"the folder {str(path.parent)!r} does not exist; make it first."
        raise MissingFileError(msg)
    with written_whole(path) as temporary:
        if path.suffix == ".zarr":
            _require_zarr()
            tree.to_zarr(temporary, consolidated=False)
        else:
            tree.to_netcdf(temporary, engine="h5netcdf")
    return path


def load(path: str | Path) -> xr.DataTree:
    """Read a tree written by `save`; no PyMC is needed and no code is run.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    DataTree
        In memory; the file is closed.

    Raises
    ------
    MissingFileError
        If nothing is there.
    SchemaError
        If the file is not a tree of this package, or of another schema version.
    """
    path = _checked(path)
    if not path.exists():
        msg = f"no file at {str(path)!r}."
        raise MissingFileError(msg)
    try:
        if path.suffix == ".zarr":
            _require_zarr()
            with xr.open_datatree(path, engine="zarr", consolidated=False) as opened:
                tree = opened.load()
        else:
            with xr.open_datatree(path, engine="h5netcdf") as opened:
                tree = opened.load()
    except BayesFactorError:
        raise
    except Exception as error:
        msg = f"{path.name} cannot be read as a saved fit: {error}. Give a file that bf.save wrote."
        raise SchemaError(msg) from error
    if not tree.children and s.FACTOR_RETURNS in tree.data_vars:
        msg = (
            f"{path.name} holds factors or a panel, no fit. Read it with xarray.load_dataset({path.name!r})."
        )
        raise SchemaError(msg)
    s.check_tree(tree, verb="load")
    return tree


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        msg = f"the suffix decides the format: {' or '.join(_SUFFIXES)}; got {path.name!r}."
        raise SchemaError(msg)
    return path


def _require_zarr() -> None:
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        msg = "Zarr files need the zarr package: install bayesfactor[zarr], or use the suffix .nc."
        raise SchemaError(msg) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name on the same disk; rename it to `path` if all went well."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    temporary = folder / path.name
    try:
        yield temporary
        if path.is_dir():
            path.rename(folder / f"old-{path.name}")
        os.replace(temporary, path)  # noqa: PTH105 - atomic on the same disk, directories included
    finally:
        shutil.rmtree(folder, ignore_errors=True)
