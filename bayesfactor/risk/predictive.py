"""VaR and ES of the pooled predictive loss, from simulated paths in two passes.

The first pass keeps one loss per scenario; the second draws the same scenarios again, block by
block from their seeds, and adds up who lost what in the tail. Memory never holds the paths.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from bayesfactor.forecast import Predictions
from bayesfactor.laws import Scenarios
from bayesfactor.risk.exact import Book

__all__ = ["PredictiveTails", "predictive_tails"]

_TARGET = 0.01
_MOST_SCENARIOS = 4_000_000


@dataclass(frozen=True)
class PredictiveTails:
    """VaR, ES and contributions of the pooled predictive loss.

    Parameters
    ----------
    var, es, var_mcse, es_mcse : ndarray (level)
    var_contribution, es_contribution : ndarray (level, asset, component)
    scenarios : int
    floored_share : float
        Share of simulated asset returns that were floored at -1.
    """

    var: np.ndarray
    es: np.ndarray
    var_mcse: np.ndarray
    es_mcse: np.ndarray
    var_contribution: np.ndarray
    es_contribution: np.ndarray
    scenarios: int
    floored_share: float


def predictive_tails(
    found: Predictions, book: Book, levels: np.ndarray, *, paths: int | None = None
) -> PredictiveTails:
    """Return the predictive tails; `paths=None` adds paths until ES is known within 1 %."""
    n = book.moments.n_draws
    if found.law is None:
        paths = len(found.stored)
    count = paths if paths is not None else max(1, math.ceil(200_000 / n))
    losses, floored = _losses(found, book, range(count))
    while True:
        tails = [_Tail.of(losses.ravel(), level) for level in levels]
        errors = np.array([t.mcse(losses, found) for t in tails])
        es = np.array([t.es for t in tails])
        worst = float(np.max(errors[:, 1] / np.maximum(np.abs(es), 1e-300)))
        more = math.ceil(count * (1.1 * worst / _TARGET) ** 2)
        most = max(1, _MOST_SCENARIOS // n)
        if paths is not None or worst <= _TARGET or count >= most:
            break
        new = min(max(more, 2 * count), most)
        extra, extra_floored = _losses(found, book, range(count, new))
        losses, floored, count = np.concatenate([losses, extra]), floored + extra_floored, new
    var_parts, es_parts = _contributions(found, book, losses, tails)
    return PredictiveTails(
        var=np.array([t.var for t in tails]),
        es=es,
        var_mcse=errors[:, 0],
        es_mcse=errors[:, 1],
        var_contribution=var_parts,
        es_contribution=es_parts,
        scenarios=losses.size,
        floored_share=floored / (losses.size * book.moments.horizon * book.moments.alpha.shape[1]),
    )


@dataclass(frozen=True)
class _Tail:
    """One level's order statistics: the k largest losses, and the window around the k-th."""

    level: float
    var: float
    es: float
    window_low: float
    window_high: float
    window_mean: float
    window_share: float

    @classmethod
    def of(cls, losses: np.ndarray, level: float) -> "_Tail":
        n = len(losses)
        k = max(1, math.ceil(round(n * (1.0 - level), 6)))
        half = math.ceil(round(0.1 * n * (1.0 - level), 6))
        at = n - k
        low, high = max(0, at - half), min(n - 1, at + half)
        part = np.partition(losses, [low, at, high])
        window = part[low : high + 1]
        return cls(
            level=level,
            var=float(part[at]),
            es=float(part[at:].mean()),
            window_low=float(part[low]),
            window_high=float(part[high]),
            window_mean=float(window.mean()),
            window_share=len(window) / n,
        )

    def mcse(self, losses: np.ndarray, found: Predictions) -> tuple[float, float]:
        """Return Monte-Carlo errors of VaR and ES: influence functions, averaged within draws.

        Averaging over paths first leaves one number per posterior draw, whose own Monte-Carlo
        error accounts for autocorrelated draws (Vehtari et al. 2021) and for the paths.
        """
        beyond = losses > self.var
        shortfall = np.where(beyond, losses - self.var, 0.0).mean(axis=0) / (1.0 - self.level)
        width = self.window_high - self.window_low
        density = self.window_share / width if width > 0.0 else math.inf
        hits = beyond.mean(axis=0) / density
        shape = (len(found.labels.chains), len(found.labels.draws))
        return _mcse(hits.reshape(shape)), _mcse(shortfall.reshape(shape))


