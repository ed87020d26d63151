"""Units: returns and factors are fractions per period, prices are prices; what is surely another is refused.

What may be another unit, or a misprint, is named in a warning: coin, day and size.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError, warn
from bayesfactor.panel.words import few, stamps_text
from bayesfactor.periods import DAYS_PER_YEAR

__all__ = [
    "TRADED_FAMILIES",
    "_largest_usual",
    "check_jumps",
    "check_unit_of_factors",
    "check_unit_of_returns",
]

TRADED_FAMILIES: Final = ("market", "style", "sector", "industry", "size", "value", "momentum", "portfolio")
"""Families of factors that are returns of portfolios; factors of others are standardised innovations."""
_USUAL: Final = 0.6
"""No coin has a median absolute return of 60 % a day; of other periods, by the root of time."""
_LEAST: Final = 0.025
_WILD: Final = 3.0
"""Prices are doubted at three times that: they are in no unit, and small coins are wild."""
_FEWEST: Final = 10
_ENOUGH: Final = 30
"""With fewer returns a median is doubted only where it is wild."""
_SURE: Final = 20
"""So many returns without a negative one are none."""
_SMALL: Final = 0.005
"""Yields, which never fall, are smaller than half a per cent per period."""
_JUMP: Final = 10.0
_BACK: Final = 50.0
_BEYOND: Final = 1000.0
"""A price never rises a thousandfold in one period, nor fiftyfold and back."""
_BESIDE: Final = 10.0
"""No portfolio moves typically ten times as much as its coins."""


def _largest_usual(periods_per_year: float) -> float:
    """Return the median absolute return per period above which values are in another unit."""
    return max(_LEAST, _USUAL * math.sqrt(DAYS_PER_YEAR / periods_per_year))


def check_unit_of_returns(returns: pd.DataFrame, source: str, periods_per_year: float) -> None:
    """Refuse returns that are prices, growth factors or levels, or in per cent.

    Raises
    ------
    PanelError
        With the assets and the remedy.
    """
    if source == "returns":
        _refuse_levels(returns)
    limit = _largest_usual(periods_per_year)
    values = returns.abs()
    count = int(values.count().sum())
    if source != "returns" or count < _ENOUGH:
        limit = min(1.0 if count < _ENOUGH else _USUAL, _WILD * limit)
    typical = float(np.nanmedian(values.to_numpy())) if count else 0.0
    each = values.median()[values.count() >= _ENOUGH]
    large = each.index[each > 2.0 * limit]
    if not (typical > limit or len(large)):
        return
    size = typical if typical > limit else float(each.max())
    whose = "" if typical > limit else f", that of {few(large)},"
    if source == "returns":
        msg = (
            f"returns are fractions per period (0.01 is one per cent); the median absolute return{whose} is "
            f"{size:.3g}, which looks like per cent. Divide by 100."
        )
    else:
        msg = (
            f"{source}: the median price{whose} moves by {size:.0%} a period, which no price does: these "
            "may be volumes, or returns. Give prices here, and returns to bf.panel_from_returns (--returns "
            "on the command line)."
        )
    raise PanelError(msg)


def check_jumps(returns: pd.DataFrame, kind: str, source: str) -> None:
    """Refuse prices that rise a thousandfold, or fiftyfold and back, and name others that jump tenfold.

    Falls are real: coins lost 99.97 % in a day. They are named, and pass.

    Raises
    ------
    PanelError
        With coin, date and size.

    Warns
    -----
    UserWarning
        If a price is ten times as high, or a tenth, of what it was a period before.
    """
    values = returns.to_numpy(dtype="float64")
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        rise = np.log1p(values) if kind == "simple" else values
    found = np.argwhere(np.abs(rise) >= math.log(_JUMP))
    if not len(found):
        return
    words = [_jump(returns, rise, i, j) for i, j in found]
    wrong = [w for w, (i, j) in zip(words, found, strict=True) if _is_wrong(rise[:, j], i)]
    cause = "a misprint, a change of unit or a redenomination"
    if wrong:
        msg = (
            f"{source} do not rise a thousandfold in a period, nor fiftyfold and back: {few(wrong)} "
            f"({cause}). Empty such a cell, or multiply the prices before a redenomination by its ratio."
        )
        raise PanelError(msg)
    warn(
        f"{source} jump tenfold in a period: {few(words)}. If that is {cause}, mend it; if it "
        "happened, all is well.",
    )


def check_unit_of_factors(
    factors: pd.DataFrame, families: Sequence[str], returns: pd.DataFrame, periods_per_year: float
) -> None:
    """Refuse traded factors that are no fractions per period; name others that may be none.

    Raises
    ------
    PanelError
        If the typical move of a traded factor is that of no portfolio, or it never falls.

    Warns
    -----
    UserWarning
        If that is so of a factor without a family, or another one never falls, as a level does.
    """
    limit = _largest_usual(periods_per_year)
    usual = float(np.nanmedian(returns.abs().to_numpy())) if returns.notna().any(axis=None) else 0.0
    for name, family in zip(map(str, factors.columns), families, strict=True):
        values = factors[name].dropna().to_numpy()
        if len(values) < _FEWEST:
            continue
        typical, moved = float(np.median(np.abs(values))), values[values != 0.0]
        level = len(moved) >= _SURE and bool((moved > 0.0).all()) and typical > _SMALL
        large = typical > limit or (usual > 0.0 and typical > _BESIDE * usual and typical > _SMALL)
        if family in TRADED_FAMILIES and (large or level):
            said = (
                "never falls, as a level does" if level and not large else f"typically moves by {typical:.3g}"
            )
            remedy = (
                "Give its returns, such as by .pct_change()"
                if level
                else "Divide by 100 if it is in per cent"
            )
            msg = (
                f"factors: a traded factor (family {family}) is a fraction per period (0.01 is one per "
                f"cent); {name!r} {said}, its coins by {usual:.3g}. {remedy}; if it is a standardised "
                f"innovation of a driver, say so by families={{{name!r}: 'macro'}}."
            )
            raise PanelError(msg)
        if level:
            warn(
                f"factors: {name!r} never falls, as a level does. Turn it into innovations by "
                "bf.driver_innovations.",
            )
        elif family == "other" and large:
            warn(
                f"factors: {name!r} typically moves by {typical:.3g}, and is taken for standard deviations "
                "of a driver. If "
                f"it is a return in per cent, divide by 100; else say so by families={{{name!r}: 'macro'}}.",
            )


def _refuse_levels(returns: pd.DataFrame) -> None:
    moved = returns.where(returns != 0.0)
    count, least, typical = moved.count(), moved.min(), moved.abs().median()
    never = least > 0.0
    whole = bool(never[count > 0].all()) and int(count.sum()) >= _FEWEST and float(typical.median()) > _SMALL
    some = returns.columns[(never & (count >= _SURE) & (typical > _SMALL)).to_numpy()]
    if not (whole or len(some)):
        return
    near_one = bool(((moved > 0.3) & (moved < 3.0)).sum().sum() > 0.95 * count.sum()) and whole
    center = float(np.nanmedian(moved.to_numpy()))
    what = f"none of {int(count.sum())} is" if whole else f"those of {few(some)} never are"
    remedy = "Give prices to bf.panel_from_prices (without --returns on the command line)"
    if near_one and abs(center - 1.0) < 0.1:
        remedy += ", and subtract 1 from growth factors"
    msg = f"returns are negative now and then; {what}, so that these look like prices or levels. {remedy}."
    raise PanelError(msg)


def _jump(returns: pd.DataFrame, rise: np.ndarray, i: int, j: int) -> str:
    size = math.exp(min(abs(float(rise[i, j])), 700.0))
    stamp = stamps_text(pd.DatetimeIndex(returns.index[[i]]))
    word = "times" if rise[i, j] > 0.0 else "times less"
    return f"{returns.columns[j]} on {stamp} ({size:,.4g} {word})"


def _is_wrong(rise: np.ndarray, at: int) -> bool:
    """Whether the jump of one coin is none that prices make: up a thousandfold, or fiftyfold and back."""
    if rise[at] >= math.log(_BEYOND):
        return True
    if abs(rise[at]) < math.log(_BACK):
        return False
    beside = [rise[k] for k in (at - 1, at + 1) if 0 <= k < len(rise) and np.isfinite(rise[k])]
    return any(abs(other + rise[at]) < math.log(2.0) for other in beside)
