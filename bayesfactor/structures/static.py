"""Structure `static`: observed factors, constant loadings, independent specific returns.

r_it = alpha_i + sum_k beta_ik f_kt + sigma_i e_it, with e_it ~ t(nu_i), normal without `nu`.
"""

from collections.abc import Mapping
from typing import Any

import pymc as pm
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.likelihoods import FactorNormal, FactorStudentT
from bayesfactor.structures.arrays import arrays_of

__all__ = ["build"]


def build(
    panel: xr.Dataset,
    specs: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],  # noqa: ARG001 - this structure has none
) -> pm.Model:
    """Return the graph of returns given factors, data in model units and asset-major."""
    if panel.sizes[s.FACTOR] == 0:
        msg = (
            "structure 'static' explains returns by observed factors; the panel has none. "
            "Give factors= to the panel, form the market with bf.panel_from_prices(prices), or use a "
            "latent model such as 'latent-t'."
        )
        raise ModelError(msg)
    found = arrays_of(panel, specs)
    priors = found.priors
    with pm.Model(coords=found.coords) as model:
        data = pm.Data("returns_data", found.returns, dims=(s.ASSET, s.TIME))
        mask = pm.Data("returns_seen", found.seen, dims=(s.ASSET, s.TIME))
        design = pm.Data("factor_data", found.factors, dims=(s.FACTOR, s.TIME))
        alpha = priors.create(s.ALPHA, (s.ASSET,))
        loadings = priors.create(s.LOADINGS, (s.ASSET, s.FACTOR))
        sigma = priors.create(s.SIGMA, (s.ASSET,))
        where = {"observed": data, "dims": (s.ASSET, s.TIME)}
        if s.NU in priors:
            nu = priors.create(s.NU, (s.ASSET,))
            FactorStudentT(s.RETURNS, alpha, loadings, sigma, nu, design, mask, **where)
        else:
            FactorNormal(s.RETURNS, alpha, loadings, sigma, design, mask, **where)
    return model
