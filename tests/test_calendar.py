"""Time at the door: what a year is, which day a stamp belongs to, what `end=` includes."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayesfactor as bf
from bayesfactor.errors import PanelError
from bayesfactor.panel import check_panel
from bayesfactor.panel.calendar import calendar_of, to_stamps
from bayesfactor.periods import (
    Step,
    between,
    count_periods,
    days_in_period,
    first_moment,
    last_moment,
    same_year,
    step_of,
    the_next,
)


def walk(index: pd.DatetimeIndex, n: int = 3, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.02, (len(index), n))
    return pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), index=index, columns=["BTC", "ETH", "SOL"][:n])


# --- the year ---------------------------------------------------------------------------------

YEARS = {
    "5min": ("5-minute period", 105_120),
    "min": ("minute", 525_600),
    "h": ("hour", 8_760),
    "4h": ("4-hour period", 2_190),
    "8h": ("8-hour period", 1_095),
    "D": ("day", 365),
    "B": ("business day", 252),
    "W-SUN": ("week", 52),
    "W-WED": ("week", 52),
    "2W-FRI": ("2-week period", 26),
    "MS": ("month", 12),
    "ME": ("month", 12),
    "BME": ("month", 12),
    "QS": ("quarter", 4),
    "QE-NOV": ("quarter", 4),
    "YE": ("year", 1),
    "YS-APR": ("year", 1),
}


@pytest.mark.parametrize("freq", YEARS)
def test_a_year_has_as_many_periods_as_the_calendar_says(freq: str):
    name, year = YEARS[freq]
    prices = walk(pd.date_range("2020-01-01", periods=40, freq=freq))
    for panel in (bf.panel_from_prices(prices), bf.panel_from_returns(prices.pct_change().iloc[1:])):
        assert panel.attrs["periods_per_year"] == year
        assert isinstance(panel.attrs["periods_per_year"], int)
    assert step_of(year).name == name
    assert count_periods(527, year) == f"527 {name}s"
    assert the_next(1, year) == f"the next {name}"


@pytest.mark.parametrize(
    ("freq", "year"),
    [("D", 365.25), ("h", 8_766), ("B", 260), ("B", 261), ("B", 250), ("W-MON", 52.18), ("ME", 12.0)],
)
def test_another_number_for_the_same_year_is_taken_as_given(freq: str, year: float):
    panel = bf.panel_from_prices(
        walk(pd.date_range("2023-01-01", periods=30, freq=freq)), periods_per_year=year
    )
    assert panel.attrs["periods_per_year"] == year
    assert same_year(year, YEARS[freq if freq in YEARS else "W-SUN"][1])
    check_panel(panel)


@pytest.mark.parametrize(
    ("freq", "year"),
    [("h", 365), ("D", 252), ("B", 365), ("D", 8_760), ("W-SUN", 365), ("4h", 8_760), ("ME", 52), ("D", 371)],
)
def test_a_year_that_contradicts_the_calendar_is_refused(freq: str, year: float):
    prices = walk(pd.date_range("2023-01-01", periods=30, freq=freq))
    name, right = YEARS[freq]
    with pytest.raises(PanelError, match=rf"each {name}, {right} a year; got {year:g}\. Leave it out"):
        bf.panel_from_prices(prices, periods_per_year=year)
    panel = bf.panel_from_prices(prices).assign_attrs(periods_per_year=year)
    with pytest.raises(PanelError, match="that of the calendar"):
        check_panel(panel)


def test_days_that_skip_no_weekend_are_days_and_business_days_only_where_said():
    prices = walk(pd.date_range("2024-01-01", periods=5, freq="D"))  # Monday to Friday
    assert bf.panel_from_prices(prices).attrs["periods_per_year"] == 365
    assert bf.panel_from_prices(prices, periods_per_year=252).attrs["periods_per_year"] == 252


@pytest.mark.parametrize("freq", [f for f in YEARS if f not in {"YE", "YS-APR"}])
@given(first=st.integers(0, 30), n=st.integers(3, 40))
@settings(max_examples=3, deadline=None)
def test_a_window_of_a_panel_is_a_panel_of_the_same_year(freq: str, first: int, n: int):
    panel = bf.panel_from_prices(walk(pd.date_range("2020-01-01", periods=60, freq=freq)))
    check_panel(panel.isel(time=slice(first, first + n)))


def test_a_period_lasts_as_many_days_as_fit_the_year():
    assert days_in_period(8_760) == pytest.approx(1 / 24)
    assert days_in_period(252) == pytest.approx(365 / 252)
    assert days_in_period(12) == pytest.approx(365 / 12)


@given(unit=st.sampled_from(["week", "day", "hour", "minute"]), n=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_step_is_found_again_from_its_year(unit: str, n: int):
    step = Step(unit, n)
    found = step_of(step.per_year)
    assert found.fits(step.per_year)
    assert abs(found.per_year / step.per_year - 1) <= 0.01


# --- units of time ----------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "size"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_numbers_since_1970_are_refused_with_the_line_that_reads_them(unit: str, size: int):
    prices = walk(pd.date_range("2024-01-01", periods=20))
    numbers = np.array([int(t.timestamp()) * size for t in prices.index])
    for labels in (pd.Index(numbers), pd.Index(numbers.astype(str))):
        with pytest.raises(PanelError, match=rf"counts since 1970.*unit='{unit}'"):
            bf.panel_from_prices(prices.set_axis(labels))
    read = prices.set_axis(pd.to_datetime(numbers, unit=unit))
    np.testing.assert_array_equal(bf.panel_from_prices(read)["time"], prices.index[1:])


def test_dates_written_as_numbers_are_refused_with_the_line_that_reads_them():
    prices = walk(pd.date_range("2024-01-01", periods=20))
    with pytest.raises(PanelError, match=r"format='%Y%m%d'"):
        bf.panel_from_prices(prices.set_axis(prices.index.strftime("%Y%m%d").astype(int)))


@pytest.mark.parametrize("size", [1, 10**3, 10**6])
def test_stamps_of_1970_are_numbers_in_another_unit(size: int):
    prices = walk(pd.date_range("2024-01-01", periods=20))
    numbers = np.array([int(t.timestamp()) * size for t in prices.index])
    with pytest.raises(PanelError, match=r"all stamps lie in 1970.*unit='ms'"):
        bf.panel_from_prices(prices.set_axis(pd.DatetimeIndex(numbers.astype("datetime64[ns]"))))


def test_a_step_below_a_second_is_a_unit_error():
    index = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(20) * 86_400, unit="us")
    with pytest.raises(PanelError, match=r"a second apart or more.*unit='ms'"):
        bf.panel_from_prices(walk(index))


def test_a_series_that_passes_through_1970_is_fine():
    index = pd.date_range("1968-01-31", periods=60, freq="ME")
    assert bf.panel_from_prices(walk(index)).attrs["periods_per_year"] == 12


# --- time zones -------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Europe/Berlin", "America/Sao_Paulo"])
@pytest.mark.parametrize("form", ["index", "text", "objects"])
def test_midnights_of_any_place_keep_their_date(zone: str, form: str):
    days = pd.date_range("2018-01-01", "2018-12-31")  # clocks change, in Sao Paulo at midnight
    local = days.tz_localize(zone, nonexistent="shift_forward")
    labels = {
        "index": local,
        "text": pd.Index(local.map(str)),
        "objects": pd.Index(list(local), dtype=object),
    }
    found = to_stamps(labels[form], "prices").normalize()
    np.testing.assert_array_equal(found, days)


def test_hours_with_a_zone_are_moments_of_utc():
    utc = pd.date_range("2024-03-09", periods=72, freq="h")
    local = utc.tz_localize("UTC").tz_convert("America/New_York")
    for labels in (local, pd.Index(local.map(str))):
        np.testing.assert_array_equal(to_stamps(labels, "prices"), utc)


def test_one_stamp_a_day_that_is_midnight_of_utc_stays_so_wherever_it_is_shown():
    utc = pd.date_range("2024-01-01", periods=20)
    shown = utc.tz_localize("UTC").tz_convert("Asia/Tokyo")
    np.testing.assert_array_equal(to_stamps(shown, "prices"), utc)


def test_a_driver_of_tokyo_is_known_on_its_own_date_and_no_day_before():
    days = pd.date_range("2023-01-01", periods=120)
    level = pd.Series(
        1e4 * np.exp(np.random.default_rng(3).normal(0, 0.01, 120).cumsum()), days, name="nikkei"
    )
    spec = {"nikkei": {"family": "macro", "min_periods": 20, "standardise": "expanding"}}
    tokyo = level.tz_localize("Asia/Tokyo").to_frame()
    plain = bf.driver_innovations(level.to_frame(), spec)
    found = bf.driver_innovations(tokyo, spec)
    np.testing.assert_array_equal(found["time"], plain["time"])
    np.testing.assert_array_equal(found["factor_returns"], plain["factor_returns"])
    # what Tokyo closes at on the 90th day changes nothing of the days before it
    wild = tokyo.copy()
    wild.iloc[90:] *= 1.5
    with pytest.warns(UserWarning, match="standard deviations"):
        other = bf.driver_innovations(wild, spec)
    before = slice(None, days[89])
    np.testing.assert_array_equal(
        other.sel(time=before)["factor_returns"], found.sel(time=before)["factor_returns"]
    )
    assert float(other.sel(time=days[90])["factor_returns"][0]) != float(
        found.sel(time=days[90])["factor_returns"][0]
    )


# --- start and end ----------------------------------------------------------------------------


@pytest.mark.parametrize("of_day", ["00:00:00", "12:00:00", "23:59:00", "23:59:59"])
@pytest.mark.parametrize(
    "end",
    [
        "2024-02-10",
        dt.date(2024, 2, 10),
        np.datetime64("2024-02-10"),
        pd.Timestamp("2024-02-10"),
        pd.Period("2024-02-10", "D"),
    ],
    ids=["text", "date", "datetime64", "Timestamp", "Period"],
)
def test_the_last_day_is_whole(of_day: str, end: object):
    prices = walk(pd.date_range(f"2024-01-01 {of_day}", periods=60))
    panel = bf.panel_from_prices(prices, start="2024-01-05", end=end)
    assert panel["time"].values[-1] == np.datetime64(f"2024-02-10T{of_day}")
    assert panel["time"].values[0] == np.datetime64(f"2024-01-06T{of_day}")


def test_the_last_day_of_hours_is_whole_and_a_moment_is_that_moment():
    prices = walk(pd.date_range("2024-02-01", periods=24 * 20, freq="h"))
    for end, last in {
        "2024-02-10": "2024-02-10T23",
        dt.date(2024, 2, 10): "2024-02-10T23",
        "2024-02-10 06:00": "2024-02-10T06",
        "2024-02-10T00:00": "2024-02-10T00",
        pd.Timestamp("2024-02-10"): "2024-02-10T00",  # of several stamps a day, one moment
        pd.Timestamp("2024-02-10", tz="Asia/Tokyo"): "2024-02-09T15",
        "2024-02": "2024-02-20T23",
    }.items():
        assert bf.panel_from_prices(prices, end=end)["time"].values[-1] == np.datetime64(last), end


@given(
    hours=st.integers(1, 200),
    day=st.integers(1, 28),
    minutes=st.integers(0, 59),
    form=st.sampled_from(["D", "M", "Y"]),
)
@settings(max_examples=40, deadline=None)
def test_between_keeps_what_its_dates_hold_and_nothing_else(hours: int, day: int, minutes: int, form: str):
    stamps = pd.date_range(f"2024-01-20 00:{minutes:02d}", periods=60, freq=f"{hours}h")
    text = {"D": f"2024-02-{day:02d}", "M": "2024-02", "Y": "2024"}[form]
    kept = stamps[between(stamps, text, text)]
    period = pd.Period(text, freq=form)
    np.testing.assert_array_equal(kept, [x for x in stamps if x.to_period(form) == period])
    assert first_moment(text, "start") <= last_moment(text, "end")


@pytest.mark.parametrize("value", ["soon", 5, "2024-13", "2024-02-31", None, "31/12/2024"])
def test_what_is_no_date_is_refused(value: object):
    with pytest.raises(PanelError, match="end: a date is ISO 8601"):
        last_moment(value, "end")


def test_an_end_before_the_start_is_refused():
    with pytest.raises(PanelError, match=r"end does not lie before start.*Swap"):
        bf.panel_from_prices(
            walk(pd.date_range("2024-01-01", periods=60)), start="2024-02-10", end="2024-02-01"
        )


def test_the_same_end_means_the_same_everywhere():
    index = pd.date_range("2024-01-01 23:59:59", periods=60)
    prices = walk(index)
    last = np.datetime64("2024-02-10T23:59:59")
    returns = bf.panel_from_returns(prices.pct_change().iloc[1:], end="2024-02-10")
    assert returns["time"].values[-1] == last
    panel = bf.panel_from_prices(prices)
    turned = bf.orthogonalise(panel, until="2024-02-10")
    np.testing.assert_array_equal(
        turned["orthogonal_map"], bf.orthogonalise(panel, until="2024-02-10 23:59:59")["orthogonal_map"]
    )
    scores = pd.DataFrame({"a": np.zeros(60), "b": np.linspace(1, -1, 60)}, index=index)
    np.testing.assert_array_equal(
        bf.stacking_weights(scores, until="2024-02-10"), bf.stacking_weights(scores.iloc[:41])
    )


@pytest.mark.parametrize(("freq", "back"), [("D", 21), ("B", 14), ("12h", 42), ("W-SUN", 3)])
def test_three_weeks_of_momentum_are_as_many_periods_as_fit_them(freq: str, back: int):
    prices = walk(pd.date_range("2023-01-01", periods=60, freq=freq))
    prices = pd.concat([prices, walk(prices.index, seed=8).add_prefix("x")], axis=1)
    built = bf.build_factors(prices, which=["momentum"], rebalance=1, min_assets=3)
    weights = built["factor_weights"].isel(factor=0, time=-1).to_series()
    signal = prices.iloc[-2] / prices.iloc[-2 - back] - 1.0
    assert set(weights[weights > 0].index) == set(signal.nlargest(2).index)
    assert set(weights[weights < 0].index) == set(signal.nsmallest(2).index)


def test_a_calendar_says_its_step():
    stamps = pd.date_range("2024-01-01", periods=12, freq="90min")
    assert calendar_of(stamps, "prices").step == Step("minute", 90)
