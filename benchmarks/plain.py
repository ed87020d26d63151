"""The model `hierarchical-t` as one would write it in plain PyMC, centred, factor law apart."""

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from bayesfactor.structures import units_of


def returns_graph(panel: xr.Dataset) -> pm.Model:
    """Return the graph of the returns given the factors; needs a panel without holes."""
    units = units_of(panel)
    returns = panel["returns"].transpose("time", "asset").values / units.returns
    factors = panel["factor_returns"].transpose("time", "factor").values / units.factors
    groups, index = np.unique(panel["group"].values.astype(str), return_inverse=True)
    coords = {"asset": panel["asset"].values, "factor": panel["factor"].values, "group": groups}
    with pm.Model(coords=coords) as model:
        alpha = pm.Normal("alpha", 0.0, 1.9 * _per_period(panel), dims="asset")
        mean = pm.Normal("loadings_mean", 0.0, 1.0, dims="factor")
        group_sd = pm.LogNormal("group_loadings_sd", -1.0, 0.7, dims="factor")
        centre = pm.Normal("group_loadings", mean, group_sd, dims=("group", "factor"))
        sd = pm.LogNormal("loadings_sd", -1.0, 0.7, dims="factor")
        loadings = pm.Normal("loadings", centre[index], sd, dims=("asset", "factor"))
        sigma = pm.LogNormal("sigma", *_pooled("sigma", -0.7, 0.7), dims="asset")
        nu = pm.Deterministic("nu", 2.0 + pm.LogNormal("nu_raw", *_pooled("nu", 0.5, 0.7), dims="asset"))
        pm.StudentT("returns", nu=nu, mu=alpha + factors @ loadings.T, sigma=sigma, observed=returns)
    return model


def _per_period(panel: xr.Dataset) -> float:
    """Return what turns a Sharpe ratio a year into one of a period."""
    return float(panel.attrs["periods_per_year"]) ** -0.5


def _pooled(name: str, centre: float, spread: float) -> tuple[Any, Any]:
    return pm.Normal(f"{name}_log_mean", centre, spread), pm.LogNormal(f"{name}_log_sd", -1.0, 0.7)


def factor_graph(panel: xr.Dataset) -> pm.Model:
    """Return the graph of the factors' own law."""
    units = units_of(panel)
    factors = panel["factor_returns"].transpose("time", "factor").values / units.factors
    n = factors.shape[1]
    with pm.Model(coords={"factor": panel["factor"].values}) as model:
        location = pm.Normal("factor_location", 0.0, 3.8 * _per_period(panel), dims="factor")
        nu = pm.Deterministic("factor_nu", 2.0 + pm.LogNormal("factor_nu_raw", 0.7, 0.8))
        if n == 1:
            scale = pm.LogNormal("factor_scale", -0.5, 0.5, dims="factor")
            pm.StudentT("factor_returns", nu=nu, mu=location, sigma=scale, observed=factors)
            return model
        scale = pm.LogNormal.dist(-0.5, 0.5, shape=n)
        chol, _, _ = pm.LKJCholeskyCov("factor_cholesky", n=n, eta=2.0, sd_dist=scale, compute_corr=True)
        pm.MvStudentT("factor_returns", nu=nu, mu=location, chol=chol, observed=factors)
    return model
