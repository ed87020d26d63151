"""`update`: new days through an existing posterior, without fitting again."""

from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PanelError
from bayesfactor.laws import law_of
from bayesfactor.laws.rows import keep_state, opened_rows, places
from bayesfactor.laws.whole import part_of, whole_fit
from bayesfactor.panel import check_panel, panel_digests
from bayesfactor.panel.calendar import calendar_of
from bayesfactor.periods import count_periods, same_year, stamp_text, step_of, year_in

__all__ = ["update"]

LARGE: Final = 50.0
"""Times as large as what the fit saw, typically, and values are in another unit."""
ENOUGH: Final = 3
"""Fewer new rows may be one crash."""


@verb
def update(tree: xr.DataTree, panel: xr.Dataset) -> xr.DataTree:
    """Let a fitted model see days that came after its fit; its parameters stay.

    A model with volatility dynamics moves its variances through the new days, bit by bit as if it had
    filtered all days from the first. Any model takes over the last weights of factors made of the panel's
    own assets. Forecasts and risk then start from the last day.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit` or `bf.update`.
    panel : Dataset
        The same assets and at least the tree's factors; the days after the tree's last one, with or without
        days before. Days that the tree has seen must be as it saw them.

    Returns
    -------
    DataTree
        The tree with `observed_data`, `constant_data` and `log_likelihood` grown by the new days, `state`
        after the last of them, without `predictions`. attrs `fitted_to` keeps the last day of the fit, and
        `updated_to` the last day seen.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    PanelError
        If the panel is not well formed (see `bf.fit`), has other assets, groups or families, another kind or
        step of returns, lacks a factor, leaves a gap, contradicts days already seen, or looks like per cent.
    """
    s.check_tree(tree, s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA, s.LOG_LIKELIHOOD, verb="update")
    if s.OTHERS in tree.children:
        kept = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str).tolist()
        return part_of(update(whole_fit(tree), panel), kept)
    post, const, obs = (tree[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
    check_panel(panel)
    _check_kind(panel, obs)
    panel = _matched(panel, const, obs)
    new = _new_days(panel, const, obs)
    if not new.sizes[s.TIME]:
        return tree.copy()
    order = s.canonical_order(obs[s.ASSET])
    rows = np.ascontiguousarray(new[s.RETURNS].transpose(s.ASSET, s.TIME).values[order], dtype="float64")
    factors = np.ascontiguousarray(new[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values, dtype="float64")
    weights = np.zeros((0, len(order)))
    if s.FACTOR_WEIGHTS in const:
        if s.FACTOR_WEIGHTS not in new:
            msg = "the tree's factors are made of its own assets: give a panel with factor_weights."
            raise PanelError(msg)
        last = new[s.FACTOR_WEIGHTS].isel({s.TIME: -1}, drop=True)
        const = const.assign({s.FACTOR_WEIGHTS: last})
        weights = np.ascontiguousarray(last.transpose(s.FACTOR, s.ASSET).values[:, order])
    opened = opened_rows(new, const)
    law = law_of(tree).advance(rows, factors, weights, opened)
    found = law.integrated_rows()
    density = found.log_density.reshape(post.sizes[s.CHAIN], post.sizes[s.DRAW], -1)
    seen = tree[s.LOG_LIKELIHOOD].to_dataset()
    more = seen.isel({s.TIME: slice(0, 0)}).reindex({s.TIME: new[s.TIME].values})
    more = more.assign({s.RETURNS: ((s.CHAIN, s.DRAW, s.TIME), density)})
    out = tree.copy()
    for child in (s.PREDICTIONS, s.STATE):
        if child in out.children:
            del out[child]
    out[s.LOG_LIKELIHOOD] = xr.DataTree(_joined(seen, more))
    out[s.OBSERVED_DATA] = xr.DataTree(_joined(obs, new[[s.RETURNS]]))
    dated = new[[s.FACTOR_RETURNS]]
    if s.FACTOR_OPEN in const:
        dated = dated.assign({s.FACTOR_OPEN: ((s.TIME, s.FACTOR), opened.T)})
    out[s.CONSTANT_DATA] = xr.DataTree(_joined(const, dated))
    if s.TIME in post.dims:
        # What was drawn day by day is not known of days the fit had not.
        out[s.POSTERIOR] = xr.DataTree(post.reindex({s.TIME: out[s.OBSERVED_DATA][s.TIME].values}))
    keep_state(out, law)
    seen_now = xr.merge(
        [out[s.OBSERVED_DATA].to_dataset(), out[s.CONSTANT_DATA].to_dataset()], compat="override"
    )
    out.attrs = tree.attrs | {
        **panel_digests(seen_now),
        **s.label_digests(seen_now),
        "fitted_to": tree.attrs.get("fitted_to", str(pd.Timestamp(obs[s.TIME].values[-1]))),
        "updated_to": str(pd.Timestamp(new[s.TIME].values[-1])),
    }
    return out


def _matched(panel: xr.Dataset, const: xr.Dataset, obs: xr.Dataset) -> xr.Dataset:
    """Return the panel with the tree's assets and factors, in its order."""
    assets = places(panel, s.ASSET, obs[s.ASSET].values, others=False)
    factors = places(panel, s.FACTOR, const[s.FACTOR].values, others=True)
    panel = panel.isel({s.ASSET: assets, s.FACTOR: factors})
    for mine, coord, dim in ((obs, s.GROUP, s.ASSET), (const, s.FAMILY, s.FACTOR)):
        there = coord in mine.coords
        other = mine[coord].values != panel[coord].values if there else np.zeros(panel.sizes[dim], dtype=bool)
        if other.any():
            name, old, new = (
                x[other][0] for x in (mine[dim].values, mine[coord].values, panel[coord].values)
            )
            msg = (
                f"update leaves the {coord} of each {dim} as the fit had it; {name!r} was {old!r}, the panel "
                f"says {new!r} ({int(other.sum())} differ). Give the panel the same {coord}s, or fit again."
            )
            raise PanelError(msg)
    return panel


def _check_kind(panel: xr.Dataset, obs: xr.Dataset) -> None:
    """Raise unless the panel holds the same kind of returns over periods of the same length."""
    kind, known = panel.attrs["returns_kind"], obs.attrs.get("returns_kind", panel.attrs["returns_kind"])
    if kind != known:
        msg = f"the fit saw {known} returns, the panel holds {kind} ones. Make it with kind={known!r}."
        raise PanelError(msg)
    year, then = year_in(panel), float(obs.attrs.get("periods_per_year", year_in(panel)))
    if not same_year(year, then):
        msg = (
            f"the fit saw one row each {step_of(then).name} ({then:g} a year), the panel has one "
            f"each {step_of(year).name} ({year:g}). Give a panel with the same step."
        )
        raise PanelError(msg)


def _check_size(new: xr.Dataset, const: xr.Dataset, obs: xr.Dataset) -> None:
    """Raise if new values look like those of the fit in another unit: market moves are not a hundredfold."""
    for mine, name in ((obs, s.RETURNS), (const, s.FACTOR_RETURNS)):
        old, now = (np.abs(x[name].values[np.isfinite(x[name].values)]) for x in (mine, new))
        if not old.size or not now.size or not np.median(old) > 0.0:
            continue
        ratio = float(np.median(now) / np.median(old))
        if ratio > LARGE and new.sizes[s.TIME] >= ENOUGH:
            msg = (
                f"{name} are in the unit of the fit; the new ones are typically {ratio:.3g} times as "
                "large, which looks like per cent. Divide by 100."
            )
            raise PanelError(msg)


def _new_days(panel: xr.Dataset, const: xr.Dataset, obs: xr.Dataset) -> xr.Dataset:
    """Return the days after the tree's last, once those before it are known to be the same."""
    seen, stamps = obs.indexes[s.TIME], panel.indexes[s.TIME]
    both = seen.intersection(stamps)
    for mine, name in ((obs, s.RETURNS), (const, s.FACTOR_RETURNS)):
        a, b = (x[name].sel({s.TIME: both}).transpose(s.TIME, ...).values for x in (mine, panel))
        differs = ~((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
        if differs.any():
            msg = (
                f"what the fit has seen is as it saw it; {name} differ in "
                f"{count_periods(int(differs.sum()), year_in(panel))}, the first "
                f"{stamp_text(both[differs][0])}. Give the panel it was fitted to, grown, or fit again."
            )
            raise PanelError(msg)
    new = stamps[stamps > seen[-1]]
    if len(new) and len(seen) > 1:
        together = pd.DatetimeIndex([*seen, *new])
        calendar = calendar_of(together, "update", year_in(panel))
        if len(calendar.stamps) > len(together):
            msg = (
                f"the first new {calendar.step.name} follows the last one seen ({seen[-1]}); got {new[0]}. "
                "Give a panel without the gap: an absent stamp is a row of NaN."
            )
            raise PanelError(msg)
    found = panel.sel({s.TIME: new})
    _check_size(found, const, obs)
    return found


def _joined(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Return the old data with its rows in time followed by the new ones."""
    dated = [v for v in old.data_vars if s.TIME in old[v].dims]
    how: dict[str, Any] = {"join": "exact", "coords": "minimal", "compat": "override"}
    grown = {v: xr.concat([old[v], new[v]], s.TIME, **how) for v in dated}
    return old.drop_dims(s.TIME).assign(grown).assign_attrs(old.attrs)
