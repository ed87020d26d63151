"""What `score_backtest` and `compare_mean_loss` promise of a whole backtest: days, order, errors."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bayesfactor.errors import BayesFactorError, RiskError, SchemaError
from bayesfactor.scoring import compare_mean_loss, fz0_loss, quantile_loss, score_backtest
from bayesfactor.scoring.coverage import kupiec
from bayesfactor.scoring.shortfall import shortfall_tests

NU = 5
LEVELS = (0.95, 0.99)
TRUE = {"true": 1.0, "near": 1.05, "low": 0.5}
"""By name: what the forecast scale is divided by the true one."""


def make_backtest(*, models=None, portfolios=("a", "b", "c"), days=400, seed=0, levels=LEVELS):
    """A market of t returns whose scale moves, and models that forecast it up to a factor."""
    models = TRUE if models is None else models
    rng = np.random.default_rng(seed)
    scale = 0.03 * np.exp(0.3 * rng.standard_normal((days, len(portfolios))))
    y = scale * rng.standard_t(NU, size=scale.shape)
    jitter = np.exp(0.05 * rng.standard_normal((days, len(models), len(portfolios))))
    sigma = scale[:, None] * np.array(list(models.values()))[:, None] * jitter
    alpha = 1 - np.array(levels)
    q = -stats.t.ppf(alpha, NU)
    e = stats.t.pdf(q, NU) * (NU + q * q) / (NU - 1) / alpha
    z = y[:, None] / sigma
    dims = ("time", "model", "portfolio")
    return xr.Dataset(
        {
            "var": ((*dims, "level"), sigma[..., None] * q),
            "es": ((*dims, "level"), sigma[..., None] * e),
            "pit": (dims, stats.t.cdf(z, NU)),
            "log_score": (dims, stats.t.logpdf(z, NU) - np.log(sigma)),
            "crps": (dims, np.abs(y[:, None]) + 0.1 * sigma),
            "realised": (("time", "portfolio"), y),
        },
        coords={
            "time": np.datetime64("2024-01-01") + np.arange(days),
            "model": list(models),
            "portfolio": list(portfolios),
            "level": list(levels),
        },
    )


def score(backtest, **kwargs):
    return score_backtest(backtest, **{"replications": 150, **kwargs})


def with_nan(backtest, name, **where):
    out = backtest.copy(deep=True)
    out[name].loc[where] = np.nan
    return out


@pytest.fixture(scope="module")
def backtest():
    return make_backtest()


@pytest.fixture(scope="module")
def scores(backtest):
    return score(backtest)


# --- what is in the table -------------------------------------------------------------------------


def test_every_variable_has_the_dims_that_are_promised(scores):
    tested = (
        "kupiec",
        "christoffersen",
        "dynamic_quantile",
        "acerbi_szekely_z1",
        "acerbi_szekely_z2",
        "exceedance_residual",
        "diebold_mariano",
    )
    others = ("hits", "hit_rate", "independence", "christoffersen_independence_p", "quantile_loss", "fz0")
    by_level = [*tested, *(f"{t}_p" for t in tested), *others, "in_confidence_set", "confidence_set_p"]
    by_model = ["log_score", "crps", "pit_ks_p", "pit_berkowitz", "pit_berkowitz_p"]
    expected = dict.fromkeys(by_level, ("model", "portfolio", "level"))
    expected |= dict.fromkeys(by_model, ("model", "portfolio"))
    expected |= {"days": ("portfolio",), "fz0_days": ("portfolio", "level")}
    assert {str(k): v.dims for k, v in scores.items()} == expected
    assert scores["in_confidence_set"].dtype == bool
    assert scores.attrs["reference"] == "true"


def test_numbers_stand_where_their_labels_say(backtest, scores):
    where = {"model": "low", "portfolio": "b", "level": 0.99}
    one, got = backtest.sel(where), scores.sel(where)
    y, var, es = (one[k].values for k in ("realised", "var", "es"))
    hits = -y > var
    assert got["hits"] == hits.sum()
    assert got["hit_rate"] == hits.mean()
    assert got["days"] == got["fz0_days"] == 400
    np.testing.assert_allclose((got["kupiec"], got["kupiec_p"]), kupiec(hits, 0.01))
    np.testing.assert_allclose(got["quantile_loss"], quantile_loss(y, var, 0.99).mean())
    np.testing.assert_allclose(got["fz0"], fz0_loss(y, var, es, 0.99).mean())
    for name in ("log_score", "crps"):
        np.testing.assert_allclose(got[name], one[name].mean())
    tests = shortfall_tests(y, var, es, 1 - 0.99, replications=150, random_seed=0)
    for name, value in tests.items():
        np.testing.assert_allclose(got[name], value)


def test_a_model_that_is_too_low_is_found_out(scores):
    low = scores.sel(model="low", level=0.95)
    for name in (
        "kupiec_p",
        "christoffersen_p",
        "acerbi_szekely_z2_p",
        "pit_berkowitz_p",
        "diebold_mariano_p",
    ):
        assert (low[name] < 0.05).all(), name
    assert (low["diebold_mariano"] > 0).all()
    assert not low["in_confidence_set"].any()
    assert (low["fz0"] > scores["fz0"].sel(model="true", level=0.95)).all()


def test_the_true_model_is_not(scores):
    true = scores.sel(model="true")
    for name in ("kupiec_p", "acerbi_szekely_z2_p", "pit_ks_p", "pit_berkowitz_p"):
        assert (true[name] > 0.01).all(), name
    assert true["in_confidence_set"].mean() > 0.8


def test_the_confidence_set_holds_what_is_above_its_size(backtest):
    wide, narrow = (score(backtest, confidence=c) for c in (0.99, 0.3))
    xr.testing.assert_equal(wide["confidence_set_p"], narrow["confidence_set_p"])
    xr.testing.assert_equal(narrow["in_confidence_set"], narrow["confidence_set_p"].drop_attrs() > 0.7)
    assert wide["in_confidence_set"].sum() > narrow["in_confidence_set"].sum()


def test_the_reference_turns_the_sign(backtest, scores):
    turned = score(backtest, reference="low", confidence=None)
    left, right = scores["diebold_mariano"], turned["diebold_mariano"]
    np.testing.assert_allclose(left.sel(model="low"), -right.sel(model="true"))
    assert left.sel(model="true").isnull().all()
    assert right.sel(model="low").isnull().all()


def test_scores_can_be_written_and_read(scores, tmp_path):
    scores.to_netcdf(tmp_path / "scores.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "scores.nc", engine="h5netcdf") as read:
        xr.testing.assert_allclose(read.load(), scores)


# --- order and seed -------------------------------------------------------------------------------


def test_the_order_of_models_portfolios_levels_and_dims_changes_nothing(backtest, scores):
    turned = backtest.isel(model=[2, 0, 1], portfolio=[1, 2, 0], level=[1, 0])
    turned = turned.transpose("level", "portfolio", "model", "time")
    found = score(turned, reference="true").sel(scores.coords)
    xr.testing.assert_allclose(found, scores, rtol=1e-10)


def test_days_are_read_in_order_of_time(backtest, scores):
    shuffled = backtest.isel(time=np.random.default_rng(0).permutation(backtest.sizes["time"]))
    xr.testing.assert_identical(score(shuffled), scores)


def test_one_portfolio_alone_has_the_numbers_it_has_among_others(backtest, scores):
    xr.testing.assert_allclose(score(backtest.isel(portfolio=[1])), scores.isel(portfolio=[1]))


def test_the_seed_decides_resampled_p_values_and_nothing_else(backtest, scores):
    xr.testing.assert_identical(score(backtest), scores)
    other = score(backtest, random_seed=1)
    resampled = {"acerbi_szekely_z1_p", "acerbi_szekely_z2_p", "exceedance_residual_p", "confidence_set_p"}
    changed = {str(k) for k in scores if not scores[k].equals(other[k])}
    assert resampled <= changed <= resampled | {"in_confidence_set"}


# --- days that do not count -----------------------------------------------------------------------


def dropped(backtest, portfolio, days):
    return backtest.sel(portfolio=[portfolio]).isel(time=~np.isin(np.arange(400), days))


@pytest.mark.parametrize("name", ["realised", "var", "es"])
def test_a_missing_number_takes_its_day_from_all_models_of_that_portfolio(backtest, scores, name):
    days = [3, 50, 51, 399]
    where = {"time": backtest["time"].values[days], "portfolio": "b"}
    if name != "realised":
        where |= {"model": "near", "level": 0.99}
    found = score(with_nan(backtest, name, **where))
    assert found["days"].values.tolist() == [400, 396, 400]
    xr.testing.assert_identical(found.sel(portfolio=["a", "c"]), scores.sel(portfolio=["a", "c"]))
    xr.testing.assert_allclose(found.sel(portfolio=["b"]), score(dropped(backtest, "b", days)))


def test_an_infinite_forecast_is_missing(backtest):
    broken = backtest.copy(deep=True)
    broken["es"][5, 0, 0, 1] = np.inf
    assert score(broken, confidence=None)["days"].values.tolist() == [399, 400, 400]


def test_a_model_without_any_forecast_takes_no_day_from_the_others(backtest):
    found = score(with_nan(backtest, "var", model="near", portfolio="a"))
    pair = score(backtest.sel(model=["true", "low"]))
    xr.testing.assert_allclose(found.sel(model=["true", "low"], portfolio=["a"]), pair.sel(portfolio=["a"]))
    absent = found.sel(model="near", portfolio="a").drop_vars(["days", "fz0_days", "in_confidence_set"])
    assert all(v.isnull().all() for v in absent.values())
    assert not found["in_confidence_set"].sel(model="near", portfolio="a").any()


def test_without_the_reference_nothing_is_compared_with_it(backtest, scores):
    found = score(with_nan(backtest, "es", model="true", portfolio="a")).sel(portfolio="a")
    assert found["diebold_mariano_p"].isnull().all()
    assert found["fz0"].sel(model="low").notnull().all()
    xr.testing.assert_allclose(
        found["kupiec"].sel(model="low"), scores["kupiec"].sel(model="low", portfolio="a")
    )


@pytest.mark.parametrize("name", ["log_score", "crps", "pit"])
def test_a_model_without_a_density_leaves_the_others_theirs(backtest, scores, name):
    found = score(with_nan(backtest, name, model="near"))
    named = {"pit": ["pit_ks_p", "pit_berkowitz", "pit_berkowitz_p"]}.get(name, [name])
    assert all(found[v].sel(model="near").isnull().all() for v in named)
    others = {"model": ["true", "low"]}
    xr.testing.assert_identical(found.sel(others), scores.sel(others))
    assert found["fz0"].equals(scores["fz0"])


def test_densities_are_averaged_over_the_same_days(backtest):
    late = with_nan(backtest, "log_score", model="near", time=backtest["time"].values[:100])
    expected = backtest["log_score"].isel(time=slice(100, None)).mean("time")
    xr.testing.assert_allclose(score(late, confidence=None)["log_score"], expected)


def test_too_few_days_give_nan_and_no_error(backtest):
    short = with_nan(backtest, "realised", portfolio="c", time=backtest["time"].values[19:])
    found = score(short).sel(portfolio="c")
    assert found["days"] == 19
    assert all(
        v.isnull().all() for k, v in found.items() if k not in {"days", "fz0_days", "in_confidence_set"}
    )
    assert not found["in_confidence_set"].any()
    enough = score(with_nan(backtest, "realised", portfolio="c", time=backtest["time"].values[20:]))
    assert enough["fz0"].sel(portfolio="c").notnull().all()


def test_nothing_at_all_gives_nan_and_no_error(backtest):
    found = score(with_nan(backtest, "realised"))
    assert (found["days"] == 0).all()
    assert found["kupiec_p"].isnull().all()


def test_without_hits_coverage_is_finite_and_shortfall_is_not(backtest):
    safe = backtest.copy(deep=True)
    safe["var"], safe["es"] = 100 * safe["var"], 100 * safe["es"]
    found = score(safe)
    assert (found["hits"] == 0).all()
    for name in ("kupiec", "christoffersen", "independence", "dynamic_quantile", "fz0", "diebold_mariano_p"):
        assert found.drop_sel(model="true")[name].notnull().all(), name
    for name in ("acerbi_szekely_z1", "acerbi_szekely_z2", "exceedance_residual_p", "acerbi_szekely_z2_p"):
        assert found[name].isnull().all(), name


def test_days_without_fz0_leave_only_what_is_built_on_it(backtest, scores):
    odd = backtest.copy(deep=True)
    calm = np.flatnonzero(backtest["realised"].sel(portfolio="a") > 0.0)[:5]
    odd["es"].loc[{"time": odd["time"].values[calm], "model": "low", "portfolio": "a", "level": 0.95}] = -0.01
    found = score(odd)
    assert found["fz0_days"].sel(portfolio="a").values.tolist() == [395, 400]
    assert found["days"].sel(portfolio="a") == 400
    assert found["hits"].equals(scores["hits"])
    expected = score(dropped(backtest, "a", calm)).sel(portfolio="a", level=0.95)
    got = found.sel(portfolio="a", level=0.95)
    for name in ("fz0", "diebold_mariano", "confidence_set_p"):
        xr.testing.assert_allclose(got[name], expected[name])


# --- mean loss ------------------------------------------------------------------------------------


def test_mean_loss_is_over_days_on_which_every_portfolio_has_one(backtest):
    holed = with_nan(backtest, "realised", portfolio="b", time=backtest["time"].values[10:40])
    found = compare_mean_loss(holed, 0.99, "true")
    kept = backtest.isel(time=np.r_[0:10, 40:400]).sel(level=0.99)
    loss = fz0_loss(kept["realised"], kept["var"], kept["es"], kept["level"]).mean(["portfolio", "time"])
    assert found["days"] == 370
    np.testing.assert_allclose(found["mean_loss"], loss.sel(model=found["model"]))
    np.testing.assert_allclose(found["difference"], loss - loss.sel(model="true"))
    assert found.attrs["portfolios"] == 3
    assert found.attrs["block"] == 20


def test_mean_loss_of_one_portfolio_is_tested_as_in_the_scores(backtest, scores):
    found = compare_mean_loss(backtest.sel(portfolio=["b"]), 0.95, "true")
    expected = scores.sel(portfolio="b", level=0.95)
    for name in ("diebold_mariano", "diebold_mariano_p"):
        np.testing.assert_allclose(found[name], expected[name])


def test_resampling_agrees_with_the_test_of_means_and_has_its_sides():
    models = {"true": 1.0, "near": 1.25, "low": 0.6}
    found = compare_mean_loss(make_backtest(models=models, days=1000), 0.95, "near", replications=4000)
    better, worse = found.sel(model="true"), found.sel(model="low")
    assert better["difference"] < 0 < worse["difference"]
    assert better["bootstrap_p_better"] < 0.05
    assert better["bootstrap_p_worse"] > 0.95
    assert worse["bootstrap_p_worse"] < 0.01
    assert worse["bootstrap_p_better"] > 0.99
    np.testing.assert_allclose(found["bootstrap_p"], found["diebold_mariano_p"], atol=0.05)
    assert found["bootstrap_p"].sel(model="near").isnull()


def test_mean_loss_of_equal_models_is_rejected_as_often_as_it_says():
    p = []
    for seed in range(200):
        both = make_backtest(
            models={"x": 1.0, "y": 1.0}, portfolios=("a", "b"), days=150, seed=seed, levels=(0.95,)
        )
        found = compare_mean_loss(both, 0.95, replications=300).sel(model="y")
        p.append([float(found[k]) for k in ("bootstrap_p", "diebold_mariano_p", "bootstrap_p_better")])
    rates = (np.array(p) < 0.05).mean(axis=0)
    assert ((rates > 0.005) & (rates < 0.12)).all(), rates


def test_mean_loss_does_not_depend_on_order_and_follows_the_seed(backtest):
    found = compare_mean_loss(backtest, 0.95, "true")
    turned = compare_mean_loss(backtest.isel(model=[1, 2, 0], portfolio=[2, 0, 1]), 0.95, "true")
    xr.testing.assert_identical(turned.sel(model=found["model"]), found)
    other = compare_mean_loss(backtest, 0.95, "true", random_seed=1)
    assert not other["bootstrap_p"].equals(found["bootstrap_p"])
    assert other["diebold_mariano_p"].equals(found["diebold_mariano_p"])


def test_mean_loss_leaves_out_what_has_no_forecast(backtest):
    gone = with_nan(with_nan(backtest, "realised", portfolio="a"), "var", model="near")
    found = compare_mean_loss(gone, 0.95)
    assert found["days"] == 400
    assert found.attrs["portfolios"] == 2
    assert found["mean_loss"].isnull().values.tolist() == [False, True, False]
    kept = compare_mean_loss(backtest.sel(portfolio=["b", "c"], model=["true", "low"]), 0.95)
    xr.testing.assert_allclose(found["bootstrap_p"].sel(model=["true", "low"]), kept["bootstrap_p"])


def test_mean_loss_of_too_few_days_is_nan(backtest):
    for days in (0, 19):
        found = compare_mean_loss(with_nan(backtest, "realised", time=backtest["time"].values[days:]), 0.95)
        assert found["days"] == days
        assert found["mean_loss"].isnull().all()
        assert found["bootstrap_p"].isnull().all()


# --- what is refused ------------------------------------------------------------------------------

REFUSED = [
    (lambda b: score_backtest(b, reference="ture"), RiskError, "did you mean 'true'"),
    (lambda b: score_backtest(b, confidence=90), RiskError, "confidence lies between 0 and 1; got 90"),
    (
        lambda b: score_backtest(b, replications=0),
        RiskError,
        "replications is a whole number of at least 1; got 0",
    ),
    (lambda b: score_backtest(b.drop_vars("es")), SchemaError, "needs the variable.* es; got: crps"),
    (lambda b: score_backtest(b.isel(level=0)), SchemaError, "var has dims time, model, portfolio, level"),
    (lambda b: score_backtest(b.drop_vars("model")), SchemaError, "none on model"),
    (lambda b: score_backtest(b["var"]), SchemaError, "got DataArray"),
    (lambda b: score_backtest(b.isel(model=[0, 0])), SchemaError, "labels of model are unique"),
    (lambda b: score_backtest(b.assign_coords(level=[95, 99])), RiskError, "levels lie between"),
    (lambda b: compare_mean_loss(b, 0.975), RiskError, "it has 0.95, 0.99"),
    (lambda b: compare_mean_loss(b, 0.95, "lwo"), RiskError, "did you mean 'low'"),
    (
        lambda b: compare_mean_loss(b, 0.95, block=0),
        RiskError,
        "block is between 1 and the number of periods, 400",
    ),
    (lambda b: compare_mean_loss(b, 0.95, replications=0), RiskError, "replications"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_cannot_be_scored_is_refused_with_the_rule(backtest, call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(backtest)
    assert isinstance(caught.value, BayesFactorError)
