"""Row densities with factors integrated out, against closed forms and brute-force quadrature."""

import numpy as np
import pytest
from latent_trees import latent_tree
from scipy import linalg, stats
from trees import make_tree

from bayesfactor.laws import law_of
from bayesfactor.laws.integrate import Integrand, integrate, integrate_cells


def log_sum(values, axis=None):
    top = values.max()
    return top + np.log(np.exp(values - top).sum(axis))


def normal_rows(law, latent, factors_too):
    """Log density of each row of a normal law: everything random is in the covariance."""
    out = np.zeros((law.n_draws, law.returns.shape[1]))
    for d in range(law.n_draws):
        covariance = latent[d] @ latent[d].T + np.diag(law.sigma[d] ** 2)
        spread = law.loadings[d] @ law.factor_scale[d]
        covariance = covariance + spread @ spread.T if factors_too else covariance
        for t in range(law.returns.shape[1]):
            there = law.seen[:, t] > 0
            if there.any():
                row = stats.multivariate_normal(
                    law.factor_centre(np.ones(len(law.factors), bool))[d][there],
                    covariance[np.ix_(there, there)],
                )
                out[d, t] = row.logpdf(law.filled[there, t])
    return out


def test_observed_factors_of_normal_models_are_integrated_in_closed_form():
    for tree in (make_tree(normal=True, draws=5), latent_tree(n_factors=2, nu=np.inf, draws=5)):
        law = law_of(tree)
        latent = getattr(law, "latent", np.zeros((law.n_draws, len(law.returns), 0)))
        found = law.marginal_row_log_likelihood()
        np.testing.assert_allclose(found.log_density, normal_rows(law, latent, True), rtol=1e-9, atol=1e-9)
        assert found.total_error == 0.0


def mixing_nodes(nu):
    """Return mixing variables u ~ Gamma(nu/2, nu/2) and log weights of a fine rule over log u."""
    if np.isinf(nu):
        return np.ones(1), np.zeros(1)
    x = np.linspace(-16.0, 6.0, 1201)
    u = np.exp(x)
    return u, stats.gamma.logpdf(u, nu / 2, scale=2 / nu) + x + np.log(x[1] - x[0])


@pytest.mark.parametrize(
    ("nu", "factor_nu"), [(4.0, 3.0), (2.1, 2.2), (np.inf, 5.0), (3.0, np.inf), (30.0, 12.0)]
)
def test_observed_factors_of_hybrid_models_are_integrated_to_many_digits(nu, factor_nu):
    tree = latent_tree(n_factors=2, draws=1, chains=2, n_times=15, missing=0.2)
    law = law_of(tree)
    law.nu[:], law.factor_nu[:] = nu, factor_nu
    found = law.marginal_row_log_likelihood().log_density
    u, own = mixing_nodes(nu)
    v, other = mixing_nodes(factor_nu)
    for d in range(2):
        spread = law.loadings[d] @ law.factor_scale[d]
        whole = law.latent[d] @ law.latent[d].T + np.diag(law.sigma[d] ** 2)
        for t in range(15):
            there = law.seen[:, t] > 0
            part = np.ix_(there, there)
            eigen, axes = linalg.eigh((spread @ spread.T)[part], whole[part])
            y = axes.T @ (law.filled[:, t] - law.factor_centre(np.ones(len(law.factors), bool))[d])[there]
            variance = 1 / u[:, None, None] + eigen / v[None, :, None]
            each = -0.5 * (np.log(2 * np.pi * variance) + y**2 / variance).sum(-1)
            each += own[:, None] + other - 0.5 * np.linalg.slogdet(whole[part])[1]
            assert found[d, t] == pytest.approx(log_sum(each), abs=2e-6)


def integrand(n=12, days=40, m=1, draws=3, *, seed=0):
    """A day of independent t's drawn from their own law, so that importance sampling meets its like."""
    rng = np.random.default_rng(seed)
    sigma, nu = rng.uniform(0.5, 1.5, (draws, n)), rng.uniform(2.5, 6.0, (draws, n))
    random = rng.normal(0.8, 0.3, (draws, n, m))
    x = rng.standard_t(4.0, (m, days))
    returns = random[0] @ x + sigma[0][:, None] * rng.standard_t(nu[0][:, None], (n, days))
    seen = (rng.uniform(size=(n, days)) > 0.1).astype(float)
    known = np.zeros((0, days))
    alpha = rng.normal(0, 0.1, (draws, n))
    block = np.zeros(m, dtype=np.int64)
    return Integrand(
        returns, seen, known, alpha, sigma, nu, random[:, :, :0], random, block, np.full((draws, 1), 4.0)
    )


