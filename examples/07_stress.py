"""What if? Replays, shocks, other regimes, and what would lose so much
====================================================================

A market of which the fit has seen the last two years, and a crash that lies before them. With
``BAYESFACTOR_QUICK=1`` everything is smaller.
"""

import os
import warnings

import numpy as np
import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_coins, n_days = (6, 250) if quick else (12, 730)
sample = {"draws": 100, "tune": 150, "chains": 2} if quick else {"draws": 500, "tune": 500, "chains": 2}
paths = 50 if quick else None

# %%
# Three years, the last coin listed a year ago
# --------------------------------------------
#
# The first days hold a crash: the market falls by half in three days.

rng = np.random.default_rng(1)
days = pd.date_range("2022-01-01", periods=n_days + 60)
coins = [f"C{i:02d}" for i in range(n_coins)]
mixing = np.sqrt(5 / rng.chisquare(5, (len(days), 1)))
factors = pd.DataFrame(
    mixing * rng.multivariate_normal([0, 0], [[9e-4, 2e-4], [2e-4, 2e-4]], len(days)), days
)
factors.columns = ["market", "size"]
factors.iloc[20:23] = [[-0.25, -0.06], [-0.2, 0.01], [-0.05, -0.02]]
loadings = np.column_stack([rng.uniform(0.7, 1.4, n_coins), rng.normal(0.0, 0.6, n_coins)])
own = 0.02 * rng.standard_t(4, (len(days), n_coins))
returns = pd.DataFrame(np.clip(factors.to_numpy() @ loadings.T + own, -0.8, 1), days, coins)
returns.loc[: days[-n_days // 2], coins[-1]] = np.nan

history = bf.panel_from_returns(returns, factors=factors)
window = bf.panel_from_returns(returns.iloc[60:], factors=factors.iloc[60:])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # few draws, on purpose
    tree = bf.fit("hierarchical-t", window, random_seed=1, progressbar=False, **sample)
weights = dict.fromkeys(coins, 1 / n_coins)

# %%
# The scenarios
# -------------
#
# The crash is not among the data of the fit, so it is read off the history. The youngest coin did not exist.

scenarios = {
    "the crash": bf.Episode(start=days[20], end=days[22]),
    "market -20 %": bf.FactorShock({"market": -0.2}),
    "market -20 %, size frozen": bf.FactorShock({"market": -0.2}, others="frozen"),
    "panic": bf.RegimeShift(correlation=1.0, volatility=2.0, nu=3.0),
    "what loses 30 %": bf.ReverseStress(0.3),
    "sold at 10 % of volume": bf.Liquidation(dict.fromkeys(coins, 2e6), value=5e6),
}
found = bf.stress(tree, weights, scenarios, history=history, paths=paths, random_seed=1)
table = found[["loss", "plausibility"]].to_dataframe()[["loss", "plausibility"]]
table["ES 99 %"] = found["es"].sel(level=0.99).to_series()
print(table.round(4))
print(*found["note"].values, sep="\n")

# %%
# How sure is a loss, and where does it come from?
# ------------------------------------------------

low, high = found["loss_posterior"].quantile([0.05, 0.95], ("chain", "draw"))
print(pd.DataFrame({"5 %": low.to_series(), "95 %": high.to_series()}).round(3))
print(found["loss_contribution"].sum("asset").to_pandas().round(3) + 0.0)

# %%
bf.plot_stress(found)
