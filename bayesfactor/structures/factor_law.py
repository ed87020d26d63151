"""The law of the factors, a small model of its own.

Given the factors, their law and the loadings are independent in the posterior, so the two are
sampled apart: in one graph the correlation matrix cost the loadings a factor of 20 in ESS/s.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import CardError
from bayesfactor.likelihoods import EllipticalColumns, correlation_cholesky
from bayesfactor.structures.priors import PriorSet, parse_prior
from bayesfactor.structures.units import units_of

__all__ = ["SLOTS", "build_factor_law"]

SLOTS = (s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_CORRELATION, s.FACTOR_NU)


def build_factor_law(panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]]) -> pm.Model:
    """Return the graph of f_t ~ multivariate t(nu, location, scale), normal without `factor_nu`."""
    units = units_of(panel)
    factors = np.ascontiguousarray(panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values)
    factors = factors / units.factors[:, None]
    names = panel[s.FACTOR].values.tolist()
    coords = {s.FACTOR: names, s.FACTOR_OTHER: names, s.TIME: panel[s.TIME].values}
    priors = PriorSet(specs, np.zeros(0, dtype=int))
    with pm.Model(coords=coords) as model:
        data = pm.Data("factor_data", factors, dims=(s.FACTOR, s.TIME))
        seen = pm.Data("factor_seen", np.ones(factors.shape[1]), dims=(s.TIME,))
        location = priors.create(s.FACTOR_LOCATION, (s.FACTOR,))
        scale = priors.create(s.FACTOR_SCALE, (s.FACTOR,))
        nu = priors.create(s.FACTOR_NU, ()) if s.FACTOR_NU in priors else pt.constant(np.inf)
        chol = _correlation(specs, len(names))
        pm.Deterministic(
            s.FACTOR_CORRELATION,
            (chol[:, None, :] * chol[None, :, :]).sum(axis=-1),
            dims=(s.FACTOR, s.FACTOR_OTHER),
        )
        EllipticalColumns(
            s.FACTOR_RETURNS,
            location,
            scale[:, None] * chol,
            nu,
            seen,
            observed=data,
            dims=(s.FACTOR, s.TIME),
        )
    return model


def _correlation(specs: Mapping[str, Mapping[str, Any]], n: int) -> Any:
    prior = parse_prior(s.FACTOR_CORRELATION, specs[s.FACTOR_CORRELATION])
    eta = prior.parameters.get("eta")
    if prior.distribution != "LKJCorr" or not isinstance(eta, int | float) or eta <= 0:
        msg = (
            f"slot {s.FACTOR_CORRELATION!r} takes LKJCorr with one positive eta; got {prior}. "
            'Write dist = "LKJCorr", kwargs = {eta = 2.0}.'
        )
        raise CardError(msg)
    if n == 1:
        return pt.ones((1, 1))
    return correlation_cholesky(s.FACTOR_CORRELATION, n, float(eta))
