"""The joint law of the assets' returns over a horizon: what an optimiser is given.

Arrays are in canonical asset order. `parts[c]` holds, for two assets i and j, the covariance of what i
earns through component c with all that j earns: w' parts[c] w is what component c gives to the variance
of portfolio w, and the parts add up to the covariance.
"""

from dataclasses import dataclass

import numpy as np

from bayesfactor.errors import NumericalError, RiskError
from bayesfactor.forecast import Predictions
from bayesfactor.laws import Moments, Scenarios
from bayesfactor.laws.blocks import block_rng

__all__ = ["AssetLaw", "asset_law", "pooled_returns", "returns_of_draw"]

_OF_DRAWS = 2**29
"""Keeps the paths of single draws apart from the pooled ones."""


@dataclass(frozen=True)
class AssetLaw:
    """Mean, covariance and where the covariance comes from, over the whole horizon.

    Parameters
    ----------
    mean : ndarray (asset)
    covariance : ndarray (asset, asset)
    parts : ndarray (component, asset, asset)
        Factors, then specific, then drift.
    """

    mean: np.ndarray
    covariance: np.ndarray
    parts: np.ndarray

    def take(self, assets: np.ndarray) -> "AssetLaw":
        """Return the same law for some of the assets."""
        at = np.ix_(assets, assets)
        parts = np.stack([p[at] for p in self.parts])
        return AssetLaw(self.mean[assets], self.covariance[at], parts)


def asset_law(moments: Moments) -> AssetLaw:
    """Return the predictive law: moments given each draw, pooled by the law of total variance.

    Raises
    ------
    NumericalError
        If a variance is infinite (nu <= 2).
    """
    m, n = moments, moments.n_draws
    if not (np.isfinite(m.specific_variance).all() and np.isfinite(m.factor_covariance).all()):
        msg = (
            "a variance is infinite: some draws have nu <= 2. "
            "Use a prior that keeps nu above 2 (transform above_two)."
        )
        raise NumericalError(msg)
    factor_mean, drift = m.factor_mean.sum(axis=1), m.horizon * m.alpha
    through = m.loadings * factor_mean[:, None, :]
    means = through.sum(axis=2) + drift
    centred = means - means.mean(axis=0)
    none = np.zeros_like(centred)
    parts = []
    for k in range(m.loadings.shape[2]):
        within = m.loadings[:, :, k].T @ np.einsum("djl,dl->dj", m.loadings, _row(m, k)) / n
        parts.append(within + _between(through[:, :, k], centred))
    parts += [_specific(m) + _between(none, centred), _between(drift, centred)]
    stacked = np.stack(parts)
    covariance = stacked.sum(axis=0)
    covariance = 0.5 * (covariance + covariance.T)
    return AssetLaw(means.mean(axis=0), covariance, stacked)


def _row(m: Moments, k: int) -> np.ndarray:
    """Return cov(f_k, f_l) added up over the periods (draw, factor)."""
    return m.factor_covariance[:, :, k].sum(axis=1)


def _between(part: np.ndarray, centred: np.ndarray) -> np.ndarray:
    """Return cov over draws of a component's mean (draw, asset) and all assets' means."""
    return (part - part.mean(axis=0)).T @ centred / len(part)


def _specific(m: Moments) -> np.ndarray:
    """Return the mean over draws of N D N', N = I - G W, D the innovations' variances (asset, asset)."""
    variance = m.specific_variance.sum(axis=1)
    out = np.diag(variance.mean(axis=0))
    if len(m.own_weights):
        tilted = m.own_weights * variance[:, None, :]
        inner = tilted @ m.own_weights.T
        once = np.einsum("dif,dfj->ij", m.own_response, tilted) / m.n_draws
        twice = np.einsum("dif,dfg,djg->ij", m.own_response, inner, m.own_response, optimize=True)
        out = out - once - once.T + twice / m.n_draws
    return out


def pooled_returns(found: Predictions, count: int) -> np.ndarray:
    """Return `count` predictive returns (scenario, asset), evenly spaced over draws and paths.

    Factors and specific returns both are in them. Of stored predictions there are no more than they hold.
    """
    n = found.moments.n_draws
    paths = -(-count // n)
    if found.law is None:
        paths = min(paths, len(found.stored))
    blocks = [_returns(found.moments, block) for block in found.scenarios(range(paths))]
    every = np.concatenate(blocks)
    if len(every) <= count:
        return every
    return every[np.round(np.linspace(0, len(every) - 1, count)).astype(int)]


def returns_of_draw(found: Predictions, draw: int, count: int) -> np.ndarray:
    """Return returns given one posterior draw (scenario, asset).

    Raises
    ------
    RiskError
        If predictions are stored, with fewer paths than asked for.
    """
    if found.law is not None:
        rng = block_rng(found.entropy, draw, _OF_DRAWS)
        return _returns(found.moments, found.law.simulate(rng, found.moments.horizon, np.full(count, draw)))
    if len(found.stored) < count:
        msg = (
            f"weights for one draw need {count} paths of it; the predictions on the tree hold "
            f"{len(found.stored)}. Use the tree without its group 'predictions', or weight_draws=0."
        )
        raise RiskError(msg)
    rows = []
    for stored in found.stored[:count]:
        one = slice(draw, draw + 1)
        rows.append(
            _returns(found.moments, Scenarios(one, stored.factor_returns[one], stored.specific_returns[one]))
        )
    return np.concatenate(rows)


def _returns(m: Moments, block: Scenarios) -> np.ndarray:
    """Return what each asset earns over the horizon (scenario, asset)."""
    d = block.draws
    total = m.horizon * m.alpha[d] + block.specific_returns.sum(axis=1)
    return total + np.einsum("dik,dk->di", m.loadings[d], block.factor_returns.sum(axis=1))
