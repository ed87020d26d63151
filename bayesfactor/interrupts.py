"""Ctrl-C: whatever a library makes of it inside, it ends the verb.

Samplers catch `KeyboardInterrupt` and return what they have so far, which looks like what was asked for.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["aside", "heeded"]


@contextmanager
def heeded() -> Iterator[None]:
    """Raise the `KeyboardInterrupt` that a library inside caught, or turned into another error.

    Only in the main thread, where signals arrive; a handler of the caller's that does not raise is let be.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    raised = False

    def noted(number: int, frame: Any) -> None:
        nonlocal raised
        try:
            before(number, frame)
        except KeyboardInterrupt:
            raised = True
            raise

    signal.signal(signal.SIGINT, noted)
    try:
        yield
    except Exception as error:
        if raised:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if raised:
        raise KeyboardInterrupt


_LOOK: Final = 0.1
"""Seconds between two looks for a signal, on systems where waiting itself does not see one."""


def aside[R](work: Callable[[], R]) -> R:
    """Return `work()`, done in a thread of its own: compiled code that sees no signal can be left alone.

    After Ctrl-C what is left goes on until it is done, or the process ends, and nobody reads its result.
    """
    found: list[R] = []
    failed: list[BaseException] = []

    def do() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failed.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK)
    if failed:
        raise failed[0]
    return found[0]
