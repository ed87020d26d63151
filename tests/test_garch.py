"""The factor GARCH's density: kernel, skewed t and score against plain loops, `arch`, quadrature and differences."""

from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from arch import arch_model
from arch.univariate.distribution import SkewStudent
from garch_trees import log_density, plain_news, ppf
from pytensor.compile.mode import Mode
from scipy import integrate, stats

from bayesfactor.laws import skewed
from bayesfactor.laws.garch_days import draw_days, next_variance
from bayesfactor.likelihoods.garch import GarchLogLikelihood, reference_logp
from bayesfactor.likelihoods.garch_kernel import garch_kernel

NAMES = ("alpha", "loadings", "sigma", "persistence", "news_share", "leverage", "nu", "skew")
NEWS = {"squares": np.zeros(5), "scores": np.ones(5), "both": np.array([0.0, 1.0, 0.0, 1.0, 1.0])}
SHAPES = [(2.2, 0.0), (3.0, -0.5), (5.0, 0.3), (9.0, 0.85), (60.0, -0.2)]


def problem(scored, n=5, t=70, k=2, seed=0):
    """Arguments of the kernel: a late listing, a delisting, holes, and an asset never seen."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_t(4, (k, t))
    loadings, alpha = rng.normal(0.5, 0.5, (n, k)), rng.normal(0.0, 0.1, n)
    seen = np.ones((n, t))
    seen[0, :20] = 0
    seen[1, 55:] = 0
    seen[2, [0, 10, 11, 40, 69]] = 0
    seen[3] = 0
    sigma = rng.uniform(0.5, 1.5, n)
    returns = alpha[:, None] + loadings @ factors + sigma[:, None] * rng.standard_t(3, (n, t))
    own = [
        sigma,
        rng.uniform(0.6, 0.98, n),
        rng.uniform(0.1, 0.5, n),
        rng.uniform(-0.7, 0.7, n),
        rng.uniform(2.3, 8.0, n),
        rng.uniform(-0.5, 0.5, n),
    ]
    data = [np.where(seen > 0, returns, 0.0), seen, factors, rng.uniform(0.3, 2.0, n), scored]
    return [*data, alpha, loadings, *own]


def plain_value(returns, seen, factors, initial, scored, alpha, loadings, *own):
    """The log-likelihood cell by cell, the density and its score by `arch`."""
    e, total = returns - alpha[:, None] - loadings @ factors, 0.0
    for i in range(len(e)):
        sigma, p, share, leverage, nu, skew = (x[i] for x in own)
        h, started = initial[i], False
        for t in range(e.shape[1]):
            started = started or seen[i, t] > 0
            if not started:
                continue
            news = h
            if seen[i, t] > 0:
                total += log_density(e[i, t] / np.sqrt(h), nu, skew)[0] - 0.5 * np.log(h)
                news = plain_news(e[i, t], h, scored[i], leverage, nu, skew)
            h = sigma**2 * (1.0 - p) + p * ((1.0 - share) * h + share * news)
    return total


@pytest.mark.parametrize("news", NEWS)
def test_kernel_is_the_plain_loop(news):
    args = problem(NEWS[news])
    assert garch_kernel(*args)[0] == pytest.approx(plain_value(*args), rel=1e-9)


@pytest.mark.parametrize("news", NEWS)
@pytest.mark.parametrize("shape", [None, (2.001, 0.0), (200.0, -0.9)])
def test_kernel_gradient_is_the_finite_difference(news, shape):
    args = problem(NEWS[news])
    if shape:
        args[11][:], args[12][:] = shape
    found = garch_kernel(*args)[1:]
    for at, (name, gradient) in enumerate(zip(NAMES, found, strict=True), start=5):
        size = np.abs(gradient).max()
        assert size > 0.0
        for index in np.ndindex(gradient.shape):
            # nu moves by a share of its distance from 2: 2.001 is not to cross it, 200 is to feel it.
            step = 1e-6 * (args[11][0] - 2.0 if name == "nu" else 1.0)
            sides = []
            for sign in (1, -1):
                moved = [a.copy() for a in args]
                moved[at][index] += sign * step
                sides.append(garch_kernel(*moved)[0])
            numeric = (sides[0] - sides[1]) / (2.0 * step)
            assert gradient[index] == pytest.approx(numeric, rel=2e-5, abs=2e-6 * size), (name, index)


@pytest.fixture(scope="module")
def plain_and_fused():
    """Value and gradients of both graphs, interpreted: compiling would cost more than it saves."""
    returns, seen, factors = pt.matrices("returns", "seen", "factors")
    initial, scored = pt.vectors("initial", "scored")
    parameters = [pt.vector("alpha"), pt.matrix("loadings"), *pt.vectors(*NAMES[2:])]
    data = [returns, seen, factors, initial, scored]
    plain = reference_logp(returns, *parameters[:2], parameters[2:], factors, initial, scored, seen)
    fused = GarchLogLikelihood()(*data, *parameters)
    return [
        pytensor.function(data + parameters, [value, *pt.grad(value, parameters)], mode=Mode("py", None))
        for value in (plain, fused)
    ]


@pytest.mark.parametrize("news", NEWS)
@pytest.mark.parametrize("extreme", ["none", "tiny sigma", "far residual"])
def test_op_and_its_gradient_are_the_plain_pytensor_ones(plain_and_fused, news, extreme):
    args = problem(NEWS[news], seed=1)
    if extreme == "tiny sigma":
        args[7][:] = 1e-6
    if extreme == "far residual":
        args[0][4, 7] = 1e6
    plain, fused = (f(*args) for f in plain_and_fused)
    np.testing.assert_allclose(fused[0], plain[0], rtol=1e-10)
    for a, b in zip(fused[1:], plain[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8 * np.abs(b).max())


def test_an_asset_never_seen_adds_nothing():
    value, *gradients = garch_kernel(*problem(NEWS["both"]))
    assert np.isfinite(value)
    assert all(not g[3].any() for g in gradients)
    assert all(g[4].all() for g in gradients)


@pytest.mark.parametrize("news", NEWS)
def test_hidden_cells_do_not_matter(news):
    args = problem(NEWS[news])
    found = garch_kernel(*args)
    args[0] = np.where(args[1] > 0, args[0], 123.0)
    for a, b in zip(found, garch_kernel(*args), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("dist", ["t", "skewt"])
@pytest.mark.parametrize("leverage", [0.0, 0.4, -0.3])
def test_one_series_is_that_of_arch(dist, leverage):
    rng = np.random.default_rng(5)
    y = rng.standard_t(5, 400) * np.exp(0.5 * np.sin(np.arange(400) / 30))
    mu, sigma, p, share, nu, start = 0.05, 1.3, 0.95, 0.2, 4.5, 2.0
    skew = -0.25 if dist == "skewt" else 0.0
    model = arch_model(
        y, mean="Constant", vol="GARCH", p=1, o=int(leverage != 0), q=1, dist=dist, rescale=False
    )
    omega = sigma**2 * (1.0 - p)
    squares = [p * share * (1.0 - leverage), *([2.0 * p * share * leverage] if leverage else [])]
    # The value of arch's backcast that makes its first variance ours.
    backcast, bounds = (start - omega) / p, np.tile([0.0, 1e12], (len(y), 1))
    series = np.array([omega, *squares, p * (1.0 - share)])
    h = model.volatility.compute_variance(series, y - mu, np.empty(len(y)), backcast, bounds)
    expected = model.distribution.loglikelihood([nu, skew][: 1 + (dist == "skewt")], y - mu, h)
    ones = [np.array([x]) for x in (sigma, p, share, leverage, nu, skew)]
    data = [y[None], np.ones((1, 400)), np.zeros((1, 400)), np.array([start]), np.zeros(1)]
    found = garch_kernel(*data, np.array([mu]), np.zeros((1, 1)), *ones)[0]
    assert h[0] == pytest.approx(start, rel=1e-12)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-8)


def quad(f, low, high, nu, skew):
    """Integrate over z piece by piece: the density has a joint at -a/b and long tails."""
    a, b = skewed.shape(nu, skew)
    far = [-np.inf, -1e3, -30.0, -5.0, -a / b, 0.0, 5.0, 30.0, 1e3, np.inf]
    ends = [low, *(x for x in far if low < x < high), high]
    parts = [integrate.quad(f, x, y, epsabs=1e-13, limit=200)[0] for x, y in pairwise(ends)]
    return sum(parts)


@pytest.mark.parametrize(("nu", "skew"), SHAPES)
def test_density_is_that_of_arch_with_mean_0_and_variance_1(nu, skew):
    z = np.linspace(-8, 8, 41)
    found = [skewed.log_density(x, nu, skew) for x in z]
    np.testing.assert_allclose(found, log_density(z, nu, skew), rtol=1e-12, atol=1e-12)
    # At nu of 2.2 the variance sits beyond any finite range: 1 % of it above 10^10.
    tolerances = (1e-8, 1e-8, 1e-6 if nu > 2.5 else 1e-2)
    for power, value, tolerance in zip(range(3), (1.0, 0.0, 1.0), tolerances, strict=True):
        moment = quad(
            lambda x, n=power: x**n * np.exp(skewed.log_density(x, nu, skew)), -np.inf, np.inf, nu, skew
        )
        assert moment == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize(("nu", "skew"), SHAPES)
def test_cdf_and_partial_moments_are_integrals(nu, skew):
    def density(x):
        return np.exp(skewed.log_density(x, nu, skew))

    a, b = skewed.shape(nu, skew)
    z = np.array([-6.0, -1.0, -0.3, -a / b, 0.0, 0.2, 1.5, 7.0])
    np.testing.assert_allclose(skewed.cdf(z, nu, skew), SkewStudent().cdf(z, [nu, skew]), rtol=1e-12)
    inner = z[2:-1]
    np.testing.assert_allclose(ppf(skewed.cdf(inner, nu, skew), nu, skew), inner, rtol=1e-9, atol=1e-9)
    for x in z:
        below = quad(density, -np.inf, x, nu, skew)
        beyond = quad(lambda y: y * density(y), x, np.inf, nu, skew)
        assert float(skewed.cdf(x, nu, skew)) == pytest.approx(below, abs=1e-9)
        assert float(skewed.partial_mean(x, nu, skew)) == pytest.approx(beyond, abs=1e-7)
    chance, square = skewed.below_zero(np.array([nu]), np.array([skew]))
    assert chance[0] == pytest.approx(quad(density, -np.inf, 0.0, nu, skew), abs=1e-9)
    expected = quad(lambda y: y * y * density(y), -np.inf, 0.0, nu, skew)
    assert square[0] == pytest.approx(expected, abs=1e-6 if nu > 2.5 else 1e-2)
    assert square[0] == pytest.approx(SkewStudent().partial_moment(2, 0.0, [nu, skew]), rel=1e-9)


@pytest.mark.parametrize(("nu", "skew"), SHAPES)
def test_draws_follow_the_cdf(nu, skew):
    # Without persistence every day has variance sigma^2 = 1: what is drawn is z.
    own = np.array([1.0, 0.0, 0.5, 0.0, nu, skew, *skewed.shape(nu, skew)])[:, None]
    z = draw_days(np.random.default_rng(3), own, np.ones(1), np.zeros(1), np.empty((1, 20_000)))[0]
    assert stats.kstest(z, lambda x: skewed.cdf(x, nu, skew)).pvalue > 1e-3
    a, b = skewed.shape(nu, skew)
    left = (z < -a / b).mean()
    assert left == pytest.approx(0.5 * (1.0 - skew), abs=4 * 0.5 / 20_000**0.5)


def news_of(e, h, nu, skew, *, scored, leverage=0.0):
    """What `next_variance` lets through where it lets nothing else through."""
    # Enough of the old variance is kept that the floor under the new one is not met.
    after = next_variance(e, h, float(scored), 0.0, 1.0, 0.1, leverage, nu, skew, *skewed.shape(nu, skew))
    return 10.0 * after - 9.0 * h


@pytest.mark.parametrize(("nu", "skew"), SHAPES)
@pytest.mark.parametrize("leverage", [0.0, 0.5])
def test_expected_score_news_is_the_variance(nu, skew, leverage):
    h = 1.7

    def weighted(z):
        density = np.exp(skewed.log_density(z, nu, skew))
        return news_of(z * np.sqrt(h), h, nu, skew, scored=True, leverage=leverage) * density

    below = SkewStudent().cdf(np.zeros(1), [nu, skew])[0]
    expected = h * (1.0 - leverage + 2.0 * leverage * below)
    assert quad(weighted, -np.inf, np.inf, nu, skew) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("nu", "skew"), SHAPES)
def test_score_news_is_the_slope_of_the_log_density_in_log_variance(nu, skew):
    h, step = 0.6, 1e-5
    for e in (-9.0, -1.0, -0.2, 0.05, 0.7, 4.0, 100.0):
        sides = [skewed.log_density(e / np.sqrt(h * np.exp(d)), nu, skew) - 0.5 * d for d in (step, -step)]
        slope = (sides[0] - sides[1]) / (2.0 * step)
        assert news_of(e, h, nu, skew, scored=True) == pytest.approx(
            h * (1.0 + 2.0 * slope), rel=1e-7, abs=1e-8
        )
        assert news_of(e, h, nu, skew, scored=False) == pytest.approx(e * e, rel=1e-12)
    # However far the outlier, its news has a bound, which squares do not.
    assert news_of(1e8, h, nu, skew, scored=True) == pytest.approx((nu + 1.0) * h, rel=1e-4)
