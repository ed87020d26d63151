"""One compiled function for any graph of known parts: priors as a table, likelihood as a kernel.

A graph of a card is small in kinds and large in numbers: every free element has one of ten
densities, whose parameters are other elements or constants. So the graph becomes arrays (which
density, where its parameters stand) and one loop reads them. It is compiled once per machine, not
once per model.

The values of all elements lie in one pool, constants behind them: `value` and `log_value`. An
element stands behind its parameters, so values are made in order and derivatives in reverse.

A normal element with location m and scale s moves in x with u = m + s^(1 - w) (x - w m), where u is
the value, its logarithm or its log odds: weight w = 1 is the centred form, w = 0 the non-centred one
(Papaspiliopoulos, Roberts and Skold 2007, sec. 2; Gorinova, Moore and Hoffman 2020, eq. 4).

A regularised element has two scales, that of the slab and its own: its precision is the sum of theirs
(Piironen and Vehtari 2017, eq. 2.8), its location 0. The slab stands where others have their location.

Joint elements have no density of their own: the likelihood counts theirs.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.likelihoods.kernels import digamma

__all__ = [
    "BETA",
    "EXPONENTIAL",
    "GAMMA",
    "HALF_CAUCHY",
    "HALF_NORMAL",
    "IDENTITY",
    "JOINT",
    "LOG",
    "LOGIT_NORMAL",
    "LOG_NORMAL",
    "LOG_ODDS",
    "NORMAL",
    "REGULARISED",
    "location_and_log_scale",
    "point_many",
    "pool",
    "pool_many",
    "prior",
    "prior_many",
]

NORMAL, LOG_NORMAL, HALF_NORMAL, EXPONENTIAL, GAMMA, BETA, HALF_CAUCHY, REGULARISED, JOINT = range(9)
LOGIT_NORMAL = 9
IDENTITY, LOG, LOG_ODDS = range(3)

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_2_OVER_PI = math.log(2.0 / math.pi)


@njit(cache=True, nogil=True, error_model="numpy")
def location_and_log_scale(density, a, b, log_b):
    """Return location and log scale of an element with the parameters a and b."""
    if density == REGULARISED:
        return 0.0, -0.5 * math.log(1.0 / (a * a) + 1.0 / (b * b))
    return a, log_b


@njit(cache=True, nogil=True, error_model="numpy")
def pool(x, transform, density, first, second, weight, value, log_value):
    """Fill the head of `value` and `log_value` from the unconstrained point x."""
    for j in range(x.shape[0]):
        u = x[j]
        if weight[j] < 1.0:
            a, b = first[j], second[j]
            m, log_s = location_and_log_scale(density[j], value[a], value[b], log_value[b])
            u = m + math.exp((1.0 - weight[j]) * log_s) * (u - weight[j] * m)
        if transform[j] == LOG:
            value[j] = math.exp(u)
            log_value[j] = u
        elif transform[j] == LOG_ODDS:
            log_value[j] = -math.log1p(math.exp(-u)) if u > 0.0 else u - math.log1p(math.exp(u))
            value[j] = math.exp(log_value[j])
        else:
            value[j] = u


@njit(cache=True, nogil=True, error_model="numpy")
def _element(density, v, u, rest, a, b, log_b):
    """Return log density of one value v and its derivatives in the unconstrained x, in a and in b.

    The density is that of v; the derivative in x is that of the density of x, Jacobian included.
    u is log v and `rest` log(1 - v), where they exist.
    """
    if density == NORMAL:
        z = (v - a) / b
        return -0.5 * z * z - log_b - _HALF_LOG_2PI, -z / b, z / b, (z * z - 1.0) / b
    if density == LOG_NORMAL:
        z = (u - a) / b
        return -0.5 * z * z - log_b - _HALF_LOG_2PI - u, -z / b, z / b, (z * z - 1.0) / b
    if density == LOGIT_NORMAL:
        z = (u - rest - a) / b
        return -0.5 * z * z - log_b - _HALF_LOG_2PI - u - rest, -z / b, z / b, (z * z - 1.0) / b
    if density == REGULARISED:
        precision = 1.0 / (a * a) + 1.0 / (b * b)
        pull = v * v - 1.0 / precision
        logp = 0.5 * math.log(precision) - 0.5 * v * v * precision - _HALF_LOG_2PI
        return logp, -v * precision, pull / (a * a * a), pull / (b * b * b)
    if density == JOINT:
        return 0.0, 0.0, 0.0, 0.0
    z = v / b
    if density == HALF_CAUCHY:
        share = 2.0 * z * z / (1.0 + z * z)
        return _LOG_2_OVER_PI - log_b - math.log1p(z * z), 1.0 - share, 0.0, (share - 1.0) / b
    if density == HALF_NORMAL:
        return math.log(2.0) - 0.5 * z * z - log_b - _HALF_LOG_2PI, 1.0 - z * z, 0.0, (z * z - 1.0) / b
    if density == EXPONENTIAL:
        return -z - log_b, 1.0 - z, 0.0, (z - 1.0) / b
    if density == GAMMA:
        logp = (a - 1.0) * u - z - math.lgamma(a) - a * log_b
        return logp, a - z, u - digamma(a) - log_b, (z - a) / b
    logp = (a - 1.0) * u + (b - 1.0) * rest + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    both = digamma(a + b)
    return logp, a - (a + b) * v, u - digamma(a) + both, rest - digamma(b) + both


@njit(cache=True, nogil=True, error_model="numpy")
def prior(x, value, log_value, transform, density, first, second, weight, slope, gradient):
    """Return the log prior density of x, Jacobian included, and the gradient of everything.

    Parameters
    ----------
    x, transform, density, weight : ndarray (element)
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
    for j in range(x.shape[0] - 1, -1, -1):
        a, b = first[j], second[j]
        u = log_value[j]
        pull = slope[j]
        if transform[j] == LOG:
            pull *= value[j]
        elif transform[j] == LOG_ODDS:
            pull *= value[j] * (1.0 - value[j])
        else:
            u = value[j]
        if weight[j] < 1.0:
            w = weight[j]
            m, log_s = location_and_log_scale(density[j], value[a], value[b], log_value[b])
            if transform[j] == LOG_ODDS:
                u -= math.log1p(-value[j])
            spread, shrink = math.exp((1.0 - w) * log_s), math.exp(-w * log_s)
            z = (x[j] - w * m) * shrink
            total -= 0.5 * z * z + w * log_s + _HALF_LOG_2PI
            gradient[j] = pull * spread - z * shrink
            in_log_scale = pull * (1.0 - w) * (u - m) + w * (z * z - 1.0)
            if density[j] == REGULARISED:
                variance = math.exp(2.0 * log_s)
                slope[a] += in_log_scale * variance / value[a] ** 3
                slope[b] += in_log_scale * variance / value[b] ** 3
            else:
                slope[a] += pull * (1.0 - w * spread) + w * z * shrink
                slope[b] += in_log_scale / value[b]
            continue
        # log(1 - v): exact in the centred form, where x is the log odds.
        rest = u - x[j]
        logp, dx, da, db = _element(density[j], value[j], u, rest, value[a], value[b], log_value[b])
        gradient[j] = dx + pull
        slope[a] += da
        slope[b] += db
        total += logp
        if transform[j] == LOG:
            total += u
        elif transform[j] == LOG_ODDS:
            total += u + rest
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def pool_many(points, transform, density, first, second, weight, constants, log_constants):
    """Return the values (draw, pool) of unconstrained points (draw, element)."""
    n_draws, n = points.shape
    values = np.empty((n_draws, n + constants.shape[0]))
    logs = np.empty(n + constants.shape[0])
    logs[n:] = log_constants
    for s in range(n_draws):
        values[s, n:] = constants
        pool(points[s], transform, density, first, second, weight, values[s], logs)
    return values


