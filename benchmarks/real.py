"""Real coins: `bayesfactor` against plain PyMC on the coins that traded all the time.

Plain PyMC cannot skip cells: it would make each a parameter.

Factors are the market and one for each sector of six coins or more. Needs a folder with
`prices.csv` and `sectors.csv` in the environment variable BAYESFACTOR_DATA.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

import bayesfactor as bf
from benchmarks import sampling
from benchmarks.timing import min_ess

__all__ = ["measure"]


def measure(start: str = "2021-01-01", end: str = "2024-12-31") -> list[dict[str, Any]]:
    """Return one row for each way to sample; nothing where there are no data."""
    folder = os.environ.get("BAYESFACTOR_DATA")
    if not folder:
        return [{"what": "BAYESFACTOR_DATA is not set"}]
    panel = bf.panel_from_prices(
        Path(folder) / "prices.csv", groups=Path(folder) / "sectors.csv", start=start, end=end
    )
    panel = with_sector_factors(panel)
    whole = panel.isel(asset=panel["returns"].notnull().all("time").values)
    rows = []
    for what, which in (("all coins, holes included", panel), ("coins without holes", whole)):
        rows.append(_row(f"bayesfactor, {what}", which, sampling.ours(which)))
    rows.append(_row("plain, nutpie, coins without holes", whole, sampling.with_nutpie(whole)))
    rows[-1]["ratio"] = round(rows[1]["ess_per_s"] / rows[2]["ess_per_s"], 1)
    return rows


def with_sector_factors(panel: xr.Dataset, at_least: int = 6) -> xr.Dataset:
    """Return the panel with a factor for each larger sector: its equal-weight return minus the market's."""
    returns = panel["returns"].to_pandas()
    market = panel["factor_returns"].sel(factor="market").to_series()
    sectors = panel["group"].to_series()
    factors = {"market": market}
    for name, members in sectors.groupby(sectors):
        if len(members) >= at_least:
            factors[str(name)] = returns[members.index].mean(axis=1) - market
    table = pd.DataFrame(factors).dropna()
    return bf.panel_from_returns(returns.loc[table.index], factors=table, groups=sectors.to_dict())


def _row(what: str, panel: Any, run: sampling.Run) -> dict[str, Any]:
    ess, where = min_ess(run.posterior.drop_vars(sampling.OWN_FORMS, errors="ignore"))
    return {
        "what": what,
        "assets": panel.sizes["asset"],
        "factors": panel.sizes["factor"],
        "sampling_s": round(run.sampling, 1),
        "before_s": round(run.before, 1),
        "min_ess": round(ess),
        "of": where,
        "divergences": run.divergences,
        "ess_per_s": round(ess / run.sampling, 1),
    }
