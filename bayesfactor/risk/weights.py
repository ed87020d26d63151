"""Portfolio weights, whatever they came in, become one number per asset."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import WeightsError, unknown_names

__all__ = ["weights_for"]


def weights_for(weights: Any, assets: np.ndarray, *, allow_zero: bool = False) -> np.ndarray:
    """Return weights in the order of `assets`.

    Parameters
    ----------
    weights : mapping, Series or DataArray (asset)
        Fractions of the portfolio's value; shorts are negative, leverage is allowed.
    assets : ndarray of str
    allow_zero : bool
        All may be zero.

    Raises
    ------
    WeightsError
        If an asset is unknown, missing or named twice, or a weight is not a finite number, or
        all are zero where that is not allowed.
    """
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
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        msg = f"every asset of the model needs a weight; none for {shown}. Give 0 to what is not held."
        raise WeightsError(msg)
    try:
        values = series.astype("float64").to_numpy()
    except (TypeError, ValueError) as error:
        msg = f"weights are numbers; {error}."
        raise WeightsError(msg) from error
    bad = [n for n, v in zip(names, values, strict=True) if not np.isfinite(v)]
    if bad:
        msg = (
            f"weights are finite; got NaN or infinity for {', '.join(bad[:10])}. Give 0 to what is not held."
        )
        raise WeightsError(msg)
    if not values.any() and not allow_zero:
        msg = "every weight is zero: there is no position to measure. Give at least one weight."
        raise WeightsError(msg)
    by_name = dict(zip(names, values, strict=True))
    return np.array([by_name[a] for a in known])


def _as_series(weights: Any) -> pd.Series:
    if isinstance(weights, pd.Series):
        return weights
    if isinstance(weights, Mapping):
        return pd.Series(dict(weights), dtype=object)
    if isinstance(weights, xr.DataArray):
        if weights.dims != (s.ASSET,) or s.ASSET not in weights.coords:
            msg = f"a DataArray of weights has the one dim 'asset', labelled; got dims {weights.dims}."
            raise WeightsError(msg)
        return pd.Series(weights.values, index=weights[s.ASSET].values)
    got = type(weights).__name__
    msg = f"weights are a mapping asset -> weight, a Series or a DataArray over asset; got {got}."
    raise WeightsError(msg)
