"""Tails of a sum of independent terms that need not be symmetric, from its characteristic function.

With R(w) = prod psi_j(c_j w) and rho_j(w) = d log psi_j(c_j w) / dw, both complex (Gil-Pelaez 1951; `tails`
is the same for symmetric terms),

    P(Y > y)       = 1/2 + (1/pi) int Im[exp(-iwy) R] / w dw
    p(y)           = (1/pi) int Re[exp(-iwy) R] dw
    E[Y_j; Y > y]  = (1/pi) int Im[-i rho_j exp(-iwy) R] / w dw
    E[Y_j | Y = y] = (1/pi) int Re[-i rho_j exp(-iwy) R] dw / p(y)
"""

import math

import numpy as np
from numba import njit

from bayesfactor.risk.tails import COARSE, FINE, nodes

__all__ = ["tails_of_sum"]

_TINY = -18.0
"""log |R| below which the integrand is nothing (1.5e-8)."""


@njit(cache=True, nogil=True, error_model="numpy")
def _between(at, step, y, dy):
    """Return the cubic through values and slopes at position `at` of an even grid, and its slope."""
    i = min(int(at), y.shape[0] - 2)
    u = at - i
    w = 1.0 - u
    a, b, da, db = y[i], y[i + 1], step * dy[i], step * dy[i + 1]
    value = a * w * w * (1.0 + 2.0 * u) + b * u * u * (1.0 + 2.0 * w) + u * w * (da * w - db * u)
    slope = 6.0 * u * w * (b - a) + da * w * (w - 2.0 * u) + db * u * (u - 2.0 * w)
    return value, slope / step


@njit(cache=True, nogil=True, error_model="numpy")
def _term(omega, c, table, lowest, step):
    """Return log |psi| and phase at c omega, and their derivatives in omega."""
    if c == 0.0:
        return 0.0, 0.0, 0.0, 0.0
    at = (math.log(abs(c) * omega) - lowest) / step
    if at < 0.0:
        # What is quadratic falls off quadratically; the phase falls off faster and is nothing here.
        depth = math.exp(table[0, 0] + table[1, 0] * at * step)
        return -depth, 0.0, -depth * table[1, 0] / omega, 0.0
    depth, steepness = _between(at, step, table[0], table[1])
    phase, turn = _between(at, step, table[2], table[3])
    side = 1.0 if c > 0.0 else -1.0
    depth = math.exp(depth)
    return -depth, side * phase, -depth * steepness / omega, side * turn / omega


@njit(cache=True, nogil=True, error_model="numpy")
def _cutoff(c, table, lowest, step):
    """Return the frequency beyond which R is nothing, or beyond what a table holds."""
    end = math.inf
    for j in range(len(c)):
        if c[j] != 0.0:
            last = lowest[j] + step * (table.shape[2] - 1)
            end = min(end, math.exp(last) / abs(c[j]))
    low, high = math.log(end) - 12.0, math.log(end)
    for _ in range(40):
        middle, total = 0.5 * (low + high), 0.0
        for j in range(len(c)):
            total += _term(math.exp(middle), c[j], table[j], lowest[j], step)[0]
        if total < _TINY:
            high = middle
        else:
            low = middle
    return math.exp(high)


@njit(cache=True, nogil=True, error_model="numpy")
def _chance(y, omega, size, phase):
    """Return P(Y > y) and the density there; `size` is |R| times the weights of the nodes over pi."""
    beyond, density = 0.5, 0.0
    for q in range(omega.shape[0]):
        angle = phase[q] - omega[q] * y
        beyond += size[q] * math.sin(angle) / omega[q]
        density += size[q] * math.cos(angle)
    return beyond, density


