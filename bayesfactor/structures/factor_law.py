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
from bayesfactor.laws.woodbury import patterns
from bayesfactor.likelihoods import EllipticalBlocks, EllipticalColumns
from bayesfactor.panel import open_factors
from bayesfactor.structures.blocks import blocks_of
from bayesfactor.structures.priors import PriorSet
from bayesfactor.structures.units import units_of

__all__ = ["build_factor_law"]


_PARTIAL = f"{s.FACTOR_CORRELATION}_partial"


def build_factor_law(
    panel: xr.Dataset,
    specs: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],  # noqa: ARG001 - this law has none
) -> pm.Model:
    """Return the graph of the factors in blocks: portfolios first, then each family of drivers given them.

    One block that is always open is f_t ~ multivariate t(nu, location, scale), normal without `factor_nu`.
    """
    units, opened = units_of(panel), open_factors(panel)
    block, names_of_blocks = blocks_of(panel)
    factors = np.ascontiguousarray(panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values)
    factors = factors / units.factors[:, None]
    names, several = panel[s.FACTOR].values.tolist(), len(names_of_blocks) > 1
    coords = {s.FACTOR: names, s.TIME: panel[s.TIME].values}
    if several:
        coords[s.BLOCK] = names_of_blocks
        specs = _one_nu_for_each_block(specs)
    priors = PriorSet(specs, np.zeros(0, dtype=int))
    dims = (s.BLOCK,) if several else ()
    with pm.Model(coords=coords) as model:
        data = pm.Data("factor_data", factors, dims=(s.FACTOR, s.TIME))
        where = {"observed": data, "dims": (s.FACTOR, s.TIME)}
        location = priors.create(s.FACTOR_LOCATION, (s.FACTOR,))
        scale = priors.create(s.FACTOR_SCALE, (s.FACTOR,))
        normal = pt.constant(np.full(len(names_of_blocks), np.inf) if several else np.inf)
        nu = priors.create(s.FACTOR_NU, dims) if s.FACTOR_NU in priors else normal
        partial = _partial_correlations(specs, block)
        together = opened.all(axis=0)
        if not several and (opened == together).all():
            seen = pm.Data("factor_seen", together.astype("float64"), dims=(s.TIME,))
            EllipticalColumns(s.FACTOR_RETURNS, location, scale, partial, nu, seen, **where)
        else:
            here = opened.astype("float64")
            seen = pm.Data("factor_seen", here, dims=(s.FACTOR, s.TIME))
            pattern = pm.Data("seen_pattern", patterns(here), dims=(s.TIME,))
            of = pm.Data("factor_block", block.astype("float64"), dims=(s.FACTOR,))
            nu = nu if several else nu[None]
            EllipticalBlocks(s.FACTOR_RETURNS, location, scale, partial, nu, pattern, of, seen, **where)
    return model


def _one_nu_for_each_block(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the slots with a prior of `factor_nu` for each block, and not one that all share."""
    out = dict(specs)
    if s.FACTOR_NU in out and not out[s.FACTOR_NU].get("dims"):
        out[s.FACTOR_NU] = {**out[s.FACTOR_NU], "dims": [s.BLOCK]}
    return out


def _partial_correlations(specs: Mapping[str, Mapping[str, Any]], block: np.ndarray) -> Any:
    """Return the partial correlations (pair), of factors in the order of their blocks.

    The first block's have the prior they would have alone, so that others take no part in its law.
    """
    n, first = len(block), int((block == 0).sum())
    if n == 1:
        return np.zeros(0)
    eta = float(specs[s.FACTOR_CORRELATION]["kwargs"]["eta"])
    shape = beta_shapes(n, eta)
    shape[: first * (first - 1) // 2] = beta_shapes(first, eta)
    return 2.0 * pm.Beta(_PARTIAL, alpha=shape, beta=shape, shape=len(shape)) - 1.0
