"""A part of a fit and the whole of it: what `select_assets` sets aside, and its return.

Assets share a law. A market made of all of them takes what its portfolio's specific returns add up to out of
each one's, so a coin alone still needs the innovations of the others; and simulated paths are drawn for all.
A part therefore keeps the others in a group of their own, where readers of the law find them.
"""

import numpy as np
import xarray as xr

from bayesfactor import schema as s

__all__ = ["every_asset", "part_of", "whole_fit"]


def whole_fit(tree: xr.DataTree) -> xr.DataTree:
    """Return the fit that a tree is a part of; the tree itself where it is no part."""
    if s.OTHERS not in tree.children:
        return tree
    out = tree.copy()
    aside = out.children[s.OTHERS]
    del out[s.OTHERS]
    for name, other in aside.children.items():
        out[name] = xr.DataTree(_together(tree[name].to_dataset(), other.to_dataset()))
    return out


def part_of(tree: xr.DataTree, assets: list[str]) -> xr.DataTree:
    """Return a whole tree with some of its assets in its groups, in this order, and the others aside."""
    out, aside = tree.copy(), {}
    for name, child in tree.children.items():
        data = child.to_dataset()
        if s.ASSET not in data.dims:
            continue
        labels = data[s.ASSET].values.astype(str)
        at = np.array([int(np.flatnonzero(labels == a)[0]) for a in assets])
        rest = np.setdiff1d(np.arange(len(labels)), at)
        out[name] = xr.DataTree(data.isel({s.ASSET: at}))
        if len(rest):
            lacking = [v for v in data.data_vars if s.ASSET not in data[v].dims]
            aside[name] = data.drop_vars(lacking).isel({s.ASSET: rest}).drop_attrs(deep=False)
    if aside:
        out[s.OTHERS] = xr.DataTree.from_dict(aside)
    return out


def every_asset(tree: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """Return names and groups of all assets of the fit: those of a part, then those set aside."""
    data = [tree[s.OBSERVED_DATA].to_dataset()]
    if s.OTHERS in tree.children:
        data.append(tree.children[s.OTHERS].children[s.OBSERVED_DATA].to_dataset())
    names, groups = (np.concatenate([d[c].values.astype(str) for d in data]) for c in (s.ASSET, s.GROUP))
    return names, groups


def _together(mine: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """Return a group with its own assets first and those set aside behind."""
    split = [v for v in mine.data_vars if s.ASSET in mine[v].dims]
    joined = xr.concat(
        [mine[split], other[split]], s.ASSET, join="exact", coords="minimal", compat="override"
    )
    kept = mine.drop_dims(s.ASSET)
    return kept.assign(joined.data_vars).assign_coords(joined.coords).assign_attrs(mine.attrs)
