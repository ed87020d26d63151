"""Positions: Black's formula against quadrature, greeks against differences, and tables that are refused."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import integrate, stats

import bayesfactor as bf
from bayesfactor.errors import MissingFileError, PositionsError
from bayesfactor.positions import black

CALL = {"asset": "BTC", "instrument": "option", "type": "call", "quantity": 1.0, "price": 100.0}
CALL |= {"strike": 110.0, "days": 40.0, "implied_volatility": 0.65, "rate": 0.03}
PUT = CALL | {"type": "put"}


def by_quadrature(row):
    """Value of one option as the discounted mean of what it pays, F lognormal; nothing is shared."""
    years = row["days"] / 365
    spread = row["implied_volatility"] * np.sqrt(years)
    law = stats.lognorm(spread, scale=row["price"] * np.exp(-0.5 * spread**2))
    side, k = (1 if row["type"] == "call" else -1), row["strike"]
    ends = (k, k * np.exp(14 * spread)) if side > 0 else (0.0, k)
    pays = integrate.quad(lambda f: side * (f - k) * law.pdf(f), *ends, epsabs=1e-12, limit=200)[0]
    return np.exp(-row["rate"] * years) * pays


def one(row, **changed):
    return bf.read_positions([row | changed])


@pytest.mark.parametrize("side", [CALL, PUT])
@pytest.mark.parametrize("strike", [60.0, 100.0, 180.0])
def test_an_option_is_worth_what_it_pays_on_average(side, strike):
    row = side | {"strike": strike}
    assert one(row).value == pytest.approx(by_quadrature(row), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("side", [CALL, PUT])
def test_greeks_are_differences_of_value(side):
    found = one(side, quantity=-3.0).table().iloc[0]
    f, s, h = side["price"], side["implied_volatility"], 1e-4

    def worth(move=0.0, vol=0.0, days=0.0):
        row = {"price": f * (1 + move), "implied_volatility": s + vol, "days": side["days"] - days}
        return one(side, quantity=-3.0, **row).value

    assert found["delta"] == pytest.approx((worth(h) - worth(-h)) / (2 * h), rel=1e-6)
    assert found["gamma"] == pytest.approx((worth(h) - 2 * worth() + worth(-h)) / h**2, rel=1e-4)
    assert found["vega"] == pytest.approx((worth(vol=h) - worth(vol=-h)) / (2 * h), rel=1e-6)
    assert found["theta"] == pytest.approx((worth(days=h) - worth(days=-h)) / (2 * h), rel=1e-6)


def test_vanna_and_volga_are_differences_of_vega():
    law = (100.0, 110.0, 0.2, 0.65, 0.03, True)
    h = 1e-4

    def vega(forward=0.0, vol=0.0):
        return black.sensitivities(100.0 + forward, 110.0, 0.2, 0.65 + vol, 0.03, call=True).vega

    found = black.sensitivities(*law)
    assert found.vanna == pytest.approx((vega(h) - vega(-h)) / (2 * h), rel=1e-6)
    assert found.volga == pytest.approx((vega(vol=h) - vega(vol=-h)) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("strike", [70.0, 100.0, 140.0])
def test_call_less_put_is_a_forward(strike):
    pair = bf.read_positions([CALL | {"strike": strike}, PUT | {"strike": strike, "quantity": -1.0}])
    discount = np.exp(-0.03 * 40 / 365)
    assert pair.value == pytest.approx(discount * (100.0 - strike), rel=1e-12, abs=1e-12)
    found = pair.exposures().iloc[0]
    assert found["delta"] == pytest.approx(100.0 * discount, rel=1e-12)
    assert abs(found[["gamma", "vega"]]).max() < 1e-10
    moved = pair.revalue({"BTC": -0.3}, 10.0, kappa=1.5)["BTC"]
    later = np.exp(-0.03 * 30 / 365) * (70.0 - strike)
    assert moved == pytest.approx(later - pair.value, rel=1e-10)


@pytest.mark.parametrize("kappa", [0.0, 0.8])
@pytest.mark.parametrize("side", [CALL, PUT])
def test_half_the_move_leaves_an_eighth_of_the_error(side, kappa):
    held = one(side)
    k = np.array([kappa])
    errors = []
    for r in (0.004, 0.002, 0.001):
        taylor = held.slope(k)[0] * r + 0.5 * held.curvature(k)[0] * r**2
        errors.append(held.revalue({"BTC": r}, kappa=kappa)["BTC"] - taylor)
    assert errors[0] / errors[1] == pytest.approx(8.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(8.0, rel=0.03)


def test_a_move_reprices_what_is_held_at_the_new_price_volatility_and_time():
    row = PUT | {"quantity": 2.0}
    gain = one(row).revalue({"BTC": -0.2}, 15.0, kappa=0.5)["BTC"]
    then = one(row, price=80.0, implied_volatility=0.65 * 1.1, days=25.0)
    assert gain == pytest.approx(then.value - one(row).value, rel=1e-12)


@pytest.mark.parametrize(("price", "pays"), [(1.5, 40.0), (1.1, 0.0), (0.5, 0.0)])
def test_an_option_that_expired_pays_its_exercise(price, pays):
    held = one(CALL)
    for days in (40.0, 60.0):
        assert held.revalue({"BTC": price - 1}, days)["BTC"] + held.value == pytest.approx(pays, abs=1e-12)


def test_nothing_is_worth_less_than_nothing():
    held = bf.read_positions([CALL, PUT])
    gone = held.revalue({"BTC": -1.2}, kappa=-5.0)["BTC"]
    assert gone + held.value == pytest.approx(110.0 * np.exp(-0.03 * 40 / 365), rel=1e-12)
    calm = held.revalue({"BTC": 0.5}, kappa=4.0)["BTC"]
    assert calm + held.value == pytest.approx(40.0 * np.exp(-0.03 * 40 / 365), rel=1e-12)


def test_straight_positions_gain_their_notional_times_the_return_less_funding():
    rows = [
        {"asset": "BTC", "instrument": "spot", "quantity": 2, "price": 50},
        {"asset": "BTC", "instrument": "perpetual", "quantity": -3, "price": 51, "funding": 0.0004},
    ]
    held = bf.read_positions(rows)
    assert held.value == 100.0
    assert held.exposures().loc["BTC", "delta"] == 100.0 - 153.0
    assert held.exposures().loc["BTC", "funding"] == pytest.approx(-153.0 * 0.0004)
    gain = held.revalue({"BTC": 0.1}, 2.0, period_days=0.5)["BTC"]
    assert gain == pytest.approx(-5.3 + 4 * 153.0 * 0.0004)
    assert not held.curved.any()


def test_rows_of_greeks_gain_what_they_say():
    row = {"asset": "ETH", "instrument": "greeks", "delta": 500, "gamma": -2000, "vega": 300, "theta": 7}
    held = bf.read_positions([row | {"implied_volatility": 0.8}])
    gain = held.revalue(pd.DataFrame({"ETH": [0.1, -0.2]}), 3.0, kappa=0.5)
    r = np.array([0.1, -0.2])
    np.testing.assert_allclose(gain["ETH"], 500 * r - 1000 * r**2 - 300 * 0.5 * 0.8 * r + 21, rtol=1e-12)


def test_theta_of_options_is_per_period_of_so_many_days():
    held = one(CALL)
    assert held.exposures(7.0).loc["BTC", "theta"] == pytest.approx(7 * held.exposures().loc["BTC", "theta"])
    hour = held.carry(1 / 24, 1 / 24, full=False)[0]
    assert hour == pytest.approx(held.revalue({"BTC": 0.0}, 1 / 24)["BTC"], rel=1e-3)


def test_the_order_of_rows_changes_no_digit():
    rng = np.random.default_rng(1)
    rows = [
        CALL | {"asset": a, "strike": k, "quantity": q}
        for a, k, q in zip("ABAABBAB", rng.uniform(60, 150, 8), rng.normal(size=8), strict=True)
    ]
    one_way, other = bf.read_positions(rows), bf.read_positions(rows[::-1])
    pd.testing.assert_frame_equal(one_way.exposures(), other.exposures(), check_exact=True)
    move = {"A": -0.1, "B": 0.07}
    pd.testing.assert_series_equal(
        one_way.revalue(move, 3.0, 0.4), other.revalue(move, 3.0, 0.4), check_exact=True
    )


def test_a_file_says_the_same_as_its_rows(tmp_path):
    text = (
        "Asset, instrument, type, quantity, price, strike, days, implied_volatility, funding\n"
        "BTC, option, Call, 1, 100, 110, 40, 0.65\n"
        "\n"
        "NA, perpetual, , -2, 5, , , , 0.0001\n"
    )
    (tmp_path / "p.csv").write_text(text, encoding="utf-8-sig")
    found = bf.read_positions(tmp_path / "p.csv")
    assert found.assets == ("BTC", "NA")
    rows = [CALL, {"asset": "NA", "instrument": "perpetual", "quantity": -2, "price": 5, "funding": 1e-4}]
    rows[0] = {k: v for k, v in rows[0].items() if k != "rate"}
    pd.testing.assert_frame_equal(found.exposures(), bf.read_positions(pd.DataFrame(rows)).exposures())
    assert "2 positions, worth" in repr(found)
    assert "perpetual" in repr(found)


REFUSED = {
    "an unknown column": ([CALL | {"strik": 1}], r"unknown columns 'strik' \(did you mean 'strike'\?\)"),
    "names of an exchange": (
        [{"symbol": "BTC", "positionAmt": 1, "entryPrice": 1, "markPrice": 2, "positionSide": "BOTH"}],
        "symbol may be asset, positionAmt may be quantity, markPrice may be price.; give shorts a negative quantity.*leave .entryPrice. out",
    ),
    "a date of expiry": ([CALL | {"expiry": "2024-12-27"}], "Give days, from today to expiry, for it"),
    "a date for days": ([CALL | {"days": "2024-12-27"}], "days are a number, from today to expiry; got '2024-12-27'"),
    "a side": ([CALL | {"side": "Sell"}], r"columns 'side'\. .*Give shorts a negative quantity instead of a side\.$"),
    "a note": ([CALL | {"comment": "hedge"}], "Leave 'comment' out"),
    "an unknown instrument": ([CALL | {"instrument": "optoin"}], r"row 1 of positions \(BTC\): .*did you mean 'option'"),
    "no instrument": ([{"asset": "BTC", "quantity": 1}], "missing instrument"),
    "no volatility": ([CALL, {k: v for k, v in PUT.items() if k != "implied_volatility"}], "row 2 .*nothing in implied_volatility"),
    "an empty volatility": ([CALL | {"implied_volatility": ""}], "nothing in implied_volatility"),
    "a volatility in per cent": ([CALL | {"implied_volatility": 65}], "Divide by 100"),
    "a price that is NaN": ([CALL | {"price": "nan"}], "price is a finite number; got 'nan'"),
    "a price of zero": ([CALL | {"price": 0}], "price is above 0; got 0"),
    "a negative strike": ([CALL | {"strike": -1}], "strike is above 0"),
    "no days left": ([CALL | {"days": 0}], "days is above 0"),
    "a word for a number": ([CALL | {"quantity": "two"}], "quantity is a finite number; got 'two'"),
    "neither call nor put": ([CALL | {"type": "straddle"}], "type is call or put; got 'straddle'"),
    "a spot with a strike": ([{"asset": "A", "instrument": "spot", "quantity": 1, "price": 1, "strike": 5}], "has no strike; got 5"),
    "greeks of nothing": ([{"asset": "A", "instrument": "greeks", "implied_volatility": 0.5}], "at least one of delta"),
    "no underlying": ([CALL | {"asset": " "}], "asset names the underlying"),
    "no row": ([], "columns asset and instrument are needed"),
    "a table without rows": (pd.DataFrame(columns=["asset", "instrument"]), "at least one row"),
    "columns twice": (pd.DataFrame([["A", "spot", 1, 1]], columns=["asset", "instrument", "price", "Price"]), "price more than once"),
    "something else": (3.0, "got float"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_is_refused_with_its_reason(case):
    table, message = REFUSED[case]
    with pytest.raises(PositionsError, match=message):
        bf.read_positions(table)


def test_files_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        bf.read_positions(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(PositionsError, match="cannot be read as CSV"):
        bf.read_positions(tmp_path / "empty.csv")
    (tmp_path / "head.csv").write_text("asset,instrument\n")
    with pytest.raises(PositionsError, match="at least one row"):
        bf.read_positions(tmp_path / "head.csv")


def test_kappa_is_refused_where_it_moves_what_is_not_known():
    held = bf.read_positions([CALL, {"asset": "ETH", "instrument": "greeks", "vega": 100}])
    with pytest.raises(PositionsError, match="row 2 has vega and no implied_volatility"):
        held.revalue({"BTC": 0.0, "ETH": 0.0}, kappa=1.0)
    assert held.revalue({"BTC": 0.0, "ETH": 0.1}, kappa={"BTC": 1.0})["ETH"] == 0.0
    for bad, message in (
        ({"BTCC": 1.0}, "did you mean 'BTC'"),
        (np.nan, "finite number"),
        ("much", "finite"),
    ):
        with pytest.raises(PositionsError, match=message):
            held.revalue({"BTC": 0.0, "ETH": 0.0}, kappa=bad)


def test_a_move_is_refused_that_leaves_something_out():
    held = one(CALL)
    with pytest.raises(PositionsError, match="none for 'BTC'"):
        held.revalue({"ETH": 0.1})
    with pytest.raises(PositionsError, match="returns are finite"):
        held.revalue({"BTC": np.nan})
    with pytest.raises(PositionsError, match="days_passed is a number of days"):
        held.revalue({"BTC": 0.1}, -1.0)


def test_kappa_is_the_regression_of_changes_of_volatility():
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=300)
    r = pd.DataFrame(0.03 * rng.standard_t(4, (300, 2)), days, ["BTC", "ETH"])
    change = -np.array([0.9, 0.3]) * r + 0.002 + 0.02 * rng.standard_normal((300, 2))
    level = 0.6 * (1 + change).cumprod()
    level.iloc[50, 0] = np.nan
    found = bf.fit_kappa(r, level[["ETH", "BTC"]])
    assert found["periods"].tolist() == [297, 299]
    for asset in r:
        moved = (level[asset] / level[asset].shift(1) - 1).to_numpy()
        seen = np.isfinite(moved)
        ols = sm.OLS(moved[seen], sm.add_constant(r[asset].to_numpy()[seen])).fit(cov_type="HC1")
        assert found.loc[asset, "kappa"] == pytest.approx(-ols.params[1], rel=1e-10)
        assert found.loc[asset, "se"] == pytest.approx(ols.bse[1], rel=1e-10)
        assert found.loc[asset, "r_squared"] == pytest.approx(ols.rsquared, rel=1e-10)
    assert abs(found["kappa"] - [0.9, 0.3]).max() < 0.1
    held = one(CALL)
    assert held.kappa(found).tolist() == [found.loc["BTC", "kappa"]]


def test_kappa_needs_quotes_that_go_with_returns():
    r = pd.DataFrame({"BTC": np.zeros(30)})
    with pytest.raises(PositionsError, match="no asset has both"):
        bf.fit_kappa(r, pd.DataFrame({"ETH": np.ones(30)}))
    with pytest.raises(PositionsError, match="never moves"):
        bf.fit_kappa(r, pd.DataFrame({"BTC": np.ones(30)}))
    with pytest.raises(PositionsError, match=r"at least 20 periods .* got 9"):
        bf.fit_kappa(r[:10], pd.DataFrame({"BTC": np.ones(30)}))
    with pytest.raises(PositionsError, match="implied volatility is above 0"):
        bf.fit_kappa(r, pd.DataFrame({"BTC": np.zeros(30)}))
    with pytest.raises(PositionsError, match="got float"):
        bf.fit_kappa(r, 0.6)
