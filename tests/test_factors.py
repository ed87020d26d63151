"""Traded factors: who is long, who is short, when it was known, and what happens where data are thin."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesfactor as bf
from bayesfactor.factors.weights import formation_rows, held, long_short

N_DAYS, N_COINS = 260, 14
SECTORS = {f"C{i:02d}": ["a", "b", "c"][i % 3] for i in range(N_COINS)}


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(5)
    days = pd.date_range("2022-01-01", periods=N_DAYS)
    names = list(SECTORS)
    market = 0.03 * rng.standard_t(4, N_DAYS)
    returns = np.outer(market, np.linspace(0.5, 1.5, N_COINS)) + 0.03 * rng.normal(size=(N_DAYS, N_COINS))
    prices = pd.DataFrame(10 * np.exp(np.cumsum(np.clip(returns, -0.5, 0.5), axis=0)), days, names)
    prices.iloc[:80, 3] = np.nan
    prices.iloc[200:, 4] = np.nan
    prices.iloc[150:155, 5] = np.nan
    caps = prices * rng.uniform(1e6, 1e9, N_COINS)
    volume = pd.DataFrame(rng.uniform(1e5, 1e7, prices.shape), days, names).where(prices.notna())
    return prices, caps, volume


def build(tables, **options):
    prices, caps, volume = tables
    return bf.build_factors(prices, market_cap=caps, volume=volume, sectors=SECTORS, **options)


def test_the_catalogue_says_what_each_factor_is_and_needs():
    table = bf.list_factors()
    assert {"market", "size", "momentum", "reversal", "volatility", "bab", "liquidity", "sector"} == set(
        table.index
    )
    assert (table[["family", "what", "source"]] != "").all(axis=None)


@pytest.mark.parametrize("weighting", ["tercile", "rank"])
def test_nothing_up_to_a_day_depends_on_what_comes_after_it(tables, weighting):
    """Bitwise, for every factor, and for weights that earn the next day's return too."""
    every = list(bf.list_factors().index)
    full = build(tables, weighting=weighting, which=every)
    rng = np.random.default_rng(0)
    for cut in (120, 203):
        broken = [t.copy() for t in tables]
        for table in broken:
            table.iloc[cut + 1 :] *= rng.uniform(0.7, 1.4, table.iloc[cut + 1 :].shape)
            table.iloc[cut + 3 :, 7] = np.nan
        other = build(broken, weighting=weighting, which=every)
        until = slice(None, tables[0].index[cut])
        for name in ("factor_returns", "factor_weights"):
            pd.testing.assert_frame_equal(
                full[name].sel(time=until).stack(x=full[name].dims[1:]).to_pandas(),
                other[name].sel(time=until).stack(x=full[name].dims[1:]).to_pandas(),
                check_exact=True,
            )


def test_todays_returns_do_not_change_todays_weights(tables):
    """Values of the last day move its returns alone."""
    broken = [t.copy() for t in tables]
    broken[0].iloc[-1] *= 1.3
    broken[1].iloc[-1] *= 7.0
    broken[2].iloc[-1] *= 0.1
    a, b = build(tables), build(broken)
    np.testing.assert_array_equal(a["factor_weights"].values, b["factor_weights"].values)
    assert (a["factor_returns"].values[-1] != b["factor_returns"].values[-1]).any()


def test_every_factor_is_what_its_weights_earn(tables):
    factors = build(tables)
    returns = tables[0].pct_change(fill_method=None).iloc[1:].fillna(0.0).to_numpy()
    earned = np.einsum("tka,ta->tk", factors["factor_weights"].values, returns)
    np.testing.assert_allclose(earned, factors["factor_returns"].values, rtol=1e-12, atol=1e-15)


def test_weights_add_up_and_lie_on_coins_that_have_a_return(tables):
    factors = build(tables)
    weights = factors["factor_weights"].values
    ok = np.isfinite(weights).all(axis=2)
    total = np.where(ok, weights.sum(axis=2), np.nan)
    names = factors["factor"].values.tolist()
    np.testing.assert_allclose(total[:, names.index("market")], 1.0)
    for name in names[1:]:
        if name != "bab":
            column = total[:, names.index(name)]
            np.testing.assert_allclose(column[np.isfinite(column)], 0.0, atol=1e-12)
    absent = tables[0].pct_change(fill_method=None).iloc[1:].isna().to_numpy()
    assert (np.nan_to_num(weights).transpose(0, 2, 1)[absent] == 0.0).all()


def test_equal_weight_market_is_the_panels_own(tables):
    prices = tables[0]
    own = bf.build_factors(prices, which="market")["factor_returns"].sel(factor="market")
    panel = bf.panel_from_prices(prices)["factor_returns"].sel(factor="market")
    np.testing.assert_allclose(own.sel(time=panel.time).values, panel.values, rtol=1e-12, atol=1e-15)


def test_size_is_long_the_small(tables):
    factors = build(tables, which=["size"])
    caps = tables[1].iloc[-2]
    weights = factors["factor_weights"].isel(time=-1, factor=0).to_pandas()
    assert caps[weights[weights > 0].index].max() < caps[weights[weights < 0].index].min()


