"""Units at the doors of a panel: per cent, levels, prices for returns, factors in another unit, jumps."""

import numpy as np
import pandas as pd
import pytest

import bayesfactor as bf
from bayesfactor.errors import PanelError

COINS = ["BTC", "ETH", "SOL"]


def returns(freq: str = "D", size: float = 0.03, n: int = 60, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=n, freq=freq)
    return pd.DataFrame(rng.normal(0.0, size, (n, 3)), index=days, columns=COINS)


def prices(table: pd.DataFrame | None = None) -> pd.DataFrame:
    table = returns() if table is None else table
    return 10.0 * (1.0 + table).cumprod()


@pytest.mark.parametrize(
    ("freq", "size"), [("min", 0.001), ("h", 0.006), ("D", 0.03), ("W", 0.08), ("MS", 0.2)]
)
def test_returns_in_per_cent_are_refused_at_any_step_and_fractions_pass(freq, size):
    table = returns(freq, size)
    assert bf.panel_from_returns(table).sizes["time"] == 60
    for kind in ("simple", "log"):
        with pytest.raises(PanelError, match=r"looks like per cent. Divide by 100"):
            bf.panel_from_returns(table * 100.0, kind=kind)


def test_one_coin_in_per_cent_is_named():
    with pytest.raises(PanelError, match=r"median absolute return, that of ETH, is .*per cent"):
        bf.panel_from_returns(returns().assign(ETH=lambda t: 100.0 * t["ETH"]), kind="log")


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e4])
def test_prices_are_no_returns_whatever_they_cost(scale):
    with pytest.raises(
        PanelError, match=r"none of 180 is, so that these look like prices.*bf\.panel_from_prices"
    ):
        bf.panel_from_returns(prices() * scale)


def test_levels_and_growth_factors_are_no_returns():
    with pytest.raises(PanelError, match=r"those of ETH never are, so that these look like prices or levels"):
        bf.panel_from_returns(returns().assign(ETH=prices()["ETH"] / 100.0))
    with pytest.raises(PanelError, match=r"subtract 1 from growth factors"):
        bf.panel_from_returns(1.0 + returns())


def test_a_yield_that_never_falls_may_stand_beside_coins():
    yields = np.abs(returns(seed=9)["BTC"].to_numpy()) / 300.0
    assert bf.panel_from_returns(returns().assign(STAKED=yields)).sizes["asset"] == 4


def test_returns_are_no_prices():
    with pytest.raises(PanelError, match=r"above zero.*Returns go to bf\.panel_from_returns \(--returns"):
        bf.panel_from_prices(returns())


def test_volumes_are_no_prices():
    traded = np.exp(np.random.default_rng(1).normal(10.0, 2.0, (60, 3)))
    with pytest.raises(PanelError, match=r"which no price does"):
        bf.panel_from_prices(pd.DataFrame(traded, index=returns().index, columns=COINS))


@pytest.mark.parametrize("size", [10.0, 0.1])
def test_a_decimal_point_that_slipped_is_named(size):
    table = prices()
    table.iloc[30, 1] *= 1.1 * size if size > 1 else size / 1.1
    with pytest.warns(
        UserWarning, match=r"jump tenfold in a period: ETH on 2024-01-31 \(1[0-9.]* times.*misprint"
    ):
        bf.panel_from_prices(table)


@pytest.mark.parametrize("size", [1e-9, 1e-2, 1e2, 1e9])
def test_a_price_that_jumps_there_and_back_is_refused_by_coin_and_date(size):
    table = prices()
    table.iloc[30, 1] *= size
    with pytest.raises(PanelError, match=r"ETH on 2024-01-31 \(.*ETH on 2024-02-01 \(.*Empty such a cell"):
        bf.panel_from_prices(table)
    with pytest.raises(PanelError, match=r"returns do not rise a thousandfold|ETH on 2024-01-31"):
        bf.panel_from_returns(table.pct_change().iloc[1:])


