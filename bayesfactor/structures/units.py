"""Units inside a graph: returns share one scale and each factor has its own.

Priors on cards are in these units, so that a card means the same for hourly and weekly data,
and pooling acts on loadings in their original unit up to one constant per factor.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.panel import open_factors

__all__ = ["Units", "to_original", "units_of"]


@dataclass(frozen=True)
class Units:
    """What returns and factors are divided by.

    Parameters
    ----------
    returns : float
        Median over assets of the root mean square return.
    factors : ndarray (factor)
        Root mean square of each factor on the days on which it could move.
    """

    returns: float
    factors: np.ndarray


def units_of(panel: xr.Dataset) -> Units:
    """Return the panel's own units, or those it carries as `returns_unit` and `factor_unit`."""
    if s.RETURNS_UNIT in panel and s.FACTOR_UNIT in panel:
        return Units(float(panel[s.RETURNS_UNIT]), np.asarray(panel[s.FACTOR_UNIT].values, dtype="float64"))
    returns = panel[s.RETURNS].transpose(s.TIME, s.ASSET).values
    seen = np.isfinite(returns)
    count = seen.sum(axis=0)
    square = np.where(seen, returns, 0.0) ** 2
    size = np.sqrt(square.sum(axis=0)[count > 0] / count[count > 0])
    factors = panel[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values
    opened = open_factors(panel).T
    squares = (np.where(opened, factors, 0.0) ** 2).mean(axis=0) / np.maximum(opened.mean(axis=0), 1e-12)
    # A factor whose market is closed all along has no size of its own.
    return Units(float(np.median(size)), np.sqrt(np.where(squares > 0.0, squares, 1.0)))


def to_original(posterior: xr.Dataset, units: Units) -> xr.Dataset:
    """Return draws in original units; attrs of each variable name its unit.

    Hyperparameters follow the variable they belong to: `_mean` and `_sd` scale with it,
    `_log_mean` shifts by the log of its unit. What has no unit, or none that a rule can name
    (such as the shape of a Gamma), is left as it is.
    """
    factor = xr.DataArray(units.factors, dims=s.FACTOR)
    other = xr.DataArray(units.factors, dims=s.FACTOR_OTHER)
    scales: dict[str, tuple[Any, str]] = {
        s.ALPHA: (units.returns, "fraction per period"),
        s.LOADINGS: (units.returns / factor, "return per unit of factor"),
        s.LATENT_LOADINGS: (units.returns, "return per unit of latent factor"),
        s.SIGMA: (units.returns, "fraction per period"),
        s.FACTOR_LOCATION: (factor, "factor unit per period"),
        s.FACTOR_SCALE: (factor, "factor unit per period"),
        s.FACTOR_RESPONSE: (factor / other, "factor unit per factor unit"),
    }
    out = {}
    for name, values in posterior.data_vars.items():
        stem, kind = _stem_and_kind(str(name))
        if stem in scales and kind in ("value", "mean", "sd"):
            scale, unit = scales[stem]
            values = (values * scale).transpose(*values.dims).assign_attrs(units=unit)
        elif stem in scales and kind == "log_mean":
            values = (values + np.log(scales[stem][0])).transpose(*values.dims).assign_attrs(units="log unit")
        elif stem in scales and kind != "log_sd":
            values = values.assign_attrs(units="model unit")
        else:
            values = values.assign_attrs(units="1")
        out[name] = values
    return posterior.assign(out)


def _stem_and_kind(name: str) -> tuple[str, str]:
    stem = name.removeprefix("group_")
    for kind in ("logit_mean", "logit_sd", "log_mean", "log_sd", "mean", "sd"):
        if stem.endswith(f"_{kind}"):
            return stem.removesuffix(f"_{kind}"), kind
    for known in (s.ALPHA, s.LOADINGS, s.LATENT_LOADINGS, s.SIGMA, s.FACTOR_LOCATION, s.FACTOR_SCALE):
        if stem.startswith(f"{known}_"):
            return known, "other"
    return stem, "value"
