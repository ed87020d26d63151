"""The characteristic function of the Student-t, from a table.

psi_nu(t) = (sqrt(nu)|t|)^(nu/2) K_{nu/2}(sqrt(nu)|t|) / (Gamma(nu/2) 2^(nu/2-1)); Hurst (1995).
A loss of many independent t's needs it millions of times, and a Bessel function costs half a
microsecond, so log psi and its slope are interpolated (six points each way, error below 1e-9).
"""

import math
from functools import cache

import numpy as np
from numba import njit
from scipy import special

__all__ = ["cf_table", "log_psi_and_slope"]

_NU_STEP, _Z_STEP = 0.05, 0.03
_LOG_NU = np.arange(math.log(0.3), math.log(2e6), _NU_STEP)
_LOG_Z = np.arange(math.log(1e-6), math.log(1e5), _Z_STEP)
_LARGE_ORDER = 25.0


def _log_bessel(order: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return log K_order(z); for large orders by Debye's uniform expansion (DLMF 10.41.4)."""
    order = np.abs(order)
    with np.errstate(all="ignore"):
        direct = np.log(special.kve(order, z)) - z
        a = np.maximum(order, 1.0)
        x = z / a
        root = np.sqrt(1.0 + x * x)
        p = 1.0 / root
        u1 = (3.0 * p - 5.0 * p**3) / 24.0
        u2 = (81.0 * p**2 - 462.0 * p**4 + 385.0 * p**6) / 1152.0
        u3 = (30375.0 * p**3 - 369603.0 * p**5 + 765765.0 * p**7 - 425425.0 * p**9) / 414720.0
        u4 = (
            4465125.0 * p**4
            - 94121676.0 * p**6
            + 349922430.0 * p**8
            - 446185740.0 * p**10
            + 185910725.0 * p**12
        ) / 39813120.0
        eta = root + np.log(x / (1.0 + root))
        series = 1.0 - u1 / a + u2 / a**2 - u3 / a**3 + u4 / a**4
        debye = 0.5 * np.log(np.pi / (2.0 * a)) - a * eta - 0.5 * np.log(root) + np.log(series)
    return np.where(order > _LARGE_ORDER, debye, direct)


@cache
def cf_table() -> tuple[np.ndarray, np.ndarray]:
    """Return log psi and log(-psi'/(psi t)) on the grid of (log nu, log z), z = sqrt(nu) t."""
    nu = np.exp(_LOG_NU)[:, None]
    z = np.exp(_LOG_Z)[None, :]
    a = 0.5 * nu
    log_k = _log_bessel(a, z)
    log_psi = log_k + a * np.log(z) - special.gammaln(a) - (a - 1.0) * math.log(2.0)
    log_slope = 0.5 * np.log(nu) + _log_bessel(a - 1.0, z) - log_k - np.log(z / np.sqrt(nu))
    return np.ascontiguousarray(np.minimum(log_psi, 0.0)), np.ascontiguousarray(log_slope)


@njit(cache=True, nogil=True)
def _lagrange(x, w):
    """Fill the weights of six points at -2, ..., 3 for the position x in [0, 1]."""
    a, b, c, d, e = x + 2.0, x + 1.0, x - 1.0, x - 2.0, x - 3.0
    w[0] = -b * x * c * d * e / 120.0
    w[1] = a * x * c * d * e / 24.0
    w[2] = -a * b * c * d * e / 12.0
    w[3] = a * b * x * d * e / 12.0
    w[4] = -a * b * x * c * e / 24.0
    w[5] = a * b * x * c * d / 120.0


_LOG_NU_0, _LOG_Z_0 = float(_LOG_NU[0]), float(_LOG_Z[0])


@njit(cache=True, nogil=True)
def log_psi_and_slope(nu, omega, log_omega, scale, log_psi_table, log_slope_table, log_psi, slope):
    """Add log psi_nu(scale omega) to `log_psi` and fill `slope` with -psi'/psi there (`omega` rising)."""
    n = omega.shape[0]
    if scale == 0.0:
        slope[:] = 0.0
        return
    if math.isinf(nu) or nu > 1e6:
        for j in range(n):
            t = scale * omega[j]
            log_psi[j] -= 0.5 * t * t
            slope[j] = t
        return
    w = np.empty(6)
    columns = log_psi_table.shape[1]
    position = (math.log(nu) - _LOG_NU_0) / _NU_STEP
    row = min(max(int(position), 2), log_psi_table.shape[0] - 4)
    _lagrange(position - row, w)
    shift = 0.5 * math.log(nu) + math.log(scale) - _LOG_Z_0
    left = min(max(int((log_omega[0] + shift) / _Z_STEP), 2), columns - 4) - 2
    right = min(max(int((log_omega[n - 1] + shift) / _Z_STEP), 2), columns - 4) + 4
    psi_row, slope_row = np.zeros(right - left), np.zeros(right - left)
    for a in range(6):
        for c in range(right - left):
            psi_row[c] += w[a] * log_psi_table[row - 2 + a, left + c]
            slope_row[c] += w[a] * log_slope_table[row - 2 + a, left + c]
    for j in range(n):
        # Below the table psi is 1 to twelve digits and its slope that of the first columns.
        position = max((log_omega[j] + shift) / _Z_STEP, 2.0)
        column = min(int(position), columns - 4)
        _lagrange(min(position - column, 1.0), w)
        at = column - 2 - left
        total, rise = 0.0, 0.0
        for b in range(6):
            total += w[b] * psi_row[at + b]
            rise += w[b] * slope_row[at + b]
        log_psi[j] += total
        slope[j] = scale * omega[j] * math.exp(rise)
