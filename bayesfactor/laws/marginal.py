"""Densities of rows with observed factors integrated over their own law, day by day alike.

Days on which the same factors are open share a law; a factor that is closed then has no part in it.
"""

import numpy as np

from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.laws.draws import Common
from bayesfactor.laws.integrate import Integral, Integrand, integrate, points_of
from bayesfactor.laws.mixture import marginal_rows, marginal_rows_of_blocks
from bayesfactor.laws.woodbury import patterns

__all__ = ["elliptical_rows", "sampled_rows"]


def elliptical_rows(law: Common, latent: np.ndarray, nu: np.ndarray) -> Integral:
    """Return log p(r_t) of rows that are elliptical given the observed factors.

    Exact but for quadrature where factors are one block, else by importance sampling over the blocks' mixing.

    Parameters
    ----------
    law : Common
    latent : ndarray (draw, asset, latent)
    nu : ndarray (draw)
        Of rows given the factors.
    """
    shape = (law.n_draws, law.returns.shape[1])
    out, error = np.empty(shape), np.zeros(shape)
    for days, opened in law.days_alike:
        out[:, days], error[:, days] = _of_days(law, latent, nu, days, opened)
    return Integral(out, error)


def _of_days(
    law: Common, latent: np.ndarray, nu: np.ndarray, days: np.ndarray, opened: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities of days on which the same factors are open, and their errors (draw, day)."""
    block, block_nu = law.observed.block, law.factor_nu
    if np.isinf(block_nu).all():  # normals are one block, whatever their families
        block, block_nu = np.zeros_like(block), block_nu[:, :1]
    mean, spread = law.factor_centre(opened), law.loadings @ law.observed.spread(opened)
    returns, seen = (np.ascontiguousarray(x[:, days]) for x in (law.filled, law.seen))
    out, error = np.empty((law.n_draws, len(days))), np.zeros((law.n_draws, len(days)))
    points = points_of(block_nu.shape[1]) if block_nu.shape[1] > 1 else None
    known = (returns, seen, patterns(seen))

    def work(b: slice) -> None:
        draws = (mean[b], spread[b], latent[b], law.sigma[b], nu[b])
        if points is None:
            marginal_rows(*known, *draws, block_nu[b, 0], out[b])
        else:
            marginal_rows_of_blocks(*known, *draws, block, block_nu[b], *points, out[b], error[b])

    for _ in run_blocks(work, slices(law.n_draws, 32)):
        pass
    return out, error


def sampled_rows(law: Common, latent: np.ndarray, latent_nu: np.ndarray, nu: np.ndarray) -> Integral:
    """Return log p(r_t) of rows of independent t's, by importance sampling over all factors.

    Parameters
    ----------
    law : Common
    latent : ndarray (draw, asset, latent)
    latent_nu : ndarray (draw)
    nu : ndarray (draw, asset)
    """
    shape = (law.n_draws, law.returns.shape[1])
    out, error = np.empty(shape), np.empty(shape)
    block = np.concatenate([law.observed.block, np.full(latent.shape[2], law.factor_nu.shape[1])])
    block_nu = np.column_stack([law.factor_nu, latent_nu])
    for days, opened in law.days_alike:
        found = integrate(
            Integrand(
                np.ascontiguousarray(law.filled[:, days]),
                np.ascontiguousarray(law.seen[:, days]),
                law.factors[:0, days],
                law.factor_centre(opened),
                law.sigma,
                nu,
                law.loadings[:, :, :0],
                np.concatenate([law.loadings @ law.observed.spread(opened), latent], axis=2),
                block,
                block_nu,
            )
        )
        out[:, days], error[:, days] = found.log_density, found.error
    return Integral(out, error)
