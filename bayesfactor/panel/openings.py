"""When a factor's market is open: a day on which it is closed is missing information, and no zero.

Taken for zeros, two days in seven without any move look like fat tails.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor.schema import FACTOR, FACTOR_OPEN, FACTOR_RETURNS, FACTOR_WEIGHTS, TIME, time_of_week

__all__ = ["open_factors", "own_portfolios", "repeated", "still"]

_SHUT: Final = 0.9
"""Share of zeros from which on a time of the week is one at which a market is closed."""
_ENOUGH: Final = 4
"""Weeks before a time of the week is known to be one or the other."""
_SPIKE: Final = 0.01
"""Share of exact zeros that no continuous law has."""


def open_factors(panel: xr.Dataset) -> np.ndarray:
    """Return when each factor could move (factor, time), bool.

    `factor_open` says so where a panel has it; else exact zeros do, see `still`. A portfolio of the panel's
    own assets is always open.

    Parameters
    ----------
    panel : Dataset
        With `factor_returns` (time, factor).
    """
    if FACTOR_OPEN in panel:
        return np.ascontiguousarray(panel[FACTOR_OPEN].transpose(FACTOR, TIME).values, dtype=bool)
    values, stamps = panel[FACTOR_RETURNS].transpose(FACTOR, TIME).values, panel[TIME].values
    own = own_portfolios(panel)
    found = [
        np.zeros(len(stamps), dtype=bool) if o else still(x, stamps) for x, o in zip(values, own, strict=True)
    ]
    return ~np.array(found, dtype=bool).reshape(values.shape)


def own_portfolios(panel: xr.Dataset) -> np.ndarray:
    """Return which factors are portfolios of the panel's own assets (factor), bool."""
    if FACTOR_WEIGHTS not in panel:
        return np.zeros(panel.sizes[FACTOR], dtype=bool)
    others = [d for d in panel[FACTOR_WEIGHTS].dims if d != FACTOR]
    return np.asarray((panel[FACTOR_WEIGHTS].fillna(0.0) != 0.0).any(others).values)


def still(moves: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """Return where a series stood still because its market was closed (time), bool.

    Exact zeros of a continuous series that has times of the week at which it hardly ever moves, or more
    zeros than chance; of a series of few values (a rate decision) only those at such times.

    Parameters
    ----------
    moves, stamps : ndarray (time)
    """
    zero = moves == 0.0
    if not zero.any() or zero.all():
        return np.zeros(len(moves), dtype=bool)
    _, place = np.unique(time_of_week(stamps), return_inverse=True)
    count = np.bincount(place)
    shut = (np.bincount(place, weights=zero) >= _SHUT * count) & (count > 1)
    others = moves[~zero]
    continuous = 2 * len(np.unique(others)) > len(others)
    if continuous and (shut.any() or zero.mean() > _SPIKE):
        return zero
    return np.asarray(zero & shut[place] & ~shut.all())


def repeated(levels: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """Return which levels a source only repeats, for want of a market that was open (time), bool.

    Some weekdays have hardly ever moved so far and others have: there an unmoved level is no observation,
    nor is it, of a continuous series, on any other day. What comes later changes nothing.

    Parameters
    ----------
    levels, stamps : ndarray (time)
    """
    moves = np.diff(levels, prepend=np.nan)
    zero, out = moves == 0.0, np.zeros(len(levels), dtype=bool)
    if not zero.any():
        return out
    _, place = np.unique(time_of_week(stamps), return_inverse=True)
    fresh = np.zeros(len(levels), dtype=bool)
    fresh[np.unique(moves, return_index=True)[1]] = True
    moved, different = np.cumsum(~zero), np.cumsum(fresh & ~zero)
    count, zeros = np.zeros((2, place.max() + 1))
    for t, c in enumerate(place):
        count[c] += 1.0
        zeros[c] += zero[t]
        shut, busy = (zeros >= _SHUT * count) & (count >= _ENOUGH), (2 * zeros < count) & (count >= _ENOUGH)
        if zero[t] and shut.any() and busy.any():
            out[t] = shut[c] or 2 * different[t] > moved[t]
    return out
