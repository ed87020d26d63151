"""Who allocates best? Monthly rebalancing of real coins, 2021 to 2024, after costs.

Needs a folder with `prices.csv` and `sectors.csv` in the environment variable BAYESFACTOR_DATA. Strategies,
caps and days were written down before the first run; nothing was changed after it.
"""

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

import bayesfactor as bf
from bayesfactor.scoring import holm
from benchmarks.forecasts import COINS

__all__ = ["measure", "strategies", "table"]

HELD: Final = COINS[:28]
"""Each is held once it has a full window."""
FIRST, LAST = "2021-01-01", "2024-12-31"
WINDOW, EVERY, COST, CAP = 500, 30, 0.001, 0.2


def strategies() -> dict[str, Any]:
    """Return rules, ours and skfolio's own, the optimisers among them long-only with one cap."""
    from skfolio import RiskMeasure
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import HierarchicalRiskParity, MaximumDiversification, MeanRisk, RiskBudgeting
    from skfolio.prior import EmpiricalPrior

    box = (0.0, CAP)
    cvar = {"risk_measure": RiskMeasure.CVAR, "cvar_beta": 0.975, "max_weights": CAP}
    shrunk = EmpiricalPrior(covariance_estimator=LedoitWolf())
    return {
        "equal": "equal",
        "inverse-volatility": "inverse-volatility",
        "min-es: score-skew-t": bf.Strategy("min_es", "score-skew-t", bounds=box),
        "min-es, costs minded: score-skew-t": bf.Strategy(
            "min_es", "score-skew-t", bounds=box, mind_costs=True
        ),
        "min-volatility: score-skew-t": bf.Strategy("min_volatility", "score-skew-t", bounds=box),
        "max-diversification: score-skew-t": bf.Strategy("max_diversification", "score-skew-t", bounds=box),
        "risk-budget: score-skew-t": bf.Strategy("risk_budget", "score-skew-t", bounds=box),
        "min-es: hierarchical-t": bf.Strategy("min_es", "hierarchical-t", bounds=box),
        "min-volatility: hierarchical-t": bf.Strategy("min_volatility", "hierarchical-t", bounds=box),
        "max-diversification: hierarchical-t": bf.Strategy(
            "max_diversification", "hierarchical-t", bounds=box
        ),
        "risk-budget: hierarchical-t": bf.Strategy("risk_budget", "hierarchical-t", bounds=box),
        "skfolio min-es, empirical": MeanRisk(**cvar),
        "skfolio min-es, factor model": _least_es_of_a_factor_model,
        "skfolio min-variance, Ledoit-Wolf": MeanRisk(prior_estimator=shrunk, max_weights=CAP),
        "skfolio max-diversification": MaximumDiversification(max_weights=CAP),
        "skfolio risk-budget": RiskBudgeting(max_weights=CAP),
        "skfolio hierarchical risk parity": HierarchicalRiskParity(max_weights=CAP),
    }


def _least_es_of_a_factor_model(past: xr.Dataset) -> pd.Series:
    """Return what skfolio holds under its own factor model of the market."""
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk
    from skfolio.prior import TimeSeriesFactorModel
    from sklearn import config_context

    returns = past["returns"].transpose("time", "asset").to_pandas().fillna(0.0)
    factors = past["factor_returns"].transpose("time", "factor").to_pandas()
    with config_context(enable_metadata_routing=True):
        prior = TimeSeriesFactorModel().set_fit_request(factors=True)
        how = {"risk_measure": RiskMeasure.CVAR, "cvar_beta": 0.975, "max_weights": CAP}
        found = MeanRisk(prior_estimator=prior, **how).fit(returns, factors=factors)
    return pd.Series(found.weights_, index=returns.columns)


def panel_of_coins() -> xr.Dataset:
    """Return the panel whose first day after the window is the first of the span."""
    folder = Path(os.environ["BAYESFACTOR_DATA"])
    prices = pd.read_csv(folder / "prices.csv", index_col=0, parse_dates=True)[list(HELD)]
    sectors = pd.read_csv(folder / "sectors.csv", index_col=0)["sector"]
    prices = prices.loc[pd.Timestamp(FIRST) - pd.Timedelta(days=WINDOW + 1) : LAST]
    return bf.panel_from_prices(prices, groups=sectors[list(prices)])


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the walk-forward, print its table, keep it where asked to."""
    if not os.environ.get("BAYESFACTOR_DATA"):
        return [{"what": "BAYESFACTOR_DATA is not set"}]
    panel, began = panel_of_coins(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # budgets that caps keep from being met
        found = bf.backtest_allocation(
            strategies(), panel, window=WINDOW, refit_every=EVERY, cost=COST, draws=250, tune=300, chains=2,
            random_seed=1, progressbar=False,
        )  # fmt: skip
    print(f"{dict(found.sizes)}, {time.perf_counter() - began:.0f} s", flush=True)
    print("R-hat", found["rhat"].max("rebalance").to_pandas().round(3).to_dict())
    names = (found["weights"] > 0.0).sel(strategy="equal").sum("asset")
    print(f"coins held, equal weight: {int(names.min())} to {int(names.max())}")
    if options.store:
        found.to_netcdf(options.store, engine="h5netcdf")
    return table(found)


def table(found: xr.Dataset) -> list[dict[str, Any]]:
    """Return one row per strategy: what it earned, risked and paid; p are Holm's over strategies."""
    scores = bf.summarise_allocation(found)
    effective = 1.0 / (found["weights"] ** 2).sum("asset").mean("time")
    adjusted = {k: holm(scores[f"{k}_p"]) for k in ("es", "volatility", "sharpe")}
    rows = []
    for name in scores["strategy"].values.tolist():
        one = scores.sel(strategy=name)
        percent = {
            k: round(100 * float(one[k]), 2) for k in ("annual_return", "volatility", "es", "max_drawdown")
        }
        p = {f"p {k}": _shown(float(v.sel(strategy=name))) for k, v in adjusted.items()}
        rows.append(
            {
                "what": name,
                **{k.replace("_", " "): v for k, v in percent.items()},
                "turnover": round(float(one["turnover"]), 2),
                "cost": round(100 * float(one["cost"]), 2),
                "Sharpe": round(float(one["sharpe"]), 2),
                "90 %": f"{float(one['sharpe_low']):.2f} to {float(one['sharpe_high']):.2f}",
                **p,
                "coins": round(float(effective.sel(strategy=name)), 1),
            }
        )
    return rows


def _shown(p: float) -> float | None:
    return None if np.isnan(p) else round(p, 3)
