"""`driver_innovations`: series that are not returns become standardised surprises on one calendar."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PanelError, unknown_names, warn
from bayesfactor.factors.spec import Driver, read_spec
from bayesfactor.factors.transforms import innovations, standardised
from bayesfactor.panel.construct import Table
from bayesfactor.panel.forms import DRIVERS
from bayesfactor.panel.openings import repeated
from bayesfactor.panel.tables import to_wide
from bayesfactor.panel.words import few, stamps_text
from bayesfactor.periods import first_moment, last_moment, stamp_text

__all__ = ["driver_innovations"]

_JUMP: Final = 30.0
"""Standard deviations beyond which a surprise looks like a change of unit."""
_DAY: Final = pd.Timedelta(days=1)


@verb
def driver_innovations(
    drivers: Table,
    spec: Mapping[str, Any] | str | Path | None = None,
    *,
    start: object = None,
    end: object = None,
    as_of: object = None,
) -> xr.Dataset:
    """Turn drivers (hash rate, active addresses, funding, the S&P 500, ...) into innovations.

    Each driver goes its own way: observations in order; the surprise beyond what was known before; its
    size relative to that of past surprises; a cut at the outermost; the day on which it was published.

    Parameters
    ----------
    drivers : table, dims (time, driver)
        Levels by day, in any form that `bf.panel_from_prices` reads; NaN where there is none.
    spec : dict, path of a TOML file, or None
        A table for each column: `family` (required), `name`, `transform` (log-difference, difference,
        log-ar1, ar1, log-ewma, ewma, level), `lag` (days after its stamp at which a value is known),
        `standardise` (rolling, expanding, none), `window`, `min_periods`,
        `halflife`, `winsorise`, `max_gap`. None takes those of `bf.driver_spec()` whose column is there.
    start, end : date-like or None
        First and last day of the result, both inclusive; all earlier data are still used.
    as_of : date-like or None
        Today by default. Stamps after it are refused.

    Returns
    -------
    Dataset
        `factor_returns` (time, factor): innovations in standard deviations, on every day of the calendar;
        0 on days without news (weekends of a business-day series, whose change lands on the next open
        day; gaps up to `max_gap` days, at the end too), NaN before a driver's first value and where it has
        ended. `factor_open` (time, factor): whether there was an observation; a source that repeats its last
        value on closed days had none. Coord `family`; `attrs["ignored_columns"]` names what the spec does
        not.

    Raises
    ------
    PanelError
        If a stamp lies in the future or is given twice, a driver is constant or too short, a column is
        missing, a gap is too long, or the spec breaks a rule.

    Warns
    -----
    UserWarning
        If a surprise is so large that the unit may have changed.

    Notes
    -----
    Nothing at or before t depends on data after t: forecasts and scales are made of what came before.
    """
    table = to_wide(drivers, DRIVERS)
    _check_days(table, as_of)
    wanted = _wanted(table, spec)
    days = pd.DatetimeIndex(table.index).normalize()
    first, last = days[0], days[-1]
    if start is not None:
        first = first_moment(start, "start", daily=True).normalize()
    if end is not None:
        last = last_moment(end, "end", daily=True).normalize()
    calendar = pd.date_range(first, last, freq="D")
    if not len(calendar):
        msg = f"start= lies before end=; got {start!r} and {end!r}."
        raise PanelError(msg)
    made = {d.name: _one(table[d.column], d, days[-1]) for d in wanted}
    columns = {name: one[0].reindex(calendar) for name, one in made.items()}
    opened = [one[1].reindex(calendar, fill_value=False).to_numpy(dtype=bool) for one in made.values()]
    used = {d.column for d in wanted}
    empty = [name for name, column in columns.items() if column.isna().all()]
    if empty:
        msg = (
            f"drivers: each has an innovation between {stamps_text(calendar[:1])} and "
            f"{stamps_text(calendar[-1:])}; none: {few(empty)}. Widen the window or drop them from the spec."
        )
        raise PanelError(msg)
    return xr.Dataset(
        {
            s.FACTOR_RETURNS: ((s.TIME, s.FACTOR), np.column_stack(list(columns.values()))),
            s.FACTOR_OPEN: ((s.TIME, s.FACTOR), np.column_stack(opened)),
        },
        coords={
            s.TIME: calendar.to_numpy().astype("datetime64[ns]"),
            s.FACTOR: np.array([d.name for d in wanted], dtype=np.str_),
            s.FAMILY: (s.FACTOR, np.array([d.family for d in wanted], dtype=np.str_)),
        },
        attrs={"ignored_columns": ", ".join(c for c in map(str, table.columns) if c not in used)},
    )


def _check_days(table: pd.DataFrame, as_of: object) -> None:
    days = pd.DatetimeIndex(table.index).normalize()
    if not days.is_unique:
        twice = days[days.duplicated()].unique()
        msg = (
            f"drivers: one row per day; more on {stamps_text(twice)}. Of a table with dates for index take "
            "the last value of each day, .resample('D').last(), or of rates such as funding their sum, "
            ".resample('D').sum()."
        )
        raise PanelError(msg)
    now = pd.Timestamp.now("UTC").tz_localize(None)
    today = now if as_of is None else last_moment(as_of, "as_of", daily=True)
    late = pd.DatetimeIndex(table.index[table.index > today])
    if len(late):
        msg = (
            f"drivers: no stamp lies after {stamp_text(today.floor('min'))}; got {stamps_text(late)}. "
            "A value from the future cannot be known: mend the stamp or drop the row."
        )
        raise PanelError(msg)


def _wanted(table: pd.DataFrame, spec: Mapping[str, Any] | str | Path | None) -> list[Driver]:
    found = read_spec(spec)
    have = [str(c) for c in table.columns]
    if spec is None:
        found = [d for d in found if d.column in have]
        if not found:
            msg = (
                f"drivers: no column is in the spec that ships; got {few(have)}. "
                "Give spec=, such as {'my_column': {'family': 'macro', 'transform': 'difference'}}."
            )
            raise PanelError(msg)
    absent = [d.column for d in found if d.column not in have]
    if absent:
        names = unknown_names(absent, have)
        msg = (
            f"drivers: the spec names columns of the table; missing: {names}; it has {few(have)}. Rename or "
            "drop."
        )
        raise PanelError(msg)
    return found


def _one(column: pd.Series, driver: Driver, last: pd.Timestamp) -> tuple[pd.Series, pd.Series]:
    """Return the innovations of one driver on the days on which they were known, up to `last`, and which."""
    level = column.dropna()
    if np.isinf(level.to_numpy()).any():
        msg = f"driver {driver.column!r}: values are finite; got an infinite one. Empty the cell."
        raise PanelError(msg)
    if level.nunique() < 2:
        got = f"always {level.iloc[0]:.6g}" if len(level) else "no value"
        msg = f"driver {driver.column!r}: values vary; got {got}. Drop it from the spec."
        raise PanelError(msg)
    level = level[~repeated(level.to_numpy(dtype="float64"), level.index.to_numpy())]
    surprise = innovations(
        driver.column,
        level.to_numpy(dtype="float64"),
        driver.transform,
        window=driver.window,
        halflife=driver.halflife,
    )
    z = standardised(
        surprise,
        kind=driver.standardise,
        window=driver.window,
        least=driver.min_periods,
        clip=driver.winsorise,
    )
    if driver.standardise != "none":
        _warn_of_jumps(driver, z, pd.DatetimeIndex(level.index))
        z = np.clip(z, -driver.winsorise, driver.winsorise) if driver.winsorise > 0.0 else z
    stamps = pd.DatetimeIndex(level.index).normalize() + driver.lag * _DAY
    known = pd.Series(z, index=stamps).dropna()
    if known.empty:
        msg = (
            f"driver {driver.column!r}: {len(level)} values are too few for "
            f"min_periods={driver.min_periods}; lower it in the spec, or give a longer history."
        )
        raise PanelError(msg)
    _check_gaps(driver, pd.DatetimeIndex(known.index), level)
    until = max(known.index[-1], min(last, known.index[-1] + driver.max_gap * _DAY))
    every = pd.date_range(known.index[0], until, freq="D")
    opened = pd.Series(data=True, index=known.index).reindex(every, fill_value=False)
    return known.reindex(every, fill_value=0.0), opened


def _warn_of_jumps(driver: Driver, z: np.ndarray, stamps: pd.DatetimeIndex) -> None:
    large = np.flatnonzero(np.abs(np.nan_to_num(z)) > _JUMP)
    if len(large):
        worst = large[np.argmax(np.abs(z[large]))]
        warn(
            f"driver {driver.column!r} moved by {z[worst]:.0f} standard deviations on "
            f"{stamps[worst].date()}: its unit may have changed. Check the source; until then the move "
            "is cut at winsorise.",
        )


def _check_gaps(driver: Driver, stamps: pd.DatetimeIndex, level: pd.Series) -> None:
    gaps = np.diff(stamps.to_numpy()).astype("timedelta64[D]").astype(int)
    long = np.flatnonzero(gaps - 1 > driver.max_gap)
    if len(long):
        at = long[np.argmax(gaps[long])]
        lag = driver.lag * _DAY
        inside = level[(level.index > stamps[at] - lag) & (level.index < stamps[at + 1] - lag)]
        if len(inside):
            msg = (
                f"driver {driver.column!r}: values vary within each window; constant (or nearly) for "
                f"{len(inside)} observations after {stamps[at].date()}. Empty them if the source stood "
                "still, or widen window= in the spec."
            )
            raise PanelError(msg)
        msg = (
            f"driver {driver.column!r}: at most {driver.max_gap} days lie between observations; "
            f"{gaps[at] - 1} after {stamps[at].date()}. Raise max_gap in the spec if these were days "
            "without news, or cut the series."
        )
        raise PanelError(msg)
