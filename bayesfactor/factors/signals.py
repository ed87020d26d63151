"""Signals: one number per coin and stamp, high where a factor is long; known at the end of their stamp.

All are made with windows that end at their own stamp. What has less than half of a window's
observations has no signal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Market", "amihud", "market_beta", "momentum", "realised_volatility", "reversal", "smallness"]

_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Market:
    """What signals are made of, on one regular calendar.

    Parameters
    ----------
    prices, returns : DataFrame (time, asset)
        `returns` is NaN in the first row.
    market_cap, volume : DataFrame (time, asset) or None
    market : Series (time)
        Return of the market factor.
    per_day : float
        Periods in a day.
    """

    prices: pd.DataFrame
    returns: pd.DataFrame
    market_cap: pd.DataFrame | None
    volume: pd.DataFrame | None
    market: pd.Series
    per_day: float

    def periods(self, days: float) -> int:
        """Return how many periods so many days are, one at least."""
        return max(1, round(days * self.per_day))


def _least(window: int) -> int:
    return max(2, int(np.ceil(_LEAST_SHARE * window))) if window > 1 else 1


def smallness(data: Market, days: float) -> pd.DataFrame:  # noqa: ARG001 - signals share one form
    """Return minus the log market capitalisation."""
    assert data.market_cap is not None  # noqa: S101 - the catalogue asks for what a signal needs
    caps = data.market_cap
    return pd.DataFrame(-np.log(caps.where(caps > 0.0).to_numpy()), index=caps.index, columns=caps.columns)


def momentum(data: Market, days: float) -> pd.DataFrame:
    """Return what a coin earned over the window."""
    return data.prices / data.prices.shift(data.periods(days)) - 1.0


def reversal(data: Market, days: float) -> pd.DataFrame:
    """Return minus what a coin earned over a short window."""
    return -momentum(data, days)


def realised_volatility(data: Market, days: float) -> pd.DataFrame:
    """Return minus the standard deviation of returns over the window: calm coins are high."""
    window = data.periods(days)
    # Windows are summed one by one: a running sum would carry a bad value past its window.
    return -_rolling(data.returns, window, lambda r, _: np.nanstd(r, axis=0))


def market_beta(data: Market, days: float) -> pd.DataFrame:
    """Return minus the beta to the market factor over the window: defensive coins are high."""
    window = data.periods(days)
    market = data.market.to_numpy()

    def beta(block: np.ndarray, at: slice) -> np.ndarray:
        f = np.where(np.isfinite(block), market[at][:, None], np.nan)
        f, r = f - np.nanmean(f, axis=0), block - np.nanmean(block, axis=0)
        return np.nansum(f * r, axis=0) / np.nansum(f * f, axis=0)

    return -_rolling(data.returns, window, beta)


def amihud(data: Market, days: float) -> pd.DataFrame:
    """Return the mean of |return| over traded value: illiquid coins are high. No volume, no value."""
    assert data.volume is not None  # noqa: S101 - the catalogue asks for what a signal needs
    impact = data.returns.abs() / data.volume.where(data.volume > 0.0)
    return _rolling(impact, data.periods(days), lambda x, _: np.nanmean(x, axis=0))


def _rolling(
    table: pd.DataFrame, window: int, statistic: Callable[[np.ndarray, slice], np.ndarray]
) -> pd.DataFrame:
    """Return a statistic of each window's values and rows, for the columns that have enough of them."""
    values = table.to_numpy()
    out = np.full(values.shape, np.nan)
    least = _least(window)
    for t in range(len(values)):
        at = slice(max(0, t - window + 1), t + 1)
        enough = np.isfinite(values[at]).sum(axis=0) >= least
        if enough.any():
            block = values[at][:, enough]
            out[t, enough] = statistic(block, at)
    return pd.DataFrame(out, index=table.index, columns=table.columns)
