"""How much of the portfolio's variance the factors explain, over the window and through time."""

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.attribution import systematic_share
from bayesfactor.attribution.draws import Draws, read_draws
from bayesfactor.laws.blocks import thinned
from bayesfactor.plots import PALETTE
from bayesfactor.plots.frame import date_axis, ink
from bayesfactor.report.content import (
    INTERVAL,
    INTERVAL_HEAD,
    Block,
    Column,
    Drawing,
    Folded,
    Section,
    Table,
    Words,
    bars,
    lines,
)
from bayesfactor.report.figures import Picture, drawn

__all__ = ["rolling_share", "systematic_section"]

_DRAWS: Final = 200
_WINDOW: Final = 90
_FEWEST: Final = 40
"""Periods below which nothing is drawn through time."""


def systematic_section(
    tree: xr.DataTree, weights: np.ndarray, cadence: str, held: np.ndarray
) -> Section | None:
    """Return the section on the assets `held`; None where the model has no observed factor."""
    post = tree[s.POSTERIOR]
    if not {s.ALPHA, s.LOADINGS} <= set(post.data_vars) or not post.sizes.get(s.FACTOR, 0):
        return None
    draws = read_draws(tree, verb="report", part=True)
    found = rolling_share(draws, weights)
    blocks: list[Block] = [
        Words(
            "The share of variance that comes from the observed factors; what is left is specific. Through "
            "time it is that of this portfolio, held at today's weights, over a moving window: it rises when "
            "coins move together, which is when diversification helps least."
        )
    ]
    if found is not None:
        blocks.append(Drawing("Systematic share", _picture(*found, cadence)))
    blocks += _tables(systematic_share(tree), held)
    return Section("systematic", "How much the factors explain", tuple(blocks), "Systematic share")


def rolling_share(d: Draws, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Return stamps, shares (time, draw) of windows that end there, and the window; None where too short.

    For each draw, var(S) / (var(S) + var(P - S)) over the window, with S = sum_i w_i beta_i' f and
    P = sum_i w_i (r_i - alpha_i), both over the assets that have a return on the day.
    """
    n = len(d.time)
    if n < _FEWEST:
        return None
    window = min(_WINDOW, max(_FEWEST // 2, n // 4))
    some = thinned(len(d.alpha), _DRAWS)
    order = s.canonical_order(d.assets)
    held = np.where(np.isfinite(d.returns), weights, 0.0)[:, order]
    loadings = d.loadings[some][:, order]
    exposures = np.einsum("ti,dik->tdk", held, loadings, optimize=True)
    explained = np.einsum("tdk,tk->td", exposures, d.factors)
    realised = (held * np.nan_to_num(d.returns[:, order])).sum(axis=1)
    left = realised[:, None] - held @ d.alpha[some][:, order].T - explained
    one, other = (_moving_variance(x, window) for x in (explained, left))
    total = one + other
    share = np.divide(one, total, out=np.full_like(total, np.nan), where=total > 0.0)
    return d.time[window - 1 :], share, window


def _moving_variance(x: np.ndarray, window: int) -> np.ndarray:
    """Return variances of all windows of x (time, draw) along time."""
    x = x - x.mean(axis=0)
    first, second = (
        np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(v, axis=0)]) for v in (x, np.square(x))
    )
    mean, square = ((v[window:] - v[:-window]) / window for v in (first, second))
    variance: np.ndarray = np.maximum(square - np.square(mean), 0.0)
    return variance


def _picture(time: np.ndarray, share: np.ndarray, window: int, cadence: str) -> Picture:
    middle = np.median(share, axis=1)
    low, high = np.quantile(share, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], axis=1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(time, low, high, color=PALETTE[0], alpha=0.22, lw=0)
        axes.plot(time, middle, color=PALETTE[0], lw=1.5)
        axes.axhline(float(np.nanmean(middle)), color=ink(axes), lw=0.8, ls=(0, (4, 3)))
        date_axis(axes, xr.DataArray(time))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{round(100 * v, 6):g} %"))
        axes.set_ylabel("explained by factors")
        axes.margins(x=0.01)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, axis="y", alpha=0.25, lw=0.6)

    alt = (
        f"Systematic share of the portfolio's variance over a moving window of {w.count(window, cadence)}: "
        f"median and {w.plain_percent(INTERVAL)} band; the dashed line is the mean, "
        f"{w.percent(float(np.nanmean(middle)), 0)}."
    )
    return drawn(draw, (10.2, 2.7), "systematic", alt)


def _tables(found: xr.Dataset, held: np.ndarray) -> list[Block]:
    if held.any():
        found = found.isel({s.ASSET: held})
        found = found.sel({s.GROUP: [g for g in found[s.GROUP].values if g in found["group_of"].values]})
    by_group = _table(found, "group_share", s.GROUP, "Group", "Systematic share by group")
    by_asset = _table(found, "systematic_share", s.ASSET, "Asset", "Systematic share by asset")
    return [by_group, Folded(f"All {found.sizes[s.ASSET]} assets", (by_asset,))]


def _table(found: xr.Dataset, name: str, dim: str, corner: str, title: str) -> Table:
    found = found.isel({dim: np.argsort(-found[name].values, kind="stable")})
    point, low, high = (found[name + end].values for end in ("", "_low", "_high"))
    labels = found[dim].values.astype(str)
    columns = [
        Column("Systematic share", [w.percent(x, 1) for x in point]),
        Column(INTERVAL_HEAD, [w.interval(*x, 1) for x in zip(low, high, strict=True)]),
    ]
    frame = pd.DataFrame({dim: labels, "share": point, "share_low": low, "share_high": high})
    note = "Over the whole window; of a group the mean of all its assets." if dim == s.GROUP else ""
    return Table(
        f"systematic_share_by_{dim}",
        title,
        (corner, *(c.head for c in columns)),
        lines(labels, columns, bars(point, low, high)),
        frame,
        note,
        bar_head="Systematic share",
    )
