"""Downloads against a small exchange on this machine: pages, late listings, failures, and going on."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

import ccxt
import numpy as np
import pandas as pd
import pytest

import bayesfactor as bf
from bayesfactor import download

DAYS = pd.date_range("2019-01-01", "2023-12-31")
LISTED = {"BTCUSDT": 0, "NEWUSDT": 1300}


def close(symbol, day):
    return 100.0 + (7 if symbol == "NEWUSDT" else 0) + day


class Exchange(BaseHTTPRequestHandler):
    """What ccxt's binance asks for: exchangeInfo and klines, a page of 500 at most."""

    calls = None
    fail_at = ()

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlparse(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if url.path.endswith("exchangeInfo"):
            self.answer({"symbols": [self.market(b) for b in ("BTC", "NEW")]})
            return
        Exchange.calls.append(query)
        if len(Exchange.calls) in Exchange.fail_at:
            self.answer({"msg": "busy"}, 503)
            return
        begin = pd.Timestamp(int(query["startTime"]), unit="ms")
        rows = []
        for day in range(LISTED[query["symbol"]], len(DAYS)):
            if DAYS[day] >= begin and len(rows) < int(query.get("limit", 500)):
                stamp, price = int(DAYS[day].value // 1_000_000), close(query["symbol"], day)
                rows.append([stamp, "1", "1", "1", str(price), "2", stamp + 86399999, "3", 1, "1", "1", "0"])
        self.answer(rows)

    def market(self, base):
        return {
            "symbol": f"{base}USDT", "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT",
            "baseAssetPrecision": 8, "quotePrecision": 8, "isSpotTradingAllowed": True, "permissions": ["SPOT"],
            "permissionSets": [["SPOT"]], "orderTypes": ["LIMIT"], "filters": [],
        }  # fmt: skip

    def answer(self, body, status=200):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def exchange(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Exchange)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Exchange, "calls", [])
    monkeypatch.setattr(Exchange, "fail_at", ())
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    source = ccxt.binance(
        {"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}}
    )
    source.has["fetchCurrencies"] = False
    source.urls["api"]["public"] = f"http://127.0.0.1:{server.server_port}/api/v3"
    yield source
    server.shutdown()
    server.server_close()


SPAN = {"start": "2019-01-01", "end": "2023-12-31", "progressbar": False}


def test_all_pages_come_with_a_coin_that_listed_late(exchange, tmp_path):
    found = bf.download_prices(exchange, ["BTC/USDT", "NEW/USDT"], tmp_path, **SPAN)
    assert found.sizes == {"time": len(DAYS), "asset": 2}
    np.testing.assert_array_equal(
        found["prices"].sel(asset="BTC").values, [close("BTCUSDT", d) for d in range(len(DAYS))]
    )
    new = found["prices"].sel(asset="NEW").to_series()
    assert new.first_valid_index() == DAYS[1300]
    np.testing.assert_allclose(found["volume"].values[-1], 2 * found["prices"].values[-1])
    panel = bf.panel_from_prices(found)
    assert panel.sizes["time"] == len(DAYS) - 1


def test_a_second_call_loads_nothing_and_a_longer_one_only_what_is_new(exchange, tmp_path):
    early = SPAN | {"end": "2022-06-30"}
    first = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **early)
    n = len(Exchange.calls)
    again = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **early)
    assert len(Exchange.calls) == n
    assert first.identical(again)
    longer = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **SPAN)
    assert all(
        pd.Timestamp(int(c["startTime"]), unit="ms") > pd.Timestamp("2022-06-30") for c in Exchange.calls[n:]
    )
    assert longer.sizes["time"] == len(DAYS)


def test_a_download_that_breaks_off_goes_on_where_it_was(exchange, tmp_path, monkeypatch):
    monkeypatch.setattr(Exchange, "fail_at", range(3, 100))
    with pytest.raises(bf.DownloadError, match="kept; call again"):
        bf.download_prices(exchange, ["BTC/USDT"], tmp_path, retries=2, **SPAN)
    assert len(pd.read_csv(tmp_path / "BTC.csv", comment="#")) == 1000
    monkeypatch.setattr(Exchange, "fail_at", ())
    n = len(Exchange.calls)
    found = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **SPAN)
    assert pd.Timestamp(int(Exchange.calls[n]["startTime"]), unit="ms") == DAYS[1000]
    np.testing.assert_array_equal(
        found["prices"].values[:, 0], [close("BTCUSDT", d) for d in range(len(DAYS))]
    )