@njit(cache=True, nogil=True, error_model="numpy")
def _quantile(tail, farthest, omega, size, phase):
    """Return y with P(Y > y) = tail by Newton's method, kept inside a shrinking bracket."""
    low, high, y = -farthest, farthest, 0.0
    for _ in range(100):
        beyond, density = _chance(y, omega, size, phase)
        if beyond > tail:
            low = y
        else:
            high = y
        step = y + (beyond - tail) / density if density > 0.0 else math.inf
        new = step if low < step < high else 0.5 * (low + high)
        if abs(new - y) <= 1e-13 * farthest:
            return new
        y = new
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def _resolve(farthest, cutoff, c, table, lowest, step, gauss_x, gauss_w):
    """Return nodes, |R| times weights over pi, the phase of R, and derivatives (term, node) of log psi."""
    omega, weight = nodes(cutoff, farthest, gauss_x, gauss_w)
    size, phase = np.zeros(len(omega)), np.zeros(len(omega))
    falls, turns = np.empty((len(c), len(omega))), np.empty((len(c), len(omega)))
    for j in range(len(c)):
        for q in range(len(omega)):
            depth, angle, falls[j, q], turns[j, q] = _term(omega[q], c[j], table[j], lowest[j], step)
            size[q] += depth
            phase[q] += angle
    return omega, weight * np.exp(size) / math.pi, phase, falls, turns


@njit(cache=True, nogil=True, error_model="numpy")
def _run(c, table, lowest, step, tails, gauss_x, gauss_w, quantiles, beyond, at):
    cutoff, farthest = _cutoff(c, table, lowest, step), 8.0
    law = (c, table, lowest, step, gauss_x, gauss_w)
    omega, size, phase, falls, turns = _resolve(farthest, cutoff, *law)
    # Widen until the farthest quantile lies inside what the nodes resolve.
    while _chance(farthest, omega, size, phase)[0] >= tails.min() and farthest < 1e5:
        farthest *= 2.0
        omega, size, phase, falls, turns = _resolve(farthest, cutoff, *law)
    for level in range(len(tails)):
        y = _quantile(tails[level], farthest, omega, size, phase)
        chance, density = _chance(y, omega, size, phase)
        quantiles[level] = y
        beyond[level], at[level] = 0.0, 0.0
        for q in range(len(omega)):
            angle = phase[q] - omega[q] * y
            real, imaginary = size[q] * math.cos(angle), size[q] * math.sin(angle)
            for j in range(len(c)):
                over = turns[j, q] * imaginary - falls[j, q] * real
                beyond[level, j] += over / (omega[q] * chance)
                at[level, j] += (turns[j, q] * real + falls[j, q] * imaginary) / density


def tails_of_sum(
    c: np.ndarray, table: np.ndarray, lowest: np.ndarray, step: float, tails: np.ndarray, *, coarse: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return quantiles (level), E[Y_j | Y > y] and E[Y_j | Y = y] (level, term) of Y = sum c_j X_j.

    Parameters
    ----------
    c : ndarray (term)
    table, lowest, step
        From `series_table`.
    tails : ndarray (level)
        P(Y > y).
    coarse : bool
        Use half the nodes, to see the error.
    """
    quantiles, beyond, at = np.zeros(len(tails)), *np.zeros((2, len(tails), len(c)))
    if c.any():
        # In units of the loss's own scale, where a table says psi = exp(-1).
        size = _scale(c, table, lowest, step)
        _run(c / size, table, lowest, step, tails, *(COARSE if coarse else FINE), quantiles, beyond, at)
        quantiles, beyond, at = (size * x for x in (quantiles, beyond, at))
    return quantiles, beyond, at


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(c, table, lowest, step):
    """Return one over the frequency at which |R| is exp(-1)."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle, total = 0.5 * (low + high), 0.0
        for j in range(len(c)):
            at = (math.log(abs(c[j])) + middle - lowest[j]) / step if c[j] != 0.0 else 0.0
            if at > table.shape[2] - 1:
                total = -math.inf
            else:
                total += _term(math.exp(middle), c[j], table[j], lowest[j], step)[0]
        if total < -1.0:
            high = middle
        else:
            low = middle
    return math.exp(-high)
