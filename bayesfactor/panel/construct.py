"""The two ways in: prices and returns become a panel.

A value at t is known at the end of t, and is made from prices at t-1 and t alone; weights of the
panel's own market are known at t-1, but for the returns that turn out not to exist.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.calls import verb
from bayesfactor.errors import warn
from bayesfactor.panel.calendar import calendar_of, year_of
from bayesfactor.panel.checks import (
    check_arguments,
    check_factor_values,
    check_factors,
    check_prices,
    check_returns,
    check_variation,
)
from bayesfactor.panel.choice import Choice, choice_of
from bayesfactor.panel.contract import check_factor_span, check_span, panel_digests
from bayesfactor.panel.holes import blank_rows, carried, closed_cells, skipped_stamps
from bayesfactor.panel.labels import check_factor_names, families_of, groups_of
from bayesfactor.panel.openings import open_factors
from bayesfactor.panel.tables import FACTORS, PRICES, RETURNS_FORM, coord_labels, opened, to_wide, window
from bayesfactor.panel.twins import refuse_copies, warn_of_twins
from bayesfactor.panel.units import check_unit_of_factors
from bayesfactor.schema import (
    ASSET,
    FACTOR,
    FACTOR_OPEN,
    FACTOR_RETURNS,
    FACTOR_WEIGHTS,
    FAMILY,
    GROUP,
    RETURNS,
    ROTATES,
    SCHEMA_VERSION,
    TIME,
)

__all__ = ["panel_from_prices", "panel_from_returns"]

MARKET = "market"
NOTICED = 0.1
"""Share of the periods that is not given up without a word."""

type Table = pd.DataFrame | pd.Series | xr.DataArray | xr.Dataset | str | Path
type Groups = Mapping[str, str] | pd.Series | pd.DataFrame | xr.DataArray | str | Path


@verb
def panel_from_prices(
    prices: Table,
    *,
    factors: Table | None = None,
    groups: Groups | None = None,
    families: Mapping[str, str] | None = None,
    kind: str = "simple",
    periods_per_year: float | None = None,
    start: object = None,
    end: object = None,
    assets: str | Iterable[str] | None = None,
    drop: str | Iterable[str] | None = None,
) -> xr.Dataset:
    """Make a panel from prices.

    A return at t exists only if prices at t-1 and t exist on the panel's regular calendar, which is
    read off the stamps (hours, days, business days, weeks, months, quarters); absent stamps count as missing.
    A stamp at which nobody has a price is skipped and counted in `attrs["skipped"]`: its row and the next
    have no return, and the factors made of these assets are closed there. Assets are never dropped because a
    younger one exists.

    Parameters
    ----------
    prices : DataFrame, DataArray, Dataset, str or Path, dims (time, asset)
        Prices in any one currency. A wide table (dates in the index or in a column named date, time,
        timestamp or datetime; one column per asset), a long one (date, asset or coin, symbol,
        ticker; price or close), an xarray object, or a CSV or Parquet file of such a table.
        Unsorted rows are sorted; stamps with a time zone are turned into naive UTC.
    factors : table or None, dims (time, factor)
        Fractions per period for traded factors, standardised innovations for drivers. They are cut to
        the panel's calendar; edges that lack a factor are trimmed. What `bf.build_factors` returns, or a
        netCDF file of it, brings families and weights along. None forms the
        equal-weight `market` of the assets that had a price at t-1 and have a return at t.
    groups : dict, Series, DataFrame, DataArray, path or None, dims (asset)
        Group of each asset; more assets than the panel has are welcome. None takes the coord `group` of
        an xarray input, else one group `all`.
    families : dict or None, dims (factor)
        Family of each factor. Default: the coord `family` of an xarray input, else `market` for a
        factor named market or mkt, else `other`.
    kind : {"simple", "log"}
        Kind of returns to form.
    periods_per_year : float or None
        Periods in a year, for annualisation. None takes them from the calendar: 8760 of hours, 365 of days,
        252 of business days, 52 of weeks, 12 of months. Another number within 1 % of that is taken too
        (365.25), of business days one from 250 to 262; anything else contradicts the stamps and is refused.
    start, end : date-like or None
        First and last moment of the prices used, both inclusive; applied before anything else. A date is its
        whole day, "2024-02" the whole month, a stamp with a time of day that moment.
    assets : str or list of str, optional
        The assets to keep, in this order; all by default.
    drop : str or list of str, optional
        Assets to leave out. "dead" among them stands for all that have no return in the window: without it
        such an asset is refused by name.

    Returns
    -------
    Dataset
        `returns` (time, asset) and `factor_returns` (time, factor), fractions per period; coords `group`
        (asset) and `family` (factor); with factors=None also `factor_weights` (time, factor, asset).

    Raises
    ------
    PanelError
        If the table, its dates, its values, the groups or the factors break a rule; the message
        names assets and dates, and the remedy.
    MissingFileError
        If a path names no file.

    Examples
    --------
    >>> import pandas as pd
    >>> import bayesfactor as bf
    >>> days = pd.date_range("2024-01-01", periods=5)
    >>> prices = pd.DataFrame({"BTC": [10, 11, 10, 12, 11], "ETH": [5, 5, 6, 5, 7]}, index=days)
    >>> bf.panel_from_prices(prices).returns.sizes
    Frozen({'time': 4, 'asset': 2})
    """
    check_arguments(kind, periods_per_year)
    choice = choice_of(assets, drop)
    wide = choice.of(window(to_wide(prices, PRICES), start, end, PRICES.what), "assets")
    check_prices(wide)
    calendar = calendar_of(pd.DatetimeIndex(wide.index), PRICES.what, periods_per_year)
    year = year_of(calendar, periods_per_year)
    wide = wide.reindex(calendar.stamps)
    returns = returns_of(wide, kind)
    check_returns(returns, kind, PRICES.what, year)
    own = None
    factors = opened(factors)
    if factors is None:
        own = equal_weights(returns)
        table = market_return(returns, own)
    else:
        table = to_wide(factors, FACTORS)
    kept, table, closed, notes = _align(returns, table, choice)
    notes |= skipped_stamps(wide, kept.index, "price")
    dataset = _assemble(kept, table, (prices, factors), groups, families, kind, year, notes)
    if own is not None:
        weights = own.loc[kept.index, kept.columns].to_numpy()[:, None, :]
        dataset[FACTOR_WEIGHTS] = ((TIME, FACTOR, ASSET), carried(weights, blank_rows(kept)))
    elif isinstance(factors, xr.Dataset):
        dataset = _with_weights(dataset, factors)
    dataset = _with_open(dataset, factors, closed)
    refuse_copies(dataset)
    check_span(dataset)
    warn_of_twins(dataset)
    return dataset


@verb
def panel_from_returns(
    returns: Table,
    *,
    factors: Table | None = None,
    groups: Groups | None = None,
    families: Mapping[str, str] | None = None,
    kind: str = "simple",
    periods_per_year: float | None = None,
    start: object = None,
    end: object = None,
    assets: str | Iterable[str] | None = None,
    drop: str | Iterable[str] | None = None,
) -> xr.Dataset:
    """Make a panel from returns.

    Parameters
    ----------
    returns : DataFrame, DataArray, Dataset, str or Path, dims (time, asset)
        Fractions per period (0.01 is one per cent), NaN where there is none, in the same forms as
        the prices of `panel_from_prices`; the value column of a long table is named return, returns
        or value.
    factors : table or None, dims (time, factor)
        As in `panel_from_prices`; None means that no factor is observed (a dim of size 0).
    groups, families, periods_per_year
        As in `panel_from_prices`.
    kind : {"simple", "log"}
        Kind of the returns given.
    start, end : date-like or None
        First and last moment of the returns used, as in `panel_from_prices`.
    assets, drop : str or list of str, optional
        As in `panel_from_prices`.

    Returns
    -------
    Dataset
        As `panel_from_prices`, without `factor_weights`.

    Raises
    ------
    PanelError
        As `panel_from_prices`; also for returns that look like per cent and for simple returns
        of -1 or less.
    MissingFileError
        If a path names no file.
    """
    check_arguments(kind, periods_per_year)
    choice = choice_of(assets, drop)
    wide = choice.of(window(to_wide(returns, RETURNS_FORM), start, end, RETURNS_FORM.what), "assets")
    calendar = calendar_of(pd.DatetimeIndex(wide.index), RETURNS_FORM.what, periods_per_year)
    year = year_of(calendar, periods_per_year)
    wide = wide.reindex(calendar.stamps)
    check_returns(wide, kind, RETURNS_FORM.what, year)
    factors = opened(factors)
    table = pd.DataFrame(index=wide.index) if factors is None else to_wide(factors, FACTORS)
    kept, table, closed, notes = _align(wide, table, choice)
    notes |= skipped_stamps(kept, kept.index, "return")
    dataset = _assemble(kept, table, (returns, factors), groups, families, kind, year, notes)
    if isinstance(factors, xr.Dataset):
        dataset = _with_weights(dataset, factors)
    dataset = _with_open(dataset, factors, closed)
    refuse_copies(dataset)
    check_span(dataset)
    warn_of_twins(dataset)
    return dataset


def _with_weights(panel: xr.Dataset, factors: xr.Dataset) -> xr.Dataset:
    """Carry the weights of factors that are slow portfolios of the panel's own assets.

    They must be what their portfolios return in every scenario. Coins of a factor that rotates have
    loadings on it that are averages over sides: its last portfolio says nothing about them.
    """
    if not {FACTOR_WEIGHTS, ROTATES} <= set(factors.variables) or not panel.sizes[FACTOR]:
        return panel
    weights = factors[FACTOR_WEIGHTS].transpose(TIME, FACTOR, ASSET).reindex({TIME: panel[TIME]})
    held = (weights.fillna(0.0) != 0.0).any(TIME)
    strangers = ~np.isin(factors[ASSET].values.astype(str), panel[ASSET].values)
    blank = panel[RETURNS].isnull().all(ASSET).values
    weights = weights.copy(data=carried(weights.values, blank))
    outside = held.values[:, strangers].any(axis=1) | weights.isnull().any([TIME, ASSET]).values
    own = held.values.any(axis=1) & ~factors[ROTATES].values & ~outside
    if not own.any():
        return panel
    kept = weights.reindex({ASSET: panel[ASSET]}, fill_value=0.0).values
    kept = np.where(own[None, :, None], kept, 0.0)
    return panel.assign({FACTOR_WEIGHTS: ((TIME, FACTOR, ASSET), kept)})


def _with_open(panel: xr.Dataset, factors: object, closed: pd.DataFrame) -> xr.Dataset:
    """Say when each factor could move: as the factors say, and not where nothing that it is made of did."""
    if not panel.sizes[FACTOR]:
        return panel
    if isinstance(factors, xr.Dataset) and FACTOR_OPEN in factors:
        told = factors[FACTOR_OPEN].transpose(TIME, FACTOR)
        opened = told.reindex({TIME: panel[TIME]}, fill_value=True).values
    elif closed.any(axis=None):
        opened = open_factors(panel).T
    else:
        return panel
    return panel.assign({FACTOR_OPEN: ((TIME, FACTOR), opened.astype(bool) & ~closed.to_numpy())})


def returns_of(prices: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return what each pair of consecutive prices earned; the first row has no return and goes."""
    values = prices.to_numpy()
    # a ratio beyond the floats is refused by name right after
    with np.errstate(over="ignore", divide="ignore"):
        ratio = values[1:] / values[:-1]
        earned = ratio - 1.0 if kind == "simple" else np.log(ratio)
    return pd.DataFrame(earned, index=prices.index[1:], columns=prices.columns)


