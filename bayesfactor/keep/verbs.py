"""`save` and `load`: one file, written whole or not at all, read only as it was written, never as code."""

from pathlib import Path
from typing import Any, Final

import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import BayesFactorError, DamagedFileError, MissingFileError, SchemaError, warn
from bayesfactor.keep.guard import inspect
from bayesfactor.keep.marks import SEAL
from bayesfactor.keep.place import check_place, found, storage_errors, written_whole
from bayesfactor.keep.seal import (
    broken_groups,
    group_digest,
    is_sealed,
    read_seal,
    sealed,
    trailer,
    trailer_holds,
    unsealed,
)

__all__ = ["ARRAYS", "load", "read", "save"]

ARRAYS: Final = (".nc", ".zarr")


@verb
def save(tree: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Write a fit, or a Dataset of this package, to one file, atomically.

    Parameters
    ----------
    tree : DataTree or Dataset
        From `bf.fit`, `bf.forecast`, or any verb that returns a Dataset: panels, factors, risk, stress,
        backtests and their scores. `bf.load` reads all of them again.
    path : str or Path
        Ends in `.nc` (netCDF) or `.zarr` (a Zarr store), in any case. What this package wrote there before is
        replaced once the new file is whole; anything else is left alone and refused.

    Returns
    -------
    Path

    Raises
    ------
    SchemaError
        If the suffix is unknown, or the object is neither a DataTree nor a Dataset that can be written.
    MissingFileError
        If the folder does not exist.
    StorageError
        If the disk is full, the folder is read only, or what stands there is not of this package.

    Notes
    -----
    A group `seal` beside the others holds a digest of each; `load` compares and removes it (docs: Schema).
    """
    if not isinstance(tree, xr.DataTree | xr.Dataset):
        msg = f"save writes a DataTree or a Dataset; got {type(tree).__name__}."
        raise SchemaError(msg)
    check_place(path, ARRAYS)
    path = Path(path)
    try:
        with storage_errors(path):
            _write(sealed(tree), path)
    except (BayesFactorError, MemoryError):
        raise
    except Exception as error:
        msg = f"this object cannot be written to {path.name}: {error}. A file holds numbers and words."
        raise SchemaError(msg) from error
    return path


@verb
def load(path: str | Path) -> Any:
    """Read what `save` wrote; no PyMC is needed and no code is run.

    Parameters
    ----------
    path : str or Path
        Ends in `.nc` or `.zarr`.

    Returns
    -------
    DataTree or Dataset
        As it was saved, in memory; the file is closed.

    Raises
    ------
    MissingFileError
        If nothing is there.
    DamagedFileError
        If a group does not hold what was written into it; the message names it.
    SchemaError
        If the file is not of this package, is of another schema version, or reaches beyond itself: links to
        other files, foreign filters, pickled objects, a hundred times its size in memory.

    Warns
    -----
    UserWarning
        If the file was written before files carried digests, and cannot be checked.
    """
    data, checked = read(path)
    if isinstance(data, xr.DataTree) or not (
        checked or {"schema_version", "returns_digest"} & set(data.attrs)
    ):
        tree = data if isinstance(data, xr.DataTree) else xr.DataTree(data)
        s.check_tree(tree, verb="load")
    elif data.attrs.get("schema_version", s.SCHEMA_VERSION) != s.SCHEMA_VERSION:
        s.check_tree(xr.DataTree(data), verb="load")
    if not checked:
        msg = (
            f"{Path(path).name} carries no digest: another program or an older version wrote it, and whether "
            "it is as it was written cannot be checked. bf.save writes it with one."
        )
        warn(msg)
    return data


def read(path: str | Path) -> tuple[xr.DataTree | xr.Dataset, bool]:
    """Return what a file holds, in memory, and whether it was checked against its digests.

    Raises
    ------
    MissingFileError, DamagedFileError, SchemaError
        As `load`, but a file of another program is read too.
    """
    place = _place(path)
    name = Path(path).name
    holds = trailer_holds(place) if place.is_file() else None
    if holds is False:
        raise _damaged(name, _blamed(place, was_sealed=True))
    try:
        # A store has no end to look at: where it has a seal, what it compresses well may be our zeros.
        inspect(place, trusted=bool(holds) or (place / SEAL).is_dir())
        tree = _opened(place)
        checked = is_sealed(tree) or (place / SEAL).is_dir()
        broken = broken_groups(tree) if checked and not holds else []
    except BayesFactorError:
        raise
    except Exception as error:
        if groups := _blamed(place):
            raise _damaged(name, groups) from error
        msg = f"{name} cannot be read as a saved fit: {error}. Give a file that bf.save wrote."
        raise SchemaError(msg) from error
    if broken:
        raise _damaged(name, broken)
    tree = unsealed(tree)
    return (tree if tree.children else tree.to_dataset()), checked


def _write(data: xr.DataTree | xr.Dataset, path: Path) -> None:
    if path.suffix.lower() == ".zarr":
        _require_zarr()
        with written_whole(path) as temporary:
            data.to_zarr(temporary, consolidated=False, zarr_format=3)
        return
    # In memory first: HDF5 brings the process down where a file may not grow.
    made: Any = data.to_netcdf(None, engine="h5netcdf")
    with made as image, written_whole(path) as temporary, temporary.open("wb") as file:
        file.write(image)
        file.write(trailer(image))


def _place(path: str | Path) -> Path:
    try:
        path = Path(path)
        if path.suffix.lower() not in ARRAYS:
            msg = f"the suffix decides the format: {' or '.join(ARRAYS)}; got {path.name!r}."
            raise SchemaError(msg)
        place = found(path)
        there = place.exists()
    except (TypeError, ValueError, OSError) as error:
        if isinstance(error, BayesFactorError):
            raise
        msg = f"{path!r} is no name of a file: {error}. Give a path."
        raise SchemaError(msg) from error
    if not there:
        msg = f"no file at {str(path)!r}."
        raise MissingFileError(msg)
    if path.suffix.lower() == ".zarr":
        _require_zarr()
    return place


def _opened(place: Path, group: str | None = None) -> xr.DataTree:
    options: dict[str, Any] = {"engine": "h5netcdf"}
    if place.suffix.lower() == ".zarr":
        options = {"engine": "zarr", "consolidated": False}
    with xr.open_datatree(place, group=group, **options) as opened:
        return opened.load()


def _blamed(place: Path, *, was_sealed: bool = False) -> list[str]:
    """Return the groups of a damaged file that can be told to be so; none where nothing carries a digest."""
    try:
        inspect(place, trusted=True)
        names, told = _groups(place), read_seal(_opened(place, SEAL).attrs)
    except Exception:  # noqa: BLE001 - damaged, or not there
        return []
    blamed = []
    for name in names if told or was_sealed else ():
        try:
            if told.get(f"/{name}") != group_digest(_opened(place, name).to_dataset()):
                blamed.append(name)
        except Exception:  # noqa: BLE001 - what cannot be read is damaged
            blamed.append(name)
    return blamed


def _groups(place: Path) -> list[str]:
    """Return the names of the groups that hold something."""
    if place.is_dir():
        names = sorted(p.parent.name for p in place.glob("*/zarr.json") if not (p.parent / "c").exists())
    else:
        import h5py

        with h5py.File(place) as file:
            names = [name for name in file if issubclass(file.get(name, getclass=True), h5py.Group)]
    return [name for name in names if name != SEAL]


def _damaged(name: str, groups: list[str]) -> DamagedFileError:
    named = [g.strip("/") or "at its root" for g in groups]
    what = f"its group {', '.join(named)}" if named else "it"
    return DamagedFileError(
        f"{name} is damaged: {what} does not hold what was written, by its digest. Take the file from a "
        "backup or make it again; what was changed on purpose is written by bf.save."
    )


def _require_zarr() -> None:
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        msg = "Zarr files need the zarr package: install bayesfactor[zarr], or use the suffix .nc."
        raise SchemaError(msg) from error
