"""When factors can move after the last day: as at the same time of most weeks before it."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bayesfactor import schema as s

__all__ = ["Calendar"]

_DAY: Final = np.timedelta64(1, "D")
_WEEK: Final = np.timedelta64(7, "D")
_RECENT: Final = 8
"""Weeks whose majority says whether a time of the week is open."""


@dataclass(frozen=True)
class Calendar:
    """What is known of the next periods before they come.

    Parameters
    ----------
    last : datetime64
        The last period.
    step : timedelta64
    times : ndarray (place)
        Times of the week at which there were periods.
    open : ndarray of bool (place, factor)
        Whether each factor mostly could move then.
    closes : ndarray of bool (factor)
        Whether a factor was ever closed.
    """

    last: np.datetime64
    step: np.timedelta64
    times: np.ndarray
    open: np.ndarray
    closes: np.ndarray

    @classmethod
    def of(cls, stamps: np.ndarray, opened: np.ndarray, traded: np.ndarray) -> "Calendar":
        """Learn it from stamps (time), when factors could move (factor, time) and when anything did (time).

        A stamp at which nobody had a price is an accident and no habit.
        """
        step = np.median(np.diff(stamps)) if len(stamps) > 1 else _DAY
        times, place = np.unique(s.time_of_week(stamps), return_inverse=True)
        recent = [opened[:, np.flatnonzero((place == c) & traded)[-_RECENT:]] for c in range(len(times))]
        table = np.array([2 * r.sum(axis=1) >= r.shape[1] for r in recent]).reshape(len(times), len(opened))
        # Of a factor that moves at no time in particular, no time can be ruled out.
        table |= ~table.any(axis=0)
        if step < _WEEK and stamps[-1] - stamps[0] < 2 * _WEEK:
            # So short a window has not seen every time of the week, and rules out none that it has not.
            every = np.union1d(times, s.time_of_week(stamps[-1] + step * np.arange(_WEEK // step)))
            known, table = table, np.ones((len(every), len(opened)), dtype=bool)
            table[np.searchsorted(every, times)], times = known, every
        return cls(stamps[-1], step, times, table, ~opened[:, traded].all(axis=1))

    def ahead(self, horizon: int) -> np.ndarray:
        """Return whether each factor can move in the next periods (period, factor)."""
        out = np.ones((horizon, len(self.closes)), dtype=bool)
        if self.closes.any():
            now = s.time_of_week(self._next(horizon))
            place = np.minimum(np.searchsorted(self.times, now), len(self.times) - 1)
            known = self.times[place] == now
            out = self.open[place] | ~self.closes | ~known[:, None]
        return out

    def after(self, periods: int) -> "Calendar":
        """Return it some periods later."""
        return replace(self, last=self._next(periods)[-1]) if periods else self

    def _next(self, periods: int) -> np.ndarray:
        """Return the stamps of the next periods, at times of the week at which there ever were any."""
        if self.step >= _WEEK:
            return self.last + self.step * np.arange(1, periods + 1)
        weeks = periods // len(self.times) + 2
        stamps = self.last + self.step * np.arange(1, weeks * int(_WEEK // self.step) + 1)
        return stamps[np.isin(s.time_of_week(stamps), self.times)][:periods]
