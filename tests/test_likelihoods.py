"""The fused kernels against plain PyTensor, scipy and finite differences, extremes included."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from bayesfactor.laws.correlation import beta_shapes, correlation, partial_cholesky
from bayesfactor.likelihoods import EllipticalColumns, FactorStudentT
from bayesfactor.likelihoods.elliptical import EllipticalLogLikelihood
from bayesfactor.likelihoods.kernels import digamma, elliptical_kernel, static_kernel
from bayesfactor.likelihoods.static import StaticLogLikelihood, reference_logp


def problem(n=5, t=83, k=3, *, nu=None, seed=0):
    """Returns, seen, factors, alpha, loadings, sigma, nu with late listings, holes and an empty asset."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_t(4, (k, t))
    loadings = rng.normal(0.5, 0.5, (n, k))
    sigma = rng.uniform(0.3, 2.0, n)
    nu = rng.uniform(2.1, 9.0, n) if nu is None else np.full(n, float(nu))
    returns = loadings @ factors + sigma[:, None] * rng.standard_t(3, (n, t))
    seen = np.ones((n, t))
    seen[0, :40] = 0
    seen[1, 60:] = 0
    seen[2, [10, 11, 50]] = 0
    seen[3] = 0
    return np.where(seen > 0, returns, 0.0), seen, factors, rng.normal(0, 0.1, n), loadings, sigma, nu


def scipy_value(returns, seen, factors, alpha, loadings, sigma, nu):
    mean = alpha[:, None] + loadings @ factors
    if np.isinf(nu).all():
        cells = stats.norm.logpdf(returns, mean, sigma[:, None])
    else:
        cells = stats.t.logpdf(returns, nu[:, None], mean, sigma[:, None])
    return cells[seen > 0].sum()


@pytest.mark.parametrize("nu", [None, 2.0001, 50.0, 1e6, np.inf])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_static_kernel_is_scipy(nu, scale):
    returns, seen, factors, alpha, loadings, sigma, nu = problem(nu=nu)
    args = (returns * scale, seen, factors, alpha * scale, loadings * scale, sigma * scale, nu)
    assert static_kernel(*args)[0] == pytest.approx(scipy_value(*args), rel=1e-10)


@pytest.mark.parametrize("nu", [None, 2.0001, 40.0, np.inf])
def test_static_kernel_gradient_is_the_finite_difference(nu):
    args = list(problem(nu=nu))
    found = static_kernel(*args)[1:]
    for position, gradient in zip((3, 4, 5, 6), found, strict=True):
        if position == 6 and np.isinf(args[6]).all():
            assert not gradient.any()
            continue
        for index in np.ndindex(gradient.shape):
            step = 1e-6 * max(1.0, abs(args[position][index]))
            sides = []
            for sign in (1, -1):
                moved = [a.copy() for a in args]
                moved[position][index] += sign * step
                sides.append(static_kernel(*moved)[0])
            numeric = (sides[0] - sides[1]) / (2 * step)
            assert gradient[index] == pytest.approx(numeric, rel=2e-5, abs=2e-5)


@pytest.fixture(scope="module")
def plain_and_fused():
    """Value and gradients of both graphs, interpreted: compiling would cost more than it saves."""
    data = [pt.matrix("returns"), pt.matrix("seen"), pt.matrix("factors")]
    parameters = [pt.vector("alpha"), pt.matrix("loadings"), pt.vector("sigma"), pt.vector("nu")]
    plain = reference_logp(data[0], *parameters, data[2], data[1])
    fused = StaticLogLikelihood()(*data, *parameters)
    return [
        pytensor.function(data + parameters, [value, *pt.grad(value, parameters)], mode="FAST_COMPILE")
        for value in (plain, fused)
    ]


