"""One compiled function for any graph of known parts: priors as a table, likelihood as a kernel.

A graph of a card is small in kinds and large in numbers: every free element has one of six
densities, whose parameters are other elements or constants. So the graph becomes arrays (which
density, where its parameters stand) and one loop reads them. It is compiled once per machine, not
once per model.

The values of all elements lie in one pool, constants behind them: `value` and `log_value`.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.likelihoods.kernels import digamma

__all__ = [
    "BETA",
    "EXPONENTIAL",
    "GAMMA",
    "HALF_NORMAL",
    "IDENTITY",
    "LOG",
    "LOG_NORMAL",
    "LOG_ODDS",
    "NORMAL",
    "pool",
    "pool_many",
    "prior",
    "prior_many",
]

NORMAL, LOG_NORMAL, HALF_NORMAL, EXPONENTIAL, GAMMA, BETA = range(6)
IDENTITY, LOG, LOG_ODDS = range(3)

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@njit(cache=True, nogil=True, error_model="numpy")
def pool(x, transform, value, log_value):
    """Fill the head of `value` and `log_value` from the unconstrained point x."""
    for j in range(x.shape[0]):
        if transform[j] == LOG:
            value[j] = math.exp(x[j])
            log_value[j] = x[j]
        elif transform[j] == LOG_ODDS:
            log_value[j] = -math.log1p(math.exp(-x[j])) if x[j] > 0.0 else x[j] - math.log1p(math.exp(x[j]))
            value[j] = math.exp(log_value[j])
        else:
            value[j] = x[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _element(density, v, u, a, b, log_b, x):
    """Return log density of one value v and its derivatives in the unconstrained x, in a and in b.

    The density is that of v; the derivative in x is that of the density of x, Jacobian included.
    u is log v where v > 0.
    """
    if density == NORMAL:
        z = (v - a) / b
        return -0.5 * z * z - log_b - _HALF_LOG_2PI, -z / b, z / b, (z * z - 1.0) / b
    if density == LOG_NORMAL:
        z = (u - a) / b
        return -0.5 * z * z - log_b - _HALF_LOG_2PI - u, -z / b, z / b, (z * z - 1.0) / b
    if density == HALF_NORMAL:
        z = v / b
        return (
            -0.5 * z * z - log_b - _HALF_LOG_2PI + math.log(2.0),
            1.0 - z * z,
            0.0,
            (z * z - 1.0) / b,
        )
    if density == EXPONENTIAL:
        z = v / b
        return -z - log_b, 1.0 - z, 0.0, (z - 1.0) / b
    if density == GAMMA:
        z = v / b
        logp = (a - 1.0) * u - z - math.lgamma(a) - a * log_b
        return logp, a - z, u - digamma(a) - log_b, (z - a) / b
    log_rest = u - x
    logp = (a - 1.0) * u + (b - 1.0) * log_rest + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    both = digamma(a + b)
    return logp, a - (a + b) * v, u - digamma(a) + both, log_rest - digamma(b) + both


@njit(cache=True, nogil=True, error_model="numpy")
def prior(x, value, log_value, transform, density, first, second, slope, gradient):
    """Return the log prior density of x and add its gradient.

    Parameters
    ----------
    x, transform, density : ndarray (element)
    value, log_value : ndarray (pool)
        As `pool` filled them.
    first, second : ndarray (element)
        Where in the pool the two parameters of each element stand.
    slope : ndarray (pool)
        Derivatives in the values; those of the likelihood are in it, those of the priors are added.
    gradient : ndarray (element)
        Overwritten by the derivatives in x of everything.
    """
    total = 0.0
    n = x.shape[0]
    for j in range(n):
        a, b = first[j], second[j]
        logp, dx, da, db = _element(
            density[j], value[j], log_value[j], value[a], value[b], log_value[b], x[j]
        )
        gradient[j] = dx
        slope[a] += da
        slope[b] += db
        total += logp
        if transform[j] == LOG:
            total += x[j]
        elif transform[j] == LOG_ODDS:
            total += 2.0 * log_value[j] - x[j]
    for j in range(n):
        if transform[j] == LOG:
            gradient[j] += slope[j] * value[j]
        elif transform[j] == LOG_ODDS:
            gradient[j] += slope[j] * value[j] * (1.0 - value[j])
        else:
            gradient[j] += slope[j]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def pool_many(points, transform, constants):
    """Return the values (draw, pool) of unconstrained points (draw, element)."""
    n_draws, n = points.shape
    values = np.empty((n_draws, n + constants.shape[0]))
    logs = np.empty(n)
    for s in range(n_draws):
        pool(points[s], transform, values[s], logs)
        values[s, n:] = constants
    return values


@njit(cache=True, nogil=True, error_model="numpy")
def prior_many(points, transform, density, first, second, constants, log_constants):
    """Return the log prior density of each value (draw, element), without the Jacobian."""
    n_draws, n = points.shape
    out = np.empty((n_draws, n))
    value = np.empty(n + constants.shape[0])
    log_value = np.empty(n + constants.shape[0])
    value[n:] = constants
    log_value[n:] = log_constants
    for s in range(n_draws):
        pool(points[s], transform, value, log_value)
        for j in range(n):
            a, b = first[j], second[j]
            out[s, j] = _element(
                density[j], value[j], log_value[j], value[a], value[b], log_value[b], points[s, j]
            )[0]
    return out
