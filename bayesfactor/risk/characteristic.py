"""Characteristic functions of what a series adds up to over a horizon, given one posterior draw.

A series e_h = sqrt(v_h) Z_h with a skewed t Z and v_h+1 = after(v_h, Z_h) has, looking back from the end,

    psi_h(w | v) = E[exp(i w sqrt(v) Z) psi_h+1(w | after(v, Z))],    psi_H+1 = 1,

a one-dimensional integral for each frequency and variance: the same matrix over a grid of variances in
every period. Integrals are trapezoids in the normal number of Z, whose weights fall off like its density.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from bayesfactor.laws import ChainedLaw, skewed

__all__ = ["series_table"]

_LOWEST: Final = 0.0005
_HIGHEST: Final = 20.0
"""Frequencies, times the scale of one t."""
_END: Final = 6.8
"""Normal numbers: beyond it is a chance of 1e-11."""
_FAR: Final = 5.0
"""The grid of variances reaches as far as a shock as rare as this normal number, and e times beyond."""
_MOST_NU: Final = 1e6


def series_table(
    law: ChainedLaw | None,
    draw: int,
    variance: np.ndarray,
    nu: np.ndarray,
    skew: np.ndarray,
    share: np.ndarray,
    shut: np.ndarray,
    *,
    coarse: bool,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return psi of every series on frequencies evenly spaced in logarithms.

    Parameters
    ----------
    law : ChainedLaw, optional
        Not read for one period.
    draw : int
        Its position in `law`.
    variance : ndarray (series)
        Of the first period.
    nu, skew : ndarray (series)
    share : ndarray (horizon, series)
        What a unit of the series is in each period, in units of the largest.
    shut : ndarray of bool (horizon, series)
        Where a series does not move, which is no news to its variance.
    coarse : bool
        Use about half the nodes, to see the error.

    Returns
    -------
    table : ndarray (series, 4, frequency)
        log(-log |psi|), its slope along log frequency, the phase, and its slope.
    lowest : ndarray (series)
        log of the first frequency.
    step : float
        Between logs of frequencies.
    """
    nu, horizon = np.minimum(nu, _MOST_NU), len(share)
    step, spacing = (0.24, 0.18) if coarse else (0.16, 0.12)
    spacing = 0.5 * spacing if horizon == 1 else spacing
    n = np.arange(-_END, _END + 0.5 * spacing, spacing)
    z = skewed.quantiles(n, nu[:, None], skew[:, None])
    weight = np.exp(-0.5 * n * n)
    start, place = np.zeros(len(nu), dtype=int), np.zeros((len(nu), 1, len(n)))
    still = np.zeros((len(nu), 1))
    if horizon > 1 and law is not None:
        start, states = _reach(law, draw, variance, z, np.abs(n) <= _FAR, horizon, step)
        follows = law.after(draw, variance[:, None] * np.exp(2.0 * step * states), z)
        place = np.log(follows / variance[:, None, None]) / (2.0 * step) + start[:, None, None]
        calm = law.after(draw, variance[:, None] * np.exp(2.0 * step * states), np.full((len(nu), 1), np.nan))
        still = np.log(calm[:, :, 0] / variance[:, None]) / (2.0 * step) + start[:, None]
    unit = np.sqrt((nu - 2.0) / nu)
    count = math.ceil(math.log(_HIGHEST / _LOWEST) / step) + 1
    psi = np.empty((len(nu), count), dtype=complex)
    _look_back(z, weight / weight.sum(), place, still, start, step, _LOWEST / unit, share, shut, psi)
    return _described(psi, step), np.log(_LOWEST / (unit * np.sqrt(variance))) + step * start, step


