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
    move : ndarray (factor)
        Total over the horizon of `m`.
    """
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
    n_blocks = m.factor_nu.shape[2]
    if m.shocks is not None:
        size = np.einsum("dk,dkb->db", direction, m.shocks)[:, None] * np.sqrt(m.shock_variance)
    else:
        member = np.equal.outer(np.arange(n_blocks), m.block)
        part = direction[:, None] * member
        size = np.sqrt(np.einsum("dbk,dhkl,dbl->dhb", part, m.factor_covariance, part))
    skew = np.zeros(m.factor_nu.shape) if m.factor_skew is None else m.factor_skew
    flat = (m.n_draws, -1)
    return size.reshape(flat), m.factor_nu.reshape(flat), skew.reshape(flat)


def _survival(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return P(Z > z) of the standardised skewed t: the mirror's left tail, which keeps its digits."""
    return skewed.cdf(-z, nu, -skew)


def log_densities(m: Moments) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function f (factor) -> log density of the factors' total at f (draw), up to one constant.

    Over several periods the total has the covariance of the sum and the tails of one period.
    """
    from scipy.special import gammaln

    mean, nu = m.factor_mean.sum(axis=1), np.minimum(m.factor_nu[:, 0], _MOST_NU)
    if m.shocks is not None:
        back, scale = np.linalg.inv(m.shocks), np.sqrt(m.shock_variance.sum(axis=1))
        skew = np.zeros_like(nu) if m.factor_skew is None else m.factor_skew[:, 0]
        constant = -np.log(scale).sum(axis=1)

        def shocks(f: np.ndarray) -> np.ndarray:
            z = np.einsum("dbk,dk->db", back, f - mean) / scale
            return np.asarray(skewed.log_densities(z, nu, skew).sum(axis=1) + constant)

        return shocks
    covariance = m.factor_covariance.sum(axis=1)
    parts = []
    for b in range(nu.shape[1]):
        at, v = np.flatnonzero(m.block == b), nu[:, b]
        inside = covariance[:, at[:, None], at]
        constant = gammaln(0.5 * (v + len(at))) - gammaln(0.5 * v) - 0.5 * len(at) * np.log(v - 2.0)
        parts.append((at, v, np.linalg.inv(inside), constant - 0.5 * np.linalg.slogdet(inside)[1]))

    def blocks(f: np.ndarray) -> np.ndarray:
        out = np.zeros(len(mean))
        for at, v, precision, constant in parts:
            gap = f[at] - mean[:, at]
            square = np.einsum("dk,dkl,dl->d", gap, precision, gap)
            out += constant - 0.5 * (v + len(at)) * np.log1p(square / (v - 2.0))
        return out

    return blocks


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

    by_draw = m.factor_mean.sum(axis=1)
    mean = by_draw.mean(axis=0)
    between = by_draw - mean
    covariance = m.factor_covariance.sum(axis=1).mean(axis=0) + between.T @ between / m.n_draws
    towards = covariance @ exposures
    missing = total - exposures @ mean
    start = mean + towards * (missing / (exposures @ towards))
    if len(mean) == 1:
        return np.asarray(start)
    root = np.linalg.cholesky(covariance)
    along = np.linalg.qr((root.T @ exposures)[:, None], mode="complete")[0][:, 1:]
    density = log_densities(m)

    def surprise(y: np.ndarray) -> float:
        return float(-np.logaddexp.reduce(density(start + root @ (along @ y))))

    starts = [np.zeros(len(mean) - 1)]
    for k in np.flatnonzero(np.abs(exposures) > 1e-3 * np.abs(exposures).max()):
        alone = mean.copy()
        alone[k] += missing / exposures[k]
        starts.append(along.T @ np.linalg.solve(root, alone - start))
    found = [minimize(surprise, y, method="BFGS", options={"gtol": 1e-7}) for y in starts]
    best = min(found, key=lambda r: float(r.fun))
    return np.asarray(start + root @ (along @ best.x))
