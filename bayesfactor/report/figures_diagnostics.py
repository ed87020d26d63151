"""Pictures of the appendix: ranks of the worst parameters, LOO-PIT, Pareto k. Numbers are ArviZ's."""

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy import stats

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.laws.blocks import thinned
from bayesfactor.periods import step_in
from bayesfactor.plots import PALETTE
from bayesfactor.plots.frame import date_axis, ink
from bayesfactor.report.figures import INTERVAL, Picture, drawn

__all__ = ["pareto_picture", "pit_picture", "rank_picture"]

_POINTS: Final = 100
_SIMULATIONS: Final = 100
_MOST_DRAWS: Final = 125
"""Of a chain: thinned draws are nearer to independent, which is what the band assumes."""
_GOOD_K: Final = 0.7


def rank_picture(tree: xr.DataTree, labels: list[str]) -> Picture | None:
    """Draw ECDFs of the ranks of each chain, less the uniform's, for parameters `name[label, ...]`.

    References
    ----------
    .. [1] Säilynoja, T., Bürkner, P.-C. and Vehtari, A. (2022). Graphical test for discrete uniformity and
       its applications in goodness-of-fit evaluation and multiple sample comparison. Statistics and
       Computing 32.
    """
    post = tree[s.POSTERIOR].to_dataset()
    if post.sizes[s.CHAIN] < 2 or post.sizes[s.DRAW] < _POINTS // 5 or not labels:
        return None
    from arviz_stats.base.array import array_stats
    from arviz_stats.ecdf_utils import ecdf_pit

    post = post.isel({s.DRAW: thinned(post.sizes[s.DRAW], _MOST_DRAWS)})
    found = {label: _draws(post, label) for label in labels}
    values = {label: one for label, one in found.items() if one is not None}
    if not values:
        return None
    n_draws = post.sizes[s.DRAW]
    rng = np.random.default_rng(0)  # of the band alone
    points, _, low, high = ecdf_pit(
        (np.arange(n_draws) + 0.5) / n_draws, INTERVAL, _SIMULATIONS, n_chains=post.sizes[s.CHAIN], rng=rng
    )
    low, high = low - points, high - points

    def draw(figure: Figure) -> None:
        grid: Any = figure.subplots(1, len(values), squeeze=False, sharey=True)
        for axes, (label, one) in zip(grid.ravel(), values.items(), strict=True):
            at = np.linspace(0.0, 1.0, _POINTS)
            axes.fill_between(
                at, *(np.interp(at, points, v) for v in (low, high)), color=PALETTE[9], alpha=0.2, lw=0
            )
            ranks = array_stats.compute_ranks(one, axis=(0, 1), relative=True)
            for chain, row in enumerate(ranks):
                gap = np.searchsorted(np.sort(row), at, side="right") / n_draws - at
                axes.plot(at, gap, color=PALETTE[chain % len(PALETTE)], lw=1.2)
            axes.set_title(label if len(label) < 28 else f"{label[:27]}\N{HORIZONTAL ELLIPSIS}",
                           parse_math=False, fontsize=9, fontweight="normal")  # fmt: skip
            _unit_axis(axes)
        grid.ravel()[0].set_ylabel("ECDF of ranks less uniform")

    alt = (
        f"Ranks of the draws of each chain among all draws, for the {len(values)} parameters that mixed "
        f"worst: inside the grey band ({w.plain_percent(INTERVAL)}, all points together) chains agree."
    )
    return drawn(draw, (0.6 + 2.4 * len(values), 2.4), "ranks", alt)


def _draws(post: xr.Dataset, label: str) -> np.ndarray | None:
    """Return the draws (chain, draw) of `name[label, ...]`; None where there is no such parameter."""
    name, _, inside = label.partition("[")
    if name not in post:
        return None
    variable = post[name]
    others = [d for d in variable.dims if d not in {s.CHAIN, s.DRAW}]
    variable = variable.transpose(*others, s.CHAIN, s.DRAW)
    where = inside.removesuffix("]")
    for index in np.ndindex(*(variable.sizes[d] for d in others)):
        if ", ".join(str(variable[d].values[i]) for d, i in zip(others, index, strict=True)) == where:
            found: np.ndarray = variable.values[index]
            return found
    return None


def pit_picture(diagnosis: xr.Dataset) -> Picture | None:
    """Draw the distribution of leave-one-out PITs less the uniform's; None where adequacy was not checked."""
    if "loo_pit" not in diagnosis:
        return None
    pit = np.sort(diagnosis["loo_pit"].values)
    at = np.linspace(0.0, 1.0, _POINTS + 1)
    gap = np.searchsorted(pit, at, side="right") / len(pit) - at
    days = max(1, len(np.unique(diagnosis["cell_time"].values)))
    low, high = stats.binom.ppf([[0.5 - INTERVAL / 2], [0.5 + INTERVAL / 2]], days, at) / days - at

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(at, low, high, color=PALETTE[9], alpha=0.2, lw=0)
        axes.plot(at, gap, color=PALETTE[0], lw=1.6)
        axes.axhline(0.0, color=ink(axes), lw=0.8)
        _unit_axis(axes)
        axes.set_xlabel("leave-one-out probability of the return")
        axes.set_ylabel("ECDF less uniform")

    alt = (
        f"Distribution of {len(pit)} leave-one-out probabilities less the uniform's. The band holds "
        f"{w.plain_percent(INTERVAL)} of what as many independent returns as there are {step_in(diagnosis)}s "
        "would do."
    )
    return drawn(draw, (5.0, 2.6), "loopit", alt)


def pareto_picture(diagnosis: xr.Dataset) -> Picture | None:
    """Draw Pareto k of every day; None where there is none."""
    k = diagnosis["pareto_k"]
    k = k.isel({s.TIME: np.isfinite(k.values)})
    if not k.size:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        bad = k.values > _GOOD_K
        axes.plot(k[s.TIME].values[~bad], k.values[~bad], ".", ms=3, color=PALETTE[0], alpha=0.7)
        axes.plot(k[s.TIME].values[bad], k.values[bad], "o", ms=4.5, color=PALETTE[1])
        axes.axhline(_GOOD_K, color=ink(axes), lw=0.9, ls=(0, (4, 3)))
        date_axis(axes, k[s.TIME])
        axes.set_ylabel("Pareto k")
        axes.margins(x=0.01)
        axes.spines[["top", "right"]].set_visible(False)

    alt = (
        f"Pareto k of the {w.count(k.size, step_in(diagnosis))} of the window; {int((k > _GOOD_K).sum())} "
        f"lie above the dashed line at {_GOOD_K}."
    )
    return drawn(draw, (5.6, 2.6), "pareto", alt)


def _unit_axis(axes: Axes) -> None:
    axes.axhline(0.0, color=ink(axes), lw=0.6, alpha=0.6)
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([0.0, 0.5, 1.0], labels=["0", "0.5", "1"])
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{round(v, 6):g}".replace("-", "\N{MINUS SIGN}"))
    )
    axes.spines[["top", "right"]].set_visible(False)
