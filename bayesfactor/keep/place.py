"""The one writer: whatever this package writes goes through here.

A file is made in a workshop, a hidden folder beside its place, and moved when it is whole: what stood there
before is there until then, and only what this package wrote is replaced. A workshop is locked by the process
that works in it, so that those of the dead can be told and are swept.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bayesfactor.errors import BayesFactorError, MissingFileError, SchemaError, StorageError
from bayesfactor.keep.lock import Lock, take
from bayesfactor.keep.marks import foreign

__all__ = ["check_folder", "check_place", "found", "storage_errors", "written_whole"]

_WORKSHOP: Final = ".bayesfactor-"
_LOCK: Final = "lock"
_OLD: Final = "old"
_HOUR: Final = 3600.0
_EXCHANGE: Final = 2
_HERE: Final = -100


def check_place(path: str | Path, suffixes: Sequence[str] | None = None) -> Path:
    """Return where a file goes, or say why it cannot; before anything long begins, and when it is written.

    Parameters
    ----------
    path : str or Path
        A link stands for what it points at.
    suffixes : sequence of str, optional
        In lower case; one of them ends the name, in any case.

    Raises
    ------
    SchemaError
        If the name is not one, or its suffix is unknown.
    MissingFileError
        If the folder does not exist.
    StorageError
        If nothing can be written in the folder, or what stands there is not of this package.
    """
    try:
        path = Path(path)
        if b"\0" in os.fsencode(path):
            msg = f"{path!r} is no name of a file: it holds the character of number 0. Give a path."
            raise SchemaError(msg)
    except (TypeError, UnicodeError) as error:
        msg = f"{path!r} is no name of a file: {error}. Give a path."
        raise SchemaError(msg) from error
    if suffixes is not None and path.suffix.lower() not in suffixes:
        msg = f"the output ends in {' or '.join(suffixes)}; got {path.name!r}."
        raise SchemaError(msg)
    with storage_errors(path):
        place = Path(os.path.realpath(path)) if path.is_symlink() else path
        check_folder(place.parent)
        why = foreign(place)
    if why:
        msg = (
            f"{str(path)!r} {why}, and only what this package wrote is replaced. Give another name, or move "
            "it away first."
        )
        raise StorageError(msg)
    return place


def check_folder(folder: Path) -> None:
    """Raise unless a folder is there and can be written into.

    Raises
    ------
    MissingFileError
        If it does not exist.
    StorageError
        If nothing can be written there.
    """
    if not folder.is_dir():
        msg = f"the folder {str(folder)!r} does not exist; make it first."
        raise MissingFileError(msg)
    with storage_errors(folder):
        # Rights, quotas, file systems mounted to be read: what can be written is told by writing.
        Path(tempfile.mkdtemp(prefix=_WORKSHOP, dir=folder)).rmdir()


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name on the same disk; move it to `path` if all went well.

    Raises
    ------
    SchemaError, MissingFileError, StorageError
        As `check_place`; and if the disk is full or the file larger than is allowed.
    """
    place = check_place(path)
    _sweep(place.parent)
    with storage_errors(place), _workshop(place.parent) as folder:
        temporary = folder / place.name
        yield temporary
        _moved(temporary, place, folder)


def found(path: Path) -> Path:
    """Return where a file is: at its name, or where a process died between two renames of it."""
    if not path.exists():
        for folder in sorted(path.parent.glob(f"{_WORKSHOP}*")):
            if (folder / _OLD).exists() and (folder / path.name).exists():
                return folder / path.name
    return path


_RULES: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "it is larger than a file may be here (ulimit -f, or the file system)",
    errno.EROFS: "the file system is mounted to be read only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into one of ours."""
    try:
        yield
    except BayesFactorError:
        raise
    except OSError as error:
        why = _RULES.get(error.errno or 0, "it failed")
        msg = (
            f"{str(path)!r} cannot be written: {why} ({error}). What stood there before is as it was. Make "
            "room, or name another place."
        )
        raise StorageError(msg) from error


@contextmanager
def _workshop(parent: Path) -> Iterator[Path]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_WORKSHOP, dir=parent))
        try:
            lock = take(folder / _LOCK)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if lock is not None:
            break  # else it was swept as litter before it could be locked
    try:
        yield folder
    finally:
        _clear(folder, lock)


def _clear(folder: Path, lock: Lock) -> None:
    """Remove a workshop, its lock last: who dies here leaves what can be told from a workshop in use."""
    with contextlib.suppress(OSError):
        for one in folder.iterdir():
            if one.is_dir():
                shutil.rmtree(one, ignore_errors=True)
            elif one.name != _LOCK:
                one.unlink(missing_ok=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _moved(temporary: Path, place: Path, folder: Path) -> None:
    if temporary.is_file():
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    if not place.is_dir():
        os.replace(temporary, place)  # noqa: PTH105 - atomic on the same disk
        return
    if exchanged(temporary, place):
        return  # what stood there is in the workshop now, and goes with it
    # No exchange here: between the two renames `found` and `_sweep` know where the new one is.
    os.replace(place, folder / _OLD)  # noqa: PTH105
    try:
        os.replace(temporary, place)  # noqa: PTH105
    except OSError:
        os.replace(folder / _OLD, place)  # noqa: PTH105
        raise


def exchanged(one: Path, other: Path) -> bool:
    """Let two names of one disk change places in one step; whether this system can."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return (
        rename is not None
        and rename(_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _EXCHANGE) == 0
    )


def _sweep(parent: Path) -> None:
    """Remove the workshops of dead processes, and finish what one of them left between two renames."""
    for folder in parent.glob(f"{_WORKSHOP}*"):
        with contextlib.suppress(OSError):
            lock = _left_behind(folder)
            if lock is not None and lock.sure:
                _finish(folder, parent)
                _clear(folder, lock)
            elif lock is not None:
                lock.release(remove=False)


def _left_behind(folder: Path) -> Lock | None:
    try:
        return take(folder / _LOCK, make=False)
    except FileNotFoundError:
        # Its owner is about to lock it, or died before it could.
        if time.time() - folder.stat().st_mtime > _HOUR:
            shutil.rmtree(folder)
        return None


def _finish(folder: Path, parent: Path) -> None:
    if (folder / _OLD).exists():
        for whole in folder.iterdir():
            if whole.name not in {_OLD, _LOCK} and not (parent / whole.name).exists():
                os.replace(whole, parent / whole.name)  # noqa: PTH105
