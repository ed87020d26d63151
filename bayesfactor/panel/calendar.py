"""Time: stamps are naive UTC, sorted, unique, and lie on one regular calendar.

The calendar is read off the stamps alone, never off the values: what prices do later cannot move it. It says
how long a year of its periods is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.words import few, stamps_text
from bayesfactor.periods import DAYS_PER_YEAR, Step

__all__ = ["Calendar", "calendar_of", "to_stamps", "year_of"]

DAY = pd.Timedelta(days=1)
SECOND = pd.Timedelta(seconds=1)
SHORTEST_MONTH = pd.Timedelta(days=28)
SPARSEST = 50
"""A calendar with more than this many stamps per stamp given is a mistake, not a calendar."""

DATE_KINDS = {"string", "datetime", "datetime64", "date", "period", "mixed", "empty"}


@dataclass(frozen=True)
class Calendar:
    """The regular calendar on which some stamps lie, and the step from one of its stamps to the next."""

    stamps: pd.DatetimeIndex
    step: Step


def to_stamps(values: pd.Index, what: str) -> pd.DatetimeIndex:
    """Return `values` as naive UTC nanosecond stamps, in the order given.

    Stamps with a time zone become UTC. But midnights where they come from, and nothing else, are dates, and
    dates stay what they are: what Tokyo closed at on the 10th is known on the 10th everywhere.
    """
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred not in DATE_KINDS:
        msg = (
            f"{what}: dates are stamps or ISO 8601 text; got labels of type {inferred} ({few(values[:3])}). "
            "Give a DatetimeIndex or a column named date, time, timestamp or datetime; "
            "turn numbers into dates with pd.to_datetime(..., unit='ms'), or format='%Y%m%d' of 20240131."
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
    local = _local(values, inferred)
    if local is not None and not local.equals(parsed.tz_localize(None)) and _are_dates(local):
        parsed = local.tz_localize("UTC")
    try:
        stamps = parsed.tz_localize(None).as_unit("ns").rename(None)
    except pd.errors.OutOfBoundsDatetime as error:
        msg = f"{what}: dates lie between 1678 and 2262; got {error}. Drop or mend those rows."
        raise PanelError(msg) from error
    if len(stamps) > 1 and bool((stamps.year == 1970).all()):
        msg = (
            f"{what}: all stamps lie in 1970, from {stamps.min()} to {stamps.max()}: numbers were read in "
            "another unit than theirs. Say which it is: pd.to_datetime(numbers, unit='ms'), or 's', or 'us'."
        )
        raise PanelError(msg)
    return stamps


def _local(values: pd.Index, inferred: str) -> pd.DatetimeIndex | None:
    """Return what the clocks showed where stamps with a time zone come from, None where they have none."""
    if isinstance(values, pd.DatetimeIndex):
        return values.tz_localize(None) if values.tz is not None else None
    if inferred == "string":
        text = pd.Series(np.asarray(values, dtype=object)).astype(str).str.strip()
        zone = text.str.extract(r"[T ].*?(Z|[+-]\d{2}(?::?\d{2})?)$")[0]
        if zone.isna().any():
            return None
        bare = [t.removesuffix(z) for t, z in zip(text, zone, strict=True)]
        return pd.DatetimeIndex(pd.to_datetime(bare, format="ISO8601"))
    if inferred in {"datetime", "datetime64"}:
        stamps = [pd.Timestamp(v) for v in values]
        if any(x.tzinfo is None for x in stamps):
            return None
        return pd.DatetimeIndex([x.tz_localize(None) for x in stamps])
    return None


def _are_dates(local: pd.DatetimeIndex) -> bool:
    """Whether stamps are midnights (on some clocks one midnight a year does not exist) of different days."""
    days = local.normalize()
    late = np.asarray(local - days)
    return bool((late <= np.timedelta64(1, "h")).all() and np.median(late.astype("int64")) == 0)


def year_of(calendar: Calendar, given: float | None) -> int | float:
    """Return the periods of a year: what the calendar says, or what is given if that is no contradiction.

    Raises
    ------
    PanelError
        If another number is given than such a calendar has: within 1 % of it, or 250 to 262 business days.
    """
    step = calendar.step
    if given is None:
        year = DAYS_PER_YEAR if step.unit == "period" else step.per_year
    elif step.unit == "period" or step.fits(given):
        year = float(given)
    else:
        first, last = calendar.stamps[[0, -1]]
        msg = (
            f"periods_per_year is that of the calendar: {len(calendar.stamps)} stamps from {first} to "
            f"{last}, one each {step.name}, {step.per_year:g} a year; got {given:g}. Leave it out, or "
            "resample."
        )
        raise PanelError(msg)
    return int(year) if float(year).is_integer() else float(year)


def calendar_of(stamps: pd.DatetimeIndex, what: str, periods_per_year: float | None = None) -> Calendar:
    """Return the regular calendar on which the sorted, unique `stamps` lie.

    Parameters
    ----------
    stamps : DatetimeIndex
    what : str
        Whose stamps they are, for messages.
    periods_per_year : float or None
        Decides where stamps lie on two calendars alike, as four days do that are all business days.
    """
    if len(stamps) < 2:
        return Calendar(stamps, Step("period"))
    stamps = stamps.as_unit("ns")
    found = list(_candidates(stamps, what))
    off = [stamps.difference(c.stamps) for c in found]

    # of calendars that fit alike, the one with the fewest absent stamps: quarters are months, too
    def misfit(j: int) -> tuple[int, int, bool]:
        other = periods_per_year is not None and not found[j].step.fits(periods_per_year)
        return len(off[j]), len(found[j].stamps), other

    best = min(range(len(found)), key=misfit)
    if len(off[best]):
        step = _common_step(stamps)
        msg = (
            f"{what}: stamps lie on one regular calendar; the commonest step is {step}, "
            f"and off that calendar are {stamps_text(off[best])}. "
            "Resample to one calendar (stamps in local time: normalise them first) or drop those rows."
        )
        raise PanelError(msg)
    return found[best]


def _candidates(stamps: pd.DatetimeIndex, what: str) -> Iterator[Calendar]:
    """Yield the calendars that may fit."""
    step = _common_step(stamps)
    if step < SECOND:
        msg = (
            f"{what}: stamps are a second apart or more; the commonest step is {step}, from {stamps[0]} to "
            f"{stamps[-1]}. Numbers read in another unit than theirs look so: pd.to_datetime(..., unit='ms')."
        )
        raise PanelError(msg)
    yield Calendar(_fixed(stamps, step, what), _named(step))
    if step == DAY and bool((stamps.day_of_week < 5).all()):
        business = pd.date_range(stamps[0], stamps[-1], freq=pd.offsets.BDay())
        yield Calendar(business, Step("business day"))
    if step >= SHORTEST_MONTH:
        for unit, offsets in _LONG.items():
            for freq in offsets:
                yield Calendar(pd.date_range(stamps[0], stamps[-1], freq=freq), Step(unit))


_MONTHS = (
    pd.offsets.MonthBegin(),
    pd.offsets.MonthEnd(),
    pd.offsets.BusinessMonthBegin(),
    pd.offsets.BusinessMonthEnd(),
)
_QUARTERS = (pd.offsets.QuarterBegin, pd.offsets.QuarterEnd)
_YEARS = (pd.offsets.YearBegin, pd.offsets.YearEnd)
_LONG: dict[str, list[pd.offsets.BaseOffset]] = {
    "month": list(_MONTHS),
    "quarter": [offset(startingMonth=m) for offset in _QUARTERS for m in (1, 2, 3)],
    "year": [offset(month=m) for offset in _YEARS for m in range(1, 13)],
}


def _named(step: pd.Timedelta) -> Step:
    """Return a constant step in the largest unit of which it is a whole number."""
    for unit, length in (("week", 7 * DAY), ("day", DAY), ("hour", DAY / 24), ("minute", DAY / 1440)):
        if step % length == pd.Timedelta(0):
            return Step(unit, step // length)
    if step % SECOND == pd.Timedelta(0):
        return Step("second", step // SECOND)
    return Step("period")


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
