"""One number or word for each asset: weights, trades, portfolios, volumes, budgets, positions, at every door."""

import numpy as np
import pandas as pd
import pytest
from tables import market, mended, written
from test_tables import Polars

import bayesfactor as bf
from bayesfactor.allocate.terms import make_terms
from bayesfactor.backtest.portfolios import portfolios_of
from bayesfactor.cli.inputs import read_portfolios, read_trades, read_weights
from bayesfactor.errors import MissingFileError, PanelError, PositionsError, RiskError, WeightsError
from bayesfactor.risk.trades import trades_for
from bayesfactor.risk.weights import weights_for

ASSETS = np.array(["BTC", "ETH", "SOL"])
HELD = [0.5, -0.25, 0.125]

SAME = {
    "plain": "asset,weight\nBTC,0.5\nETH,-0.25\nSOL,0.125\n",
    "blanks": " asset , weight \n BTC , 0.5 \nETH\u00a0, -0.25\n SOL,0.125\n",
    "capitals": "Symbol,WEIGHT\nBTC,0.5\nETH,-0.25\nSOL,0.125\n",
    "columns turned": "weights,ticker\n0.5,BTC\n-0.25,ETH\n0.125,SOL\n",
    "more columns": "asset,name,weight,value\nBTC,b,0.5,1\nETH,e,-0.25,1\nSOL,s,0.125,1\n",
    "a saved Series": ",weight\nBTC,0.5\nETH,-0.25\nSOL,0.125\n",
    "semicolons": "asset;weight\nBTC;0,5\nETH;-0,25\nSOL;0,125\n",
    "decimal commas": 'asset,weight\nBTC,"0,5"\nETH,"-0,25"\nSOL,"0,125"\n',
    "tabs": "asset\tweight\nBTC\t.5\nETH\t-.25\nSOL\t1.25e-1\n",
    "signs of per cent": "asset,weight\nBTC,50%\nETH,-25 %\nSOL,12.5%\n",
    "of accountants": "asset,weight\nBTC,50%\nETH,(25%)\nSOL,12.5%\n",
    "a long minus": "asset,weight\nBTC,0.5\nETH,−0.25\nSOL,0.125\n",
    "rows of delimiters": "asset,weight\nBTC,0.5\n,\nETH,-0.25\nSOL,0.125\n,\n",
    "a mark of UTF-8": '\ufeff"asset","weight"\nBTC,0.5\nETH,-0.25\nSOL,0.125\n',
    "comments": "# held at noon\nasset,weight\nBTC,0.5\nETH,-0.25\nSOL,0.125\n",
    "a comma at every end": "asset,weight,\nBTC,0.5,\nETH,-0.25,\nSOL,0.125,\n",
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_weights_are_read_in_every_shape(case, tmp_path):
    path = written(tmp_path, SAME[case], "w.csv")
    np.testing.assert_allclose(weights_for(read_weights(str(path), ASSETS.tolist()), ASSETS), HELD)
    np.testing.assert_allclose(weights_for(path, ASSETS), HELD)


def test_weights_come_in_every_form_of_memory_and_file(tmp_path):
    import pyarrow as pa

    table = pd.DataFrame({"asset": ASSETS, "weight": HELD})
    table.to_parquet(tmp_path / "w.parquet")
    forms = [
        table,
        table.set_index("asset"),
        table.set_index("asset")["weight"],
        Polars(table),
        pa.Table.from_pandas(table),
        table.to_dict("list"),
        dict(zip(ASSETS, HELD, strict=True)),
        {"BTC ": "50%", "ETH": "-25%", "SOL": "12.5%"},
        tmp_path / "w.parquet",
        str(tmp_path / "w.parquet"),
    ]
    for given in forms:
        np.testing.assert_allclose(weights_for(given, ASSETS), HELD)


REFUSED = {
    "a longer row": ("asset,weight\nBTC,0.5,\nETH,1,\n", "line 2 has 3"),
    "a shorter row": ("asset,weight\nBTC,0.5\nETH\n", "line 3 has 1"),
    "no name": ("asset,weight\nBTC,0.5\n,0.5\n", "names its asset; none in line 3.*merged"),
    "a word": ("asset,weight\nBTC,much\n", "no finite number for BTC; got 'much'"),
    "an underscore": ("asset,weight\nBTC,1_0\n", "got '1_0'"),
    "some per cent": (
        "asset,weight\nBTC,50%\nETH,0.5\n",
        "all numbers of a column have it, or none; got 50%",
    ),
    "a comma of either kind": ('asset,weight\nBTC,"1,250"\n', "Write 1250 or 1.250"),
    "NUL": ("asset,weight\nB\x00C,1\n", "no NUL"),
    "no column": ("asset,money\nBTC,1\n", "needs the columns asset and weight; got asset, money"),
    "no header": ("BTC,0.5\nETH,0.5\n", "needs the columns asset and weight; got BTC, 0.5"),
    "a total": ("asset,weight\nBTC,1\nETH,0\nSOL,0\nTotal,1\n", "does not know: 'Total'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_cannot_be_meant_are_refused(case, tmp_path):
    text, message = REFUSED[case]
    with pytest.raises(WeightsError, match=message):
        weights_for(read_weights(str(written(tmp_path, text, "w.csv")), ASSETS.tolist()), ASSETS)
    with pytest.raises(MissingFileError):
        weights_for("nowhere.csv", ASSETS)


@pytest.mark.parametrize(
    ("weights", "unit"),
    [([12_500.0] * 3, "money"), ([50.0, 25.0, 25.0], "per cent"), ([60.0, -40.0, 0.0], "per cent")],
)
def test_a_gross_of_money_or_per_cent_is_named(weights, unit):
    given = dict(zip(ASSETS, weights, strict=True))
    with pytest.warns(UserWarning, match=f"their gross is .*If they are {unit}"):
        weights_for(given, ASSETS)
    with pytest.warns(UserWarning, match=rf"trade 'all' are fractions.*If they are {unit}"):
        trades_for({"all": given}, ASSETS)
    with pytest.warns(UserWarning, match="previous_weights are fractions"):
        make_terms(ASSETS, (0, 1), given, 0.0)


def test_a_gross_of_ten_is_leverage():
    np.testing.assert_array_equal(
        weights_for({"BTC": 5.0, "ETH": -5.0, "SOL": 0.0}, ASSETS), [5.0, -5.0, 0.0]
    )


TRADES = {"less": {"BTC": -0.1}, "switch": {"BTC": -0.2, "ETH": 0.2}}
SAME_TRADES = {
    "plain": "trade,asset,change\nless,BTC,-0.1\nswitch,BTC,-0.2\nswitch,ETH,0.2\n",
    "other columns": "date,Trade,Symbol,Change,price\n2024-01-01,less,BTC,-0.1,1\n2024-01-01,switch,BTC,-0.2,1\n"
    "2024-01-01,switch,ETH,0.2,1\n",
    "semicolons": "trade;asset;change\nless;BTC;-0,1\nswitch;BTC;-0,2\n\nswitch ; ETH;0,2\n",
    "per cent": "trade,asset,change\nless,BTC,-10%\nswitch,BTC,-20%\nswitch,ETH,20%\n",
    "wide": "trade,BTC,ETH\nless,-0.1,\nswitch,-0.2,0.2\n",
}


@pytest.mark.parametrize("case", SAME_TRADES)
def test_the_same_trades_are_read_in_every_shape(case, tmp_path):
    path = written(tmp_path, SAME_TRADES[case], "t.csv")
    assert read_trades(path) == TRADES
    names, changes = trades_for(path, ASSETS)
    assert names == ["less", "switch"]
    np.testing.assert_allclose(changes, [[-0.1, 0.0, 0.0], [-0.2, 0.2, 0.0]])


def test_trades_come_as_frames_of_either_shape():
    long = pd.DataFrame([(t, a, x) for t, row in TRADES.items() for a, x in row.items()])
    long = long.set_axis(["trade", "asset", "change"], axis=1)
    wide = pd.DataFrame(TRADES).T
    for given in (TRADES, long, Polars(long), wide, wide.rename_axis("trade").reset_index()):
        np.testing.assert_allclose(trades_for(given, ASSETS)[1], [[-0.1, 0.0, 0.0], [-0.2, 0.2, 0.0]])


def test_trades_without_a_name_or_a_number_are_refused(tmp_path):
    merged = "trade,asset,change\nswitch,BTC,-0.1\n,ETH,0.1\n"
    with pytest.raises(WeightsError, match=r"names its trade; none in line 3.*merged"):
        read_trades(written(tmp_path, merged))
    for number in ("inf", "", "nan"):
        with pytest.raises(WeightsError, match=f"no (finite )?number for BTC in 't'; got '{number}'"):
            read_trades(written(tmp_path, f"trade,asset,change\nt,BTC,{number}\n"))


BOOKS = pd.DataFrame({"BTC": [0.5, 1.0], "ETH": [0.5, 0.0]}, index=["one", "two"])
SAME_BOOKS = {
    "wide": "portfolio,BTC,ETH\none,0.5,0.5\ntwo,1,\n",
    "long": "portfolio, asset, weight\none, BTC, 0.5\none, ETH, 0.5\ntwo, BTC, 1\ntwo,ETH,0\n",
    "with a counter": ",portfolio,BTC,ETH\n0,one,0.5,0.5\n1,two,1,0\n",
    "a saved frame": ",BTC,ETH\none,0.5,0.5\ntwo,1,0\n",
    "turned": "asset,one,two\nBTC,0.5,1\nETH,0.5,0\n",
    "a turned frame": ",one,two\nBTC,0.5,1\nETH,0.5,0\n",
    "per cent": "fund,BTC,ETH\none,50%,50%\ntwo,100%,0%\n",
    "semicolons": "portfolio;BTC;ETH\none;0,5;0,5\ntwo;1;0\n",
}


@pytest.mark.filterwarnings("ignore:.*counts the rows")
@pytest.mark.parametrize("case", SAME_BOOKS)
def test_the_same_portfolios_are_read_in_every_shape(case, tmp_path):
    found = read_portfolios(str(written(tmp_path, SAME_BOOKS[case], "p.csv")), ["BTC", "ETH"])
    pd.testing.assert_frame_equal(
        found, BOOKS, check_names=False, check_column_type=False, check_index_type=False
    )


def test_portfolios_come_as_frames_of_other_libraries():
    column = BOOKS.rename_axis("portfolio").reset_index()
    for given in (
        BOOKS,
        column,
        Polars(column),
        Polars(column.melt("portfolio", var_name="asset", value_name="weight")),
    ):
        found = portfolios_of(given, ["BTC", "ETH"])
        np.testing.assert_array_equal(found.loc[["one", "two"], ["BTC", "ETH"]], BOOKS)


def test_portfolios_by_day_and_without_names_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="hold all the time; got the column date"):
        read_portfolios(str(written(tmp_path, "portfolio,date,BTC\none,2024-01-01,1\n")), ["BTC"])
    with pytest.raises(WeightsError, match=r"names its portfolio; none in line 3"):
        read_portfolios(str(written(tmp_path, "portfolio,asset,weight\none,BTC,1\n,ETH,1\n")), ["BTC", "ETH"])


def test_volumes_are_read_with_their_units(tmp_path):
    path = written(tmp_path, 'Symbol, Volume\nBTC,12.3K\nETH,1.5M\nSOL,"2,000"\n')
    sale = bf.Liquidation(path)
    assert sale.volume.to_dict() == pytest.approx({"BTC": 12_300.0, "ETH": 1.5e6, "SOL": 2_000.0})
    for text in ("asset,volume\nBTC,\n", "asset,volume\nBTC,1\nBTC,2\n"):
        with pytest.raises(RiskError, match="each asset has one number; not so for 'BTC'"):
            bf.Liquidation(written(tmp_path, text))
    with pytest.raises(RiskError, match="volumes are positive"):
        bf.Liquidation(written(tmp_path, "asset,volume\nBTC,-5\n"))


ROWS = "asset;instrument;quantity;price;funding\nBTC;perpetual;1,5;40.000,50;0,0003\nETH;spot;-2;2.000;\n"


def test_positions_are_read_in_the_shapes_of_other_tables(tmp_path):
    import pyarrow as pa

    found = bf.read_positions(written(tmp_path, ROWS)).rows
    assert found["quantity"].tolist() == [1.5, -2.0]
    assert found["price"].tolist() == [40_000.5, 2_000.0]
    frame = found[["asset", "instrument", "quantity", "price"]]
    for given in (
        frame,
        Polars(frame),
        pa.Table.from_pandas(frame),
        frame.to_dict("list"),
        frame.to_dict("records"),
    ):
        assert bf.read_positions(given).rows["price"].tolist() == [40_000.5, 2_000.0]
    frame.to_parquet(tmp_path / "p.parquet")
    assert bf.read_positions(tmp_path / "p.parquet").rows["price"].tolist() == [40_000.5, 2_000.0]
    with pytest.warns(UserWarning, match="counts the rows"):
        assert bf.read_positions(written(tmp_path, frame.to_csv())).assets == ("BTC", "ETH")
    short = "Asset,Instrument,Quantity,Price,Implied Volatility,Strike\nBTC,perpetual,1,40000\n"
    assert bf.read_positions(written(tmp_path, short)).assets == ("BTC",)


OPTION = {
    "asset": "BTC",
    "instrument": "option",
    "type": "put",
    "quantity": 1,
    "price": 100,
    "strike": 90,
    "days": 30,
}
FUTURE = {"asset": "BTC", "instrument": "perpetual", "quantity": 1, "price": 100}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            OPTION | {"implied_volatility": 18.5},
            "a fraction per year; got 18.5, which is 1850%. Divide by 100",
        ),
        (
            OPTION | {"implied_volatility": 0.6, "rate": 5},
            "rate is a fraction per year; got 5, which is 500%",
        ),
        (
            FUTURE | {"funding": "0.0100%"},
            "one period of the panel; .*0.01 % there is 0.0001 for 8 hours, and 0.0003",
        ),
        (FUTURE | {"funding": 0.5}, "funding is a fraction.*Got 0.5, which is 50%"),
        (FUTURE | {"price": "100%"}, "price has no per cent sign"),
        (FUTURE | {"quantity": "1_0"}, "quantity is a finite number"),
        (FUTURE | {"asset": "B\x00"}, "names are printable text"),
    ],
)
def test_units_of_positions_are_refused_by_name(row, message):
    with pytest.raises(PositionsError, match=message):
        bf.read_positions([row])