def test_momentum_is_long_what_has_risen(tables):
    prices = tables[0]
    factors = bf.build_factors(prices, which=["momentum"], rebalance=1)
    past = prices.iloc[-2] / prices.iloc[-23] - 1
    weights = factors["factor_weights"].isel(time=-1, factor=0).to_pandas()
    assert past[weights[weights > 0].index].min() > past[weights[weights < 0].index].max()


def test_the_betas_of_bab_are_one_in_either_leg(tables):
    prices = tables[0].dropna(axis=1)
    factors = bf.build_factors(prices, which=["market", "bab"], rebalance=1)
    returns = prices.pct_change(fill_method=None)
    market = factors["factor_returns"].sel(factor="market").to_pandas()
    r, m = returns.iloc[-91:-1], market.iloc[-91:-1]
    beta = r.apply(lambda x: np.cov(x, m)[0, 1]) / m.var()
    w = factors["factor_weights"].sel(factor="bab").isel(time=-1).to_pandas()
    assert w[w > 0] @ beta[w > 0] == pytest.approx(1.0, rel=1e-9)
    assert w[w < 0] @ beta[w < 0] == pytest.approx(-1.0, rel=1e-9)
    assert beta[w > 0].max() < beta[w < 0].min()


def test_illiquid_coins_are_those_whose_price_moves_on_little_trade(tables):
    prices, _, volume = tables
    volume = volume.copy()
    volume.iloc[:, :4] *= 1e-4
    weights = bf.build_factors(prices, volume=volume, which=["liquidity"])["factor_weights"].isel(
        time=-1, factor=0
    )
    assert (weights.values[:4] > 0).all()


@pytest.mark.parametrize("weighting", ["tercile", "rank"])
def test_long_and_short_add_up_and_ties_are_treated_alike(weighting):
    signal = np.array([3.0, 1.0, np.nan, 2.0, 2.0, 5.0, 4.0])
    w = long_short(signal, weighting, 3)
    assert w[w > 0].sum() == pytest.approx(1.0)
    assert w[w < 0].sum() == pytest.approx(-1.0)
    assert w[3] == w[4]
    assert w[2] == 0.0
    assert np.isnan(long_short(np.full(6, 1.0), weighting, 3)).all()
    assert np.isnan(long_short(signal, weighting, 7)).all()


def test_a_coin_without_a_return_leaves_its_leg_to_the_others():
    formed = np.array([[0.5, 0.5, -0.25, -0.75], [0.5, 0.5, -0.25, -0.75]])
    returns = np.array([[0.1] * 4, [0.1, np.nan, 0.1, np.nan]])
    np.testing.assert_allclose(held(formed, np.array([-1, 0]), returns)[1], [1.0, 0.0, -1.0, 0.0])


def test_the_rhythm_of_rebalancing_does_not_depend_on_where_data_begin():
    days = pd.date_range("2024-01-01", periods=60)
    a, b = formation_rows(days, 7), formation_rows(days[11:], 7)
    later = b >= 0
    np.testing.assert_array_equal(a[11:][later], b[later] + 11)


def test_permuting_coins_and_rescaling_prices_changes_nothing(tables):
    full = build(tables)
    order = np.random.default_rng(1).permutation(N_COINS)
    mixed = build([t.iloc[:, order] for t in tables])
    np.testing.assert_allclose(
        full["factor_returns"].values, mixed["factor_returns"].values, rtol=1e-9, atol=1e-14
    )
    scaled = build([tables[0] * 1000.0, tables[1] * 3.0, tables[2] * 0.01])
    np.testing.assert_allclose(
        full["factor_returns"].values, scaled["factor_returns"].values, rtol=1e-9, atol=1e-12
    )


def test_caps_missing_for_half_of_the_coins_leave_them_out_of_size_only(tables):
    prices, caps, _ = tables
    half = caps.iloc[:, ::2]
    with pytest.warns(UserWarning, match="no value for C01, C03"):
        factors = bf.build_factors(prices, market_cap=half, which=["size", "momentum"])
    held_ = (factors["factor_weights"].fillna(0.0) != 0).any("time")
    assert not held_.sel(factor="size").values[1::2].any()
    assert held_.sel(factor="momentum").values[1::2].any()


def test_capitalisations_thinner_than_prices_are_warned_of_and_infinite_ones_refused(tables):
    prices, caps, _ = tables
    with pytest.warns(UserWarning, match="in 85% of the periods"):
        bf.build_factors(prices, market_cap=caps.iloc[::7], which=["market"])
    with pytest.raises(bf.PanelError, match="finite and somewhere above zero"):
        bf.build_factors(prices, market_cap=caps.assign(C01=np.inf))
    with pytest.raises(bf.PanelError, match="finite and somewhere above zero"):
        bf.build_factors(prices, market_cap=caps * 0.0)
    with pytest.raises(bf.PanelError, match="need two periods"):
        bf.build_factors(prices.iloc[:1])


