"""What every risk verb asks before it begins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError

__all__ = ["check_paths", "checked_levels", "checked_value"]


def check_paths(paths: int | None) -> None:
    """Raise `RiskError` unless `paths` is None or a number of futures per draw."""
    whole = isinstance(paths, int | np.integer) and not isinstance(paths, bool)
    if paths is not None and (not whole or paths < 1):
        msg = f"paths is a whole number of at least 1, or None; got {paths!r}."
        raise RiskError(msg)


def checked_value(value: Any) -> float:
    """Return the worth of a portfolio.

    Raises
    ------
    RiskError
        If it is no positive number.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value <= 0:
        msg = f"value is the positive worth of the portfolio, a number; got {value!r}."
        raise RiskError(msg)
    return float(value)


def checked_levels(tree: xr.DataTree, levels: Sequence[float]) -> np.ndarray:
    """Return confidence levels as an array.

    Raises
    ------
    RiskError
        If the tree holds logarithmic returns, or a level is out of range or there twice.
    """
    kind = tree[s.OBSERVED_DATA].attrs.get("returns_kind", "simple")
    if kind != "simple":
        msg = (
            f"risk of a portfolio needs simple returns, which add up across assets; got {kind} returns. "
            'Build it with kind="simple" and fit again.'
        )
        raise RiskError(msg)
    try:
        wanted = np.atleast_1d(np.asarray(levels, dtype="float64"))
    except (TypeError, ValueError):
        wanted = np.array([])
    if wanted.ndim != 1 or wanted.size == 0 or not np.all((wanted > 0.5) & (wanted < 1.0)):
        msg = f"levels are confidence levels above 0.5 and below 1, such as 0.99; got {levels!r}."
        raise RiskError(msg)
    if len(np.unique(wanted)) != len(wanted):
        msg = f"each level once; got {levels!r}."
        raise RiskError(msg)
    return wanted
