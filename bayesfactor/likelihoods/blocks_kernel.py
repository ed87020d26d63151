"""The fused kernel of the factors' law in blocks: log-likelihood and all gradients, pattern by pattern.

With C = L L' in the order of the blocks and y = (f - location) / scale, a block's shocks are
e_b = y_b - G_b y_< with G_b = L_b< L_<<^-1, multivariate t(nu_b) with scale matrix L_bb L_bb' of the factors
that are open. A factor that is closed is no part of anything on that day (`bayesfactor.laws.factors`).
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.correlation import partial_cholesky
from bayesfactor.likelihoods.kernels import (
    digamma,
    dot,
    solve_transposed,
    subtract,
    sum_of,
    through_cholesky,
)

__all__ = ["blocks_kernel"]


@njit(cache=True, nogil=True, error_model="numpy")
def _regression(chol, first, last):
    """Return G = L_b< L_<<^-1 of the rows from `first` to `last` (row, before)."""
    g = chol[first:last, :first].copy()
    for i in range(g.shape[0]):
        for j in range(first - 1, -1, -1):
            for k in range(j + 1, first):
                g[i, j] -= g[i, k] * chol[k, j]
            g[i, j] /= chol[j, j]
    return g


@njit(cache=True, nogil=True, error_model="numpy")
def _through_regression(chol, g, d_g, first, last, d_chol):
    """Add the derivatives in L of one regression to `d_chol`, given those in G."""
    if first == 0:
        return
    # X = dG L_<<^-T, row by row: L_<< x' = dG'.
    x = d_g.copy()
    for i in range(x.shape[0]):
        for j in range(first):
            for k in range(j):
                x[i, j] -= chol[j, k] * x[i, k]
            x[i, j] /= chol[j, j]
    for i in range(x.shape[0]):
        for j in range(first):
            d_chol[first + i, j] += x[i, j]
            for k in range(first):
                d_chol[k, j] -= g[i, k] * x[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _cholesky(a):
    n = a.shape[0]
    chol = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= chol[i, k] * chol[j, k]
            chol[i, j] = math.sqrt(total) if i == j else total / chol[j, j]
    return chol


@njit(cache=True, nogil=True, error_model="numpy")
def _of_block(e, scale, nu, d_scale):
    """Replace e (row, time) by minus its derivative; add those in the scale matrix (halved, symmetric).

    Return log-likelihood and the derivative in nu.
    """
    n, days = e.shape
    chol = _cholesky(scale)
    w, q, weight = np.empty((n, days)), np.zeros(days), np.ones(days)
    log_det = 0.0
    for k in range(n):
        w[k] = e[k]
        subtract(w[k], w, chol[k, :k], 0)
        w[k] /= chol[k, k]
        for t in range(days):
            q[t] += w[k, t] * w[k, t]
        log_det += math.log(chol[k, k])
    if math.isinf(nu):
        logp, d_nu = -0.5 * sum_of(q) - 0.5 * n * days * math.log(2.0 * math.pi), 0.0
    else:
        logs = 0.0
        for t in range(days):
            weight[t] = (nu + n) / (nu + q[t])
            logs += math.log1p(q[t] / nu)
        a, b = 0.5 * (nu + n), 0.5 * nu
        logp = days * (math.lgamma(a) - math.lgamma(b) - 0.5 * n * math.log(nu * math.pi)) - a * logs
        d_nu = 0.5 * (days * (digamma(a) - digamma(b) - n / nu) - logs + dot(weight, q) / nu)
    # e becomes S^-1 e times its weight; sums of its products with e are what S feels.
    solve_transposed(chol, w)
    inverse = np.eye(n)
    for k in range(n):
        for j in range(n):
            for i in range(k):
                inverse[k, j] -= chol[k, i] * inverse[i, j]
            inverse[k, j] /= chol[k, k]
    solve_transposed(chol, inverse)
    for k in range(n):
        for t in range(days):
            e[k, t] = weight[t] * w[k, t]
    for k in range(n):
        for j in range(n):
            d_scale[k, j] += 0.5 * (dot(e[k], w[j]) - days * inverse[k, j])
    return logp - days * log_det, d_nu


@njit(cache=True, nogil=True, error_model="numpy")
def blocks_kernel(values, pattern, block, seen, location, scale, partial, nu):
    """Return the log-likelihood of factors in blocks and its gradients.

    Parameters
    ----------
    values : ndarray (factor, time)
    pattern : ndarray (time)
        The first day with the same factors open, see `bayesfactor.laws.woodbury.patterns`.
    block : ndarray (factor)
        Position of each factor's block.
    seen : ndarray (factor, time)
        1.0 where a factor is open, else 0.0.
    location, scale : ndarray (factor)
    partial : ndarray (pair)
        Partial correlations of factors in the order of their blocks, see `bayesfactor.laws.correlation`.
    nu : ndarray (block)
        `inf` is the normal.

    Returns
    -------
    tuple
        log-likelihood, then its gradients in location, scale, partial and nu.
    """
    n_factors = values.shape[0]
    order = np.argsort(block, kind="mergesort")
    chol = partial_cholesky(partial, n_factors)
    d_chol, d_nu = np.zeros((n_factors, n_factors)), np.zeros(nu.shape[0])
    d_location, d_scale = np.zeros(n_factors), np.zeros(n_factors)
    ends = np.zeros(nu.shape[0] + 1, dtype=np.int64)
    for k in range(n_factors):
        ends[int(block[k]) + 1] += 1
    ends = np.cumsum(ends)
    logp = 0.0
    kinds = np.unique(pattern)
    for b in range(nu.shape[0]):
        first, last = ends[b], ends[b + 1]
        g = _regression(chol, first, last)
        root = chol[first:last, first:last].copy()
        whole = root @ root.T
        d_g, d_whole = np.zeros(g.shape), np.zeros(whole.shape)
        for kind in kinds:
            here = seen[:, int(kind)][order]
            mine = np.flatnonzero(here[first:last])
            n, m = mine.shape[0], first
            if n == 0:
                continue
            days = np.flatnonzero(pattern == kind)
            y = np.zeros((last, days.shape[0]))
            for k in range(last):
                f = order[k]
                if here[k] > 0.0:
                    for t in range(days.shape[0]):
                        y[k, t] = (values[f, days[t]] - location[f]) / scale[f]
            e, own = np.empty((n, days.shape[0])), np.empty((n, n))
            d_own, slope = np.zeros((n, n)), np.empty(m)
            for i in range(n):
                e[i] = y[first + mine[i]]
                slope[:] = g[mine[i]]
                subtract(e[i], y, slope, 0)
                for j in range(n):
                    own[i, j] = whole[mine[i], mine[j]]
            value, tail = _of_block(e, own, nu[b], d_own)
            logp += value
            d_nu[b] += tail
            for i in range(n):
                k = first + mine[i]
                f = order[k]
                logp -= days.shape[0] * math.log(scale[f])
                d_location[f] += sum_of(e[i]) / scale[f]
                d_scale[f] += (dot(e[i], y[k]) - days.shape[0]) / scale[f]
                for j in range(n):
                    d_whole[mine[i], mine[j]] += d_own[i, j]
                for j in range(m):
                    if here[j] > 0.0:
                        along = dot(e[i], y[j])
                        d_g[mine[i], j] += along
                        d_location[order[j]] -= g[mine[i], j] * sum_of(e[i]) / scale[order[j]]
                        d_scale[order[j]] -= g[mine[i], j] * along / scale[order[j]]
        _through_regression(chol, g, d_g, first, last, d_chol)
        for i in range(last - first):
            for j in range(i + 1):
                for k in range(last - first):
                    d_chol[first + i, first + j] += 2.0 * d_whole[i, k] * chol[first + k, first + j]
    unit = np.ones(n_factors)
    d_partial = through_cholesky(d_chol, chol, unit, partial)[1]
    return logp, d_location, d_scale, d_partial, d_nu
