"""Numbers and periods as people read them."""

import math
from typing import Final

from bayesfactor.periods import step_of, the_next

__all__ = [
    "cadence",
    "chance",
    "count",
    "interval",
    "money",
    "number",
    "p_value",
    "per_horizon",
    "percent",
    "plain_percent",
    "significant",
    "span",
]

NONE: Final = "n/a"
INFINITE: Final = "infinite"
_MINUS: Final = "\N{MINUS SIGN}"
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"


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
    """Return an amount with thousands separators; cents only where the whole `worth` is small."""
    return _signed(f"{x:,.{0 if worth >= 10_000 else 2}f}") if math.isfinite(x) else _unbounded(x)


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
