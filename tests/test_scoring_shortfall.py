"""Tests of ES and of PITs: by hand, against other code, and their size and power."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from bayesfactor.scoring.shortfall import MIN_EXCEEDANCES, shortfall_tests
from bayesfactor.scoring.uniformity import berkowitz, kolmogorov_smirnov

NU = 5


def student(alpha):
    """VaR and ES of a t."""
    q = stats.t.ppf(1 - alpha, NU)
    return q, stats.t.pdf(q, NU) * (NU + q * q) / (NU - 1) / alpha


def run(y, var, es, alpha=0.05, replications=400, random_seed=0):
    n = len(y)
    return shortfall_tests(
        y,
        np.broadcast_to(var, n).astype(float),
        np.broadcast_to(es, n).astype(float),
        alpha,
        replications=replications,
        random_seed=random_seed,
    )


def rejections(alpha, *, var_factor=1.0, es_factor=1.0, series=250, n=1000, seed=0):
    q, e = student(alpha)
    y = np.random.default_rng(seed).standard_t(NU, size=(series, n))
    p = [run(one, q * var_factor, e * es_factor, alpha) for one in y]
    return {k: np.mean([one[k] < 0.05 for one in p]) for k in p[0] if k.endswith("_p")}


def test_acerbi_and_szekely_by_hand():
    # Ten days at 80 %: two hits are expected and three came, with losses 4, 6 and 5 against an ES of 4.
    y = np.array([1, -4, 2, -6, 0, 3, -5, 1, 1, -3], dtype=float)
    found = run(y, 3.0, 4.0, alpha=0.2)
    assert found["acerbi_szekely_z1"] == pytest.approx(1 - (1 + 1.5 + 1.25) / 3)
    assert found["acerbi_szekely_z2"] == pytest.approx(1 - (1 + 1.5 + 1.25) / 2)
    assert found["exceedance_residual"] == pytest.approx((0 + 2 + 1) / 3 / 3)


def test_forecasts_of_the_day_itself_are_used():
    y = np.array([-2.0, 0.0, -8.0, 0.0])
    found = run(y, np.array([1, 1, 4, 4]), np.array([2, 9, 4, 9]), alpha=0.25)
    assert found["acerbi_szekely_z1"] == pytest.approx(1 - (1 + 2) / 2)
    assert found["exceedance_residual"] == pytest.approx((0 / 1 + 4 / 4) / 2)


def test_without_an_exceedance_everything_is_nan():
    assert np.isnan(list(run(np.zeros(50), 1.0, 2.0).values())).all()


def test_a_loss_of_exactly_var_is_no_exceedance():
    assert np.isnan(run(np.array([-1.0] * 30), 1.0, 2.0)["acerbi_szekely_z2"])


def test_few_exceedances_have_values_but_no_studentised_p():
    y = np.zeros(100)
    y[: MIN_EXCEEDANCES - 1] = -2.0 - np.arange(MIN_EXCEEDANCES - 1)
    found = run(y, 1.0, 2.0)
    assert np.isnan([found["acerbi_szekely_z1_p"], found["exceedance_residual_p"]]).all()
    assert np.isfinite([found[k] for k in ("acerbi_szekely_z1", "exceedance_residual")]).all()
    assert 0 < found["acerbi_szekely_z2_p"] <= 1


def test_a_forecast_that_nothing_can_be_divided_by_gives_nan():
    y = np.full(40, -1.0) + 0.01 * np.arange(40)
    assert np.isnan(list(run(y, -0.1, -0.05).values())).all()
    mixed = run(y, -0.1, 0.5)
    assert np.isfinite(mixed["acerbi_szekely_z1"])
    assert np.isnan(mixed["exceedance_residual"])


@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_shortfall_tests_have_their_size(alpha):
    rates = rejections(alpha)
    # Three standard errors of 250 series are 0.041.
    assert all(rate < 0.095 for rate in rates.values()), rates
    assert sum(rates.values()) > 0.03


def test_shortfall_tests_find_an_es_that_is_too_small():
    rates = rejections(0.025, es_factor=0.85, series=100)
    assert rates["acerbi_szekely_z1_p"] > 0.8
    assert rates["exceedance_residual_p"] > 0.8


def test_z2_finds_an_es_far_too_small_where_var_is_right():
    assert rejections(0.05, es_factor=0.65, series=100)["acerbi_szekely_z2_p"] > 0.8


def test_z2_finds_a_scale_that_is_too_small():
    assert rejections(0.05, var_factor=0.8, es_factor=0.8, series=100)["acerbi_szekely_z2_p"] > 0.9


def test_caution_is_not_rejected():
    rates = rejections(0.05, var_factor=1.2, es_factor=1.3, series=100)
    assert max(rates.values()) < 0.03, rates


def test_p_follows_the_seed():
    y = np.random.default_rng(4).standard_t(NU, size=1000)
    q, e = student(0.05)
    first, again, other = (run(y, q, e, random_seed=k) for k in (1, 1, 2))
    assert first == again
    assert first["acerbi_szekely_z2_p"] != other["acerbi_szekely_z2_p"]
    assert first["acerbi_szekely_z2"] == other["acerbi_szekely_z2"]


def test_kolmogorov_smirnov_agrees_with_scipy():
    u = np.random.default_rng(0).random((300, 4)) ** np.array([1.0, 1.1, 0.9, 1.5])
    expected = [stats.kstest(u[:, i], "uniform", method="exact").pvalue for i in range(4)]
    np.testing.assert_allclose(kolmogorov_smirnov(u), expected, rtol=1e-9)


def test_berkowitz_agrees_with_a_regression():
    z = np.random.default_rng(1).standard_normal((300, 3)) * [1.0, 1.2, 0.8] + [0.0, 0.1, 0.2]
    statistic, p = berkowitz(stats.norm.cdf(z))
    for i in range(3):
        y, x = z[1:, i], sm.add_constant(z[:-1, i])
        expected = 2 * (sm.OLS(y, x).fit().llf - stats.norm.logpdf(y).sum())
        assert statistic[i] == pytest.approx(expected, rel=1e-8)
        assert p[i] == pytest.approx(stats.chi2.sf(expected, 3), rel=1e-6)


def test_pits_of_zero_and_one_are_held_inside():
    u = np.random.default_rng(2).random(500)
    u[:3], u[3:5] = 0.0, 1.0
    assert np.isfinite(berkowitz(u)[0])


def test_pits_that_never_move_have_no_autocorrelation_to_test():
    assert np.isnan(berkowitz(np.full(100, 0.5))[0])
    assert kolmogorov_smirnov(np.full(100, 0.5)) < 1e-6


def test_uniformity_tests_have_their_size_and_power():
    rng = np.random.default_rng(3)
    u = rng.random((500, 1000))
    assert 0.025 < (kolmogorov_smirnov(u) < 0.05).mean() < 0.08
    assert 0.025 < (berkowitz(u)[1] < 0.05).mean() < 0.08
    wide = stats.norm.cdf(1.2 * stats.norm.ppf(u[:, :200]))
    moving = stats.norm.cdf((stats.norm.ppf(u[1:, :200]) + 0.3 * stats.norm.ppf(u[:-1, :200])) / 1.09**0.5)
    assert (berkowitz(wide)[1] < 0.05).mean() > 0.9
    assert (berkowitz(moving)[1] < 0.05).mean() > 0.9
    assert (kolmogorov_smirnov(u[:, :200] ** 1.3) < 0.05).mean() > 0.9
