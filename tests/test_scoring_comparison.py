"""Losses and comparisons of losses: closed forms, other code, size and power."""

import sys
from math import log

import numpy as np
import pytest
import statsmodels.api as sm
import xarray as xr
from arch.bootstrap import MCS, optimal_block_length
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from bayesfactor.errors import BayesFactorError, RiskError
from bayesfactor.scoring import fz0_loss, holm, quantile_loss
from bayesfactor.scoring.comparison import _resampled_means, confidence_set, diebold_mariano

NU = 5
SEEDED = {"replications": 300, "random_seed": 0}


def quantiles(n=200_000):
    """A t as equally likely values: an expectation is their mean."""
    return stats.t.ppf((np.arange(n) + 0.5) / n, NU)


def student(alpha):
    q = stats.t.ppf(1 - alpha, NU)
    return q, stats.t.pdf(q, NU) * (NU + q * q) / (NU - 1) / alpha


def autoregression(rng, n, series, rho=0.3):
    x = rng.standard_normal((n, series))
    for t in range(1, n):
        x[t] += rho * x[t - 1]
    return x


# --- losses ---------------------------------------------------------------------------------------


def test_losses_by_hand():
    # At 90 %, VaR 2, ES 4: a day that returns -5 and one that returns 1.
    y = np.array([-5.0, 1.0])
    np.testing.assert_allclose(
        fz0_loss(y, np.array(2.0), np.array(4.0), 0.9), [3 / 0.4 + 0.5 + log(4) - 1, 0.5 + log(4) - 1]
    )
    np.testing.assert_allclose(quantile_loss(y, np.array(2.0), 0.9), [0.9 * 3, 0.1 * 3])


@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.01])
def test_expected_fz0_is_the_log_of_es_at_the_truth_and_larger_elsewhere(alpha):
    y, (var, es) = quantiles(), student(alpha)

    def expected(x):
        return float(fz0_loss(y, np.array(x[0]), np.array(x[1]), 1 - alpha).mean())

    assert expected((var, es)) == pytest.approx(log(es), abs=2e-3)
    best = optimize.minimize(expected, (1.2 * var, 1.5 * es), method="Nelder-Mead").x
    np.testing.assert_allclose(best, (var, es), rtol=5e-3)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_expected_quantile_loss_is_least_at_var(alpha):
    y, (var, _) = quantiles(), student(alpha)
    found = optimize.minimize_scalar(
        lambda v: float(quantile_loss(y, np.array(v), 1 - alpha).mean()),
        bounds=(0.5 * var, 2 * var),
        method="bounded",
    )
    assert found.x == pytest.approx(var, rel=5e-3)


def test_differences_of_fz0_do_not_change_with_the_unit():
    y = np.random.default_rng(0).standard_t(NU, size=200)
    a, b = (fz0_loss(y, np.array(v), np.array(e), 0.95) for v, e in ((2.0, 3.0), (1.5, 2.5)))
    c, d = (
        fz0_loss(100 * y, np.array(100 * v), np.array(100 * e), 0.95) for v, e in ((2.0, 3.0), (1.5, 2.5))
    )
    np.testing.assert_allclose(a - b, c - d, atol=1e-12)


def test_fz0_is_nan_outside_its_domain_only():
    var = np.array([1.0, 1.0, -0.5, -0.5, 1.0, 1.0])
    es = np.array([1.0, 0.9, 0.2, -0.1, 0.0, 1.0 - 1e-9])
    defined = np.isfinite(fz0_loss(np.zeros(6), var, es, 0.95))
    assert defined.tolist() == [True, False, True, False, False, True]


def test_losses_take_labels_and_broadcast_by_them():
    y = xr.DataArray([-0.1, 0.02], dims="time")
    var = xr.DataArray([[0.05, 0.08], [0.04, 0.06]], dims=("model", "level"), coords={"level": [0.95, 0.99]})
    found = fz0_loss(y, var, 1.3 * var, var["level"])
    assert found.sizes == {"time": 2, "model": 2, "level": 2}
    one = fz0_loss(np.array(-0.1), np.array(0.06), np.array(0.078), 0.99)
    assert float(found.isel(time=0, model=1).sel(level=0.99)) == pytest.approx(float(one))
    assert quantile_loss(y, var, var["level"]).sizes == found.sizes


@pytest.mark.parametrize("level", [0.0, 1.0, 99.0, np.nan])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(RiskError, match="levels lie between 0 and 1"):
        quantile_loss(np.zeros(3), np.ones(3), level)
    with pytest.raises(RiskError, match="levels lie between 0 and 1"):
        fz0_loss(np.zeros(3), np.ones(3), np.ones(3), np.array([0.9, level, 0.9]))


# --- Diebold and Mariano --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [60, 500])
def test_diebold_mariano_agrees_with_a_robust_regression(n):
    loss = autoregression(np.random.default_rng(n), n, 2)
    difference = loss[:, 0] - loss[:, 1]
    lags = int(4 * (n / 100) ** (2 / 9))
    fit = sm.OLS(difference, np.ones(n)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
    )
    statistic, p = diebold_mariano(loss[:, 0], loss[:, 1])
    assert statistic == pytest.approx(fit.tvalues[0] * np.sqrt((n - 1) / n), rel=1e-9)
    assert p == pytest.approx(2 * stats.t.sf(abs(statistic), n - 1), rel=1e-9)


def test_diebold_mariano_is_positive_where_the_model_is_worse():
    rng = np.random.default_rng(0)
    reference = rng.standard_normal(300)
    worse, better = (reference + m + rng.standard_normal(300) for m in (0.5, -0.5))
    assert diebold_mariano(worse, reference)[0] > 3
    assert diebold_mariano(better, reference)[0] < -3


