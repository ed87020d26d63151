"""Key figures, and the tables of what adds up to expected shortfall and to volatility."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.periods import year_in
from bayesfactor.plots import Breakdown, breakdown
from bayesfactor.plots.breakdown import By, measure_name
from bayesfactor.report.content import (
    GIVEN,
    INTERVAL,
    INTERVAL_HEAD,
    Card,
    Cards,
    Cell,
    Column,
    Row,
    Table,
    bars,
    foot,
    lines,
    quantiles,
)
from bayesfactor.risk.held import held_weights

__all__ = [
    "PLURAL",
    "TOP",
    "contribution_tables",
    "fewer",
    "file_of",
    "heat_table",
    "key_figures",
    "plain_name",
    "small_print",
    "weight_head",
]

TOP: Final = 15
"""Rows of a table before the rest is folded."""
_MOST_HEATED: Final = 40
_MOST_COLUMNS: Final = 7
"""Components of the heat map before the smaller ones are added up: more are wider than the page."""
_PLAIN: Final = {
    s.SPECIFIC: "specific (no factor)",
    s.DRIFT: "drift (alpha)",
    s.COMPOUNDING: "compounding",
    s.NONLINEAR: "nonlinear (gamma of options)",
    s.CARRY: "carry (theta and funding)",
}
PLURAL: Final = {"component": "factors", "family": "families", "group": "groups", "asset": "assets"}
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


def file_of(by: By) -> str:
    """Return what a part is called in the name of a file and over its column."""
    return "factor" if by == s.COMPONENT else by


def weight_head(risk: xr.Dataset) -> str:
    """Return the heading over what is held."""
    return "Weight, options by delta" if "delta_weight" in risk.coords else "Weight"


def key_figures(risk: xr.Dataset, value: float | None) -> Cards:
    """Return volatility, VaR and ES, and the same given the parameters; `risk` in fractions."""
    horizon, per_year = int(risk.attrs.get("horizon", 1)), year_in(risk)
    over = w.per_horizon(horizon, per_year)
    cards, records = [], []
    for volatility, scale, key, name in (
        ("Volatility, annualised", (per_year / horizon) ** 0.5, "var", "Value at risk"),
        (f"Volatility, {over}", 1.0, "es", "Expected shortfall"),
    ):
        figures = [(volatility, volatility, np.nan, risk["volatility"], risk["volatility_posterior"], scale)]
        figures += [
            (
                f"{name} {w.plain_percent(level)}, {over}",
                name,
                level,
                risk[key][i],
                risk[f"{key}_posterior"][i],
                1.0,
            )
            for i, level in enumerate(risk[s.LEVEL].values)
        ]
        for i, (label, short, level, point, draws, by) in enumerate(figures):
            error = float(risk[f"{key}_mcse"][i - 1]) if i else np.nan
            x, ends = float(point) * by, quantiles(draws.values.ravel() * by)
            beside = _beside(risk, by) if not i else ()
            cards.append(Card(label, w.percent(x), (*small_print(x, ends, error, value), *beside)))
            records.append((short, float(level), x, *ends, INTERVAL, error))
    names = ["figure", "level", "fraction_of_value", "given", "low", "high", "interval", "mcse"]
    return Cards("key_figures", tuple(cards), pd.DataFrame(records, columns=names))


def small_print(x: float, ends: np.ndarray | None, error: float, value: float | None) -> tuple[str, ...]:
    """Return what stands under a figure: money, the figure given the parameters, the Monte-Carlo error."""
    found = [] if value is None else [f"{w.money(x * value, value)} of {w.money(value, value)}"]
    if ends is not None:
        middle, *outer = ends
        interval = f"{INTERVAL_HEAD} {w.interval(*outer)}"
        found.append(f"{GIVEN}: {w.percent(middle)} ({interval})" if np.isfinite(ends).all() else interval)
    if np.isfinite(error):
        found.append(f"Monte Carlo error ±{w.percent(error, 3)}")
    return tuple(found)


def _beside(risk: xr.Dataset, scale: float) -> tuple[str, ...]:
    """Return the volatility of the middle of the law, where the risk has it."""
    if "volatility_central" not in risk:
        return ()
    share = w.plain_percent(float(risk["volatility_central"].attrs.get("probability", 0.99)))
    return (f"of the central {share}: {w.percent(float(risk['volatility_central']) * scale)}",)


@dataclass(frozen=True)
class _Parts:
    """Parts of ES and of volatility in one order, and what is held of each asset or group."""

    es: Breakdown
    volatility: Breakdown
    weight: np.ndarray | None

    def head(self, by: By) -> "_Parts":
        """Return the first parts, and the others summed into one more."""
        weight = None if self.weight is None else np.append(self.weight[:TOP], self.weight[TOP:].sum())
        return _Parts(self.es.head(TOP, PLURAL[by]), self.volatility.head(TOP, PLURAL[by]), weight)

    def columns(self, name: str, value: float | None, held: str) -> list[Column]:
        """Return the columns of the table."""
        es, volatility, weight = self.es, self.volatility, self.weight
        middle, low, high = quantiles(es.share_draws())
        found = (
            [] if weight is None else [Column(held, [w.percent(x) for x in weight], w.percent(weight.sum()))]
        )
        found.append(Column(f"{name}, % of value", [w.percent(x) for x in es.value], w.percent(es.total)))
        if value is not None:
            money = [w.money(x * value, value) for x in es.value]
            found.append(Column(f"{name}, money", money, w.money(es.total * value, value)))
        for head, parts in ((f"Share of {name}", es), ("Share of volatility", volatility)):
            found.append(
                Column(head, [w.percent(x, 1) for x in parts.share], w.percent(parts.share.sum(), 1))
            )
        found.append(Column(f"Share, {GIVEN}", [w.percent(x, 1) for x in middle]))
        found.append(Column(INTERVAL_HEAD, [w.interval(*x, 1) for x in zip(low, high, strict=True)]))
        return found

    def rows(self, columns: list[Column]) -> tuple[Row, ...]:
        """Return the rows of those columns; bars draw the share given the parameters, where there is one."""
        middle, low, high = quantiles(self.es.share_draws())
        drawn = bars(np.where(np.isfinite(middle), middle, self.es.share), low, high)
        return lines([plain_name(str(v)) for v in self.es.labels], columns, drawn)

    def frame(self, by: By, level: float) -> pd.DataFrame:
        """Return the same as numbers."""
        columns: dict[str, object] = {by: self.es.labels.astype(str)}
        if self.weight is not None:
            columns["weight"] = self.weight
        for name, parts in (("es", self.es), ("volatility", self.volatility)):
            columns |= {f"{name}_contribution": parts.value, f"{name}_share": parts.share}
            ends = zip(("", "_low", "_high"), quantiles(parts.share_draws()), strict=True)
            columns |= {f"{name}_share_given{end}": values for end, values in ends}
        return pd.DataFrame(columns).assign(level=level)


def contribution_tables(risk: xr.Dataset, value: float | None) -> list[Table]:
    """Return the four tables: by factor, family, group and asset; `risk` in fractions."""
    level = float(risk[s.LEVEL].values.max())
    return [_table(risk, level, value, *what) for what in _TABLES]


def _table(
    risk: xr.Dataset, level: float, value: float | None, by: By, corner: str, title: str, note: str
) -> Table:
    es = breakdown(risk, measure="es", level=level, by=by)
    order = es.ordered()
    volatility = breakdown(risk, measure="volatility", by=by)
    every = _Parts(es.take(order), volatility.take(order), _weights(risk, es.labels[order], by))
    name, held = measure_name("es", level), weight_head(risk)
    folded = len(order) > TOP + 1
    columns = every.columns(name, value, held)
    few = every.head(by) if folded else every
    return Table(
        f"contributions_by_{file_of(by)}",
        title,
        (corner, *(c.head for c in columns)),
        few.rows(few.columns(name, value, held)),
        every.frame(by, level),
        note,
        foot("Total", columns),
        "Share, drawn",
        every.rows(columns) if folded else (),
        f"All {len(order)} {PLURAL[by]}",
    )


def _weights(risk: xr.Dataset, labels: np.ndarray, by: By) -> np.ndarray | None:
    """Return what is held of each part, where parts are assets or groups of them."""
    if by not in {s.ASSET, s.GROUP}:
        return None
    order = s.canonical_order(risk[s.ASSET])
    key = risk[by].values.astype(str)[order]
    held = held_weights(risk)[order]
    return np.array([held[key == label].sum() for label in labels.astype(str)])


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

    heads, share = fewer(components, share)
    rows = [row(names[i], groups[i], share[i]) for i in kept]
    rest = np.setdiff1d(np.arange(len(names)), kept)
    if len(rest):
        rows.append(row(f"other {len(rest)} assets", "", share[rest].sum(axis=0), shaded=False))
    return Table(
        "asset_by_factor",
        "By asset and factor",
        ("Asset", "Group", *heads, "All"),
        tuple(rows),
        tidy,
        f"Share of {measure_name('es', level)} from each asset through each factor: the stronger the colour, "
        "the larger the part; blue adds to the risk, orange takes off.",
        row("Total", "", share.sum(axis=0), shaded=False),
        wide=True,
    )


def fewer(components: np.ndarray, share: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return heads and columns, the smaller ones added up where there are more than the page is wide."""
    if len(components) <= _MOST_COLUMNS + 1:
        return [plain_name(c) for c in components], share
    size = np.nan_to_num(np.abs(share).max(axis=0))
    kept = np.sort(np.argsort(-size, kind="stable")[:_MOST_COLUMNS])
    rest = np.setdiff1d(np.arange(len(components)), kept)
    heads = [*(plain_name(c) for c in components[kept]), f"other {len(rest)}"]
    return heads, np.column_stack([share[:, kept], share[:, rest].sum(axis=1)])
