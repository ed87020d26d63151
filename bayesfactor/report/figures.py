"""Figures as inline SVG whose colours are the page's own, so that they follow dark mode.

matplotlib draws in the hex colours of `_SWATCHES`; each is then replaced by a CSS variable.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.errors import SchemaError
from bayesfactor.plots import PALETTE, plot_loadings, plot_tails
from bayesfactor.plots.frame import PANELS_PER_ROW, forest_size

__all__ = ["INTERVAL", "MOST_ASSETS", "Picture", "drawn", "loadings_picture", "tails_picture"]

INTERVAL: Final = 0.9
"""Probability of every interval and band in the report."""
MOST_ASSETS: Final = 40
"""Assets in the forest; the rest would make it taller than anybody scrolls."""
_DPI: Final = 96.0
_TAILS_SIZE: Final = (5.6, 3.9)
_INK: Final = "#010203"
_SWATCHES: Final = {_INK: "var(--ink)"} | {c: f"var(--c{i})" for i, c in enumerate(PALETTE)}
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}


@dataclass(frozen=True)
class Picture:
    """An SVG with its words: `svg` is markup, `alt` what a screen reader says, `width` in pixels."""

    svg: str
    alt: str
    width: float


def loadings_picture(tree: xr.DataTree, weight: xr.DataArray, name: str = "loadings") -> Picture | None:
    """Return the forest of loadings, of the largest positions where there are many; None without factors.

    `name` is that of no other picture of the page.
    """
    post = tree[s.POSTERIOR]
    observed = post.sizes.get(s.FACTOR, 0) if s.LOADINGS in post else 0
    n = observed + (post.sizes[s.LATENT] if s.LATENT_LOADINGS in post else 0)
    if n == 0:
        return None
    names = weight[s.ASSET].values.astype(str)
    if len(names) > MOST_ASSETS:
        largest = np.argsort(-np.abs(weight.values), kind="stable")[:MOST_ASSETS]
        names = names[np.sort(largest)]
    groups = tree[s.CONSTANT_DATA].to_dataset()[s.GROUP].sel({s.ASSET: names}).values
    rows, columns = -(-n // PANELS_PER_ROW), min(n, PANELS_PER_ROW)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for spare in grid[n:]:
            spare.set_visible(False)
        plot_loadings(tree, assets=list(names), ci_prob=INTERVAL, ax=grid[:n])

    size = forest_size(n, len(names) + len(np.unique(groups)))
    alt = (
        f"Forest plot of the loadings of {len(names)} assets on {n} factors, grouped by sector, with "
        f"{w.plain_percent(INTERVAL)} intervals."
    )
    return drawn(draw, size, name, alt)


def tails_picture(tree: xr.DataTree, random_seed: int) -> Picture | None:
    """Return the tail check; None where there are too few returns."""
    alt = (
        "How often specific returns exceed a size, on logarithmic scales: observed losses and gains as "
        f"marks, the model's {w.plain_percent(INTERVAL)} band shaded."
    )
    try:
        return drawn(
            lambda figure: plot_tails(tree, ci_prob=INTERVAL, ax=figure.subplots(), random_seed=random_seed),
            _TAILS_SIZE,
            "tails",
            alt,
        )
    except SchemaError:
        return None


def drawn(draw: Callable[[Figure], object], size: tuple[float, float], name: str, alt: str) -> Picture:
    """Draw on a figure of its own, `size` in inches; `name` is that of no other picture of the page."""
    return Picture(_svg(draw, size, name), alt, _DPI * size[0])


def _svg(draw: Callable[[Figure], object], size: tuple[float, float], name: str) -> str:
    """Draw on a figure of its own and return `<svg>` that can stand in a page beside others."""
    buffer = io.StringIO()
    with rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"<[^<>]+>", lambda tag: _at_home(tag[0], name), svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _at_home(tag: str, name: str) -> str:
    """Give a tag the page's colours and font, and ids that no other figure has."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\1{name}-", tag)
    tag = re.sub(r"(font: (?:bold )?[\d.]+px) [^;\"]+", r"\1 system-ui, sans-serif", tag)
    for swatch, variable in _SWATCHES.items():
        tag = tag.replace(swatch, variable)
    return tag
