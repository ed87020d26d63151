"""`download_prices`: closes and traded value from an exchange through ccxt, page by page, resumable.

Each symbol has a CSV in the folder; every page makes it longer, written whole. A run that breaks off loses
one page at most, and the next begins where the file ends. A file's first line says from which day on it was
asked for, and has a digest of the others.
"""

import hashlib
import io
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.bars import check_jumps, check_since, holes, read_page
from bayesfactor.calls import verb
from bayesfactor.errors import DownloadError, PanelError, warn
from bayesfactor.keep import check_folder, written_whole
from bayesfactor.limits import check_count
from bayesfactor.periods import first_moment, last_moment

__all__ = ["download_prices"]

_COLUMNS: Final = ["date", "close", "volume"]
_PAGE: Final = 500
_LONGEST_PAUSE: Final = 60.0
_ORIGIN: Final = re.compile(r"# from (\S+)(?: sha256 ([0-9a-f]{64}))?\s*")
_MOST_HOLES: Final = 20
"""Gaps of one page that are asked for again."""
_UNREADABLE: Final = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError)


@verb
def download_prices(
    exchange: Any,
    symbols: Iterable[str],
    folder: str | Path,
    *,
    start: str,
    end: str | None = None,
    timeframe: str = "1d",
    retries: int = 5,
    progressbar: bool = True,
) -> xr.Dataset:
    """Download closes and traded value of symbols, or continue a download that broke off.

    Parameters
    ----------
    exchange : str or ccxt.Exchange
        Name of an exchange that ccxt knows, such as "binance", or one made by hand. Its rate limit is kept.
    symbols : iterable of str
        As ccxt writes them: "BTC/USDT". The asset is what stands before the slash.
    folder : str or Path
        Where one CSV per symbol lies, or will: `date`, `close`, `volume` (traded value in the quote
        currency).
    start, end : str
        First and last day (UTC), both whole; up to the last bar that is over if `end` is not given.
    timeframe : str
        Of the bars; "1d" or "1h" for most uses.
    retries : int
        How often a page is tried again after a network error, with pauses that double from one second.
    progressbar : bool
        Whether to say what is being loaded.

    Returns
    -------
    Dataset
        `prices` and `volume` (time, asset); a stamp is the opening of its bar, so a daily price is that of
        the end of its day. NaN where there was no bar, or one without a price (none, or 0).

    Raises
    ------
    DownloadError
        If ccxt is not there, exchange or symbol are unknown, the exchange refuses, or retries are used up;
        what was loaded is kept. If it answers with short rows, with what is no price (negative, infinite,
        ten thousand times the bar before), with two prices for one bar, or ignores from when on bars are
        asked for. If a file in the folder is damaged or not of an earlier download.
    MissingFileError, StorageError
        If the folder does not exist, or cannot be written.

    Warns
    -----
    UserWarning
        If bars are missing between others, after they were asked for again.

    Notes
    -----
    Needs the extra `bayesfactor[data]`. Check the exchange's terms of use before you use its data.
    """
    ccxt = _ccxt()
    retries = check_count("retries", retries, least=0, error=DownloadError)
    folder = Path(folder)
    check_folder(folder)
    names = [symbols] if isinstance(symbols, str) else [str(n) for n in symbols]
    assets = [n.split("/")[0] for n in names]
    odd = [a for a in assets if not a or a.startswith(".") or re.search(r'[\\:*?"<>|\x00-\x1f]', a)]
    if odd:
        msg = f"an asset names its file, and {', '.join(map(repr, odd))} cannot. Such as BTC/USDT."
        raise DownloadError(msg)
    if not names or len(set(assets)) != len(assets):
        msg = f"symbols are distinct assets, such as BTC/USDT and ETH/USDT; got {', '.join(names) or 'none'}."
        raise DownloadError(msg)
    source = _opened(exchange, ccxt)
    call = _Patient(source, ccxt, retries)
    call(source.load_markets)
    unknown = [n for n in names if n not in source.markets]
    if unknown or not isinstance(timeframe, str) or timeframe not in source.timeframes:
        what = f"symbol {', '.join(unknown)}" if unknown else f"timeframe {timeframe!r}"
        msg = f"{source.id} does not know the {what}. Symbols are written BTC/USDT; see its markets."
        raise DownloadError(msg)
    step = pd.Timedelta(seconds=source.parse_timeframe(timeframe))
    first, last = _span(start, end, step)
    for asset in assets:
        _kept(folder / f"{asset}.csv")  # all of them are ours, before anything is loaded
    tables = {}
    for name, asset in zip(names, assets, strict=True):
        path = folder / f"{asset}.csv"
        tables[asset] = _one(source, call, name, path, timeframe, step, first, last)
        if progressbar:
            print(f"{name}: {len(tables[asset])} bars", flush=True)  # noqa: T201
    return _joined(tables)


