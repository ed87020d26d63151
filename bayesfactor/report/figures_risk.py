"""Pictures of what may happen: the predictive law of the loss, and stress scenarios."""

import math
from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.forecast import Predictions
from bayesfactor.plots import PALETTE
from bayesfactor.plots.frame import ink, open_frame, row_labels
from bayesfactor.report.content import INTERVAL, quantiles
from bayesfactor.report.figures import Picture, drawn
from bayesfactor.risk.exact import Book

__all__ = ["distribution_picture", "percent_axis", "simulated_losses", "stress_picture"]

_SCENARIOS: Final = 100_000
_WIDE: Final = 10.2
_BINS: Final = 120
_RARE: Final = 0.0005
"""Chance beyond which the axes end on either side."""


def simulated_losses(found: Predictions, weights: np.ndarray) -> np.ndarray:
    """Return losses of simulated scenarios, as many as draw a smooth picture; `weights` as in the panel."""
    m = found.moments
    book = Book(m, found.labels.to_canonical(weights))
    paths = len(found.stored) if found.law is None else max(1, math.ceil(_SCENARIOS / m.n_draws))
    drift = m.horizon * (m.alpha @ book.weights)
    losses = []
    for block in found.scenarios(range(paths)):
        factors = np.einsum("dk,dhk->d", book.exposures[block.draws], block.factor_returns)
        specific = block.specific_returns.sum(axis=1) @ book.weights
        losses.append(-(drift[block.draws] + factors + specific))
    return np.concatenate(losses)


def distribution_picture(losses: np.ndarray, risk: xr.Dataset, over: str) -> Picture | None:
    """Draw the law of the loss with VaR and ES, and how rare a larger loss is; `risk` in fractions."""
    low, high = np.quantile(losses, [_RARE, 1.0 - _RARE])
    if not low < high:
        return None
    high = max(high, 1.08 * float(risk["es"].max()))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1.0])
        _density(left, losses, risk, (low, high))
        _exceedance(right, losses, risk, high)
        left.set_xlabel(f"loss over {over}")
        right.set_xlabel(f"loss over {over}")

    levels = " and ".join(w.plain_percent(v) for v in risk[s.LEVEL].values)
    alt = (
        f"Left: histogram of the predicted loss over {over}, with value at risk and expected shortfall at "
        f"{levels} marked. Right: the chance of a larger loss, on a logarithmic scale, with each value at "
        f"risk given the parameters, middle and {w.plain_percent(INTERVAL)} interval."
    )
    return drawn(draw, (_WIDE, 3.3), "law", alt)


def _density(axes: Axes, losses: np.ndarray, risk: xr.Dataset, ends: tuple[float, float]) -> None:
    counts, edges = np.histogram(losses, bins=_BINS, range=ends)
    top = counts.max() / len(losses)
    height = counts / len(losses)
    least = float(risk["var"].min())
    axes.stairs(height, edges, fill=True, color=PALETTE[0], alpha=0.35, lw=0)
    beyond = edges[1:] > least
    axes.stairs(np.where(beyond, height, 0.0), edges, fill=True, color=PALETTE[1], alpha=0.75, lw=0)
    axes.axvline(0.0, color=ink(axes), lw=0.8, alpha=0.5)
    order = np.argsort(risk[s.LEVEL].values)
    for place, i in enumerate(order):
        level = w.plain_percent(float(risk[s.LEVEL][i]))
        for key, name, style, reach in (("var", "VaR", "-", 0.93), ("es", "ES", (0, (3, 2)), 0.83)):
            x = float(risk[key][i])
            y = top * (reach - 0.22 * place)
            axes.vlines(x, 0.0, y, color=ink(axes), lw=1.1, ls=style)
            axes.annotate(
                f"{name} {level}  {w.percent(x, 1)}", (x, y), (4, -2), textcoords="offset points",
                fontsize=8.5, va="top", parse_math=False,
            )  # fmt: skip
    axes.set_xlim(*ends)
    axes.set_ylim(0.0, 1.06 * top)
    axes.set_yticks([])
    axes.set_title("How often", loc="left")
    percent_axis(axes)
    open_frame(axes)
    axes.spines["left"].set_visible(False)