def test_units_of_positions_that_are_unlikely_are_said():
    with pytest.warns(UserWarning, match=r"0\.01 is 1\.00% per period"):
        bf.read_positions([FUTURE | {"funding": 0.01}])
    with pytest.warns(UserWarning, match="If it is per day"):
        bf.read_positions([OPTION | {"implied_volatility": 0.015}])
    assert bf.read_positions([OPTION | {"implied_volatility": "60%"}]).rows["implied_volatility"][0] == 0.6


LISTED = {
    "long": "trade,asset,change\nless,BTC,-0.1\nswitch,BTC,-0.1\nswitch,ETH,0.1\n",
    "wide": "trade,BTC,ETH\nless,-0.1,\nswitch,-0.1,0.1\n",
    "wide, a saved frame": ",BTC,ETH\nless,-0.1,\nswitch,-0.1,0.1\n",
}


@pytest.mark.parametrize("case", LISTED)
def test_trades_are_read_long_and_wide(case, tmp_path):
    found = read_trades(written(tmp_path, LISTED[case], "t.csv"))
    assert found == {"less": {"BTC": -0.1}, "switch": {"BTC": -0.1, "ETH": 0.1}}


def test_a_column_of_sides_is_refused_where_it_would_be_overlooked(tmp_path):
    with pytest.raises(WeightsError, match=r"what is sold or short is negative.*got 'Side'"):
        read_trades(written(tmp_path, "trade,asset,Side,change\nless,BTC,sell,0.1\n", "t.csv"))
    with pytest.raises(WeightsError, match=r"what is sold or short is negative.*got 'direction'"):
        weights_for(written(tmp_path, "asset,weight,direction\nBTC,0.5,short\n", "w.csv"), ASSETS)
    with pytest.raises(WeightsError, match=r"what is sold or short is negative.*got 'side'"):
        portfolios_of(
            written(tmp_path, "portfolio,asset,side,weight\np,BTC,short,0.5\n", "p.csv"), ASSETS.tolist()
        )
    found = portfolios_of(written(tmp_path, "portfolio,BTC,SIDE\np,0.5,0.5\n", "p.csv"), ["BTC", "SIDE"])
    assert found.loc["p", "SIDE"] == 0.5


