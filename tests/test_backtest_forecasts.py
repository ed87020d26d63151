"""What a day's forecast says, against closed forms."""

import numpy as np
import pytest
from scipy import stats

from bayesfactor.backtest.baselines import BASELINES
from bayesfactor.backtest.judged import judge_draws, log_scores
from bayesfactor.laws import Moments

LEVELS = np.array([0.95, 0.99])


def test_draws_are_judged_as_their_law_is():
    rng = np.random.default_rng(0)
    x = 0.01 + 0.04 * rng.standard_normal(400_000)
    found = judge_draws(x, 0.05, LEVELS)
    law = stats.norm(0.01, 0.04)
    q = stats.norm.ppf(LEVELS)
    np.testing.assert_allclose(found.var, 0.04 * q - 0.01, rtol=0.01)
    np.testing.assert_allclose(found.es, 0.04 * stats.norm.pdf(q) / (1 - LEVELS) - 0.01, rtol=0.01)
    assert found.pit == pytest.approx(law.cdf(0.05), abs=0.003)
    z = (0.05 - 0.01) / 0.04
    crps = 0.04 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert found.crps == pytest.approx(crps, rel=0.01)


def test_a_day_without_a_return_has_forecasts_and_no_scores():
    found = judge_draws(np.linspace(-1, 1, 101), np.nan, LEVELS)
    assert np.isfinite(found.var).all()
    assert np.isnan([found.pit, found.crps]).all()


@pytest.mark.parametrize("name", list(BASELINES))
def test_baselines_find_the_law_of_what_they_are_right_about(name):
    rng = np.random.default_rng(1)
    past = 0.03 * rng.standard_normal(20_000)
    fit, say = BASELINES[name]
    found = say(past, fit(past), 0.0, LEVELS)
    q = stats.norm.ppf(LEVELS)
    # An EWMA never stops moving: its variance is off by about 17 % of one standard deviation.
    tolerance = 0.35 if name == "ewma-fhs" else 0.04
    np.testing.assert_allclose(found.var, 0.03 * q, rtol=tolerance)
    np.testing.assert_allclose(found.es, 0.03 * stats.norm.pdf(q) / (1 - LEVELS), rtol=tolerance)
    assert found.pit == pytest.approx(0.5, abs=0.02)
    if name in ("normal", "arch-t"):
        assert found.log_score == pytest.approx(-np.log(0.03 * np.sqrt(2 * np.pi)), abs=0.03)


def test_the_arch_baseline_is_what_arch_forecasts():
    arch = pytest.importorskip("arch")
    rng = np.random.default_rng(2)
    past = 0.02 * rng.standard_t(5, 700) * (1 + 0.5 * np.sin(np.arange(700) / 40))
    fit, say = BASELINES["arch-t"]
    fitted = fit(past)
    fixed = arch.arch_model(100 * past, mean="Constant", vol="GARCH", dist="t", rescale=False).fix(fitted)
    ahead = fixed.forecast(horizon=1)
    sd, nu = np.sqrt(ahead.variance.to_numpy()[-1, 0]) / 100, fitted[-1]
    law = stats.t(nu, fitted[0] / 100, sd * np.sqrt((nu - 2) / nu))
    found = say(past, fitted, 0.01, LEVELS)
    np.testing.assert_allclose(found.var, -law.ppf(1 - LEVELS), rtol=1e-6)
    tail = [-law.expect(lambda x: x, ub=law.ppf(1 - a)) / (1 - a) for a in LEVELS]
    np.testing.assert_allclose(found.es, tail, rtol=1e-4)
    assert found.log_score == pytest.approx(law.logpdf(0.01), rel=1e-6)
    draws = law.rvs(200_000, random_state=3)
    assert found.crps == pytest.approx(judge_draws(draws, 0.01, LEVELS).crps, rel=0.01)


def one_law(n, *, skew=0.0):
    """Return a market with nu = 5 and two assets with nu = 4 as moments of `n` equal draws."""

    def repeated(x):
        return np.broadcast_to(np.asarray(x, dtype=float), (n, *np.shape(x)))

    return Moments(
        alpha=repeated([0.001, 0.0]),
        loadings=repeated([[1.0], [1.5]]),
        factor_mean=repeated([[0.002]]),
        factor_covariance=repeated([[[0.03**2]]]),
        factor_nu=repeated([[5.0]]),
        specific_variance=repeated([[0.02**2, 0.04**2]]),
        specific_nu=repeated([[4.0, 4.0]]),
        own_weights=np.zeros((0, 2)),
        own_response=np.zeros((n, 2, 0)),
        block=np.zeros(1, dtype=int),
        specific_skew=repeated([[skew, skew]]) if skew else None,
    )


@pytest.mark.parametrize("skew", [0.0, 0.4])
def test_log_scores_are_those_of_the_convolution(skew):
    weights = np.array([[1.0, 0.0], [0.5, -0.5], [0.0, 0.0]])
    realised = np.array([-0.05, 0.03, 0.0])
    found = log_scores(one_law(30_000, skew=skew), weights, realised, np.random.default_rng(0))
    assert np.isnan(found[2])
    grid = np.linspace(-2, 2, 400_001)
    step = grid[1] - grid[0]

    def density(scale, nu, lean=0.0):
        from arch.univariate.distribution import SkewStudent

        x = grid / scale
        return np.exp(SkewStudent().loglikelihood([nu, lean], x, np.ones_like(x), individual=True)) / abs(
            scale
        )

    def folded(parts):
        out = parts[0]
        for part in parts[1:]:
            out = np.fft.irfft(np.fft.rfft(out) * np.fft.rfft(np.fft.ifftshift(part)), len(grid)) * step
        return out

    pytest.importorskip("arch")
    alone = folded([density(0.03, 5.0), density(0.02, 4.0, skew)])
    at = np.interp(realised[0] - 0.003, grid, alone)
    assert found[0] == pytest.approx(np.log(at), abs=0.02)
    both = folded([density(0.03 * -0.25, 5.0), density(0.01, 4.0, skew), density(-0.02, 4.0, skew)])
    at = np.interp(realised[1] - (0.0005 - 0.25 * 0.002), grid, both)
    assert found[1] == pytest.approx(np.log(at), abs=0.02)
