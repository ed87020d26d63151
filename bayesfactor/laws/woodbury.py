"""Inverses and determinants of low rank plus diagonal, one small matrix per pattern of missing assets.

S = Lambda Lambda' + D over the assets seen on a day. With M = I + Lambda' D^-1 Lambda,
S^-1 = D^-1 - D^-1 Lambda M^-1 Lambda' D^-1 and |S| = |D| |M| (Woodbury; Sylvester).
"""

import math

import numpy as np
from numba import njit

__all__ = ["factorise", "invert", "patterns"]


def patterns(seen: np.ndarray) -> np.ndarray:
    """Return, for each day, the first day on which the same assets were seen (time).

    Parameters
    ----------
    seen : ndarray (asset, time)
    """
    _, first, which = np.unique(seen > 0, axis=1, return_index=True, return_inverse=True)
    return first[which.ravel()].astype("float64")


@njit(cache=True, nogil=True, error_model="numpy")
def invert(m):
    """Replace a positive definite matrix by its inverse, in place; return its log determinant."""
    n = m.shape[0]
    log_det = 0.0
    for j in range(n):
        pivot = m[j, j]
        log_det += math.log(pivot)
        m[j, j] = 1.0
        for c in range(n):
            m[j, c] /= pivot
        for i in range(n):
            if i != j:
                ratio = m[i, j]
                m[i, j] = 0.0
                for c in range(n):
                    m[i, c] -= ratio * m[j, c]
    return log_det


@njit(cache=True, nogil=True, error_model="numpy")
def factorise(seen, pattern, latent, sigma):
    """Return what rows need to know of S, per pattern of assets seen.

    Parameters
    ----------
    seen : ndarray (asset, time)
    pattern : ndarray (time)
        See `patterns`.
    latent : ndarray (asset, latent)
    sigma : ndarray (asset)

    Returns
    -------
    place : ndarray (time)
        The pattern of each day.
    first : ndarray (pattern)
        Its first day.
    inverse : ndarray (pattern, latent, latent)
        M^-1.
    log_det : ndarray (pattern)
        log |S|.
    assets, days : ndarray (pattern)
        How many assets are seen, and on how many days.
    """
    n_assets, n_times = seen.shape
    n_latent = latent.shape[1]
    place = np.empty(n_times, dtype=np.int64)
    n_patterns = 0
    for t in range(n_times):
        if int(pattern[t]) == t:
            place[t] = n_patterns
            n_patterns += 1
        else:
            place[t] = place[int(pattern[t])]
    first = np.empty(n_patterns, dtype=np.int64)
    days, assets, log_det = np.zeros(n_patterns), np.zeros(n_patterns), np.zeros(n_patterns)
    inverse = np.zeros((n_patterns, n_latent, n_latent))
    for t in range(n_times):
        p = place[t]
        days[p] += 1.0
        if int(pattern[t]) != t:
            continue
        first[p] = t
        m = inverse[p]
        for k in range(n_latent):
            m[k, k] = 1.0
        for i in range(n_assets):
            if seen[i, t] == 0.0:
                continue
            assets[p] += 1.0
            log_det[p] += 2.0 * math.log(sigma[i])
            shrink = 1.0 / (sigma[i] * sigma[i])
            for k in range(n_latent):
                a = latent[i, k] * shrink
                for j in range(n_latent):
                    m[k, j] += a * latent[i, j]
        log_det[p] += invert(m)
    return place, first, inverse, log_det, assets, days
