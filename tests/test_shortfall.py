"""One estimator of VaR and ES of samples, against the integral of the quantile and the linear programme."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.allocate.verb import expected_shortfall
from bayesfactor.backtest.allocation_scores import _figures
from bayesfactor.backtest.baselines import BASELINES
from bayesfactor.backtest.judged import judge_draws
from bayesfactor.risk.predictive import Tail
from bayesfactor.shortfall import tail_of, tail_weights

SIZES = (7, 100, 249, 250, 365, 500, 1000)
LEVELS = (0.9, 0.95, 0.975, 0.99)


def by_quantiles(losses: np.ndarray, level: float) -> float:
    """Return the mean of the quantile function over the tail: each loss is the quantile of an nth of the way."""
    ends = np.arange(len(losses) + 1) / len(losses)
    within = np.clip(ends[1:], level, None) - np.clip(ends[:-1], level, None)
    return float(np.sort(losses) @ within / (1 - level))


def by_programme(losses: np.ndarray, level: float) -> float:
    """Return min over v of v + E[(L - v)+] / (1 - level) (Rockafellar and Uryasev 2000, eq. 4)."""
    n = len(losses)
    cost = np.r_[1.0, np.full(n, 1 / (n * (1 - level)))]
    rows = np.hstack([-np.ones((n, 1)), -np.eye(n)])
    return linprog(cost, rows, -losses, bounds=[(None, None)] + [(0, None)] * n).fun


@pytest.mark.parametrize("level", LEVELS)
def test_shortfall_is_the_integral_of_the_quantile_and_the_value_of_the_programme(level):
    rng = np.random.default_rng(1)
    for n in SIZES:
        losses = rng.standard_t(3, n)
        var, es = tail_of(losses, level)
        assert es == pytest.approx(by_quantiles(losses, level), rel=1e-12)
        if n <= 250:
            assert es == pytest.approx(by_programme(losses, level), rel=1e-8)
        assert var == np.sort(losses)[-math.ceil(round(n * (1 - level), 6))]
        assert tail_weights(losses, level) @ losses == pytest.approx(es, rel=1e-12)
        # Ties, as floored returns are: none is counted more than the others.
        tied = np.round(losses)
        assert tail_of(tied, level)[1] == pytest.approx(by_quantiles(tied, level), rel=1e-12, abs=1e-12)
        weights = tail_weights(tied, level)
        assert weights.sum() == pytest.approx(1.0, rel=1e-12)
        assert len(np.unique(weights[tied == tail_of(tied, level)[0]])) == 1


def test_large_samples_have_the_closed_forms_of_the_normal_and_of_t():
    rng, n, level = np.random.default_rng(2), 1_000_000, 0.99
    z, nu = stats.norm.ppf(level), 5.0
    q = stats.t.ppf(level, nu)
    closed = {
        "normal": (rng.standard_normal(n), z, stats.norm.pdf(z) / (1 - level)),
        "t": (rng.standard_t(nu, n), q, stats.t.pdf(q, nu) * (nu + q * q) / ((nu - 1) * (1 - level))),
    }
    for losses, at, beyond in closed.values():
        var, es = tail_of(losses, level)
        # The standard error of ES is sd((L - VaR)+) / ((1 - level) sqrt(n)); five of them.
        error = np.maximum(losses - at, 0).std() / ((1 - level) * math.sqrt(n))
        assert abs(es - beyond) < 5 * error
        assert abs(var - at) < 0.02


def test_every_room_gives_the_same_shortfall_of_the_same_sample():
    rng = np.random.default_rng(3)
    for n in (250, 365, 501):
        returns = 0.03 * rng.standard_t(4, n)
        for level in (0.975, 0.99):
            right = by_quantiles(-returns, level)
            at = np.array([level])
            assert judge_draws(returns, 0.0, at).es[0] == pytest.approx(right, rel=1e-12)
            _, say = BASELINES["historical"]
            assert say(returns, None, 0.0, at).es[0] == pytest.approx(right, rel=1e-12)
            assert _figures(returns[:, None], level, 365.0)["es"][0] == pytest.approx(right, rel=1e-12)
            assert expected_shortfall(returns, level) == pytest.approx(right, rel=1e-12)
            assert Tail.of(-returns, level).es == pytest.approx(right, rel=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_risk_and_stress_of_few_paths_have_it_and_their_parts_are_averages_of_the_same_tail():
    tree = bf.forecast(make_tree(4, 2, 40, 1, 37, own_market=True), 1, paths=11, random_seed=1)
    p = tree[s.PREDICTIONS].to_dataset()
    names = [str(a) for a in p[s.ASSET].values]
    w = dict(zip(names, (0.7, 0.5, -0.4, 0.2), strict=True))
    weight = p[s.ALPHA].isel(chain=0, draw=0, drop=True).copy(data=list(w.values()))
    through = -weight * p[s.LOADINGS] * p[s.FACTOR_RETURNS]
    specific, drift = -weight * p[s.SPECIFIC_RETURNS], -weight * p[s.ALPHA]
    loss = (through.sum(s.FACTOR) + specific + drift).sum(s.ASSET).transpose("path", ...).values.ravel()
    risk = bf.decompose_risk(tree, w, levels=(0.95, 0.99))
    for level in (0.95, 0.99):
        assert float(risk["es"].sel(level=level)) == pytest.approx(by_quantiles(loss, level), rel=1e-12)
        shares = tail_weights(loss, level)
        for part, component in ((specific, "specific"), (through.isel(factor=0, drop=True), "market")):
            mine = part.transpose("path", "chain", "draw", s.HORIZON, s.ASSET).values.reshape(len(loss), -1)
            found = risk["es_contribution"].sel(level=level, component=component)
            np.testing.assert_allclose(found.values, shares @ mine, rtol=1e-9, atol=1e-14)
