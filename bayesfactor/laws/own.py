"""Factors that are portfolios of the panel's own assets: the future has to add up to them."""

import numpy as np
import xarray as xr

from bayesfactor import schema as s

__all__ = ["add_up", "own_weights"]


def own_weights(constant: xr.Dataset, order: np.ndarray) -> np.ndarray:
    """Return the last weights W (factor, asset) of own factors in the order given; (0, asset) without."""
    if s.FACTOR_WEIGHTS not in constant:
        return np.zeros((0, len(order)))
    weights = constant[s.FACTOR_WEIGHTS].transpose(s.FACTOR, s.ASSET).values
    return np.ascontiguousarray(weights[:, order])


def add_up(
    weights: np.ndarray, alpha: np.ndarray, loadings: np.ndarray, latent: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return alpha, loadings and response G that make the future add up.

    A factor f = W r of the panel's own assets must be what its portfolio returns in every
    scenario, while robust loadings weigh days unequally and miss W B = I by a few per cent.
    Returns are therefore projected, r - G (W r - f) with G = B (W B)^-1, which is again a
    factor model: loadings B - G (W B - I), alpha - G W alpha, specific e - G W e.

    Parameters
    ----------
    weights : ndarray (factor, asset) or (0, asset)
        W, with rows of zeros for factors given from outside.
    alpha : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
    latent : ndarray (draw, asset, latent), optional
        Loadings on latent factors, projected as specific returns are: Lambda - G W Lambda.

    Returns
    -------
    alpha, loadings : ndarray
        Projected, latent loadings behind the others.
    response : ndarray (draw, asset, factor) or (draw, asset, 0)
    """
    latent = loadings[:, :, :0] if latent is None else latent
    if not len(weights):
        loadings = np.concatenate([loadings, latent], axis=2)
        return alpha, loadings, np.zeros((*alpha.shape, 0))
    own = np.flatnonzero(np.any(weights != 0.0, axis=1))
    w, select = weights[own], np.eye(len(weights))[own]
    b = loadings[:, :, own]
    g = b @ np.linalg.inv(w @ b)
    response = np.zeros((*alpha.shape, len(weights)))
    response[:, :, own] = g
    loadings = loadings - g @ (w @ loadings - select)
    alpha = alpha - np.einsum("dik,dk->di", g, alpha @ w.T)
    latent = latent - g @ (w @ latent)
    return alpha, np.concatenate([loadings, latent], axis=2), response
