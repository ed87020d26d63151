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
