"""Observed, latent and hybrid factors on real coins: who explains, who foresees, and what risk each states.

Needs a folder with `prices.csv` in the environment variable BAYESFACTOR_DATA.
"""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayesfactor as bf
from bayesfactor.laws.rows import row_log_likelihood

__all__ = ["measure"]

MODELS: dict[str, tuple[str, int | None]] = {
    "hierarchical-t": ("hierarchical-t", None),
    **{f"latent-t {k}": ("latent-t", k) for k in range(1, 6)},
    **{f"hybrid-t {k}": ("hybrid-t", k) for k in range(1, 4)},
    "latent-own-t 1": ("latent-own-t", 1),
    "hybrid-own-t 1": ("hybrid-own-t", 1),
}
SAMPLING = {"draws": 250, "tune": 400, "random_seed": 1, "progressbar": False}
ORIGINS = ("2023-01-01", "2024-01-01")


def measure(n_assets: int = 25, start: str = "2021-01-01", end: str = "2024-12-31") -> list[dict[str, Any]]:
    """Fit all models to the coins with most history; prints its tables on the way."""
    folder = os.environ.get("BAYESFACTOR_DATA")
    if not folder:
        return [{"what": "BAYESFACTOR_DATA is not set"}]
    prices = pd.read_csv(Path(folder) / "prices.csv", index_col=0, parse_dates=True).loc[start:end]
    longest = prices.notna().sum().sort_values(ascending=False, kind="stable").index[:n_assets]
    panel = bf.panel_from_prices(prices[sorted(longest)])
    print(f"{dict(panel.sizes)}: {', '.join(sorted(longest))}", flush=True)
    weights = dict.fromkeys(panel["asset"].values.tolist(), 1.0 / n_assets)
    trees, rows = {}, []
    for name in MODELS:
        began = time.perf_counter()
        trees[name] = _fit(name, panel)
        seconds = time.perf_counter() - began
        rows.append({"what": name, "seconds": round(seconds, 1)} | _facts(trees[name], weights))
        print(rows[-1], flush=True)
    named = {n: _foreseen(n, panel) for n in MODELS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = bf.compare(trees, given="nothing", progressbar=False)
        observed = {n: t for n, t in trees.items() if t["log_likelihood"].attrs["given"] == "factors"}
        explained = bf.compare(observed, progressbar=False)
    print(table.attrs["integration_error"])
    for row in rows:
        name = row["what"]
        row["elpd_nothing"] = round(float(table.loc[name, "elpd"] - table["elpd"].max()), 1)
        row["dse"] = round(float(table.loc[name, "dse"]), 1)
        if name in explained.index:
            row["elpd_factors"] = round(float(explained.loc[name, "elpd"] - explained["elpd"].max()), 1)
        scores = named[name]
        row["foreseen"] = round(float(scores.sum()), 1)
        row["per_day"] = round(float(scores.mean()), 3)
    return rows


def _fit(name: str, panel: xr.Dataset) -> xr.DataTree:
    model, n_latent = MODELS[name]
    chosen = bf.get_model(model) if n_latent is None else bf.get_model(model, n_latent=n_latent)
    return bf.fit(chosen, panel, **SAMPLING)


def _facts(tree: xr.DataTree, weights: dict[str, float]) -> dict[str, Any]:
    """Return the verdict, what latent factors load on, and the equal-weight portfolio's risk."""
    diagnosis = bf.diagnose(tree, check_adequacy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        risk = bf.decompose_risk(tree, weights, levels=(0.99,), random_seed=1)
    share = (risk["es_contribution"].sum("asset") / risk["es"]).isel(level=0)
    interval = risk["es_posterior"].isel(level=0).quantile([0.05, 0.95]).values
    post = tree["posterior"].to_dataset()
    return {
        "verdict": diagnosis.attrs["verdict"],
        "min_ess": round(float(diagnosis["ess_bulk"].min())),
        "r_hat": round(float(diagnosis["r_hat"].max()), 3),
        "bad_k": int((diagnosis["pareto_k"] > 0.7).sum()),
        "es99": round(100 * float(risk["es"][0]), 2),
        "es99_90": f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}",
        "factors": round(float(share.sel(component=~share.component.isin(["specific", "drift"])).sum()), 3),
        "loads_on": "; ".join(post["loads_on"].values.tolist()) if "loads_on" in post.coords else "",
    }


def _foreseen(name: str, panel: xr.Dataset) -> np.ndarray:
    """Return log densities of the days after each origin, given nothing, by the fit before it."""
    stamps = panel.indexes["time"]
    scores = []
    for origin, after in zip(ORIGINS, [*ORIGINS[1:], None], strict=True):
        before = panel.isel(time=stamps < pd.Timestamp(origin))
        ahead = (stamps >= pd.Timestamp(origin)) & (stamps < pd.Timestamp(after or "2100-01-01"))
        tree = _fit(name, before).isel(draw=slice(None, None, 2), missing_dims="ignore")
        rows = row_log_likelihood(tree, panel.isel(time=ahead), given="nothing")
        flat = rows.stack(sample=("chain", "draw")).transpose("sample", "time").values
        scores.append(np.logaddexp.reduce(flat, axis=0) - np.log(len(flat)))
    return np.concatenate(scores)
