"""Exposure, standalone volatility, contribution and share, as factor risk systems print them."""

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.forecast import Predictions
from bayesfactor.periods import year_in
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By
from bayesfactor.report.alone import Alone, assets_alone, factors_alone, groups_alone
from bayesfactor.report.content import INTERVAL_HEAD, Bar, Column, Table, bars, foot, lines, quantiles
from bayesfactor.report.tables_contributions import PLURAL, TOP, file_of, plain_name

__all__ = ["exposure_tables", "exposure_words"]


def exposure_words(found: Predictions, risk: xr.Dataset, weights: np.ndarray) -> str:
    """Return how far the parts, each alone, exceed the portfolio."""
    scale = _annual(risk)
    alone = factors_alone(found, weights).volatility.sum() * scale
    total = float(risk["volatility"]) * scale
    return (
        "Standalone is the volatility of the portfolio if this part were all that moved. The standalone "
        f"volatilities of the table by factor add up to {w.percent(alone)} a year; together they make "
        f"{w.percent(total)}, since parts do not move as one. All volatilities are annualised, and "
        "average over what is not known about the parameters."
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
    """Return one table; volatilities average over the parameters and have no interval."""
    scale = _annual(risk)
    parts = breakdown(risk, measure="volatility", by=by)
    at = {str(label): i for i, label in enumerate(parts.labels)}
    shown = [i for i in np.argsort(-alone.volatility, kind="stable") if str(alone.labels[i]) in at]
    alone = alone.take(np.array(shown))
    parts = parts.take(np.array([at[str(label)] for label in alone.labels]))
    middle, low, high = quantiles(alone.exposure)
    ends = {"exposure_low": low, "exposure_high": high} if by == s.COMPONENT else {}
    every = pd.DataFrame(
        {
            file_of(by): alone.labels,
            exposed.lower(): middle,
            **ends,
            "unit_volatility": alone.unit * scale,
            "standalone_volatility": alone.volatility * scale,
            "contribution": parts.value * scale,
            "share": parts.share,
        }
    )
    columns = _columns(every, parts, scale, by, exposed)
    rows = lines([plain_name(str(v)) for v in alone.labels], columns, _bars(every))
    kept = rows if len(rows) <= TOP + 1 else rows[:TOP]
    return Table(
        f"exposures_by_{file_of(by)}",
        title,
        (every.columns[0].capitalize(), *(c.head for c in columns)),
        kept,
        every,
        note,
        foot("Portfolio", columns),
        "Standalone volatility",
        () if kept is rows else rows,
        f"All {len(rows)} {PLURAL[by]}",
    )


def _bars(every: pd.DataFrame) -> list[Bar | None]:
    alone = every["standalone_volatility"].to_numpy()
    return bars(alone, alone, alone)


def _columns(every: pd.DataFrame, parts: Breakdown, scale: float, by: By, exposed: str) -> list[Column]:
    """Return exposure, volatility alone, contribution and share, the portfolio in the last line."""
    x = every[exposed.lower()]
    if by == s.COMPONENT:
        ends = zip(every["exposure_low"], every["exposure_high"], strict=True)
        # specific and drift have no exposure
        first = [
            Column(exposed, [w.number(v, 2) if np.isfinite(v) else "" for v in x]),
            Column(INTERVAL_HEAD, [w.span(*v) if np.isfinite(v[0]) else "" for v in ends]),
        ]
    else:
        first = [Column(exposed, [w.percent(v) for v in x], w.percent(x.sum()))]
    if by != s.GROUP:
        unit = [w.percent(v) if np.isfinite(v) else "" for v in every["unit_volatility"]]
        first.append(Column(f"Volatility of the {file_of(by)}", unit))
    return [
        *first,
        Column(
            "Standalone",
            [w.percent(v) for v in every["standalone_volatility"]],
            w.percent(parts.total * scale),
        ),
        Column(
            "Contribution",
            [w.percent(v) for v in every["contribution"]],
            w.percent(every["contribution"].sum()),
        ),
        Column("Share", [w.percent(v, 1) for v in every["share"]], w.percent(every["share"].sum(), 1)),
    ]