def test_a_trade_of_many_times_the_portfolio_is_said(tmp_path):
    table = written(tmp_path, "trade,asset,change\nless,BTC,-10\n", "t.csv")
    with pytest.warns(UserWarning, match=r"gross is 10 times it\. If they are per cent"):
        trades_for(read_trades(table), ASSETS)
    with pytest.warns(UserWarning, match="If they are money"):
        trades_for({"less": {"BTC": -5000.0}}, ASSETS)


def test_trades_say_which_column_is_lacking(tmp_path):
    with pytest.raises(WeightsError, match=r"got asset, change, no trade\. Add one that names each trade"):
        read_trades(written(tmp_path, "asset,change\nBTC,-0.1\n", "t.csv"))
    with pytest.raises(WeightsError, match=r"got trade, coin, amount, no change\. Rename"):
        read_trades(written(tmp_path, "trade,coin,amount\nless,BTC,-0.1\n", "t.csv"))


WIDE = {
    "one row": "BTC,ETH,SOL\n0.5,-0.25,0.125\n",
    "below comments, decimal commas": "# held\ndate;BTC ;ETH;SOL\n2024-01-02;0,5;-0,25;0,125\n",
    "the last of several dates": "date,BTC,ETH,SOL\n2024-01-01,1,0,0\n2024-01-02,0.5,-0.25,0.125\n",
}


