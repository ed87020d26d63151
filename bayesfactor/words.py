"""Numbers and periods as people read them, and sentences that stand beside numbers."""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from bayesfactor.periods import stamp_text, step_of, the_next

__all__ = [
    "cadence",
    "chance",
    "count",
    "forecast_of",
    "interval",
    "money",
    "number",
    "p_value",
    "per_horizon",
    "percent",
    "plain_percent",
    "significant",
    "some",
    "span",
    "stamps",
    "typical_day",
]

NONE: Final = "n/a"
INFINITE: Final = "infinite"
_MINUS: Final = "\N{MINUS SIGN}"
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_LARGE: Final = ((1e9, "bn"), (1e6, "mn"))


def _signed(text: str) -> str:
    digits = text.lstrip("-").strip("0.,")
    return text.replace("-", _MINUS if digits else "", 1)


def percent(x: float, decimals: int = 2) -> str:
    """Return a fraction as a percentage, `12.34 %`."""
    return f"{_signed(f'{100 * x:,.{decimals}f}')}{_THIN}%" if math.isfinite(x) else _unbounded(x)


def _unbounded(x: float) -> str:
    """Return what is no finite number in words: a loss without a mean is infinite, not unknown."""
    return NONE if math.isnan(x) else INFINITE if x > 0 else f"{_MINUS}{INFINITE}"


def plain_percent(x: float) -> str:
    """Return a probability as it was given, `97.5 %`."""
    return f"{round(100 * x, 6):g}{_THIN}%"


def number(x: float, decimals: int = 3) -> str:
    """Return a number with a proper minus sign."""
    return _signed(f"{x:,.{decimals}f}") if math.isfinite(x) else NONE


def significant(x: float, digits: int = 3) -> str:
    """Return a number to so many digits, whatever its size."""
    return _signed(f"{x:.{digits}g}") if math.isfinite(x) else _unbounded(x)


def p_value(p: float) -> str:
    """Return a p-value to three digits; small ones as a bound."""
    if not math.isfinite(p):
        return NONE
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def chance(p: float) -> str:
    """Return a probability in per cent; small ones as a bound."""
    if not math.isfinite(p):
        return NONE
    return f"< 0.01{_THIN}%" if p < 0.0001 else percent(p, 2 if p < 0.1 else 1)


def money(x: float, worth: float) -> str:
    """Return an amount with thousands separators; cents of a small `worth`, mn or bn of a large one."""
    if not math.isfinite(x):
        return _unbounded(x)
    for unit, name in _LARGE:
        if worth >= 1_000 * unit:
            return f"{_signed(f'{x / unit:,.2f}')}{_THIN}{name}"
    return _signed(f"{x:,.{0 if worth >= 10_000 else 2}f}")


def interval(low: float, high: float, decimals: int = 2) -> str:
    """Return `1.20 to 1.90 %`; the sign is written once."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return NONE
    return f"{_signed(f'{100 * low:,.{decimals}f}')} to {percent(high, decimals)}"


def span(low: float, high: float, decimals: int = 2) -> str:
    """Return `0.90 to 1.10`, of numbers that are no percentages."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return NONE
    return f"{number(low, decimals)} to {number(high, decimals)}"


def count(n: float, singular: str, plural: str | None = None) -> str:
    """Return `1 draw` or `4,000 draws`."""
    return f"{n:,.0f} {singular if n == 1 else plural or singular + 's'}"


def cadence(periods_per_year: float) -> str:
    """Return what one period is called."""
    return step_of(periods_per_year).name


def per_horizon(horizon: int, periods_per_year: float) -> str:
    """Return `the next day` or `the next 10 days`."""
    return the_next(horizon, periods_per_year)


def stamps(times: np.ndarray) -> tuple[str, str]:
    """Return the first and last stamp; midnight is left out."""
    if times.dtype.kind != "M":
        return str(times[0]), str(times[-1])
    return stamp_text(times[0]), stamp_text(times[-1])


def some(names: Iterable[object], most: int = 5) -> str:
    """Return the first few names, and how many more there are."""
    every = [str(name) for name in names]
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def forecast_of(periods_per_year: float, *, follows_days: bool) -> str:
    """Return which period a forecast is of; a law that never changes knows of no crash."""
    name = cadence(periods_per_year)
    if follows_days:
        return f"of the next {name}: volatility follows the {name}s before"
    article = "an" if name.startswith("hour") else "a"
    return (
        f"of a typical {name} of the window, not of {article} {name} after a crash: the volatility of this "
        f"model does not follow the {name}s before"
    )


def typical_day(periods_per_year: float) -> str:
    """Return the sentence that stands beside the risk of a model whose law never changes."""
    return f"The numbers are a forecast {forecast_of(periods_per_year, follows_days=False)}."
