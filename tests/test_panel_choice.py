"""Which coins a panel holds: those asked for, less those left out, and the dead named aloud."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli.commands import app
from bayesfactor.errors import PanelError

COINS = ["BTC", "ETH", "SOL", "LUNA", "ADA", "DOT", "XMR"]
SECTORS = {"BTC": "store", "ETH": "layer-1", "SOL": "layer-1", "LUNA": "layer-1", "ADA": "layer-1"}
SECTORS |= {"DOT": "oracle", "XMR": "privacy"}


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    """Coins of which one dies on the 40th of 120 days."""
    index = pd.date_range("2024-01-01", periods=120)
    steps = np.random.default_rng(2).standard_t(4, (120, len(COINS))) * 0.03
    table = pd.DataFrame(50 * np.exp(steps.cumsum(axis=0)), index=index, columns=COINS)
    table.iloc[40:, 3] = np.nan
    return table


def test_a_recent_window_with_a_dead_coin_names_it_and_the_remedy(prices):
    with pytest.raises(PanelError, match=r"none: LUNA\. Leave them out with drop='dead' \(--drop dead\)"):
        bf.panel_from_prices(prices, start="2024-03-01")


def test_one_word_goes_on_without_the_dead_and_says_so(prices):
    with pytest.warns(UserWarning, match=r"left out, for want of any return in the window: LUNA\."):
        panel = bf.panel_from_prices(prices, start="2024-03-01", drop="dead")
    by_hand = bf.panel_from_prices(prices.drop(columns="LUNA"), start="2024-03-01")
    assert panel.attrs["dropped"] == "LUNA"
    xr.testing.assert_identical(panel.drop_attrs(), by_hand.drop_attrs())
    returns = prices.pct_change(fill_method=None).iloc[1:]
    with pytest.warns(UserWarning, match="LUNA"):
        assert "LUNA" not in bf.panel_from_returns(returns, start="2024-03-01", drop=["dead"])["asset"]


def test_where_nobody_is_dead_nothing_is_said(prices):
    panel = bf.panel_from_prices(prices, drop="dead")
    assert "LUNA" in panel["asset"]
    assert "dropped" not in panel.attrs


def test_a_coin_that_lives_outside_the_trimmed_window_is_dead_in_it(prices):
    factors = pd.DataFrame({"f": np.random.default_rng(1).normal(0, 0.02, 60)}, index=prices.index[60:])
    with pytest.warns(UserWarning, match="in the window: LUNA"):
        panel = bf.panel_from_prices(prices, factors=factors, drop="dead")
    assert panel.sizes["asset"] == 6


def test_assets_are_kept_in_the_order_asked_for_and_drop_comes_off(prices):
    panel = bf.panel_from_prices(prices, assets=["SOL", "BTC", "ETH", "LUNA"], drop=["LUNA"])
    assert panel["asset"].values.tolist() == ["SOL", "BTC", "ETH"]
    assert panel.attrs["dropped"] == "LUNA"
    xr.testing.assert_identical(
        panel.drop_attrs(), bf.panel_from_prices(prices[["SOL", "BTC", "ETH"]]).drop_attrs()
    )
    factors = pd.DataFrame({"f": np.random.default_rng(1).normal(0, 0.02, 120)}, index=prices.index)
    assert bf.panel_from_prices(prices, factors=factors, assets="BTC")["asset"].values.tolist() == ["BTC"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"assets": ["BTC", "ETHER"]},
            r"assets= names assets of the table; unknown: 'ETHER' \(did you mean 'ETH'",
        ),
        ({"drop": ["LUNAR"]}, r"drop= names assets of the table; unknown: 'LUNAR' \(did you mean 'LUNA'"),
        ({"drop": "deed"}, "unknown: 'deed'"),
        ({"assets": ["BTC", "BTC"]}, "once; more than once: BTC"),
        ({"assets": []}, "at least one asset; got none"),
        ({"assets": [1, 2]}, r"a list of names; got 1, 2"),
        ({"assets": 3}, "got 3"),
        ({"assets": ["BTC"], "drop": ["BTC"]}, "leave some asset"),
    ],
)
def test_what_is_no_choice_is_refused_at_every_door(prices, options, words):
    returns = prices.pct_change(fill_method=None).iloc[1:]
    for make in (
        lambda: bf.panel_from_prices(prices, **options),
        lambda: bf.panel_from_returns(returns, **options),
        lambda: bf.build_factors(prices, which=["market"], **options),
    ):
        with pytest.raises(PanelError, match=words):
            make()


# --- factors ----------------------------------------------------------------------------------


def test_factors_from_a_start_use_what_came_before(prices):
    which = ["market", "momentum", "volatility"]
    whole = bf.build_factors(prices, which=which)
    part = bf.build_factors(prices, which=which, start="2024-03-01", end="2024-04-10")
    assert str(part["time"].values[0])[:10] == "2024-03-01"
    assert str(part["time"].values[-1])[:10] == "2024-04-10"
    same = whole.sel(time=part["time"])
    for name in ("factor_returns", "factor_weights"):
        np.testing.assert_array_equal(part[name], same[name])
    with pytest.raises(PanelError, match="no return lies at or after"):
        bf.build_factors(prices, which=which, start="2025-01-01")


def test_factors_of_living_coins_are_those_of_all_where_the_dead_had_no_return(prices):
    whole = bf.build_factors(prices, which=["market"], start="2024-03-01")
    with pytest.warns(UserWarning, match="LUNA"):
        alive = bf.build_factors(prices, which=["market"], start="2024-03-01", drop="dead")
    assert alive.attrs["dropped"] == "LUNA"
    assert "LUNA" not in alive["asset"]
    np.testing.assert_allclose(alive["factor_returns"], whole["factor_returns"], rtol=1e-12)


def test_sectors_of_too_few_coins_are_named(prices):
    with pytest.warns(UserWarning, match=r"at least 3 coins.*oracle \(1\), privacy \(1\), store \(1\)"):
        factors = bf.build_factors(prices, sectors=SECTORS, which=["market", "sector"])
    assert factors.attrs["too_small"] == "oracle, privacy, store"
    assert factors["factor"].values.tolist() == ["market", "sector:layer-1"]


# --- the command line -------------------------------------------------------------------------


@pytest.mark.filterwarnings("default:left out")  # the command line prints it, which is looked at here
def test_the_command_line_takes_the_same_words(prices, tmp_path):
    prices.rename_axis("date").to_csv(tmp_path / "p.csv")
    out = tmp_path / "f.nc"
    line = ["factors", str(tmp_path / "p.csv"), "--which", "market", "--out", str(out), "--drop", "dead,DOT"]
    found = CliRunner().invoke(app, [*line, "--start", "2024-03-01", "--end", "2024-03-20"])
    assert found.exit_code == 0, found.output
    assert "left out, for want of any return in the window: LUNA" in found.output
    factors = xr.load_dataset(out)
    assert set(factors["asset"].values) == {"BTC", "ETH", "SOL", "ADA", "XMR"}
    assert str(factors["time"].values[-1])[:10] == "2024-03-20"
    found = CliRunner().invoke(
        app, ["fit", str(tmp_path / "p.csv"), "--out", str(out), "--assets", "BTC,ETHER"]
    )
    assert found.exit_code == 2
    assert "did you mean 'ETH'?" in found.output
    found = CliRunner().invoke(app, ["backtest", str(tmp_path / "p.csv"), "--drop", "LUNAR"])
    assert found.exit_code == 2
    assert "did you mean 'LUNA'?" in found.output
