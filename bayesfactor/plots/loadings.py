"""The forest of loadings."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import SchemaError
from bayesfactor.plots.frame import (
    PALETTE,
    PANELS_PER_ROW,
    chosen,
    forest_size,
    ink,
    open_frame,
    panels,
    row_labels,
)

__all__ = ["plot_loadings"]


@verb
def plot_loadings(
    tree: xr.DataTree,
    *,
    factor: str | Sequence[str] | None = None,
    assets: Sequence[str] | None = None,
    ci_prob: float = 0.9,
    group_by: bool = True,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    figsize: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draw a forest of loadings: one panel per factor, one row per asset, grouped by sector.

    Each row is the posterior median (dot), the middle half (thick) and the central interval of
    probability `ci_prob` (thin); a dashed line is the mean loading of the group.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    factor : str or list of str, optional
        All factors where not given, latent ones (`latent-1`, ...) behind the others.
    assets : list of str, optional
        All assets where not given.
    ci_prob : float
        Probability of the equal-tailed interval.
    group_by : bool
        Sort and colour assets by their group; else the panel's order in one colour.
    ax : Axes or sequence of Axes, optional
        One per factor drawn.
    figsize : (float, float), optional
        In inches, where no `ax` is given.

    Returns
    -------
    ndarray of Axes
        One per factor drawn.

    Raises
    ------
    SchemaError
        If the tree has no loadings, or a factor or asset is not in it.
    """
    s.check_tree(tree, s.POSTERIOR, s.CONSTANT_DATA, verb="plot_loadings")
    if not 0.0 < ci_prob < 1.0:
        msg = f"ci_prob lies between 0 and 1; got {ci_prob}."
        raise SchemaError(msg)
    post = tree[s.POSTERIOR].to_dataset()
    every = _all_loadings(post)
    factors = chosen(factor, every[s.FACTOR].values, "factor")
    names = chosen(assets, post[s.ASSET].values, "asset")
    group = tree[s.CONSTANT_DATA].to_dataset()[s.GROUP].sel({s.ASSET: names}).values.astype(str)
    loadings = every.sel({s.ASSET: names, s.FACTOR: factors})
    tail = 0.5 * (1.0 - ci_prob)
    q = loadings.quantile([tail, 0.25, 0.5, 0.75, 1.0 - tail], dim=(s.CHAIN, s.DRAW))
    q = q.transpose("quantile", s.ASSET, s.FACTOR)

    blocks = [np.arange(len(names))]
    kinds = np.unique(group)
    if group_by:
        centre = q.values[2, :, 0]
        blocks = [np.flatnonzero(group == g) for g in kinds]
        blocks = [b[np.argsort(-centre[b], kind="stable")] for b in blocks]
    size = figsize or forest_size(len(factors), len(names) + (len(blocks) if group_by else 0))
    axes = panels(ax, len(factors), size)
    means = post[s.GROUP_LOADINGS].mean((s.CHAIN, s.DRAW)) if s.GROUP_LOADINGS in post and group_by else None
    for k, (panel, name) in enumerate(zip(axes, factors, strict=True)):
        panel.axvline(0.0, lw=0.8, alpha=0.45, color=ink(panel), zorder=0)
        ticks: list[float] = []
        labels: list[tuple[str, str | None]] = []
        top = 0.0
        for j, block in enumerate(blocks):
            colour = PALETTE[j % len(PALETTE)]
            if group_by:
                ticks.append(top)
                labels.append((str(kinds[j]), colour))
                top += 1.0
            y = top + np.arange(len(block))
            low, low_half, middle, high_half, high = q.values[:, block, k]
            panel.hlines(y, low, high, color=colour, lw=1.2)
            panel.hlines(y, low_half, high_half, color=colour, lw=3.2)
            panel.scatter(middle, y, s=16, color=colour, zorder=3)
            if means is not None and name in means[s.FACTOR].values:
                mean = float(means.sel({s.GROUP: kinds[j], s.FACTOR: name}))
                panel.vlines(mean, y[0] - 0.5, y[-1] + 0.5, color=colour, lw=1.2, ls=(0, (3, 2)), alpha=0.7)
            ticks += y.tolist()
            labels += [(names[i], None) for i in block]
            top += len(block)
        row_labels(panel, ticks, labels, shown=k % PANELS_PER_ROW == 0)
        panel.set_ylim(top - 0.4, -0.6)
        panel.set_title(str(name), parse_math=False)
        panel.set_xlabel("loading")
        open_frame(panel)
    return axes


def _all_loadings(post: xr.Dataset) -> xr.DataArray:
    """Return loadings on observed factors and then on latent ones."""
    parts = [post[s.LOADINGS]] if s.LOADINGS in post and post.sizes[s.FACTOR] else []
    if s.LATENT_LOADINGS in post:
        latent = post[s.LATENT_LOADINGS].drop_vars("loads_on", errors="ignore")
        parts.append(latent.rename({s.LATENT: s.FACTOR}))
    if not parts:
        msg = "plot_loadings needs loadings on factors; this model has none."
        raise SchemaError(msg)
    every: xr.DataArray = xr.concat(parts, s.FACTOR, coords="minimal", compat="override")
    return every