def equal_weights(returns: pd.DataFrame) -> pd.DataFrame:
    """Return 1/n over the assets whose return exists, 0 for the others."""
    there = returns.notna()
    count = there.sum(axis=1)
    return there.div(count.where(count > 0, 1), axis=0)


def market_return(returns: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """Return the weighted sum of each row, NaN for a row without any return.

    The sum is rounded once, so it does not depend on the order of the assets.
    """
    products = np.where(returns.isna(), 0.0, returns * weights)
    total = np.array([math.fsum(row) for row in products.tolist()])
    total[returns.isna().all(axis=1).to_numpy()] = np.nan
    return pd.DataFrame({MARKET: total}, index=returns.index)


def _align(
    returns: pd.DataFrame, factors: pd.DataFrame, choice: Choice
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, str | int]]:
    """Bring factors to the panel's calendar and trim the edges that lack one; say what went."""
    first, last = 0, len(returns)
    if factors.shape[1]:
        check_factor_names([str(c) for c in factors.columns])
        check_factors(factors, returns)
        factors = factors.reindex(returns.index)
        whole = np.flatnonzero(factors.notna().all(axis=1).to_numpy())
        if len(whole):
            first, last = int(whole[0]), int(whole[-1]) + 1
        _warn_of_trimming(factors, first, last)
    note = f"{first} rows at the start, {len(returns) - last} at the end lack a factor"
    factors, returns = factors.iloc[first:last], returns.iloc[first:last]
    returns, gone = choice.living(returns)
    check_variation(returns)
    closed = closed_cells(factors, returns)
    check_factor_values(factors[~closed.any(axis=1)])
    check_factor_span(factors[~closed.any(axis=1)])
    notes: dict[str, str | int] = {"trimmed": note}
    if choice.drop or gone:
        notes["dropped"] = ", ".join((*choice.drop, *gone))
    return returns, factors.mask(closed, 0.0), closed, notes


