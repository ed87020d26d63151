"""The contract later rooms rely on: is this a panel, does a factor explain an asset entirely.

`check_panel` also passes windows of a panel, in which an asset may have no return at all.
"""

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.errors import PanelError
from bayesfactor.panel.calendar import calendar_of, year_of
from bayesfactor.panel.checks import check_arguments, check_returns
from bayesfactor.panel.words import few
from bayesfactor.schema import (
    ASSET,
    FACTOR,
    FACTOR_OPEN,
    FACTOR_RETURNS,
    FACTOR_UNIT,
    FACTOR_WEIGHTS,
    FAMILY,
    GROUP,
    RETURNS,
    RETURNS_UNIT,
    SCHEMA_VERSION,
    TIME,
    canonical_order,
    digest,
)

__all__ = ["check_factor_span", "check_panel", "check_span", "panel_digests"]

REMEDY = "Make it with bf.panel_from_prices or bf.panel_from_returns."
NEEDED = {
    RETURNS: (TIME, ASSET),
    FACTOR_RETURNS: (TIME, FACTOR),
    GROUP: (ASSET,),
    FAMILY: (FACTOR,),
    TIME: (TIME,),
    ASSET: (ASSET,),
    FACTOR: (FACTOR,),
}
_PORTFOLIO = 1e-6
"""How far, of what its parts move, a factor may be from its own portfolio: rounding, and no coin left out."""
ALLOWED = {
    FACTOR_WEIGHTS: (TIME, FACTOR, ASSET),
    FACTOR_OPEN: (TIME, FACTOR),
    RETURNS_UNIT: (),
    FACTOR_UNIT: (FACTOR,),
}


def check_panel(panel: xr.Dataset) -> None:
    """Raise unless `panel` is a well-formed panel.

    Names, dims, labels, attributes, a regular calendar whose year is that of the attributes, and values are
    checked: returns that are fractions and lose less than everything, finite factors. An asset with no
    return at all is allowed: it occurs in backtest windows. Every verb that takes a panel looks at all of it.

    Parameters
    ----------
    panel : Dataset
        With `returns` (time, asset), `factor_returns` (time, factor), the coords `group` (asset) and
        `family` (factor), and the attributes of the schema.

    Raises
    ------
    PanelError
        If anything is missing, misnamed or in the wrong order of dims; the message says what.
    """
    if not isinstance(panel, xr.Dataset):
        msg = f"a panel is an xarray Dataset; got {type(panel).__name__}. {REMEDY}"
        raise PanelError(msg)
    _check_names(panel)
    _check_attributes(panel)
    _check_labels(panel)
    _check_values(panel)


def _check_names(panel: xr.Dataset) -> None:
    missing = [name for name in NEEDED if name not in panel.variables]
    if missing:
        msg = f"a panel holds {', '.join(NEEDED)}; missing: {', '.join(missing)}. {REMEDY}"
        raise PanelError(msg)
    for name, dims in {**NEEDED, **ALLOWED}.items():
        if name in panel.variables and panel[name].dims != dims:
            msg = f"{name} has the dims {dims}; got {panel[name].dims}. Transpose it. {REMEDY}"
            raise PanelError(msg)


def _check_attributes(panel: xr.Dataset) -> None:
    version = panel.attrs.get("schema_version")
    if version != SCHEMA_VERSION:
        msg = f"this version reads panels of schema {SCHEMA_VERSION!r}; got {version!r}. {REMEDY}"
        raise PanelError(msg)
    absent = [a for a in ("returns_kind", "periods_per_year") if a not in panel.attrs]
    if absent:
        msg = f"a panel has returns_kind and periods_per_year in attrs; missing: {few(absent)}. {REMEDY}"
        raise PanelError(msg)
    check_arguments(panel.attrs["returns_kind"], panel.attrs["periods_per_year"])


def _check_labels(panel: xr.Dataset) -> None:
    if panel.sizes[ASSET] == 0 or panel.sizes[TIME] == 0:
        msg = f"a panel has at least one asset and one period; got {dict(panel.sizes)}. {REMEDY}"
        raise PanelError(msg)
    for dim in (ASSET, FACTOR):
        index = panel.indexes[dim]
        if not index.is_unique:
            twice = few(index[index.duplicated()].unique())
            msg = f"labels of {dim} are unique; more than once: {twice}. Rename or drop the copies."
            raise PanelError(msg)
    for name in (ASSET, FACTOR, GROUP, FAMILY):
        values = panel[name].to_numpy()
        if not all(isinstance(v, str) for v in values.tolist()):
            msg = f"labels of {name} are strings; got {few(repr(v) for v in values.tolist())}. {REMEDY}"
            raise PanelError(msg)
    stamps = panel.indexes[TIME]
    if not isinstance(stamps, pd.DatetimeIndex) or not (stamps.is_monotonic_increasing and stamps.is_unique):
        msg = f"time is increasing, unique datetimes; got {stamps.dtype}: {few(stamps[:2])}. Sort. {REMEDY}"
        raise PanelError(msg)
    year = panel.attrs["periods_per_year"]
    calendar = calendar_of(stamps, "panel", year)
    absent = len(calendar.stamps) - len(stamps)
    if absent:
        msg = (
            f"time is a regular calendar; {absent} stamps are absent. "
            "Keep rows without returns as NaN; cut a window with slices only."
        )
        raise PanelError(msg)
    year_of(calendar, year)


