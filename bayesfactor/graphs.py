"""PyMC and PyTensor see one graph at a time: tables that all threads share change while graphs are built."""

from threading import RLock
from typing import Final

__all__ = ["GRAPHS"]

GRAPHS: Final = RLock()
"""Held wherever a graph is built, read or compiled, and not while it is sampled."""
