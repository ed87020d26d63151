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
from bayesfactor.laws.correlation import beta_shapes
from bayesfactor.likelihoods import EllipticalColumns
from bayesfactor.structures.priors import PriorSet
from bayesfactor.structures.units import units_of

__all__ = ["build_factor_law"]


_PARTIAL = f"{s.FACTOR_CORRELATION}_partial"


def build_factor_law(
    panel: xr.Dataset,
    specs: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],  # noqa: ARG001 - this law has none
) -> pm.Model:
    """Return the graph of f_t ~ multivariate t(nu, location, scale), normal without `factor_nu`."""
    units = units_of(panel)
    factors = np.ascontiguousarray(panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values)
    factors = factors / units.factors[:, None]
    names = panel[s.FACTOR].values.tolist()
    coords = {s.FACTOR: names, s.TIME: panel[s.TIME].values}
    priors = PriorSet(specs, np.zeros(0, dtype=int))
    with pm.Model(coords=coords) as model:
        data = pm.Data("factor_data", factors, dims=(s.FACTOR, s.TIME))
        seen = pm.Data("factor_seen", np.ones(factors.shape[1]), dims=(s.TIME,))
        location = priors.create(s.FACTOR_LOCATION, (s.FACTOR,))
        scale = priors.create(s.FACTOR_SCALE, (s.FACTOR,))
        nu = priors.create(s.FACTOR_NU, ()) if s.FACTOR_NU in priors else pt.constant(np.inf)
        partial = _partial_correlations(specs, len(names))
        where = {"observed": data, "dims": (s.FACTOR, s.TIME)}
        EllipticalColumns(s.FACTOR_RETURNS, location, scale, partial, nu, seen, **where)
    return model


def _partial_correlations(specs: Mapping[str, Mapping[str, Any]], n: int) -> Any:
    """Return the partial correlations (pair); `with_correlation` turns draws of them into matrices."""
    if n == 1:
        return np.zeros(0)
    shape = beta_shapes(n, float(specs[s.FACTOR_CORRELATION]["kwargs"]["eta"]))
    return 2.0 * pm.Beta(_PARTIAL, alpha=shape, beta=shape, shape=len(shape)) - 1.0
