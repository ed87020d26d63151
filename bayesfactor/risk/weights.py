"""Portfolio weights, whatever they came in, become one number per asset."""

from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor.errors import WeightsError, unknown_names
from bayesfactor.tables import Door, by_name, warn_of_gross

__all__ = ["DELTAS", "EQUAL", "WEIGHTS", "WEIGHT_NAMES", "weights_for"]

EQUAL: Final = "equal"
"""The same weight of every asset, summing to one."""
DELTAS: Final = "weights with the deltas of positions (quantity in coins times price, over value)"
WEIGHTS: Final = Door("weights", WeightsError)
WEIGHT_NAMES: Final = ("weight", "weights", "w", "allocation", "targetweight", "share")
"""What a column of weights may be called, in small letters and digits."""


def weights_for(
    weights: Any, assets: np.ndarray, *, allow_zero: bool = False, fill_zero: bool = False
) -> np.ndarray:
    """Return weights in the order of `assets`.

    Parameters
    ----------
    weights : mapping, Series, DataArray (asset), table of asset and weight, its path, or "equal"
        Fractions of the portfolio's value; shorts are negative, leverage is allowed.
    assets : ndarray of str
    allow_zero : bool
        All may be zero.
    fill_zero : bool
        Assets that are not named have weight 0.

    Raises
    ------
    WeightsError
        If an asset is unknown, missing or named twice, or a weight is not a finite number, or
        all are zero where that is not allowed.

    Warns
    -----
    UserWarning
        If the gross is above 10, as that of money or per cent is.
    """
    if isinstance(weights, str) and weights == EQUAL:
        return np.full(len(assets), 1.0 / len(assets))
    series = _as_series(weights)
    names = [str(n) for n in series.index]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"each asset has one weight; {', '.join(twice)} named more than once. Add them up first."
        raise WeightsError(msg)
    known = [str(a) for a in assets]
    unknown = [n for n in names if n not in set(known)]
    if unknown:
        names_got = unknown_names(unknown, known)
        msg = f"weights name assets the model does not know: {names_got}. Drop or rename them."
        raise WeightsError(msg)
    missing = [a for a in known if a not in set(names)]
    if missing and not fill_zero:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        msg = (
            f"every asset of the model needs a weight; none for {shown}. Give 0 to what is not held, or "
            "fill_zero=True."
        )
        raise WeightsError(msg)
    values = series.to_numpy()
    bad = [n for n, v in zip(names, values, strict=True) if not np.isfinite(v)]
    if bad:
        msg = (
            f"weights are finite; got NaN or infinity for {', '.join(bad[:10])}. Give 0 to what is not held."
        )
        raise WeightsError(msg)
    if not values.any() and not allow_zero:
        msg = "every weight is zero: there is no position to measure. Give at least one weight."
        raise WeightsError(msg)
    warn_of_gross(values, "weights")
    found = dict(zip(names, values, strict=True))
    return np.array([found.get(a, 0.0) for a in known])


def _as_series(weights: Any) -> pd.Series:
    found = by_name(weights, WEIGHTS, WEIGHT_NAMES)
    if found is None:
        got = type(weights).__name__
        msg = (
            "weights are a mapping asset -> weight, a Series, a DataArray over asset, a table "
            f"of asset and weight, its path, or {EQUAL!r}; got {got}."
        )
        raise WeightsError(msg)
    return found
