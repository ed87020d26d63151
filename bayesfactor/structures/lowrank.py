"""Structure `lowrank`: latent factors integrated out, beside observed ones where the card loads on them.

r_t - alpha - B f_t ~ multivariate t(nu, Lambda Lambda' + diag sigma^2) over the assets seen on day t, normal
without `nu`; without a slot `loadings` there is no B f_t.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.laws.woodbury import patterns
from bayesfactor.likelihoods import LowRankNormal, LowRankStudentT
from bayesfactor.structures.arrays import Arrays, arrays_of

__all__ = ["build", "check_latent", "create_mean"]


def build(panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> pm.Model:
    """Return the graph of returns with `n_latent` latent factors integrated out, asset-major."""
    n_latent = check_latent(panel, specs, options)
    found = arrays_of(panel, specs)
    priors = found.priors
    latent_names = [f"latent-{k + 1}" for k in range(n_latent)]
    with pm.Model(coords=found.coords | {s.LATENT: latent_names}) as model:
        data = pm.Data("returns_data", found.returns, dims=(s.ASSET, s.TIME))
        mask = pm.Data("returns_seen", found.seen, dims=(s.ASSET, s.TIME))
        design = pm.Data("factor_data", found.factors, dims=(s.FACTOR, s.TIME))
        pattern = pm.Data("seen_pattern", patterns(found.seen), dims=(s.TIME,))
        alpha, loadings, latent = create_mean(found, n_latent)
        sigma = priors.create(s.SIGMA, (s.ASSET,))
        where = {"observed": data, "dims": (s.ASSET, s.TIME)}
        if s.NU in priors:
            nu = priors.create(s.NU, ())
            args = (alpha, loadings, latent, sigma, nu, design, pattern, mask)
            LowRankStudentT(s.RETURNS, *args, **where)
        else:
            LowRankNormal(s.RETURNS, alpha, loadings, latent, sigma, design, pattern, mask, **where)
    return model


def check_latent(
    panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]
) -> int:
    """Return how many latent factors are asked for, or raise `ModelError` if the panel cannot have them."""
    n_latent, n_assets = int(options["n_latent"]), panel.sizes[s.ASSET]
    if n_latent >= n_assets:
        msg = (
            f"there are fewer latent factors than assets; got n_latent={n_latent} for {n_assets} assets. "
            f"Ask for at most {n_assets - 1}."
        )
        raise ModelError(msg)
    if s.LOADINGS in specs and panel.sizes[s.FACTOR] == 0:
        msg = (
            "this model has observed factors beside latent ones; the panel has none. Give factors= to the "
            "panel, form the market with bf.panel_from_prices(prices), or use 'latent-t'."
        )
        raise ModelError(msg)
    return n_latent


def create_mean(found: Arrays, n_latent: int) -> tuple[Any, Any, Any]:
    """Return alpha (asset), loadings (asset, factor) and latent loadings (asset, latent)."""
    priors, n_assets = found.priors, len(found.returns)
    alpha = priors.create(s.ALPHA, (s.ASSET,))
    loadings = latent = pt.constant(np.zeros((n_assets, 0)))
    if s.LOADINGS in priors:
        loadings = priors.create(s.LOADINGS, (s.ASSET, s.FACTOR))
    if n_latent:
        latent = priors.create(s.LATENT_LOADINGS, (s.ASSET, s.LATENT))
    return alpha, loadings, latent
