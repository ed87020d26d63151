"""Structure `static`: observed factors, constant loadings, independent specific returns.

r_it = alpha_i + sum_k beta_ik f_kt + sigma_i e_it, with e_it ~ t(nu_i), normal without `nu`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.likelihoods import FactorNormal, FactorStudentT
from bayesfactor.structures import factor_law
from bayesfactor.structures.priors import PriorSet
from bayesfactor.structures.units import units_of

__all__ = ["build"]


def build(panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]]) -> pm.Model:
    """Return the graph of returns given factors, data in model units and asset-major."""
    if panel.sizes[s.FACTOR] == 0:
        msg = (
            "structure 'static' explains returns by observed factors; the panel has none. "
            "Give factors= to the panel, or form the market with bf.panel_from_prices(prices)."
        )
        raise ModelError(msg)
    units = units_of(panel)
    # Rows in one piece: the kernel runs along time and is three times slower on strided memory.
    returns = np.ascontiguousarray(panel[s.RETURNS].transpose(s.ASSET, s.TIME).values)
    seen = np.isfinite(returns)
    factors = np.ascontiguousarray(panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values)
    factors = factors / units.factors[:, None]
    groups, index = np.unique(panel[s.GROUP].values.astype(str), return_inverse=True)
    coords = {d: panel[d].values for d in (s.ASSET, s.FACTOR, s.TIME)} | {s.GROUP: groups}
    priors = PriorSet({k: v for k, v in specs.items() if k not in factor_law.SLOTS}, index)
    with pm.Model(coords=coords) as model:
        data = pm.Data("returns_data", np.where(seen, returns, 0.0) / units.returns, dims=(s.ASSET, s.TIME))
        mask = pm.Data("returns_seen", seen.astype("float64"), dims=(s.ASSET, s.TIME))
        design = pm.Data("factor_data", factors, dims=(s.FACTOR, s.TIME))
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
