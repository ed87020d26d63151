"""Exposure, standalone volatility, contribution and share, as factor risk systems print them."""

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.forecast import Predictions
from bayesfactor.periods import year_in
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By
from bayesfactor.report import words as w
from bayesfactor.report.alone import Alone, assets_alone, factors_alone, groups_alone
from bayesfactor.report.content import INTERVAL_HEAD, Row, Table, bars, cells, quantiles
from bayesfactor.report.tables_contributions import TOP, plain_name

__all__ = ["exposure_tables", "exposure_words"]


def exposure_words(found: Predictions, risk: xr.Dataset, weights: np.ndarray) -> str:
    """Return how far the parts, each alone, exceed the portfolio."""
    scale = _annual(risk)
    alone = factors_alone(found, weights).volatility.sum() * scale
    total = float(risk["volatility"]) * scale
    return (
        "Standalone is the volatility of the portfolio if this part were all that moved. The standalone "
        f"volatilities of the table by factor add up to {w.percent(alone)} a year; together they make "
        f"{w.percent(total)}, since parts do not move as one. All volatilities are annualised."
    )


def exposure_tables(found: Predictions, risk: xr.Dataset, weights: np.ndarray) -> list[Table]:
    """Return the tables by factor, group and asset; `risk` in fractions, `weights` in the panel's order."""
    whats: tuple[tuple[By, Alone, str, str, str], ...] = (
        (
            "component",
            factors_alone(found, weights),
            "Exposure by factor",
            "Exposure",
            "Exposure is what the portfolio moves when the factor moves by one: its weighted loadings, w'B.",
        ),
        ("group", groups_alone(found, weights), "Standalone risk by group", "Weight", ""),
        ("asset", assets_alone(found, weights), "Standalone risk by asset", "Weight", ""),
    )
    return [_table(risk, *what) for what in whats]


def _annual(risk: xr.Dataset) -> float:
    return float((year_in(risk) / int(risk.attrs.get("horizon", 1))) ** 0.5)


def _table(risk: xr.Dataset, by: By, alone: Alone, title: str, exposed: str, note: str) -> Table:
    scale = _annual(risk)
    parts = breakdown(risk, measure="volatility", by=by)
    at = {str(label): i for i, label in enumerate(parts.labels)}
    parts = parts.take(np.array([at[label] for label in alone.labels]))
    order = np.argsort(-alone.volatility, kind="stable")
    low, high = quantiles(alone.draws) * scale
    x_low, x_high = quantiles(alone.exposure_draws)
    share_low, share_high = quantiles(parts.share_draws())
    frame = pd.DataFrame(
        {
            "factor" if by == "component" else by: alone.labels,
            exposed.lower(): alone.exposure,
            f"{exposed.lower()}_low": x_low,
            f"{exposed.lower()}_high": x_high,
            "unit_volatility": alone.unit * scale,
            "standalone_volatility": alone.volatility * scale,
            "standalone_low": low,
            "standalone_high": high,
            "contribution": parts.value * scale,
            "share": parts.share,
            "share_low": share_low,
            "share_high": share_high,
        }
    )
    every = frame.iloc[order].reset_index(drop=True)
    rows = _rows(every, exposed, by)
    kept = rows if len(rows) <= TOP + 1 else rows[:TOP]
    return Table(
        f"exposures_by_{'factor' if by == 'component' else by}",
        title,
        _heads(by, exposed),
        kept,
        every,
        note,
        _total(parts, every, scale, by),
        "" if by == s.COMPONENT else "Standalone volatility",
        () if kept is rows else rows,
        f"All {len(rows)} assets",
        wide=by == s.COMPONENT,
    )


def _heads(by: By, exposed: str) -> tuple[str, ...]:
    first = {
        "component": ("Factor", exposed, INTERVAL_HEAD, "Volatility of the factor"),
        "group": ("Group", exposed),
        "asset": ("Asset", exposed, "Volatility of the asset"),
    }[by]
    return (*first, "Standalone", INTERVAL_HEAD, "Contribution", "Share", INTERVAL_HEAD)


def _rows(every: pd.DataFrame, exposed: str, by: By) -> tuple[Row, ...]:
    drawn = bars(*(every[f"standalone_{c}"].to_numpy() for c in ("volatility", "low", "high")))
    key, name = every.columns[0], exposed.lower()
    rows = []
    first: tuple[str, ...]
    for i, r in enumerate(every.to_dict("records")):
        if by == s.COMPONENT:
            has = np.isfinite(r[name])
            first = (w.number(r[name], 2), w.span(r[f"{name}_low"], r[f"{name}_high"])) if has else ("", "")
            first += (w.percent(r["unit_volatility"]) if has else "",)
        else:
            first = (w.percent(r[name]),)
            first += (w.percent(r["unit_volatility"]),) if by == s.ASSET else ()
        texts = (
            *first,
            w.percent(r["standalone_volatility"]),
            w.interval(r["standalone_low"], r["standalone_high"]),
            w.percent(r["contribution"]),
            w.percent(r["share"], 1),
            w.interval(r["share_low"], r["share_high"], 1),
        )
        rows.append(Row(plain_name(str(r[key])), cells(*texts), drawn[i]))
    return tuple(rows)


def _total(parts: Breakdown, every: pd.DataFrame, scale: float, by: By) -> Row:
    """Return the portfolio: what it is exposed to in all, and its volatility."""
    before = {"component": ("", "", ""), "group": (), "asset": ("",)}[by]
    first = before if by == s.COMPONENT else (w.percent(float(every["weight"].sum())), *before)
    shown = (w.percent(parts.value.sum() * scale), w.percent(parts.share.sum(), 1), "")
    alone = w.percent(parts.total * scale)
    return Row("Portfolio", cells(*first, alone, "", *shown))
