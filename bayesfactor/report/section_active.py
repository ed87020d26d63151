"""Risk against a benchmark: that of the portfolio that holds one and is short the other."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.forecast import Predictions
from bayesfactor.laws.blocks import thinned
from bayesfactor.periods import year_in
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By
from bayesfactor.report.content import (
    GIVEN,
    INTERVAL_HEAD,
    Block,
    Card,
    Cards,
    Column,
    Row,
    Section,
    Table,
    Words,
    bars,
    foot,
    lines,
    quantiles,
)
from bayesfactor.report.figures_risk import simulated_losses
from bayesfactor.report.tables_contributions import PLURAL, TOP, file_of, plain_name, small_print
from bayesfactor.risk.exact import Book
from bayesfactor.risk.held import moving
from bayesfactor.risk.weights import weights_for
from bayesfactor.shortfall import tail_of

__all__ = ["Active", "active_risk", "active_section"]

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
    _, shortfall = tail_of(simulated_losses(found, gap), float(risk[s.LEVEL].max()))
    return Active(gap, held, own, float(shortfall), beta)


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


def active_section(active: Active, level: float, value: float | None) -> Section | None:
    """Return tracking error and where it comes from, shortfall at `level`; None for the benchmark itself."""
    if active.risk is None:
        return None
    risk = moving(active.risk)
    cards = _cards(active, risk, level, value)
    text = (
        "Tracking error is the volatility of the return beyond the benchmark's; active expected shortfall is "
        "the mean shortfall against it in the worst cases. Parts add up to the tracking error; those below "
        "zero bring the portfolio nearer to its benchmark."
    )
    if "delta_weight" in risk.attrs:
        text += " Options count by their delta."
    tables: list[Block] = [
        _table(active, risk, *what)
        for what in (
            ("component", "Factor", "Active risk by factor"),
            ("asset", "Asset", "Active risk by asset"),
        )
    ]
    title = "Active risk: what may be lost against the benchmark"
    return Section("active", title, (Words(text), cards, *tables), "Active risk")


def _cards(active: Active, risk: xr.Dataset, level: float, value: float | None) -> Cards:
    horizon, per_year = int(risk.attrs.get("horizon", 1)), year_in(risk)
    scale, over = (per_year / horizon) ** 0.5, w.per_horizon(horizon, per_year)
    te, share = float(risk["volatility"]) * scale, 0.5 * float(np.abs(active.weights).sum())
    ends = quantiles(risk["volatility_posterior"].values.ravel() * scale)
    beta, *beta_ends = quantiles(active.beta)
    shortfall = f"Active expected shortfall {w.plain_percent(level)}, {over}"
    simulated = (*small_print(active.shortfall, None, np.nan, value), "from simulated scenarios")
    cards = (
        Card("Tracking error, annualised", w.percent(te), small_print(te, ends, np.nan, value)),
        Card(shortfall, w.percent(active.shortfall), simulated),
        Card("Beta to the benchmark", w.number(beta, 2), (f"{INTERVAL_HEAD} {w.span(*beta_ends)}",)),
        Card("Active share", w.percent(share, 1), ("half the sum of absolute active weights",)),
    )
    none = (np.nan,) * 3
    records = [
        ("tracking_error", te, *ends),
        ("active_es", active.shortfall, *none),
        ("beta", beta, beta, *beta_ends),
        ("active_share", share, *none),
    ]
    names = ["figure", "value", "given", "low", "high"]
    return Cards("active_figures", cards, pd.DataFrame(records, columns=names).assign(level=level))


def _table(active: Active, risk: xr.Dataset, by: By, corner: str, title: str) -> Table:
    scale = (year_in(risk) / int(risk.attrs.get("horizon", 1))) ** 0.5
    parts = breakdown(risk, measure="volatility", by=by)
    weights = {"active_weight": active.weights, "benchmark_weight": active.benchmark} if by == s.ASSET else {}
    order = parts.ordered()
    if weights:  # an asset that neither side holds has no row
        order = order[(active.weights[order] != 0.0) | (active.benchmark[order] != 0.0)]
    parts, weights = parts.take(order), {name: x[order] for name, x in weights.items()}
    given = zip(("", "_low", "_high"), quantiles(parts.share_draws()), strict=True)
    frame = pd.DataFrame(
        {file_of(by): parts.labels.astype(str), **weights}
        | {"contribution": parts.value * scale, "share": parts.share}
        | {f"share_given{end}": x for end, x in given}
    )
    columns = _columns(parts, list(weights.values()), scale)
    folded: tuple[Row, ...] = ()
    rows = every = _rows(parts, columns)
    if len(order) > TOP + 1:
        few = parts.head(TOP, PLURAL[by])
        sums = [np.append(x[:TOP], x[TOP:].sum()) for x in weights.values()]
        rows, folded = _rows(few, _columns(few, sums, scale)), every
    return Table(
        f"active_by_{file_of(by)}",
        title,
        (corner, *(c.head for c in columns)),
        rows,
        frame,
        "",
        foot("Tracking error", columns),
        "Share, drawn",
        folded,
        f"All {len(folded)} {PLURAL[by]}",
    )


def _columns(parts: Breakdown, weights: list[np.ndarray], scale: float) -> list[Column]:
    middle, low, high = quantiles(parts.share_draws())
    held = [
        Column(head, [w.percent(v) for v in x], w.percent(x.sum()))
        for head, x in zip(("Active weight", "Benchmark"), weights, strict=False)
    ]
    contribution = [w.percent(v * scale) for v in parts.value]
    return [
        *held,
        Column("Contribution, annualised", contribution, w.percent(parts.total * scale)),
        Column("Share", [w.percent(v, 1) for v in parts.share], w.percent(parts.share.sum(), 1)),
        Column(f"Share, {GIVEN}", [w.percent(v, 1) for v in middle]),
        Column(INTERVAL_HEAD, [w.interval(*v, 1) for v in zip(low, high, strict=True)]),
    ]


def _rows(parts: Breakdown, columns: list[Column]) -> tuple[Row, ...]:
    drawn = bars(*quantiles(parts.share_draws()))
    return lines([plain_name(str(label)) for label in parts.labels], columns, drawn)
