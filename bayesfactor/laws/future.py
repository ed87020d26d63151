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
    rng, alpha, loadings, sigma, nu, location, spread, place, block, factor_nu, latent_nu, joint, own,
    response, floor, f_out, e_out,
):  # fmt: skip
    """Fill futures and return how many asset returns were floored at -1.

    Parameters
    ----------
    rng : Generator
    alpha, sigma, nu : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
        On observed factors, then latent ones.
    location, spread : ndarray (kind, draw, observed), (kind, draw, observed, normal)
        The law of the observed factors, for each kind of period: which of them are open.
    place : ndarray (horizon)
        The kind of each period.
    block : ndarray (normal)
        The block whose mixing each normal has.
    factor_nu : ndarray (draw, block)
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
    n_assets, n_observed = e_out.shape[2], block.shape[0]
    n_blocks = factor_nu.shape[1]
    normal, gap, mixing = np.empty(n_observed), np.empty(n_observed), np.empty(n_blocks)
    floored = 0
    for d in range(n_draws):
        for h in range(horizon):
            for b in range(n_blocks):
                mixing[b] = mixing_scale(rng, factor_nu[d, b]) if n_observed > 0 else 1.0
            for k in range(n_observed):
                normal[k] = rng.standard_normal()
            for k in range(n_observed):
                f_out[d, h, k] = location[place[h], d, k]
                for b in range(n_blocks):
                    total = 0.0
                    for j in range(n_observed):
                        if block[j] == b:
                            total += spread[place[h], d, k, j] * normal[j]
                    f_out[d, h, k] += mixing[b] * total
            mix = mixing_scale(rng, latent_nu[d]) if joint or n_factors > n_observed else 1.0
            for k in range(n_observed, n_factors):
                f_out[d, h, k] = mix * rng.standard_normal()
            for i in range(n_assets):
                size = sigma[d, i] * (mix if joint else mixing_scale(rng, nu[d, i]))
                e_out[d, h, i] = size * rng.standard_normal()
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
