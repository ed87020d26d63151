"""How rare a move is.

A move is at least as far as another if it lies beyond the plane that touches there the ellipsoid of moves as
plausible: for one factor, its tail; for the most plausible loss, all moves that lose as much.
"""

from typing import Final

import numpy as np

from bayesfactor.forecast import Predictions
from bayesfactor.laws import Moments, skewed
from bayesfactor.laws.blocks import block_rng, thinned
from bayesfactor.risk.exact import Book

__all__ = ["chance_beyond", "chance_by_paths", "chance_of_move"]

_DRAWS: Final = 400
_SAMPLES: Final = (20, 200)
_CELLS: Final = 4_000_000
_SMALL: Final = 1e-9
"""Terms this small beside the largest move nothing."""
_PATHS: Final = 200_000
_FEWEST: Final = 10
"""Paths that lose so much, for their share to mean something."""
_SEED: Final = 20
_MOST_NU: Final = 1e6
"""The normal, as a t."""


def chance_of_move(m: Moments, which: np.ndarray, move: np.ndarray) -> float:
    """Return the probability of a total move of some factors at least as far in its direction.

    Parameters
    ----------
    m : Moments
    which : ndarray (factor)
        Those whose market is closed all along do not count.
    move : ndarray (factor)
        Total over the horizon of `m`.
    """
    can = np.isin(which, m.moving)
    if not can.any():
        return float("nan")
    which, move = which[can], move[can]
    gap = move - m.factor_mean[:, :, which].sum(axis=1)
    covariance = m.factor_covariance.sum(axis=1)[:, which[:, None], which]
    towards = np.linalg.solve(covariance, gap[..., None])[..., 0]
    direction = np.zeros((m.n_draws, m.factor_mean.shape[2]))
    direction[:, which] = towards
    return chance_beyond(m, direction, np.einsum("dk,dk->d", gap, towards))


def chance_beyond(
    m: Moments, direction: np.ndarray, beyond: np.ndarray, bets: np.ndarray | None = None
) -> float:
    """Return P(direction'(f - E f) + bets'e > beyond), totals over the horizon, pooled over draws.

    A sum of independent t's: each in turn is the largest, and its tail is known (Asmussen and Kroese 2006).
    NaN where one period changes the next.

    Parameters
    ----------
    m : Moments
    direction : ndarray (draw, factor)
    beyond : ndarray (draw)
    bets : ndarray (draw, asset), optional
        Of the innovations e, where they count.
    """
    if m.chained and m.horizon > 1:
        return float("nan")
    some = thinned(m.n_draws, _DRAWS)
    m, direction, beyond = m.take(some), direction[some], beyond[some]
    size, nu, skew = m.terms(direction, None if bets is None else bets[some]).flat()
    if np.isinf(nu).all():
        size, nu, skew = np.sqrt((size**2).sum(axis=1, keepdims=True)), nu[:, :1], skew[:, :1]
    skew = np.where(size < 0.0, -skew, skew)
    size = np.abs(size)
    counts = size.max(axis=0) > _SMALL * size.max()
    size, nu, skew = (x[:, counts] for x in (np.maximum(size, 1e-300), nu, skew))
    if size.shape[1] == 1:
        return float(_survival(beyond[:, None] / size, nu, skew).mean())
    samples = int(np.clip(_CELLS // size.size, *_SAMPLES))
    shape = (len(some), samples, size.shape[1])
    finite = np.minimum(nu, _MOST_NU)[:, None]
    x = size[:, None] * skewed.draws(block_rng(_SEED), finite, skew[:, None], shape)
    ordered = np.sort(x, axis=2)
    largest = np.where(x == ordered[..., -1:], ordered[..., -2:-1], ordered[..., -1:])
    rest = x.sum(axis=2, keepdims=True) - x
    at = np.maximum(largest, beyond[:, None, None] - rest) / size[:, None]
    return float(_survival(at, nu[:, None], skew[:, None]).sum(axis=2).mean())


def chance_by_paths(found: Predictions, book: Book, loss: float) -> float:
    """Return the share of simulated futures that lose at least so much, NaN where too few do."""
    m = book.moments
    paths = max(1, -(-_PATHS // m.n_draws)) if found.law is not None else len(found.stored)
    drift, hits, count = m.horizon * (m.alpha @ book.weights), 0, 0
    for block in found.scenarios(range(paths)):
        d = block.draws
        gain = drift[d] + np.einsum("dk,dhk->d", book.exposures[d], block.factor_returns)
        gain += block.specific_returns.sum(axis=1) @ book.weights
        hits, count = hits + int((-gain >= loss).sum()), count + len(gain)
    return hits / count if hits >= _FEWEST else float("nan")


def _survival(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return P(Z > z) of the standardised skewed t: the mirror's left tail, which keeps its digits."""
    from scipy.special import ndtr

    found = skewed.cdf(-z, np.minimum(nu, _MOST_NU), -skew)
    normal = np.isinf(nu) & (skew == 0.0)
    return np.where(normal, ndtr(-z), found) if normal.any() else found
