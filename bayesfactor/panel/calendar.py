"""Time: stamps are naive UTC, sorted, unique, and lie on one regular calendar.

The calendar is read off the stamps alone, never off the values: what prices do later cannot move it.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.words import few, stamps_text

__all__ = ["calendar_of", "on_calendar", "to_stamp", "to_stamps"]

DAY = pd.Timedelta(days=1)
SHORTEST_MONTH = pd.Timedelta(days=28)
SPARSEST = 50
"""A calendar with more than this many stamps per stamp given is a mistake, not a calendar."""

DATE_KINDS = {"string", "datetime", "datetime64", "date", "period", "mixed", "empty"}


def to_stamps(values: pd.Index, what: str) -> pd.DatetimeIndex:
    """Return `values` as naive UTC nanosecond stamps, in the order given."""
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred not in DATE_KINDS:
        msg = (
            f"{what}: dates are stamps or ISO 8601 text; got labels of type {inferred} ({few(values[:3])}). "
            "Give a DatetimeIndex or a column named date, time, timestamp or datetime; "
            "turn numbers into dates with pd.to_datetime."
        )
        raise PanelError(msg)
    if isinstance(values, pd.PeriodIndex):
        values = values.to_timestamp()
    # ISO 8601 only: guessing whether 03/04 is in March or in April would be silent damage
    parsed = pd.DatetimeIndex(pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce"))
    bad = np.asarray(parsed.isna())
    if bad.any():
        msg = (
            f"{what}: dates are ISO 8601 (such as 2023-01-31) or datetimes; "
            f"got {few(repr(v) for v in values[bad])}. "
            "Parse them with pd.to_datetime(..., format=...) first, or drop those rows."
        )
        raise PanelError(msg)
    try:
        return parsed.tz_localize(None).as_unit("ns").rename(None)
    except pd.errors.OutOfBoundsDatetime as error:
        msg = f"{what}: dates lie between 1678 and 2262; got {error}. Drop or mend those rows."
        raise PanelError(msg) from error


def to_stamp(value: object, what: str) -> pd.Timestamp:
    """Return one date-like value as a naive UTC stamp."""
    return to_stamps(pd.Index([value]), what)[0]


def on_calendar(wide: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return `wide` with a row for every stamp of its calendar; absent stamps become NaN rows."""
    return wide.reindex(calendar_of(pd.DatetimeIndex(wide.index), what))


def calendar_of(stamps: pd.DatetimeIndex, what: str) -> pd.DatetimeIndex:
    """Return the regular calendar on which the sorted, unique `stamps` lie."""
    if len(stamps) < 2:
        return stamps
    grids = list(_candidates(stamps, what))
    off = [stamps.difference(grid) for grid in grids]
    # of calendars that fit alike, the one with the fewest absent stamps: quarters are months, too
    best = min(range(len(grids)), key=lambda j: (len(off[j]), len(grids[j])))
    if len(off[best]):
        step = _common_step(stamps)
        msg = (
            f"{what}: stamps lie on one regular calendar; the commonest step is {step}, "
            f"and off that calendar are {stamps_text(off[best])}. "
            "Resample to one calendar (stamps in local time: normalise them first) or drop those rows."
        )
        raise PanelError(msg)
    return grids[best]


def _candidates(stamps: pd.DatetimeIndex, what: str) -> Iterator[pd.DatetimeIndex]:
    """Yield the calendars that may fit."""
    step = _common_step(stamps)
    if step == DAY and bool((stamps.day_of_week < 5).all()):
        yield pd.date_range(stamps[0], stamps[-1], freq=pd.offsets.BDay())
    yield _fixed(stamps, step, what)
    if step >= SHORTEST_MONTH:
        quarters = [offset(startingMonth=m) for offset in _QUARTERS for m in (1, 2, 3)]
        for freq in [*_MONTHS, *quarters]:
            yield pd.date_range(stamps[0], stamps[-1], freq=freq)


_MONTHS = (
    pd.offsets.MonthBegin(),
    pd.offsets.MonthEnd(),
    pd.offsets.BusinessMonthBegin(),
    pd.offsets.BusinessMonthEnd(),
)
_QUARTERS = (pd.offsets.QuarterBegin, pd.offsets.QuarterEnd)


def _common_step(stamps: pd.DatetimeIndex) -> pd.Timedelta:
    """Return the commonest difference; of equally common ones, the smallest."""
    steps, counts = np.unique(np.diff(stamps.asi8), return_counts=True)
    return pd.Timedelta(int(steps[np.argmax(counts)]), unit="ns")


def _fixed(stamps: pd.DatetimeIndex, step: pd.Timedelta, what: str) -> pd.DatetimeIndex:
    """Return the grid of constant `step` through the commonest phase of `stamps`."""
    periods = (stamps[-1] - stamps[0]) // step + 1
    if periods > SPARSEST * len(stamps):
        msg = (
            f"{what}: a regular calendar of step {step} would have {periods} stamps for the "
            f"{len(stamps)} given. Resample to one calendar or drop the rows that are too close."
        )
        raise PanelError(msg)
    phases, counts = np.unique(stamps.asi8 % step.value, return_counts=True)
    phase = int(phases[np.argmax(counts)])
    first = int(stamps.asi8[0])
    first += (phase - first) % step.value
    # np.arange(first, last, step) counts its steps in floats, which nanoseconds overflow
    values = first + step.value * np.arange((int(stamps.asi8[-1]) - first) // step.value + 1)
    return pd.DatetimeIndex(values.astype("datetime64[ns]"))