def test_a_redenomination_is_named():
    table = prices()
    table.iloc[30:, 1] *= 1000.0 * 1.2
    with pytest.raises(PanelError, match=r"ETH on 2024-01-31 .*redenomination by its ratio"):
        bf.panel_from_prices(table)
    table.iloc[30:, 1] /= 1000.0 * 1200.0
    with pytest.warns(UserWarning, match=r"ETH on 2024-01-31 \(1,.* times less\)"):
        bf.panel_from_prices(table)


def test_a_coin_that_lost_all_but_nothing_in_two_days_is_real():
    table = prices()
    table.iloc[30:, 1] *= 0.06
    table.iloc[31:, 1] *= 0.0003
    with pytest.warns(
        UserWarning, match=r"ETH on 2024-01-31.*ETH on 2024-02-01 .*if it happened, all is well"
    ):
        panel = bf.panel_from_prices(table)
    assert float(panel["returns"].min()) < -0.999


FACTOR = returns(seed=5)[["BTC"]].rename(columns={"BTC": "market"})


@pytest.mark.parametrize("make", [bf.panel_from_prices, bf.panel_from_returns])
def test_a_market_in_per_cent_is_refused(make):
    table = prices() if make is bf.panel_from_prices else returns()
    assert make(table, factors=FACTOR).sizes["factor"] == 1
    for factors in (FACTOR * 100.0, FACTOR.rename(columns={"market": "mkt"}) * 1e4):
        with pytest.raises(PanelError, match=r"a fraction per period.*typically moves by .*Divide by 100"):
            make(table, factors=factors)
    with pytest.raises(PanelError, match=r"'smb' typically moves by"):
        make(table, factors=FACTOR.set_axis(["smb"], axis=1) * 100.0, families={"smb": "style"})


def test_hourly_factors_in_per_cent_are_refused():
    table, factor = returns("h", 0.004), returns("h", 0.004, seed=8)[["BTC"]].set_axis(["market"], axis=1)
    with pytest.raises(PanelError, match="Divide by 100"):
        bf.panel_from_returns(table, factors=100.0 * factor)


def test_standard_deviations_of_a_driver_are_known_by_its_family():
    drivers = (FACTOR / 0.03).set_axis(["vix"], axis=1)
    assert bf.panel_from_returns(returns(), factors=drivers, families={"vix": "macro"}).sizes["factor"] == 1
    with pytest.warns(
        UserWarning, match=r"'vix' typically moves by .*standard deviations.*families=\{'vix': 'macro'\}"
    ):
        bf.panel_from_returns(returns(), factors=drivers)


def test_levels_are_no_factors():
    level = pd.DataFrame({"market": prices()["BTC"] / 100.0})
    with pytest.raises(PanelError, match=r"'market' never falls, as a level does.*pct_change"):
        bf.panel_from_returns(returns(), factors=level)
    with pytest.warns(UserWarning, match="never falls, as a level does"):
        bf.panel_from_returns(returns(), factors=level.set_axis(["vix"], axis=1), families={"vix": "macro"})


def test_capitalisations_stand_in_any_unit_but_not_still():
    big = {c: returns(seed=i)["BTC"] for i, c in enumerate("ABCDEFG")}
    table = prices(pd.DataFrame(big))
    caps = table * np.arange(1.0, 8.0)
    built = bf.build_factors(table, market_cap=caps, which="market")
    in_millions = bf.build_factors(table, market_cap=caps / 1e6, which="market")
    np.testing.assert_allclose(built["factor_returns"], in_millions["factor_returns"], rtol=1e-12)
    with pytest.raises(PanelError, match="the same on all dates, as a snapshot's is"):
        bf.build_factors(table, market_cap=caps * 0.0 + 5.0, which="market")
    with pytest.raises(PanelError, match="market_cap is zero or above; negative: B"):
        bf.build_factors(table, market_cap=caps.assign(B=-1.0), which="market")
    caps.iloc[40:, 2] *= 1e-6
    with pytest.warns(UserWarning, match=r"tenfold where the price does not: C \(first on 2024-02-10\)"):
        bf.build_factors(table, market_cap=caps, which="market")