@njit(cache=True, nogil=True, error_model="numpy")
def point_many(values, transform, density, first, second, weight):
    """Return the unconstrained points (draw, element) of pools (draw, pool): `pool` backwards."""
    n_draws, n = values.shape[0], transform.shape[0]
    points = np.empty((n_draws, n))
    for s in range(n_draws):
        for j in range(n):
            u = values[s, j]
            if transform[j] != IDENTITY:
                u = math.log(u)
            if transform[j] == LOG_ODDS:
                u -= math.log1p(-values[s, j])
            if weight[j] < 1.0:
                a, b = values[s, first[j]], values[s, second[j]]
                m, log_s = location_and_log_scale(density[j], a, b, math.log(b))
                u = weight[j] * m + math.exp((weight[j] - 1.0) * log_s) * (u - m)
            points[s, j] = u
    return points


@njit(cache=True, nogil=True, error_model="numpy")
def prior_many(values, density, first, second):
    """Return the log prior density of each element (draw, element) of pools (draw, pool)."""
    n_draws, n = values.shape[0], density.shape[0]
    out = np.empty((n_draws, n))
    for s in range(n_draws):
        for j in range(n):
            v, a, b = values[s, j], values[s, first[j]], values[s, second[j]]
            out[s, j] = _element(density[j], v, math.log(v), math.log1p(-v), a, b, math.log(b))[0]
    return out
