"""What scenarios cost, as bars."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, SchemaError, unknown_names
from bayesfactor.plots.breakdown import level_position, measure_name
from bayesfactor.plots.frame import LONGEST_LABEL, PALETTE, ink, open_frame, panels, row_labels

__all__ = ["plot_stress"]

_BY = ("family", "component", "none")


@verb
def plot_stress(
    found: xr.Dataset,
    *,
    level: float | None = None,
    by: str = "family",
    ci_prob: float = 0.9,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw the expected loss of each scenario as a bar of its parts, with posterior intervals and the ES.

    Parameters
    ----------
    found : Dataset
        From `bf.stress`.
    level : float, optional
        One of the levels in `found`; the highest where not given. Its ES is marked by a tick.
    by : {"family", "component", "none"}
        What a bar is made of; parts that gain stand left of zero.
    ci_prob : float
        Probability of the equal-tailed interval of the expected loss.
    ax : Axes, optional
    figsize : (float, float), optional
        In inches, where no `ax` is given.

    Returns
    -------
    Axes

    Raises
    ------
    SchemaError
        If `found` is not such a Dataset.
    RiskError
        If `level`, `by` or `ci_prob` is none of those there.
    """
    if not isinstance(found, xr.Dataset) or "loss_contribution" not in found:
        msg = f"this needs the Dataset that bf.stress returns; got {type(found).__name__}."
        raise SchemaError(msg)
    if by not in _BY:
        msg = f"by is one of {', '.join(_BY)}; got {unknown_names([by], _BY)}."
        raise RiskError(msg)
    if not 0.0 < ci_prob < 1.0:
        msg = f"ci_prob lies between 0 and 1; got {ci_prob}."
        raise RiskError(msg)
    at = float(found[s.LEVEL].max()) if level is None else level
    shown = found["es"].isel({s.LEVEL: level_position(found, at)})
    n = found.sizes[s.SCENARIO]
    axes: Axes = panels(ax, 1, figsize or (7.5, 1.5 + 0.42 * n))[0]
    y, colour = np.arange(n), ink(axes)
    _bars(axes, found, by, y)
    ends = [0.5 - ci_prob / 2, 0.5 + ci_prob / 2]
    low, high = found["loss_posterior"].quantile(ends, (s.CHAIN, s.DRAW)).values
    axes.hlines(y, low, high, color=colour, lw=1.6)
    axes.plot(found["loss"].values, y, "o", color=colour, ms=4, label="expected loss")
    axes.plot(shown.values, y, "|", color=colour, ms=13, mew=2.0, label=measure_name("es", at))
    axes.axvline(0.0, lw=0.8, color=colour)
    row_labels(axes, y.tolist(), [(str(v), None) for v in found[s.SCENARIO].values], shown=True)
    axes.set_ylim(n - 0.4, -0.6)
    money = float(found.attrs.get("value", 1.0)) != 1.0
    axes.xaxis.set_major_formatter(FuncFormatter(_money if money else _percent))
    axes.set_xlabel("loss (positive = loss)")
    axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    open_frame(axes)
    return axes


def _bars(axes: Axes, found: xr.Dataset, by: str, y: np.ndarray) -> None:
    """Stack parts that lose to the right of zero and parts that gain to the left."""
    if by == "none":
        axes.barh(y, found["loss"].values, height=0.6, color=PALETTE[0], alpha=0.85)
        return
    parts = found["loss_contribution"].sum(s.ASSET)
    if by == s.FAMILY:
        names = found[s.FAMILY].values.astype(str)
        order = list(dict.fromkeys(names))
        values = [parts.isel({s.COMPONENT: names == name}).sum(s.COMPONENT).values for name in order]
    else:
        order = [str(c) for c in found[s.COMPONENT].values]
        values = list(parts.transpose(s.COMPONENT, s.SCENARIO).values)
    right, left = np.zeros(len(y)), np.zeros(len(y))
    for i, (name, value) in enumerate(zip(order, values, strict=True)):
        start = np.where(value > 0.0, right, left)
        label = name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"
        axes.barh(y, value, left=start, height=0.6, color=PALETTE[i % len(PALETTE)], alpha=0.75, label=label)
        right, left = right + np.maximum(value, 0.0), left + np.minimum(value, 0.0)


def _percent(x: float, _: int) -> str:
    return f"{round(100 * x, 6):g} %"


def _money(x: float, _: int) -> str:
    return f"{x:,.0f}"
