"""Whether a tree is still what was written: its labels are the fit's, and its draws are in their range.

`schema.check_tree` asks here on behalf of every verb, and says which names, groups and ranges there are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor.errors import SchemaError

__all__ = ["Layout", "Range", "check_whole", "digest", "names_digest"]

_SLACK = 1e-9
"""Rounding that a bound forgives."""


def digest(*arrays: np.ndarray) -> str:
    """Return a short SHA-256 fingerprint of the arrays' shapes and values (NaNs are alike)."""
    h = hashlib.sha256()
    for a in arrays:
        a = np.asarray(a)
        if a.dtype.kind in "US" or a.dtype == object:
            h.update("\x1f".join(a.astype(str).ravel().tolist()).encode())
        elif a.dtype.kind == "M":
            h.update(np.ascontiguousarray(a.astype("datetime64[ns]").astype("int64")).tobytes())
        else:
            a = np.ascontiguousarray(a, dtype="float64")
            h.update(np.where(np.isnan(a), np.nan, a + 0.0).tobytes())
        h.update(repr(a.shape).encode())
    return h.hexdigest()[:16]


def names_digest(labels: np.ndarray) -> str:
    """Return a fingerprint of labels, whatever their order."""
    return digest(np.sort(labels if labels.dtype.kind == "M" else labels.astype(str)))


@dataclass(frozen=True)
class Range:
    """What a variable may be: finite, and no further than its ends.

    Parameters
    ----------
    low, high : float
    open_ended : bool
        Whether an end itself is out of range.
    endless : bool
        Whether inf is a value (degrees of freedom of the normal).
    """

    low: float = -np.inf
    high: float = np.inf
    open_ended: bool = False
    endless: bool = False

    def outside(self, values: np.ndarray) -> np.ndarray:
        """Return where values are out of range, NaN included."""
        if self.open_ended:
            inside = (values > self.low) & (values < self.high)
        else:
            inside = (values >= self.low - _SLACK) & (values <= self.high + _SLACK)
        inside &= np.isfinite(values)
        return ~(inside | (values == np.inf)) if self.endless else ~inside

    def holds(self, values: np.ndarray) -> bool:
        """Return whether all are inside, by their extremes: two passes and no memory."""
        ends = np.array([values.min(), values.max()])
        return not self.outside(ends).any()

    def __str__(self) -> str:
        if np.isinf(self.low):
            return "finite"
        if np.isinf(self.high):
            return f"{'above' if self.open_ended else 'at least'} {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Layout:
    """What a tree holds, by the names of the schema.

    Parameters
    ----------
    sample : (str, str)
        Dims of chains and draws, of which a part may be taken.
    labelled : mapping of str to (str, str)
        Dims of which no part may be taken: what their labels are called, and what to do instead.
    split : str
        The one of them that `others` may have the rest of.
    others : str
        The group that holds what `select_assets` set aside, group by group.
    drawn, data : tuple of str
        Groups of draws, and of what was conditioned on: what a law reads by position.
    needed : mapping of str to tuple of str
        Group to the variables that every law reads.
    ahead : str
        The group of predictions, whose factors may be more than the observed ones.
    unchecked : mapping of str to tuple of str
        Group to variables that have no range.
    gaps : mapping of str to str
        Variable to the dim along which it may have no draw at all at some labels (days the fit did not see).
    law : tuple of str
        Draws that a law reads where the model has them; `variables` in the attrs says which it has.
    variables : str
    ranges : mapping of str to Range
        Of variables by name; others are finite.
    """

    sample: tuple[str, str]
    labelled: Mapping[str, tuple[str, str]]
    split: str
    others: str
    drawn: tuple[str, ...]
    data: tuple[str, ...]
    needed: Mapping[str, tuple[str, ...]]
    ahead: str
    unchecked: Mapping[str, tuple[str, ...]]
    gaps: Mapping[str, str]
    law: tuple[str, ...]
    variables: str
    ranges: Mapping[str, Range]

    def range_of(self, name: str) -> Range:
        """Return the range of a variable; a spread is not negative."""
        return self.ranges.get(name) or (Range(low=0.0) if name.endswith("_sd") else Range())


def check_whole(
    tree: xr.DataTree, layout: Layout, *, verb: str, nan: bool = False, free: tuple[str, ...] = ()
) -> None:
    """Raise `SchemaError` unless a tree holds what laws read, with the fit's labels and possible draws.

    Parameters
    ----------
    tree : DataTree
    layout : Layout
    verb : str
        Who asks.
    nan : bool
        Whether a draw that is not finite is let through, for a verb that reports it.
    free : tuple of str
        Dims whose labels may be others than the fit's.
    """
    read = (*layout.drawn, *layout.data)
    parts = {n: tree.children[n].to_dataset() for n in read if n in tree.children}
    rest = tree.children[layout.others].children if layout.others in tree.children else {}
    aside = {n: rest[n].to_dataset() for n in read if n in rest}
    told = {k: v for k, v in tree.attrs.items() if k not in [f"{d}_labels" for d in free]}
    _check_contents(told, parts, layout, verb)
    _check_labels(told, parts, aside, layout, verb)
    for group in read:
        for found in (parts, aside):
            if group in found:
                data = found[group].drop_vars(layout.unchecked.get(group, ()), errors="ignore")
                _check_draws(data, group, layout, verb=verb, nan=nan)