def _mcse(values: np.ndarray) -> float:
    """Return the Monte-Carlo standard error of the mean of (chain, draw)."""
    if np.ptp(values) == 0.0:
        return 0.0
    if values.shape[1] < 4:
        return float(values.std() / math.sqrt(values.size))
    from arviz_stats.base.array import array_stats

    return float(array_stats.mcse(values, method="mean"))


def _losses(found: Predictions, book: Book, paths: range) -> tuple[np.ndarray, int]:
    """Return losses (path, draw) and how many simulated asset returns were floored."""
    m, w = book.moments, book.weights
    out = np.empty((len(paths), m.n_draws))
    drift = m.horizon * (m.alpha @ w)
    position, floored = 0, 0
    for block in found.scenarios(paths):
        d = block.draws
        total = drift[d] + np.einsum("dk,dhk->d", book.exposures[d], block.factor_returns)
        total += block.specific_returns.sum(axis=1) @ w
        if book.compounds:
            total += _beyond_the_sum(book, block) @ w
        out[position // m.n_draws, d] = -total
        position += len(total)
        floored += block.floored
    return out, floored


def _beyond_the_sum(book: Book, block: Scenarios) -> np.ndarray:
    """Return by how much periods that multiply exceed periods that add up (scenario, asset)."""
    d, m = block.draws, book.moments
    returns = block.specific_returns + m.alpha[d][:, None, :]
    returns += np.einsum("dik,dhk->dhi", m.loadings[d], block.factor_returns)
    return (1.0 + returns).prod(axis=1) - 1.0 - returns.sum(axis=1)


def _contributions(
    found: Predictions, book: Book, losses: np.ndarray, tails: list[_Tail]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the scenarios again and average x over each tail and each window."""
    m = book.moments
    n_levels, n_factors = len(tails), m.loadings.shape[2]
    factor = np.zeros((2 * n_levels, len(book.weights), n_factors))
    specific = np.zeros((2 * n_levels, len(book.weights)))
    drift, beyond = np.zeros_like(specific), np.zeros_like(specific)
    counts = np.zeros(2 * n_levels)
    bounds = [(t.var, math.inf) for t in tails] + [(t.window_low, t.window_high) for t in tails]
    low, high = np.array(bounds).T
    position = 0
    for block in found.scenarios(range(losses.shape[0])):
        d = block.draws
        loss = np.ascontiguousarray(losses[position // m.n_draws, d])
        position += len(loss)
        f, e = block.factor_returns.sum(axis=1), block.specific_returns.sum(axis=1)
        c = _beyond_the_sum(book, block) if book.compounds else e[:, :0]
        _add_up(loss, low, high, m.loadings[d], m.alpha[d], f, e, c, factor, specific, drift, beyond, counts)
    tables = [factor, specific[..., None], m.horizon * drift[..., None]]
    parts = np.concatenate([*tables, beyond[..., None]] if book.compounds else tables, axis=2)
    parts *= -book.weights[:, None] / counts[:, None, None]
    # The scenarios' own sums decide; rounding in their order is taken out exactly.
    es, var = parts[:n_levels], parts[n_levels:]
    for i, t in enumerate(tails):
        var[i] *= t.var / var[i].sum() if var[i].sum() != 0.0 else 1.0
        es[i] *= t.es / es[i].sum() if es[i].sum() != 0.0 else 1.0
    return var, es


@njit(cache=True, nogil=True)
def _add_up(loss, low, high, loadings, alpha, f, e, c, factor, specific, drift, beyond, counts):
    n_assets, n_factors = factor.shape[1], factor.shape[2]
    for d in range(loss.shape[0]):
        for j in range(low.shape[0]):
            if not low[j] <= loss[d] <= high[j]:
                continue
            counts[j] += 1.0
            for i in range(n_assets):
                specific[j, i] += e[d, i]
                drift[j, i] += alpha[d, i]
                if c.shape[1] > 0:
                    beyond[j, i] += c[d, i]
                for k in range(n_factors):
                    factor[j, i, k] += loadings[d, i, k] * f[d, k]
