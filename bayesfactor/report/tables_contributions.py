"""Key figures, and the tables of what adds up to expected shortfall and to volatility."""

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.periods import year_in
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By, measure_name
from bayesfactor.report import words as w
from bayesfactor.report.content import (
    INTERVAL,
    INTERVAL_HEAD,
    Card,
    Cards,
    Cell,
    Row,
    Table,
    bars,
    cells,
    quantiles,
)

__all__ = [
    "TOP",
    "contribution_tables",
    "heat_table",
    "held_weights",
    "key_figures",
    "plain_name",
    "weight_head",
]

TOP: Final = 15
"""Rows of a table before the rest is folded."""
_MOST_HEATED: Final = 40
_DELTA: Final = "delta_weight"
_PLAIN: Final = {
    s.SPECIFIC: "specific (no factor)",
    s.DRIFT: "drift (alpha)",
    s.COMPOUNDING: "compounding",
    s.NONLINEAR: "nonlinear (gamma of options)",
    s.CARRY: "carry (theta and funding)",
}
_PLURAL: Final = {"component": "factors", "family": "families", "group": "groups", "asset": "assets"}
_TABLES: Final[tuple[tuple[By, str, str, str], ...]] = (
    ("component", "Factor", "By factor", "Each factor's part, the part no factor explains, and the drift."),
    ("family", "Family", "By family of factors", "The same, with factors of one kind added up."),
    (
        "group",
        "Group",
        "By group of assets",
        "Each sector's part, through all factors and its specific risk.",
    ),
    ("asset", "Asset", "By asset", "Each position's part, through all factors and its specific risk."),
)


def plain_name(component: str) -> str:
    """Return what a component is called in a table."""
    return _PLAIN.get(component, component)


def held_weights(risk: xr.Dataset) -> np.ndarray:
    """Return what is held of each asset, options by their delta, in the order of the panel."""
    held: np.ndarray = risk[_DELTA if _DELTA in risk.coords else "weight"].values.astype(float)
    return held


def weight_head(risk: xr.Dataset) -> str:
    """Return the heading over those weights."""
    return "Weight, options by delta" if _DELTA in risk.coords else "Weight"


def key_figures(risk: xr.Dataset, value: float | None) -> Cards:
    """Return volatility, VaR and ES with intervals and Monte-Carlo errors; `risk` in fractions."""
    horizon, per_year = int(risk.attrs.get("horizon", 1)), year_in(risk)
    over = w.per_horizon(horizon, per_year)
    cards, records = [], []
    for volatility, scale, key, name in (
        ("Volatility, annualised", (per_year / horizon) ** 0.5, "var", "Value at risk"),
        (f"Volatility, {over}", 1.0, "es", "Expected shortfall"),
    ):
        figure = (risk["volatility"] * scale, risk["volatility_posterior"] * scale)
        cards.append(_card(volatility, *figure, value))
        records.append(_record(volatility, np.nan, *figure))
        for i, level in enumerate(risk[s.LEVEL].values):
            point, draws, error = (
                risk[f"{key}{end}"].isel({s.LEVEL: i}) for end in ("", "_posterior", "_mcse")
            )
            label = f"{name} {w.plain_percent(level)}, {over}"
            cards.append(_card(label, point, draws, value, float(error)))
            records.append(_record(name, float(level), point, draws, float(error)))
    return Cards("key_figures", tuple(cards), pd.DataFrame(records))


def _card(
    label: str, point: xr.DataArray, draws: xr.DataArray, value: float | None, error: float | None = None
) -> Card:
    x = float(point)
    low, high = quantiles(draws.values.ravel())
    lines = [f"{INTERVAL_HEAD} {w.interval(low, high)}"]
    if value is not None:
        lines.insert(0, f"{w.money(x * value, value)} of {w.money(value, value)}")
    if error is not None:
        lines.append(f"Monte Carlo error ±{w.percent(error, 3)}")
    return Card(label, w.percent(x), tuple(lines))


def _record(
    name: str, level: float, point: xr.DataArray, draws: xr.DataArray, error: float = np.nan
) -> dict[str, object]:
    low, high = quantiles(draws.values.ravel())
    return {
        "figure": name,
        "level": level,
        "fraction_of_value": float(point),
        "low": low,
        "high": high,
        "interval": INTERVAL,
        "mcse": error,
    }


def contribution_tables(risk: xr.Dataset, value: float | None) -> list[Table]:
    """Return the four tables: by factor, family, group and asset; `risk` in fractions."""
    level = float(risk[s.LEVEL].values.max())
    return [_table(risk, level, value, *what) for what in _TABLES]