@pytest.mark.parametrize("nu", [2.0001, 3.0, 30.0])
@pytest.mark.parametrize("extreme", ["none", "tiny sigma", "far residual"])
def test_static_op_and_its_gradient_are_the_plain_pytensor_ones(plain_and_fused, nu, extreme):
    args = list(problem(nu=nu))
    if extreme == "tiny sigma":
        args[5] = np.full_like(args[5], 1e-8)
    if extreme == "far residual":
        args[0][4, 7] = 1e8 * args[5][4]
    plain, fused = (f(*args) for f in plain_and_fused)
    np.testing.assert_allclose(fused[0], plain[0], rtol=1e-10)
    for a, b in zip(fused[1:], plain[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * np.abs(b).max())


def test_an_asset_without_returns_adds_nothing():
    args = problem()
    value, d_alpha, d_loadings, d_sigma, d_nu = static_kernel(*args)
    assert np.isfinite(value)
    assert d_alpha[3] == d_sigma[3] == d_nu[3] == 0.0
    assert not d_loadings[3].any()


def test_hidden_cells_do_not_matter():
    args = list(problem())
    value = static_kernel(*args)[0]
    args[0] = np.where(args[1] > 0, args[0], 123.0)
    assert static_kernel(*args)[0] == value


@pytest.mark.parametrize("nu", [2.0001, 4.0, np.inf])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_elliptical_kernel_is_scipy_and_its_gradient_the_finite_difference(k, nu):
    rng = np.random.default_rng(k)
    values = rng.standard_t(4, (k, 60))
    seen = (rng.uniform(size=60) > 0.2).astype(float)
    given = {
        "location": rng.normal(size=k) * 0.1,
        "scale": rng.uniform(0.5, 1.5, k),
        "partial": rng.uniform(-0.7, 0.7, k * (k - 1) // 2),
        "nu": np.array(nu),
    }

    def run(arguments):
        return elliptical_kernel(values, seen, *(a if a.ndim else float(a) for a in arguments.values()))

    value, *found = run(given)
    shape = correlation(given["partial"], k) * np.outer(given["scale"], given["scale"])
    location = given["location"]
    law = (
        stats.multivariate_normal(location, shape)
        if np.isinf(nu)
        else stats.multivariate_t(location, shape, nu)
    )
    assert value == pytest.approx(np.sum(law.logpdf(values.T[seen > 0])), rel=1e-10)
    step = 1e-6
    for (name, x), gradient in zip(given.items(), map(np.asarray, found), strict=True):
        for index in np.ndindex(gradient.shape):
            if np.isinf(x[index]):
                assert gradient == 0.0
                continue
            sides = []
            for sign in (1, -1):
                moved = x.copy()
                moved[index] += sign * step
                sides.append(run(given | {name: moved})[0])
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("x", [1e-3, 0.5, 1.0, 2.7, 9.99, 10.0, 55.0, 1e6])
def test_digamma_is_scipys(x):
    assert digamma(x) == pytest.approx(special.digamma(x), rel=1e-12)


def test_the_distribution_draws_what_its_density_says():
    _, seen, factors, alpha, loadings, sigma, _ = problem(t=4000)
    nu = np.full(5, 8.0)
    with pm.Model():
        x = FactorStudentT("x", alpha, loadings, sigma, nu, factors, seen)
    draw = pm.draw(x, random_seed=1, mode="FAST_COMPILE")
    z = (draw - alpha[:, None] - loadings @ factors) / sigma[:, None]
    assert stats.kstest(z.ravel(), stats.t(8).cdf).pvalue > 0.001


def test_the_factor_law_draws_what_its_density_says():
    partial = np.array([0.6])
    with pm.Model():
        x = EllipticalColumns("x", np.zeros(2), np.ones(2), partial, 6.0, np.ones(20_000))
    draw = pm.draw(x, random_seed=1, mode="FAST_COMPILE")
    distance = (np.linalg.solve(partial_cholesky(partial, 2), draw) ** 2).sum(axis=0) / 2
    assert stats.kstest(distance, stats.f(2, 6).cdf).pvalue > 0.001


@pytest.mark.parametrize("n", [2, 4])
def test_correlations_have_the_lkj_law(n):
    eta, rng = 2.0, np.random.default_rng(2)
    b = beta_shapes(n, eta)
    corr = correlation(2 * rng.beta(b, b, (4000, len(b))) - 1, n)
    np.testing.assert_allclose(np.einsum("dii->di", corr), 1.0, atol=1e-12)
    assert np.linalg.eigvalsh(corr).min() > 0
    # Every correlation of LKJ(eta) is 2 Beta(b, b) - 1 with b = eta - 1 + n / 2.
    b = eta - 1 + n / 2
    for i in range(n):
        for j in range(i):
            assert stats.kstest(0.5 * (corr[:, i, j] + 1), stats.beta(b, b).cdf).pvalue > 0.001


def test_ops_know_which_inputs_matter():
    for op in (StaticLogLikelihood(), EllipticalLogLikelihood()):
        pattern = op.connection_pattern(None)
        assert len(pattern) == op.n_data + len(op.ranks)
        assert [row[0] for row in pattern] == [False] * op.n_data + [True] * len(op.ranks)


@pytest.mark.parametrize("n_times", [1, 7, 8, 511, 512, 513, 1024, 1100])
def test_pieces_of_any_length_add_up(n_times):
    returns, _, *rest = problem(n=4, t=1100, k=5)
    seen = np.random.default_rng(1).uniform(size=returns.shape) < 0.8
    args = [x[..., :n_times].copy() for x in (returns, seen.astype(float), rest[0])] + rest[1:]
    assert static_kernel(*args)[0] == pytest.approx(scipy_value(*args), rel=1e-10)


@pytest.mark.parametrize("size", [1e20, 1e30, 1e150])
def test_residuals_beyond_all_bounds_keep_their_value(size):
    """Products of eight overflow here; the sum of logs must not."""
    returns, seen, factors, alpha, loadings, sigma, nu = problem(n=4, t=64, k=1)
    returns[1, 20:40] = size
    args = (returns, np.ones_like(seen), factors, alpha, loadings, sigma, nu)
    got = static_kernel(*args)[0]
    expected = scipy_value(*args)
    assert got == pytest.approx(expected, rel=1e-10)


def test_what_is_not_a_number_stays_so():
    args = list(problem(n=4, t=64, k=1))
    args[5][0] = np.nan
    assert not np.isfinite(static_kernel(*args)[0])
