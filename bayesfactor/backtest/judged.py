"""One day's forecast against what happened: VaR, ES, PIT, CRPS and the log score."""

from dataclasses import dataclass

import numpy as np

from bayesfactor.laws import Moments, skewed
from bayesfactor.risk.exact import Book
from bayesfactor.shortfall import tail_of

__all__ = ["Judged", "judge_draws", "log_scores"]

_NEARLY_NORMAL = 1e5
"""Degrees of freedom from which on a t is taken for the normal it is."""


@dataclass(frozen=True)
class Judged:
    """Forecasts of some portfolios on some days, and how they fared.

    Parameters
    ----------
    var, es : ndarray (..., level)
        Fractions, positive for losses.
    pit, log_score, crps : ndarray (...)
    """

    var: np.ndarray
    es: np.ndarray
    pit: np.ndarray
    log_score: np.ndarray
    crps: np.ndarray

    @classmethod
    def nothing(cls, *shape: int, levels: int) -> "Judged":
        """Return NaN everywhere, to be filled."""
        return cls(
            *(np.full((*shape, levels), np.nan) for _ in range(2)),
            *(np.full(shape, np.nan) for _ in range(3)),
        )

    def put(self, at: object, other: "Judged") -> None:
        """Fill in one place."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[at] = getattr(other, name)


def judge_draws(returns: np.ndarray, realised: float, levels: np.ndarray) -> Judged:
    """Return what equally likely returns (draw) say; the log score is left out.

    VaR and ES are those of `bayesfactor.shortfall.tail_of`. The CRPS is Gneiting and Raftery's
    (2007, eq. 20), the mean distance between two draws taken without replacement.
    """
    x = np.sort(returns)
    n = len(x)
    var, es = np.array([tail_of(-x, level) for level in levels]).T
    pit = 0.5 * (np.searchsorted(x, realised, "left") + np.searchsorted(x, realised, "right")) / n
    spread = (2.0 * np.arange(n) - (n - 1.0)) @ x / (n * max(n - 1.0, 1.0))
    crps = np.abs(x - realised).mean() - spread
    known = 1.0 if np.isfinite(realised) else np.nan
    return Judged(var, es, np.asarray(known * pit), np.asarray(np.nan), np.asarray(known * crps))


def log_scores(
    moments: Moments, weights: np.ndarray, realised: np.ndarray, rng: np.random.Generator, *, copies: int = 4
) -> np.ndarray:
    """Return the log predictive density of each portfolio's return one period ahead (portfolio).

    Given a draw a portfolio's return is a sum of independent t's. All but the one with the largest
    variance are drawn, a few times each, and that one's density is averaged: exact up to the noise of that
    mean, and smooth (Gelfand and Smith 1990, eq. 2.7).

    Parameters
    ----------
    moments : Moments
        Of one period.
    weights : ndarray (portfolio, asset)
        Canonical order.
    realised : ndarray (portfolio)
    rng : Generator
    copies : int
        How often the other terms are drawn for each posterior draw.
    """
    books = [Book(moments, w) for w in weights]
    found = [moments.terms(b.exposures, b.bets, periods=1) for b in books]
    mean, sd = np.stack([-b.mean_loss for b in books]), np.stack([t.sd[:, 0] for t in found])
    nu, skew = found[0].nu[:, 0], found[0].skew[:, 0]
    n, n_terms = nu.shape
    shape = (copies, n, n_terms)
    tail = np.where(np.isinf(nu), _NEARLY_NORMAL, nu)
    z = skewed.draws(rng, tail, skew, shape)
    out = np.full(len(weights), np.nan)
    for p in np.flatnonzero(np.isfinite(realised) & np.any(weights != 0.0, axis=1)):
        largest = np.argmax(np.abs(sd[p]), axis=1)[:, None]
        own = np.take_along_axis(sd[p], largest, axis=1)[:, 0]
        total = np.einsum("cdt,dt->cd", z, sd[p])
        rest = mean[p] + total - np.take_along_axis(z, largest[None], axis=2)[:, :, 0] * own
        of_it = (np.take_along_axis(v, largest, axis=1)[:, 0] for v in (tail, skew))
        log_density = skewed.log_densities((realised[p] - rest) / own, *of_it) - np.log(np.abs(own))
        out[p] = np.logaddexp.reduce(log_density, axis=None) - np.log(log_density.size)
    return out