def _table(
    risk: xr.Dataset, level: float, value: float | None, by: By, corner: str, title: str, note: str
) -> Table:
    es = breakdown(risk, measure="es", level=level, by=by)
    volatility = breakdown(risk, measure="volatility", by=by)
    order = es.ordered()
    es, volatility = es.take(order), volatility.take(order)
    weight = _weights(risk, es.labels, by)
    name = measure_name("es", level)
    heads = (
        (corner,)
        + ((weight_head(risk),) if weight is not None else ())
        + (f"{name}, % of value",)
        + ((f"{name}, money",) if value is not None else ())
        + (f"Share of {name}", INTERVAL_HEAD, "Share of volatility", INTERVAL_HEAD)
    )
    frame = _frame(es, volatility, weight, by, level)
    rows = _rows(es, volatility, weight, value, by)
    folded: tuple[Row, ...] = ()
    if len(rows) > TOP + 1:
        shorter = None if weight is None else np.append(weight[:TOP], weight[TOP:].sum())
        heads_only = es.head(TOP, _PLURAL[by]), volatility.head(TOP, _PLURAL[by])
        folded, rows = rows, _rows(*heads_only, shorter, value, by)
    total = cells(
        *((w.percent(weight.sum()),) if weight is not None else ()),
        w.percent(es.total),
        *((w.money(es.total * value, value),) if value is not None else ()),
        *(w.percent(es.share.sum(), 1), "", w.percent(volatility.share.sum(), 1), ""),
    )
    return Table(
        f"contributions_by_{'factor' if by == 'component' else by}",
        title,
        heads,
        rows,
        frame,
        note,
        Row("Total", total),
        f"Share of {name}",
        folded,
        f"All {len(folded)} {_PLURAL[by]}",
    )


def _weights(risk: xr.Dataset, labels: np.ndarray, by: By) -> np.ndarray | None:
    """Return the weight of each part, where parts are assets or groups of them."""
    if by not in {s.ASSET, s.GROUP}:
        return None
    order = s.canonical_order(risk[s.ASSET])
    key = risk[by].values.astype(str)[order]
    held = held_weights(risk)[order]
    return np.array([held[key == label].sum() for label in labels.astype(str)])


def _rows(
    es: Breakdown, volatility: Breakdown, weight: np.ndarray | None, value: float | None, by: By
) -> tuple[Row, ...]:
    low, high = quantiles(es.share_draws())
    low_v, high_v = quantiles(volatility.share_draws())
    drawn = bars(es.share, low, high)
    rows = []
    for i, label in enumerate(es.labels):
        texts = (
            ((w.percent(weight[i]),) if weight is not None else ())
            + (w.percent(es.value[i]),)
            + ((w.money(es.value[i] * value, value),) if value is not None else ())
            + (w.percent(es.share[i], 1), w.interval(low[i], high[i], 1))
            + (w.percent(volatility.share[i], 1), w.interval(low_v[i], high_v[i], 1))
        )
        plain = plain_name(str(label)) if by in {s.COMPONENT, s.FAMILY} else str(label)
        rows.append(Row(plain, cells(*texts), drawn[i]))
    return tuple(rows)


def _frame(
    es: Breakdown, volatility: Breakdown, weight: np.ndarray | None, by: By, level: float
) -> pd.DataFrame:
    columns: dict[str, object] = {by: es.labels.astype(str)}
    if weight is not None:
        columns["weight"] = weight
    for name, parts in (("es", es), ("volatility", volatility)):
        low, high = quantiles(parts.share_draws())
        columns |= {
            f"{name}_contribution": parts.value,
            f"{name}_share": parts.share,
            f"{name}_share_low": low,
            f"{name}_share_high": high,
        }
    return pd.DataFrame(columns).assign(level=level)


def heat_table(risk: xr.Dataset) -> Table:
    """Return assets by components: shares of ES at the highest level, shaded by size."""
    level = float(risk[s.LEVEL].values.max())
    parts = risk["es_contribution"].sel({s.LEVEL: level}).transpose(s.ASSET, s.COMPONENT)
    total = float(risk["es"].sel({s.LEVEL: level}))
    share = parts.values / total if total != 0.0 else np.full(parts.shape, np.nan)
    names, groups = (parts[c].values.astype(str) for c in (s.ASSET, s.GROUP))
    components = parts[s.COMPONENT].values.astype(str)
    frame = pd.DataFrame(parts.values, columns=components)
    frame.insert(0, s.ASSET, names)
    tidy = frame.melt(s.ASSET, var_name=s.COMPONENT, value_name="es_contribution")
    tidy = tidy.assign(es_share=share.T.ravel(), level=level)
    size = -np.abs(parts.values.sum(axis=1))
    kept = np.sort(np.argsort(size, kind="stable")[:_MOST_HEATED])
    kept = kept[np.lexsort((size[kept], groups[kept]))]
    largest = np.nanmax(np.abs(share), initial=0.0) if np.isfinite(share).any() else 0.0

    def row(label: str, group: str, values: np.ndarray, *, shaded: bool = True) -> Row:
        strength = np.nan_to_num(values / largest) if largest > 0.0 and shaded else np.zeros(len(values))
        heated = tuple(
            Cell(w.percent(v, 1), "heat", round(float(a), 3)) for v, a in zip(values, strength, strict=True)
        )
        return Row(label, (Cell(group, "word"), *heated, Cell(w.percent(values.sum(), 1), "sum")))

    rows = [row(names[i], groups[i], share[i]) for i in kept]
    rest = np.setdiff1d(np.arange(len(names)), kept)
    if len(rest):
        rows.append(row(f"other {len(rest)} assets", "", share[rest].sum(axis=0), shaded=False))
    return Table(
        "asset_by_factor",
        "By asset and factor",
        ("Asset", "Group", *(plain_name(c) for c in components), "All"),
        tuple(rows),
        tidy,
        f"Share of {measure_name('es', level)} from each asset through each factor: the stronger the colour, "
        "the larger the part; blue adds to the risk, orange takes off.",
        row("Total", "", share.sum(axis=0), shaded=False),
        wide=True,
    )
