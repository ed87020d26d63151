"""What all pictures share: colours, panels, labels and checks of names."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from bayesfactor.errors import SchemaError, unknown_names

__all__ = [
    "LONGEST_LABEL",
    "PALETTE",
    "PANELS_PER_ROW",
    "chosen",
    "date_axis",
    "forest_size",
    "ink",
    "open_frame",
    "panels",
    "row_labels",
]

PALETTE: Final = (
    "#2b6cb0",
    "#c2571a",
    "#2f855a",
    "#a83279",
    "#6b46c1",
    "#8a6d1f",
    "#1f8a99",
    "#b83232",
    "#5a6b1f",
    "#555f70",
)
"""Colours of groups, in order of their names; they start again after the last."""
PANELS_PER_ROW: Final = 4
"""Panels side by side before a new row starts."""
LONGEST_LABEL: Final = 24
"""Characters of a row label that are written."""


def chosen(wanted: str | Sequence[str] | None, known: np.ndarray, what: str) -> np.ndarray:
    """Return the labels asked for, all where none is, or refuse unknown ones by name."""
    known = known.astype(str)
    if wanted is None:
        return known
    names = [wanted] if isinstance(wanted, str) else [str(w) for w in wanted]
    unknown = [n for n in names if n not in set(known)]
    if unknown or not names:
        have = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
        got = unknown_names(unknown, known) if unknown else "an empty list"
        msg = f"{what} names a {what} of the model; got {got}. It has: {have}."
        raise SchemaError(msg)
    return np.array(list(dict.fromkeys(names)))


def forest_size(n_panels: int, n_rows: int) -> tuple[float, float]:
    """Return the size in inches of a figure of panels with `n_rows` labelled rows each."""
    columns = min(n_panels, PANELS_PER_ROW)
    return 1.6 + 2.5 * columns, -(-n_panels // PANELS_PER_ROW) * (1.0 + 0.2 * n_rows)


def panels(ax: Axes | Sequence[Axes] | np.ndarray | None, n: int, figsize: tuple[float, float]) -> np.ndarray:
    """Return `n` Axes: those given, or those of a new pyplot figure."""
    if ax is not None:
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n:
            msg = f"ax holds one Axes per panel: {n} needed, got {len(axes)}."
            raise SchemaError(msg)
        return axes
    from matplotlib import pyplot as plt

    rows, columns = -(-n // PANELS_PER_ROW), min(n, PANELS_PER_ROW)
    _, grid = plt.subplots(rows, columns, figsize=figsize, squeeze=False, layout="constrained")
    for spare in grid.ravel()[n:]:
        spare.set_visible(False)
    return grid.ravel()[:n]


def ink(axes: Axes) -> str:
    """Return the colour of the frame, which follows the user's style."""
    return to_hex(axes.spines["bottom"].get_edgecolor())


def row_labels(
    axes: Axes, at: Sequence[float], labels: Sequence[tuple[str, str | None]], *, shown: bool = True
) -> None:
    """Write one label per row: text, and a colour where it is a heading. Text is never mathtext."""
    axes.tick_params(axis="y", length=0)
    if not shown:
        axes.set_yticks(at, labels=[""] * len(at))
        return
    axes.set_yticks(at, labels=[_short(text) for text, _ in labels])
    for tick, (_, colour) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_parse_math(False)
        if colour is not None:
            tick.set(color=colour, fontweight="bold")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"


def date_axis(axes: Axes, stamps: xr.DataArray) -> None:
    """Write few and short dates under the x-axis, where stamps are dates."""
    if stamps.dtype.kind == "M":
        locator = AutoDateLocator(minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def open_frame(axes: Axes) -> None:
    """Leave the frame open above and on the right, with a quiet grid along x."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="x", alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
