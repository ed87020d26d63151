"""Pictures of a backtest: VaR against what came, where the difference was made, and PITs."""

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy import stats

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.plots import PALETTE, plot_backtest
from bayesfactor.plots.frame import date_axis, ink
from bayesfactor.report.contest import Contest
from bayesfactor.report.figures import INTERVAL, Picture, drawn
from bayesfactor.scoring import fz0_loss
from bayesfactor.scoring.contract import ES, MIN_DAYS, MODEL, PIT, PORTFOLIO, REALISED, VAR

__all__ = ["BINS", "MOST_HISTOGRAMS", "loss_saved", "pit_picture", "race_picture", "var_pictures"]

BINS: Final = 10
MOST_HISTOGRAMS: Final = 12
_PER_ROW: Final = 4
_WIDE: Final = 10.2


def var_pictures(data: xr.Dataset, found: Contest, level: float) -> list[Picture]:
    """Return one picture for each portfolio that was held on any day."""
    pictures = []
    for i, name in enumerate(data[PORTFOLIO].values.astype(str)):
        if not np.isfinite(data[REALISED].values[:, i]).any():
            continue

        def draw(figure: Figure, name: str = name) -> None:
            plot_backtest(data, name, found.shown, level=level, ax=figure.subplots())

        alt = (
            f"Returns of {name} by {found.step}, the value at risk {w.plain_percent(level)} of "
            f"{' and '.join(found.shown)}, and the {found.step}s on which the loss exceeded it."
        )
        pictures.append(drawn(draw, (_WIDE, 3.1), f"var{i}", alt))
    return pictures


def race_picture(data: xr.Dataset, found: Contest, position: int) -> Picture | None:
    """Return the picture of `loss_saved`; None without a pair or without common days."""
    total = loss_saved(data, found, position)
    if total is None:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(total[s.TIME].values, total.values, color=PALETTE[0], lw=1.4)
        axes.axhline(0.0, color=ink(axes), lw=0.8)
        date_axis(axes, total[s.TIME])
        axes.set_ylabel("loss saved, added up")
        axes.margins(x=0.01)
        _open(axes)

    alt = f"Loss of {found.reference} less that of {found.challenger}, added up over the {found.step}s."
    return drawn(draw, (_WIDE, 2.5), "race", alt)


def loss_saved(data: xr.Dataset, found: Contest, position: int) -> xr.DataArray | None:
    """Return the loss of the reference less that of the challenger, (time) of common days, added up."""
    one = data.isel({s.LEVEL: position})
    loss = fz0_loss(one[REALISED], one[VAR], one[ES], one[s.LEVEL]).transpose(s.TIME, MODEL, PORTFOLIO)
    loss = loss.dropna(MODEL, how="all").dropna(PORTFOLIO, how="all").dropna(s.TIME, how="any")
    if (
        not {found.challenger, found.reference} <= set(loss[MODEL].values.astype(str))
        or not loss[s.TIME].size
    ):
        return None
    mean = loss.mean(PORTFOLIO)
    gap = mean.sel({MODEL: found.reference}) - mean.sel({MODEL: found.challenger})
    return gap.cumsum(s.TIME).assign_coords({s.TIME: gap[s.TIME]})


def pit_picture(data: xr.Dataset, model: str) -> Picture | None:
    """Return histograms of a model's PITs by portfolio; None where it has no law."""
    one = data[PIT].sel({MODEL: model})
    held = [(str(p), one.sel({PORTFOLIO: p}).dropna(s.TIME).values) for p in one[PORTFOLIO].values]
    held = [(name, pit) for name, pit in held if len(pit) >= MIN_DAYS][:MOST_HISTOGRAMS]
    if not held:
        return None
    columns = min(_PER_ROW, len(held))
    rows = -(-len(held) // columns)

    def draw(figure: Figure) -> None:
        grid: Any = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for spare in grid.ravel()[len(held) :]:
            spare.set_visible(False)
        for axes, (name, pit) in zip(grid.ravel(), held, strict=False):
            _histogram(axes, name, pit)

    alt = (
        f"Histograms of the probability integral transforms of {model}, one a portfolio, with the band "
        f"in which {w.plain_percent(INTERVAL)} of bars of a right model lie."
    )
    return drawn(draw, (0.4 + 2.45 * columns, 0.25 + 1.95 * rows), "pit", alt)


def _histogram(axes: Axes, name: str, pit: np.ndarray) -> None:
    counts, edges = np.histogram(pit, bins=BINS, range=(0.0, 1.0))
    low, high = (
        stats.binom.ppf([0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], len(pit), 1.0 / BINS) / len(pit) * BINS
    )
    middle = (edges[:-1] + edges[1:]) / 2
    axes.axhspan(low, high, color=PALETTE[9], alpha=0.22, lw=0, zorder=0)
    axes.bar(middle, counts / len(pit) * BINS, width=0.86 / BINS, color=PALETTE[0], alpha=0.75)
    axes.hlines([low, high], 0.0, 1.0, color=PALETTE[9], lw=1.0, ls="--")
    axes.axhline(1.0, color=ink(axes), lw=0.8)
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([0.0, 0.5, 1.0], labels=["0", "0.5", "1"])
    axes.set_title(name, parse_math=False, fontsize=10)
    _open(axes)


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{round(v, 6):g}".replace("-", "\N{MINUS SIGN}"))
    )
