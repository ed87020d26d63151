"""Signals become portfolios: weights for the return of t, formed at t-1 or before.

Between rebalances weights are held constant. A coin that turns out to have no return leaves its
leg for that period, and the others take its share.
"""

from typing import Final

import numpy as np
import pandas as pd

__all__ = ["WEIGHTINGS", "earned", "formation_rows", "held", "long_short", "proportional"]

WEIGHTINGS: Final = ("tercile", "rank")


def formation_rows(stamps: pd.DatetimeIndex, every: int) -> np.ndarray:
    """Return, for each row, the row at which the weights that earn its return were formed (-1: none).

    The rhythm is anchored to the calendar, not to the first row: earlier data do not shift it.
    """
    n = len(stamps)
    if n < 2:
        return np.full(n, -1)
    step = int(np.min(np.diff(stamps.asi8)))
    number = stamps.asi8 // step
    rebalance = np.flatnonzero(number // every != np.r_[-1, number[:-1] // every])
    rebalance = rebalance[rebalance > 0] if every > 1 else np.arange(n)
    last = np.searchsorted(rebalance, np.arange(n) - 1, side="right") - 1
    return np.where(last >= 0, rebalance[np.maximum(last, 0)] if len(rebalance) else -1, -1)


def long_short(signal: np.ndarray, weighting: str, least: int) -> np.ndarray:
    """Return weights of one formation (asset): the long leg adds up to 1, the short one to -1.

    Parameters
    ----------
    signal : ndarray (asset)
        NaN for a coin that cannot be held.
    weighting : {"tercile", "rank"}
        Equal weights in the outer thirds; or weights that grow with the distance of the rank from
        the middle (Frazzini and Pedersen 2014, eq. 16).
    least : int
        With fewer coins there is no portfolio: NaN.
    """
    there = np.isfinite(signal)
    n = int(there.sum())
    weights = np.zeros(len(signal))
    if n < max(least, 2):
        return np.full(len(signal), np.nan)
    # Ties share a rank, so that no coin's place in the table decides.
    rank = pd.Series(signal[there]).rank(method="average").to_numpy()
    if weighting == "rank":
        own = rank - rank.mean()
    else:
        third = n // 3
        own = (rank >= n - third + 1).astype(float) - (rank <= third).astype(float)
    for leg in (own > 0, own < 0):
        total = np.abs(own[leg]).sum()
        if total == 0.0:
            return np.full(len(signal), np.nan)
        own[leg] /= total
    weights[there] = own
    return weights


def proportional(size: np.ndarray, least: int) -> np.ndarray:
    """Return weights (asset) proportional to a size, NaN for all where fewer than `least` have one."""
    there = np.isfinite(size) & (size > 0)
    if there.sum() < least:
        return np.full(len(size), np.nan)
    kept = np.where(there, size, 0.0)
    return kept / kept.sum()


def held(formed: np.ndarray, rows: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Return the weights (time, asset) that earn each row's return.

    Parameters
    ----------
    formed : ndarray (time, asset)
        Weights formed at the end of each row.
    rows : ndarray (time)
        As `formation_rows` gives them.
    returns : ndarray (time, asset)
    """
    weights = np.where(rows[:, None] >= 0, formed[rows], np.nan)
    there = np.isfinite(returns)
    out = np.zeros_like(weights)
    for sign in (1.0, -1.0):
        leg = np.where(sign * weights > 0.0, weights, 0.0)
        whole = leg.sum(axis=1)
        present = np.where(there, leg, 0.0)
        left = present.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out += present * np.where(whole == 0.0, 0.0, whole / left)[:, None]
    out[np.isnan(weights).any(axis=1)] = np.nan
    return out


def earned(weights: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Return sum_i w_it r_it (time), NaN where there are no weights."""
    products = weights * np.where(np.isfinite(returns), returns, 0.0)
    return products.sum(axis=1)
