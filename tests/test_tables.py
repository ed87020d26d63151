"""One reader for every table: what people have is read as it was meant, or refused with a line that reads it."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from tables import COINS, DAYS, bars, klines, lines, market, mended, rows_text, stacked, written

import bayesfactor as bf
from bayesfactor.errors import PanelError
from bayesfactor.panel.forms import CAPS, DRIVERS, PRICES, RETURNS_FORM, VOLUME
from bayesfactor.panel.tables import to_wide

GERMAN = str.maketrans(",.", ".,")


def comma(x: float) -> str:
    return str(x).replace(".", ",")


def yfinance(*levels: list[str], dates: str = "Date") -> str:
    table = pd.concat({c: bars(c) for c in COINS}, axis=1).swaplevel(axis=1)
    rows = [",".join([head, *table.columns.get_level_values(k)]) for k, head in enumerate(levels[0])]
    rows += [dates + "," * table.shape[1]] if dates else []
    body = table.to_csv(header=False)
    return "\n".join(rows) + "\n" + body


SAME = {
    "tabs": lambda: lines(market(), "\t"),
    "bars between fields": lambda: lines(market(), "|"),
    "semicolons and decimal commas": lambda: lines(market(), ";", comma),
    "decimal commas in quotes": lambda: lines(market(), ",", comma, '"'),
    "thousands in quotes": lambda: lines(market(), ",", "{:,.2f}".format, '"'),
    "German thousands": lambda: lines(market(), ";", lambda x: f"{x:,.2f}".translate(GERMAN)),
    "French thousands": lambda: lines(market(), ";", lambda x: f"{x:,.2f}".replace(",", "\u202f").replace(".", ",")),
    "dollars": lambda: lines(market(), ",", "${}".format),
    "dollars and thousands": lambda: lines(market(), ",", "${:,.2f}".format, '"'),
    "euros after numbers": lambda: lines(market(), ";", lambda x: comma(x) + " €"),
    "quoted everything": lambda: lines(market(), ",", str, '"').replace("date,BTC", '"date","BTC"'),
    "blanks": lambda: lines(market(), " , "),
    "comments": lambda: "# exported today\n" + lines(market()) + "# end\n",
    "the address of a site": lambda: "https://www.example.org/data\n" + lines(market()),
    "the hint of Excel": lambda: "sep=;\n" + lines(market(), ";", comma),
    "blank lines": lambda: lines(market()).replace("\n", "\n\n"),
    "a table in Markdown": lambda: "| " + lines(market(), " | ").replace("\n", " |\n| ").replace(
        "\n", "\n|---|---|---|---|\n", 1
    ).removesuffix("| "),
    "rows of delimiters": lambda: lines(market()) + ",,,\n,,,\n",
    "a delimiter at every end": lambda: lines(market()).replace("\n", ",\n"),
    "line ends of Windows": lambda: lines(market()).replace("\n", "\r\n"),
    "line ends of old Macs": lambda: lines(market()).replace("\n", "\r"),
    "no line end at the end": lambda: lines(market()).rstrip(),
    "a mark of UTF-8": lambda: lines(market()).encode("utf-8-sig"),
    "UTF-16": lambda: lines(market()).encode("utf-16"),
    "UTF-16 without a mark": lambda: lines(market()).encode("utf-16-le"),
    "dates and hours apart": lambda: lines(market()).replace("date,", "date,time,").replace("-2024", "").replace(
        ",BTC", ",BTC"
    ).replace("\n2024", "\n2024"),
    "missing words": lambda: lines(market()),
    "two rows of names": lambda: yfinance(["Price", "Ticker"]),
    "two rows of names, an index without one": lambda: yfinance(["", ""]),
    "two rows of names and no third": lambda: yfinance(["Price", "Ticker"], dates=""),
    "days as numbers": lambda: lines(market()).replace("-", ""),
    "a zone": lambda: "\n".join(
        row.replace(",", " 00:00:00 UTC,", 1) if i else row for i, row in enumerate(lines(market()).splitlines())
    ),
    "long": lambda: stacked().to_csv(index=False),
    "long, as Kaggle has it": lambda: stacked()
    .rename(columns={"symbol": "Symbol", "date": "Date"})
    .assign(SNo=range(1, 61), Name="x", Marketcap=1e9)
    .to_csv(index=False),
    "long, as CryptoDataDownload has it": lambda: "https://www.CryptoDataDownload.com\n"
    + stacked().assign(unix=1704067200, tradecount=5).rename(columns={"Volume": "Volume USDT"}).to_csv(index=False),
    "long, as Coin Metrics has it": lambda: stacked()
    .rename(columns={"date": "time", "symbol": "asset", "Close": "PriceUSD"})[["time", "asset", "PriceUSD"]]
    .to_csv(index=False),
    "long, as CoinMarketCap has it": lambda: stacked()
    .rename(columns={"date": "timeOpen", "symbol": "name"})
    .assign(timeOpen=lambda t: t["timeOpen"].dt.strftime('"%Y-%m-%dT00:00:00.000Z"'), timestamp="2024-03-01T23:59:59Z")
    .to_csv(index=False, sep=";", quoting=3),
    "long, with an adjusted close": lambda: stacked().assign(**{"Adj Close": lambda t: t["Close"]}).to_csv(index=False),
}  # fmt: skip
del SAME["missing words"], SAME["dates and hours apart"]


@pytest.mark.parametrize("case", SAME)
def test_the_same_prices_are_read_in_every_shape(case, tmp_path):
    found = to_wide(written(tmp_path, SAME[case]()), PRICES)
    pd.testing.assert_frame_equal(
        found, market(), check_names=False, check_freq=False, check_column_type=False
    )


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.tsv", "t.csv.gz", "T.CSV.GZ", "plain-in-name.gz.csv"])
def test_suffixes_of_text_are_all_read(name, tmp_path):
    found = to_wide(written(tmp_path, lines(market()), name), PRICES)
    np.testing.assert_array_equal(found, market())


def test_dates_and_clock_times_in_two_columns_are_one_stamp(tmp_path):
    hours = pd.date_range("2024-01-01", periods=30, freq="h")
    rows = [f"{t:%Y-%m-%d},{t:%H:%M},{100 + i},{7 + i % 3}" for i, t in enumerate(hours)]
    for head, order in (("date,time,BTC,ETH", slice(None)), ("time,date,BTC,ETH", [1, 0, 2, 3])):
        cells = [r.split(",") for r in rows]
        text = "\n".join([head, *(",".join(np.array(c)[order]) for c in cells)])
        assert list(to_wide(written(tmp_path, text), PRICES).index) == list(hours)
    frame = pd.DataFrame({"date": hours.normalize(), "time": hours.time, "BTC": range(100, 130)})
    assert isinstance(frame["time"].iloc[0], dt.time)
    assert list(to_wide(frame, PRICES).index) == list(hours)


@pytest.mark.parametrize("word", ["", ".", "-", "N/A", "NaN", "null", "#N/A", "None", "--"])
def test_what_files_write_for_nothing_is_missing(word, tmp_path):
    text = lines(market()).splitlines()
    cells = text[5].split(",")
    cells[2] = word
    text[5] = ",".join(cells)
    found = to_wide(written(tmp_path, "\n".join(text)), PRICES)
    assert np.isnan(found.iloc[4, 1])
    assert found.isna().to_numpy().sum() == 1


def test_latin_letters_are_read_and_said(tmp_path):
    text = lines(market().rename(columns={"BTC": "Münze"})).encode("latin-1")
    with pytest.warns(UserWarning, match="not UTF-8 and is read as Latin-1"):
        assert list(to_wide(written(tmp_path, text), PRICES)) == ["Münze", "ETH", "SOL"]


ONE_COIN = {
    "bars": lambda: bars().to_csv(),
    "small letters": lambda: bars().rename(columns=str.lower).to_csv(),
    "capitals": lambda: bars().rename(columns=str.upper).to_csv(),
    "an adjusted close": lambda: bars().assign(**{"Adj Close": 1.0}).to_csv(),
    "a signal beside": lambda: bars().assign(RSI=np.arange(20) % 7).to_csv(),
    "close and volume": bars()[["Close", "Volume"]].to_csv,
    "close alone": bars()[["Close"]].to_csv,
    "open, high and low": lambda: bars()[["Open", "High", "Low"]].assign(Close=bars()["Close"]).to_csv(),
    "blanks in names": lambda: bars().rename(columns=lambda c: f" {c} ").to_csv(),
    "semicolons and decimal commas": lambda: bars().to_csv(sep=";", decimal=","),
    "klines": lambda: rows_text(klines()),
    "klines in microseconds": lambda: rows_text(klines("us")),
    "klines, first in milliseconds": lambda: rows_text(klines()[:9] + klines("us")[9:]),
    "klines with names": lambda: rows_text(
        klines(),
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore",
    ),
    "klines with other names": lambda: rows_text(klines(), "Open time,Open,High,Low,Close,Volume,Close time,"
        "Quote asset volume,Number of trades,Taker buy base asset volume,Taker buy quote asset volume,Ignore"),
    "a chart of CoinGecko": lambda: rows_text(
        [[f"{d:%Y-%m-%d} 00:00:00 UTC", c, 1e12, 1e9] for d, c in market()["BTC"].items()],
        "snapped_at,price,market_cap,total_volume",
    ),
    "stamps and prices": lambda: rows_text([[d.value // 10**6, c] for d, c in market()["BTC"].items()]),
    "CoinMarketCap, which names the dollar": lambda: bars()
    .rename(columns=str.lower)
    .rename_axis("timeOpen")
    .assign(timeClose="2024-03-01T23:59:59.999Z", name=2781, marketCap=1e9)
    .to_csv(sep=";"),
    "investing.com": lambda: "\n".join(
        ['"Date","Price","Open","High","Low","Vol.","Change %"']
        + [f'"{d:%m/%d/%Y}","{c:,.2f}","1.0","1.0","1.0","55.13K","-1.55%"' for d, c in market()["BTC"][::-1].items()]
    ),
    "the address of a site": lambda: "https://example.org\n" + bars().to_csv(),
    "CoinMarketCap, as its page has it": lambda: "\n".join(
        ["Date,Open*,High,Low,Close**,Volume,Market Cap"]
        + [f'"{d:%b %d, %Y}",1.0,1.0,1.0,"{c:,.2f}","1,000","1,000,000"' for d, c in market()["BTC"].items()]
    ),
    "investing.com in German": lambda: "\n".join(
        ['"Datum";"Zuletzt";"Eröffn.";"Hoch";"Tief";"Vol.";"+/- %"']
        + [f'{d:%d.%m.%Y};{f"{c:,.2f}".translate(GERMAN)};1,0;1,0;1,0;55,13K;-1,55%' for d, c in market()["BTC"].items()]
    ),
    "Kraken": lambda: "\n".join(f"{d.value // 10**9},1,1,1,{c},5,9" for d, c in market()["BTC"].items()),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_COIN)
def test_fields_of_one_coin_are_no_coins_and_the_remedy_reads_them(case, tmp_path):
    path = written(tmp_path, ONE_COIN[case]())
    with pytest.raises(PanelError, match=r"prices: .*(fields of one coin|of one coin:)") as caught:
        to_wide(path, PRICES)
    found = to_wide(mended(str(caught.value)), PRICES)
    pd.testing.assert_series_equal(found["BTC"], market()["BTC"], check_names=False, check_freq=False)
    assert list(found) == ["BTC"]
    # and on the command line, where only a file helps
    mended(str(caught.value)).to_csv(
        tmp_path / "prices.csv", index="read_csv" in case or found.index.name != "date"
    )


def test_answers_of_exchanges_in_memory_get_the_line_that_reads_them():
    pairs = [[d.value // 10**6, c] for d, c in market()["BTC"].items()]
    answers = [
        pairs,
        np.array(pairs),
        klines(),
        {"prices": pairs, "market_caps": pairs, "total_volumes": pairs},
    ]
    for prices in answers:
        with pytest.raises(PanelError, match="of one coin: with its name for BTC") as caught:
            to_wide(prices, PRICES)
        np.testing.assert_array_equal(
            to_wide(mended(str(caught.value), prices=prices), PRICES)["BTC"], market()["BTC"]
        )


@pytest.mark.parametrize("name", ["{0}_{1}", "{1} {0}-USD", "{0}.{1}", "{1}_{0}", "{0}:{1}"])
def test_coin_and_field_in_one_name_are_fields(name):
    wide = pd.concat({c: bars(c) for c in COINS}, axis=1)
    prices = wide.set_axis([name.format(coin, field) for coin, field in wide.columns], axis=1)
    with pytest.raises(PanelError, match=r"are fields of coins\. Keep one field of each") as caught:
        to_wide(prices, PRICES)
    found = to_wide(mended(str(caught.value), prices=prices), PRICES)
    np.testing.assert_array_equal(found, market())
    assert [c.removesuffix("-USD") for c in found] == COINS


@pytest.mark.parametrize("volume", ["Volume", "Volume USDT", "quote_volume", "taker_buy_volume", "marketCap"])
def test_a_field_is_known_whatever_stands_beside_it(volume):
    table = market()[["BTC"]].assign(**{volume: 1.0})
    with pytest.raises(PanelError, match=f"{volume} are fields of one coin"):
        to_wide(table, PRICES)


def test_coins_called_open_and_high_are_coins_beside_others():
    table = market().assign(OPEN=1.0, HIGH=2.0)
    assert list(to_wide(table, PRICES)) == [*COINS, "OPEN", "HIGH"]


def test_frames_of_one_coin_are_refused_with_code_that_mends_them():
    for prices in (bars(), bars().reset_index(), bars()["Close"], pd.DataFrame(klines())):
        with pytest.raises(PanelError, match="one coin") as caught:
            to_wide(prices, PRICES)
        found = to_wide(mended(str(caught.value), prices=prices), PRICES)
        np.testing.assert_allclose(found["BTC"], market()["BTC"])


def test_the_volume_and_the_value_of_a_coin_are_picked_by_who_asks():
    table = stacked().assign(market_cap=5e9)
    assert to_wide(table, VOLUME).eq(1e6).all(axis=None)
    assert to_wide(table, CAPS).eq(5e9).all(axis=None)
    wide = pd.concat({c: bars(c) for c in COINS}, axis=1)
    assert to_wide(wide, VOLUME).eq(1e6).all(axis=None)
    np.testing.assert_array_equal(to_wide(wide, PRICES), market())
    np.testing.assert_array_equal(to_wide(wide.swaplevel(axis=1), PRICES), market())
    with pytest.raises(PanelError, match="got 2 levels"):
        to_wide(pd.concat({"binance": market(), "kraken": market()}, axis=1), PRICES)


@pytest.mark.parametrize(
    "label", ["symbol", "Ticker", "coin_id", "pair", "name", "Asset", "coin", "id", "Currency"]
)
@pytest.mark.parametrize("value", ["close", "Price", "prices", "PriceUSD", "adj_close", "Adj Close", "last"])
def test_long_tables_find_their_columns(label, value):
    table = stacked()[["date", "symbol", "Close"]].set_axis(["date", label, value], axis=1)
    pd.testing.assert_frame_equal(
        to_wide(table, PRICES), market(), check_names=False, check_freq=False, check_column_type=False
    )


def test_long_tables_say_which_column_to_name():
    table = stacked()[["date", "symbol", "Close"]]
    with pytest.raises(PanelError, match=r"repeat dates.*called asset, symbol.*got krypto\. Rename"):
        to_wide(table.rename(columns={"symbol": "krypto"}), PRICES)
    with pytest.raises(PanelError, match=r"exactly one value column.*got none among symbol, px.*Rename"):
        to_wide(table.rename(columns={"Close": "px"}), PRICES)
    with pytest.raises(PanelError, match=r"got close, price among.*drop"):
        to_wide(table.rename(columns={"Close": "close"}).assign(price=1.0), PRICES)


def test_two_exchanges_in_one_table_are_told_apart_by_the_remedy(tmp_path):
    two = pd.concat([stacked().assign(venue="one"), stacked().assign(venue="two", Close=1.0)])
    path = written(tmp_path, two.to_csv(index=False))
    with pytest.raises(
        PanelError, match=r"given twice: BTC on 2024-01-25.*differ in 'venue' \(one, two\)"
    ) as caught:
        to_wide(path, PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value)), PRICES), market())


def test_days_of_spreadsheets_and_days_as_numbers_are_refused_with_their_line():
    for days in (range(45_316, 45_336), [int(f"{d:%Y%m%d}") for d in DAYS]):
        prices = market().reset_index().assign(date=list(days))
        with pytest.raises(PanelError, match="dates are ISO 8601") as caught:
            to_wide(prices, PRICES)
        assert to_wide(mended(str(caught.value), prices=prices), PRICES).index.equals(DAYS)


def test_columns_of_one_word_do_not_make_a_wide_table_long(tmp_path):
    path = written(tmp_path, market().assign(currency="USD").to_csv())
    with pytest.raises(PanelError, match="'currency' holds string") as caught:
        to_wide(path, PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value)), PRICES), market())


LAYOUTS = {
    "a title": lambda: "Prices of coins\n" + lines(market()),
    "three lines of words": lambda: (
        "Prices of coins\nSource: desk\n\nall in USD\n" + lines(market(), ";", comma)
    ),
    "a row of totals": lambda: lines(market()) + "Total,1,2,3\n",
    "totals and a note": lambda: lines(market()) + "Total,1,2,3\nmean,1,2,3\n",
    "dates across the columns": lambda: market().T.rename_axis("coin").to_csv(),
    "dates across the columns, decimal commas": lambda: (
        "# kept\n" + market().T.rename_axis("coin ").to_csv(sep=";", decimal=",")
    ),
    "closes, adjusted and not": lambda: (
        pd.concat({c: bars(c).assign(**{"Adj Close": 1.0}) for c in COINS}, axis=1)
        .swaplevel(axis=1)
        .rename_axis("Date")
        .to_csv()
    ),
    "long, closes adjusted and not": lambda: stacked().assign(**{"Adj Close": 1.0}).to_csv(index=False),
    "coins under a name of their own": lambda: (
        stacked()[["date", "symbol", "Close"]].rename(columns={"symbol": "krypto"}).to_csv(index=False)
    ),
    "German days, decimal commas": lambda: (
        market().set_axis(DAYS.strftime("%d.%m.%Y")).to_csv(sep=";", decimal=",")
    ),
    "German days and thousands": lambda: "\n".join(
        f"{d:%d.%m.%Y};{row.split(';', 1)[1]}" if i else row
        for i, (d, row) in enumerate(
            zip(
                [DAYS[0], *DAYS],
                lines(market(), ";", lambda x: f"{x:,.2f}".translate(GERMAN)).splitlines(),
                strict=True,
            )
        )
    ),
    "coin and field in one name": lambda: pd.concat(
        {f"{c}_{k}": bars(c)[k] for c in COINS for k in ("Close", "Volume")}, axis=1
    ).to_csv(),
    "a title above decimal commas": lambda: "Kurse\n" + lines(market(), ";", comma),
    "a row of units": lambda: lines(market()).replace("\n", "\n,USD,USD,USD\n", 1),
    "blanks between fields": lambda: lines(market(), " "),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts_that_are_refused_have_a_line_that_reads_them(case, tmp_path):
    with pytest.raises(PanelError) as caught:
        to_wide(written(tmp_path, LAYOUTS[case]()), PRICES)
    message = str(caught.value)
    table = mended(message)
    np.testing.assert_array_equal(to_wide(table, PRICES), market())
    if ".to_csv(" in message:  # and so on the command line
        table.to_csv(tmp_path / "again.csv", index="index=False" not in message)
        np.testing.assert_array_equal(to_wide(tmp_path / "again.csv", PRICES), market())


OTHERS = {
    "a page": (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "is a web page.*download it again"),
    "an answer": (b'{"error": "rate limit"}\n', "is JSON.*Open it"),
    "rows of an exchange": (b"[[1704067200000,1,2],[1704153600000,1,2]]", "is JSON.*read_json"),
    "a workbook": (b"PK\x03\x04rest", "is a workbook or a zip archive.*Unpack it"),
    "Parquet": (b"PAR1\x15\x00", "is Parquet.*Rename it"),
    "a PDF": (b"%PDF-1.7\n", "is a PDF.*as CSV"),
    "netCDF": (b"\x89HDF\r\n", "is netCDF or HDF5"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_files_of_another_kind_are_called_by_it(case, tmp_path):
    data, message = OTHERS[case]
    with pytest.raises(PanelError, match=message):
        to_wide(written(tmp_path, data), PRICES)
    text = lines(market()).replace("date,BTC", "PK,BTC")
    np.testing.assert_array_equal(to_wide(written(tmp_path, text), PRICES), market())


def test_whole_numbers_with_commas_are_read_once_it_is_said_what_they_are(tmp_path):
    dear = (market() * 10.0).round(0)
    path = written(tmp_path, lines(dear, ",", "{:,.0f}".format, '"'))
    with pytest.raises(PanelError, match="decimal sign or a separator of thousands") as caught:
        to_wide(path, PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value)), PRICES), dear)
    prices = market().assign(ETH=[f"{x:,.0f}" for x in dear["ETH"]])
    with pytest.raises(PanelError, match="decimal sign or a separator of thousands"):
        to_wide(prices, PRICES)


def test_tables_without_dates_say_what_stands_there(tmp_path):
    path = written(tmp_path, "asset,market_cap\nBTC,1e12\nETH,3e11\n")
    with pytest.raises(PanelError, match=r"column 'asset' holds 'BTC', 'ETH'\. Give one row for each date"):
        to_wide(path, CAPS)
    with pytest.raises(PanelError, match=r"the index holds 'a', 'b'"):
        to_wide(pd.DataFrame({"BTC": [1.0, 2.0]}, index=["a", "b"]), PRICES)
    with pytest.raises(PanelError, match=r"got 'Total', on line 22\. Delete"):
        to_wide(written(tmp_path, lines(market()) + "Total,1,2,3\n"), PRICES)


def test_names_that_differ_in_case_alone_are_said(tmp_path):
    long = stacked()[["date", "symbol", "Close"]]
    mixed = long.assign(symbol=[n.lower() if i % 2 else n for i, n in enumerate(long["symbol"])])
    with (
        pytest.warns(UserWarning, match="BTC, btc, ETH, eth, SOL and 1 more differ in case alone"),
        pytest.raises(PanelError, match="every asset has at least one return in the window; none: BTC, btc"),
    ):
        bf.panel_from_prices(written(tmp_path, mixed.to_csv(index=False)))


def test_dates_under_a_name_of_their_own_are_found_or_named(tmp_path):
    long = stacked()[["symbol", "date", "Close"]]
    found = to_wide(written(tmp_path, long.rename(columns={"date": "ts"}).to_csv(index=False)), PRICES)
    np.testing.assert_array_equal(found, market())
    with pytest.raises(
        PanelError, match=r"the column 'symbol' holds 'BTC'.*Name the column of dates"
    ) as caught:
        to_wide(written(tmp_path, long.rename(columns={"date": "jour"}).to_csv(index=False)), PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value)), PRICES), market())


def test_frames_are_turned_and_converted_by_one_line():
    with pytest.raises(PanelError, match="dates run down the rows") as caught:
        to_wide(market().T, PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value), prices=market().T), PRICES), market())
    turned = market().T.rename_axis("coin").reset_index()
    with pytest.raises(PanelError, match="dates run down the rows") as caught:
        to_wide(turned, PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value), prices=turned), PRICES), market())
    for way in (str, "{:,.2f}".format, comma):
        prices = market().map(way)
        with pytest.raises(PanelError, match=r"Convert them") as caught:
            to_wide(prices, PRICES)
        np.testing.assert_array_equal(mended(str(caught.value), prices=prices), market())


WRITTEN = {
    "one hour a day": "%Y-%m-%d %I-%p",
    "American days": "%m/%d/%Y",
    "European days": "%d/%m/%Y",
    "German days": "%d.%m.%Y",
    "words": "%b %d, %Y",
    "short words": "%d-%b-%y",
    "American hours": "%m/%d/%Y %I:%M %p",
}


@pytest.mark.parametrize("case", WRITTEN)
@pytest.mark.parametrize("form", ["file", "column", "index"])
def test_dates_in_another_style_are_refused_with_the_code_that_reads_them(case, form, tmp_path):
    prices = market().set_axis(DAYS.strftime(WRITTEN[case])).rename_axis("date")
    given = prices.reset_index() if form == "column" else prices
    given = written(tmp_path, prices.to_csv()) if form == "file" else given
    with pytest.raises(PanelError, match="dates are ISO 8601") as caught:
        to_wide(given, PRICES)
    np.testing.assert_array_equal(to_wide(mended(str(caught.value), prices=given), PRICES), market())
    assert to_wide(mended(str(caught.value), prices=given), PRICES).index.normalize().equals(DAYS)


def test_days_and_months_that_may_be_either_are_said(tmp_path):
    few = market().iloc[7:19]  # the first of February to the twelfth
    path = written(tmp_path, few.set_axis(few.index.strftime("%d/%m/%Y")).rename_axis("date").to_csv())
    with pytest.raises(PanelError, match=r"the other way round, it is format='%m/%d/%Y'\. For the") as caught:
        to_wide(path, PRICES)
    assert to_wide(mended(str(caught.value)), PRICES).index.equals(few.index)
    months = pd.date_range("2022-01-01", periods=20, freq="MS")
    monthly = market().set_axis(months.strftime("%d/%m/%Y")).rename_axis("date")
    with pytest.raises(PanelError, match="other way round") as caught:
        to_wide(written(tmp_path, monthly.to_csv()), PRICES)
    assert list(to_wide(mended(str(caught.value)), PRICES).index) == list(months)


@pytest.mark.parametrize(("unit", "per"), [("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1)])
@pytest.mark.parametrize("form", ["file", "column"])
def test_counts_since_1970_are_refused_with_their_unit(unit, per, form, tmp_path):
    prices = market().set_axis(DAYS.asi8 // per).rename_axis("timestamp").reset_index()
    given = written(tmp_path, prices.to_csv(index=False)) if form == "file" else prices
    with pytest.raises(PanelError, match=rf"counts since 1970.*unit='{unit}'") as caught:
        to_wide(given, PRICES)
    assert to_wide(mended(str(caught.value), prices=prices), PRICES).index.equals(DAYS)


RAGGED = {
    "a longer row": (lambda t: t.replace("\n2024-01-30,", "\n2024-01-30,1,"), "line 7 has 5"),
    "a shorter row": (lambda t: t.rsplit(",", 1)[0], "line 21 has 3.*cut off"),
    "a note at the end": (lambda t: t + "Source: somewhere\n", "line 22 has 1.*a note"),
    "a delimiter that the header has not": (lambda t: t.replace("\n", ",\n").replace("SOL,", "SOL", 1), "delete them"),
    "row names of R": (
        lambda t: t.split("\n", 1)[0] + "\n" + "\n".join(f"{i},{r}" for i, r in enumerate(t.splitlines()[1:], 1)),
        "row names of R",
    ),
    "an open quote": (lambda t: t.replace("\n2024-01-30,", '\n2024-01-30,"'), "cannot be read as CSV: line"),
    "NUL": (lambda t: t.replace("SOL", "S\x00L"), "no NUL.* line 1"),
    "a line break in a name": (lambda t: t.replace("SOL", '"S\nL"'), "names are printable text"),
    "a title": (lambda t: "Prices of coins\n" + t, "line 1 of 'table.csv' is 'Prices of coins'"),
    "a column without a name": (lambda t: t.replace(",SOL", ","), "1 have none"),
    "the same name twice": (lambda t: t.replace("SOL", " ETH "), "more than once: ETH"),
    "per cent": (lambda t: t.replace("\n2024-02-01,", "\n2024-02-01,%").replace(",%", ",1%,", 0), "string|per cent"),
    "words": (lambda t: t.replace("\n", ",ok\n").replace("SOL,ok", "SOL,status", 1), "'status' holds string"),
    "a word in a column": (lambda t: t.replace("2024-01-30,", "2024-01-30,x"), r"'BTC' holds string .'x.*on line 7"),
    "points and commas": (lambda t: t.replace("\n2024-01-30,", '\n2024-01-30,"1,5",').replace(",SOL", ",SOL,X", 0), "line 7|one decimal"),
    "a counter": (lambda t: "\n".join(f"{r},{i or 'rank'}" for i, r in enumerate(t.splitlines())), "rank holds 1, 2, 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", RAGGED)
def test_what_cannot_be_meant_is_refused_where_it_stands(case, tmp_path):
    change, message = RAGGED[case]
    with pytest.raises(PanelError, match=message):
        to_wide(written(tmp_path, change(lines(market()))), PRICES)


def test_a_comma_that_may_be_either_is_refused(tmp_path):
    text = "date;BTC;ETH\n" + "".join(f"{d:%Y-%m-%d};40,{i:03d};2,{i:03d}\n" for i, d in enumerate(DAYS))
    with pytest.raises(PanelError, match=r"decimal sign or a separator of thousands.*Write 40000 or 40\.000"):
        to_wide(written(tmp_path, text), PRICES)
    with pytest.raises(PanelError, match=r"one decimal sign; '1\.5' has a point and '2,25' a comma"):
        to_wide(written(tmp_path, "date;BTC\n2024-01-01;1.5\n2024-01-02;2,25\n"), PRICES)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "SNo", "X"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_saved_index_is_left_out_and_said(name, first, tmp_path):
    table = market().reset_index()
    table.insert(0, name, range(first, first + len(table)))
    for given in (table, written(tmp_path, table.to_csv(index=False))):
        with pytest.warns(UserWarning, match="counts the rows"):
            np.testing.assert_array_equal(to_wide(given, PRICES), market())


def test_numbers_as_text_in_a_frame_are_refused_with_code_that_converts_them():
    ways = [
        str,
        "{:,.2f}".format,
        "${:,.2f}".format,
        lambda x: f"{x:,.2f}".translate(GERMAN),
        comma,
        "{} €".format,
    ]
    for way in ways:
        prices = market().assign(ETH=[way(x) for x in market()["ETH"]])
        with pytest.raises(PanelError, match=r"'ETH' holds string.*to_numeric") as caught:
            to_wide(prices, PRICES)
        np.testing.assert_allclose(to_wide(mended(str(caught.value), prices=prices), PRICES), market())
    with pytest.raises(PanelError, match="'flag' holds boolean") as caught:
        to_wide(market().assign(flag=True), PRICES)
    np.testing.assert_array_equal(mended(str(caught.value), prices=market().assign(flag=True)), market())
    returns = market().pct_change().iloc[1:]
    signs = returns.assign(ETH=[f"{x:.6%}" for x in returns["ETH"]])
    with pytest.raises(PanelError, match="/ 100") as caught:
        to_wide(signs, RETURNS_FORM)
    np.testing.assert_allclose(mended(str(caught.value), returns=signs), returns, atol=1e-8)


def test_signs_of_per_cent_are_fractions_of_returns_and_no_prices(tmp_path):
    path = written(tmp_path, lines(market().pct_change().iloc[1:], ",", "{:.4%}".format))
    np.testing.assert_allclose(to_wide(path, RETURNS_FORM), market().pct_change().iloc[1:], atol=1e-6)
    with pytest.raises(PanelError, match="no per cent sign"):
        to_wide(path, PRICES)


def test_columns_of_words_beside_drivers_are_left_out_and_said(tmp_path):
    path = written(tmp_path, lines(market().assign(status="ok").astype({"BTC": str})))
    with pytest.warns(UserWarning, match="words are left out: status"):
        assert list(to_wide(path, DRIVERS)) == COINS


@pytest.mark.parametrize("name", ["B\x00TC", "BTC\ud800", "BT\nC"])
def test_names_that_cannot_be_saved_are_refused(name):
    with pytest.raises(PanelError, match="names are printable text"):
        to_wide(market().set_axis(pd.Index([name, "ETH", "SOL"], dtype=object), axis=1), PRICES)
    with pytest.raises(PanelError, match="names are printable text"):
        to_wide(stacked().assign(symbol=pd.Series([name, "ETH", "SOL"] * 20, dtype=object)), PRICES)
    with pytest.raises(PanelError, match="names are printable text"):
        bf.panel_from_prices(market(), groups=dict.fromkeys(COINS, name))


class Polars:
    """A frame with the manners of polars: no index, and no conversion without pyarrow."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def get_columns(self) -> list[str]:
        return list(self.table)

    def to_dict(self, *, as_series: bool) -> dict[str, list[object]]:
        assert not as_series
        return self.table.to_dict("list")

    def to_pandas(self) -> pd.DataFrame:
        raise ModuleNotFoundError


