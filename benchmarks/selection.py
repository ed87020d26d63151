"""Which of 25 candidate drivers move returns: `horseshoe-t` against lasso on the same panels.

Lasso is scikit-learn's `MultiTaskLassoCV` on standardised data, which keeps or drops a driver for all
assets at once and chooses its penalty by cross-validation; and the same with a penalty one standard
error of that above it.
"""

import time
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayesfactor as bf

__all__ = ["measure", "sparse_market"]

N_DRIVERS = 25
N_TRUE = 3


def sparse_market(
    seed: int, *, n_assets: int = 12, n_days: int = 500, effect: float = 0.08
) -> tuple[xr.Dataset, np.ndarray]:
    """Return a panel with a market and 25 correlated drivers, of which three move the assets.

    A driver that matters explains about `effect` squared of an asset's variance, with signs and sizes that
    differ between assets.
    """
    rng = np.random.default_rng(seed)
    days = pd.date_range("2022-01-01", periods=n_days)
    # Candidates are alike: one common part gives them correlations of about 0.3.
    drivers = rng.standard_t(5, (n_days, N_DRIVERS)) + 0.65 * rng.standard_t(5, (n_days, 1))
    drivers /= drivers.std(axis=0)
    market = 0.03 * rng.standard_t(4, n_days)
    true = rng.choice(N_DRIVERS, size=N_TRUE, replace=False)
    loadings = np.zeros((n_assets, N_DRIVERS))
    for j in true:
        loadings[:, j] = rng.choice([-1, 1]) * effect * 0.06 * rng.normal(1.0, 0.3, n_assets)
    returns = np.outer(market, rng.normal(1.0, 0.2, n_assets)) + drivers @ loadings.T
    returns = np.maximum(returns + 0.028 * rng.standard_t(4, returns.shape), -0.9)
    names = [f"driver{j:02d}" for j in range(N_DRIVERS)]
    assets = [f"C{i:02d}" for i in range(n_assets)]
    factors = pd.DataFrame(np.c_[market, drivers], days, ["market", *names])
    groups = {a: f"g{i % 3}" for i, a in enumerate(assets)}
    return bf.panel_from_returns(pd.DataFrame(returns, days, assets), factors=factors, groups=groups), true


def _lasso(panel: xr.Dataset) -> dict[str, np.ndarray]:
    """Return which drivers lasso keeps: at the penalty of the best error, and one standard error above."""
    from sklearn.linear_model import MultiTaskLasso, MultiTaskLassoCV

    x, y = panel["factor_returns"].values, panel["returns"].values
    market = np.c_[np.ones(len(x)), x[:, 0]]
    x, y = (v - market @ np.linalg.lstsq(market, v)[0] for v in (x[:, 1:], y))
    x, y = x / x.std(axis=0), y / y.std(axis=0)
    search = MultiTaskLassoCV(cv=5, alphas=60).fit(x, y)
    error = search.mse_path_.mean(axis=1)
    spread = search.mse_path_.std(axis=1) / np.sqrt(search.mse_path_.shape[1])
    best = int(np.argmin(error))
    wider = search.alphas_[error <= error[best] + spread[best]].max()
    sparse = MultiTaskLasso(alpha=wider).fit(x, y)
    return {
        "lasso, best": (search.coef_ != 0).any(axis=0),
        "lasso, one standard error": (sparse.coef_ != 0).any(axis=0),
    }


def measure(panels: int = 20, threshold: float = 0.05) -> list[dict[str, Any]]:
    """Return false inclusions and misses of each way to select, over all panels."""
    counts: dict[str, list[tuple[int, int]]] = {}
    seconds: dict[str, float] = {}
    verdicts = []
    for seed in range(panels):
        panel, true = sparse_market(seed)
        truth = np.isin(np.arange(N_DRIVERS), true)
        began = time.perf_counter()
        tree = bf.fit("horseshoe-t", panel, draws=500, tune=700, random_seed=seed, progressbar=False)
        found = {"horseshoe-t": bf.select_factors(tree, threshold)["selected"].values[1:]}
        seconds["horseshoe-t"] = seconds.get("horseshoe-t", 0.0) + time.perf_counter() - began
        verdicts.append(bf.diagnose(tree, check_adequacy=False).attrs["verdict"])
        began = time.perf_counter()
        found |= _lasso(panel)
        seconds["lasso, best"] = seconds.get("lasso, best", 0.0) + time.perf_counter() - began
        for name, kept in found.items():
            counts.setdefault(name, []).append((int((kept & ~truth).sum()), int((~kept & truth).sum())))
    rows = []
    for name, pairs in counts.items():
        false, missed = np.sum(pairs, axis=0)
        row = {
            "what": name,
            "panels": panels,
            "false_inclusions": int(false),
            "of": (N_DRIVERS - N_TRUE) * panels,
        }
        row |= {"misses": int(missed), "of_true": N_TRUE * panels}
        row["s_per_panel"] = round(seconds[name] / panels, 1) if name in seconds else None
        if name == "horseshoe-t":
            row["verdicts_fail"] = verdicts.count("fail")
        rows.append(row)
    return rows
