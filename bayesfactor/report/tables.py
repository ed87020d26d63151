"""What the report's tables and cards hold: numbers already put into words, never markup."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By, measure_name
from bayesfactor.report import words as w

__all__ = ["Bar", "Card", "Row", "Table", "contribution_tables", "key_figures"]

INTERVAL: Final = 0.9
"""Probability of every interval in the report."""
_TOP: Final = 15
_PLAIN: Final = {s.SPECIFIC: "specific (no factor)", s.DRIFT: "drift (alpha)"}


_INTERVAL_HEAD: Final = f"{w.plain_percent(INTERVAL)} interval"
_PLURAL: Final = {"component": "factors", "family": "families", "group": "groups", "asset": "assets"}
_TABLES: Final[tuple[tuple[By, str, str], ...]] = (
    ("component", "By factor", "Each factor's part, the part no factor explains, and the drift."),
    ("family", "By family of factors", "The same, with factors of one kind added up."),
    ("group", "By group of assets", "Each sector's part, through all factors and its specific risk."),
    ("asset", "By asset", "Each position's part, through all factors and its specific risk."),
)


@dataclass(frozen=True)
class Card:
    """One key figure: `lines` are small print under it."""

    label: str
    value: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bar:
    """A share and its interval as positions on a scale from 0 to 100."""

    zero: float
    start: float
    width: float
    low: float
    high: float
    negative: bool


@dataclass(frozen=True)
class Row:
    """One line of a table; `bar` is None where there is nothing to draw."""

    label: str
    cells: tuple[str, ...]
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """A table of contributions; `folded` are all rows where `rows` are only the largest."""

    name: str
    title: str
    note: str
    plural: str
    heads: tuple[str, ...]
    bar_head: str
    rows: tuple[Row, ...]
    total: Row
    folded: tuple[Row, ...] = ()


def key_figures(risk: xr.Dataset, value: float | None) -> list[Card]:
    """Return volatility, VaR and ES with intervals and Monte-Carlo errors; `risk` in fractions."""
    horizon, per_year = int(risk.attrs.get("horizon", 1)), float(risk.attrs.get("periods_per_year", 365))
    over = w.per_horizon(horizon, per_year)
    cards = []
    for volatility, scale, key, name in (
        ("Volatility, annualised", (per_year / horizon) ** 0.5, "var", "Value at risk"),
        (f"Volatility, {over}", 1.0, "es", "Expected shortfall"),
    ):
        cards.append(_card(volatility, risk["volatility"], risk["volatility_posterior"], value, scale))
        for i, level in enumerate(risk[s.LEVEL].values):
            point, draws, error = (
                risk[f"{key}{end}"].isel({s.LEVEL: i}) for end in ("", "_posterior", "_mcse")
            )
            label = f"{name} {w.plain_percent(level)}, {over}"
            cards.append(_card(label, point, draws, value, 1.0, float(error)))
    return cards


def _card(
    label: str,
    point: xr.DataArray,
    draws: xr.DataArray,
    value: float | None,
    scale: float,
    error: float | None = None,
) -> Card:
    x = float(point) * scale
    low, high = _quantiles(draws.values.ravel() * scale)
    lines = [f"{w.plain_percent(INTERVAL)} interval {w.interval(low, high)}"]
    if value is not None:
        lines.insert(0, f"{w.money(x * value, value)} of {w.money(value, value)}")
    if error is not None:
        lines.append(f"Monte Carlo error ±{w.percent(error, 3)}")
    return Card(label, w.percent(x), tuple(lines))


def contribution_tables(risk: xr.Dataset, value: float | None) -> list[Table]:
    """Return the four tables: by factor, family, group and asset; `risk` in fractions."""
    level = float(risk[s.LEVEL].values.max())
    return [_table(risk, level, value, by, title, note) for by, title, note in _TABLES]


def _table(risk: xr.Dataset, level: float, value: float | None, by: By, title: str, note: str) -> Table:
    es = breakdown(risk, measure="es", level=level, by=by)
    volatility = breakdown(risk, measure="volatility", by=by)
    order = es.ordered()
    es, volatility = es.take(order), volatility.take(order)
    weight = _weights(risk, es.labels, by)
    name = measure_name("es", level)
    columns = (
        (("Weight",) if weight is not None else ())
        + (f"{name}, % of value",)
        + ((f"{name}, money",) if value is not None else ())
        + (f"Share of {name}", _INTERVAL_HEAD, "Share of volatility", _INTERVAL_HEAD)
    )
    rows = _rows(es, volatility, weight, value, by)
    folded: tuple[Row, ...] = ()
    if len(rows) > _TOP + 1:
        what = _PLURAL[by]
        shorter = None if weight is None else np.append(weight[:_TOP], weight[_TOP:].sum())
        folded, rows = rows, _rows(es.head(_TOP, what), volatility.head(_TOP, what), shorter, value, by)
    total = (
        ((w.percent(weight.sum()),) if weight is not None else ())
        + (w.percent(es.total),)
        + ((w.money(es.total * value, value),) if value is not None else ())
        + (w.percent(es.share.sum(), 1), "", w.percent(volatility.share.sum(), 1), "")
    )
    return Table(by, title, note, _PLURAL[by], columns, f"Share of {name}", rows, Row("Total", total), folded)


def _weights(risk: xr.Dataset, labels: np.ndarray, by: By) -> np.ndarray | None:
    """Return the weight of each part, where parts are assets or groups of them."""
    if by not in {s.ASSET, s.GROUP}:
        return None
    key = risk[by].values.astype(str)
    held = risk["weight"].values
    return np.array([held[key == label].sum() for label in labels.astype(str)])


def _rows(
    es: Breakdown, volatility: Breakdown, weight: np.ndarray | None, value: float | None, by: By
) -> tuple[Row, ...]:
    low, high = _quantiles(es.share_draws())
    low_v, high_v = _quantiles(volatility.share_draws())
    bars = _bars(es.share, low, high)
    rows = []
    for i, label in enumerate(es.labels):
        cells = (
            ((w.percent(weight[i]),) if weight is not None else ())
            + (w.percent(es.value[i]),)
            + ((w.money(es.value[i] * value, value),) if value is not None else ())
            + (w.percent(es.share[i], 1), w.interval(low[i], high[i], 1))
            + (w.percent(volatility.share[i], 1), w.interval(low_v[i], high_v[i], 1))
        )
        plain = _PLAIN.get(str(label), str(label)) if by in {s.COMPONENT, s.FAMILY} else str(label)
        rows.append(Row(plain, cells, bars[i]))
    return tuple(rows)


def _bars(share: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[Bar | None]:
    """Place shares and intervals on one scale from 0 to 100 that holds them all, and zero."""
    everything = np.concatenate([share, low, high, [0.0]])
    if not np.isfinite(everything).all() or np.ptp(everything) == 0.0:
        return [None] * len(share)
    least, span = everything.min(), np.ptp(everything)

    def at(x: float) -> float:
        return round(float(100.0 * (x - least) / span), 2)

    return [
        Bar(
            at(0.0), at(min(x, 0.0)), round(at(max(x, 0.0)) - at(min(x, 0.0)), 2), at(a), at(b), bool(x < 0.0)
        )
        for x, a, b in zip(share, low, high, strict=True)
    ]


def _quantiles(draws: np.ndarray) -> np.ndarray:
    return np.quantile(draws, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], axis=0)
