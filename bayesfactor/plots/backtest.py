"""What was forecast and what came: returns of a portfolio and the losses that VaR allowed."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import SchemaError, unknown_names
from bayesfactor.plots.frame import PALETTE, date_axis, ink, panels
from bayesfactor.scoring.contract import MODEL, PORTFOLIO, REALISED, VAR, check_backtest, level_position

__all__ = ["plot_backtest"]

_DOT: Final = 12.0
_RING: Final = 26.0


@verb
def plot_backtest(
    backtest: xr.Dataset,
    portfolio: str | None = None,
    models: str | Sequence[str] | None = None,
    *,
    level: float = 0.975,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw a portfolio's realised returns, the losses that VaR allowed, and the days that lost more.

    Parameters
    ----------
    backtest : Dataset
        From `bf.backtest`.
    portfolio : str, optional
        The first where not given.
    models : str or list of str, optional
        All where not given. Exceedances of the first are dots, those of the others rings around them.
    level : float
        One of the levels of the backtest.
    ax : Axes, optional
    figsize : (float, float), optional
        In inches, where no `ax` is given.

    Returns
    -------
    Axes

    Raises
    ------
    SchemaError
        If it is not a backtest, or a portfolio or model is not in it.
    RiskError
        If `level` is not in it.
    """
    data = check_backtest(backtest, "plot_backtest")
    held = str(data[PORTFOLIO].values[0]) if portfolio is None else portfolio
    names = [models] if isinstance(models, str) else models
    _check_names([held], data, PORTFOLIO)
    names = data[MODEL].values.astype(str).tolist() if names is None else list(dict.fromkeys(names))
    _check_names(names, data, MODEL)
    one = data.sel({PORTFOLIO: held}).isel({s.LEVEL: level_position(data, level)})
    axes: Axes = panels(ax, 1, figsize or (9.0, 3.2))[0]
    _returns(axes, one)
    for i, name in enumerate(names):
        _model(axes, one.sel({MODEL: name}), name, i)
    _dress(axes, one, held, level)
    return axes


def _check_names(wanted: Sequence[str], data: xr.Dataset, what: str) -> None:
    known = data[what].values.astype(str)
    unknown = [n for n in wanted if n not in set(known)]
    if unknown or not wanted:
        got = unknown_names(unknown, known) if unknown else "an empty list"
        msg = f"{what} names one of the backtest; got {got}. It has: {', '.join(known)}."
        raise SchemaError(msg)


def _returns(axes: Axes, one: xr.Dataset) -> None:
    """Draw one stick a day; all are one line with gaps, which keeps files small."""
    y, at = one[REALISED].values, one[s.TIME].values
    sticks = np.stack([np.zeros_like(y), y, np.full_like(y, np.nan)], axis=1).ravel()
    axes.plot(np.repeat(at, 3), sticks, color=ink(axes), alpha=0.5, lw=0.8, label="realised return")


def _model(axes: Axes, one: xr.Dataset, name: str, i: int) -> None:
    at, y, limit = one[s.TIME].values, one[REALISED].values, -one[VAR].values
    colour = PALETTE[i % len(PALETTE)]
    hit = y < limit
    width, order = (1.4, 2.6) if i == 0 else (1.1, 2.4)
    axes.plot(at, limit, color=colour, lw=width, zorder=order, label=_label(name, int(hit.sum())))
    size = _DOT if i == 0 else _RING * (1.0 + 0.8 * (i - 1))
    face = colour if i == 0 else "none"
    axes.scatter(at[hit], y[hit], s=size, facecolors=face, edgecolors=colour, linewidths=1.0, zorder=3)


def _label(name: str, hits: int) -> str:
    return f"{name}, {hits} exceedance{'' if hits == 1 else 's'}"


def _dress(axes: Axes, one: xr.Dataset, portfolio: str, level: float) -> None:
    date_axis(axes, one[s.TIME])
    axes.axhline(0.0, lw=0.6, color=ink(axes))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set_ylabel(f"return, and \N{MINUS SIGN}VaR {round(100 * level, 6):g} %")
    axes.set_title(portfolio, parse_math=False)
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    legend = axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _percent(x: float, _: int) -> str:
    return f"{round(100 * x, 6):g} %".replace("-", "\N{MINUS SIGN}")
