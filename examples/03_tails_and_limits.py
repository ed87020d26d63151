"""Fat tails, and limits by group
==============================

What a normal law misses, and how a book is held to a budget of expected shortfall.
With ``BAYESFACTOR_QUICK=1`` in the environment everything is smaller.
"""

import os

import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_assets, n_days = (6, 200) if quick else (20, 750)
sample = {"draws": 250, "tune": 400, "chains": 2} if quick else {}
panel, _ = bf.simulate_panel(n_assets=n_assets, n_days=n_days, n_factors=2, n_groups=2, random_seed=5)

# %%
# Two laws of the same market
# ---------------------------

trees = {
    name: bf.fit(name, panel, random_seed=1, progressbar=False, **sample)
    for name in ("hierarchical-t", "hierarchical-normal")
}
for name, tree in trees.items():
    attrs = bf.diagnose(tree).attrs
    print(f"{name}: verdict {attrs['verdict']}, adequacy {attrs['adequacy']}")
    print(attrs["adequacy_reasons"])
print(bf.compare(trees, progressbar=False)[["elpd", "elpd_diff", "dse", "weight"]].round(1))

# %%
# A long-short book
# -----------------
#
# Long the first half, short the second. Most of the market cancels; specific risk stays.

assets = [str(a) for a in panel["asset"].values]
half = n_assets // 2
weights = pd.Series([1 / half] * half + [-1 / (n_assets - half)] * (n_assets - half), index=assets)
levels = (0.9, 0.95, 0.99)
risks = {name: bf.decompose_risk(tree, weights, levels=levels, random_seed=1) for name, tree in trees.items()}

# %%
# The further out, the more the normal law misses.

table = pd.DataFrame({name: risk["es"].to_series() for name, risk in risks.items()})
table["ratio"] = table["hierarchical-t"] / table["hierarchical-normal"]
print(table.round(4))
bf.plot_tails(trees["hierarchical-normal"], random_seed=1)

# %%
# Limits by group
# ---------------
#
# Each group may use 60 % of expected shortfall at 99 %. Contributions add up, so a group's use is a
# sum, and the posterior says how likely it is that the limit is broken.

risk = risks["hierarchical-t"].sel(level=0.99)
use = risk["es_contribution"].sum("component").groupby("group").sum() / risk["es"]
draws = risk["es_contribution_posterior"].sum("component").groupby("group").sum() / risk["es_posterior"]
limits = pd.DataFrame(
    {"use": use.to_series(), "P(use > 60 %)": (draws > 0.6).mean(("chain", "draw")).to_series()}
)
print(limits.round(3))

# %%
# What to trim
# ------------
#
# A contribution is the marginal effect of a position times its size: the largest is where a small
# trim helps most per unit of weight, the negative ones are hedges.

parts = risk["es_contribution"].sum("component").to_series()
print((parts / float(risk["es"])).sort_values(ascending=False).round(3))
