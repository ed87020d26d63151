"""How rare a factor move is, and which one is the least rare that loses so much.

A move is at least as far as another if it lies beyond the plane that touches there the ellipsoid of moves as
plausible: for one factor, its tail; for the most plausible loss, all moves that lose as much.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from bayesfactor.laws import Moments, skewed
from bayesfactor.laws.blocks import block_rng, thinned

__all__ = ["chance_beyond", "chance_of_move", "log_densities", "most_plausible"]

_DRAWS: Final = 400
_SAMPLES: Final = 200
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


def chance_beyond(m: Moments, direction: np.ndarray, beyond: np.ndarray) -> float:
    """Return P(direction'(f - E f) > beyond), f the factors' total over the horizon, pooled over draws.

    A sum of independent t's: each in turn is the largest, and its tail is known (Asmussen and Kroese 2006).
    NaN where one period changes the next.

    Parameters
    ----------
    m : Moments
    direction : ndarray (draw, factor)
    beyond : ndarray (draw)
    """
    if m.chained and m.horizon > 1:
        return float("nan")
    some = thinned(m.n_draws, _DRAWS)
    m, direction, beyond = m.take(some), direction[some], beyond[some]
    size, nu, skew = _terms(m, direction)
    if np.isinf(nu).all():
        size, nu, skew = np.sqrt((size**2).sum(axis=1, keepdims=True)), nu[:, :1], skew[:, :1]
    skew = np.where(size < 0.0, -skew, skew)
    size, nu = np.maximum(np.abs(size), 1e-300), np.minimum(nu, _MOST_NU)
    if size.shape[1] == 1:
        return float(_survival(beyond[:, None] / size, nu, skew).mean())
    shape = (len(some), _SAMPLES, size.shape[1])
    x = size[:, None] * skewed.draws(block_rng(_SEED), nu[:, None], skew[:, None], shape)
    ordered = np.sort(x, axis=2)
    largest = np.where(x == ordered[..., -1:], ordered[..., -2:-1], ordered[..., -1:])
    rest = x.sum(axis=2, keepdims=True) - x
    at = np.maximum(largest, beyond[:, None, None] - rest) / size[:, None]
    return float(_survival(at, nu[:, None], skew[:, None]).sum(axis=2).mean())


def _terms(m: Moments, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return signed standard deviation, nu and skew (draw, term) of the independent terms of direction'f."""
    size = np.sqrt(np.maximum(m.along(direction)[1], 0.0))
    if m.shocks is not None and m.shocks.shape[3] == size.shape[2]:  # a skewed shock has a side
        size = np.copysign(size, np.einsum("dk,dhkb->dhb", direction, m.shocks))
    skew = np.zeros(m.factor_nu.shape) if m.factor_skew is None else m.factor_skew
    flat = (m.n_draws, -1)
    return size.reshape(flat), m.factor_nu.reshape(flat), skew.reshape(flat)


def _survival(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return P(Z > z) of the standardised skewed t: the mirror's left tail, which keeps its digits."""
    return skewed.cdf(-z, nu, -skew)


def log_densities(m: Moments, which: np.ndarray | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function f (factor) -> log density of some factors' total at f (draw), up to one constant.

    Over several periods the total has the covariance of the sum and the tails of one period.

    Parameters
    ----------
    m : Moments
    which : ndarray (factor), optional
        Those that are open at all, `m.moving`, if not given.
    """
    which = m.moving if which is None else which
    mean, covariance = m.factor_mean.sum(axis=1)[:, which], m.factor_covariance.sum(axis=1)
    covariance, nu = covariance[:, which[:, None], which], np.minimum(m.factor_nu[:, 0], _MOST_NU)
    if m.factor_skew is not None and m.shocks is not None:
        return _of_shocks(m, which, mean, nu)
    return _of_blocks(m.block[which], mean, covariance, nu)


def _of_shocks(
    m: Moments, which: np.ndarray, mean: np.ndarray, nu: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log density where every factor has a skewed shock of its own."""
    assert m.shocks is not None  # noqa: S101 - log_densities asks
    most = int(np.diagonal(m.factor_covariance[0], axis1=1, axis2=2).astype(bool).sum(axis=1).argmax())
    back = np.linalg.inv(m.shocks[:, most, which[:, None], which])
    scale = np.sqrt(m.shock_variance.sum(axis=1))[:, which]
    skew = np.zeros_like(nu) if m.factor_skew is None else m.factor_skew[:, 0]
    nu, skew, constant = nu[:, which], skew[:, which], -np.log(scale).sum(axis=1)

    def density(f: np.ndarray) -> np.ndarray:
        z = np.einsum("dbk,dk->db", back, f - mean) / scale
        return np.asarray(skewed.log_densities(z, nu, skew).sum(axis=1) + constant)

    return density


def _of_blocks(
    block: np.ndarray, mean: np.ndarray, covariance: np.ndarray, nu: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log density of elliptical blocks, each given those before it."""
    from scipy.special import gammaln

    parts, before = [], np.zeros(0, dtype=int)
    for b in np.unique(block):
        at, v = np.flatnonzero(block == b), nu[:, b]
        cross = covariance[:, before[:, None], at]
        slope = np.linalg.solve(covariance[:, before[:, None], before], cross).swapaxes(1, 2)
        inside = covariance[:, at[:, None], at] - slope @ cross
        constant = gammaln(0.5 * (v + len(at))) - gammaln(0.5 * v) - 0.5 * len(at) * np.log(v - 2.0)
        constant -= 0.5 * np.linalg.slogdet(inside)[1]
        parts.append((at, before, slope, v, np.linalg.inv(inside), constant))
        before = np.concatenate([before, at])

    def density(f: np.ndarray) -> np.ndarray:
        out, gap = np.zeros(len(mean)), f - mean
        for at, earlier, slope, v, precision, constant in parts:
            left = gap[:, at] - np.einsum("dke,de->dk", slope, gap[:, earlier])
            square = np.einsum("dk,dkl,dl->d", left, precision, left)
            out += constant - 0.5 * (v + len(at)) * np.log1p(square / (v - 2.0))
        return out

    return density


def most_plausible(m: Moments, exposures: np.ndarray, total: float) -> np.ndarray:
    """Return the factor move of largest predictive density on the plane exposures'f = total.

    The predictive density is the mean of the draws' densities. In coordinates in which the pooled covariance
    is the unit matrix, from the answer of an elliptical law, and from each factor taking all of it: laws with
    fat tails of their own have one peak for each.

    Parameters
    ----------
    m : Moments
    exposures : ndarray (factor)
    total : float
    """
    from scipy.optimize import minimize

    which = m.moving
    by_draw, out = m.factor_mean.sum(axis=1)[:, which], np.zeros(len(exposures))
    exposures = exposures[which]
    mean = by_draw.mean(axis=0)
    between = by_draw - mean
    covariance = m.factor_covariance.sum(axis=1).mean(axis=0)[np.ix_(which, which)]
    covariance = covariance + between.T @ between / m.n_draws
    towards = covariance @ exposures
    missing = total - exposures @ mean
    start = mean + towards * (missing / (exposures @ towards))
    if len(mean) == 1:
        out[which] = start
        return out
    root = np.linalg.cholesky(covariance)
    along = np.linalg.qr((root.T @ exposures)[:, None], mode="complete")[0][:, 1:]
    density = log_densities(m, which)

    def surprise(y: np.ndarray) -> float:
        return float(-np.logaddexp.reduce(density(start + root @ (along @ y))))

    starts = [np.zeros(len(mean) - 1)]
    for k in np.flatnonzero(np.abs(exposures) > 1e-3 * np.abs(exposures).max()):
        alone = mean.copy()
        alone[k] += missing / exposures[k]
        starts.append(along.T @ np.linalg.solve(root, alone - start))
    found = [minimize(surprise, y, method="BFGS", options={"gtol": 1e-7}) for y in starts]
    best = min(found, key=lambda r: float(r.fun))
    out[which] = start + root @ (along @ best.x)
    return out
