"""Risk against a benchmark: that of the portfolio that holds one and is short the other."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.forecast import Predictions
from bayesfactor.laws.blocks import thinned
from bayesfactor.periods import year_in
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By
from bayesfactor.report import words as w
from bayesfactor.report.content import (
    INTERVAL_HEAD,
    Block,
    Card,
    Cards,
    Row,
    Section,
    Table,
    Words,
    bars,
    cells,
    quantiles,
)
from bayesfactor.report.figures_risk import simulated_losses
from bayesfactor.report.tables_contributions import TOP, plain_name
from bayesfactor.risk.exact import Book
from bayesfactor.risk.weights import weights_for

__all__ = ["Active", "active_risk", "active_section"]

_SHORT: Final = "Active risk"
_DRAWS: Final = 400


@dataclass(frozen=True)
class Active:
    """What is held beyond a benchmark, and its risk in fractions of value.

    Parameters
    ----------
    weights, benchmark : ndarray (asset)
    risk : Dataset, optional
        `volatility`, `volatility_contribution` and their posteriors, as `bf.decompose_risk` has them; None
        where nothing is held beyond the benchmark.
    shortfall : float
        Pooled expected shortfall at the highest level, from as many scenarios as the picture has.
    beta : ndarray (draw)
        Of the portfolio to the benchmark.
    """

    weights: np.ndarray
    benchmark: np.ndarray
    risk: xr.Dataset | None
    shortfall: float
    beta: np.ndarray


def active_risk(found: Predictions, weights: np.ndarray, benchmark: Any, risk: xr.Dataset) -> Active:
    """Return the risk of `weights` less `benchmark`, over the horizon of `risk`.

    Raises
    ------
    WeightsError
        If the benchmark misses, exceeds or misnames the assets.
    """
    held = weights_for(benchmark, found.labels.assets)
    gap = weights - held
    beta = _beta(found, weights, held)
    if not gap.any():
        return Active(gap, held, None, 0.0, beta)
    labels, m = found.labels, found.moments
    thin = m.take(thinned(m.n_draws, _DRAWS))
    canonical = labels.to_canonical(gap)
    pooled, parts = Book(m, canonical).volatility()
    given, given_parts = Book(thin, canonical).volatility_by_draw()
    cells = (s.ASSET, s.COMPONENT)
    components = [*labels.factors.astype(str), s.SPECIFIC, s.DRIFT]
    families = [*labels.families.astype(str), s.SPECIFIC, s.DRIFT]
    own = xr.Dataset(
        {
            "volatility": ((), pooled),
            "volatility_contribution": (cells, labels.to_panel_order(parts, 0)),
            "volatility_posterior": ((s.CHAIN, s.DRAW), given[None]),
            "volatility_contribution_posterior": (
                (s.CHAIN, s.DRAW, *cells),
                labels.to_panel_order(given_parts, 1)[None],
            ),
        },
        coords={
            s.ASSET: labels.assets,
            s.GROUP: (s.ASSET, labels.groups),
            s.COMPONENT: components,
            s.FAMILY: (s.COMPONENT, families),
        },
        attrs=risk.attrs | ({"delta_weight": 1} if "delta_weight" in risk.coords else {}),
    )
    losses = np.sort(simulated_losses(found, gap))
    beyond = max(1, round(len(losses) * (1.0 - float(risk[s.LEVEL].max()))))
    return Active(gap, held, own, float(losses[-beyond:].mean()), beta)


def _beta(found: Predictions, weights: np.ndarray, benchmark: np.ndarray) -> np.ndarray:
    """Return cov(portfolio, benchmark) / var(benchmark) given each draw."""
    m = found.moments
    one, other = (Book(m, found.labels.to_canonical(v)) for v in (weights, benchmark))
    covariance = m.factor_covariance.sum(axis=1)
    variance = m.specific_variance.sum(axis=1)

    def together(a: Book, b: Book) -> np.ndarray:
        factors = np.einsum("dk,dkl,dl->d", a.exposures, covariance, b.exposures)
        return factors + (a.bets * variance * b.bets).sum(axis=1)

    return together(one, other) / together(other, other)


def active_section(active: Active, level: float, value: float | None) -> Section:
    """Return tracking error and where it comes from; shortfall is that at `level`."""
    title = "Active risk: what may be lost against the benchmark"
    if active.risk is None:
        text = "The portfolio is its benchmark: there is no active position and no active risk."
        return Section("active", title, (Words(text),), _SHORT)
    cards = _cards(active, active.risk, level, value)
    text = (
        "Tracking error is the volatility of the return beyond the benchmark's; active expected shortfall is "
        "the mean shortfall against it in the worst cases. Parts add up to the tracking error; those below "
        "zero bring the portfolio nearer to its benchmark."
    )
    if "delta_weight" in active.risk.attrs:
        text += " Options count by their delta."
    tables: list[Block] = [
        _table(active, active.risk, *what)
        for what in (
            ("component", "Factor", "Active risk by factor", "factors"),
            ("asset", "Asset", "Active risk by asset", "assets"),
        )
    ]
    return Section("active", title, (Words(text), cards, *tables), _SHORT)


def _cards(active: Active, risk: xr.Dataset, level: float, value: float | None) -> Cards:
    horizon, per_year = int(risk.attrs.get("horizon", 1)), year_in(risk)
    scale, over = (per_year / horizon) ** 0.5, w.per_horizon(horizon, per_year)
    te, draws = float(risk["volatility"]) * scale, risk["volatility_posterior"].values.ravel() * scale
    share = 0.5 * float(np.abs(active.weights).sum())
    shortfall = f"Active expected shortfall {w.plain_percent(level)}, {over}"

    def money(x: float) -> tuple[str, ...]:
        return () if value is None else (f"{w.money(x * value, value)} of {w.money(value, value)}",)

    te_ends, beta_ends = quantiles(draws), quantiles(active.beta)
    cards = (
        Card(
            "Tracking error, annualised",
            w.percent(te),
            (*money(te), f"{INTERVAL_HEAD} {w.interval(*te_ends)}"),
        ),
        Card(shortfall, w.percent(active.shortfall), (*money(active.shortfall), "from simulated scenarios")),
        Card(
            "Beta to the benchmark",
            w.number(float(active.beta.mean()), 2),
            (f"{INTERVAL_HEAD} {w.span(*beta_ends)}",),
        ),
        Card("Active share", w.percent(share, 1), ("half the sum of absolute active weights",)),
    )
    records = [
        ("tracking_error", te, *te_ends),
        ("active_es", active.shortfall, np.nan, np.nan),
        ("beta", float(active.beta.mean()), *beta_ends),
        ("active_share", share, np.nan, np.nan),
    ]
    frame = pd.DataFrame(records, columns=["figure", "value", "low", "high"]).assign(level=level)
    return Cards("active_figures", cards, frame)


def _table(active: Active, risk: xr.Dataset, by: By, corner: str, title: str, plural: str) -> Table:
    scale = (year_in(risk) / int(risk.attrs.get("horizon", 1))) ** 0.5
    parts = breakdown(risk, measure="volatility", by=by)
    order = parts.ordered()
    parts = parts.take(order)
    weights = [active.weights[order], active.benchmark[order]] if by == s.ASSET else []
    frame = pd.DataFrame({"factor" if by == s.COMPONENT else by: parts.labels.astype(str)})
    for name, values in zip(("active_weight", "benchmark_weight"), weights, strict=False):
        frame[name] = values
    low, high = quantiles(parts.share_draws())
    frame = frame.assign(contribution=parts.value * scale, share=parts.share, share_low=low, share_high=high)
    rows = _rows(parts, weights, scale)
    folded: tuple[Row, ...] = ()
    if len(rows) > TOP + 1:
        few = [np.append(v[:TOP], v[TOP:].sum()) for v in weights]
        folded, rows = rows, _rows(parts.head(TOP, plural), few, scale)
    foot = (*(w.percent(v.sum()) for v in weights), w.percent(parts.total * scale))
    return Table(
        f"active_by_{'factor' if by == s.COMPONENT else by}",
        title,
        (
            corner,
            *(("Active weight", "Benchmark") if weights else ()),
            "Contribution, annualised",
            "Share",
            INTERVAL_HEAD,
        ),
        rows,
        frame,
        "",
        Row("Tracking error", cells(*foot, w.percent(parts.share.sum(), 1), "")),
        "Share of tracking error",
        folded,
        f"All {len(folded)} {plural}",
    )


def _rows(parts: Breakdown, weights: list[np.ndarray], scale: float) -> tuple[Row, ...]:
    low, high = quantiles(parts.share_draws())
    drawn = bars(parts.share, low, high)
    return tuple(
        Row(
            plain_name(str(label)),
            cells(
                *(w.percent(values[i]) for values in weights),
                w.percent(parts.value[i] * scale),
                w.percent(parts.share[i], 1),
                w.interval(low[i], high[i], 1),
            ),
            drawn[i],
        )
        for i, label in enumerate(parts.labels)
    )
