"""Does it forecast? One-day VaR and ES of twelve portfolios of real coins, against what people use now.

Needs a folder with `prices.csv` and `sectors.csv` in the environment variable BAYESFACTOR_DATA. Everything
was decided on the first span; the second was looked at once, afterwards.
"""

import argparse
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayesfactor as bf
from bayesfactor.backtest import backtest
from bayesfactor.scoring import compare_mean_loss, holm, score_backtest

__all__ = ["COINS", "SPANS", "add_options", "coin_panel", "measure", "portfolios", "tables"]

COINS = (
    *("BTC", "ETH", "BNB", "XRP", "ADA", "DOGE", "LINK", "LTC", "BCH", "XLM", "TRX", "ETC", "ATOM", "ALGO"),
    *(
        "VET",
        "ZEC",
        "AAVE",
        "UNI",
        "SOL",
        "DOT",
        "AVAX",
        "NEAR",
        "MKR",
        "COMP",
        "SUSHI",
        "CRV",
        "DASH",
        "ZEN",
    ),
    *("ICP", "SHIB", "LDO", "OP", "APT", "IMX", "APE", "ENS"),
)
SPANS = {
    "first": ("2020-07-01", "2022-06-30"),
    "second": ("2022-07-01", "2024-12-31"),
    "all": ("2020-07-01", "2024-12-31"),
    "four-years": ("2021-01-01", "2024-12-31"),
}
WINDOW = 500
YOUNG = "newest"
CHAMPION = "score-skew-t"
"""Named on the first span."""
BASELINES = ("historical", "ewma-fhs", "arch-t", "normal")
MODELS = ("garch-t", "gjr-skew-t", "score-skew-t", "hierarchical-t")


def coin_panel(span: str, coins: tuple[str, ...] = COINS) -> xr.Dataset:
    """Return the panel whose first forecast is that of the first day of a span."""
    folder = Path(os.environ["BAYESFACTOR_DATA"])
    start, end = (pd.Timestamp(x) for x in SPANS[span])
    prices = pd.read_csv(folder / "prices.csv", index_col=0, parse_dates=True)[list(coins)]
    sectors = pd.read_csv(folder / "sectors.csv", index_col=0)["sector"]
    prices = prices.loc[start - pd.Timedelta(days=WINDOW + 1) : end]
    listed = prices.notna() & prices.shift(1).notna()
    prices = prices.loc[:, listed.any()]
    return bf.panel_from_prices(prices, groups=sectors[list(prices)])


def portfolios(past: xr.Dataset) -> pd.DataFrame:
    """Return twelve portfolios, each of gross 1 but the spread, made of the days before."""
    returns = past["returns"].transpose("time", "asset").values
    assets, sector = past["asset"].values.astype(str), past["group"].values.astype(str)
    trades, age = np.isfinite(returns[-1]), np.isfinite(returns).sum(axis=0)
    chance = np.random.default_rng(1).normal(size=len(assets))
    known = trades & (np.isfinite(returns[-60:]).sum(axis=0) >= 20)
    deviation = np.ones(len(assets))
    deviation[known] = np.nanstd(returns[-60:, known], axis=0)
    known &= deviation > 0.0
    raw = {
        "equal weight": trades.astype(float),
        "inverse volatility": np.where(known, 1.0 / np.where(known, deviation, 1.0), 0.0),
        **{coin: (assets == coin).astype(float) for coin in ("BTC", "ETH", "DOGE", "LINK")},
        "DeFi": (trades & (sector == "defi")).astype(float),
        "privacy": (trades & (sector == "privacy")).astype(float),
        "newest": (trades & (age < 365)).astype(float),
        "minimum variance": _least_variance(returns[-250:], trades),
        "long-short": np.where(trades, chance, 0.0),
    }
    table = {name: w / max(np.abs(w).sum(), 1e-12) for name, w in raw.items()}
    others = trades & (assets != "BTC")
    table["alts minus BTC"] = others / max(others.sum(), 1) - (assets == "BTC")
    return pd.DataFrame(table, index=assets).T


