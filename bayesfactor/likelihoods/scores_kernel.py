"""The fused kernels of returns given sampled latent factors, and of the latent factors themselves.

Latent factors z are sampled as y_k = |lambda_k| z_k, with |lambda_k| the norm of their column of loadings:
returns pin y and the direction of the column, and its length moves alone. Sampled as z, every day had
to move with every loading for the scale of a factor to change (compare Kastner, Fruhwirth-Schnatter
and Lopes 2017, sec. 3.3, "deep interweaving").
"""

import math

import numpy as np

from bayesfactor.likelihoods.kernels import (
    DAYS,
    add_products,
    digamma,
    dot,
    subtract,
    sum_of,
    sum_of_logs,
    vectorised,
    weigh,
)

__all__ = ["TINY", "scores_kernel", "spherical_kernel"]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


TINY = 1e-12
"""Added to squared norms, so that loadings of exactly zero, where graphs start, are a point like others."""


@vectorised
def scores_kernel(returns, seen, factors, alpha, loadings, latent, sigma, nu, scores):
    """Return the total log-likelihood and its gradients.

    Cells are independent t(nu_i) around alpha + loadings factors + sum_k latent_k / |latent_k| scores_k.

    Parameters
    ----------
    returns : ndarray (asset, time)
        Any finite number where there is none.
    seen : ndarray (asset, time)
        1.0 where there is a return, else 0.0.
    factors : ndarray (factor, time)
    alpha, sigma, nu : ndarray (asset)
    loadings : ndarray (asset, factor)
    latent : ndarray (asset, latent)
    scores : ndarray (latent, time)
        y, latent factors times the norm of their loadings.

    Returns
    -------
    tuple
        log-likelihood, then its gradients in alpha, loadings, latent, sigma, nu and scores.
    """
    norm = _norms(latent)
    latent = latent / norm
    n_assets, n_times = returns.shape
    n_latent = latent.shape[1]
    d_alpha, d_sigma, d_nu = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
    d_loadings, d_latent = np.zeros(loadings.shape), np.zeros(latent.shape)
    d_scores = np.zeros(scores.shape)
    count, weighted, logs = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
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
            row, mean, v = returns[i, first:last], alpha[i], nu[i]
            for t in range(e.shape[0]):
                e[t] = row[t] - mean
            subtract(e, factors, loadings[i], first)
            subtract(e, scores, latent[i], first)
            if days < e.shape[0]:
                for t in range(e.shape[0]):
                    e[t] *= here[t]
            weighted[i] += weigh(e, q, 1.0 / (v * sigma[i] * sigma[i]))
            logs[i] += sum_of_logs(q, buffers[2])
            slope = (v + 1.0) / (v * sigma[i] * sigma[i])
            for t in range(e.shape[0]):
                e[t] *= slope
            d_alpha[i] += sum_of(e)
            add_products(e, factors, first, d_loadings[i])
            add_products(e, scores, first, d_latent[i])
            for k in range(n_latent):
                out, b = d_scores[k, first:last], latent[i, k]
                for t in range(e.shape[0]):
                    out[t] += b * e[t]
    logp = 0.0
    for i in range(n_assets):
        if count[i] == 0.0:
            continue
        v, squares = nu[i], weighted[i] / (sigma[i] * sigma[i])
        const = math.lgamma(0.5 * (v + 1.0)) - math.lgamma(0.5 * v) - 0.5 * math.log(v * math.pi)
        logp += count[i] * (const - math.log(sigma[i])) - 0.5 * (v + 1.0) * logs[i]
        d_sigma[i] = ((v + 1.0) / v * squares - count[i]) / sigma[i]
        d_nu[i] = 0.5 * (
            count[i] * (digamma(0.5 * (v + 1.0)) - digamma(0.5 * v) - 1.0 / v)
            - logs[i]
            + (v + 1.0) / (v * v) * squares
        )
    for k in range(n_latent):
        along = dot(latent[:, k].copy(), d_latent[:, k].copy())
        for i in range(n_assets):
            d_latent[i, k] = (d_latent[i, k] - along * latent[i, k]) / norm[k]
    return logp, d_alpha, d_loadings, d_latent, d_sigma, d_nu, d_scores


@vectorised
def _norms(latent):
    norm = np.zeros(latent.shape[1])
    for i in range(latent.shape[0]):
        for k in range(latent.shape[1]):
            norm[k] += latent[i, k] * latent[i, k]
    return np.sqrt(norm + TINY)


@vectorised
def spherical_kernel(scores, latent, nu):
    """Return the log density of columns y with independent z = y / |latent| ~ t(nu, I), and its gradients.

    Parameters
    ----------
    scores : ndarray (latent, time)
        y.
    latent : ndarray (asset, latent)
    nu : float
        `inf` is the normal.

    Returns
    -------
    tuple
        log density, then its gradients in scores, latent and nu.
    """
    norm = _norms(latent)
    logp, slope, d_nu = _spherical(scores / norm.reshape(-1, 1), nu)
    d_latent = np.empty(latent.shape)
    for k in range(scores.shape[0]):
        pull = dot(slope[k], scores[k]) / norm[k] + scores.shape[1]
        logp -= scores.shape[1] * math.log(norm[k])
        for t in range(scores.shape[1]):
            slope[k, t] /= norm[k]
        for i in range(latent.shape[0]):
            d_latent[i, k] = -pull * latent[i, k] / (norm[k] * norm[k])
    return logp, slope, d_latent, d_nu


@vectorised
def _spherical(scores, nu):
    """Return log density and gradients of columns that are independent t(nu) with scale I."""
    n_latent, n_times = scores.shape
    q, slope = np.zeros(n_times), np.zeros(scores.shape)
    for k in range(n_latent):
        z = scores[k]
        for t in range(n_times):
            q[t] += z[t] * z[t]
    if math.isinf(nu):
        for k in range(n_latent):
            for t in range(n_times):
                slope[k, t] = -scores[k, t]
        return -0.5 * sum_of(q) - n_times * n_latent * _HALF_LOG_2PI, slope, 0.0
    logs, pull = 0.0, 0.0
    for t in range(n_times):
        logs += math.log1p(q[t] / nu)
        weight = (nu + n_latent) / (nu + q[t])
        pull += weight * q[t]
        q[t] = weight
    for k in range(n_latent):
        for t in range(n_times):
            slope[k, t] = -q[t] * scores[k, t]
    a, b = 0.5 * (nu + n_latent), 0.5 * nu
    logp = n_times * (math.lgamma(a) - math.lgamma(b) - 0.5 * n_latent * math.log(nu * math.pi)) - a * logs
    d_nu = 0.5 * (n_times * (digamma(a) - digamma(b) - n_latent / nu) - logs + pull / nu)
    return logp, slope, d_nu
