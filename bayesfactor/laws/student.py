"""Scalar Student-t pieces shared by the laws; `nu = inf` is the normal everywhere."""

import math

import numpy as np
from numba import njit

__all__ = ["log_density_constant", "mixing_scale", "variance_ratio"]


@njit(cache=True, nogil=True)
def log_density_constant(nu: float, sigma: float) -> float:
    """Return the log density of t(nu, 0, sigma) at its centre."""
    if math.isinf(nu):
        return -0.5 * math.log(2.0 * math.pi) - math.log(sigma)
    return (
        math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * math.log(nu * math.pi) - math.log(sigma)
    )


@njit(cache=True, nogil=True)
def mixing_scale(rng, nu: float) -> float:
    """Draw s such that s * standard normal is standard t(nu)."""
    if math.isinf(nu):
        return 1.0
    return math.sqrt(0.5 * nu / rng.standard_gamma(0.5 * nu))


def variance_ratio(nu: np.ndarray) -> np.ndarray:
    """Return variance over squared scale of a t: nu / (nu - 2), infinite for nu <= 2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isinf(nu), 1.0, nu / (nu - 2.0))
    return np.where(nu > 2.0, ratio, np.inf)
