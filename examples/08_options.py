"""Options beside coins, and what a trade would do
===============================================

A portfolio of coins, a put that protects it and calls that pay for the put; then three trades, measured
before anybody makes them. With ``BAYESFACTOR_QUICK=1`` everything is smaller.
"""

import os

import numpy as np
import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_coins, n_days = (4, 150) if quick else (10, 500)
sample = {"draws": 100, "tune": 200, "chains": 2} if quick else {"draws": 500, "tune": 500, "chains": 2}
paths = 100 if quick else None
panel, _ = bf.simulate_panel(n_assets=n_coins, n_days=n_days, n_factors=2, random_seed=1)
tree = bf.fit("hierarchical-t", panel, random_seed=1, progressbar=False, **sample)
coins = panel["asset"].values.tolist()
weights = dict.fromkeys(coins, 1 / n_coins)

# %%
# A collar on the first coin
# --------------------------
#
# A million in coins. Puts 10 % below the price, paid by calls 10 % above it; a short perpetual takes half of
# the second coin away. A row per position, in money.

million = 1e6
held = million / n_coins / 100.0
option = {"instrument": "option", "price": 100.0, "days": 30, "implied_volatility": 0.7}
positions = bf.read_positions(
    [
        {"asset": coins[0], "type": "put", "quantity": held, "strike": 90.0, **option},
        {"asset": coins[0], "type": "call", "quantity": -held, "strike": 110.0, **option},
        {
            "asset": coins[1],
            "instrument": "perpetual",
            "quantity": -held / 2,
            "price": 100.0,
            "funding": 1e-4,
        },
    ]
)
print(positions)

# %%
# How does volatility move with returns?
# --------------------------------------
#
# kappa says by how much implied volatility rises when the coin falls. Here a history of it is made up.

rng = np.random.default_rng(1)
returns = panel["returns"].to_pandas().iloc[1:, :2].fillna(0.0)
change = -0.8 * returns + 0.02 * rng.standard_normal(returns.shape)
kappa = bf.fit_kappa(returns, 0.7 * (1 + change).cumprod())
print(kappa.round(2))

# %%
# Risk with and without
# ---------------------
#
# Curvature (``nonlinear``) and the passing of time (``carry``) are components like any other. The collar
# takes the tail of the first coin away; ``full`` prices options anew on every path.

bare = bf.decompose_risk(tree, weights, value=million, paths=paths, random_seed=1)
hedged = bf.decompose_risk(
    tree,
    weights,
    value=million,
    positions=positions,
    kappa=kappa,
    repricing="full",
    paths=paths,
    random_seed=1,
)
for name, risk in (("coins", bare), ("with positions", hedged)):
    es = risk["es"].sel(level=0.99)
    low, high = risk["es_posterior"].sel(level=0.99).quantile([0.05, 0.95])
    print(f"99 % ES, {name}: {float(es):,.0f} (90 %: {float(low):,.0f} to {float(high):,.0f})")
print(hedged["es_contribution"].sel(level=0.99).sum("asset").to_series().round(-1))
bf.plot_risk(hedged)

# %%
# Three trades, before they are made
# ----------------------------------
#
# Every trade is judged on its own, on the same paths: the change is known better than the level.

trades = {
    f"less {coins[0]}": {coins[0]: -0.05},
    f"{coins[0]} into {coins[2]}": {coins[0]: -0.05, coins[2]: 0.05},
    f"out of {coins[1]}": {coins[1]: -weights[coins[1]]},
}
found = bf.incremental_risk(tree, weights, trades, paths=paths, random_seed=1)
at = found.sel(level=0.99)
ends = at["es_change_posterior"].quantile([0.05, 0.95], ("chain", "draw")).to_pandas().T
table = pd.DataFrame({n: at[n].to_series() for n in ("es_change", "es_change_mcse", "es_first_order")})
print((100 * table.join(ends)).round(3))  # per cent of value
