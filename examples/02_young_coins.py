"""What pooling does for a young coin
==================================

A coin with 40 days of history has a loading that 40 days can hardly tell. Its sector knows more.
With ``BAYESFACTOR_QUICK=1`` in the environment everything is smaller.
"""

import os

import pandas as pd

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
n_assets, n_days = (8, 200) if quick else (20, 750)
sample = {"draws": 500, "tune": 500} if quick else {}

# %%
# A market in which one coin is young
# -----------------------------------
#
# The first coin loses all but its last 40 returns. Nothing else is dropped: the others keep their
# whole history, and the young coin joins when it is there.

whole, truth = bf.simulate_panel(
    n_assets=n_assets, n_days=n_days, n_factors=2, n_groups=2, missing=0, random_seed=3
)
young = str(whole["asset"].values[0])
old_days = whole["time"] < whole["time"][-40]
returns = whole["returns"].where(~(old_days & (whole["asset"] == young)))
panel = bf.panel_from_returns(returns, factors=whole["factor_returns"])
print(panel["returns"].count("time").to_series().rename("days").head(3))

# %%
# Two models
# ----------
#
# ``unpooled-t`` is a robust regression per coin. ``hierarchical-t`` lets each coin borrow from its group,
# and the groups from each other; how much is learned from the data.

trees = {
    name: bf.fit(name, panel, random_seed=1, progressbar=False, **sample)
    for name in ("hierarchical-t", "unpooled-t")
}
for name, tree in trees.items():
    print(name, bf.diagnose(tree, check_adequacy=False).attrs["verdict"])

# %%
# The young coin
# --------------
#
# Pooled loadings are drawn towards the mean of the group. They are less uncertain, most of all where
# 40 days say little, and a little biased where the coin is unlike its group.

draws = {name: tree["posterior"]["loadings"].sel(asset=young) for name, tree in trees.items()}
table = pd.DataFrame({"truth": truth["loadings"].sel(asset=young).to_series()})
for name, loadings in draws.items():
    table[f"{name}, mean"] = loadings.mean(("chain", "draw")).to_series()
    table[f"{name}, sd"] = loadings.std(("chain", "draw")).to_series()
print(table.round(2).T)
bf.plot_loadings(trees["hierarchical-t"])

# %%
# The others
# ----------
#
# For coins with a long history the two models agree: pooling fades as data come in.

old = [str(a) for a in panel["asset"].values if a != young]
sds = {n: t["posterior"]["loadings"].sel(asset=old).std(("chain", "draw")) for n, t in trees.items()}
ratio = float((sds["hierarchical-t"] / sds["unpooled-t"]).mean())
print(f"posterior sd of the other coins' loadings, pooled over unpooled: {ratio:.2f}")

# %%
# Which forecasts better?
# -----------------------
#
# Leave-one-out by day. One young coin among many moves the sum little: read ``elpd_diff`` against ``dse``.

print(bf.compare(trees, progressbar=False)[["elpd", "elpd_diff", "dse", "weight"]].round(1))
