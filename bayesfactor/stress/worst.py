"""The most plausible way to lose so much: a joint move of factors and of what coins do of their own.

A move x = (f, e) holds the factors' totals over the horizon and the innovations' of what is held. Its
plausibility is its density, the mean over the posterior draws; over several periods totals have the
covariance of the sum and the tails of one period. No coin that is held falls by more than there is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bayesfactor.laws import Moments, skewed
from bayesfactor.laws.blocks import thinned
from bayesfactor.risk.exact import Book

__all__ = ["JointMove", "log_density", "most_plausible"]

_DRAWS: Final = 400
_MOST_NU: Final = 1e6
"""The normal, as a t."""
_ALONE: Final = 5
"""Starts in which one coordinate takes all of it."""
_TOUCHES: Final = 1e-9


@dataclass(frozen=True)
class JointMove:
    """A move over the whole horizon.

    Parameters
    ----------
    factors : ndarray (factor)
    innovations : ndarray (asset)
        Canonical order, of the independent e.
    """

    factors: np.ndarray
    innovations: np.ndarray


def most_plausible(book: Book, total: float) -> JointMove:
    """Return the move of largest density on the plane exposures'f + bets'e = total, at mean exposures.

    In coordinates in which the pooled covariance is the unit matrix, from the answer of an elliptical law,
    and from single factors and coins taking all of it: laws with fat tails of their own have a peak for each.

    Parameters
    ----------
    book : Book
    total : float
        What factors and innovations gain together, drift apart.
    """
    n_all, moving = book.moments.loadings.shape[2], book.moments.moving
    book = Book(book.moments.of_factors(moving), book.weights)
    m, bets = book.moments, book.bets.mean(axis=0)
    risk = np.abs(bets) * np.sqrt(m.specific_variance.sum(axis=1).mean(axis=0))
    held = np.flatnonzero(risk > _TOUCHES * risk.max(initial=0.0))
    n_factors = m.loadings.shape[2]
    slope = np.concatenate([book.exposures.mean(axis=0), bets[held]])
    mean, root = _pooled(m, held)
    towards = root @ (root.T @ slope)
    missing = total - slope @ mean
    start = mean + towards * (missing / (slope @ towards))
    along = np.linalg.qr((root.T @ slope)[:, None], mode="complete")[0][:, 1:]
    ways, density = root @ along, log_density(m.take(thinned(m.n_draws, _DRAWS)), held)

    def surprise(y: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = density(start + ways @ y)
        return -value, -(slopes @ ways)

    starts = _starts(surprise, mean, slope, missing, start, along.T @ np.linalg.inv(root))
    least, normal = _floors(book, held)
    best = _best(surprise, starts, normal @ ways, least - normal @ start)
    x = start + ways @ best
    innovations, factors = np.zeros(len(bets)), np.zeros(n_all)
    innovations[held], factors[moving] = x[n_factors:], x[:n_factors]
    return JointMove(factors, innovations)


def _pooled(m: Moments, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and a root of the pooled covariance of factors and of some innovations."""
    by_draw = m.factor_mean.sum(axis=1)
    between = by_draw - by_draw.mean(axis=0)
    covariance = m.factor_covariance.sum(axis=1).mean(axis=0) + between.T @ between / m.n_draws
    n_factors = by_draw.shape[1]
    root = np.zeros((n_factors + len(held),) * 2)
    root[:n_factors, :n_factors] = np.linalg.cholesky(covariance)
    own = np.arange(n_factors, len(root))
    root[own, own] = np.sqrt(m.specific_variance[:, :, held].sum(axis=1).mean(axis=0))
    return np.concatenate([by_draw.mean(axis=0), np.zeros(len(held))]), root


def _starts(
    surprise: Callable[[np.ndarray], tuple[float, np.ndarray]], mean: np.ndarray, slope: np.ndarray,
    missing: float, start: np.ndarray, back: np.ndarray,
) -> list[np.ndarray]:  # fmt: skip
    """Return where to start from: the elliptical answer, and the least surprising of single moves."""
    found = []
    for k in np.flatnonzero(np.abs(slope) > 1e-3 * np.abs(slope).max()):
        alone = mean.copy()
        alone[k] += missing / slope[k]
        y = back @ (alone - start)
        found.append((surprise(y)[0], y))
    found.sort(key=lambda pair: pair[0])
    return [np.zeros(back.shape[0]), *(y for _, y in found[:_ALONE])]


