"""The fused kernels: log-likelihood and all its gradients in one pass over the data.

Time runs along memory and is cut into pieces, within which assets follow each other; nothing as
large as the panel is made on the way. Cells not `seen` contribute nothing, and pieces without a
return of an asset, such as the years before its listing, cost it nothing.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.correlation import partial_cholesky

__all__ = [
    "DAYS",
    "add_products",
    "digamma",
    "dot",
    "elliptical_kernel",
    "solve_transposed",
    "static_kernel",
    "subtract",
    "sum_of",
    "sum_of_logs",
    "through_cholesky",
    "vectorised",
    "weigh",
]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_2 = math.log(2.0)
_FRACTION, _ONE = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000
_NOT_FINITE = 2047  # the exponent of infinities and NaNs
DAYS = 512
"""Days at a time: what one piece of the factors takes stays in the nearest cache for all assets."""
# Sums may be reordered; infinities and NaNs keep their meaning (nu = inf, a rejected proposal).
vectorised = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz"}
)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def digamma(x: float) -> float:
    """Return psi(x) for x > 0: recurrence up to 10, then the asymptotic series."""
    shift = 0.0
    while x < 10.0:
        shift -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (
        1.0 / 12.0
        - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y * (1.0 / 240.0 - y * (1.0 / 132.0 - y * 691.0 / 32760.0))))
    )
    return shift + math.log(x) - 0.5 / x - series


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def _sum_of_each_log(q):
    total = 0.0
    for x in q:
        total += math.log(x)
    return total


@vectorised
def sum_of_logs(q, product):
    """Sum log q, for terms of at least 1, with one logarithm for all.

    Exponents of products of eight are read off their bits and summed as integers; what is left of
    the products lies in [1, 2). Terms so large that a product overflows (above 1e38) are rare.
    """
    n = q.shape[0]
    m = n // 8
    a, b, c, d = q[:m], q[m : 2 * m], q[2 * m : 3 * m], q[3 * m : 4 * m]
    e, f, g, h = q[4 * m : 5 * m], q[5 * m : 6 * m], q[6 * m : 7 * m], q[7 * m : 8 * m]
    for j in range(m):
        product[j] = a[j] * b[j] * c[j] * d[j] * e[j] * f[j] * g[j] * h[j]
    bits = product[:m].view(np.int64)
    exponents, largest = 0, 0
    for j in range(m):
        exponent = bits[j] >> 52
        exponents += exponent
        largest = max(largest, exponent)
        bits[j] = (bits[j] & _FRACTION) | _ONE
    if largest >= _NOT_FINITE:
        return _sum_of_each_log(q)
    left = 1.0
    for j in range(m):
        left *= product[j]
    for j in range(8 * m, n):
        left *= q[j]
    return (exponents - 1023 * m) * _LOG_2 + math.log(left)


@vectorised
def subtract(e, x, slopes, first):
    """Subtract sum_k slopes[k] x[k, first + t] from e[t], four rows at a time."""
    n = e.shape[0]
    last = first + n
    k = slopes.shape[0]
    for j in range(k % 4):
        a, p = x[j, first:last], slopes[j]
        for t in range(n):
            e[t] -= p * a[t]
    for j in range(k % 4, k, 4):
        a, b, c, d = x[j, first:last], x[j + 1, first:last], x[j + 2, first:last], x[j + 3, first:last]
        p, q, r, s = slopes[j], slopes[j + 1], slopes[j + 2], slopes[j + 3]
        for t in range(n):
            e[t] -= p * a[t] + q * b[t] + r * c[t] + s * d[t]


@vectorised
def add_products(e, x, first, out):
    """Add sum_t e[t] x[k, first + t] to out[k], four rows at a time."""
    n = e.shape[0]
    last = first + n
    k = out.shape[0]
    for j in range(k % 4):
        out[j] += dot(e, x[j, first:last])
    for j in range(k % 4, k, 4):
        a, b, c, d = x[j, first:last], x[j + 1, first:last], x[j + 2, first:last], x[j + 3, first:last]
        p, q, r, s = 0.0, 0.0, 0.0, 0.0
        for t in range(n):
            p += e[t] * a[t]
            q += e[t] * b[t]
            r += e[t] * c[t]
            s += e[t] * d[t]
        out[j] += p
        out[j + 1] += q
        out[j + 2] += r
        out[j + 3] += s


@vectorised
def weigh(e, q, inv):
    """Replace e by e / q with q = 1 + e^2 inv; return the sum of e^2 / q."""
    total = 0.0
    for t in range(e.shape[0]):
        x = e[t]
        y = 1.0 + x * x * inv
        z = x / y
        q[t] = y
        e[t] = z
        total += x * z
    return total


@vectorised
def sum_of(x):
    """Return the sum of x."""
    total = 0.0
    for t in range(x.shape[0]):
        total += x[t]
    return total


@vectorised
def dot(x, y):
    """Return the sum of x y."""
    total = 0.0
    for t in range(x.shape[0]):
        total += x[t] * y[t]
    return total


@vectorised
def static_kernel(returns, seen, factors, alpha, loadings, sigma, nu):
    """Return the total log-likelihood and its gradients.

    Parameters
    ----------
    returns : ndarray (asset, time)
        Any finite number where there is none.
    seen : ndarray (asset, time)
        1.0 where there is a return, else 0.0.
    factors : ndarray (factor, time)
    alpha, sigma, nu : ndarray (asset)
        `nu = inf` is the normal.
    loadings : ndarray (asset, factor)

    Returns
    -------
    tuple
        log-likelihood, then its gradients in alpha, loadings, sigma and nu.
    """
    n_assets, n_times = returns.shape
    count, weighted, logs = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
    d_alpha, d_sigma, d_nu = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
    d_loadings = np.zeros((n_assets, factors.shape[0]))
    buffers = np.empty((3, DAYS))
    for first in range(0, n_times, DAYS):
        last = min(first + DAYS, n_times)
        e, q = buffers[0, : last - first], buffers[1, : last - first]
        for i in range(n_assets):
            here = seen[i, first:last]
            days = sum_of(here)
            if days == 0.0:
                continue
            count[i] += days
            row, mean = returns[i, first:last], alpha[i]
            for t in range(e.shape[0]):
                e[t] = row[t] - mean
            subtract(e, factors, loadings[i], first)
            if days < e.shape[0]:
                for t in range(e.shape[0]):
                    e[t] *= here[t]
            if math.isinf(nu[i]):
                weighted[i] += dot(e, e)
            else:
                weighted[i] += weigh(e, q, 1.0 / (nu[i] * sigma[i] * sigma[i]))
                logs[i] += sum_of_logs(q, buffers[2])
            d_alpha[i] += sum_of(e)
            add_products(e, factors, first, d_loadings[i])
    logp = 0.0
    for i in range(n_assets):
        if count[i] == 0.0:
            continue
        s2, v = sigma[i] * sigma[i], nu[i]
        slope = 1.0 / s2
        if math.isinf(v):
            logp -= 0.5 * weighted[i] / s2 + count[i] * (_HALF_LOG_2PI + math.log(sigma[i]))
            d_sigma[i] = (weighted[i] / s2 - count[i]) / sigma[i]
        else:
            squares = weighted[i] / s2
            const = math.lgamma(0.5 * (v + 1.0)) - math.lgamma(0.5 * v) - 0.5 * math.log(v * math.pi)
            logp += count[i] * (const - math.log(sigma[i])) - 0.5 * (v + 1.0) * logs[i]
            d_sigma[i] = ((v + 1.0) / v * squares - count[i]) / sigma[i]
            d_nu[i] = 0.5 * (
                count[i] * (digamma(0.5 * (v + 1.0)) - digamma(0.5 * v) - 1.0 / v)
                - logs[i]
                + (v + 1.0) / (v * v) * squares
            )
            slope = (v + 1.0) / (v * s2)
        d_alpha[i] *= slope
        for k in range(d_loadings.shape[1]):
            d_loadings[i, k] *= slope
    return logp, d_alpha, d_loadings, d_sigma, d_nu


@vectorised
def elliptical_kernel(values, seen, location, scale, partial, nu):
    """Return the log-likelihood of multivariate t columns and its gradients.

    Parameters
    ----------
    values : ndarray (factor, time)
    seen : ndarray (time)
        1.0 for the columns that count, else 0.0.
    location, scale : ndarray (factor)
    partial : ndarray (pair)
        Partial correlations, see `bayesfactor.laws.correlation`.
    nu : float
        `inf` is the normal.

    Returns
    -------
    tuple
        log-likelihood, then its gradients in location, scale, partial and nu.
    """
    n_factors, n_times = values.shape
    unit = partial_cholesky(partial, n_factors)
    chol = unit * scale.reshape(-1, 1)
    normal = math.isinf(nu)
    inv = 0.0 if normal else 1.0 / nu
    first, second = np.zeros((n_factors, 1)), np.zeros((n_factors, n_factors))
    u = np.empty((n_factors, DAYS))
    buffers = np.empty((3, DAYS))
    count, logs, slope = 0.0, 0.0, 0.0
    for begin in range(0, n_times, DAYS):
        n = min(DAYS, n_times - begin)
        here, q, weight = seen[begin : begin + n], buffers[0, :n], buffers[1, :n]
        count += sum_of(here)
        q[:] = 0.0
        for k in range(n_factors):
            row, x, mean, shrink = values[k, begin : begin + n], u[k, :n], location[k], 1.0 / chol[k, k]
            for t in range(n):
                x[t] = row[t] - mean
            subtract(x, u, chol[k, :k], 0)
            for t in range(n):
                x[t] *= shrink * here[t]
                q[t] += x[t] * x[t]
        if normal:
            logs += sum_of(q)
            weight[:] = 1.0
        else:
            for t in range(n):
                weight[t] = (nu + n_factors) / (nu + q[t])
            slope += dot(weight, q)
            for t in range(n):
                q[t] = 1.0 + q[t] * inv
            logs += sum_of_logs(q, buffers[2])
        for k in range(n_factors):
            x = u[k, :n]
            for t in range(n):
                q[t] = weight[t] * x[t]
            first[k, 0] += sum_of(q)
            add_products(q, u, 0, second[k])
    if normal:
        logp = -0.5 * logs - count * n_factors * _HALF_LOG_2PI
        d_nu = 0.0
    else:
        a, b = 0.5 * (nu + n_factors), 0.5 * nu
        logp = count * (math.lgamma(a) - math.lgamma(b) - 0.5 * n_factors * math.log(nu * math.pi)) - a * logs
        d_nu = 0.5 * (count * (digamma(a) - digamma(b) - n_factors / nu) - logs + slope / nu)
    solve_transposed(chol, first)
    solve_transposed(chol, second)
    for k in range(n_factors):
        logp -= count * math.log(chol[k, k])
        second[k, k] -= count / chol[k, k]
    d_scale, d_partial = through_cholesky(second, unit, scale, partial)
    return logp, first[:, 0].copy(), d_scale, d_partial, d_nu


@njit(cache=True, nogil=True, error_model="numpy")
def through_cholesky(d_chol, unit, scale, partial):
    """Return derivatives in the scales and partial correlations, given those in the Cholesky factor."""
    n = scale.shape[0]
    d_scale, d_partial = np.zeros(n), np.zeros(partial.shape[0])
    at = 0
    for i in range(n):
        # `later` holds sum over m > j of dL_im L_im: all that a partial correlation shrinks.
        later = d_chol[i, i] * scale[i] * unit[i, i]
        d_scale[i] = d_chol[i, i] * unit[i, i]
        left = unit[i, i]
        for j in range(i - 1, -1, -1):
            p = partial[at + j]
            d_unit = d_chol[i, j] * scale[i]
            d_scale[i] += d_chol[i, j] * unit[i, j]
            left /= math.sqrt(1.0 - p * p)
            d_partial[at + j] = d_unit * left - later * p / (1.0 - p * p)
            later += d_unit * unit[i, j]
        at += i
    return d_scale, d_partial


@njit(cache=True, nogil=True, error_model="numpy")
def solve_transposed(chol, x):
    """Solve chol' y = x for lower-triangular `chol`, in place."""
    n = chol.shape[0]
    for c in range(x.shape[1]):
        for k in range(n - 1, -1, -1):
            for j in range(k + 1, n):
                x[k, c] -= chol[j, k] * x[j, c]
            x[k, c] /= chol[k, k]
