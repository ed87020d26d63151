"""`build_factors`: prices, capitalisations, volumes and sectors become traded factors."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PanelError, warn
from bayesfactor.factors.catalogue import MARKET, SECTOR, TradedFactor, chosen
from bayesfactor.factors.signals import Market
from bayesfactor.factors.weights import WEIGHTINGS, earned, formation_rows, held, long_short, proportional
from bayesfactor.limits import check_choice, check_count
from bayesfactor.panel.calendar import calendar_of, year_of
from bayesfactor.panel.checks import check_prices, check_returns
from bayesfactor.panel.choice import choice_of
from bayesfactor.panel.construct import Groups, Table, returns_of
from bayesfactor.panel.forms import CAPS, PRICES, VOLUME, Form
from bayesfactor.panel.holes import blank_rows, carried
from bayesfactor.panel.labels import groups_of
from bayesfactor.panel.tables import to_wide, window
from bayesfactor.panel.words import columns_with_dates, few
from bayesfactor.periods import DAYS_PER_YEAR, between

__all__ = ["build_factors"]

_WHOLE = 0.9
_JUMP = 10.0


@verb
def build_factors(
    prices: Table,
    *,
    market_cap: Table | None = None,
    volume: Table | None = None,
    groups: Groups | None = None,
    which: str | Iterable[str] | None = None,
    weighting: str = "tercile",
    rebalance: int = 7,
    min_assets: int = 6,
    start: object = None,
    end: object = None,
    assets: str | Iterable[str] | None = None,
    drop: str | Iterable[str] | None = None,
) -> xr.Dataset:
    """Form traded factors: portfolios of the coins, with weights that were known the period before.

    Parameters
    ----------
    prices : table, dims (time, asset)
        In any form that `bf.panel_from_prices` reads.
    market_cap, volume : table or None, dims (time, asset)
        Market capitalisation, and value traded per period, in any one currency. A coin without one is
        left out of the factors that need it, not of the others. Zero counts as missing.
    groups : dict, Series, DataFrame, DataArray, path or None, dims (asset)
    which : str or list of str, optional
        Names of `bf.list_factors()`. By default all that the given data allow, less those that could not be
        formed at some time after they first were: a fit needs every value. By name they stay, with NaN.
    weighting : {"tercile", "rank"}
        Legs of the long-short factors: equal weights in the outer thirds of the signal, or weights by rank.
    rebalance : int
        Periods between formations of long-short portfolios, or the length of a signal's window where that is
        shorter; the market and sectors are formed each period.
    min_assets : int
        With fewer coins a long-short factor has no value; a sector needs half as many, two at least.
    start, end : date-like or None
        First and last moment of the result, both inclusive and a date its whole day; all earlier data are
        still used.
    assets, drop : str or list of str, optional
        The coins to keep, and those to leave out, as in `bf.panel_from_prices`; "dead" stands for those
        without any return from `start` to `end`.

    Returns
    -------
    Dataset
        `factor_returns` (time, factor), fractions per period, NaN where a factor could not be formed,
        and `factor_weights` (time, factor, asset), the weights that earned them; coords `family` (factor)
        and `rotates` (factor), whether coins change sides. Give it to `bf.panel_from_prices(factors=)`.
        `attrs["too_small"]` names the sectors that have too few coins to be a factor, `attrs["gaps"]` the
        factors left out for their gaps.

    Raises
    ------
    PanelError
        If a table breaks a rule, a factor's data are not given, or a factor never has enough coins.

    Warns
    -----
    UserWarning
        If sectors have too few coins, if capitalisations are lacking, if factors are left out for their gaps,
        or if dead coins are left out.

    Notes
    -----
    Where the sectors' coins are all the coins, the sectors add up to the market; the largest is left
    out then, and `attrs["left_out"]` names it.

    References
    ----------
    .. [1] Liu, Y., Tsyvinski, A. and Wu, X. (2022). Common Risk Factors in Cryptocurrency. J. Finance 77(2).
    .. [2] Frazzini, A. and Pedersen, L. H. (2014). Betting against beta. JFE 111(1).
    """
    _check_options(weighting, rebalance, min_assets)
    given = {
        n for n, v in (("market_cap", market_cap), ("volume", volume), ("groups", groups)) if v is not None
    }
    wanted = chosen(which, given)
    choice = choice_of(assets, drop)
    wide = choice.of(window(to_wide(prices, PRICES), None, end, PRICES.what), "assets")
    check_prices(wide)
    if len(wide) < 2:
        msg = f"factors are made of returns, which need two periods; got {len(wide)}. Give more rows."
        raise PanelError(msg)
    calendar = calendar_of(pd.DatetimeIndex(wide.index), PRICES.what)
    wide = wide.reindex(calendar.stamps)
    returns = returns_of(wide, "simple").reindex(wide.index)
    check_returns(returns, "simple", PRICES.what, year_of(calendar, None))
    shown = between(pd.DatetimeIndex(wide.index), start, None)
    shown[0] = False  # the first stamp has no return, whatever the weights
    if not shown.any():
        msg = f"factors: no return lies at or after start={start!r}; the data run to {wide.index[-1]}. Widen."
        raise PanelError(msg)
    alive, gone = choice.living(returns[shown])
    wide, returns = wide[alive.columns], returns[alive.columns]
    # A stamp at which nobody has a price tells nothing new: portfolios are formed on what was known before.
    wide = pd.DataFrame(carried(wide.to_numpy(), blank_rows(wide)), wide.index, wide.columns)
    caps, traded = (_beside(t, f, wide) for t, f in ((market_cap, CAPS), (volume, VOLUME)))

    values = returns.to_numpy()
    stamps = pd.DatetimeIndex(wide.index)
    each = formation_rows(stamps, 1)
    size = caps.to_numpy() if caps is not None else np.ones(wide.shape)
    size = np.where(np.isfinite(wide.to_numpy()), size, np.nan)
    market = held(np.array([proportional(row, 1) for row in size]), each, values)
    if caps is not None:
        _warn_of_no_size(size, wide)
    # Three weeks are 21 days, and some 14 business days (252 a year).
    per_day = year_of(calendar, None) / DAYS_PER_YEAR
    data = Market(wide, returns, caps, traded, pd.Series(earned(market, values), index=wide.index), per_day)

    weights: dict[str, np.ndarray] = {}
    kinds: dict[str, TradedFactor] = {}
    left_out, too_small = "", ""
    for factor in wanted:
        if factor.name == MARKET:
            found = {MARKET: market}
        elif factor.name == SECTOR:
            least = max(2, min_assets // 2)
            found, left_out, too_small = _sectors(groups, wide, size, market, each, values, least)
        else:
            every = min(rebalance, data.periods(factor.days)) if factor.days else rebalance
            rows = formation_rows(stamps, every)
            found = {factor.name: _style(factor, data, rows, weighting, min_assets)}
        weights |= found
        kinds |= dict.fromkeys(found, factor)
    dataset = _assemble(weights, kinds, values, wide, shown)
    gaps = _gaps(dataset, min_assets) if which is None else []
    dataset = dataset.drop_sel({s.FACTOR: gaps})
    dropped = ", ".join((*choice.drop, *gone))
    notes = {"left_out": left_out, "too_small": too_small, "gaps": ", ".join(gaps), "dropped": dropped}
    return dataset.assign_attrs(weighting=weighting, rebalance=rebalance, min_assets=min_assets, **notes)


def _check_options(weighting: str, rebalance: Any, min_assets: Any) -> None:
    check_choice("weighting", weighting, WEIGHTINGS, error=PanelError)
    for name, value, least in (("rebalance", rebalance, 1), ("min_assets", min_assets, 3)):
        check_count(name, value, least=least, error=PanelError)


def _beside(table: Table | None, form: Form, prices: pd.DataFrame) -> pd.DataFrame | None:
    """Return a table on the rows and columns of the prices; it may lack some of either."""
    if table is None:
        return None
    wide = to_wide(table, form)
    common = [c for c in prices.columns if c in set(wide.columns)]
    if not common or wide.index.intersection(prices.index).empty:
        msg = (
            f"{form.what} and prices share assets and dates; {form.what} has {few(wide.columns)}, "
            f"prices have {few(prices.columns)}. Use the same names and stamps."
        )
        raise PanelError(msg)
    if not ((wide > 0) & (wide != np.inf)).any(axis=None) or (wide == np.inf).any(axis=None):
        msg = f"{form.what} is finite and somewhere above zero; it is not. Mend the cells, or leave it out."
        raise PanelError(msg)
    negative = (wide < 0).any()
    if negative.any():
        msg = (
            f"{form.what} is zero or above; negative: {few(wide.columns[negative])}. Mend or empty the cells."
        )
        raise PanelError(msg)
    beside = wide.reindex(index=prices.index, columns=prices.columns)
    if form is CAPS:
        _check_caps(beside, prices)
    return beside


def _check_caps(caps: pd.DataFrame, prices: pd.DataFrame) -> None:
    """Refuse capitalisations that stand still, and name jumps that the price does not make."""
    many = caps.count() > 2
    still = many & (caps.max() == caps.min())
    if many.any() and still[many].all():
        msg = (
            "market_cap moves with the price; that of every coin is the same on all dates, as a "
            "snapshot's is. Give its "
            "history, or leave it out."
        )
        raise PanelError(msg)
    supply = (caps / prices).where(caps > 0.0).map(np.log).diff().abs()
    jumps = supply >= np.log(_JUMP)
    if jumps.any(axis=None):
        warn(
            f"market_cap changes tenfold where the price does not: {columns_with_dates(jumps)}. "
            "The unit may have changed "
            "(millions, thousands): mend it.",
        )


def _warn_of_no_size(size: np.ndarray, prices: pd.DataFrame) -> None:
    """Say which coins the market does without, and whether capitalisations are thinner than prices."""
    known = np.isfinite(size)
    absent = [str(c) for c, there in zip(prices.columns, known.any(axis=0), strict=True) if not there]
    thin = float(known.any(axis=1).mean())
    if absent or thin < _WHOLE:
        what = f"for {few(absent)}" if absent else f"in {1.0 - thin:.0%} of the periods"
        warn(
            f"market_cap has no value {what}: the market and size do without. Fill it, or build the market "
            "without market_cap=.",
        )


def _style(
    factor: TradedFactor, data: Market, rows: np.ndarray, weighting: str, min_assets: int
) -> np.ndarray:
    """Return the weights (time, asset) of one long-short factor."""
    assert factor.signal is not None  # noqa: S101 - portfolios without one are formed by the caller
    priced = np.isfinite(data.prices.to_numpy())
    signal = np.where(priced, factor.signal(data, factor.days).to_numpy(), np.nan)
    formed = np.full(signal.shape, np.nan)
    for t in np.unique(rows[rows >= 0]):
        formed[t] = long_short(signal[t], weighting, min_assets)
        if factor.unit_betas:
            formed[t] = _unit_betas(formed[t], -signal[t])
    return held(formed, rows, data.returns.to_numpy())


def _unit_betas(weights: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Lever both legs to a beta of 1; no portfolio where a leg's beta is not well above zero."""
    out = weights.copy()
    for leg in (weights > 0, weights < 0):
        total = float(np.abs(weights[leg]) @ beta[leg])
        if not total > 0.1:
            return np.full(len(weights), np.nan)
        out[leg] /= total
    return out