def _floors(book: Book, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds and rows: rows @ x >= bounds says that nothing held falls by more than 1 a period."""
    m = book.moments
    which = np.flatnonzero(book.weights)
    net = np.eye(len(book.weights))[which][:, held]
    if len(m.own_weights):
        net = net - (m.own_response.mean(axis=0)[which] @ m.own_weights)[:, held]
    rows = np.concatenate([m.loadings.mean(axis=0)[which], net], axis=1)
    return -m.horizon * (1.0 + m.alpha.mean(axis=0)[which]), rows


def _best(surprise: Any, starts: list[np.ndarray], rows: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the least surprising move, one that keeps to the floors if there is any."""
    from scipy.optimize import minimize

    if not len(starts[0]):
        return starts[0]
    free = [minimize(surprise, y, jac=True, method="BFGS", options={"gtol": 1e-7}) for y in starts]
    best = min(free, key=lambda r: float(r.fun)).x
    if not len(rows) or (rows @ best - bounds).min() >= -_TOUCHES:
        return np.asarray(best)
    above = {"type": "ineq", "fun": lambda y: rows @ y - bounds, "jac": lambda _: rows}
    options = {"maxiter": 300, "ftol": 1e-12}
    kept = [
        minimize(surprise, y, jac=True, method="SLSQP", constraints=[above], options=options)
        for y in (*starts, best)
    ]
    kept = [r for r in kept if (rows @ r.x - bounds).min() >= -1e-7]
    return np.asarray(min(kept, key=lambda r: float(r.fun)).x if kept else best)


def log_density(m: Moments, held: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return the function of a move (factors, then innovations `held`): log density and its slopes.

    Up to a constant; the density is the mean over the draws of `m`.
    """
    factors = _shock_terms(m) if m.chained and m.shocks is not None else _block_terms(m, held)
    n_factors = m.loadings.shape[2]
    own = None if m.joint >= 0 else _own_terms(m, held)

    def pooled(x: np.ndarray) -> tuple[float, np.ndarray]:
        values, slopes = factors(x if m.joint >= 0 else x[:n_factors])
        if own is not None:
            more, steps = own(x[n_factors:])
            values, slopes = values + more, np.concatenate([slopes, steps], axis=1)
        top = values.max()
        weight = np.exp(values - top)
        return float(top + np.log(weight.mean())), weight @ slopes / weight.sum()

    return pooled


type _Terms = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _block_terms(m: Moments, held: np.ndarray) -> _Terms:
    """Return log densities (draw) and slopes (draw, factor) of elliptical blocks, of one innovations too.

    Each block is given those before it.
    """
    from scipy.special import gammaln

    mean, nu = m.factor_mean.sum(axis=1), np.minimum(m.factor_nu[:, 0], _MOST_NU)
    covariance = m.factor_covariance.sum(axis=1)
    n_factors = mean.shape[1]
    parts, before = [], np.zeros(0, dtype=int)
    for b in range(nu.shape[1]):
        at, v = np.flatnonzero(m.block == b), nu[:, b]
        cross = covariance[:, before[:, None], at]
        given = np.linalg.solve(covariance[:, before[:, None], before], cross).swapaxes(1, 2)
        precision = np.linalg.inv(covariance[:, at[:, None], at] - given @ cross)
        earlier, before = before, np.concatenate([before, at])
        size = -0.5 * np.linalg.slogdet(precision)[1]
        if b == m.joint:
            variance = m.specific_variance[:, :, held].sum(axis=1)
            whole = np.zeros((m.n_draws, len(at) + len(held), len(at) + len(held)))
            whole[:, : len(at), : len(at)] = precision
            own = np.arange(len(at), whole.shape[1])
            whole[:, own, own] = 1.0 / variance
            precision, size = whole, size + 0.5 * np.log(variance).sum(axis=1)
            at = np.append(at, n_factors + np.arange(len(held)))
        n = len(at)
        constant = gammaln(0.5 * (v + n)) - gammaln(0.5 * v) - 0.5 * n * np.log(v - 2.0) - size
        parts.append((at, earlier, given, v, precision, constant))
    centre = np.concatenate([mean, np.zeros((m.n_draws, len(held) if m.joint >= 0 else 0))], axis=1)

    def terms(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap = x - centre
        values, slopes = np.zeros(len(gap)), np.zeros(gap.shape)
        for at, earlier, given, v, precision, constant in parts:
            left, n = gap[:, at], given.shape[1]
            left[:, :n] -= np.einsum("dke,de->dk", given, gap[:, earlier])
            pull = np.einsum("dkl,dl->dk", precision, left)
            square = (left * pull).sum(axis=1)
            values += constant - 0.5 * (v + len(at)) * np.log1p(square / (v - 2.0))
            steps = -((v + len(at)) / (v - 2.0 + square))[:, None] * pull
            slopes[:, at] += steps
            slopes[:, earlier] -= np.einsum("dk,dke->de", steps[:, :n], given)
        return values, slopes

    return terms


def _shock_terms(m: Moments) -> _Terms:
    """Return the same where factors share independent shocks."""
    assert m.shocks is not None  # noqa: S101 - the caller asks
    mean, nu = m.factor_mean.sum(axis=1), np.minimum(m.factor_nu[:, 0], _MOST_NU)
    scale = np.sqrt(m.shock_variance.sum(axis=1))
    # What shocks move is that of the period in which most factors are open.
    most = int((m.shock_variance[0] > 0.0).sum(axis=1).argmax())
    back = np.linalg.inv(m.shocks[:, most]) / scale[:, :, None]
    skew = np.zeros_like(nu) if m.factor_skew is None else m.factor_skew[:, 0]
    nu, skew = nu[:, m.block], skew[:, m.block]
    constant = -np.log(scale).sum(axis=1)

    def terms(f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, steps = _skewed_terms(np.einsum("dbk,dk->db", back, f - mean), nu, skew)
        return values + constant, np.einsum("db,dbk->dk", steps, back)

    return terms


def _own_terms(m: Moments, held: np.ndarray) -> _Terms:
    """Return the same of independent innovations."""
    scale = np.sqrt(m.specific_variance[:, :, held].sum(axis=1))
    nu = np.minimum(m.specific_nu[:, 0][:, held], _MOST_NU)
    skew = np.zeros_like(nu) if m.specific_skew is None else m.specific_skew[:, 0][:, held]
    constant = -np.log(scale).sum(axis=1)

    def terms(e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, steps = _skewed_terms(e / scale, nu, skew)
        return values + constant, steps / scale

    return terms


def _skewed_terms(z: np.ndarray, nu: np.ndarray, skew: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities of independent standardised terms (draw) and their slopes (draw, term)."""
    a, b = skewed.shapes(nu, skew)
    x = b * z + a
    side = np.where(x < 0.0, 1.0 - skew, 1.0 + skew)
    y = x / side
    return skewed.log_densities(z, nu, skew).sum(axis=1), -(nu + 1.0) * y / (nu - 2.0 + y * y) * b / side
