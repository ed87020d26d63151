"""The case study of docs/case_study.md: four sets of factors on the same coins and days.

Needs a folder with `prices.csv`, `marketcap.csv`, `volume.csv`, `sectors.csv` and `drivers.csv` in the
environment variable BAYESFACTOR_DATA.
"""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import bayesfactor as bf

__all__ = ["factors_of", "measure"]

STYLE = ("size", "momentum", "reversal", "volatility", "liquidity")
SAMPLING = {"draws": 400, "tune": 600, "random_seed": 1, "progressbar": False}


def factors_of(folder: Path, start: str, end: str) -> xr.Dataset:
    """Return market, style and all drivers that ship, on days that have them all."""
    traded = bf.build_factors(
        folder / "prices.csv",
        market_cap=folder / "marketcap.csv",
        volume=folder / "volume.csv",
        which=["market", *STYLE],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one old jump of TVL, years before the window
        drivers = bf.driver_innovations(folder / "drivers.csv")
    both = bf.merge_factors(traded, drivers).sel(time=slice(start, end))
    return both.isel(time=both["factor_returns"].notnull().all("factor").values)


def measure(start: str = "2021-01-01", end: str = "2024-12-31") -> list[dict[str, Any]]:
    """Fit, compare, and say what explains; prints its tables on the way."""
    folder = os.environ.get("BAYESFACTOR_DATA")
    if not folder:
        return [{"what": "BAYESFACTOR_DATA is not set"}]
    root = Path(folder)
    factors = factors_of(root, start, end)
    collinear = bf.check_collinearity(factors)
    print(
        f"condition number {collinear.attrs['condition_number']:.1f}, highest VIF "
        f"{float(collinear['vif'].max()):.1f} ({collinear['vif'].idxmax('factor').item()})"
    )
    families = factors["family"].values
    sets = {
        "market": ("hierarchical-t", families == "market"),
        "market + style": ("hierarchical-t", np.isin(factors["factor"], ["market", *STYLE])),
        "+ drivers": ("hierarchical-t", np.ones(len(families), dtype=bool)),
        "horseshoe, all": ("horseshoe-t", np.ones(len(families), dtype=bool)),
    }
    trees, rows = {}, []
    for name, (model, kept) in sets.items():
        panel = bf.panel_from_prices(
            root / "prices.csv",
            factors=factors.isel(factor=kept),
            groups=root / "sectors.csv",
            start=start,
            end=end,
        )
        began = time.perf_counter()
        trees[name] = bf.fit(model, panel, **SAMPLING)
        seconds = time.perf_counter() - began
        found = bf.diagnose(trees[name], check_adequacy=False)
        rows.append(
            {
                "what": name,
                "model": model,
                "factors": int(kept.sum()),
                "fit_s": round(seconds),
                "verdict": found.attrs["verdict"],
                "min_ess": round(float(found["ess_bulk"].min())),
                "r_hat": round(float(found["r_hat"].max()), 3),
                "divergences": int(found["divergences"]),
            }
        )
        print(rows[-1], flush=True)
    for by in ("time", "observation"):
        table = bf.compare(trees, by=by, progressbar=False)
        print(
            f"\nLOO by {by}\n{table[['rank', 'elpd', 'p', 'elpd_diff', 'dse', 'warning']].round(1)}",
            flush=True,
        )
        for row in rows:
            row[f"elpd_diff_{by}"] = round(float(table.loc[row["what"], "elpd_diff"]), 1)
    _shares(trees)
    _selection(trees["horseshoe, all"])
    _attribution(trees)
    return rows


def _shares(trees: dict[str, xr.DataTree]) -> None:
    shares = {name: bf.systematic_share(tree)["group_share"].to_series() for name, tree in trees.items()}
    print("\nSystematic share by sector (posterior mean)")
    print(xr.Dataset({k: v.to_xarray() for k, v in shares.items()}).to_dataframe().round(3), flush=True)


def _selection(tree: xr.DataTree) -> None:
    found = bf.select_factors(tree)
    table = found[["family", "factor_effect", "factor_probability", "selected"]].to_dataframe()
    table["assets_above_half"] = (found["probability"] > 0.5).sum("asset").to_series()
    print(
        "\nSelection: effects above 0.05\n",
        table.sort_values("factor_effect", ascending=False).round(3),
        flush=True,
    )


def _attribution(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["market + style"]
    weights = {str(a): 1 / tree["posterior"].sizes["asset"] for a in tree["posterior"]["asset"].values}
    years = bf.attribute_returns(tree, weights, "YE")
    print(
        "\nEqual weights, by year\n",
        years["contribution"].to_pandas().round(3).assign(realised=years["realised"].values),
    )
    worst = 0.0
    for period in (None, "ME", "W", "D", ("2022-05-01", "2022-06-30")):
        found = bf.attribute_returns(tree, weights, period)
        worst = max(worst, float(abs(found["contribution"].sum("component") - found["realised"]).max()))
    print(f"largest gap between parts and realised return over years, months, weeks, days: {worst:.1e}")
    print(bf.decompose_premium(trees["+ drivers"], random_seed=1).attrs["identification"], flush=True)