def test_reversal_is_formed_every_day_whatever_the_rhythm_of_the_others(tables):
    weekly, daily = (bf.build_factors(tables[0], which=["reversal"], rebalance=n) for n in (7, 1))
    np.testing.assert_array_equal(weekly["factor_weights"].values, daily["factor_weights"].values)


def test_outer_thirds_are_equally_many():
    w = long_short(np.arange(10.0), "tercile", 3)
    assert (w > 0).sum() == (w < 0).sum() == 3


def test_volume_of_zero_is_no_volume(tables):
    prices, _, volume = tables
    volume = volume.copy()
    volume.iloc[:, :8] = 0.0
    factors = bf.build_factors(prices, volume=volume, which=["liquidity"], min_assets=3)
    assert (factors["factor_weights"].fillna(0.0).values[:, 0, :8] == 0.0).all()


def test_factors_with_a_gap_are_left_out_unless_they_are_named(tables):
    """With five coins in between there is no tercile portfolio; the market goes on."""
    prices = tables[0].copy()
    prices.iloc[150:180, 5:] = np.nan
    with pytest.warns(UserWarning, match=r"left out: .*momentum \(first on 2022-0.*fewer than 6 coins"):
        factors = bf.build_factors(prices)
    assert set(factors["factor"].values) == {"market"}
    assert "momentum" in factors.attrs["gaps"].split(", ")
    named = bf.build_factors(prices, which=["market", "momentum"])
    assert named.attrs["gaps"] == ""
    assert named["factor_returns"].sel(factor="momentum")[-100:].isnull().any()


def test_sectors_that_are_all_coins_leave_the_largest_out(tables):
    factors = build(tables, which=["market", "sector"])
    assert factors.attrs["left_out"] == "a"
    assert factors["factor"].values.tolist() == ["market", "sector:b", "sector:c"]


def test_a_panel_takes_families_and_the_weights_of_slow_portfolios(tables):
    prices = tables[0]
    factors = build(tables, which=["market", "momentum", "sector"]).dropna("time")
    prices = prices.loc[factors["time"].values]
    panel = bf.panel_from_prices(prices, factors=factors)
    assert panel["family"].values.tolist() == ["market", "style", "sector", "sector"]
    last = panel["factor_weights"].isel(time=-1)
    assert (last.sel(factor="momentum").values == 0.0).all()
    np.testing.assert_allclose(last.sel(factor="market").sum(), 1.0)
    fewer = bf.panel_from_prices(prices.iloc[:, 1:], factors=factors)
    assert "factor_weights" not in fewer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"which": ["momentun"]}, "did you mean 'momentum'"),
        ({"which": []}, "names factors"),
        ({"weighting": "quintile"}, "one of tercile, rank"),
        ({"rebalance": 0}, "rebalance"),
        ({"min_assets": 20}, "never so"),
    ],
)
def test_bad_options_say_what_is_allowed(tables, options, words):
    with pytest.raises(bf.PanelError, match=words):
        build(tables, **({"which": ["momentum"]} | options))


def test_data_that_are_not_given_or_do_not_fit_are_named(tables):
    prices, caps, volume = tables
    with pytest.raises(bf.PanelError, match="needs market_cap="):
        bf.build_factors(prices, which=["size"])
    with pytest.raises(bf.PanelError, match="share assets and dates"):
        bf.build_factors(prices, market_cap=caps.add_prefix("X"))
    with pytest.raises(bf.PanelError, match="negative: C01"):
        bf.build_factors(prices, volume=volume.assign(C01=-1.0))
    with pytest.raises(bf.PanelError, match="a sector has at least"):
        bf.build_factors(prices.iloc[:, :3], sectors=SECTORS, which=["sector"])
    with pytest.raises(bf.PanelError, match="never so: momentum"):
        bf.build_factors(prices.iloc[:, :2], which=["momentum"])


# LUNA fell to a tenth of its price in a day, and again.
@pytest.mark.filterwarnings("ignore:prices jump tenfold")
@pytest.mark.skipif("BAYESFACTOR_DATA" not in os.environ, reason="needs the real coins")
def test_weekly_market_is_that_of_liu_tsyvinski_and_wu():
    folder = Path(os.environ["BAYESFACTOR_DATA"])
    daily = bf.build_factors(folder / "prices.csv", market_cap=folder / "marketcap.csv", which="market")
    daily = daily["factor_returns"].sel(factor="market").to_pandas()
    theirs = pd.read_csv(folder / "factors_ltw_weekly.csv", parse_dates=["week_end_date"])
    week = pd.Timedelta(days=7)
    pairs = [
        (float((1 + daily.loc[end - week : end - pd.Timedelta(days=1)]).prod() - 1), value)
        for end, value in theirs[["week_end_date", "cmkt"]].itertuples(index=False)
        if pd.Timestamp("2021-01-01") <= end - week and end <= pd.Timestamp("2023-04-30")
    ]
    assert len(pairs) > 100
    assert np.corrcoef(np.array(pairs).T)[0, 1] >= 0.98
