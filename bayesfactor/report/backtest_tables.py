"""What the tables of a backtest hold: numbers already put into words, and how a cell is marked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import words as w
from bayesfactor.report.contest import (
    COVERAGE_TESTS,
    SHORTFALL_TESTS,
    UNIFORMITY_TESTS,
    Contest,
    rejections,
)
from bayesfactor.scoring.contract import CRPS, LOG_SCORE, MODEL, PORTFOLIO

__all__ = ["Cell", "Grid", "Line", "coverage_grids", "density_grids", "loss_grid", "shortfall_grids"]

_MARK: Final = "\N{NARROW NO-BREAK SPACE}\N{MULTIPLICATION X}"


@dataclass(frozen=True)
class Cell:
    """Text, and the classes of style it is marked with."""

    text: str
    css: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table; `parts` are its rows under headings, "" for none, and `foot` its last row."""

    name: str
    corner: str
    heads: tuple[str, ...]
    parts: tuple[tuple[str, tuple[Line, ...]], ...]
    foot: Line | None = None


def loss_grid(scores: xr.Dataset, found: Contest) -> Grid:
    """Return mean FZ0, portfolios by models, for scores at one level."""
    models = _names(scores, MODEL)
    lines = []
    for portfolio in _names(scores, PORTFOLIO):
        one = scores.sel({PORTFOLIO: portfolio})
        inside = (
            one["in_confidence_set"].values if "in_confidence_set" in one else np.zeros(len(models), bool)
        )
        lines.append(Line(portfolio, _loss_cells(one["fz0"].values, inside)))
    mean = np.array([found.losses[m] for m in models])
    foot = Line("Mean of portfolios", _loss_cells(mean, np.zeros(len(models), bool)))
    return Grid("Loss by portfolio and model", "Portfolio", models, (("", tuple(lines)),), foot)


def _loss_cells(values: np.ndarray, inside: np.ndarray) -> tuple[Cell, ...]:
    known = np.isfinite(values)
    least = values[known].min() if known.any() else np.nan
    return tuple(
        Cell(w.number(float(v)), " ".join(c for c, on in (("best", v == least), ("inset", i)) if on))
        for v, i in zip(values, inside, strict=True)
    )


def coverage_grids(scores: xr.Dataset, found: Contest, level: float) -> tuple[Grid, Grid]:
    """Return exceedances and their tests: one line a model, and one a portfolio and model."""
    rejected = rejections(scores, tuple(COVERAGE_TESTS))
    expected = 1.0 - level

    def of_model(one: xr.Dataset) -> list[Cell]:
        known = np.isfinite(one["hits"].values)
        hits, seen = float(one["hits"].sum()), float(one["days"].values[known].sum())
        return [
            Cell(w.number(hits if seen else np.nan, 0)),
            Cell(w.number(seen * expected if seen else np.nan, 1)),
            Cell(w.percent(hits / seen if seen else np.nan)),
        ]

    heads = ("Exceedances", "Expected", f"Hit rate, to hold against {w.plain_percent(expected)}")
    summary = _summary("Coverage by model", scores, rejected, COVERAGE_TESTS, heads, of_model, found)

    def of_cell(one: xr.Dataset) -> list[Cell]:
        days = float(one["days"]) if np.isfinite(one["hits"]) else np.nan
        return [
            Cell(w.number(days, 0)),
            Cell(w.number(float(one["hits"]), 0)),
            Cell(w.percent(float(one["hit_rate"]))),
        ]

    heads = (
        f"{found.step.capitalize()}s",
        "Exceedances",
        f"Hit rate, to hold against {w.plain_percent(expected)}",
    )
    return summary, _details(
        "Coverage by portfolio and model", scores, rejected, COVERAGE_TESTS, heads, of_cell
    )


def shortfall_grids(scores: xr.Dataset, found: Contest) -> tuple[Grid, Grid]:
    """Return the tests of expected shortfall, in the same two shapes."""
    rejected = rejections(scores, tuple(SHORTFALL_TESTS))
    statistics = ("acerbi_szekely_z1", "acerbi_szekely_z2", "exceedance_residual")

    def mean(one: xr.Dataset) -> list[Cell]:
        return [Cell(w.number(_mean(one[name].values), 2)) for name in statistics]

    heads = ("Acerbi-Szekely 1, mean", "Acerbi-Szekely 2, mean", "Exceedance residual, mean")
    summary = _summary("Expected shortfall by model", scores, rejected, SHORTFALL_TESTS, heads, mean, found)
    heads = ("Acerbi-Szekely 1", "Acerbi-Szekely 2", "Exceedance residual")
    name = "Expected shortfall by portfolio and model"
    return summary, _details(name, scores, rejected, SHORTFALL_TESTS, heads, mean)


