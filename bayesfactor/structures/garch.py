"""Structure `garch`: observed factors, constant loadings, variances that follow from the days before.

r_it = alpha_i + sum_k beta_ik f_kt + e_it with e_it = sqrt(h_it) z_it, z a standardised (skewed) t; each
factor is a series of the same kind given those before it in the panel, so that the factors' correlation moves
with their variances (a Cholesky GARCH: Dellaportas and Pourahmadi 2012).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.likelihoods import GarchSkewT
from bayesfactor.panel import open_factors
from bayesfactor.structures.arrays import arrays_of
from bayesfactor.structures.priors import PriorSet
from bayesfactor.structures.units import units_of

__all__ = ["build", "build_factor_law", "constants"]

_BACKCAST: Final = 0.94 ** np.arange(75)
"""Weights of the first squared residuals in the variance to start from, as RiskMetrics and arch have it."""
_WINDOW_WEIGHT: Final = 10.0
"""Weight of the whole window's mean square in that variance: a few days of fat tails mislead."""
_PRIOR_DAYS: Final = 20
"""Days of the average asset that each asset's own least squares are shrunk by."""


def build(panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> pm.Model:
    """Return the graph of returns given factors and the days before, data in model units and asset-major."""
    if panel.sizes[s.FACTOR] == 0:
        msg = (
            "structure 'garch' explains returns by observed factors; the panel has none. "
            "Give factors= to the panel, or form the market with bf.panel_from_prices(prices)."
        )
        raise ModelError(msg)
    found, units = arrays_of(panel, specs), units_of(panel)
    start = constants(panel, options)
    with pm.Model(coords=found.coords) as model:
        data = pm.Data("returns_data", found.returns, dims=(s.ASSET, s.TIME))
        mask = pm.Data("returns_seen", found.seen, dims=(s.ASSET, s.TIME))
        design = pm.Data("factor_data", found.factors, dims=(s.FACTOR, s.TIME))
        initial = pm.Data("initial", start[s.INITIAL_VARIANCE][1] / units.returns**2, dims=(s.ASSET,))
        scored = pm.Data("scored", start[s.SCORED][1], dims=(s.ASSET,))
        alpha = found.priors.create(s.ALPHA, (s.ASSET,))
        loadings = found.priors.create(s.LOADINGS, (s.ASSET, s.FACTOR))
        own = _series(found.priors, "", s.ASSET, s.SIGMA)
        where = {"observed": data, "dims": (s.ASSET, s.TIME)}
        GarchSkewT(s.RETURNS, alpha, loadings, own, design, initial, scored, mask, **where)
    return model


def build_factor_law(
    panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]
) -> pm.Model:
    """Return the graph of the factors: each a GARCH series given those before it."""
    units, names = units_of(panel), panel[s.FACTOR].values.tolist()
    factors = np.ascontiguousarray(panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values)
    factors = factors / units.factors[:, None]
    start = constants(panel, options)
    priors = PriorSet(specs, np.zeros(0, dtype=int))
    with pm.Model(coords={s.FACTOR: names, s.TIME: panel[s.TIME].values}) as model:
        data = pm.Data("factor_data", factors, dims=(s.FACTOR, s.TIME))
        seen = pm.Data("factor_seen", open_factors(panel).astype("float64"), dims=(s.FACTOR, s.TIME))
        initial = pm.Data("initial", start[s.INITIAL_FACTOR_VARIANCE][1] / units.factors**2, dims=(s.FACTOR,))
        scored = pm.Data("scored", start[s.FACTOR_SCORED][1], dims=(s.FACTOR,))
        location = priors.create(s.FACTOR_LOCATION, (s.FACTOR,))
        response = _response(priors, len(names))
        own = _series(priors, "factor_", s.FACTOR, s.FACTOR_SCALE)
        where = {"observed": data, "dims": (s.FACTOR, s.TIME)}
        GarchSkewT(s.FACTOR_RETURNS, location, response, own, data, initial, scored, seen, **where)
    return model


def _series(priors: PriorSet, prefix: str, dim: str, level: str) -> tuple[Any, ...]:
    """Return sigma, persistence, news share, leverage, nu and skew (dim); 0 for slots a card leaves out."""
    size = pm.modelcontext(None).dim_lengths[dim]
    slots = (level, *(f"{prefix}{x}" for x in (s.PERSISTENCE, s.NEWS_SHARE, s.LEVERAGE, s.NU, s.SKEW)))
    return tuple(priors.create(x, (dim,)) if x in priors else pt.zeros(size) for x in slots)


def _response(priors: PriorSet, n: int) -> Any:
    """Return the response of each factor to those before it (factor, factor), strictly lower triangular."""
    if n == 1:
        return pt.constant(np.zeros((1, 1)))
    row, column = np.tril_indices(n, -1)
    place, below = np.zeros((n, n), dtype=int), np.zeros((n, n))
    place[row, column], below[row, column] = np.arange(len(row)), 1.0
    pm.modelcontext(None).add_coord("pair", range(len(row)))
    return priors.create(s.FACTOR_RESPONSE, ("pair",))[place] * below


def constants(panel: xr.Dataset, options: Mapping[str, Any]) -> dict[str, tuple[str, np.ndarray]]:
    """Return the variances to start from, in original units, and which series have scored news."""
    # In canonical order, so that permuting assets changes no sum.
    order = s.canonical_order(panel[s.ASSET])
    returns = panel[s.RETURNS].transpose(s.ASSET, s.TIME).values[order]
    factors = panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values
    start = np.empty(len(returns))
    start[order] = _start(returns, factors)
    moves = np.where(open_factors(panel), factors, np.nan)
    first = [_start(moves[k : k + 1], factors[:k])[0] for k in range(len(factors))]
    return {
        s.INITIAL_VARIANCE: (s.ASSET, start),
        s.INITIAL_FACTOR_VARIANCE: (s.FACTOR, np.array(first)),
        s.SCORED: (s.ASSET, np.full(len(returns), float(options["score_assets"] > 0))),
        s.FACTOR_SCORED: (s.FACTOR, np.full(len(factors), float(options["score_factors"] > 0))),
    }


def _start(returns: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return a mean of squared residuals of each row, most weight on the first, shrunk to their median."""
    seen = np.isfinite(returns)
    filled = np.where(seen, returns, 0.0)
    products = np.einsum("kt,lt,it->ikl", factors, factors, seen.astype(float))
    cross = filled @ factors.T
    if len(factors):
        square, pooled = factors @ factors.T / factors.shape[1], products.sum(axis=0)
        everyone = np.linalg.lstsq(pooled, cross.sum(axis=0))[0]
        shrunk = products + _PRIOR_DAYS * square
        slopes = np.linalg.solve(shrunk, (cross + _PRIOR_DAYS * square @ everyone)[..., None])[..., 0]
        filled = np.where(seen, filled - slopes @ factors, 0.0)
    rank = np.cumsum(seen, axis=1) - 1
    weight = np.where(seen & (rank < len(_BACKCAST)), _BACKCAST[np.clip(rank, 0, len(_BACKCAST) - 1)], 0.0)
    weight = weight + _WINDOW_WEIGHT * seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)
    total = weight.sum(axis=1)
    mean = (weight * filled**2).sum(axis=1) / np.maximum(total, 1e-12)
    typical = float(np.median(mean[total > 0.0])) if (total > 0.0).any() else 1e-4
    return (total * mean + typical) / (total + 1.0)
