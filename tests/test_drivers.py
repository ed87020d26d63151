"""Drivers become innovations that know nothing of the future, and factors are joined and turned."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesfactor as bf
from bayesfactor.factors.transforms import TRANSFORMS, innovations, standardised

DAYS = pd.date_range("2020-01-01", periods=400)
NOW = "2022-01-01"


@pytest.fixture(scope="module")
def levels():
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "hash": 100 * np.exp(np.cumsum(0.02 * rng.normal(size=400))),
            "stocks": 4000 * np.exp(np.cumsum(0.01 * rng.normal(size=400))),
        },
        DAYS,
    )


def spec(**options):
    return {"hash": {"family": "on-chain", "min_periods": 20, "window": 100, **options}}


def innovate(levels, **options):
    return (
        bf.driver_innovations(levels, spec(**options), as_of=NOW)["factor_returns"]
        .sel(factor="hash")
        .to_pandas()
    )


@pytest.mark.filterwarnings("ignore:driver 'hash' moved")
@pytest.mark.parametrize(
    ("transform", "standardise"), list(itertools.product(TRANSFORMS, ["rolling", "expanding", "none"]))
)
def test_nothing_up_to_a_day_depends_on_what_comes_after_it(levels, transform, standardise):
    """Bitwise, for every transform and every way to standardise, with and without a lag."""
    broken = levels.copy()
    cut = 250
    broken.iloc[cut + 1 :] *= np.random.default_rng(0).uniform(0.2, 5.0, (400 - cut - 1, 2))
    broken.iloc[cut + 4, 0] = np.nan
    for lag in (0, 2):
        options = {"transform": transform, "standardise": standardise, "lag": lag}
        full, other = innovate(levels, **options), innovate(broken, **options)
        last = DAYS[cut] + pd.Timedelta(days=lag)
        assert full.loc[:last].notna().sum() > 150
        np.testing.assert_array_equal(full.loc[:last].values, other.loc[:last].values)


def test_log_difference_is_the_log_return_in_past_standard_deviations(levels):
    z = innovate(levels, winsorise=0.0)
    surprise = np.log(levels["hash"]).diff()
    t = 300
    past = surprise.iloc[t - 100 : t]
    assert z.iloc[t] == pytest.approx((surprise.iloc[t] - past.mean()) / past.std(ddof=0), rel=1e-9)


def test_an_ar1_surprise_is_what_least_squares_on_the_past_did_not_expect(levels):
    values = levels["stocks"].to_numpy()
    out = innovations("x", values, "ar1", window=60, halflife=10.0)
    t = 200
    slope, intercept = np.polyfit(values[t - 61 : t - 1], values[t - 60 : t], 1)
    assert out[t] == pytest.approx(values[t] - intercept - slope * values[t - 1], rel=1e-6)


def test_an_ewma_surprise_is_the_distance_from_pandas_mean_of_the_day_before(levels):
    values = levels["stocks"]
    out = innovations("x", values.to_numpy(), "ewma", window=60, halflife=10.0)
    mean = values.ewm(halflife=10.0).mean().shift(1)
    np.testing.assert_allclose(out[50:], (values - mean).to_numpy()[50:], rtol=1e-9)


def test_surprises_of_an_ar1_process_are_its_shocks():
    rng = np.random.default_rng(2)
    shocks = rng.normal(size=3000)
    x = np.zeros(3000)
    for t in range(1, 3000):
        x[t] = 5.0 + 0.9 * (x[t - 1] - 5.0) + shocks[t]
    out = innovations("x", x, "ar1", window=1000, halflife=10.0)
    assert np.corrcoef(out[500:], shocks[500:])[0, 1] > 0.995


def test_one_bad_surprise_does_not_hide_the_rest_of_its_window():
    rng = np.random.default_rng(2)
    x = 7.0 * rng.normal(size=2000)
    x[1500] = 1e4
    z = standardised(x, kind="rolling", window=200, least=50, clip=6.0)
    assert z[1500] > 1000.0
    assert np.isnan(z[:50]).all()
    assert np.nanstd(z[:1500]) == pytest.approx(1.0, abs=0.05)
    assert np.nanstd(z[1501:1700]) == pytest.approx(0.9, abs=0.1)


def test_the_weekends_change_lands_on_the_next_open_day(levels):
    business = levels[["stocks"]][levels.index.day_of_week < 5]
    out = bf.driver_innovations(
        business, {"stocks": {"family": "macro", "min_periods": 20, "standardise": "none"}}, as_of=NOW
    )
    z = out["factor_returns"].to_pandas()["stocks"]
    monday = pd.Timestamp("2020-06-15")
    assert (z[monday - pd.Timedelta(days=2) : monday - pd.Timedelta(days=1)] == 0.0).all()
    expected = np.log(levels["stocks"][monday] / levels["stocks"][monday - pd.Timedelta(days=3)])
    assert z[monday] == pytest.approx(expected, rel=1e-12)


def test_surprises_in_their_own_unit_are_not_cut_at_standard_deviations(levels):
    large = levels * 1000.0
    z = innovate(large, transform="difference", standardise="none")
    np.testing.assert_allclose(z.iloc[1:], large["hash"].diff().iloc[1:], rtol=1e-12)
    assert z.abs().max() > 1000.0


def test_a_lag_moves_a_value_to_the_day_on_which_it_was_known(levels):
    a, b = innovate(levels, lag=0), innovate(levels, lag=3)
    np.testing.assert_array_equal(a.iloc[100:-3].to_numpy(), b.iloc[103:].to_numpy())


def test_late_starts_and_early_ends_are_empty_and_the_panel_trims_them(levels):
    late = levels.copy()
    late.iloc[:100, 0] = np.nan
    late.iloc[350:, 1] = np.nan
    both = spec() | {"stocks": {"family": "macro", "min_periods": 20}}
    out = bf.driver_innovations(late, both, as_of=NOW)["factor_returns"].to_pandas()
    assert out["hash"].first_valid_index() > DAYS[119]
    assert out["stocks"].last_valid_index() == DAYS[356]
    rng = np.random.default_rng(0)
    returns = pd.DataFrame(0.03 * rng.normal(size=(400, 3)), DAYS, ["A", "B", "C"])
    with pytest.warns(UserWarning, match="for 'hash' has values in 279"):
        panel = bf.panel_from_returns(returns, factors=bf.driver_innovations(late, both, as_of=NOW))
    assert "43 at the end" in panel.attrs["trimmed"]


def test_a_change_of_unit_is_warned_of_and_cut(levels):
    broken = levels.copy()
    broken.iloc[300:, 0] *= 1000.0
    with pytest.warns(UserWarning, match="unit may have changed"):
        z = innovate(broken)
    assert z.iloc[300] == 6.0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: d.assign(hash=5.0), "values vary; got always 5"),
        (lambda d: d.assign(hash=np.nan), "no value"),
        (lambda d: pd.concat([d, d.iloc[[7]]]), "2020-01-08"),
        (lambda d: d.rename(index={DAYS[-1]: pd.Timestamp("2031-01-01")}), "2031-01-01"),
        (lambda d: d.assign(hash=-d["hash"]), "takes the log"),
        (lambda d: d.assign(hash=d["hash"].where((d.index < DAYS[200]) | (d.index > DAYS[230]))), "31 after"),
        (lambda d: d.iloc[:15], "too few"),
        (
            lambda d: d.assign(
                hash=d["hash"].where((d.index < DAYS[100]) | (d.index > DAYS[290]), d["hash"].iloc[99])
            ),
            "constant",
        ),
        (lambda d: d.set_axis(pd.date_range("2020-01-01", periods=400, freq="h")), "one row per day"),
        (lambda d: d.assign(hash=d["hash"].where(d.index != DAYS[50], np.inf)), "finite"),
        (lambda d: d.rename(columns={"hash": "hush"}), "did you mean 'hush'"),
    ],
)
def test_damaged_drivers_are_refused_with_what_is_wrong(levels, damage, words):
    with pytest.raises(bf.PanelError, match=words):
        bf.driver_innovations(damage(levels), spec(), as_of=NOW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transform": "log"}, "transform is one of"),
        ({"lag": -1}, "lag is a whole number"),
        ({"lags": 1}, "did you mean 'lag'"),
        ({"min_periods": 500}, "at most window"),
        ({"family": ""}, "family is a word"),
        ({"halflife": 0}, "halflife"),
    ],
)
def test_a_spec_that_breaks_a_rule_is_refused_by_column(levels, options, words):
    with pytest.raises(bf.PanelError, match=words):
        innovate(levels, **options)


def test_specs_are_read_from_toml_and_the_one_that_ships_is_valid(levels, tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('[hash]\nfamily = "on-chain"\nwindow = 100\nmin_periods = 20\n')
    a = bf.driver_innovations(levels, path, as_of=NOW)
    np.testing.assert_array_equal(a["factor_returns"].values[:, 0], innovate(levels).to_numpy())
    path.write_text("[hash\n")
    with pytest.raises(bf.PanelError, match="not TOML"):
        bf.driver_innovations(levels, path, as_of=NOW)
    with pytest.raises(bf.MissingFileError):
        bf.driver_innovations(levels, tmp_path / "none.toml", as_of=NOW)
    shipped = bf.driver_spec()
    assert len(shipped) >= 16
    columns = {
        c: 100 * np.exp(np.cumsum(0.02 * np.random.default_rng(i).normal(size=400)))
        for i, c in enumerate(shipped)
    }
    out = bf.driver_innovations(pd.DataFrame(columns, DAYS), as_of=NOW)
    assert out.sizes["factor"] == len(shipped)


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(1)
    market = rng.normal(size=300)
    size = 0.6 * market + rng.normal(size=300)
    hashes = 0.3 * market - 0.5 * size + rng.normal(size=300)
    return xr.Dataset(
        {"factor_returns": (("time", "factor"), np.c_[market, size, hashes])},
        coords={
            "time": DAYS[:300],
            "factor": ["market", "size", "hash"],
            "family": ("factor", ["market", "style", "on-chain"]),
        },
    )


def test_families_become_orthogonal_to_those_before_and_come_back(factors):
    turned = bf.orthogonalise(factors)
    correlation = np.corrcoef(turned["factor_returns"].values.T)
    np.testing.assert_allclose(correlation, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(
        turned["factor_returns"].values[:, 0], factors["factor_returns"].values[:, 0]
    )
    back = bf.restore_factors(turned)
    np.testing.assert_allclose(back["factor_returns"].values, factors["factor_returns"].values, atol=1e-12)
    assert "orthogonal_map" not in back
    with pytest.raises(bf.PanelError, match="orthogonal_map"):
        bf.restore_factors(factors)
    with pytest.raises(bf.PanelError, match="did you mean 'style'"):
        bf.orthogonalise(factors, order=["market", "stile", "on-chain"])


def test_what_is_made_of_earlier_families_is_refused_not_turned_into_rounding(factors):
    close = factors.copy(deep=True)
    close["factor_returns"][:, 1] = 2.0 * close["factor_returns"][:, 0]
    with pytest.raises(bf.PanelError, match="size is made of the families before it"):
        bf.orthogonalise(close)
    with pytest.raises(bf.PanelError, match="Select after restoring"):
        bf.restore_factors(bf.orthogonalise(factors).sel(factor=["market", "size"]))
    with pytest.raises(bf.PanelError, match="until"):
        bf.orthogonalise(factors, until="soon")


def test_coefficients_estimated_until_a_day_do_not_see_what_comes_after(factors):
    broken = factors.copy(deep=True)
    broken["factor_returns"][200:] *= 3.0
    until = DAYS[199]
    a, b = (bf.orthogonalise(f, until=until)["factor_returns"][:200].values for f in (factors, broken))
    np.testing.assert_array_equal(a, b)


def test_variance_inflation_is_that_of_statsmodels(factors):
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    found = bf.check_collinearity(factors)
    x = np.c_[np.ones(300), factors["factor_returns"].values]
    expected = [variance_inflation_factor(x, j) for j in (1, 2, 3)]
    np.testing.assert_allclose(found["vif"].values, expected, rtol=1e-9)


def test_collinear_factors_are_warned_of_with_a_remedy(factors):
    close = factors.copy(deep=True)
    close["factor_returns"][:, 2] = close["factor_returns"][:, 1] + 0.01 * close["factor_returns"][:, 2]
    with pytest.warns(UserWarning, match="orthogonalise"):
        found = bf.check_collinearity(close)
    assert found.attrs["condition_number"] > 30
    assert (found["vif"].values[1:] > 100).all()


def test_merged_factors_share_their_days_and_names_are_unique(factors):
    other = factors.isel(time=slice(50, None)).assign_coords(factor=["a", "b", "c"])
    merged = bf.merge_factors(factors, other)
    assert merged.sizes == {"time": 250, "factor": 6}
    assert merged["family"].values.tolist() == ["market", "style", "on-chain"] * 2
    np.testing.assert_array_equal(
        merged["factor_returns"].values[:, :3], factors["factor_returns"].values[50:]
    )
    with pytest.raises(bf.PanelError, match="more than once: hash"):
        bf.merge_factors(factors, factors)
    with pytest.raises(bf.PanelError, match="none is common"):
        bf.merge_factors(factors.isel(time=slice(0, 20)), other)
    with pytest.raises(bf.PanelError, match="build_factors"):
        bf.merge_factors(factors["factor_returns"])


def test_what_is_mixed_with_a_driver_is_no_portfolio_any_more():
    rng = np.random.default_rng(0)
    prices = pd.DataFrame(
        np.exp(np.cumsum(0.03 * rng.normal(size=(300, 9)), axis=0)), DAYS[:300], list("ABCDEFGHI")
    )
    drivers = pd.DataFrame({"hash": np.exp(np.cumsum(0.03 * rng.normal(size=300)))}, DAYS[:300])
    both = bf.merge_factors(
        bf.build_factors(prices, which=["market", "reversal"]),
        bf.driver_innovations(drivers, spec(), as_of=NOW),
    )
    turned = bf.orthogonalise(both.dropna("time"), order=["on-chain", "market", "style"])
    assert (turned["factor_weights"].values == 0.0).all()
    straight = bf.orthogonalise(both.dropna("time"))
    back = bf.restore_factors(straight)
    assert back["rotates"].values.tolist()[:2] == [False, True]
    np.testing.assert_array_equal(
        back["factor_weights"].values[:, 0], both.dropna("time")["factor_weights"].values[:, 0]
    )
    np.testing.assert_allclose(straight["factor_weights"].values[:, 0].sum(axis=1), 1.0)
    assert straight["rotates"].values.tolist() == [False, True, True]