def density_grids(scores: xr.Dataset, found: Contest) -> tuple[Grid, Grid]:
    """Return log score, CRPS and the tests of whole predictive laws, in the same two shapes."""
    rejected = rejections(scores, tuple(UNIFORMITY_TESTS))
    best = {
        LOG_SCORE: float(scores[LOG_SCORE].mean(PORTFOLIO).max()),
        CRPS: float(scores[CRPS].mean(PORTFOLIO).min()),
    }

    def of_model(one: xr.Dataset) -> list[Cell]:
        return _density_cells(one, best)

    heads = ("Log score, nats", "CRPS")
    summary = _summary("Whole law by model", scores, rejected, UNIFORMITY_TESTS, heads, of_model, found)
    name = "Whole law by portfolio and model"
    return summary, _details(name, scores, rejected, UNIFORMITY_TESTS, heads, _density_cells)


def _density_cells(one: xr.Dataset, best: Mapping[str, float] | None = None) -> list[Cell]:
    own = {name: _mean(one[name].values) for name in (LOG_SCORE, CRPS)}
    ahead = {name: best is not None and bool(np.isclose(own[name], best[name], atol=0.0)) for name in own}
    texts = {LOG_SCORE: w.number(own[LOG_SCORE]), CRPS: w.percent(own[CRPS], 3)}
    return [Cell(texts[name], "best" if ahead[name] else "") for name in own]


type _Cells = Callable[[xr.Dataset], list[Cell]]


def _summary(
    name: str, scores: xr.Dataset, rejected: xr.Dataset, tests: Mapping[str, str], heads: tuple[str, ...],
    cells: _Cells, found: Contest,
) -> Grid:  # fmt: skip
    """Return one line a model: what `cells` says, then in how many portfolios a test rejects."""
    lines = []
    for model in sorted(_names(scores, MODEL), key=lambda m: found.shown.index(m) if m in found.shown else 9):
        one, no = scores.sel({MODEL: model}), rejected.sel({MODEL: model})
        lines.append(Line(model, (*cells(one), *(_rejected_of(one[t], no[t]) for t in tests))))
    of = tuple(tests.values())
    if scores.sizes[PORTFOLIO] > 1:
        of = tuple(f"{head.removesuffix(' p')}, rejected" for head in of)
    return Grid(name, "Model", (*heads, *of), (("", tuple(lines)),))


def _rejected_of(p: xr.DataArray, no: xr.DataArray) -> Cell:
    tested, against = int(np.isfinite(p).sum()), int(no.sum())
    if not tested:
        return Cell(w.NONE)
    if p.size == 1:
        return _p_cell(p.item(), against=bool(against))
    return Cell(f"{against} of {tested}{_MARK if against else ''}", "rejected" if against else "")


def _p_cell(p: float, *, against: bool) -> Cell:
    return Cell(w.p_value(p) + (_MARK if against else ""), "rejected" if against else "")


def _details(
    name: str, scores: xr.Dataset, rejected: xr.Dataset, tests: Mapping[str, str], heads: tuple[str, ...],
    cells: _Cells,
) -> Grid:  # fmt: skip
    """Return one line a portfolio and model: what `cells` says, then the p of each test."""
    parts = []
    for portfolio in _names(scores, PORTFOLIO):
        lines = []
        for model in _names(scores, MODEL):
            one, no = (x.sel({PORTFOLIO: portfolio, MODEL: model}) for x in (scores, rejected))
            ps = (_p_cell(float(one[t]), against=bool(no[t])) for t in tests)
            lines.append(Line(model, (*cells(one), *ps)))
        parts.append((portfolio, tuple(lines)))
    return Grid(name, "Portfolio and model", (*heads, *tests.values()), tuple(parts))


def _names(scores: xr.Dataset, dim: str) -> tuple[str, ...]:
    return tuple(scores[dim].values.astype(str).tolist())


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan
