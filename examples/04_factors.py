"""Factors: portfolios, drivers, and which of them matter
======================================================

Prices, capitalisations and volumes become traded factors; hash rate and the like become innovations;
a sparse model says which of them move anything. With ``BAYESFACTOR_QUICK=1`` everything is smaller.
"""

import os

import numpy as np
import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_coins, n_days = (10, 260) if quick else (24, 900)
sample = {"draws": 200, "tune": 300, "chains": 2} if quick else {"draws": 500, "tune": 700}

# %%
# A market
# --------
#
# Twenty-four coins in three sectors. The innovation of the hash rate moves one of the sectors; that of
# active addresses moves none.

rng = np.random.default_rng(1)
days = pd.date_range("2022-01-01", periods=n_days)
coins = [f"C{i:02d}" for i in range(n_coins)]
sectors = {c: ["mining", "defi", "gaming"][i % 3] for i, c in enumerate(coins)}
shock = rng.standard_t(5, (n_days, 3)) * np.sqrt(3 / 5)
exposure = np.array([0.015 if sectors[c] == "mining" else 0.0 for c in coins])
returns = 0.03 * rng.standard_t(4, (n_days, 1)) + np.outer(shock[:, 0], exposure)
returns = np.clip(returns + 0.03 * rng.standard_t(4, (n_days, n_coins)), -0.6, 1.0)
prices = pd.DataFrame(100 * np.cumprod(1 + returns, axis=0), days, coins)
caps = prices * np.exp(rng.normal(16, 2, n_coins))
volume = caps * rng.uniform(0.01, 0.1, caps.shape)
levels = {"hash_rate": 0, "active_addresses": 1, "fees": 2}
drivers = pd.DataFrame({k: 1e6 * np.exp(np.cumsum(0.02 * shock[:, j])) for k, j in levels.items()}, days)

# %%
# Traded factors
# --------------
#
# The catalogue says what there is; what the given data do not allow is left out. Weights that earn the
# return of a day were formed the day before.

print(bf.list_factors()[["family", "needs", "what"]].to_string())
traded = bf.build_factors(prices, market_cap=caps, volume=volume, which=["market", "size", "momentum"])
print(traded["factor_weights"].isel(time=-1).sel(factor="size").to_series().sort_values().round(2).tail(3))

# %%
# Drivers
# -------
#
# A driver's level is no factor; what a day brought beyond what was expected is. The spec is a table one
# can read; ``bf.driver_spec()`` shows the one that ships.

spec = {name: {"family": "on-chain", "transform": "log-difference"} for name in drivers}
innovations = bf.driver_innovations(drivers, spec)
factors = bf.merge_factors(traded, innovations)
factors = factors.isel(time=factors["factor_returns"].notnull().all("factor").values)
print(bf.check_collinearity(factors)["vif"].to_series().round(2))

# %%
# Which of them matter
# --------------------
#
# The regularised horseshoe shrinks what does nothing. A factor is selected where its mean effect, in
# standard deviations of the coins, is above the threshold with a probability of more than one half.

panel = bf.panel_from_prices(prices, factors=factors, groups=sectors)
tree = bf.fit("horseshoe-t", panel, random_seed=1, progressbar=False, **sample)
print(bf.diagnose(tree, check_adequacy=False).attrs["verdict"])
chosen = bf.select_factors(tree, threshold=0.05)
print(chosen[["family", "factor_effect", "factor_probability", "selected"]].to_dataframe().round(2))
print(chosen["group_probability"].sel(factor=list(drivers)).to_pandas().round(2))

# %%
# Where returns came from
# -----------------------
#
# Parts add up to the realised return exactly, in each draw.

weights = dict.fromkeys(coins, 1 / n_coins)
quarters = bf.attribute_returns(tree, weights, "QE")
print(quarters["contribution"].to_pandas().assign(realised=quarters["realised"].values).round(3))
gap = abs(quarters["contribution"].sum("component") - quarters["realised"]).max()
assert gap < 1e-10

# %%
# What is paid for
# ----------------
#
# Means are the weakest thing that data say, and the words beside the numbers say how weak.

premia = bf.decompose_premium(tree, random_seed=1)
table = premia[["traded", "premium", "premium_low", "premium_high"]].to_dataframe().drop(columns="family")
print(table.round(4))
print(premia.attrs["identification"])
print(bf.systematic_share(tree)["group_share"].to_series().round(2))