@pytest.mark.parametrize("case", WIDE)
def test_weights_in_one_row_are_refused_with_the_line_that_takes_it(case, tmp_path):
    with pytest.raises(WeightsError, match="one column for each asset") as caught:
        weights_for(written(tmp_path, WIDE[case], "w.csv"), ASSETS)
    np.testing.assert_array_equal(weights_for(mended(str(caught.value)), ASSETS), HELD)


def test_tables_by_name_say_what_is_lacking(tmp_path):
    path = written(tmp_path, "BTC,0.5\nETH,-0.25\nSOL,0.125\n", "w.csv")
    with pytest.raises(WeightsError, match="write the line asset,weight above it"):
        weights_for(path, ASSETS)
    with pytest.raises(WeightsError, match=r"got asset, quantity. Rename the one that holds the weights"):
        weights_for(written(tmp_path, "asset,quantity\nBTC,1\n", "w.csv"), ASSETS)
    for frame in (pd.DataFrame([HELD], columns=ASSETS), pd.DataFrame({"a": ASSETS, "b": HELD})):
        with pytest.raises(WeightsError, match="needs the columns asset and weight"):
            weights_for(frame, ASSETS)
    with pytest.raises(WeightsError, match=r"'btc' \(did you mean 'BTC'\?\)"):
        weights_for({"btc": 0.5, "ETH": 0.25, "SOL": 0.25}, ASSETS)


