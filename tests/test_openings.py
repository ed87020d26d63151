"""Days on which a factor's market is closed are missing information, whoever says so."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from driver_trees import driver_panel

import bayesfactor as bf
from bayesfactor.errors import PanelError
from bayesfactor.laws.calendar import Calendar
from bayesfactor.panel import check_panel, open_factors
from bayesfactor.panel.openings import repeated, still
from bayesfactor.structures import blocks_of

DAYS = pd.date_range("2023-01-02", periods=210)  # from a Monday on
WEEKEND = np.asarray(DAYS.day_of_week) >= 5
NOW = "2024-06-01"


def moves(seed=0, n=210):
    return np.random.default_rng(seed).normal(size=n)


def test_zeros_of_a_business_day_series_are_closed_days_holidays_too():
    x = moves()
    shut = WEEKEND.copy()
    shut[[16, 72, 150]] = True  # holidays
    np.testing.assert_array_equal(still(np.where(shut, 0.0, x), DAYS.values), shut)


def test_a_weekend_with_a_rare_move_is_closed_on_the_others():
    shut = WEEKEND.copy()
    shut[12] = False
    np.testing.assert_array_equal(still(np.where(shut, 0.0, moves()), DAYS.values), shut)


def test_the_zeros_of_a_rate_decision_are_news():
    """Most days without a decision are no closed market: no weekday is told apart by them."""
    x = np.zeros(210)
    x[::30] = 0.25
    assert not still(x, DAYS.values).any()


def test_one_zero_by_chance_is_a_move():
    x = moves(n=210)
    x[100] = 0.0
    assert not still(x, DAYS.values).any()


def test_closed_hours_of_the_week_are_found():
    hours = pd.date_range("2024-01-01", periods=24 * 21, freq="h")
    shut = (np.asarray(hours.day_of_week) >= 5) | (hours.hour < 14) | (hours.hour >= 21)
    x = np.where(shut, 0.0, moves(n=len(hours)))
    np.testing.assert_array_equal(still(x, hours.values), shut)
    calendar = Calendar.of(hours.values, ~shut[None], np.ones(len(hours), dtype=bool))
    later = pd.date_range(hours[-1], periods=24 * 8, freq="h")[1:]
    expected = (np.asarray(later.day_of_week) < 5) & (later.hour >= 14) & (later.hour < 21)
    np.testing.assert_array_equal(calendar.ahead(len(later))[:, 0], expected)


def test_a_portfolio_of_the_panels_own_assets_is_always_open():
    prices = pd.DataFrame(100.0 * np.exp(np.cumsum(0.02 * moves(1, 420).reshape(210, 2), axis=0)), DAYS)
    prices.columns = ["A", "B"]
    prices.iloc[50:60] = prices.iloc[49].values  # the exchange stood still
    assert open_factors(bf.panel_from_prices(prices)).all()


@pytest.mark.parametrize("last", ["2023-07-28", "2023-07-30"])  # Friday, Sunday
def test_the_calendar_goes_on_as_it_was(last):
    days = pd.date_range(end=last, periods=60)
    opened = np.ones((2, 60), dtype=bool)
    opened[1] = np.asarray(days.day_of_week) < 5
    opened[1, [10, 58 if last.endswith("28") else 56]] = False
    ahead = Calendar.of(days.values, opened, np.ones(len(days), dtype=bool)).ahead(10)
    later = pd.date_range(last, periods=11)[1:]
    assert ahead[:, 0].all()
    np.testing.assert_array_equal(ahead[:, 1], np.asarray(later.day_of_week) < 5)
    np.testing.assert_array_equal(
        Calendar.of(days.values, opened, np.ones(len(days), dtype=bool)).after(3).ahead(7), ahead[3:]
    )


def test_a_panel_of_business_days_has_no_weekend_to_come():
    days = pd.bdate_range("2024-01-01", "2024-03-01")
    opened = np.ones((1, len(days)), dtype=bool)
    opened[0, days == "2024-02-19"] = False
    calendar = Calendar.of(days.values, opened, np.ones(len(days), dtype=bool))
    assert calendar.ahead(5).all()
    assert calendar.after(1).last == np.datetime64("2024-03-04")


def test_a_weekly_series_on_days_moves_on_its_day_alone():
    days = pd.date_range("2024-01-01", periods=90)
    opened = (np.asarray(days.day_of_week) == 3)[None]
    ahead = Calendar.of(days.values, opened, np.ones(len(days), dtype=bool)).ahead(7)[:, 0]
    assert pd.date_range(days[-1], periods=8)[1:][ahead].day_of_week.tolist() == [3]


def test_a_series_that_moves_on_no_day_in_particular_rules_none_out():
    days = pd.date_range("2024-01-01", periods=90)
    opened = (np.arange(90) % 30 == 0)[None]
    assert Calendar.of(days.values, opened, np.ones(len(days), dtype=bool)).ahead(7).all()


# --- drivers ------------------------------------------------------------------------------------


def stocks(*, filled):
    """Levels of business days, with weekends left out or filled with Friday's."""
    level = pd.Series(4000.0 * np.exp(np.cumsum(np.where(WEEKEND, 0.0, 0.01 * moves(3)))), DAYS)
    return (level if filled else level[~WEEKEND]).to_frame("stocks")


SPEC = {"stocks": {"family": "macro", "transform": "log-difference", "min_periods": 20, "window": 60}}


