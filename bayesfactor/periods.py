"""What a period is called, how long a year of them is, and which moments a date stands for.

One place for every room: nothing that people read says "day" of periods that are hours, and `end=` means the
same wherever it is asked for.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError

__all__ = [
    "DAYS_PER_YEAR",
    "Step",
    "between",
    "count_periods",
    "days_in_period",
    "first_moment",
    "last_moment",
    "once_a_day",
    "same_year",
    "stamp_text",
    "step_in",
    "step_of",
    "the_next",
    "year_in",
]

DAYS_PER_YEAR: Final = 365.0
"""Crypto trades on all of them."""
BUSINESS_DAYS: Final = (250.0, 262.0)
"""A year of business days: 252 where exchanges close on holidays, 260 to 262 where nothing does."""
CLOSE: Final = 0.01
"""Years of so nearly the same length are the same year: 365 and 365.25 days, 52 and 52.18 weeks."""

_YEARS: Final = {
    "year": 1.0,
    "quarter": 4.0,
    "month": 12.0,
    "week": 52.0,
    "business day": 252.0,
    "day": 365.0,
    "hour": 8_760.0,
    "minute": 525_600.0,
    "second": 31_536_000.0,
}
_MOST: Final = {"year": 100, "quarter": 2, "month": 11, "week": 12, "business day": 1, "day": 200, "hour": 23}
"""A multiple beyond which another unit, or none, says it better."""


@dataclass(frozen=True)
class Step:
    """The time from one stamp to the next: so many units.

    Parameters
    ----------
    unit : str
        year, quarter, month, week, business day, day, hour, minute or second; `period` if none fits.
    n : int
    """

    unit: str
    n: int = 1

    @property
    def name(self) -> str:
        """What one period is called: `hour`, `4-hour period`."""
        return self.unit if self.n == 1 else f"{self.n}-{self.unit} period"

    @property
    def per_year(self) -> float:
        """Periods in a year."""
        return _YEARS[self.unit] / self.n

    def fits(self, periods_per_year: float) -> bool:
        """Whether a year of that many periods is a year of this step."""
        if self.unit == "business day":
            return BUSINESS_DAYS[0] <= periods_per_year <= BUSINESS_DAYS[1]
        return abs(periods_per_year / self.per_year - 1.0) <= CLOSE


def step_of(periods_per_year: float) -> Step:
    """Return the step of which a year has that many.

    Examples
    --------
    >>> step_of(8760).name, step_of(2190).name, step_of(252).name, step_of(365.25).name
    ('hour', '4-hour period', 'business day', 'day')
    """
    single = [Step(unit) for unit in _YEARS if Step(unit).fits(periods_per_year)]
    if single:
        return single[0]
    for unit, year in _YEARS.items():
        n = max(1, round(year / periods_per_year))
        if 1 < n <= _MOST.get(unit, 60) and Step(unit, n).fits(periods_per_year):
            return Step(unit, n)
    return Step("period")


def step_in(data: Any) -> str:
    """Return what a period of a panel, a tree or a result is called: days where it does not say."""
    return step_of(year_in(data)).name


def year_in(data: Any) -> float:
    """Return the periods of a year of a panel, a tree or a result, 365 where it does not say."""
    return float(data.attrs.get("periods_per_year", DAYS_PER_YEAR))


def count_periods(n: float, periods_per_year: float) -> str:
    """Return `1 hour` or `1,500 hours`."""
    return f"{n:,.0f} {step_of(periods_per_year).name}{'' if n == 1 else 's'}"


def the_next(horizon: int, periods_per_year: float) -> str:
    """Return `the next hour` or `the next 10 days`."""
    if horizon == 1:
        return f"the next {step_of(periods_per_year).name}"
    return f"the next {count_periods(horizon, periods_per_year)}"


def days_in_period(periods_per_year: float) -> float:
    """Return how many days a period lasts on average: 1 / 24 of hours, 365 / 252 of business days."""
    return DAYS_PER_YEAR / float(periods_per_year)


def same_year(one: float, other: float) -> bool:
    """Whether two numbers of periods a year mean the same step."""
    return abs(float(one) / float(other) - 1.0) <= CLOSE or step_of(one) == step_of(other) != Step("period")


# --- moments ------------------------------------------------------------------------------------

_PARTIAL: Final = (
    (re.compile(r"\d{4}"), "Y"),
    (re.compile(r"\d{4}-\d{2}"), "M"),
    (re.compile(r"\d{4}-?\d{2}-?\d{2}"), "D"),
)
_NUMPY_UNITS: Final = {"Y": "Y", "M": "M", "D": "D"}
_TICK: Final = pd.Timedelta(1, unit="ns")


def first_moment(value: object, what: str, *, daily: bool = False) -> pd.Timestamp:
    """Return the first moment of what a date-like value stands for, as a naive UTC stamp."""
    return _span(value, what, daily=daily)[0]


def last_moment(value: object, what: str, *, daily: bool = False) -> pd.Timestamp:
    """Return the last moment of what a date-like value stands for, as a naive UTC stamp.

    A date is its whole day (`2024-02-10`, a `datetime.date`), a month its whole month, a year its whole year;
    a stamp with a time of day is that moment.

    Parameters
    ----------
    value : str, date, datetime, Timestamp, datetime64 or Period
    what : str
        The argument, for messages.
    daily : bool
        Whether the data have one stamp a day, or fewer: a Timestamp at midnight is then a date.

    Raises
    ------
    PanelError
        If the value is no date.
    """
    return _span(value, what, daily=daily)[1]


def between(
    stamps: pd.DatetimeIndex, start: object, end: object, *, names: tuple[str, str] = ("start", "end")
) -> np.ndarray:
    """Return which naive UTC `stamps` lie from `start` to `end`, both inclusive; None is open.

    Raises
    ------
    PanelError
        If one is no date, or `end` lies before `start`.
    """
    daily = once_a_day(stamps)
    first = None if start is None else first_moment(start, names[0], daily=daily)
    last = None if end is None else last_moment(end, names[1], daily=daily)
    if first is not None and last is not None and last < first:
        msg = f"{names[1]} does not lie before {names[0]}; got {start!r} to {end!r}. Swap them."
        raise PanelError(msg)
    keep = np.ones(len(stamps), dtype=bool)
    if first is not None:
        keep &= np.asarray(stamps >= first)
    if last is not None:
        keep &= np.asarray(stamps <= last)
    return keep


def stamp_text(stamp: Any) -> str:
    """Return a stamp as a date, with the time of day only where it is not midnight."""
    at = pd.Timestamp(stamp)
    return str(at.date()) if at == at.normalize() else f"{at:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def once_a_day(stamps: pd.DatetimeIndex) -> bool:
    """Whether no day has two stamps."""
    return bool(stamps.normalize().is_unique)


def _span(value: object, what: str, *, daily: bool) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and last moment of a date-like value."""
    period = _period(value)
    if period is not None:
        first, following = (_in_bounds(p.start_time, value, what) for p in (period, period + 1))
        return first, following - _TICK
    stamp = _stamp(value, what)
    midnight = stamp == stamp.normalize()
    if stamp.tzinfo is not None:
        # A day of daily data has a date, wherever it was; a moment has a place on the time line of UTC.
        stamp = stamp.tz_localize(None) if daily and midnight else stamp.tz_convert("UTC").tz_localize(None)
    if daily and midnight:
        return stamp, stamp + pd.Timedelta(days=1) - _TICK
    return stamp, stamp


