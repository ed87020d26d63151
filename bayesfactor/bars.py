"""What an exchange answers becomes bars, or is refused: no price is guessed, none is wrong without a word.

No number, and 0, is no price: the bar is left out, as where nothing was traded. What cannot be a price is an
error, and so are two prices for one bar.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor.errors import DownloadError

__all__ = ["check_jumps", "check_since", "holes", "read_page"]

_LOWEST, _HIGHEST = 1e-15, 1e15
_JUMP: Final = 1e4
"""The fall of LUNA, the worst of a large coin, was below 200-fold in a day."""
_COLUMNS: Final = 6
_FIRST: Final = pd.Timestamp("2009-01-01")


def read_page(page: Any, symbol: str) -> pd.DataFrame:
    """Return the bars of one page by stamp, sorted: `close`, and `volume` in the quote currency at the close.

    Raises
    ------
    DownloadError
        If a row is short, is no row of numbers, or holds what cannot be a stamp, a price or a volume; or if
        two rows of one stamp differ.
    """
    if not isinstance(page, Sequence) or isinstance(page, str | bytes):
        msg = f"{symbol}: a page is a list of bars; the exchange answered {str(page)[:60]!r}. Try later."
        raise DownloadError(msg)
    rows = [_row(row, number, symbol) for number, row in enumerate(page)]
    stamps = pd.to_datetime([r[0] for r in rows], unit="ms").as_unit("ns")
    table = pd.DataFrame([r[1:] for r in rows], index=stamps, columns=["close", "volume"], dtype="float64")
    table = table[~(table.reset_index().duplicated().to_numpy())].sort_index(kind="stable")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        values = ", ".join(f"{x:g}" for x in table.loc[twice[0], "close"])
        msg = f"{symbol}: a bar has one price; {twice[0]} has {values}. Move start, or ask another exchange."
        raise DownloadError(msg)
    return table[table["close"].notna()]


def check_since(table: pd.DataFrame, since: pd.Timestamp, step: pd.Timedelta, symbol: str) -> None:
    """Refuse a page that begins before what was asked for."""
    if len(table) and table.index[0] <= since - step:
        msg = (
            f"{symbol}: bars from {since} on were asked for, and they begin at {table.index[0]}: the "
            "exchange ignores `since`. Download from another one."
        )
        raise DownloadError(msg)


def check_jumps(table: pd.DataFrame, symbol: str) -> None:
    """Refuse a price that is ten thousand times that of the bar before it, or less than a part of as many."""
    close = table["close"].to_numpy()
    jumps = np.abs(np.diff(np.log(close))) > math.log(_JUMP)
    if jumps.any():
        i = int(np.argmax(jumps))
        msg = (
            f"{symbol}: {close[i]:g} on {table.index[i]} and {close[i + 1]:g} on {table.index[i + 1]} are "
            "not prices of one coin. Move start behind it, or ask another exchange."
        )
        raise DownloadError(msg)


def holes(table: pd.DataFrame, step: pd.Timedelta) -> list[pd.Timestamp]:
    """Return the first missing stamp of every gap between bars."""
    gaps = np.flatnonzero(np.diff(table.index.to_numpy()) > 1.5 * step.to_timedelta64())
    return [stamp + step for stamp in table.index[gaps]]


def _row(row: Any, number: int, symbol: str) -> tuple[int, float, float]:
    """Return stamp, close and traded value of a row."""
    if not isinstance(row, Sequence) or isinstance(row, str | bytes) or len(row) < _COLUMNS:
        msg = (
            f"{symbol}: a bar has {_COLUMNS} numbers (stamp, open, high, low, close, volume); row {number} "
            f"of a page is {str(row)[:60]!r}. Try again later, or ask another exchange."
        )
        raise DownloadError(msg)
    stamp, close, volume = (_number(row[i], number, symbol) for i in (0, 4, 5))
    last = pd.Timestamp.now("UTC").tz_localize(None) + pd.Timedelta(days=366)
    if not (_FIRST.value <= stamp * 1e6 <= last.value):
        _refuse(symbol, number, f"the stamp {row[0]!r}, no milliseconds since 1970 of a bar that can be")
    if math.isnan(close) or close == 0.0:
        return int(stamp), math.nan, math.nan
    if not _LOWEST <= close <= _HIGHEST:
        _refuse(symbol, number, f"the price {row[4]!r} at {pd.Timestamp(int(stamp), unit='ms')}")
    if volume < 0.0 or (not volume * close < math.inf and not math.isnan(volume)):
        _refuse(symbol, number, f"the volume {row[5]!r} at {pd.Timestamp(int(stamp), unit='ms')}")
    return int(stamp), close, volume * close


def _number(value: Any, number: int, symbol: str) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        _refuse(symbol, number, f"{str(value)[:40]!r}, no number")
    raise AssertionError


def _refuse(symbol: str, number: int, what: str) -> None:
    msg = f"{symbol}: row {number} of a page has {what}. Move start behind it, or ask another exchange."
    raise DownloadError(msg)