def _warn_of_trimming(factors: pd.DataFrame, first: int, last: int) -> None:
    """Say which factor is much shorter than the others: those that all begin late were meant to."""
    known = int(factors.notna().any(axis=1).sum())
    lost = known - (last - first)
    if lost > NOTICED * known and last > first:
        there = factors.notna().sum()
        warn(
            f"{lost} of {known} periods with factors go, for {there.idxmin()!r} has values in {there.min()}. "
            "Leave that factor out, or give it a longer history, to keep them.",
        )


def _assemble(
    returns: pd.DataFrame,
    factors: pd.DataFrame,
    sources: tuple[object, object],
    groups: Groups | None,
    families: Mapping[str, str] | None,
    kind: str,
    periods_per_year: float,
    notes: dict[str, str | int],
) -> xr.Dataset:
    """Put labels on the values; nothing is computed any more but the digests."""
    assets, names = [str(c) for c in returns.columns], [str(c) for c in factors.columns]
    group = groups_of(groups, assets, coord_labels(sources[0], ASSET, GROUP))
    family = families_of(families, names, coord_labels(sources[1], FACTOR, FAMILY))
    check_unit_of_factors(factors, family, returns, periods_per_year)
    dataset = xr.Dataset(
        {
            RETURNS: ((TIME, ASSET), np.array(returns, dtype="float64", order="C")),
            FACTOR_RETURNS: ((TIME, FACTOR), np.array(factors, dtype="float64", order="C")),
        },
        coords={
            TIME: returns.index.to_numpy().astype("datetime64[ns]"),
            ASSET: np.array(assets, dtype=np.str_),
            FACTOR: np.array(names, dtype=np.str_),
            GROUP: (ASSET, np.array(group, dtype=np.str_)),
            FAMILY: (FACTOR, np.array(family, dtype=np.str_)),
        },
    )
    digests = panel_digests(dataset)
    return dataset.assign_attrs(
        {
            "periods_per_year": periods_per_year,
            "returns_kind": kind,
            "schema_version": SCHEMA_VERSION,
            **digests,
            **notes,
        }
    )