def _period(value: object) -> pd.Period | None:
    """Return the year, month or day that a value names without a time of day."""
    if isinstance(value, pd.Period):
        return value
    if isinstance(value, np.datetime64) and not np.isnat(value):
        unit = np.datetime_data(value)[0]
        return pd.Period(str(value), freq=unit) if unit in _NUMPY_UNITS else None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return pd.Period(value, freq="D")
    if isinstance(value, str):
        text = value.strip()
        for pattern, unit in _PARTIAL:
            if pattern.fullmatch(text):
                try:
                    return pd.Period(pd.to_datetime(text, format="ISO8601"), freq=unit)
                except ValueError:
                    return None
    return None


def _stamp(value: Any, what: str) -> pd.Timestamp:
    good = isinstance(value, str | dt.datetime | np.datetime64)
    try:
        stamp = pd.to_datetime(value, format="ISO8601") if good else pd.NaT
    except (ValueError, OverflowError):
        stamp = pd.NaT
    if pd.isna(stamp):
        msg = f"{what}: a date is ISO 8601 (2023-01-31, or 2023-01-31 12:00) or a datetime; got {value!r}."
        raise PanelError(msg)
    return _in_bounds(pd.Timestamp(stamp), value, what)


def _in_bounds(stamp: pd.Timestamp, value: object, what: str) -> pd.Timestamp:
    try:
        return stamp.as_unit("ns")
    except pd.errors.OutOfBoundsDatetime as error:
        msg = f"{what}: dates lie between 1678 and 2262; got {value!r}. Give another."
        raise PanelError(msg) from error
