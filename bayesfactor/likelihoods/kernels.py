"""The fused kernels: log-likelihood and all its gradients in one pass over the data.

Static model: assets are rows, so each asset is one run through memory with a buffer as long as its own days;
logarithms are taken of products of eight terms. Cells not `seen` contribute nothing, and days
before an asset's first return or after its last are never touched.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.correlation import partial_cholesky

__all__ = ["digamma", "elliptical_kernel", "static_kernel"]

_LOG_2PI = math.log(2.0 * math.pi)
# Sums may be reordered; infinities and NaNs keep their meaning (nu = inf, a rejected proposal).
_FASTMATH = {"contract", "reassoc", "arcp", "nsz"}


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


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _sum_of_logs(q):
    """Sum log q, one logarithm for eight terms (each below 1e38, so products stay finite)."""
    total = 0.0
    n = q.shape[0]
    m = n // 8
    a, b, c, d = q[:m], q[m : 2 * m], q[2 * m : 3 * m], q[3 * m : 4 * m]
    e, f, g, h = q[4 * m : 5 * m], q[5 * m : 6 * m], q[6 * m : 7 * m], q[7 * m : 8 * m]
    for j in range(m):
        total += math.log(a[j] * b[j] * c[j] * d[j] * e[j] * f[j] * g[j] * h[j])
    for x in q[8 * m :]:
        total += math.log(x)
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _residuals(row, seen, factors, first, alpha, loadings, e):
    """Fill e with the residuals, 0 where not seen."""
    for t in range(e.shape[0]):
        e[t] = row[t] - alpha
    for k in range(factors.shape[0]):
        b = loadings[k]
        # A slice of a row stays contiguous, a slice of the matrix would not vectorise.
        f = factors[k, first : first + e.shape[0]]
        for t in range(e.shape[0]):
            e[t] -= b * f[t]
    for t in range(e.shape[0]):
        e[t] *= seen[t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _weigh(e, q, inv):
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _sum(x):
    total = 0.0
    for t in range(x.shape[0]):
        total += x[t]
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
def _dot(x, y):
    total = 0.0
    for t in range(x.shape[0]):
        total += x[t] * y[t]
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
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
    n_factors = factors.shape[0]
    d_alpha = np.zeros(n_assets)
    d_loadings = np.zeros((n_assets, n_factors))
    d_sigma = np.zeros(n_assets)
    d_nu = np.zeros(n_assets)
    buffers = np.empty((2, n_times))
    logp = 0.0
    for i in range(n_assets):
        first, last = 0, n_times
        while first < last and seen[i, first] == 0.0:
            first += 1
        while last > first and seen[i, last - 1] == 0.0:
            last -= 1
        if first == last:
            continue
        e = buffers[0, : last - first]
        q = buffers[1, : last - first]
        count = _sum(seen[i, first:last])
        _residuals(returns[i, first:last], seen[i, first:last], factors, first, alpha[i], loadings[i], e)
        s2 = sigma[i] * sigma[i]
        v = nu[i]
        if math.isinf(v):
            squares = _dot(e, e)
            logp -= 0.5 * squares / s2 + count * (0.5 * _LOG_2PI + math.log(sigma[i]))
            d_sigma[i] = (squares / s2 - count) / sigma[i]
            slope = 1.0 / s2
        else:
            weighted = _weigh(e, q, 1.0 / (v * s2)) / s2
            logs = _sum_of_logs(q)
            const = math.lgamma(0.5 * (v + 1.0)) - math.lgamma(0.5 * v) - 0.5 * math.log(v * math.pi)
            logp += count * (const - math.log(sigma[i])) - 0.5 * (v + 1.0) * logs
            d_sigma[i] = ((v + 1.0) / v * weighted - count) / sigma[i]
            d_nu[i] = 0.5 * (
                count * (digamma(0.5 * (v + 1.0)) - digamma(0.5 * v) - 1.0 / v)
                - logs
                + (v + 1.0) / (v * v) * weighted
            )
            slope = (v + 1.0) / (v * s2)
        d_alpha[i] = slope * _sum(e)
        for k in range(n_factors):
            d_loadings[i, k] = slope * _dot(e, factors[k, first:last])
    return logp, d_alpha, d_loadings, d_sigma, d_nu


@njit(cache=True, nogil=True, error_model="numpy")
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
    u = np.empty(n_factors)
    second = np.zeros((n_factors, n_factors))
    first = np.zeros((n_factors, 1))
    normal = math.isinf(nu)
    count, logs, slope = 0.0, 0.0, 0.0
    for t in range(n_times):
        if seen[t] == 0.0:
            continue
        count += 1.0
        q = 0.0
        for k in range(n_factors):
            x = values[k, t] - location[k]
            for j in range(k):
                x -= chol[k, j] * u[j]
            u[k] = x / chol[k, k]
            q += u[k] * u[k]
        if normal:
            weight = 1.0
            logs += q
        else:
            weight = (nu + n_factors) / (nu + q)
            logs += math.log1p(q / nu)
            slope += weight * q
        for k in range(n_factors):
            first[k, 0] += weight * u[k]
            for j in range(n_factors):
                second[k, j] += weight * u[k] * u[j]
    if normal:
        logp = -0.5 * logs - 0.5 * count * n_factors * _LOG_2PI
        d_nu = 0.0
    else:
        a, b = 0.5 * (nu + n_factors), 0.5 * nu
        logp = count * (math.lgamma(a) - math.lgamma(b) - 0.5 * n_factors * math.log(nu * math.pi)) - a * logs
        d_nu = 0.5 * (count * (digamma(a) - digamma(b) - n_factors / nu) - logs + slope / nu)
    _solve_transposed(chol, first)
    _solve_transposed(chol, second)
    for k in range(n_factors):
        logp -= count * math.log(chol[k, k])
        second[k, k] -= count / chol[k, k]
    d_scale = np.zeros(n_factors)
    d_partial = np.zeros(partial.shape[0])
    at = 0
    for i in range(n_factors):
        # `later` holds sum over m > j of dL_im L_im: all that a partial correlation shrinks.
        later = second[i, i] * scale[i] * unit[i, i]
        d_scale[i] = second[i, i] * unit[i, i]
        left = unit[i, i]
        for j in range(i - 1, -1, -1):
            p = partial[at + j]
            d_unit = second[i, j] * scale[i]
            d_scale[i] += second[i, j] * unit[i, j]
            left /= math.sqrt(1.0 - p * p)
            d_partial[at + j] = d_unit * left - later * p / (1.0 - p * p)
            later += d_unit * unit[i, j]
        at += i
    return logp, first[:, 0].copy(), d_scale, d_partial, d_nu


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_transposed(chol, x):
    """Solve chol' y = x for lower-triangular `chol`, in place."""
    n = chol.shape[0]
    for c in range(x.shape[1]):
        for k in range(n - 1, -1, -1):
            for j in range(k + 1, n):
                x[k, c] -= chol[j, k] * x[j, c]
            x[k, c] /= chol[k, k]
