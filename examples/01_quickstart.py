"""From prices to a report
=======================

A simulated market, one model, and every step once. With ``BAYESFACTOR_QUICK=1`` in the
environment everything is smaller: good for a test, too small to conclude from.
"""

import os

import bayesfactor as bf

quick = bool(os.environ.get("BAYESFACTOR_QUICK"))
sizes = {"n_assets": 6, "n_days": 150, "n_factors": 1} if quick else {"n_assets": 20, "n_days": 750}
sample = {"draws": 500, "tune": 500} if quick else {}

# %%
# The panel
# ---------
#
# With data of your own: ``panel = bf.panel_from_prices("prices.csv", groups="sectors.csv")``.

panel, truth = bf.simulate_panel(**sizes, n_groups=2, random_seed=1)
print(panel)

# %%
# The fit, and whether to believe it
# ----------------------------------
#
# The verdict is about the draws. Adequacy is about the model: do data made by it look like the data?

tree = bf.fit("hierarchical-t", panel, random_seed=1, progressbar=False, **sample)
diagnosis = bf.diagnose(tree)
print("verdict:", diagnosis.attrs["verdict"], "- adequacy:", diagnosis.attrs["adequacy"])

# %%
# Loadings
# --------
#
# Draws, not estimates: any quantity made from them has an interval.

market = tree["posterior"]["loadings"].sel(factor="market")
low, high = (market.quantile(q, dim=("chain", "draw")) for q in (0.05, 0.95))
inside = (low <= truth["loadings"].sel(factor="market")) & (truth["loadings"].sel(factor="market") <= high)
print(f"{int(inside.sum())} of {inside.size} true market loadings lie in their 90 % interval")

# %%
# Risk
# ----
#
# ``volatility``, ``var`` and ``es`` pool all draws. ``*_posterior`` say how sure we are of them.

weights = {str(asset): 1 / panel.sizes["asset"] for asset in panel["asset"].values}
risk = bf.decompose_risk(tree, weights, levels=(0.95, 0.99), random_seed=1)
es = risk["es"].sel(level=0.99)
low, high = risk["es_posterior"].sel(level=0.99).quantile([0.05, 0.95]).values
print(f"one-day expected shortfall at 99 %: {float(es):.2%}, 90 % interval {low:.2%} to {high:.2%}")

# %%
# The parts add up exactly, over any partition.

parts = risk["es_contribution"].sel(level=0.99)
print((parts.sum("asset") / es).to_series().round(3))
print((parts.sum("component").groupby("group").sum() / es).to_series().round(3))

bf.plot_risk(risk)

# %%
# What stays
# ----------
#
# The tree is all that later steps need. The report is one file.

bf.save(tree, "fit.nc")
again = bf.load("fit.nc")
page = bf.report(again, weights, "report.html", value=1e6, risk=risk, diagnosis=diagnosis, random_seed=1)
print(f"wrote {page}")
