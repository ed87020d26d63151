"""One model, one refit: sample the window, then go through its days."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.judged import Judged, judge_draws, log_scores
from bayesfactor.fit import refit
from bayesfactor.forecast import Predictions, labels_of
from bayesfactor.laws import law_of, means_of
from bayesfactor.laws.blocks import block_rng
from bayesfactor.laws.rows import opened_rows
from bayesfactor.model import FactorModel
from bayesfactor.sampling import Geometry, SampleOptions

__all__ = ["Health", "forecast_days", "health_of", "model_block"]


_LOG_SCORE: Final = 2**30
"""Keeps the draws of log scores apart from those of paths."""


@dataclass(frozen=True)
class Health:
    """Whether one refit converged: largest R-hat, least bulk ESS, divergences."""

    rhat: float
    ess: float
    divergences: float


def model_block(
    model: FactorModel,
    panel: xr.Dataset,
    split: int,
    weights: np.ndarray,
    realised: np.ndarray,
    levels: np.ndarray,
    options: SampleOptions,
    entropy: int,
    samples: int,
    geometry: dict[str, Geometry],
    drift: str,
) -> tuple[Judged, Health]:
    """Return a model's forecasts of the days of one block.

    Parameters
    ----------
    model : FactorModel
    panel : Dataset
        The window and the days of the block but the last; the fit sees the first `split` days.
    split : int
    weights : ndarray (day, portfolio, asset)
        In the order of the panel.
    realised : ndarray (day, portfolio)
    levels : ndarray (level)
    options : SampleOptions
    entropy : int
        Of this block.
    samples : int
        Simulated returns a day, at least.
    geometry : dict
        What an earlier refit found out; filled if empty.
    drift : str
        Expected returns, those of the fit until the next.
    """
    tree = refit(model, panel.isel({s.TIME: slice(0, split)}), options, entropy, geometry)
    order = s.canonical_order(panel[s.ASSET])
    seen = model.sees(panel)
    rows = seen[s.RETURNS].transpose(s.ASSET, s.TIME).values[order]
    factors = seen[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values
    opened = opened_rows(seen, tree[s.CONSTANT_DATA].to_dataset())
    own = None
    if s.FACTOR_WEIGHTS in seen:
        own = seen[s.FACTOR_WEIGHTS].transpose(s.TIME, s.FACTOR, s.ASSET).values[:, :, order]
    law, labels = law_of(tree), labels_of(tree)
    means = means_of(law, tree, drift)
    none = np.zeros((0, len(order)))
    out = Judged.nothing(*realised.shape, levels=len(levels))
    for day in range(len(weights)):
        if day:
            at = slice(split + day - 1, split + day)
            last = none if own is None else np.ascontiguousarray(own[at.start])
            row, factor = (np.ascontiguousarray(x[:, at], dtype="float64") for x in (rows, factors))
            law = law.advance(row, factor, last, np.ascontiguousarray(opened[:, at]))
        # Days are filtered by the law as it was fitted; what is expected next is another matter.
        ahead = law.with_means(means.alpha, means.factors)
        found = Predictions(ahead.moments(1), labels, entropy, ahead, drift=drift)
        out.put(day, forecast_days(found, weights[day][:, order], realised[day], levels, samples, day))
    return out, health_of(tree)


def forecast_days(
    found: Predictions, weights: np.ndarray, realised: np.ndarray, levels: np.ndarray, samples: int, day: int
) -> Judged:
    """Return one day's forecasts of every portfolio (portfolio)."""
    m = found.moments
    paths = max(1, -(-samples // m.n_draws))
    returns = np.empty((paths * m.n_draws, len(weights)))
    exposures = np.einsum("pi,dik->dkp", weights, m.loadings)
    drift = m.alpha @ weights.T
    # Every day has paths of its own: the first of day 2 follow the last of day 1.
    at = 0
    for block in found.scenarios(range(day * paths, (day + 1) * paths)):
        d = block.draws
        part = drift[d] + block.specific_returns[:, 0] @ weights.T
        part += np.einsum("dk,dkp->dp", block.factor_returns[:, 0], exposures[d])
        returns[at : at + len(part)] = part
        at += len(part)
    held = np.any(weights != 0.0, axis=1)
    out = Judged.nothing(len(weights), levels=len(levels))
    for p in np.flatnonzero(held):
        out.put(p, judge_draws(returns[:, p], float(realised[p]), levels))
    out.log_score[:] = log_scores(m, weights, realised, block_rng(found.entropy, day, _LOG_SCORE))
    return out


def health_of(tree: xr.DataTree) -> Health:
    """Return the worst R-hat and ESS over parameters, and the divergences."""
    from arviz_stats.base.array import array_stats

    posterior = tree[s.POSTERIOR].to_dataset()
    shape = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    columns = [
        v.transpose(s.CHAIN, s.DRAW, ...).values.reshape(*shape, -1) for v in posterior.data_vars.values()
    ]
    values = np.concatenate(columns, axis=2)
    values = values[:, :, np.ptp(values, axis=(0, 1)) > 0.0].transpose(2, 0, 1)
    rhat = ess = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):  # a chain that never moved
        if shape[1] >= 4 and len(values):
            ess = float(np.min(array_stats.ess(values, chain_axis=1, draw_axis=2)))
        if shape[1] >= 4 and shape[0] > 1 and len(values):
            rhat = float(np.max(array_stats.rhat(values, chain_axis=1, draw_axis=2)))
    stats = tree[s.SAMPLE_STATS].to_dataset()
    divergences = sum(int(v.sum()) for n, v in stats.data_vars.items() if str(n).endswith("diverging"))
    return Health(rhat, ess, float(divergences))
