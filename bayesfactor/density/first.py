"""Kernels are compiled once on a machine, which takes a while: whoever waits is told."""

import sys
from pathlib import Path

__all__ = ["first_call", "say_first_call"]


def first_call(cache: str | Path) -> str:
    """Return what to say before kernels are compiled into a folder; nothing where some are there already."""
    if any(Path(cache).glob("*.nbi")):
        return ""
    return "bayesfactor: compiling its kernels, once on this machine; this first call takes a minute or two."


def say_first_call(cache: str | Path) -> None:
    """Say so to a person: in a terminal or a notebook, not into files and pipes."""
    note = first_call(cache)
    if note and (sys.stderr.isatty() or "ipykernel" in sys.modules):
        print(note, file=sys.stderr, flush=True)  # noqa: T201
