"""Row densities with factors integrated out of independent Student-t's: importance sampling, day by day.

p(r_t) = int prod_i t(r_it; m_it + c_i'x, sigma_i, nu_i) p(x) dx has no closed form. Given a day, x is nearly
normal around the weighted least squares that EM for the t converges to, so the proposal is a
t around that place, with quasi-random points in pairs. A rule of so few points is off by the same factor
for every integrand of nearly normal shape, so it is scaled to be right for the normal; days take turns
among rules, so that what is left of their errors does not add up.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit

from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.laws.proposal import (
    PROPOSAL_NU,
    add_cells,
    add_priors,
    averaged,
    locate,
    normal_weights,
    propose,
    spherical_constants,
)
from bayesfactor.laws.student import log_density_constant

__all__ = ["Cells", "Integral", "Integrand", "integrate", "integrate_cells", "points_of"]

_POINTS = 64
_RULES = 61


@dataclass(frozen=True)
class Integrand:
    """Independent t's given random factors x whose blocks are independent spherical t's.

    Parameters
    ----------
    returns, seen : ndarray (asset, time)
    factors : ndarray (factor, time)
        Known ones.
    alpha, sigma, nu : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
        On known factors.
    random : ndarray (draw, asset, random)
        On those that are integrated out.
    block : ndarray (random)
        The block of each of them.
    block_nu : ndarray (draw, block)
    """

    returns: np.ndarray
    seen: np.ndarray
    factors: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    nu: np.ndarray
    loadings: np.ndarray
    random: np.ndarray
    block: np.ndarray
    block_nu: np.ndarray


@dataclass(frozen=True)
class Integral:
    """Log densities of rows and how well they are known.

    Parameters
    ----------
    log_density : ndarray (draw, time)
    error : ndarray (draw, time)
        Standard error of `log_density`, from the spread of the importance weights.
    """

    log_density: np.ndarray
    error: np.ndarray

    @classmethod
    def exact(cls, log_density: np.ndarray) -> "Integral":
        """Return densities that were not sampled, and hence have no error."""
        return cls(log_density, np.zeros_like(log_density))

    @property
    def total_error(self) -> float:
        """Standard error in nats of a sum over rows of averages over draws.

        Draws see the same points, so that their errors do not average out; those of days do.
        """
        return float(np.sqrt((self.error.mean(axis=0) ** 2).sum()))


@dataclass(frozen=True)
class Cells:
    """What single cells are given the rest of their day.

    Parameters
    ----------
    log_density : ndarray (cell, draw)
    probability : ndarray (cell, draw)
        P(a return <= the observed one).
    """

    log_density: np.ndarray
    probability: np.ndarray


@cache
def points_of(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normals (rule, point, dim) in pairs of opposites, and t mixing scales (rule, point)."""
    from scipy.special import gammaincinv, ndtri
    from scipy.stats.qmc import Sobol

    rules = [Sobol(dim + 1, rng=20170411 + r).random(_POINTS // 2) for r in range(_RULES)]
    uniform = np.clip(np.stack(rules), 1e-10, 1.0 - 1e-10)
    normal, shape = ndtri(uniform[..., :dim]), 0.5 * PROPOSAL_NU
    scale = np.sqrt(shape / gammaincinv(shape, uniform[..., dim]))
    return np.concatenate([normal, -normal], axis=1), np.concatenate([scale, scale], axis=1)


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(returns, seen, factors, alpha, loadings, random, sigma, nu, const, t, e, c, s, v, k0, which):
    """Collect what is known of the assets seen on a day; return how many they are."""
    n = 0
    for i in range(returns.shape[0]):
        if seen[i, t] == 0.0:
            continue
        e[n] = returns[i, t] - alpha[i]
        for k in range(factors.shape[0]):
            e[n] -= loadings[i, k] * factors[k, t]
        for k in range(random.shape[1]):
            c[n, k] = random[i, k]
        s[n], v[n], k0[n], which[n] = sigma[i], nu[i], const[i], i
        n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _rows(
    returns, seen, factors, alpha, sigma, nu, loadings, random, block, sizes, block_nu, normal, scale,
    out, error,
):  # fmt: skip
    n_assets, n_times = returns.shape
    m, points = random.shape[2], normal.shape[1]
    e, s, v, k0, const = np.empty((5, n_assets))
    which = np.empty(n_assets, dtype=np.int64)
    c, precision = np.empty((n_assets, m)), np.empty((m, m))
    places = np.empty((m, points))
    log_weight, q, mantissa = np.empty(points), np.empty(points), np.empty(points)
    like_normal = normal_weights(normal, scale)
    centre = np.zeros((n_times, m))
    for d in range(alpha.shape[0]):
        for i in range(n_assets):
            const[i] = log_density_constant(nu[d, i], sigma[d, i])
        prior_const = spherical_constants(sizes, block_nu[d])
        for t in range(n_times):
            n = _gather(
                returns, seen, factors, alpha[d], loadings[d], random[d], sigma[d], nu[d], const, t,
                e, c, s, v, k0, which,
            )  # fmt: skip
            out[d, t], error[d, t] = 0.0, 0.0
            if n == 0:
                continue
            locate(e[:n], c[:n], s[:n], v[:n], block, sizes, block_nu[d], centre[t], precision)
            rule = t % len(normal)
            propose(normal[rule], scale[rule], precision, centre[t], places, log_weight)
            add_priors(places, block, sizes, block_nu[d], prior_const, q, mantissa, log_weight)
            for i in range(n):
                add_cells(e[i], c[i], s[i], v[i], k0[i], places, q, mantissa, log_weight)
            out[d, t], error[d, t] = averaged(log_weight, like_normal[rule])


def integrate(given: Integrand) -> Integral:
    """Return the log density of each row with the random factors integrated out.

    References
    ----------
    .. [1] Lange, K. L., Little, R. J. A. and Taylor, J. M. G. (1989). Robust statistical modeling using
       the t distribution. JASA 84(408), sec. 3 (the weights).
    .. [2] Owen, A. B. (2013). Monte Carlo theory, methods and examples, ch. 9 (importance sampling).
    """
    n, n_times = len(given.alpha), given.returns.shape[1]
    out, error = np.empty((n, n_times)), np.empty((n, n_times))
    sizes = np.bincount(given.block, minlength=given.block_nu.shape[1]).astype("float64")
    normal, scale = points_of(given.random.shape[2])

    def work(b: slice) -> None:
        _rows(
            given.returns, given.seen, given.factors, given.alpha[b], given.sigma[b], given.nu[b],
            given.loadings[b], given.random[b], given.block, sizes, given.block_nu[b], normal, scale,
            out[b], error[b],
        )  # fmt: skip

    for _ in run_blocks(work, slices(n, 32)):
        pass
    return Integral(out, error)


@njit(cache=True, nogil=True, error_model="numpy")
def _cell_rows(
    returns, seen, factors, alpha, sigma, nu, loadings, random, block, sizes, block_nu, normal, scale,
    assets, times, log_rest, log_density, standard,
):  # fmt: skip
    """Fill log weights without the cell `log_rest`, its log density and standardised value at each place."""
    n_assets = returns.shape[0]
    m, points = random.shape[2], normal.shape[1]
    e, s, v, k0, const = np.empty((5, n_assets))
    which = np.empty(n_assets, dtype=np.int64)
    c, precision = np.empty((n_assets, m)), np.empty((m, m))
    places = np.empty((m, points))
    q, mantissa = np.empty(points), np.empty(points)
    centre = np.zeros((len(times), m))
    for d in range(alpha.shape[0]):
        for i in range(n_assets):
            const[i] = log_density_constant(nu[d, i], sigma[d, i])
        prior_const = spherical_constants(sizes, block_nu[d])
        for cell in range(len(times)):
            n = _gather(
                returns, seen, factors, alpha[d], loadings[d], random[d], sigma[d], nu[d], const, times[cell],
                e, c, s, v, k0, which,
            )  # fmt: skip
            rest, own = log_rest[d, cell], log_density[d, cell]
            own[:] = 0.0
            locate(e[:n], c[:n], s[:n], v[:n], block, sizes, block_nu[d], centre[cell], precision)
            rule = times[cell] % len(normal)
            propose(normal[rule], scale[rule], precision, centre[cell], places, rest)
            add_priors(places, block, sizes, block_nu[d], prior_const, q, mantissa, rest)
            for i in range(n):
                if which[i] != assets[cell]:
                    add_cells(e[i], c[i], s[i], v[i], k0[i], places, q, mantissa, rest)
                    continue
                add_cells(e[i], c[i], s[i], v[i], k0[i], places, q, mantissa, own)
                for p in range(points):
                    z = e[i]
                    for k in range(m):
                        z -= c[i, k] * places[k, p]
                    standard[d, cell, p] = z / s[i]


def integrate_cells(given: Integrand, assets: np.ndarray, times: np.ndarray) -> Cells:
    """Return cells (asset, time) given the rest of their day, random factors integrated out."""
    from scipy.special import logsumexp, stdtr

    n, n_cells = len(given.alpha), len(times)
    sizes = np.bincount(given.block, minlength=given.block_nu.shape[1]).astype("float64")
    normal, scale = points_of(given.random.shape[2])
    out = Cells(np.empty((n_cells, n)), np.empty((n_cells, n)))

    def work(b: slice) -> None:
        shape = (b.stop - b.start, n_cells, _POINTS)
        rest, own, z = np.empty(shape), np.empty(shape), np.empty(shape)
        _cell_rows(
            given.returns, given.seen, given.factors, given.alpha[b], given.sigma[b], given.nu[b],
            given.loadings[b], given.random[b], given.block, sizes, given.block_nu[b], normal, scale,
            assets, times, rest, own, z,
        )  # fmt: skip
        total = logsumexp(rest, axis=2)
        out.log_density[:, b] = (logsumexp(rest + own, axis=2) - total).T
        probability = stdtr(given.nu[b][:, assets, None], z)
        out.probability[:, b] = (np.exp(rest - total[:, :, None]) * probability).sum(axis=2).T

    for _ in run_blocks(work, slices(n, 16)):
        pass
    return out