def _least_variance(returns: np.ndarray, trades: np.ndarray) -> np.ndarray:
    """Return long-only weights of least variance under a covariance shrunk by 30 % to its diagonal."""
    use = np.flatnonzero(trades & (np.isfinite(returns).sum(axis=0) >= 100))
    covariance = np.cov(np.nan_to_num(returns[:, use]).T)
    covariance = 0.7 * covariance + 0.3 * np.diag(np.diag(covariance))
    held = np.arange(len(use))
    weights = np.zeros(returns.shape[1])
    while len(held):
        w = np.linalg.solve(covariance[np.ix_(held, held)], np.ones(len(held)))
        if (w > 0.0).all():
            weights[use[held]] = w
            break
        held = held[w > 0.0]
    return weights


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this measurement can be told."""
    parser.add_argument("--span", choices=list(SPANS), default="first", help="forecasts: which days")
    parser.add_argument("--coins", type=int, default=len(COINS), help="forecasts: how many of its list")
    parser.add_argument("--models", default=",".join((*MODELS, *BASELINES)), help="forecasts: with commas")
    kept = "forecasts: a Zarr store to keep, and to go on from; allocation: a .nc to keep"
    parser.add_argument("--store", help=kept)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the backtest of a span, print what came of it, keep it if asked to."""
    if not os.environ.get("BAYESFACTOR_DATA"):
        return [{"what": "BAYESFACTOR_DATA is not set"}]
    panel, began = coin_panel(options.span, COINS[: options.coins]), time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        result = backtest(
            options.models.split(","), panel, portfolios, window=WINDOW, refit_every=30, random_seed=1,
            executor=pool, store=options.store, progressbar=False,
        )  # fmt: skip
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(u.ru_utime + u.ru_stime for u in used)
    print(
        f"{dict(panel.sizes)}, {len(result.time)} days forecast, {seconds:.0f} s, {cpu:.0f} s of CPU",
        flush=True,
    )
    print("R-hat", {m: round(float(v), 3) for m, v in result["rhat"].max("refit").to_pandas().items()})
    spans = ("first", "second", "all") if options.span == "all" else (options.span,)
    return [row for span in spans for row in tables(result.sel(time=slice(*SPANS[span])), span)]


def tables(result: xr.Dataset, span: str, level: float = 0.975) -> list[dict[str, Any]]:
    """Print losses, hit rates and tests of a span; return one row per model."""
    scores = score_backtest(result, reference=CHAMPION, random_seed=1)
    at = scores.sel(level=level)
    print(f"\n=== {span} span, level {level}; days: {at['days'].to_pandas().to_dict()}")
    for name in ("fz0", "hit_rate", "in_confidence_set", "log_score", "crps"):
        table = at[name].transpose("model", "portfolio").to_pandas()
        print(f"\n{name}\n{table.round(4).to_string()}")
    # Young coins are not always there: the mean over portfolios is that of the others, on all days.
    mean = compare_mean_loss(result.drop_sel(portfolio=YOUNG), level, CHAMPION, random_seed=1)
    lowest = at["fz0"].transpose("model", "portfolio").to_pandas().idxmin()
    rows = []
    for model in result["model"].values.tolist():
        p = scores["christoffersen_p"].sel(model=model).values.ravel()
        p = p[np.isfinite(p)]
        one = mean.sel(model=model)
        kept = ("mean_loss", "difference", "diebold_mariano_p", "bootstrap_p")
        rows.append(
            {
                "what": f"{model} ({span})",
                **{v: round(float(one[v]), 4) for v in kept},
                "young": round(float(at["fz0"].sel(model=model, portfolio=YOUNG)), 4),
                "lowest on": int((lowest == model).sum()),
                "in set": int(at["in_confidence_set"].sel(model=model).sum()),
                "hits %": round(100 * float(at["hit_rate"].sel(model=model).mean()), 2),
                "coverage rejected": int((holm(p) < 0.05).sum()) if len(p) else None,
                "of": len(p),
            }
        )
    return rows
