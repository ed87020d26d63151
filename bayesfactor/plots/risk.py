"""What adds up to a risk number, as bars."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from bayesfactor.calls import verb
from bayesfactor.errors import RiskError
from bayesfactor.limits import check_count, check_number
from bayesfactor.plots.breakdown import By, Measure, breakdown, measure_name
from bayesfactor.plots.frame import PALETTE, ink, open_frame, panels, row_labels

__all__ = ["plot_risk"]

_PLURAL = {"component": "components", "asset": "assets", "group": "groups", "family": "families"}


@verb
def plot_risk(
    risk: xr.Dataset,
    *,
    level: float = 0.99,
    by: By = "component",
    measure: Measure = "es",
    ci_prob: float = 0.9,
    top: int = 20,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw what adds up to a risk number as horizontal bars, and how sure each part is.

    A bar averages over the parameters, and bars add up. The line across it is the interval of the same part
    given the parameters, the tick its middle: another quantity, which may lie apart from the end of the bar.

    Parameters
    ----------
    risk : Dataset
        From `bf.decompose_risk`.
    level : float
        One of the levels in `risk`; not used for volatility.
    by : {"component", "asset", "group", "family"}
        What a bar is: a factor (with `specific` and `drift`), an asset, or a roll-up of either.
    measure : {"es", "var", "volatility"}
    ci_prob : float
        Probability of the equal-tailed interval.
    top : int
        Bars drawn; the rest are summed into one more.
    ax : Axes, optional
    figsize : (float, float), optional
        In inches, where no `ax` is given.

    Returns
    -------
    Axes

    Raises
    ------
    SchemaError, RiskError
        As `breakdown`: not a risk Dataset, or a level, measure or `by` that is not there.
    """
    check_number("ci_prob", ci_prob, above=0.0, below=1.0, error=RiskError)
    check_count("top", top, error=RiskError)
    parts = breakdown(risk, measure=measure, level=level, by=by)
    parts = parts.take(parts.ordered()).head(top, _PLURAL.get(by, by))
    n = len(parts.labels)
    axes: Axes = panels(ax, 1, figsize or (7.0, 1.1 + 0.34 * n))[0]
    middle, low, high = np.quantile(parts.draws, [0.5, 0.5 - ci_prob / 2, 0.5 + ci_prob / 2], axis=0)
    y = np.arange(n)
    axes.barh(y, parts.value, height=0.62, color=PALETTE[0], alpha=0.85, label="averaged over parameters")
    colour = ink(axes)
    known = f"parameters known: middle and {100 * ci_prob:g} % interval"
    axes.hlines(y, low, high, color=colour, lw=1.4, label=known)
    axes.plot(middle, y, "|", color=colour, ms=8, mew=1.6)
    axes.axvline(0.0, lw=0.8, color=colour)
    row_labels(axes, y.tolist(), [(str(v), None) for v in parts.labels], shown=True)
    axes.set_ylim(n - 0.4, -0.6)
    money = float(risk.attrs.get("value", 1.0)) != 1.0
    axes.xaxis.set_major_formatter(FuncFormatter(_money if money else _percent))
    axes.set_xlabel(f"contribution to {measure_name(measure, level)} (positive = loss)")
    axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    open_frame(axes)
    return axes


def _percent(x: float, _: int) -> str:
    return f"{round(100 * x, 6):g} %"


def _money(x: float, _: int) -> str:
    return f"{x:,.0f}"