def _ccxt() -> Any:
    try:
        import ccxt
    except ImportError as error:
        msg = f"downloads need ccxt ({error}). pip install 'bayesfactor[data]'."
        raise DownloadError(msg) from error
    return ccxt


def _opened(exchange: Any, ccxt: Any) -> Any:
    if not isinstance(exchange, str):
        if not callable(getattr(exchange, "fetch_ohlcv", None)):
            msg = f"exchange is a name or an exchange of ccxt; got {type(exchange).__name__}. As 'binance'."
            raise DownloadError(msg)
        return exchange
    if exchange not in ccxt.exchanges:
        msg = f"ccxt knows no exchange {exchange!r}; ccxt.exchanges lists {len(ccxt.exchanges)} of them."
        raise DownloadError(msg)
    return getattr(ccxt, exchange)({"enableRateLimit": True})


class _Patient:
    """Calls an exchange again after network errors, with growing pauses; other errors are final."""

    def __init__(self, source: Any, ccxt: Any, retries: int) -> None:
        self.source, self.ccxt, self.retries = source, ccxt, retries

    def __call__(self, do: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        for attempt in range(self.retries + 1):
            try:
                return do(*arguments, **options)
            except self.ccxt.NetworkError as error:
                if attempt == self.retries:
                    msg = (
                        f"{self.source.id} could not be reached in {attempt + 1} attempts: {error}. What "
                        "was loaded is kept; call again to go on."
                    )
                    raise DownloadError(msg) from error
                time.sleep(min(_LONGEST_PAUSE, 2.0**attempt))
            except self.ccxt.BaseError as error:
                msg = f"{self.source.id} refused: {type(error).__name__}: {error}."
                raise DownloadError(msg) from error
            except _UNREADABLE as error:
                msg = (
                    f"{self.source.id} answered what ccxt cannot read: {type(error).__name__}: {error}. Try "
                    "later, or ask another exchange."
                )
                raise DownloadError(msg) from error
        raise AssertionError


def _span(start: str, end: str | None, step: pd.Timedelta) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first bar's stamp and that of the last bar which is over."""
    over = pd.Timestamp.now("UTC").tz_localize(None).floor(step) - step
    try:
        first, last = (
            first_moment(start, "start"),
            over if end is None else last_moment(end, "end").floor(step),
        )
    except PanelError as error:
        msg = f"start and end are dates such as 2021-01-01; got {start!r} and {end!r}."
        raise DownloadError(msg) from error
    last = min(last, over)
    if first > last:
        msg = f"start lies before the end and the last bar that is over, {over}; got {first} and {last}."
        raise DownloadError(msg)
    return first, last


def _one(
    source: Any,
    call: _Patient,
    symbol: str,
    path: Path,
    timeframe: str,
    step: pd.Timedelta,
    first: pd.Timestamp,
    last: pd.Timestamp,
) -> pd.DataFrame:
    """Return the bars of one symbol from `first` to `last`, loading what the file lacks."""
    table = _kept(path)
    # A file that begins later than asked for is loaded from the front again: it may miss bars there.
    if table.attrs["from"] > first:
        table = _empty(first)
    # A file has no hole: it goes on where it ends, even if that is before what is asked for.
    at = table.index[-1] + step if len(table) else first
    full, before = False, table
    while at <= last:
        new = _page(source, call, symbol, timeframe, at)
        check_since(new, at, step, symbol)
        was_full, full = full, len(new) >= _PAGE
        new = new[(new.index >= at) & (new.index <= last)]
        if new.empty:
            if was_full:
                # A server that always answers the same: ccxt drops bars from before what was asked for.
                _keep(before, path)
                msg = (
                    f"{symbol}: a full page of bars ends at {table.index[-1]}, and none follows: the "
                    "exchange ignores `since`, or the coin is gone. Give an end, or ask another exchange."
                )
                raise DownloadError(msg)
            # Nothing here: a coin not listed yet has bars later, one that is gone has none any more.
            at += _PAGE * step
            continue
        for gap in holes(new, step)[:_MOST_HOLES]:
            again = _page(source, call, symbol, timeframe, gap)
            check_since(again, gap, step, symbol)
            again = again[(again.index >= gap) & (again.index <= last) & ~again.index.isin(new.index)]
            new = pd.concat([new, again]).sort_index()
        before = table
        table = pd.concat([table, new]) if len(table) else new
        table.attrs["from"] = before.attrs["from"]
        check_jumps(table, symbol)
        _keep(table, path)
        at = table.index[-1] + step
    table = table[(table.index >= first) & (table.index <= last)]
    if gaps := holes(table, step):
        msg = f"{symbol}: bars are missing in {len(gaps)} places, first from {gaps[0]} on; they stay missing."
        warn(msg)
    return table


def _page(source: Any, call: _Patient, symbol: str, timeframe: str, at: pd.Timestamp) -> pd.DataFrame:
    """Return the bars of a page from `at` on."""
    since = int(at.value // 1_000_000)
    return read_page(call(source.fetch_ohlcv, symbol, timeframe, since=since, limit=_PAGE), symbol)


def _empty(first: pd.Timestamp) -> pd.DataFrame:
    table = pd.DataFrame({"close": [], "volume": []}, index=pd.DatetimeIndex([]), dtype="float64")
    table.attrs["from"] = first
    return table


def _kept(path: Path) -> pd.DataFrame:
    """Return what a file of an earlier download holds."""
    if not path.exists():
        return _empty(pd.Timestamp.max)
    try:
        head, _, text = path.read_bytes().decode().partition("\n")
        origin = _ORIGIN.fullmatch(head)
        if origin is None:
            msg = "its first line does not say from when on it was asked for"
            raise ValueError(msg)  # noqa: TRY301 - one sentence for all that can be wrong with a file
        if origin[2] is not None and origin[2] != hashlib.sha256(text.encode()).hexdigest():
            msg = "it does not hold what was written, by its digest"
            raise ValueError(msg)  # noqa: TRY301
        table = pd.read_csv(io.StringIO(text), index_col="date", parse_dates=True)
        table.index = pd.DatetimeIndex(table.index).as_unit("ns").rename(None)
        table = table[_COLUMNS[1:]].astype("float64")
        if not (
            table.index.is_monotonic_increasing and table.index.is_unique and (table["close"] > 0.0).all()
        ):
            msg = "its stamps do not increase, or a price is not positive"
            raise ValueError(msg)  # noqa: TRY301
        table.attrs["from"] = pd.Timestamp(origin[1])
    except (ValueError, KeyError, OSError) as error:
        msg = f"{path.name!r} is no file of an earlier download: {error}. Move it away and call again."
        raise DownloadError(msg) from error
    return table


def _keep(table: pd.DataFrame, path: Path) -> None:
    text = table.rename_axis("date").to_csv(float_format="%.12g")
    head = f"# from {table.attrs['from'].isoformat()} sha256 {hashlib.sha256(text.encode()).hexdigest()}"
    with written_whole(path) as temporary:
        temporary.write_bytes(f"{head}\n{text}".encode())


def _joined(tables: dict[str, pd.DataFrame]) -> xr.Dataset:
    absent = [a for a, t in tables.items() if t.empty]
    if absent:
        msg = f"no bar in the whole span for {', '.join(absent)}. Move start, or leave them out."
        raise DownloadError(msg)
    stamps = pd.DatetimeIndex(sorted(set().union(*(t.index for t in tables.values()))))
    parts = {c: np.column_stack([t[c].reindex(stamps) for t in tables.values()]) for c in _COLUMNS[1:]}
    return xr.Dataset(
        {"prices": ((s.TIME, s.ASSET), parts["close"]), "volume": ((s.TIME, s.ASSET), parts["volume"])},
        coords={s.TIME: stamps, s.ASSET: np.array(list(tables), dtype=np.str_)},
    )
