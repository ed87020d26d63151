"""Days a posterior need not have seen: the density of the rows of a panel under the draws of a fit."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import PanelError, unknown_names
from bayesfactor.laws import Law, law_of
from bayesfactor.laws.whole import whole_fit
from bayesfactor.periods import stamp_text

__all__ = ["keep_state", "opened_rows", "own_rows", "places", "row_log_likelihood"]


def row_log_likelihood(tree: xr.DataTree, panel: xr.Dataset, *, given: str | None = None) -> xr.DataArray:
    """Return the log density of each row of a panel under every posterior draw of a tree.

    Rows are taken one by one, so they may be any selection of days, in any order; but rows given the past
    start with the days of the fit, all of them, and go on from there.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    panel : Dataset
        `returns (time, asset)` and `factor_returns (time, factor)` in original units: the assets of
        the tree and at least its factors, in any order. A tree without observed factors reads none.
    given : {"nothing"}, optional
        "nothing" integrates observed factors over their own law; the tree's own footing where not given.

    Returns
    -------
    DataArray (chain, draw, time)
        Log density of each row given a draw, nats, 0 for a row without a return. attrs as those of
        `log_likelihood` in the tree: `given` says what else rows are conditional on, `integration_error`
        is the standard error of their sum. On the panel of the fit it is the tree's own, bit by bit.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    PanelError
        If the panel has other assets, lacks a factor, or, for rows given the past, does not start with the
        days of the fit.
    """
    groups = (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA)
    s.check_tree(tree, *groups, verb="row_log_likelihood", any_days=True)
    tree = whole_fit(tree)
    post, const, obs = (tree[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
    # The law takes draws and data by position, so the panel comes into the tree's order.
    assets = places(panel, s.ASSET, obs[s.ASSET].values, others=False)
    factors = places(panel, s.FACTOR, const[s.FACTOR].values, others=True)
    rows = panel.isel({s.ASSET: assets, s.FACTOR: factors})
    # What was drawn day by day (no density of a row rests on it) is not known of days the fit had not.
    if s.TIME in post.dims:
        post = post.reindex({s.TIME: rows[s.TIME].values})
    given_factors: dict[str, Any] = {s.FACTOR_RETURNS: rows[s.FACTOR_RETURNS]}
    if s.FACTOR_OPEN in const:
        given_factors[s.FACTOR_OPEN] = ((s.TIME, s.FACTOR), opened_rows(rows, const).T)
    unseen = xr.DataTree.from_dict(
        {
            s.POSTERIOR: post,
            s.CONSTANT_DATA: const.drop_dims(s.TIME).assign(given_factors),
            s.OBSERVED_DATA: obs.drop_dims(s.TIME).assign({s.RETURNS: rows[s.RETURNS]}),
        }
    )
    unseen.attrs = tree.attrs | s.label_digests(rows)
    law = law_of(unseen)
    if law.given == "past":
        _check_start(rows[s.TIME].values, obs[s.TIME].values)
    return own_rows(unseen, law, alone=given == "nothing")


def opened_rows(panel: xr.Dataset, constant: xr.Dataset) -> np.ndarray:
    """Return on which rows of a panel the factors of a tree could move (factor, time).

    A panel that does not say has zeros where a factor that closed at times in the tree is closed.
    """
    if s.FACTOR_OPEN in panel:
        return np.ascontiguousarray(panel[s.FACTOR_OPEN].transpose(s.FACTOR, s.TIME).values, dtype=bool)
    moves = panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values != 0.0
    if s.FACTOR_OPEN not in constant:
        return np.ones_like(moves)
    return moves | constant[s.FACTOR_OPEN].transpose(s.FACTOR, s.TIME).values.all(axis=1)[:, None]


def own_rows(tree: xr.DataTree, law: Law | None = None, *, alone: bool = False) -> xr.DataArray:
    """Return the log density of a tree's own rows, (chain, draw, time); `alone`, given nothing."""
    law, post = law or law_of(tree), tree[s.POSTERIOR]
    found = law.marginal_row_log_likelihood() if alone else law.integrated_rows()
    values = found.log_density.reshape(post.sizes[s.CHAIN], post.sizes[s.DRAW], -1)
    coords = {d: post[d].values for d in (s.CHAIN, s.DRAW)} | {s.TIME: tree[s.OBSERVED_DATA][s.TIME].values}
    attrs = {"given": "nothing" if alone else law.given, "integration_error": found.total_error}
    return xr.DataArray(values, coords, list(coords), name=s.RETURNS, attrs=attrs)


def keep_state(tree: xr.DataTree, law: Law | None = None) -> None:
    """Put on a tree where each draw stands after its last day, if that is anywhere in particular."""
    law, post, obs = law or law_of(tree), tree[s.POSTERIOR], tree[s.OBSERVED_DATA].to_dataset()
    order = s.canonical_order(obs[s.ASSET])
    found = {}
    for name, (dim, values) in law.state_variables().items():
        values = np.take(values, np.argsort(order), axis=1) if dim == s.ASSET else values
        shape = (post.sizes[s.CHAIN], post.sizes[s.DRAW], -1)
        found[name] = ((s.CHAIN, s.DRAW, dim), values.reshape(shape).copy())
    if found:
        coords = {d: post[d].values for d in (s.CHAIN, s.DRAW, s.ASSET, s.FACTOR)}
        attrs = {"after": str(pd.Timestamp(obs[s.TIME].values[-1]))}
        tree[s.STATE] = xr.DataTree(xr.Dataset(found, coords, attrs))


def _check_start(days: np.ndarray, fitted: np.ndarray) -> None:
    """Raise unless days start with those of the fit and rise from there."""
    if not np.array_equal(days[: len(fitted)], fitted) or not (days[1:] > days[:-1]).all():
        msg = (
            f"rows are given the past, so a panel starts with those of the fit, {_span(fitted)}; "
            f"got {_span(days)}. Give all from the first on."
        )
        raise PanelError(msg)


def _span(days: np.ndarray) -> str:
    """Write how many stamps there are, from when to when."""
    return f"{len(days)} from {stamp_text(days[0])} to {stamp_text(days[-1])}" if len(days) else "none"


def places(panel: xr.Dataset, dim: str, known: np.ndarray, *, others: bool) -> np.ndarray:
    """Return where the panel has the `known` labels; raise if it lacks one, or has `others` unasked."""
    got = panel[dim].values.astype(str)
    missing = np.setdiff1d(known.astype(str), got)
    more = np.array([], dtype=str) if others else np.setdiff1d(got, known.astype(str))
    if len(missing) or len(more):
        parts = (f"missing {', '.join(map(repr, missing[:5].tolist()))}", len(missing))
        strange = (f"unknown to it {unknown_names(more[:5].tolist(), known)}", len(more))
        msg = (
            f"rows have the {dim}s of the fit; {' and '.join(text for text, n in (parts, strange) if n)}. "
            "Give rows of the panel that was fitted, or fit this one."
        )
        raise PanelError(msg)
    return panel.indexes[dim].get_indexer(pd.Index(known))
