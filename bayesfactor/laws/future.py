"""One simulated future per posterior draw, for every law whose periods are alike."""

import numpy as np
from numba import njit

from bayesfactor.laws.student import mixing_scale

__all__ = ["simulate"]


@njit(cache=True, nogil=True)
def _add_up(own, response, e, gap):
    """Take out of e what the factors' own portfolios would make of it: e - G (W e)."""
    for k in range(own.shape[0]):
        gap[k] = 0.0
        for i in range(e.shape[0]):
            gap[k] += own[k, i] * e[i]
    for i in range(e.shape[0]):
        for k in range(own.shape[0]):
            e[i] -= response[i, k] * gap[k]


@njit(cache=True, nogil=True)
def simulate(
    rng, alpha, loadings, sigma, nu, location, chol, factor_nu, latent_nu, joint, own, response, floor,
    f_out, e_out,
):  # fmt: skip
    """Fill futures and return how many asset returns were floored at -1.

    Parameters
    ----------
    rng : Generator
    alpha, sigma, nu : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
        On observed factors, then latent ones.
    location, chol, factor_nu : ndarray (draw, observed), (draw, observed, observed), (draw)
        The law of the observed factors.
    latent_nu : ndarray (draw)
        Of the latent factors, which are spherical.
    joint : bool
        Whether specific returns share the mixing of the latent factors instead of having their own.
    own, response : ndarray
        See `Moments`.
    floor : bool
    f_out : ndarray (draw, horizon, factor)
    e_out : ndarray (draw, horizon, asset)
    """
    n_draws, horizon, n_factors = f_out.shape
    n_assets, n_observed = e_out.shape[2], chol.shape[1]
    normal, gap = np.empty(n_observed), np.empty(n_observed)
    floored = 0
    for d in range(n_draws):
        for h in range(horizon):
            mix = mixing_scale(rng, factor_nu[d]) if n_observed > 0 else 1.0
            for k in range(n_observed):
                normal[k] = rng.standard_normal()
            for k in range(n_observed):
                total = 0.0
                for j in range(k + 1):
                    total += chol[d, k, j] * normal[j]
                f_out[d, h, k] = location[d, k] + mix * total
            mix = mixing_scale(rng, latent_nu[d]) if joint or n_factors > n_observed else 1.0
            for k in range(n_observed, n_factors):
                f_out[d, h, k] = mix * rng.standard_normal()
            for i in range(n_assets):
                spread = sigma[d, i] * (mix if joint else mixing_scale(rng, nu[d, i]))
                e_out[d, h, i] = spread * rng.standard_normal()
            if own.shape[0] > 0:
                # The factor is its own portfolio's return: what that portfolio's specific returns
                # add up to is taken out again.
                _add_up(own, response[d], e_out[d, h], gap)
            if floor:
                for i in range(n_assets):
                    r = alpha[d, i] + e_out[d, h, i]
                    for k in range(n_factors):
                        r += loadings[d, i, k] * f_out[d, h, k]
                    if r < -1.0:
                        e_out[d, h, i] -= r + 1.0
                        floored += 1
    return floored