def _sectors(
    groups: Any,
    prices: pd.DataFrame,
    size: np.ndarray,
    market: np.ndarray,
    each: np.ndarray,
    returns: np.ndarray,
    least: int,
) -> tuple[dict[str, np.ndarray], str, str]:
    """Return each sector's weights minus the market's, the one left out if any, and those too small."""
    names = np.array(groups_of(groups, [str(c) for c in prices.columns], None))
    kinds, counts = np.unique(names, return_counts=True)
    large = kinds[counts >= least]
    if not len(large):
        msg = (
            f"a sector has at least {least} coins; the largest has {counts.max()}. Lower min_assets=, merge "
            "sectors, or leave 'sector' out of which=."
        )
        raise PanelError(msg)
    few_coins = [f"{k} ({c})" for k, c in zip(kinds, counts, strict=True) if c < least]
    if few_coins:
        warn(
            f"a sector has at least {least} coins to be a factor; too small: {few(few_coins)}. "
            "Their coins stay in the market. Merge sectors or lower min_assets= to have them.",
        )
    left_out = ""
    if len(large) == len(kinds):
        left_out = str(kinds[np.argmax(counts)])
    found = {}
    for name in large[large != left_out]:
        own = np.where(names == name, size, np.nan)
        formed = np.array([proportional(row, 2) for row in own])
        found[f"{SECTOR}:{name}"] = held(formed, each, returns) - market
    return found, left_out, ", ".join(str(k) for k, c in zip(kinds, counts, strict=True) if c < least)


