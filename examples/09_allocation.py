"""Weights: what to hold, how sure that is, what trading costs
===========================================================

A simulated market, one fit, four objectives; a budget of risk by where it comes from; a rebalancing that
minds costs; and a walk-forward against equal weight. With ``BAYESFACTOR_QUICK=1`` everything is smaller.
"""

import os
import warnings

import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_coins, n_days, window = (5, 130, 100) if quick else (12, 700, 400)
sample = {"draws": 40, "tune": 80, "chains": 2} if quick else {"draws": 500, "tune": 500, "chains": 2}
scenarios, draws = (400, 4) if quick else (10_000, 100)

panel, _ = bf.simulate_panel(n_assets=n_coins, n_days=n_days, n_factors=1, random_seed=5)
past = panel.isel(time=slice(0, window))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # few draws, on purpose
    tree = bf.fit("hierarchical-t", past, random_seed=1, progressbar=False, **sample)

# %%
# Four objectives
# ---------------
#
# The law is the posterior predictive one: what is not known about the parameters is risk too.

how = {"bounds": (0.0, 0.5), "scenarios": scenarios, "random_seed": 1}
found = {
    objective: bf.allocate(tree, objective, **how)
    for objective in ("min_es", "min_volatility", "max_diversification", "risk_budget")
}
print(pd.DataFrame({name: x["weights"].to_series() for name, x in found.items()}).round(2))
print(pd.Series({name: float(x["es"]) for name, x in found.items()}).round(4))

# %%
# How sure are these weights?
# ---------------------------
#
# Each posterior draw has a law of its own, and weights of its own.

least = bf.allocate(tree, "min_volatility", weight_draws=draws, **how)
low, high = least["weights_posterior"].quantile([0.05, 0.95], ("chain", "draw"))
print(pd.DataFrame({"weight": least["weights"], "5 %": low, "95 %": high}, panel["asset"].values).round(2))

# %%
# A budget by where the risk comes from
# -------------------------------------
#
# More from the coins themselves than a mean of coins has; the nearest that long positions reach is returned.

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    budget = bf.allocate(tree, "risk_budget", budget={"market": 0.6, "specific": 0.4}, **how)
print(budget["risk_share"].sum("asset").to_series().round(3))

# %%
# Is the trade worth its cost?
# ----------------------------

held = dict.fromkeys(panel["asset"].values.tolist(), 1 / n_coins)
for cost in (0.0, 0.001, 0.05):
    moved = bf.allocate(tree, "min_es", previous_weights=held, transaction_costs=cost, **how)
    print(f"cost {cost:.3f}: turnover {float(moved['turnover']):.2f}, ES {float(moved['es']):.4f}")

# %%
# Out of sample, after costs
# --------------------------

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    result = bf.backtest_allocation(
        ["equal", "inverse-volatility", "min-es: hierarchical-t"],
        panel,
        window=window,
        refit_every=30,
        scenarios=scenarios,
        random_seed=1,
        progressbar=False,
        **sample,
    )
scores = bf.summarise_allocation(result, replications=200 if quick else 2000)
columns = ["annual_return", "es", "es_p", "turnover", "sharpe", "sharpe_low", "sharpe_high", "sharpe_p"]
print(scores[columns].to_dataframe().T.round(3))