def test_other_libraries_and_dicts_are_read_alike():
    import pyarrow as pa

    table = market().reset_index()
    for given in (Polars(table), pa.Table.from_pandas(table, preserve_index=False), table.to_dict("list")):
        np.testing.assert_array_equal(to_wide(given, PRICES), market())
    groups = pd.DataFrame({"coin": COINS, "sector": ["a", "b ", " b"]})
    for given in (Polars(groups), pa.Table.from_pandas(groups), groups.to_dict("list")):
        assert list(bf.panel_from_prices(market(), groups=given)["group"].values) == ["a", "b", "b"]


def test_what_a_download_writes_is_read(tmp_path):
    for coin in COINS:
        text = (
            "# from 2024-01-01T00:00:00\n"
            + bars(coin)[["Close", "Volume"]].rename(columns=str.lower).to_csv()
        )
        written(tmp_path, text, f"{coin}.csv")
    np.testing.assert_array_equal(to_wide(tmp_path / "ETH.csv", PRICES)["ETH"], market()["ETH"])
    np.testing.assert_array_equal(to_wide(tmp_path, PRICES), market())
    assert to_wide(tmp_path, VOLUME).eq(1e6).all(axis=None)
    written(tmp_path, "date,close\n", "other.csv")
    with pytest.raises(PanelError, match=r"a folder holds what bf\.download_prices wrote.*other\.csv"):
        to_wide(tmp_path, PRICES)
