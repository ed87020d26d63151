"""A file that one process holds; the kernel lets go of it when its owner dies, however it dies.

Whoever takes the lock looks whether the name still means the file that was locked: its former owner removes
it before letting go.
"""

import contextlib
import os
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Lock", "owner_of", "take"]

_handles: set[int] = set()
"""Open lock files of this process: a forked child must not keep them locked when its parent is dead."""


@dataclass(frozen=True)
class Lock:
    """A lock that is held; `sure` is false on a file system that has no locks."""

    path: Path
    handle: int
    sure: bool

    def release(self, *, remove: bool = True) -> None:
        """Remove the file and let go."""
        if remove:
            with contextlib.suppress(OSError):  # Windows removes no open file; its folder may be gone with it
                self.path.unlink()
        _handles.discard(self.handle)
        os.close(self.handle)


def take(path: Path, *, make: bool = True) -> Lock | None:
    """Return the lock, None where somebody else holds it.

    Raises
    ------
    FileNotFoundError
        If there is no such file and none is to be made, or its folder is gone.
    """
    while True:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o644)
        try:
            sure = _locked(handle)
        except BlockingIOError:
            os.close(handle)
            return None
        if _means(path, handle):
            break
        os.close(handle)
    _handles.add(handle)
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    os.ftruncate(handle, 0)
    with contextlib.suppress(OSError):  # a full disk: the name of the owner is a courtesy
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode())
    return Lock(path, handle, sure)


def owner_of(path: Path) -> str:
    """Return who holds a lock, in words."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"


def _means(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _locked(handle: int) -> bool:
    """Lock a file; whether its file system can.

    Raises
    ------
    BlockingIOError
        If somebody else holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _forget() -> None:
    for handle in _handles:
        with contextlib.suppress(OSError):
            os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
