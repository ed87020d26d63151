"""Correlation matrices from partial correlations of a vine: any numbers in (-1, 1) will do.

Lewandowski, Kurowicka and Joe (2009), sec. 2.4: under LKJ(eta) the partial correlations are
independent, each 2 Beta(b, b) - 1 with b = eta + (n - 2 - column) / 2. Row by row of the strict
lower triangle, the Cholesky factor is L_ij = p_ij prod_{m<j} sqrt(1 - p_im^2), with p_ii = 1.
"""

import math

import numpy as np
from numba import njit

__all__ = ["beta_shapes", "correlation", "partial_cholesky"]


@njit(cache=True, nogil=True, error_model="numpy")
def partial_cholesky(partial, n):
    """Return the lower Cholesky factor (n, n) of the correlation matrix of `partial` (n (n-1) / 2)."""
    chol = np.zeros((n, n))
    at = 0
    for i in range(n):
        left = 1.0
        for j in range(i):
            p = partial[at]
            chol[i, j] = p * left
            left *= math.sqrt(1.0 - p * p)
            at += 1
        chol[i, i] = left
    return chol


def correlation(partial: np.ndarray, n: int) -> np.ndarray:
    """Return correlation matrices (..., n, n) of partial correlations (..., n (n-1) / 2)."""
    ahead = partial.shape[:-1]
    flat = partial.reshape(int(np.prod(ahead)), partial.shape[-1])
    chol = np.array([partial_cholesky(p, n) for p in flat])
    return (chol @ chol.swapaxes(1, 2)).reshape(*ahead, n, n)


def beta_shapes(n: int, eta: float) -> np.ndarray:
    """Return b of each partial correlation under LKJ(eta), in the order of `partial_cholesky`."""
    columns = np.tril_indices(n, k=-1)[1]
    return eta + 0.5 * (n - 2 - columns)
