"""Values: what a price, a return and a factor may be. Each check names the culprits and the remedy."""

import math

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.units import check_jumps, check_unit_of_returns
from bayesfactor.panel.words import columns_with_dates, few, stamps_text
from bayesfactor.periods import DAYS_PER_YEAR

__all__ = [
    "MIN_PERIODS",
    "check_arguments",
    "check_factor_values",
    "check_factors",
    "check_prices",
    "check_returns",
    "check_variation",
]

MIN_PERIODS = 3
"""Fewer returns than this say nothing about a spread."""
SIGNED = 0.2
"""With more than this share of negative numbers a table holds returns, not prices."""
ROUNDING = 1e-12
"""Returns closer to each other than this are the same number."""


def check_arguments(kind: str, periods_per_year: float | None) -> None:
    """Refuse a kind of return or a number of periods that has no meaning."""
    if kind not in {"simple", "log"}:
        msg = f"kind is 'simple' or 'log'; got {kind!r}. Risk verbs need 'simple'."
        raise PanelError(msg)
    if periods_per_year is None:
        return
    number = isinstance(periods_per_year, int | float | np.number) and not isinstance(periods_per_year, bool)
    if not number or not (math.isfinite(periods_per_year) and periods_per_year > 0):
        msg = (
            f"periods_per_year is a positive number; got {periods_per_year!r}. Leave it out: the calendar "
            "says it."
        )
        raise PanelError(msg)


def check_prices(prices: pd.DataFrame) -> None:
    """Refuse prices that are infinite, zero or negative."""
    infinite = prices.abs() == np.inf
    if infinite.any(axis=None):
        msg = f"prices are finite; infinite: {columns_with_dates(infinite)}. Leave such cells empty."
        raise PanelError(msg)
    low = prices <= 0
    if low.any(axis=None):
        msg = (
            f"prices are above zero; zero or negative: {columns_with_dates(low)}. "
            "Leave the cell empty if there was no trade; end the asset's prices where it died."
        )
        if float((prices < 0).to_numpy().mean()) > SIGNED:
            msg += " Returns go to bf.panel_from_returns (--returns on the command line)."
        raise PanelError(msg)


def check_returns(
    returns: pd.DataFrame, kind: str, source: str, periods_per_year: float = DAYS_PER_YEAR
) -> None:
    """Refuse returns that are infinite, in per cent, or that lose everything."""
    infinite = returns.abs() == np.inf
    if infinite.any(axis=None):
        named = columns_with_dates(infinite)
        msg = f"returns are finite or NaN; infinite: {named}. Mend or empty those {source}."
        raise PanelError(msg)
    check_unit_of_returns(returns, source, periods_per_year)
    lost = returns <= -1
    if kind == "simple" and lost.any(axis=None):
        msg = (
            f"simple returns are above -1, for a price of zero has no return after it; "
            f"-1 or less: {columns_with_dates(lost)}. Mend those {source}, or leave them empty; "
            "pass kind='log' if these are log returns."
        )
        raise PanelError(msg)
    check_jumps(returns, kind, source)


def check_variation(returns: pd.DataFrame) -> None:
    """Refuse too short a panel, and assets without returns or with one return all along."""
    if len(returns) < MIN_PERIODS:
        msg = (
            f"a panel has at least {MIN_PERIODS} periods with returns; got {len(returns)}. "
            "Give more rows (one price more than returns), or widen start and end."
        )
        raise PanelError(msg)
    empty = returns.columns[returns.isna().all()]
    if len(empty):
        msg = (
            f"every asset has at least one return in the window; none: {few(empty)}. "
            "Leave them out with drop='dead' (--drop dead), or widen the window (a return needs prices in "
            "two consecutive periods)."
        )
        raise PanelError(msg)
    flat = (returns.count() > 1) & (returns.max() - returns.min() <= ROUNDING)
    if flat.any():
        words = few(f"{name} (always {returns[name].max():.3g})" for name in returns.columns[flat])
        msg = f"returns vary; constant: {words}. Such an asset has no risk to model: drop it, by drop=."
        raise PanelError(msg)


def check_factors(factors: pd.DataFrame, returns: pd.DataFrame) -> None:
    """Refuse factors that do not fit the panel's calendar."""
    if returns.isna().all(axis=None):
        return  # which is what check_variation speaks of
    days = pd.DatetimeIndex(returns.index)
    stamps = pd.DatetimeIndex(factors.index[factors.notna().any(axis=1)])
    if stamps.intersection(days).empty:
        span = f"{stamps_text(stamps[:1])} to {stamps_text(stamps[-1:])}" if len(stamps) else "nowhere"
        msg = (
            f"factors and returns share dates; the factors run from {span}, the returns from "
            f"{stamps_text(days[:1])} to {stamps_text(days[-1:])}, and none is common. "
            "Give factors for the panel's dates, stamped alike (time of day included)."
        )
        raise PanelError(msg)
    inside = stamps[(stamps > days[0]) & (stamps < days[-1])]
    off = inside.difference(days)
    if len(off):
        msg = (
            f"factors lie on the panel's calendar; off it are {stamps_text(off)}. "
            "Bring both to one frequency: dropping those rows would lose part of the factors' moves."
        )
        raise PanelError(msg)


def check_factor_values(factors: pd.DataFrame) -> None:
    """Refuse factors that, on the panel's rows, are infinite, have holes, or do not vary."""
    infinite = factors.abs() == np.inf
    if infinite.any(axis=None):
        msg = f"factors are finite; infinite: {columns_with_dates(infinite)}. Mend or drop those rows."
        raise PanelError(msg)
    holes = factors.isna()
    if holes.any(axis=None):
        msg = (
            f"factors have a value in every period between the first and the last; missing: "
            f"{columns_with_dates(holes)}. Fill those stamps in the factor (for the panel's own market: in "
            "the prices), or cut the panel with start= and end=."
        )
        raise PanelError(msg)
    flat = factors.max() - factors.min() <= ROUNDING * np.maximum(factors.abs().max(), 1e-300)
    if len(factors) and flat.any():
        msg = (
            f"factors vary; constant: {few(factors.columns[flat])}. Drop them: alpha already is the constant."
        )
        raise PanelError(msg)
