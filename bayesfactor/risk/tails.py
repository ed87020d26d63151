"""Tails of a sum of independent Student-t's, by inversion of its characteristic function.

Given a posterior draw, the loss is a constant plus Y = sum_j c_j T_j with independent T_j ~
t(nu_j). With R(w) = prod psi_j(c_j w), real because each term is symmetric (Gil-Pelaez 1951),

    P(Y > y)       = 1/2 - (1/pi) int R sin(wy) / w dw
    p(y)           = (1/pi) int R cos(wy) dw
    E[Y_j; Y > y]  = (1/pi) int R rho_j cos(wy) / w dw,   rho_j = -d log psi_j(c_j w) / dw
    E[Y_j | Y = y] = (1/pi) int R rho_j sin(wy) dw / p(y)

so VaR, ES and who contributes what are exact up to quadrature: no paths, no noise between draws.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.risk.student_cf import log_psi_and_slope

__all__ = ["COARSE", "FINE", "nodes", "tail_kernel"]

_TINY = -36.0
"""log R below which the integrand is nothing (2e-16)."""
_HALVINGS = 16
FINE = _GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(16)
COARSE = _COARSE_X, _COARSE_W = np.polynomial.legendre.leggauss(8)


@njit(cache=True, nogil=True)
def _log_r(omega, scales, nus, repeat, table, log_slopes, slope):
    """Return log R at the nodes and fill `slope (term, node)` with -psi'/psi of each term."""
    out = np.zeros(omega.shape[0])
    log_omega = np.log(omega)
    for j in range(scales.shape[0]):
        log_psi_and_slope(nus[j], omega, log_omega, scales[j], table, log_slopes, out, slope[j])
    return repeat * out


@njit(cache=True, nogil=True)
def _cutoff(scales, nus, repeat, table, log_slopes):
    """Return the frequency beyond which R is nothing."""
    omega = np.ones(1)
    slope = np.empty((scales.shape[0], 1))
    for _ in range(200):
        if _log_r(omega, scales, nus, repeat, table, log_slopes, slope)[0] < _TINY:
            break
        omega[0] *= 1.25
    return omega[0]


@njit(cache=True, nogil=True)
def nodes(cutoff, farthest, gauss_x, gauss_w):
    """Return nodes and weights: panels halving towards 0, each cut so that cos(w y) stays resolved."""
    pieces = np.empty(_HALVINGS + 1, dtype=np.int64)
    total = 0
    for h in range(_HALVINGS + 1):
        width = cutoff * 0.5 ** min(h + 1, _HALVINGS)
        pieces[h] = 1 + int(width * farthest / 6.0)
        total += pieces[h]
    m = gauss_x.shape[0]
    omega, weight = np.empty(total * m), np.empty(total * m)
    at = total * m
    upper = cutoff
    for h in range(_HALVINGS + 1):
        lower = 0.0 if h == _HALVINGS else 0.5 * upper
        step = (upper - lower) / pieces[h]
        for p in range(pieces[h]):
            right = upper - p * step
            for g in range(m - 1, -1, -1):
                at -= 1
                omega[at] = right - step * 0.5 * (1.0 - gauss_x[g])
                weight[at] = 0.5 * step * gauss_w[g]
        upper = lower
    return omega, weight


@njit(cache=True, nogil=True)
def _survival(y, omega, weighted):
    total = 0.0
    for q in range(omega.shape[0]):
        total += weighted[q] * math.sin(omega[q] * y) / omega[q]
    return 0.5 - total / math.pi


@njit(cache=True, nogil=True)
def _density(y, omega, weighted):
    total = 0.0
    for q in range(omega.shape[0]):
        total += weighted[q] * math.cos(omega[q] * y)
    return total / math.pi


@njit(cache=True, nogil=True)
def _quantile(tail, low, high, omega, weighted):
    """Return y with P(Y > y) = tail by Newton's method, kept inside a shrinking bracket."""
    y = low
    for _ in range(100):
        gap = _survival(y, omega, weighted) - tail
        if gap > 0.0:
            low = y
        else:
            high = y
        slope = _density(y, omega, weighted)
        step = y + gap / slope if slope > 0.0 else math.inf
        new = step if low < step < high else 0.5 * (low + high)
        if abs(new - y) <= 1e-13 * (1.0 + abs(y)) * high or high - low <= 1e-14 * high:
            return new
        y = new
    return y


@njit(cache=True, nogil=True)
def _resolve(farthest, cutoff, unit, nus, repeat, table, log_slopes, gauss_x, gauss_w):
    """Return nodes, weights times R there, and each term's slope, fit for y up to `farthest`."""
    omega, weight = nodes(cutoff, farthest, gauss_x, gauss_w)
    slope = np.empty((unit.shape[0], omega.shape[0]))
    return omega, weight * np.exp(_log_r(omega, unit, nus, repeat, table, log_slopes, slope)), slope


@njit(cache=True, nogil=True)
def _one(scales, nus, repeat, tails, table, log_slopes, gauss_x, gauss_w, quantiles, beyond, at):
    size = math.sqrt(repeat * np.sum(scales * scales))
    unit = scales / size
    cutoff = _cutoff(unit, nus, repeat, table, log_slopes)
    farthest = 8.0
    law = (unit, nus, repeat, table, log_slopes, gauss_x, gauss_w)
    omega, weighted, slope = _resolve(farthest, cutoff, *law)
    # Widen until the farthest quantile lies inside what the nodes resolve.
    while _survival(farthest, omega, weighted) >= tails.min() and farthest < 1e5:
        farthest *= 2.0
        omega, weighted, slope = _resolve(farthest, cutoff, *law)
    for level in range(tails.shape[0]):
        y = _quantile(tails[level], 0.0, farthest, omega, weighted)
        density = _density(y, omega, weighted)
        over = weighted * np.cos(omega * y) / (omega * (math.pi * tails[level]))
        exact = weighted * np.sin(omega * y) / (math.pi * density)
        for j in range(unit.shape[0]):
            a, b = 0.0, 0.0
            for q in range(omega.shape[0]):
                a += over[q] * slope[j, q]
                b += exact[q] * slope[j, q]
            beyond[level, j] = a
            at[level, j] = b
        quantiles[level] = y * size


@njit(cache=True, nogil=True)
def tail_kernel(scales, nus, repeat, tails, table, log_slopes, coarse, quantiles, beyond, at):
    """Fill quantiles and conditional means for many draws.

    Parameters
    ----------
    scales, nus : ndarray (draw, term)
        c_j and nu_j of the independent terms; scale 0 is a term that is not there.
    repeat : int
        How many independent copies of all terms are summed (periods).
    tails : ndarray (level)
        1 - level, below one half.
    table, log_slopes : ndarray
        From `cf_table`.
    coarse : bool
        Use half the nodes, to see the error of the quadrature.
    quantiles : ndarray (draw, level)
        Out: y with P(Y > y) = tail.
    beyond, at : ndarray (draw, level, term)
        Out: E[Y_j | Y > y] / c_j and E[Y_j | Y = y] / c_j of one copy.
    """
    x, w = (_COARSE_X, _COARSE_W) if coarse else (_GAUSS_X, _GAUSS_W)
    for d in range(scales.shape[0]):
        if np.any(scales[d] > 0.0):
            _one(scales[d], nus[d], repeat, tails, table, log_slopes, x, w, quantiles[d], beyond[d], at[d])
        else:
            quantiles[d] = 0.0
            beyond[d] = 0.0
            at[d] = 0.0
