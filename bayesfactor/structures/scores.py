"""Structure `scores`: latent factors sampled day by day, so that every asset keeps a tail of its own.

r_it = alpha_i + sum_k beta_ik f_kt + sum_l lambda_il z_lt + sigma_i e_it with e_it ~ t(nu_i), and z_t ~
multivariate t(latent_nu, I), normal without `latent_nu`; without a slot `loadings` there is no f.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.laws.alignment import SCALED
from bayesfactor.likelihoods import LatentScores, ScoresStudentT
from bayesfactor.structures.arrays import arrays_of
from bayesfactor.structures.lowrank import check_latent, create_mean

__all__ = ["build"]


def build(panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> pm.Model:
    """Return the graph of returns with `n_latent` sampled latent factors, asset-major."""
    n_latent = check_latent(panel, specs, options)
    if n_latent == 0:
        msg = "this model samples latent factors; got n_latent=0. Use 'hierarchical-t' or 'latent-t' instead."
        raise ModelError(msg)
    found = arrays_of(panel, specs)
    priors, names = found.priors, [f"latent-{k + 1}" for k in range(n_latent)]
    with pm.Model(coords=found.coords | {s.LATENT: names}) as model:
        data = pm.Data("returns_data", found.returns, dims=(s.ASSET, s.TIME))
        mask = pm.Data("returns_seen", found.seen, dims=(s.ASSET, s.TIME))
        design = pm.Data("factor_data", found.factors, dims=(s.FACTOR, s.TIME))
        alpha, loadings, latent = create_mean(found, n_latent)
        sigma = priors.create(s.SIGMA, (s.ASSET,))
        nu = priors.create(s.NU, (s.ASSET,))
        tail = priors.create(s.LATENT_NU, ()) if s.LATENT_NU in priors else pt.constant(np.inf)
        days = pt.zeros(found.returns.shape[1])
        scores = LatentScores(SCALED, tail, latent, days, dims=(s.LATENT, s.TIME))
        where = {"observed": data, "dims": (s.ASSET, s.TIME)}
        ScoresStudentT(s.RETURNS, alpha, loadings, latent, sigma, nu, scores, design, mask, **where)
    return model