def grid(given, d, t, without=None):
    """Log density of a row by a fine rule over its one random factor."""
    x = np.linspace(-80, 80, 20_001)
    each = stats.t.logpdf(x, given.block_nu[d, 0])
    for i in np.flatnonzero(given.seen[:, t]):
        if i != without:
            mean = given.alpha[d, i] + given.random[d, i, 0] * x
            each = each + stats.t.logpdf(given.returns[i, t], given.nu[d, i], mean, given.sigma[d, i])
    return log_sum(each) + np.log(x[1] - x[0])


@pytest.mark.parametrize("n", [4, 20])
def test_importance_sampling_is_quadrature_within_the_error_it_states(n):
    given = integrand(n, days=30)
    found = integrate(given)
    exact = np.array([[grid(given, d, t) for t in range(30)] for d in range(3)])
    gap = found.log_density - exact
    assert np.sqrt((gap**2).mean()) < 0.05
    # Quasi-random points do better than the independent ones the error is stated for.
    assert np.sqrt((gap**2).mean()) < 1.5 * np.sqrt((found.error**2).mean())
    assert abs(gap.mean(axis=0).sum()) < 4.0 * found.total_error


def test_importance_sampling_of_normals_is_the_closed_form():
    tree = make_tree(n_factors=2, draws=3, normal=True)
    law = law_of(tree)
    given = Integrand(
        law.filled, law.seen, law.factors[:0], law.factor_centre(np.ones(len(law.factors), bool)), law.sigma, law.nu,
        law.loadings[:, :, :0], law.loadings @ law.factor_scale, np.zeros(2, dtype=np.int64),
        law.factor_nu,
    )  # fmt: skip
    found = integrate(given)
    gap = found.log_density - law.marginal_row_log_likelihood().log_density
    assert np.abs(gap).max() < 0.05


def test_days_without_a_return_count_for_nothing():
    given = integrand(5)
    given.seen[:, 3] = 0.0
    assert not integrate(given).log_density[:, 3].any()


def test_a_cell_given_the_rest_of_its_day_is_quadrature():
    given = integrand(8, days=20)
    assets = np.array([2, 2, 5])
    times = np.array([int(np.flatnonzero(given.seen[i])[j]) for i, j in zip(assets, (0, 4, 7), strict=True)])
    found = integrate_cells(given, assets, times)
    for c, (i, t) in enumerate(zip(assets, times, strict=True)):
        for d in range(3):
            exact = grid(given, d, t) - grid(given, d, t, without=i)
            assert found.log_density[c, d] == pytest.approx(exact, abs=0.1)
    assert ((found.probability > 0) & (found.probability < 1)).all()


def test_probabilities_of_cells_are_the_integral_of_their_density():
    given = integrand(6, days=10)
    given.seen[2, 4] = 1.0
    values = np.linspace(-60, 60, 1201)
    density, probability = [], []
    for x in values:
        given.returns[2, 4] = x
        one = integrate_cells(given, np.array([2]), np.array([4]))
        density.append(np.exp(one.log_density[0, 0]))
        probability.append(one.probability[0, 0])
    total = np.cumsum(density) * (values[1] - values[0])
    assert total[-1] == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(probability, total, atol=0.05)


@pytest.mark.parametrize("n_factors", [0, 1])
def test_the_law_of_sampled_scores_integrates_them_out(n_factors):
    """Rows given nothing of normal-tailed draws are those of the low-rank normal."""
    law = law_of(latent_tree("scores", n_factors=n_factors, draws=3))
    law.nu[:], law.latent_nu[:], law.factor_nu[:] = np.inf, np.inf, np.inf
    centre = law.alpha[:, :, None] + law.loadings @ law.factors
    rows = law.integrated_rows().log_density
    whole = np.einsum("dik,djk->dij", law.latent, law.latent)
    for d in range(law.n_draws):
        covariance = whole[d] + np.diag(law.sigma[d] ** 2)
        for t in (0, 9, 33):
            there = law.seen[:, t] > 0
            one = stats.multivariate_normal(centre[d, there, t], covariance[np.ix_(there, there)])
            assert rows[d, t] == pytest.approx(one.logpdf(law.filled[there, t]), abs=0.05)
    alone = law.marginal_row_log_likelihood().log_density
    np.testing.assert_allclose(alone, normal_rows(law, law.latent, n_factors > 0), atol=0.08)