def test_a_passing_failure_is_tried_again(exchange, tmp_path, monkeypatch):
    monkeypatch.setattr(Exchange, "fail_at", (2, 3))
    found = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **SPAN)
    assert found.sizes["time"] == len(DAYS)


@pytest.mark.parametrize("later", ["2021-01-01", "2019-01-02"])
def test_an_earlier_start_loads_the_front_again(exchange, tmp_path, later):
    bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **(SPAN | {"start": later}))
    found = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **SPAN)
    assert found["time"].values[0] == DAYS[0].to_datetime64()


def test_a_later_start_leaves_no_hole_behind(exchange, tmp_path):
    bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **(SPAN | {"end": "2020-06-30"}))
    bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **(SPAN | {"start": "2022-01-01"}))
    whole = bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **SPAN)
    assert whole.sizes["time"] == len(DAYS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symbols": ["XXX/USDT"]}, "does not know the symbol XXX/USDT"),
        ({"symbols": []}, "got none"),
        ({"symbols": ["BTC/USDT", "BTC/USDC"]}, "distinct assets"),
        ({"timeframe": "7x"}, "timeframe '7x'"),
        ({"start": "soon"}, "dates such as"),
        ({"start": "2031-01-01"}, "start lies before"),
        ({"symbols": ["NEW/USDT"], "end": "2019-06-01"}, "no bar in the whole span"),
        ({"exchange": "nowhere"}, "no exchange 'nowhere'"),
    ],
)
def test_what_cannot_be_loaded_is_named(exchange, tmp_path, change, words):
    call = {"exchange": exchange, "symbols": ["BTC/USDT"], "folder": tmp_path, **SPAN} | change
    with pytest.raises(bf.DownloadError, match=words):
        bf.download_prices(**call)


def test_folders_and_files_are_checked(exchange, tmp_path):
    with pytest.raises(bf.MissingFileError):
        bf.download_prices(exchange, ["BTC/USDT"], tmp_path / "none", **SPAN)
    (tmp_path / "BTC.csv").write_text("something else\n")
    with pytest.raises(bf.DownloadError, match="no file of an earlier download"):
        bf.download_prices(exchange, ["BTC/USDT"], tmp_path, **SPAN)
    assert (tmp_path / "BTC.csv").read_text() == "something else\n"


# --- what an exchange may answer --------------------------------------------------------------------

