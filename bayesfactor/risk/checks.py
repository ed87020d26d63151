"""What every risk verb asks before it begins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError
from bayesfactor.limits import check_count, check_levels, check_number

__all__ = ["check_paths", "checked_levels", "checked_value"]


def check_paths(paths: int | None) -> None:
    """Raise `RiskError` unless `paths` is None or a number of futures per draw."""
    if paths is not None:
        check_count("paths", paths, error=RiskError, remedy="None takes as many as it needs.")


def checked_value(value: Any) -> float:
    """Return the worth of a portfolio.

    Raises
    ------
    RiskError
        If it is no positive number.
    """
    return check_number("value, the worth of the portfolio,", value, above=0.0, error=RiskError)


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
    return check_levels(levels, error=RiskError)