def _exceedance(axes: Axes, losses: np.ndarray, risk: xr.Dataset, high: float) -> None:
    ordered = np.sort(losses)[::-1]
    rank = np.unique(np.geomspace(1, 0.5 * len(ordered), 150).astype(int))
    x, chance = ordered[rank - 1], rank / len(ordered)
    shown = (x <= high) & (x > 0.0)
    axes.plot(x[shown], chance[shown], color=PALETTE[0], lw=1.8)
    for i, level in enumerate(risk[s.LEVEL].values):
        one = float(risk["var"][i])
        middle, *ends = quantiles(risk["var_posterior"].isel({s.LEVEL: i}).values.ravel())
        if np.isfinite(ends).all():
            axes.hlines(1.0 - level, *ends, color=PALETTE[1], lw=2.6)
            axes.plot([middle], [1.0 - level], "|", color=PALETTE[1], ms=10, mew=1.8)
        axes.scatter([one], [1.0 - level], color=PALETTE[0], s=24, zorder=3)
        axes.annotate(
            f"VaR {w.plain_percent(level)}", (one, 1.0 - level), (6, 6), textcoords="offset points",
            fontsize=8.5, parse_math=False,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(2.0 * _RARE / 10, 0.6)
    axes.yaxis.set_major_locator(LogLocator(10.0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: w.plain_percent(float(v))))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0.0, high)
    axes.set_title("Chance of a larger loss", loc="left")
    percent_axis(axes)
    open_frame(axes)
    axes.grid(visible=True, axis="y", alpha=0.25, lw=0.6)


def percent_axis(axes: Axes) -> None:
    """Write the x-axis in per cent."""
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{round(100 * v, 6):g} %".replace("-", "\N{MINUS SIGN}"))
    )


def stress_picture(stress: xr.Dataset) -> Picture:
    """Draw the loss of every scenario, largest first: bar, interval, and ES; `stress` in fractions."""
    loss = stress["loss"].values
    order = np.argsort(-loss, kind="stable")
    names = stress["scenario"].values.astype(str)[order]
    draws = stress["loss_posterior"].transpose(..., "scenario").values.reshape(-1, len(loss))
    _, low, high = quantiles(draws)[:, order]
    es = stress["es"].isel({s.LEVEL: int(stress[s.LEVEL].values.argmax())}).values[order]
    level = w.plain_percent(float(stress[s.LEVEL].max()))
    y = np.arange(len(order))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        bar = axes.barh(y, loss[order], height=0.56, color=PALETTE[0], alpha=0.85)
        line = axes.hlines(y, low, high, color=ink(axes), lw=1.5)
        tail = axes.scatter(es, y, marker="|", s=150, color=PALETTE[1], lw=2.4, zorder=3)
        axes.axvline(0.0, lw=0.8, color=ink(axes))
        row_labels(axes, y.tolist(), [(n, None) for n in names], shown=True)
        axes.set_ylim(len(y) - 0.4, -0.6)
        axes.set_xlabel("loss under the scenario (positive = loss)")
        percent_axis(axes)
        open_frame(axes)
        handles: list[Any] = [bar, line, tail]
        figure.legend(
            handles,
            ["expected loss", INTERVAL_LABEL, f"expected shortfall {level} under it"],
            loc="outside upper left", ncols=3, frameon=False, fontsize=9,
        )  # fmt: skip

    alt = f"Expected loss under each of {len(y)} stress scenarios with its interval, largest first."
    return drawn(draw, (8.6, 1.25 + 0.36 * len(y)), "stress", alt)


INTERVAL_LABEL: Final = f"its {w.plain_percent(INTERVAL)} interval"