def _check_values(panel: xr.Dataset) -> None:
    kind, year = panel.attrs["returns_kind"], panel.attrs["periods_per_year"]
    table = pd.DataFrame(panel[RETURNS].to_numpy(), panel.indexes[TIME], panel[ASSET].to_numpy())
    check_returns(table, kind, RETURNS, year)
    finite = np.isfinite(panel[FACTOR_RETURNS].to_numpy()).all(axis=0)
    if not finite.all():
        names = few(panel[FACTOR].to_numpy()[~finite])
        msg = f"factor_returns are finite in every period; not so: {names}. Cut the window. {REMEDY}"
        raise PanelError(msg)
    if FACTOR_WEIGHTS in panel.variables:
        _check_own_factors(panel)
    if FACTOR_OPEN in panel.variables:
        _check_open(panel)


def _check_own_factors(panel: xr.Dataset) -> None:
    """Raise unless factors with weights are what their portfolios return: without a coin they are not."""
    weights, returns = panel[FACTOR_WEIGHTS].to_numpy(), panel[RETURNS].to_numpy()
    held, known = weights != 0.0, np.isfinite(returns)[:, None, :]
    days = held.any(axis=2) & ~(held & ~known).any(axis=2)  # (time, factor)
    earned = np.where(known & held, weights * np.nan_to_num(returns)[:, None, :], 0.0)
    size = np.abs(earned).sum(axis=2)
    off = np.abs(panel[FACTOR_RETURNS].to_numpy() - earned.sum(axis=2)) > _PORTFOLIO * np.maximum(size, 1e-12)
    bad = (off & days).sum(axis=0) > 0.5 * days.sum(axis=0)
    if bad.any():
        names = few(panel[FACTOR].to_numpy()[bad])
        msg = (
            f"a factor with factor_weights is what its portfolio of the assets returns; not so: {names}. "
            "Where coins were left out, leave out the weights too, panel.drop_vars('factor_weights'): the "
            "factor is then one from outside. Or form the factors again from the coins that are left."
        )
        raise PanelError(msg)


def _check_open(panel: xr.Dataset) -> None:
    """Raise unless closed factors stand still."""
    opened, names = panel[FACTOR_OPEN].to_numpy(), panel[FACTOR].to_numpy()
    if not (opened.dtype == bool or np.isin(opened, (0, 1)).all()):
        msg = f"{FACTOR_OPEN} is True where a factor can move, else False; got {opened.dtype}. {REMEDY}"
        raise PanelError(msg)
    moved = (~opened.astype(bool) & (panel[FACTOR_RETURNS].to_numpy() != 0.0)).any(axis=0)
    if moved.any():
        msg = (
            f"a factor is 0 where {FACTOR_OPEN} is False; not so: {few(names[moved])}. "
            f"Drop {FACTOR_OPEN}, or mend the stamps."
        )
        raise PanelError(msg)


def check_span(panel: xr.Dataset, *, tol: float = 1e-6) -> None:
    """Raise if the factors explain an asset entirely.

    Such an asset (BTC as a coin and as the factor, a one-coin panel with its own market) has no
    specific return, and its sigma would be driven to zero.

    Parameters
    ----------
    panel : Dataset
        A panel. Assets with fewer than factors + 3 returns are not judged.
    tol : float, default 1e-6
        Norm of the residuals of least squares on a constant and the factors, over the asset's own
        rows, relative to the norm of its demeaned returns, below which an asset is refused.

    Raises
    ------
    PanelError
        Naming the assets, with the remedy.
    """
    values = panel[RETURNS].to_numpy()
    factors = panel[FACTOR_RETURNS].to_numpy()
    inside = [
        str(name)
        for name, column in zip(panel[ASSET].to_numpy(), values.T, strict=True)
        if _in_span(column, factors, tol)
    ]
    if inside:
        names = few(map(str, panel[FACTOR].to_numpy())) or "none"
        remedy = "Drop these assets, or the factors that are made of them"
        if panel.sizes[ASSET] == 1:
            remedy = (
                "One coin cannot be its own market: put more coins beside it, or give factors= (--factors) "
                "made of others"
            )
        msg = (
            f"an asset has a return of its own beside the factors; explained entirely by a constant and the "
            f"factors ({names}): {few(inside)}. {remedy}."
        )
        raise PanelError(msg)


def check_factor_span(factors: pd.DataFrame, tol: float = 1e-6) -> None:
    """Raise if a factor is a combination of a constant and the factors before it."""
    values = factors.to_numpy()
    for j in range(1, values.shape[1]):
        if _in_span(values[:, j], values[:, :j], tol):
            msg = (
                f"no factor is a combination of others; {factors.columns[j]!r} is one of a constant and "
                f"{few(factors.columns[:j])}. Drop it."
            )
            raise PanelError(msg)


def _in_span(column: np.ndarray, factors: np.ndarray, tol: float) -> bool:
    rows = ~np.isnan(column)
    if rows.sum() < factors.shape[1] + 3:
        return False
    y = column[rows] - column[rows].mean()
    x = factors[rows] - factors[rows].mean(axis=0)
    norms = np.linalg.norm(x, axis=0)
    x = x / np.where(norms > 0, norms, 1.0)
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return bool(np.linalg.norm(residual) <= tol * np.linalg.norm(y))


def panel_digests(panel: xr.Dataset) -> dict[str, str]:
    """Return fingerprints of what a panel holds now, whatever its attributes say.

    Parameters
    ----------
    panel : Dataset
        A panel, or a window of one (whose attributes still carry the digests of the whole).

    Returns
    -------
    dict
        `returns_digest` and `factors_digest`: of stamps, labels and values, in the order of the labels,
        so that permuting assets or factors changes neither.
    """
    time = panel[TIME].to_numpy()
    found = {}
    for name, dim, key in ((RETURNS, ASSET, "returns_digest"), (FACTOR_RETURNS, FACTOR, "factors_digest")):
        order = canonical_order(panel[dim])
        found[key] = digest(time, panel[dim].to_numpy().astype(str)[order], panel[name].to_numpy()[:, order])
    return found
