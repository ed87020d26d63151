"""Counts and sizes: every number a caller chooses is checked here, before anything is allocated.

A count that would need more memory than there is, is refused with both numbers; no verb finds out by dying.
"""

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np

from bayesfactor.errors import BayesFactorError, ModelError, unknown_names

__all__ = [
    "check_choice",
    "check_count",
    "check_levels",
    "check_memory",
    "check_number",
    "free_memory",
    "said",
]

GIB: Final = 2.0**30
_WORD: Final = 8
_SHARE: Final = 0.9
"""Of free memory: the rest is for what else happens in the meantime."""
_LONGEST: Final = 80


def said(value: Any) -> str:
    """Return a value as a message shows it: whole where it is short, never an error of its own."""
    try:
        shown = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - a whole number of 5000 digits, an object with a broken repr
        return f"something of type {type(value).__name__} that cannot be shown"
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}... ({type(value).__name__})"


def check_count(
    name: str,
    value: Any,
    *,
    least: int = 1,
    most: int = 10**9,
    error: type[BayesFactorError] = ModelError,
    remedy: str = "",
) -> int:
    """Return a whole number between `least` and `most`, numpy's included; neither a bool nor a fraction.

    Parameters
    ----------
    name : str
        What the caller knows it as.
    value
    least, most : int
    error : type
        What is raised.
    remedy : str
        A sentence.

    Raises
    ------
    ModelError
        Or `error`.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        rule = f"of at least {least}" if whole and value < least else f"from {least} to {most:,}"
        if not whole:
            rule = f"of at least {least}"
        msg = f"{name} is a whole number {rule}; got {said(value)}. {remedy}".rstrip()
        raise error(msg)
    return int(value)


def check_number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    error: type[BayesFactorError] = ModelError,
    remedy: str = "",
) -> float:
    """Return a finite number strictly between `above` and `below`, as a float.

    Raises
    ------
    ModelError
        Or `error`.
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan
    except OverflowError:
        number = math.nan
    if not (math.isfinite(number) and above < number < below):
        limits = [f"above {above:g}"] if above > -math.inf else []
        limits += [f"below {below:g}"] if below < math.inf else []
        rule = " ".join(["a finite number", " and ".join(limits)]).rstrip()
        msg = f"{name} is {rule}; got {said(value)}. {remedy}".rstrip()
        raise error(msg)
    return number


def check_levels(
    levels: Any, *, error: type[BayesFactorError] = ModelError, name: str = "levels"
) -> np.ndarray:
    """Return confidence levels as an array (level): above 0.5, at most 0.999999, each once.

    Beyond that fewer than one simulated loss in a million would have to speak for the tail.

    Raises
    ------
    ModelError
        Or `error`.
    """
    try:
        wanted = np.atleast_1d(np.asarray([] if isinstance(levels, str) else levels, dtype="float64"))
    except (TypeError, ValueError, OverflowError):
        wanted = np.array([])
    fits = wanted.ndim == 1 and 0 < wanted.size <= _MOST_LEVELS
    if not fits or not np.all((wanted > 0.5) & (wanted <= _HIGHEST)):
        rule = f"confidence levels above 0.5 and at most {_HIGHEST}, such as 0.99"
        msg = f"{name} are {rule}; got {said(levels)}."
        raise error(msg)
    if len(np.unique(wanted)) != len(wanted):
        msg = f"each level once; got {said(levels)}."
        raise error(msg)
    return wanted


_HIGHEST: Final = 0.999999
_MOST_LEVELS: Final = 100


def check_choice(
    name: str, value: Any, known: Collection[str], *, error: type[BayesFactorError] = ModelError
) -> str:
    """Return one of the words `known`.

    Raises
    ------
    ModelError
        Or `error`, with the nearest word.
    """
    if not isinstance(value, str) or value not in known:
        got = unknown_names([value], known) if isinstance(value, str) else said(value)
        msg = f"{name} is one of {', '.join(known)}; got {got}."
        raise error(msg)
    return value


def check_memory(
    what: str,
    words: float,
    remedy: str,
    *,
    error: type[BayesFactorError] = ModelError,
) -> None:
    """Refuse what would need more memory than is free.

    Parameters
    ----------
    what : str
        What would be kept, such as "4 chains of 1000 draws".
    words : float
        How many numbers of 8 bytes, copies included.
    remedy : str
        A sentence.
    error : type
        What is raised.

    Raises
    ------
    ModelError
        Or `error`, with the size it would need and what there is.
    """
    needed, free = words * _WORD, free_memory()
    if needed > _SHARE * free:
        sizes = f"{needed / GIB:,.1f} GiB of memory, where {free / GIB:,.1f} GiB are free"
        msg = f"{what} would take {sizes}. {remedy}"
        raise error(msg)


def free_memory() -> float:
    """Return the bytes that this process could still take, as far as the system says; else infinity."""
    found = [_of_the_machine(), _of_the_container(), _of_the_process()]
    return min(found)


def _of_the_machine() -> float:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return math.inf


def _of_the_container() -> float:
    """Return what the control group leaves, files it caches counted as free."""
    for limit, used, stat in _GROUPS:
        try:
            most = Path(limit).read_text(encoding="ascii").strip()
            if most == "max":
                continue
            now = int(Path(used).read_text(encoding="ascii"))
            lines = Path(stat).read_text(encoding="ascii").splitlines()
            cached = sum(int(x.split()[1]) for x in lines if x.split()[0] == "inactive_file")
            return max(0.0, float(int(most) - now + cached))
        except (OSError, ValueError, IndexError):
            continue
    return math.inf


_GROUPS: Final = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def _of_the_process() -> float:
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return math.inf
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return max(0.0, float(most - pages * resource.getpagesize()))
    except (ImportError, OSError, ValueError, IndexError):
        return math.inf
