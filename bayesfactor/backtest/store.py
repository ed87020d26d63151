"""The folder of a backtest's store: made whole, held by one process, and checked before it is gone on with.

What never changes of it (descriptions, coords, what happened) carries digests of its bytes, made with it.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import xarray as xr

from bayesfactor.errors import BayesFactorError, DamagedFileError, RiskError, warn
from bayesfactor.keep import check_folder, owner_of, storage_errors, take, written_whole
from bayesfactor.keep.guard import inspect

__all__ = ["Store", "check_store", "stored_seed"]

_STATIC: Final = "static"
_GEOMETRY: Final = "geometry"


class Store:
    """An open store; `put` and `get` by the name of a variable."""

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self.root = path, root

    @classmethod
    @contextmanager
    def opened(
        cls, path: Path, empty: xr.Dataset, chunks: dict[str, tuple[int, ...]], static: tuple[str, ...]
    ) -> Iterator[Self]:
        """Yield the store at `path`, made if it is not there, until no other process may have it.

        Raises
        ------
        RiskError
            If another process holds it, it belongs to another call, or it is no store.
        DamagedFileError
            If its frame is damaged.
        StorageError
            If it cannot be written.
        """
        check_store(path)
        mark = path.parent / f".{path.name}.lock"
        with storage_errors(path):
            lock = take(mark)
        if lock is None:
            msg = (
                f"{str(path)!r} is being written by {owner_of(mark)}. Wait until it has ended, or give "
                "another store=."
            )
            raise RiskError(msg)
        if not lock.sure:
            msg = f"the file system of {str(path)!r} has no locks: let no other process write there."
            warn(msg)
        try:
            if _is_fresh(path):
                _make(path, empty, chunks, static)
            yield cls(path, _root(path, str(empty.attrs["signature"])))
        finally:
            lock.release()

    def put(self, name: str, at: tuple[Any, ...], values: Any) -> None:
        """Write part of a variable."""
        with storage_errors(self.path):
            self.root[name][at] = values

    def get(self, name: str, at: tuple[Any, ...]) -> np.ndarray:
        """Return part of a variable."""
        return np.asarray(self.root[name][at])

    def remove(self, name: str, chunk: tuple[int, ...]) -> None:
        """Remove what the disk holds of a chunk, readable or not."""
        more = ("0",) * (len(self.root[name].shape) - len(chunk))
        self.path.joinpath(name, "c", *map(str, chunk), *more).unlink(missing_ok=True)

    def put_text(self, model: int, refit: int, text: str) -> None:
        """Write the geometry that a refit found."""
        with storage_errors(self.path):
            self.root.create_group(_name(model, refit), attributes={_GEOMETRY: text}, overwrite=True)

    def get_text(self, model: int, refit: int) -> str:
        """Return it, nothing where there is none."""
        found = self.path / _name(model, refit) / "zarr.json"
        return str(json.loads(found.read_text())["attributes"][_GEOMETRY]) if found.exists() else ""


def _name(model: int, refit: int) -> str:
    return f"{_GEOMETRY}/{model}-{refit}"


def check_store(path: Path) -> None:
    """Raise unless a store can be made at `path` or gone on with; before anything long begins.

    Raises
    ------
    RiskError
        If the suffix is not `.zarr`, the folder does not exist, something else is there, or zarr is not.
    StorageError
        If nothing can be written in the folder.
    """
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        msg = "store= needs the zarr package: pip install 'bayesfactor[backtest]'."
        raise RiskError(msg) from error
    if path.suffix.lower() != ".zarr":
        msg = f"the output ends in .zarr; got {path.name!r}."
        raise RiskError(msg)
    if not path.parent.is_dir():
        msg = f"the folder {str(path.parent)!r} does not exist; make it first."
        raise RiskError(msg)
    check_folder(path.parent)
    if not _is_fresh(path) and not (path / _STATIC / "zarr.json").is_file():
        msg = (
            f"{str(path)!r} holds something else than the store of a backtest, or one of an older version. "
            "Give another store=, or move it away."
        )
        raise RiskError(msg)


def stored_seed(path: Path | None) -> int | None:
    """Return the seed of a store that is there."""
    if path is None or not path.parent.is_dir() or _is_fresh(path):
        return None
    check_store(path)
    return int(_attrs(path)["random_seed"])


def _is_fresh(path: Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _make(path: Path, empty: xr.Dataset, chunks: dict[str, tuple[int, ...]], static: tuple[str, ...]) -> None:
    import zarr

    with written_whole(path) as temporary:
        encoding = {v: {"chunks": c} for v, c in chunks.items()}
        empty.to_zarr(temporary, consolidated=False, encoding=encoding, zarr_format=3)
        changing = {v for v in chunks if v not in static}
        found = {
            one.relative_to(temporary).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest()
            for one in sorted(temporary.rglob("*"))
            if one.is_file()
            and (one.name == "zarr.json" or one.relative_to(temporary).parts[0] not in changing)
        }
        zarr.open_group(temporary, mode="r+").create_group(_STATIC, attributes=found)


def _attrs(path: Path) -> dict[str, Any]:
    """Return the attributes of a store whose frame is as it was made."""
    try:
        told = json.loads((path / _STATIC / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        wrong = [
            name
            for name, digest in told.items()
            if not (path / name).is_file() or hashlib.sha256((path / name).read_bytes()).hexdigest() != digest
        ]
        attrs = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        wrong, attrs = [f"{_STATIC}/zarr.json: {type(error).__name__}"], {}
    if wrong or not attrs:
        msg = (
            f"{path.name} is damaged: {', '.join(wrong[:3]) or 'its frame'} does not hold what was written, "
            "by its digest. Give another store=, or move it away; the backtest then begins again."
        )
        raise DamagedFileError(msg)
    return dict(attrs)


def _root(path: Path, signature: str) -> Any:
    import zarr

    attrs = _attrs(path)
    if attrs.get("signature") != signature:
        msg = (
            f"{str(path)!r} holds another backtest: its panel, models, portfolios or options differ. "
            "Give the same call to go on with it, or another store=."
        )
        raise RiskError(msg)
    try:
        inspect(path, trusted=True)
        return zarr.open_group(path, mode="r+")
    except BayesFactorError:
        raise
    except Exception as error:
        msg = f"{path.name} cannot be read as the store of a backtest: {error}. Give another store=."
        raise DamagedFileError(msg) from error