def test_diebold_mariano_of_a_constant_difference_is_nan():
    loss = np.random.default_rng(0).standard_normal((100, 1))
    statistic, p = diebold_mariano(loss + np.array([0.0, 0.1, 1e-14]), loss)
    assert np.isnan(statistic).all()
    assert np.isnan(p).all()


def test_diebold_mariano_has_its_size():
    x = autoregression(np.random.default_rng(1), 500, 1500)
    assert 0.035 < (diebold_mariano(x, np.zeros_like(x))[1] < 0.05).mean() < 0.09


# --- the confidence set ---------------------------------------------------------------------------


def losses_of(means, n=300, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 1)) + 0.5 * rng.standard_normal((n, len(means))) + np.array(means)


def test_the_confidence_set_drops_what_is_worse_and_keeps_the_best():
    p = confidence_set(losses_of([0.0, 0.0, 0.4, 1.0]), **SEEDED)
    assert p.max() == 1.0
    assert (p[:2] > 0.1).all()
    assert (p[2:] < 0.02).all()


def test_the_confidence_set_is_the_one_of_arch():
    loss = np.cumsum(losses_of([0.0, 0.03, 0.06], n=400), axis=0)[::3] / 10.0
    lengths = optimal_block_length(loss - loss.mean(axis=1, keepdims=True))["stationary"]
    assert lengths.max() > 2
    theirs = MCS(loss, size=0.1, reps=300, block_size=int(np.ceil(lengths.max())), method="R", seed=0)
    theirs.compute()
    expected = theirs.pvalues["Pvalue"].sort_index()
    np.testing.assert_allclose(confidence_set(loss, **SEEDED), expected, atol=1e-12)


def test_the_confidence_set_holds_the_best_as_often_as_it_says():
    held = [
        confidence_set(losses_of([0, 0, 0], 150, i), replications=150, random_seed=i)[0] for i in range(60)
    ]
    # One of three equals is wrongly dropped in at most 1 of 10; 60 series give it 0.04.
    assert np.mean(np.array(held) > 0.1) > 0.8


def test_the_confidence_set_does_not_depend_on_the_order_of_models():
    loss = losses_of([0.0, 0.02, 0.04, 0.06])
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(
        confidence_set(loss, **SEEDED)[order], confidence_set(loss[:, order], **SEEDED)
    )


def test_identical_models_share_their_p():
    loss = losses_of([0.0, 0.1])
    p = confidence_set(loss[:, [0, 1, 0, 0]], **SEEDED)
    assert p[0] == p[2] == p[3]
    np.testing.assert_array_equal(p[:2], confidence_set(loss, **SEEDED))
    np.testing.assert_array_equal(confidence_set(loss[:, [0, 0]], **SEEDED), [1.0, 1.0])


def test_a_single_model_is_the_confidence_set():
    np.testing.assert_array_equal(confidence_set(losses_of([0.0]), **SEEDED), [1.0])


def test_losses_apart_by_a_constant_have_no_confidence_set():
    loss = losses_of([0.0])
    assert np.isnan(confidence_set(np.column_stack([loss, loss + 0.1]), **SEEDED)).all()


def test_without_arch_the_error_names_the_extra(monkeypatch):
    for name in [n for n in sys.modules if n == "arch" or n.startswith("arch.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BayesFactorError, match=r"bayesfactor\[backtest\].*confidence=None"):
        confidence_set(losses_of([0.0, 0.1]), **SEEDED)


# --- resampling and many tests --------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 7, 10, 60])
def test_means_of_blocks_are_those_of_gathered_days(block):
    x = np.random.default_rng(0).standard_normal((60, 2))
    found = _resampled_means(x, block, 50, np.random.default_rng(5))
    count = -(-60 // block)
    starts = np.random.default_rng(5).integers(60, size=(50, count))
    days = ((starts[:, :, None] + np.arange(block)) % 60).reshape(50, -1)[:, :60]
    np.testing.assert_allclose(found, x[days].mean(axis=1), atol=1e-12)


def test_blocks_as_long_as_the_series_resample_its_mean():
    x = np.random.default_rng(0).standard_normal((60, 1))
    np.testing.assert_allclose(_resampled_means(x, 60, 20, np.random.default_rng(0)), x.mean(), atol=1e-12)


def test_blocks_widen_the_spread_where_days_are_alike():
    x = autoregression(np.random.default_rng(2), 20_000, 1, rho=0.7)
    one, many = (_resampled_means(x, b, 1000, np.random.default_rng(0)).std() for b in (1, 100))
    # The long-run deviation of this process is 2.38 times its own.
    assert 2.1 * one < many < 2.7 * one


def test_holm_agrees_with_statsmodels_and_keeps_shape():
    p = np.random.default_rng(0).random((4, 5)) ** 3
    np.testing.assert_allclose(holm(p).ravel(), multipletests(p.ravel(), method="holm")[1])


def test_holm_by_hand_with_a_test_that_is_not():
    p = xr.DataArray([0.01, np.nan, 0.04, 0.03], dims="model", coords={"model": list("abcd")})
    adjusted = holm(p)
    np.testing.assert_allclose(adjusted, [0.03, np.nan, 0.06, 0.06])
    assert adjusted["model"].values.tolist() == list("abcd")
    np.testing.assert_allclose(p, [0.01, np.nan, 0.04, 0.03])


def test_holm_refuses_what_is_no_p():
    with pytest.raises(RiskError, match="p-values lie between 0 and 1"):
        holm(np.array([0.5, 1.5]))
