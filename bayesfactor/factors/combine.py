"""Factors side by side: joined on their days, checked for collinearity, made orthogonal and back."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PanelError, unknown_names, warn
from bayesfactor.panel import check_panel, open_factors
from bayesfactor.panel.calendar import calendar_of
from bayesfactor.periods import between, stamp_text

__all__ = ["check_collinearity", "merge_factors", "orthogonalise", "restore_factors"]

MAP: Final = "orthogonal_map"
_HIGH_VIF: Final = 10.0
_HIGH_CONDITION: Final = 30.0
_ROUNDING: Final = 1e-6


@verb
def merge_factors(*factors: xr.Dataset) -> xr.Dataset:
    """Put sets of factors side by side, on the days that all of them have.

    Parameters
    ----------
    *factors : Dataset
        From `bf.build_factors` or `bf.driver_innovations`, in the order wanted.

    Returns
    -------
    Dataset
        `factor_returns` (time, factor) with coord `family`, and `factor_weights` where one has them (zero
        for the factors that are no portfolios).

    Raises
    ------
    PanelError
        If a name occurs twice, or no day is common.
    """
    for each in factors:
        _check(each)
    names = [str(n) for f in factors for n in f[s.FACTOR].values]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or not names:
        got = f"more than once: {', '.join(twice)}" if twice else "got none at all"
        msg = f"merge_factors: each factor is given once; {got}."
        raise PanelError(msg)
    parts = []
    says_open = any(s.FACTOR_OPEN in f for f in factors)
    with_weights = [f for f in factors if s.FACTOR_WEIGHTS in f]
    assets = with_weights[0][s.ASSET] if with_weights else None
    for each in factors:
        if assets is not None and s.FACTOR_WEIGHTS not in each:
            shape = (each.sizes[s.TIME], each.sizes[s.FACTOR], len(assets))
            each = each.assign({s.FACTOR_WEIGHTS: ((s.TIME, s.FACTOR, s.ASSET), np.zeros(shape))})
            each = each.assign_coords({s.ASSET: assets})
        if says_open and s.FACTOR_OPEN not in each:
            each = each.assign({s.FACTOR_OPEN: ((s.TIME, s.FACTOR), open_factors(each).T)})
        if s.ROTATES not in each.coords:
            each = each.assign_coords({s.ROTATES: (s.FACTOR, np.zeros(each.sizes[s.FACTOR], dtype=bool))})
        parts.append(each)
    common = parts[0].indexes[s.TIME]
    for each in parts[1:]:
        common = common.intersection(each.indexes[s.TIME])
    if common.empty:
        spans = "; ".join(
            f"{stamp_text(p.indexes[s.TIME][0])} to {stamp_text(p.indexes[s.TIME][-1])}" for p in parts
        )
        msg = f"merge_factors: the sets share stamps; they run {spans}, and none is common. Widen them."
        raise PanelError(msg)
    merged = xr.concat(
        [p.sel({s.TIME: common}) for p in parts],
        dim=s.FACTOR,
        join="outer",
        fill_value=0.0,
        combine_attrs="drop",
    )
    attrs = {k: v for f in reversed(factors) for k, v in f.attrs.items()}
    return merged.transpose(s.TIME, s.FACTOR, ...).assign_attrs(attrs)


@verb
def check_collinearity(factors: xr.Dataset) -> xr.Dataset:
    """Say how far the factors can be told apart.

    Parameters
    ----------
    factors : Dataset
        With `factor_returns` (time, factor); a panel is one. Rows with NaN are left out.

    Returns
    -------
    Dataset
        `vif` (factor), the variance inflation of each loading, and `correlation` (factor, factor_other);
        attrs `condition_number` (of the correlation matrix's square root) and `n_rows`.

    Warns
    -----
    UserWarning
        If a VIF is above 10 or the condition number above 30: then single loadings have little meaning.

    References
    ----------
    .. [1] Belsley, D. A., Kuh, E. and Welsch, R. E. (1980). Regression Diagnostics, ch. 3.
    """
    _check(factors)
    values = factors[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values
    rows = values[np.isfinite(values).all(axis=1)]
    names = factors[s.FACTOR].values.astype(str)
    if len(rows) <= len(names) + 1:
        msg = (
            f"collinearity needs more rows than factors; got {len(rows)} whole rows for {len(names)}. Widen."
        )
        raise PanelError(msg)
    sd = rows.std(axis=0)
    if (sd == 0).any():
        msg = f"factors vary; constant: {', '.join(names[sd == 0])}. Drop them."
        raise PanelError(msg)
    z = (rows - rows.mean(axis=0)) / sd
    singular = np.linalg.svd(z, compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
    correlation = z.T @ z / len(z)
    vif = np.array([_vif(z, j) for j in range(len(names))])
    found = xr.Dataset(
        {"vif": (s.FACTOR, vif), "correlation": ((s.FACTOR, s.FACTOR_OTHER), correlation)},
        coords={s.FACTOR: names, s.FACTOR_OTHER: names},
        attrs={"condition_number": condition, "n_rows": len(rows)},
    )
    high = names[vif > _HIGH_VIF]
    if len(high) or condition > _HIGH_CONDITION:
        worst = ", ".join(f"{n} {v:.0f}" for n, v in zip(high, vif[vif > _HIGH_VIF], strict=True))
        warn(
            f"factors are collinear (condition number {condition:.0f}; VIF: {worst or 'none above 10'}): "
            "their loadings are not separately meaningful. Drop some, or use bf.orthogonalise.",
        )
    return found


def _vif(z: np.ndarray, j: int) -> float:
    others = np.delete(z, j, axis=1)
    left = z[:, j] - others @ np.linalg.lstsq(others, z[:, j], rcond=None)[0]
    share = float(left @ left / (z[:, j] @ z[:, j]))
    return 1.0 / share if share > 0.0 else np.inf


@verb
def orthogonalise(
    factors: xr.Dataset, *, order: Sequence[str] | None = None, until: object = None
) -> xr.Dataset:
    """Make each family orthogonal to those before it, so that risk by family can be read alone.

    A factor keeps what the families before it do not explain: f_k - sum_j c_kj f_j, with c by least squares
    on a constant and those families. Factors of one family stay as they are to each other.

    Parameters
    ----------
    factors : Dataset
        With `factor_returns` (time, factor) and coord `family`.
    order : sequence of str, optional
        Families, first first; their order of appearance by default.
    until : date-like, optional
        Coefficients are estimated on the rows up to here; on all by default, which is a change of
        coordinates within the sample and no forecast. For point-in-time factors, say until when.

    Returns
    -------
    Dataset
        The same with `factor_returns` (and `factor_weights`, where there are) mapped, and
        `orthogonal_map` (factor, factor_other): mapped = map @ original. `bf.restore_factors` undoes it.

    Raises
    ------
    PanelError
        If `order` misses or exceeds the families, or rows are too few.
    """
    _check(factors)
    factors = _with_open(factors)
    families = factors[s.FAMILY].values.astype(str)
    found = list(dict.fromkeys(families))
    order = found if order is None else [str(o) for o in order]
    if sorted(order) != sorted(found):
        strangers = [o for o in order if o not in found]
        got = unknown_names(strangers, found) if strangers else ", ".join(order)
        msg = f"order= names each family once: {', '.join(found)}; got {got}."
        raise PanelError(msg)
    table = factors[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR)
    upto = between(table.indexes[s.TIME], None, until, names=("start", "until"))
    known = table.isel({s.TIME: np.flatnonzero(upto)})
    whole = np.isfinite(known.values).all(axis=1)
    rows, opened = known.values[whole], open_factors(factors).T[upto][whole]
    if len(rows) <= len(families) + 1:
        msg = f"orthogonalise needs more whole rows than factors; got {len(rows)} for {len(families)}. Widen."
        raise PanelError(msg)
    names = factors[s.FACTOR].values.astype(str)
    turn = np.eye(len(names))
    centred = rows - rows.mean(axis=0)
    before = np.zeros(len(names), dtype=bool)
    for family in order:
        own = families == family
        if before.any():
            turn[np.ix_(own, before)] = -_slopes(centred, own, before, opened)
        before |= own
        left = (centred @ turn[own].T).std(axis=0)
        gone = names[own][left <= _ROUNDING * centred[:, own].std(axis=0)]
        if len(gone):
            names_gone = ", ".join(gone)
            msg = (
                f"a factor has something of its own; {names_gone} is made of the families before it. Drop it."
            )
            raise PanelError(msg)
    return (
        _mapped(factors, turn)
        .assign({MAP: ((s.FACTOR, s.FACTOR_OTHER), turn)})
        .assign_coords({s.FACTOR_OTHER: names})
    )


def _slopes(centred: np.ndarray, own: np.ndarray, before: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Return slopes of factors on those before them (own, before), on days on which they are open."""
    if opened[:, own].all():
        return np.asarray(np.linalg.lstsq(centred[:, before], centred[:, own], rcond=None)[0].T)
    out = np.empty((own.sum(), before.sum()))
    for j, k in enumerate(np.flatnonzero(own)):
        rows = centred[opened[:, k]]
        rows = rows - rows.mean(axis=0)
        out[j] = np.linalg.lstsq(rows[:, before], rows[:, k], rcond=None)[0]
    return out


def _with_open(factors: xr.Dataset) -> xr.Dataset:
    """Return factors that say on which days they are open, if one of them is not on all."""
    opened = open_factors(factors)
    if s.FACTOR_OPEN in factors or opened.all():
        return factors
    return factors.assign({s.FACTOR_OPEN: ((s.TIME, s.FACTOR), opened.T)})


@verb
def restore_factors(factors: xr.Dataset) -> xr.Dataset:
    """Undo `bf.orthogonalise`, but for days on which a factor missed one that it was turned against.

    Raises
    ------
    PanelError
        If the factors carry no `orthogonal_map`.
    """
    _check(factors)
    if MAP not in factors:
        msg = f"restore_factors undoes bf.orthogonalise, which leaves {MAP!r}; these factors have none."
        raise PanelError(msg)
    turn = factors[MAP].transpose(s.FACTOR, s.FACTOR_OTHER)
    if turn[s.FACTOR].values.tolist() != turn[s.FACTOR_OTHER].values.tolist():
        all_of, got = (", ".join(turn[d].values.astype(str)) for d in (s.FACTOR_OTHER, s.FACTOR))
        msg = f"restore_factors needs all that were turned, {all_of}; got {got}. Select after restoring."
        raise PanelError(msg)
    return _mapped(factors.drop_vars([MAP, s.FACTOR_OTHER]), turn.values, back=True)


def _inverse(turn: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(turn)
    # What is not mixed comes back untouched: rounding must not make it a mixture.
    back[np.abs(back) < _ROUNDING**2] = 0.0
    return back


def _mapped(factors: xr.Dataset, turn: np.ndarray, *, back: bool = False) -> xr.Dataset:
    """Return the factors, and the weights of their portfolios, under f -> turn f, or `back`.

    On each day the map is that of the factors that are open: the others stay at 0. What has a part that is no
    portfolio is none itself; what has a part that rotates, rotates.
    """
    out, whole, given = factors.copy(), np.ones(len(turn), dtype=bool), turn
    turn = _inverse(given) if back else given
    opened = open_factors(factors) if s.FACTOR_OPEN in factors else None
    if s.FACTOR_WEIGHTS in factors:
        portfolio = (factors[s.FACTOR_WEIGHTS].fillna(1.0) != 0.0).any([s.TIME, s.ASSET]).values
        whole = np.array([portfolio[np.flatnonzero(row)].all() for row in turn])
        rotates = (
            factors[s.ROTATES].values if s.ROTATES in factors.coords else np.zeros(len(turn), dtype=bool)
        )
        turns = [rotates[np.flatnonzero(row)].any() for row in turn]
        out = out.assign_coords({s.ROTATES: (s.FACTOR, np.array(turns))})
    for name in {s.FACTOR_RETURNS, s.FACTOR_WEIGHTS} & set(factors.data_vars):
        before = factors[name].transpose(s.TIME, s.FACTOR, ...)
        after = np.empty_like(before.values)
        for j, row in enumerate(turn):
            # Only what a factor is made of: another's missing days are none of its own.
            parts = np.flatnonzero(row)
            after[:, j] = np.einsum("k,tk...->t...", row[parts], before.values[:, parts])
        if name == s.FACTOR_WEIGHTS:
            after[:, ~whole] = 0.0
        elif opened is not None:
            for kind in np.unique(opened, axis=1).T:
                days, some = np.flatnonzero((opened == kind[:, None]).all(axis=0)), np.ix_(kind, kind)
                part = _inverse(given[some]) if back else given[some]
                after[days] = 0.0
                after[np.ix_(days, kind)] = before.values[np.ix_(days, kind)] @ part.T
        out[name] = before.copy(data=after)
    return out


def _check(factors: object) -> None:
    """Refuse what are no factors; a panel is looked at whole."""
    if (
        not isinstance(factors, xr.Dataset)
        or s.FACTOR_RETURNS not in factors
        or s.FAMILY not in factors.coords
    ):
        msg = (
            "factors are a Dataset with factor_returns (time, factor) and the coord family; got "
            f"{type(factors).__name__}. Make them with bf.build_factors or bf.driver_innovations."
        )
        raise PanelError(msg)
    if s.RETURNS in factors:
        check_panel(factors)
        return
    stamps, names = factors.indexes.get(s.TIME), factors[s.FACTOR].values.astype(str)
    if not isinstance(stamps, pd.DatetimeIndex) or not (stamps.is_monotonic_increasing and stamps.is_unique):
        msg = "factors: time is increasing, unique datetimes; these are not. Sort, and keep one row of each."
        raise PanelError(msg)
    calendar_of(stamps, "factors")
    if len(set(names.tolist())) < len(names):
        msg = f"factors: names are unique; got {', '.join(names)}. Rename or drop the copies."
        raise PanelError(msg)
    infinite = np.isinf(factors[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values).any(axis=0)
    if infinite.any():
        msg = f"factors are finite or NaN; infinite: {', '.join(names[infinite])}. Mend or empty those rows."
        raise PanelError(msg)