GROUPS = {
    "named": "asset,group\nBTC,a\nETH,b\nSOL,b\n",
    "no header": "BTC,a\nETH,b\nSOL,b\n",
    "names of its own": "krypto,kind\nBTC,a\nETH,b\nSOL,b\n",
    "groups first, coins unknown as such": "sector,krypto\na,BTC\nb,ETH\nb,SOL\n",
    "a row twice": "asset,group\nBTC,a\nETH,b\nSOL,b\nBTC,a\n",
}


@pytest.mark.parametrize("case", GROUPS)
def test_the_same_groups_are_read_in_every_shape(case, tmp_path):
    found = bf.panel_from_prices(market(), groups=written(tmp_path, GROUPS[case], "g.csv"))
    assert list(found["group"].values) == ["a", "b", "b"]


def test_groups_that_say_nothing_are_none(tmp_path):
    for word in ("n/a", "NaN", "-", ""):
        path = written(tmp_path, f"asset,group\nBTC,a\nETH,{word}\nSOL,b\n", "g.csv")
        with pytest.raises(PanelError, match="none is given for 'ETH'"):
            bf.panel_from_prices(market(), groups=path)
    path = written(tmp_path, "asset,group\nBTC,1.0\nETH,1\nSOL,2\n", "g.csv")
    assert list(bf.panel_from_prices(market(), groups=path)["group"].values) == ["1", "1", "2"]
    with pytest.raises(PanelError, match=r"more than one is given for BTC \(40.* and 15 more\)"):
        bf.panel_from_prices(market(), groups=market().melt(var_name="symbol")[["symbol", "value"]])