FEW = {"start": "2020-01-01", "end": "2020-01-10", "progressbar": False}
DAY = 86_400_000
FIRST = int(pd.Timestamp("2020-01-01").value // 1_000_000)


class Source:
    """An exchange of ccxt in memory: `answer` turns honest rows from `since` on into a page."""

    id, markets, timeframes = "memory", {"BTC/USDT": {}}, {"1d": "1d"}

    def __init__(self, answer, days=10):
        self.answer, self.calls = answer, []
        self.rows = [[FIRST + d * DAY, 1.0, 1.0, 1.0, 100.0 + d, 2.0] for d in range(days)]

    def load_markets(self):
        pass

    def parse_timeframe(self, _):
        return 86_400

    def fetch_ohlcv(self, *_, since, limit):
        self.calls.append(since)
        page = [list(r) for r in self.rows if r[0] >= since][:limit]
        return self.answer(page)


def with_cell(row, column, value):
    def answer(page):
        if len(page) > row:
            page[row][column] = value
        return page

    return answer


REFUSED = {
    "a negative price": (with_cell(3, 4, -5.0), "the price -5.0 at 2020-01-04"),
    "an infinite price": (with_cell(3, 4, float("inf")), "the price inf"),
    "a price of 1e308": (with_cell(3, 4, 1e308), r"the price 1e\+308"),
    "a price of a misprint": (with_cell(3, 4, 1.03e7), "not prices of one coin"),
    "a price in words": (with_cell(3, 4, "dear"), "'dear', no number"),
    "a negative volume": (with_cell(3, 5, -1.0), r"the volume -1\.0"),
    "an infinite volume": (with_cell(3, 5, float("inf")), "the volume inf"),
    "no stamp": (with_cell(3, 0, None), "the stamp None"),
    "a stamp in seconds": (with_cell(3, 0, FIRST / 1000), "no milliseconds since 1970"),
    "a short row": (lambda page: [*page[:3], page[3][:4], *page[4:]], "a bar has 6 numbers .* row 3"),
    "a row of nothing": (lambda page: [*page[:3], None, *page[4:]], "a bar has 6 numbers"),
    "no page": (lambda _: None, "a page is a list of bars"),
    "a page of words": (lambda _: "busy", "a page is a list of bars"),
    "two prices for a bar": (
        lambda page: [*page, [*page[2][:4], 7.0, 2.0]],
        "2020-01-03 00:00:00 has 102, 7",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_price_is_refused_and_nothing_is_kept(what, tmp_path):
    answer, words = REFUSED[what]
    with pytest.raises(bf.DownloadError, match=words):
        bf.download_prices(Source(answer), ["BTC/USDT"], tmp_path, **FEW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("none", [None, float("nan"), 0.0])
def test_a_bar_without_a_price_is_missing_and_said(none, tmp_path):
    def answer(page):
        return [[*r[:4], none if r[0] == FIRST + 3 * DAY else r[4], r[5]] for r in page]

    with pytest.warns(UserWarning, match="missing in 1 places, first from 2020-01-04"):
        found = bf.download_prices(Source(answer), ["BTC/USDT"], tmp_path, **FEW)
    assert found["prices"].values[:, 0].tolist() == [100, 101, 102, 104, 105, 106, 107, 108, 109]
    assert pd.Timestamp("2020-01-04") not in found.indexes["time"]


def test_order_and_copies_of_rows_change_nothing(tmp_path):
    found = bf.download_prices(Source(lambda p: [*p[::-1], *p[:4]]), ["BTC/USDT"], tmp_path, **FEW)
    assert found["prices"].values[:, 0].tolist() == [100.0 + d for d in range(10)]


def test_a_hole_inside_a_page_is_asked_for_again(tmp_path):
    source = Source(lambda page: page[:4] + page[6:] if len(page) == 10 else page)
    found = bf.download_prices(source, ["BTC/USDT"], tmp_path, **FEW)
    assert found["prices"].values[:, 0].tolist() == [100.0 + d for d in range(10)]
    assert source.calls == [FIRST, FIRST + 4 * DAY]


def test_a_server_that_ignores_since_is_told(tmp_path):
    span = FEW | {"end": "2022-12-31"}
    same = Source(None, days=500)
    same.answer = lambda _: [list(r) for r in same.rows]  # raw: earlier bars than asked for
    with pytest.raises(bf.DownloadError, match="ignores `since`"):
        bf.download_prices(same, ["BTC/USDT"], tmp_path, **span)
    (tmp_path / "BTC.csv").unlink()
    cut = Source(lambda page: page, days=500)  # as ccxt gives it: earlier bars left out
    for _ in range(2):  # what is kept of it does not hide it from the second call
        with pytest.raises(bf.DownloadError, match="ignores `since`"):
            bf.download_prices(cut, ["BTC/USDT"], tmp_path, **span)


def test_what_ccxt_cannot_read_is_an_error_of_ours(tmp_path):
    def broken(_):
        raise KeyError("closeTime")

    with pytest.raises(bf.DownloadError, match="memory answered what ccxt cannot read: KeyError"):
        bf.download_prices(Source(broken), ["BTC/USDT"], tmp_path, **FEW)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"retries": -1}, "retries is a whole number"),
        ({"retries": 2.5}, "retries is a whole number"),
        ({"retries": True}, "retries is a whole number"),
        ({"start": None}, "dates such as"),
        ({"start": 20200101}, "dates such as"),
        ({"start": float("nan")}, "dates such as"),
        ({"start": "2020-13-01"}, "dates such as"),
        ({"symbols": [".BTC/USDT"]}, "an asset names its file"),
        ({"symbols": [5]}, "does not know the symbol 5"),
        ({"exchange": 5}, "exchange is a name"),
        ({"timeframe": ["1d"]}, "timeframe"),
    ],
)
def test_bad_arguments_are_named(change, words, tmp_path):
    call = {"exchange": Source(lambda p: p), "symbols": ["BTC/USDT"], "folder": tmp_path, **FEW} | change
    with pytest.raises(bf.DownloadError, match=words):
        bf.download_prices(**call)


def test_a_damaged_file_of_an_earlier_download_is_refused(tmp_path):
    bf.download_prices(Source(lambda p: p), ["BTC/USDT"], tmp_path, **FEW)
    path = tmp_path / "BTC.csv"
    path.write_text(path.read_text().replace("2020-01-04,103", "2020-01-04,163"))
    with pytest.raises(bf.DownloadError, match="does not hold what was written, by its digest"):
        bf.download_prices(Source(lambda p: p), ["BTC/USDT"], tmp_path, **FEW)
