"""Numbers of a position and their units: what is written in per cent, or for another time, is named."""

import math
from typing import Any, Final

from bayesfactor.errors import PositionsError, warn
from bayesfactor.tables import Door, read_numbers

__all__ = ["POSITIONS", "number_of"]

POSITIONS: Final = Door("positions", PositionsError)
_POSITIVE: Final = ("price", "strike", "days", "implied_volatility")
_PER_CENT: Final = ("implied_volatility", "rate")
"""What may be written with a per cent sign."""
_LARGEST_VOLATILITY: Final = 10.0
"""1000 % a year: above it somebody has written per cent."""
_LEAST_VOLATILITY: Final = 0.02
"""2 % a year: below it somebody has written it for a day, or divided twice."""
_LARGEST_RATE: Final = 1.0
_LARGEST_FUNDING: Final = 0.1
_NOTICED_FUNDING: Final = 0.005
"""Half a per cent per period: exchanges write per cent for eight hours."""
_FUNDING: Final = (
    "funding is a fraction of the notional for one period of the panel; exchanges quote it in "
    "per cent for 8 hours: "
    "0.01 % there is 0.0001 for 8 hours, and 0.0003 for a day"
)


def number_of(where: str, name: str, cell: Any, decimal: str = ".") -> float:
    """Return a cell as a number in the unit of its column.

    Raises
    ------
    PositionsError
        If it is no finite number, out of range, or in another unit.

    Warns
    -----
    UserWarning
        If it is so large or small that it may be in another unit.
    """
    number = _read(where, name, cell, decimal)
    if not math.isfinite(number):
        what = "days are a number, from today to expiry" if name == "days" else f"{name} is a finite number"
        msg = f"{where}: {what}; got {cell!r}. Mend it."
        raise PositionsError(msg)
    if name in _POSITIVE and number <= 0.0:
        remedy = " An option that has expired is none: leave the row out." if name == "days" else ""
        msg = f"{where}: {name} is above 0; got {number:g}.{remedy}"
        raise PositionsError(msg)
    if name == "implied_volatility":
        _check_volatility(where, number)
    if name == "rate" and abs(number) > _LARGEST_RATE:
        msg = f"{where}: rate is a fraction per year; got {number:g}, which is {number:.0%}. Divide by 100."
        raise PositionsError(msg)
    if name == "funding":
        _check_funding(where, number)
    return number


def _read(where: str, name: str, cell: Any, decimal: str) -> float:
    if not isinstance(cell, str):
        try:
            return float(cell)
        except (TypeError, ValueError):
            return math.nan
    found = read_numbers([cell.strip()], decimal)
    if found.percent and name == "funding":
        msg = f"{where}: {_FUNDING}. Got {cell!r}: write the fraction."
        raise PositionsError(msg)
    if found.percent and name not in _PER_CENT:
        msg = f"{where}: {name} has no per cent sign; got {cell!r}."
        raise PositionsError(msg)
    return float(found.values[0])


def _check_volatility(where: str, number: float) -> None:
    if number > _LARGEST_VOLATILITY:
        msg = (
            f"{where}: implied_volatility is a fraction per year; got {number:g}, which is "
            f"{number:.0%}. Divide by 100."
        )
        raise PositionsError(msg)
    if number < _LEAST_VOLATILITY:
        warn(
            f"{where}: implied_volatility is a fraction per year; {number:g} is {number:.2%}. If "
            "it is per day, multiply "
            "by the square root of 365.",
        )


def _check_funding(where: str, number: float) -> None:
    if abs(number) > _LARGEST_FUNDING:
        msg = f"{where}: {_FUNDING}. Got {number:g}, which is {number:.0%} of the notional."
        raise PositionsError(msg)
    if abs(number) > _NOTICED_FUNDING:
        warn(f"{where}: {_FUNDING}. {number:g} is {number:.2%} per period.")
