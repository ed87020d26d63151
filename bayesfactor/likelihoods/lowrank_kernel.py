"""The fused kernel of returns whose latent factors are integrated out: one small matrix per row.

With v = Lambda' D^-1 e over the assets seen on a day, e' S^-1 e = e' D^-1 e - v' M^-1 v. M depends on a day
only through which assets are seen, so it is factorised once for each such pattern.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.woodbury import factorise
from bayesfactor.likelihoods.kernels import (
    add_products,
    digamma,
    dot,
    subtract,
    sum_of,
    vectorised,
)

__all__ = ["lowrank_kernel"]

_LOG_2PI = math.log(2.0 * math.pi)
_DAYS = 256
"""Days at a time: residuals of all assets of one piece stay in the second cache."""


@njit(cache=True, nogil=True, error_model="numpy")
def _scores(v, q, place, begin, inverse):
    """Replace v by x = M^-1 v, the latent factors' expected values, and q by e' S^-1 e."""
    n_latent, n = v.shape
    x = np.empty(n_latent)
    for t in range(n):
        m = inverse[place[begin + t]]
        taken = 0.0
        for k in range(n_latent):
            x[k] = 0.0
            for j in range(n_latent):
                x[k] += m[k, j] * v[j, t]
            taken += x[k] * v[k, t]
        q[t] -= taken
        for k in range(n_latent):
            v[k, t] = x[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_log_determinants(seen, latent, sigma, first, inverse, days, d_latent, d_variance):
    """Add the derivatives of -1/2 sum over days of log |S|."""
    n_latent = latent.shape[1]
    for p in range(first.shape[0]):
        m, t = inverse[p], first[p]
        for i in range(latent.shape[0]):
            if seen[i, t] == 0.0:
                continue
            shrink = 1.0 / (sigma[i] * sigma[i])
            taken = 0.0
            for k in range(n_latent):
                a = 0.0
                for j in range(n_latent):
                    a += m[k, j] * latent[i, j]
                d_latent[i, k] -= days[p] * shrink * a
                taken += latent[i, k] * a
            d_variance[i] -= 0.5 * days[p] * shrink * (1.0 - shrink * taken)


@vectorised
def lowrank_kernel(returns, seen, factors, pattern, alpha, loadings, latent, sigma, nu):
    """Return the total log-likelihood and its gradients.

    Rows are multivariate t(nu) around alpha + loadings factors, with the scale matrix latent latent' +
    diag sigma^2 of the assets seen.

    Parameters
    ----------
    returns : ndarray (asset, time)
        Any finite number where there is none.
    seen : ndarray (asset, time)
        1.0 where there is a return, else 0.0.
    factors : ndarray (factor, time)
    pattern : ndarray (time)
        See `bayesfactor.laws.woodbury.patterns`.
    alpha, sigma : ndarray (asset)
    loadings : ndarray (asset, factor)
    latent : ndarray (asset, latent)
    nu : float
        `inf` is the normal.

    Returns
    -------
    tuple
        log-likelihood, then its gradients in alpha, loadings, latent, sigma and nu.
    """
    n_assets, n_times = returns.shape
    n_latent = latent.shape[1]
    place, first_day, inverse, log_det, assets, days = factorise(seen, pattern, latent, sigma)
    d_alpha, d_variance, d_sigma = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
    d_loadings, d_latent = np.zeros(loadings.shape), np.zeros(latent.shape)
    residuals = np.empty((n_assets, _DAYS))
    x_buffer, buffers = np.empty((n_latent, _DAYS)), np.empty((3, _DAYS))
    there = np.zeros(n_assets)
    normal = math.isinf(nu)
    logp, d_nu = 0.0, 0.0
    for first in range(0, n_times, _DAYS):
        last = min(first + _DAYS, n_times)
        n = last - first
        q, weight, g = buffers[0, :n], buffers[1, :n], buffers[2, :n]
        x = x_buffer[:, :n]
        q[:] = 0.0
        x[:] = 0.0
        for i in range(n_assets):
            here, e, row, mean = seen[i, first:last], residuals[i, :n], returns[i, first:last], alpha[i]
            there[i] = sum_of(here)
            if there[i] == 0.0:
                continue
            for t in range(n):
                e[t] = row[t] - mean
            subtract(e, factors, loadings[i], first)
            if there[i] < n:
                for t in range(n):
                    e[t] *= here[t]
            shrink = 1.0 / (sigma[i] * sigma[i])
            for t in range(n):
                q[t] += shrink * e[t] * e[t]
            for k in range(n_latent):
                a, v = shrink * latent[i, k], x[k]
                for t in range(n):
                    v[t] += a * e[t]
        _scores(x, q, place, first, inverse)
        if normal:
            logp -= 0.5 * sum_of(q)
            weight[:] = 1.0
        else:
            for t in range(n):
                d = assets[place[first + t]]
                weight[t] = (nu + d) / (nu + q[t])
                log_q = math.log1p(q[t] / nu)
                logp -= 0.5 * (nu + d) * log_q
                d_nu += 0.5 * (weight[t] * q[t] / nu - log_q)
        for i in range(n_assets):
            if there[i] == 0.0:
                continue
            here, e, shrink = seen[i, first:last], residuals[i, :n], 1.0 / (sigma[i] * sigma[i])
            subtract(e, x, latent[i], 0)
            for t in range(n):
                e[t] *= shrink * here[t]
                g[t] = weight[t] * e[t]
            d_variance[i] += 0.5 * dot(e, g)
            d_alpha[i] += sum_of(g)
            add_products(g, factors, first, d_loadings[i])
            add_products(g, x, 0, d_latent[i])
    for p in range(first_day.shape[0]):
        d = assets[p]
        logp -= 0.5 * days[p] * log_det[p]
        if normal:
            logp -= 0.5 * days[p] * d * _LOG_2PI
        else:
            const = math.lgamma(0.5 * (nu + d)) - math.lgamma(0.5 * nu) - 0.5 * d * math.log(nu * math.pi)
            logp += days[p] * const
            d_nu += 0.5 * days[p] * (digamma(0.5 * (nu + d)) - digamma(0.5 * nu) - d / nu)
    _add_log_determinants(seen, latent, sigma, first_day, inverse, days, d_latent, d_variance)
    for i in range(n_assets):
        d_sigma[i] = 2.0 * sigma[i] * d_variance[i]
    return logp, d_alpha, d_loadings, d_latent, d_sigma, d_nu