def _reach(
    law: ChainedLaw,
    draw: int,
    variance: np.ndarray,
    z: np.ndarray,
    near: np.ndarray,
    horizon: int,
    step: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where on its grid of log scales each series starts, and the grids (series, state) from there."""
    low = high = variance
    for _ in range(horizon - 1):
        low = law.after(draw, low[:, None], z)[:, 0].min(axis=1)
    high = math.e * law.after(draw, variance[:, None], z[:, near])[:, 0].max(axis=1)
    below, above = (
        np.ceil(np.maximum(np.log(x), 0.0) / (2.0 * step)).astype(int) + 1
        for x in (variance / low, high / variance)
    )
    return below, np.arange(max(4, (below + above).max() + 1)) - below[:, None]


@njit(cache=True, nogil=True, error_model="numpy")
def _look_back(z, weight, place, still, start, step, lowest, share, shut, psi):
    """Fill `psi (series, frequency)`; `place (series, state, node)` are states that follow, as positions.

    `still (series, state)` are those that follow a period in which a series does not move.
    """
    n_series, n_states, n_nodes = place.shape
    n_omega, horizon = psi.shape[1], share.shape[0]
    known = np.empty((n_states, n_omega), dtype=np.complex128)
    fresh = np.empty((n_states, n_omega), dtype=np.complex128)
    turns = np.empty((n_nodes, n_omega), dtype=np.complex128)
    matrix = np.empty((n_states, n_states, n_omega), dtype=np.complex128)
    whole = np.empty(n_omega, dtype=np.complex128)
    # In variances rather than in their logs: the variance of what is to come is linear in them.
    w, nodes = np.empty(4), np.exp(2.0 * step * np.arange(4))
    for i in range(n_series):
        known[:] = 1.0
        for back in range(horizon):
            h = horizon - 1 - back
            alike = back > 0 and share[h, i] == share[h + 1, i] and shut[h, i] == shut[h + 1, i]
            # Frequency k and state g meet in exp(i x z) with x at k + g on one grid.
            if not alike:
                whole[:] = 0.0
                for q in range(n_nodes):
                    for k in range(n_omega):
                        x = share[h, i] * lowest[i] * math.exp(step * k) * z[i, q]
                        x = 0.0 if shut[h, i] else x
                        turns[q, k] = weight[q] * complex(math.cos(x), math.sin(x))
                        whole[k] += turns[q, k]
            if back == 0:
                known[:] = 0.0
                for g in range(min(n_states, n_omega)):
                    known[g, : n_omega - g] = whole[g:]
                continue
            if back == 1 or not alike:
                matrix[:] = 0.0
                for g in range(min(n_states, n_omega)):
                    for q in range(n_nodes):
                        after = still[i, g] if shut[h, i] else place[i, g, q]
                        at = min(max(after, 0.0), n_states - 1.0)
                        j = min(max(int(at) - 1, 0), n_states - 4)
                        _cubic(math.exp(2.0 * step * (at - j)), nodes, w)
                        for b in range(4):
                            for k in range(n_omega - g):
                                matrix[g, j + b, k] += w[b] * turns[q, k + g]
            fresh[:] = 0.0
            for g in range(min(n_states, n_omega)):
                for j in range(n_states):
                    for k in range(n_omega - g):
                        fresh[g, k] += matrix[g, j, k] * known[j, k]
            known[:] = fresh
        psi[i] = known[start[i]]


@njit(cache=True, nogil=True, error_model="numpy")
def _cubic(x, nodes, w):
    """Fill the weights of the cubic through four nodes at x."""
    for a in range(4):
        w[a] = 1.0
        for b in range(4):
            if a != b:
                w[a] *= (x - nodes[b]) / (nodes[a] - nodes[b])


def _described(psi: np.ndarray, step: float) -> np.ndarray:
    """Return log(-log |psi|) and the phase with slopes (series, 4, frequency), fit for interpolation."""
    size = np.clip(np.abs(psi), 1e-12, 1.0 - 1e-12)
    phase = np.cumsum(np.angle(psi[:, 1:] * np.conj(psi[:, :-1])), axis=1)
    phase = np.concatenate([np.zeros((len(psi), 1)), phase], axis=1) + np.angle(psi[:, :1])
    depth = np.log(-np.log(size))
    return np.stack([depth, _slopes(depth, step), phase, _slopes(phase, step)], axis=1)


def _slopes(y: np.ndarray, step: float) -> np.ndarray:
    """Return slopes along evenly spaced values, of fourth order inside."""
    out = np.gradient(y, step, axis=1)
    out[:, 2:-2] = (8.0 * (y[:, 3:-1] - y[:, 1:-3]) - (y[:, 4:] - y[:, :-4])) / (12.0 * step)
    return out