def test_drivers_say_when_they_were_open_and_monday_holds_the_weekends_move():
    levels = stocks(filled=False)
    found = bf.driver_innovations(levels, SPEC, as_of=NOW)
    opened = found["factor_open"].to_pandas()["stocks"]
    index = opened.index
    known = found["factor_returns"].to_pandas()["stocks"].notna()
    np.testing.assert_array_equal(opened[known], np.asarray(index[known].day_of_week) < 5)
    # A Monday is the change since Friday: levels moved over the weekend by 10 %.
    moved = levels.copy()
    moved.loc["2023-07-03":] *= 1.1
    plain = {"stocks": {**SPEC["stocks"], "standardise": "none"}}
    change = bf.driver_innovations(moved, plain, as_of=NOW)["factor_returns"].to_pandas()["stocks"]
    expected = np.log(moved["stocks"]["2023-07-03"] / moved["stocks"]["2023-06-30"])
    assert change["2023-07-03"] == pytest.approx(expected)
    assert (change[["2023-07-01", "2023-07-02"]] == 0.0).all()


def test_a_source_that_repeats_fridays_level_at_weekends_is_as_good_as_one_that_is_silent():
    silent, filled = (bf.driver_innovations(stocks(filled=f), SPEC, as_of=NOW) for f in (False, True))
    late = {"time": slice("2023-03-15", "2023-07-28")}
    # It takes four weeks to know a source; scales of the first 60 values still hold some of its zeros.
    np.testing.assert_array_equal(filled["factor_open"].sel(late), silent["factor_open"].sel(late))
    later = {"time": slice("2023-06-01", "2023-07-28")}
    np.testing.assert_allclose(filled["factor_returns"].sel(later), silent["factor_returns"].sel(later))


def test_what_a_source_repeats_is_known_without_what_comes_later():
    levels = stocks(filled=True)["stocks"].to_numpy()
    broken = levels.copy()
    broken[120:] = np.random.default_rng(1).normal(size=90)
    full, other = (repeated(x, DAYS.values)[:120] for x in (levels, broken))
    np.testing.assert_array_equal(full, other)
    np.testing.assert_array_equal(full[28:], WEEKEND[28:120])


def test_sets_of_factors_carry_when_they_are_open_into_the_panel():
    drivers = bf.driver_innovations(stocks(filled=False), SPEC, as_of=NOW)
    market = xr.Dataset(
        {"factor_returns": (("time", "factor"), 0.02 * moves(5)[:, None])},
        {"time": DAYS, "factor": ["market"], "family": ("factor", ["market"])},
    )
    merged = bf.merge_factors(market, drivers).sel(time=slice("2023-02-01", None))
    returns = pd.DataFrame(0.03 * moves(6, 420).reshape(210, 2), DAYS, ["A", "B"])["2023-02-01":]
    panel = bf.panel_from_returns(returns, factors=merged)
    check_panel(panel)
    assert panel["factor_open"].sel(factor="market").all()
    weekday = np.asarray(panel.indexes["time"].day_of_week) < 5
    np.testing.assert_array_equal(panel["factor_open"].sel(factor="stocks"), weekday)
    block, names = blocks_of(panel)
    assert block.tolist() == [0, 1]
    assert names == ["traded", "macro"]


def test_a_panel_whose_closed_factors_move_is_refused():
    panel = driver_panel(1)
    opened = np.ones((300, 2), dtype=bool)
    opened[4] = False
    with pytest.raises(PanelError, match="a factor is 0 where factor_open is False; not so: market"):
        check_panel(panel.assign(factor_open=(("time", "factor"), opened)))


def test_turned_factors_stay_closed_and_are_turned_back():
    x = np.column_stack([0.02 * moves(1), moves(2), moves(3)])
    x[:, 1] += 20.0 * x[:, 0]
    x[:, 2] += 0.5 * x[:, 1]
    x[WEEKEND, 1] = 0.0
    factors = xr.Dataset(
        {"factor_returns": (("time", "factor"), x)},
        {"time": DAYS, "factor": ["m", "d", "c"], "family": ("factor", ["market", "macro", "on-chain"])},
    )
    turned = bf.orthogonalise(factors)
    values = turned["factor_returns"].values
    assert not values[WEEKEND, 1].any()
    open_rows = values[~WEEKEND]
    assert abs(np.corrcoef(open_rows[:, 0], open_rows[:, 1])[0, 1]) < 1e-12
    np.testing.assert_allclose(bf.restore_factors(turned)["factor_returns"].values, x, atol=1e-12)


def test_blocks_are_families_and_portfolios_are_one():
    names = ["market", "d0", "d1", "size", "spx", "hash"]
    values = moves(9, 6 * 210).reshape(210, 6)
    values[np.ix_(WEEKEND, [1, 2, 4])] = 0.0
    values[:, [0, 3, 4]] *= 0.02
    families = ["market", "macro", "macro", "style", "market", "on-chain"]
    panel = xr.Dataset(
        {"factor_returns": (("time", "factor"), values), "returns": (("time", "asset"), values[:, :1])},
        {"time": DAYS, "asset": ["a"], "factor": names, "family": ("factor", families)},
    )
    block, of = blocks_of(panel)
    # A stock index that is called a market closes at weekends, and is no part of the first block.
    assert of == ["traded", "on-chain", "macro", "market"]
    assert block.tolist() == [0, 2, 2, 0, 3, 1]
