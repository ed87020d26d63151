"""`update`: new days through an existing posterior, without fitting again."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import PanelError
from bayesfactor.laws import law_of
from bayesfactor.laws.rows import keep_state, places
from bayesfactor.panel import panel_digests

__all__ = ["update"]


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
        If the panel has other assets, lacks a factor, leaves a gap or contradicts days already seen.
    """
    s.check_tree(tree, s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA, s.LOG_LIKELIHOOD, verb="update")
    post, const, obs = (tree[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
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
    law = law_of(tree).advance(rows, factors, weights)
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
    out[s.CONSTANT_DATA] = xr.DataTree(_joined(const, new[[s.FACTOR_RETURNS]]))
    if s.TIME in post.dims:
        # What was drawn day by day is not known of days the fit had not.
        out[s.POSTERIOR] = xr.DataTree(post.reindex({s.TIME: out[s.OBSERVED_DATA][s.TIME].values}))
    keep_state(out, law)
    whole = xr.merge(
        [out[s.OBSERVED_DATA].to_dataset(), out[s.CONSTANT_DATA].to_dataset()], compat="override"
    )
    out.attrs = tree.attrs | {
        **panel_digests(whole),
        "fitted_to": tree.attrs.get("fitted_to", str(pd.Timestamp(obs[s.TIME].values[-1]))),
        "updated_to": str(pd.Timestamp(new[s.TIME].values[-1])),
    }
    return out


def _matched(panel: xr.Dataset, const: xr.Dataset, obs: xr.Dataset) -> xr.Dataset:
    """Return the panel with the tree's assets and factors, in its order."""
    if not isinstance(panel, xr.Dataset) or s.RETURNS not in panel:
        msg = f"update reads a panel; got {type(panel).__name__}. Make it with bf.panel_from_prices."
        raise PanelError(msg)
    assets = places(panel, s.ASSET, obs[s.ASSET].values, others=False)
    factors = places(panel, s.FACTOR, const[s.FACTOR].values, others=True)
    return panel.isel({s.ASSET: assets, s.FACTOR: factors})


def _new_days(panel: xr.Dataset, const: xr.Dataset, obs: xr.Dataset) -> xr.Dataset:
    """Return the days after the tree's last, once those before it are known to be the same."""
    seen, stamps = obs.indexes[s.TIME], panel.indexes[s.TIME]
    both = seen.intersection(stamps)
    for mine, name in ((obs, s.RETURNS), (const, s.FACTOR_RETURNS)):
        a, b = (x[name].sel({s.TIME: both}).transpose(s.TIME, ...).values for x in (mine, panel))
        differs = ~((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
        if differs.any():
            msg = (
                f"days that the fit has seen are as it saw them; {name} differ on {int(differs.sum())} days, "
                f"the first {both[differs][0].date()}. Give the panel it was fitted to, grown, or fit again."
            )
            raise PanelError(msg)
    new = stamps[stamps > seen[-1]]
    step = seen[-1] - seen[-2] if len(seen) > 1 else None
    if len(new) and step is not None and new[0] - seen[-1] != step:
        msg = (
            f"the first new day follows the last one seen ({seen[-1]}); got {new[0]}. Give a panel without "
            "the gap: an absent day is a row of NaN."
        )
        raise PanelError(msg)
    return panel.sel({s.TIME: new})


def _joined(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Return the old data with its rows in time followed by the new ones."""
    dated = [v for v in old.data_vars if s.TIME in old[v].dims]
    how: dict[str, Any] = {"join": "exact", "coords": "minimal", "compat": "override"}
    grown = {v: xr.concat([old[v], new[v]], s.TIME, **how) for v in dated}
    return old.drop_dims(s.TIME).assign(grown).assign_attrs(old.attrs)
