"""Rotation, sign and order of latent loadings, settled draw by draw after sampling.

Lambda and Lambda Q are the same model for any orthogonal Q, so draws wander among rotations, signs and
orders. Each draw gets the Q that brings it nearest to what all draws have in common; Lambda Lambda' and
all that is made of it (communalities, likelihood, risk) does not change.
"""

from typing import Final

import numpy as np

from bayesfactor.laws.blocks import run_blocks, slices

__all__ = ["METHODS", "rotations"]

METHODS: Final = ("varimax", "procrustes")
_ROUNDS: Final = 50
_TURNS: Final = 500
_BLOCK: Final = 250


def rotations(loadings: np.ndarray, method: str = "varimax") -> np.ndarray:
    """Return one orthogonal matrix per draw (draw, latent, latent): aligned loadings are loadings @ Q.

    Parameters
    ----------
    loadings : ndarray (draw, asset, latent)
    method : {"varimax", "procrustes"}
        "varimax" turns each draw to few large loadings per factor and then settles signs and order by
        the nearest signed permutation [1]_. "procrustes" turns each draw to the mean of all [2]_, and
        the mean to its principal axes. Factors come in decreasing order of mean squared loadings, the
        larger part of their mean loadings positive.

    References
    ----------
    .. [1] Papastamoulis, P. and Ntzoufras, I. (2022). On the identifiability of Bayesian factor
       analytic models. Statistics and Computing 32, algorithm 1.
    .. [2] Assmann, C., Boysen-Hogrefe, J. and Pape, M. (2016). Bayesian analysis of static and dynamic
       factor models: an ex-post approach towards the rotation problem. J. Econometrics 192.
    .. [3] Kaiser, H. F. (1958). The varimax criterion for analytic rotation in factor analysis.
       Psychometrika 23.
    """
    turn = _to_common_axes(loadings)
    if method == "varimax" and loadings.shape[2] > 1:
        common = _varimax((loadings @ turn).mean(axis=0)[None], np.eye(loadings.shape[2])[None])[0]
        turn = turn @ common
        turned = loadings @ turn
        size = len(loadings)
        start = np.broadcast_to(np.eye(loadings.shape[2]), (size, *turn.shape[1:]))
        parts = run_blocks(lambda b: _varimax(turned[b], start[b]), slices(size, _BLOCK))
        turn = turn @ np.concatenate(list(parts))
        turn = turn @ _signed_permutations(loadings @ turn)
    return turn @ _in_order((loadings @ turn).mean(axis=0), ((loadings @ turn) ** 2).mean(axis=(0, 1)))


def _to_common_axes(loadings: np.ndarray) -> np.ndarray:
    """Return rotations to the mean of all draws, which itself stands on its principal axes."""
    pivot = loadings[0]
    turn = np.empty((len(loadings), pivot.shape[1], pivot.shape[1]))
    for _ in range(_ROUNDS):
        u, _, vt = np.linalg.svd(loadings.swapaxes(1, 2) @ pivot)
        turn[:] = u @ vt
        mean = (loadings @ turn).mean(axis=0)
        moved = np.linalg.norm(mean - pivot)
        pivot = mean
        if moved <= 1e-9 * np.linalg.norm(pivot):
            break
    return turn @ np.linalg.svd(pivot.T @ pivot)[0]


def _varimax(loadings: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return rotations that make squared loadings vary most within factors, from `turn` on."""
    before = np.zeros(len(loadings))
    for _ in range(_TURNS):
        turned = loadings @ turn
        slope = turned**3 - turned * (turned**2).mean(axis=1, keepdims=True)
        u, size, vt = np.linalg.svd(loadings.swapaxes(1, 2) @ slope)
        turn = u @ vt
        now = size.sum(axis=1)
        if np.all(now <= before * (1.0 + 1e-10)):
            break
        before = now
    return turn


def _signed_permutations(loadings: np.ndarray) -> np.ndarray:
    """Return the signed permutation (draw, latent, latent) that brings each draw nearest to their mean."""
    from scipy.optimize import linear_sum_assignment

    n, _, k = loadings.shape
    out = np.broadcast_to(np.eye(k), (n, k, k)).copy()
    for _ in range(_ROUNDS):
        pivot = (loadings @ out).mean(axis=0)
        likeness = loadings.swapaxes(1, 2) @ pivot
        new = np.zeros_like(out)
        for d in range(n):
            rows, columns = linear_sum_assignment(-np.abs(likeness[d]))
            new[d, rows, columns] = np.where(likeness[d, rows, columns] < 0.0, -1.0, 1.0)
        if np.array_equal(new, out):
            break
        out = new
    return out


def _in_order(mean: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return the signed permutation that puts large factors first and their larger side up."""
    order = np.argsort(-squares, kind="stable")
    sign = np.where((mean * np.abs(mean)).sum(axis=0) < 0.0, -1.0, 1.0)
    return (np.eye(len(order)) * sign)[:, order]
