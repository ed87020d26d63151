"""Does it forecast? VaR and ES day by day, against what people use now
====================================================================

A market whose volatility clusters. Two models and three baselines forecast the loss of two portfolios,
every day anew; what happened decides. With ``BAYESFACTOR_QUICK=1`` everything is smaller.
"""

import os
import warnings

import numpy as np
import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_coins, n_days, window = (4, 190, 150) if quick else (10, 900, 500)
sample = {"draws": 40, "tune": 80, "chains": 2} if quick else {"draws": 500, "tune": 500, "chains": 2}
paths = 100 if quick else None

# %%
# A market that remembers yesterday
# ---------------------------------
#
# The market's variance follows its last squares; coins have loadings around 1 and tails of their own.

rng = np.random.default_rng(1)
days = pd.date_range("2022-01-01", periods=n_days)
coins = [f"C{i:02d}" for i in range(n_coins)]
market, variance = np.empty(n_days), 0.03**2
for t in range(n_days):
    market[t] = np.sqrt(variance * 3 / 5) * rng.standard_t(5)
    variance = 0.03**2 * 0.05 + 0.8 * variance + 0.15 * market[t] ** 2
own = 0.02 * rng.standard_t(4, (n_days, n_coins))
returns = pd.DataFrame(np.clip(market[:, None] * rng.uniform(0.7, 1.4, n_coins) + own, -0.6, 1), days, coins)
panel = bf.panel_from_returns(returns, factors=pd.DataFrame({"market": market}, days))

# %%
# A fit that knows where volatility stands
# ----------------------------------------

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # few draws, on purpose
    tree = bf.fit(
        "score-skew-t", panel.isel(time=slice(0, window)), random_seed=1, progressbar=False, **sample
    )
    today = bf.decompose_risk(tree, dict.fromkeys(coins, 1 / n_coins), paths=paths, random_seed=1)
    later = bf.update(tree, panel)  # no new fit: the same posterior, days later
    then = bf.decompose_risk(later, dict.fromkeys(coins, 1 / n_coins), paths=paths, random_seed=1)
print("99 % ES of equal weight:", *(f"{float(x['es'].sel(level=0.99)):.3f}" for x in (today, then)))

# %%
# The walk-forward
# ----------------

portfolios = pd.DataFrame(
    {"equal weight": np.full(n_coins, 1 / n_coins), "one coin": np.eye(n_coins)[0]}, index=coins
).T
models = ["score-skew-t", "hierarchical-t", "historical", "ewma-fhs", "normal"]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    result = bf.backtest(
        models,
        panel,
        portfolios,
        window=window,
        refit_every=30,
        samples=40 * sample["draws"],
        random_seed=1,
        progressbar=False,
        **sample,
    )
scores = bf.score_backtest(result, reference="score-skew-t", confidence=None)
print(scores["fz0"].sel(level=0.975).to_pandas().round(3))
print(scores["hit_rate"].sel(level=0.975).to_pandas().round(3))
bf.plot_backtest(result)

# %%
# A mixture for tomorrow
# ----------------------
#
# Weights from past log scores; baselines without a density have none.

print(bf.stacking_weights(result).round(2))