def _gaps(dataset: xr.Dataset, min_assets: int) -> list[str]:
    """Return the factors that lack a value after their first, and say which."""
    there = np.isfinite(dataset[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values)
    stamps, factors = dataset.indexes[s.TIME], dataset.indexes[s.FACTOR]
    lost = pd.DataFrame(~there & np.logical_or.accumulate(there), stamps, factors)
    names = [str(n) for n, gap in zip(factors, lost.to_numpy().any(axis=0), strict=True) if gap]
    if names and len(names) < len(factors):
        warn(
            f"factors that could not be formed at some time are left out: {columns_with_dates(lost)}. There "
            f"fewer than {min_assets} coins have the signal, or a side has no beta. Give more coins, or name "
            "them in which= to have them with their gaps.",
        )
        return names
    return []


def _assemble(
    weights: dict[str, np.ndarray],
    kinds: dict[str, TradedFactor],
    returns: np.ndarray,
    prices: pd.DataFrame,
    shown: np.ndarray,
) -> xr.Dataset:
    """Put labels on the rows that are shown."""
    names = list(weights)
    table = np.stack([weights[n] for n in names], axis=1)
    factors = np.stack([earned(weights[n], returns) for n in names], axis=1)
    table, factors, stamps = table[shown], factors[shown], prices.index[shown]
    never = [n for n, column in zip(names, factors.T, strict=True) if not np.isfinite(column).any()]
    if never:
        msg = (
            f"a factor has enough coins at some time; never so: {few(never)}. Give more coins or a longer "
            "history, lower min_assets=, or leave them out of which=."
        )
        raise PanelError(msg)
    return xr.Dataset(
        {
            s.FACTOR_RETURNS: ((s.TIME, s.FACTOR), factors),
            s.FACTOR_WEIGHTS: ((s.TIME, s.FACTOR, s.ASSET), table),
        },
        coords={
            s.TIME: stamps.to_numpy().astype("datetime64[ns]"),
            s.FACTOR: np.array(names, dtype=np.str_),
            s.ASSET: np.array([str(c) for c in prices.columns], dtype=np.str_),
            s.FAMILY: (s.FACTOR, np.array([kinds[n].family for n in names], dtype=np.str_)),
            s.ROTATES: (s.FACTOR, np.array([kinds[n].rotates for n in names])),
        },
    )
