"""Latent factors: what moves coins together that has no series
============================================================

Returns of a market whose second factor nobody recorded. A latent model finds how many factors there are and
what they load on; a hybrid one finds what the observed market leaves over. With ``BAYESFACTOR_QUICK=1``
everything is smaller.
"""

import os

import numpy as np
import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_coins, n_days = (6, 120) if quick else (20, 750)
sample = {"draws": 100, "tune": 200, "chains": 2} if quick else {"draws": 500, "tune": 500}
sample |= {"random_seed": 1, "progressbar": False}

# %%
# A market and a theme
# --------------------
#
# All coins follow the market; every other one also follows a theme. Days share one fat-tailed mixing.

rng = np.random.default_rng(1)
days = pd.date_range("2023-01-01", periods=n_days)
coins = [f"C{i:02d}" for i in range(n_coins)]
mixing = np.sqrt(4 / rng.chisquare(4, (n_days, 1)))
market = 0.02 * mixing * rng.standard_normal((n_days, 1))
theme = 0.015 * mixing * rng.standard_normal((n_days, 1))
own = 0.02 * mixing * rng.standard_normal((n_days, n_coins))
returns = market * rng.uniform(0.8, 1.2, n_coins) + theme * (np.arange(n_coins) % 2) + own
returns = pd.DataFrame(np.clip(returns, -0.6, 1.0), days, coins)

# %%
# How many factors?
# -----------------
#
# Each number is fitted and scored by leave-one-day-out, factors integrated out.

panel = bf.panel_from_returns(returns)
table = bf.choose_n_latent(panel, range(1, 3) if quick else range(4), **sample)
print(table[["elpd_diff", "dse", "verdict"]].round(1))
print(table.attrs["recommendation"])

# %%
# What are they?
# --------------
#
# Sign, rotation and order are settled. Varimax reads well; principal axes put the market first.

latent = bf.fit(bf.get_model("latent-t", n_latent=2), panel, **sample)
print(latent["posterior"]["loads_on"].to_series())
axes = bf.align_loadings(latent, "procrustes")
print(axes["posterior"]["latent_loadings"].mean(("chain", "draw")).to_pandas().round(3).head())
scores = bf.factor_scores(axes).mean(("chain", "draw"))
print(
    "latent-1 and the market:", abs(np.corrcoef(scores.sel(latent="latent-1"), market[:, 0])[0, 1]).round(2)
)

# %%
# Beside an observed market
# -------------------------
#
# The hybrid model is given the market and finds the theme. Models of either kind are ranked
# given nothing: by what they foresee, not by what the day's factors tell them.

with_market = bf.panel_from_returns(returns, factors=pd.DataFrame({"market": market[:, 0]}, days))
hybrid = bf.fit("hybrid-t", with_market, **sample)
static = bf.fit("hierarchical-t", with_market, **sample)
trees = {"observed": static, "latent": latent, "hybrid": hybrid}
print(bf.compare(trees, given="nothing", progressbar=False)[["elpd", "elpd_diff", "dse", "weight"]].round(2))

# %%
# Risk
# ----
#
# Latent factors are components like any other.

weights = dict.fromkeys(coins, 1 / n_coins)
risk = bf.decompose_risk(hybrid, weights, levels=(0.99,), random_seed=1)
print((risk["es_contribution"].sum("asset") / risk["es"]).isel(level=0).to_series().round(3))
bf.plot_loadings(hybrid)