def _check_contents(
    attrs: Mapping[Any, Any], parts: Mapping[str, xr.Dataset], layout: Layout, verb: str
) -> None:
    """Raise unless groups hold what all laws read, and there is a draw."""
    fitted = [n for n in str(attrs.get(layout.variables, "")).split() if n in layout.law]
    for group, names in layout.needed.items():
        names = (*names, *fitted) if group == layout.drawn[0] else names
        absent = [n for n in names if group in parts and n not in parts[group]]
        if absent:
            lacking = ", ".join(absent)
            msg = f"{verb} reads {lacking} in {group}, where it is missing. Give a whole tree from bf.fit."
            raise SchemaError(msg)
    for group in layout.drawn:
        if group not in parts:
            continue
        sizes = parts[group].sizes
        if not all(sizes.get(d) for d in layout.sample):
            got = ", ".join(f"{d} {sizes.get(d, 'absent')}" for d in layout.sample)
            msg = (
                f"{verb} needs at least one chain and one draw in {group}; got {got}. "
                "Select with lists or slices, which keep the dim: tree.isel(draw=[0])."
            )
            raise SchemaError(msg)


def _check_labels(
    attrs: Mapping[Any, Any],
    parts: Mapping[str, xr.Dataset],
    aside: Mapping[str, xr.Dataset],
    layout: Layout,
    verb: str,
) -> None:
    """Raise unless assets, factors and stamps are those that were fitted."""
    for dim, (what, remedy) in layout.labelled.items():
        # Predictions have latent factors besides.
        groups = {n: p for n, p in parts.items() if dim == layout.split or n != layout.ahead}
        labels = _common_labels(groups, dim, verb)
        told = attrs.get(f"{dim}_labels")
        if told is None or labels is None:
            continue
        rest = _common_labels(aside, dim, verb) if dim == layout.split else None
        whole = labels if rest is None else np.concatenate([labels.astype(str), rest.astype(str)])
        if names_digest(whole) != told:
            msg = (
                f"{verb} reads a fit with all the {what} it was fitted to; this tree has {len(whole)}, "
                f"others or a part of them, and its numbers would be those of no model. {remedy}"
            )
            raise SchemaError(msg)


def _check_draws(data: xr.Dataset, group: str, layout: Layout, *, verb: str, nan: bool) -> None:
    """Raise unless every variable of a group is in its range."""
    for name, variable in data.data_vars.items():
        values, allowed = variable.values, layout.range_of(str(name))
        if values.dtype.kind not in "fiu" or not values.size or allowed.holds(values):
            continue
        out = allowed.outside(values)
        out = out & np.isfinite(values) if nan else out
        if (along := layout.gaps.get(str(name))) in variable.dims:
            others = [d for d in variable.dims if d != along]
            out &= ~variable.isnull().all(others).broadcast_like(variable).transpose(*variable.dims).values
        if out.any():
            _refuse(variable, group, allowed, out, layout.sample, verb)


def _refuse(
    variable: xr.DataArray, group: str, allowed: Range, out: np.ndarray, sample: tuple[str, str], verb: str
) -> None:
    at = dict(zip(variable.dims, (int(i) for i in np.argwhere(out)[0]), strict=True))
    label = {d: str(variable[d].values[i]) if d in variable.coords else str(i) for d, i in at.items()}
    where = " ".join(f"{d} {label[d]}" for d in sample if d in label)
    # "loadings of BTC on market", "sigma of BTC", "factor_correlation of market on size"
    own = " on ".join(label[d] for d in variable.dims if d not in sample)
    value, more = variable.values[tuple(at.values())], int(out.sum()) - 1
    msg = (
        f"{verb} reads draws as bf.fit wrote them; {variable.name}{' of ' if own else ''}{own}: "
        f"{'NaN' if np.isnan(value) else f'{value:g}'}{' in ' if where else ''}{where}"
        f"{f' and {more} more' if more else ''}. In {group}, {variable.name} is {allowed}. "
        "Load the fit again, or fit again."
    )
    raise SchemaError(msg)


def _common_labels(parts: Mapping[str, xr.Dataset], dim: str, verb: str) -> np.ndarray | None:
    """Return the labels that all groups with a dim have in common, None where none has it.

    Raises
    ------
    SchemaError
        If two groups differ: arrays are read by position.
    """
    first, labels = "", None
    for group, data in parts.items():
        if dim not in data.dims or dim not in data.coords:
            continue
        mine = data[dim].values
        if labels is None:
            first, labels = group, mine
        elif len(mine) != len(labels) or not (mine == labels).all():
            msg = (
                f"{verb} reads a tree whose groups have the same {dim}s in one order; {group} and {first} "
                "differ. Select on the whole tree, or load the fit again."
            )
            raise SchemaError(msg)
    return labels
