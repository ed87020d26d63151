"""Latent factors integrated out: kernel, law and its derived quantities against scipy and brute force."""

from dataclasses import replace

import numpy as np
import pytest
from latent_trees import latent_tree
from scipy import stats

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.laws import law_of
from bayesfactor.laws.blocks import block_rng
from bayesfactor.laws.drift import means_of
from bayesfactor.laws.woodbury import patterns
from bayesfactor.likelihoods.kernels import static_kernel
from bayesfactor.likelihoods.lowrank_kernel import lowrank_kernel
from bayesfactor.likelihoods.scores_kernel import scores_kernel, spherical_kernel

NAMES = ("alpha", "loadings", "latent", "sigma", "nu")


def problem(n=6, t=300, k=2, m=2, *, nu=4.0, holes=0.1, seed=0):
    """Arguments of the kernel: late listings, a day without any return, and cells missing at random."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_t(4, (k, t))
    loadings, latent = rng.normal(0.5, 0.5, (n, k)), rng.normal(0.0, 0.5, (n, m))
    seen = (rng.uniform(size=(n, t)) >= holes).astype(float)
    seen[0, :40] = 0
    seen[:, 5] = 0
    returns = np.where(seen > 0, loadings @ factors + rng.standard_t(3, (n, t)), 0.0)
    parameters = [rng.normal(0, 0.1, n), loadings, latent, rng.uniform(0.3, 2.0, n), nu]
    return [returns, seen, factors, patterns(seen), *parameters]


def scipy_rows(returns, seen, factors, alpha, loadings, latent, sigma, nu):
    """Log density of each row by scipy, the assets missing on a day simply left out."""
    whole = latent @ latent.T + np.diag(sigma**2)
    out = np.zeros(returns.shape[1])
    for t in range(returns.shape[1]):
        there = seen[:, t] > 0
        if there.any():
            law = (alpha + loadings @ factors[:, t])[there], whole[np.ix_(there, there)]
            row = returns[there, t]
            normal = np.isinf(nu)
            out[t] = (
                stats.multivariate_normal.logpdf(row, *law)
                if normal
                else stats.multivariate_t.logpdf(row, *law, nu)
            )
    return out


@pytest.mark.parametrize("nu", [2.001, 4.0, 60.0, np.inf])
@pytest.mark.parametrize(("k", "m"), [(2, 2), (0, 1), (1, 4), (2, 0)])
def test_kernel_is_scipy(nu, k, m):
    returns, seen, factors, pattern, *parameters = problem(k=k, m=m, nu=nu)
    found = lowrank_kernel(returns, seen, factors, pattern, *parameters)[0]
    assert found == pytest.approx(scipy_rows(returns, seen, factors, *parameters).sum(), rel=1e-11)


@pytest.mark.parametrize("nu", [2.001, 5.0, np.inf])
def test_kernel_gradient_is_the_finite_difference(nu):
    args = problem(nu=nu, t=90, holes=0.2)
    hold_gradient(lowrank_kernel, args, {name: 4 + i for i, name in enumerate(NAMES)}, np.isinf(nu))


def hold_gradient(kernel, args, positions, normal=False):
    found = kernel(*args)[1:]
    for (name, at), gradient in zip(positions.items(), found, strict=True):
        if name == "nu" and normal:
            assert np.all(gradient == 0.0)
            continue
        for index in np.ndindex(np.shape(gradient)):
            sides = []
            for sign in (1, -1):
                moved = [np.array(a, dtype=float) for a in args]
                moved[at][index] += sign * 1e-6
                sides.append(kernel(*(a if a.ndim else float(a) for a in moved))[0])
            numeric = (sides[0] - sides[1]) / 2e-6
            assert np.asarray(gradient)[index] == pytest.approx(numeric, rel=2e-5, abs=2e-4), (name, index)


def test_kernel_of_one_asset_a_day_and_no_latent_factor_is_the_static_one():
    returns, seen, factors, pattern, alpha, loadings, _, sigma, nu = problem(n=1, holes=0.2)
    none = np.zeros((1, 0))
    found = lowrank_kernel(returns, seen, factors, pattern, alpha, loadings, none, sigma, nu)
    other = static_kernel(returns, seen, factors, alpha, loadings, sigma, np.array([nu]))
    assert found[0] == pytest.approx(other[0], rel=1e-12)
    np.testing.assert_allclose(found[2], other[2], rtol=1e-10)


def scores_problem(seed=1):
    returns, seen, factors, _, alpha, loadings, latent, sigma, _ = problem(t=70, seed=seed)
    rng = np.random.default_rng(seed)
    return [
        returns,
        seen,
        factors,
        alpha,
        loadings,
        latent,
        sigma,
        rng.uniform(2.1, 8, 6),
        rng.normal(size=(2, 70)),
    ]


def test_scores_kernel_is_scipy_and_its_gradient_the_finite_difference():
    args = scores_problem()
    returns, seen, factors, alpha, loadings, latent, sigma, nu, scores = args
    mean = alpha[:, None] + loadings @ factors + latent / np.linalg.norm(latent, axis=0) @ scores
    cells = stats.t.logpdf(returns, nu[:, None], mean, sigma[:, None])
    assert scores_kernel(*args)[0] == pytest.approx(cells[seen > 0].sum(), rel=1e-9)
    names = ("alpha", "loadings", "latent", "sigma", "nu_i", "scores")
    hold_gradient(scores_kernel, args, {name: 3 + i for i, name in enumerate(names)})


@pytest.mark.parametrize("nu", [2.5, np.inf])
def test_density_of_scores_is_scipy_and_its_gradient_the_finite_difference(nu):
    *_, latent, _, _, scores = scores_problem()
    scale = np.diag((latent**2).sum(axis=0))
    law = stats.multivariate_normal(cov=scale) if np.isinf(nu) else stats.multivariate_t(shape=scale, df=nu)
    assert spherical_kernel(scores, latent, nu)[0] == pytest.approx(law.logpdf(scores.T).sum(), rel=1e-9)
    positions = {"scores": 0, "latent": 1, "nu": 2}
    hold_gradient(spherical_kernel, [scores, latent, nu], positions, np.isinf(nu))


@pytest.mark.parametrize("nu", [4.0, np.inf])
@pytest.mark.parametrize("n_factors", [0, 2])
def test_rows_of_the_law_are_scipy(nu, n_factors):
    tree = latent_tree(nu=nu, n_factors=n_factors, draws=4)
    law = law_of(tree)
    rows = law.row_log_likelihood()
    for d in range(law.n_draws):
        parameters = (law.alpha[d], law.loadings[d], law.latent[d], law.sigma[d], law.nu[d])
        expected = scipy_rows(law.filled, law.seen, law.factors, *parameters)
        np.testing.assert_allclose(rows[d], expected, rtol=1e-9, atol=1e-9)
    assert law.given == ("factors" if n_factors else "nothing")


@pytest.mark.parametrize("nu", [4.0, np.inf])
def test_a_cell_given_the_others_is_the_row_over_the_row_without_it(nu):
    law = law_of(latent_tree(nu=nu, n_factors=1, draws=3, chains=1))
    for i in (0, 3):
        got = law.cell_log_likelihood(slice(i, i + 1))
        pit = law.pit(slice(i, i + 1), np.arange(len(got)))
        days = np.flatnonzero(law.seen[i])
        without = law.seen.copy()
        without[i] = 0.0
        for d in range(3):
            parameters = (law.alpha[d], law.loadings[d], law.latent[d], law.sigma[d], law.nu[d])
            rest = scipy_rows(law.filled, without, law.factors, *parameters)[days]
            whole = scipy_rows(law.filled, law.seen, law.factors, *parameters)[days]
            np.testing.assert_allclose(got[:, d], whole - rest, rtol=1e-8, atol=1e-8)
            # The probability is the integral of that density: its slope in the return.
            moved = law.filled.copy()
            moved[i] += 1e-6
            bumped = replace(law, returns=np.where(law.seen > 0, moved, np.nan))
            slope = (bumped.pit(slice(i, i + 1), np.arange(len(got)))[:, d] - pit[:, d]) / 1e-6
            np.testing.assert_allclose(slope, np.exp(got[:, d]), rtol=1e-3, atol=1e-3 * np.exp(got).max())


def test_replicates_have_the_spread_of_the_margin():
    tree = latent_tree(nu=9.0, draws=200, chains=1, n_times=100, missing=0.0)
    law = law_of(tree)
    for i in (0, 2):
        drawn = law.replicate(np.random.default_rng(0), slice(i, i + 1))
        variance = (law.sigma[:, i] ** 2 + (law.latent[:, i] ** 2).sum(1)) * law.nu / (law.nu - 2.0)
        assert drawn.var() == pytest.approx(variance.mean(), rel=0.05)


@pytest.mark.parametrize("structure", ["lowrank", "scores"])
def test_draws_have_the_moments_the_law_states(structure):
    tree = latent_tree(structure, n_assets=3, n_factors=1, n_latent=1, chains=1, draws=2, nu=12.0, seed=3)
    tree[s.POSTERIOR][s.FACTOR_NU][:] = 12.0
    law = law_of(tree)
    m, n = law.moments(1), 20_000
    many = [law.simulate(block_rng(5, p), 1, slice(0, 2)) for p in range(n)]
    f = np.stack([b.factor_returns[:, 0] for b in many])
    e = np.stack([b.specific_returns[:, 0] for b in many])
    for d in range(2):
        np.testing.assert_allclose(
            np.cov(f[:, d].T),
            m.factor_covariance[d, 0],
            atol=0.05 * np.sqrt(np.outer(*[f[:, d].var(0)] * 2)).max(),
        )
        np.testing.assert_allclose(e[:, d].var(axis=0), m.specific_variance[d, 0], rtol=0.06)
        # Squares of the latent factor and of innovations move together where they share their mixing.
        together = np.corrcoef(f[:, d, 1] ** 2, e[:, d, 0] ** 2)[0, 1]
        assert (together > 0.05) == (structure == "lowrank")


def test_scores_given_the_data_have_the_moments_of_the_conditional_law():
    tree = latent_tree(n_latent=2, chains=1, draws=1, nu=6.0, n_times=30)
    law = law_of(tree)
    drawn = np.stack([law.scores(np.random.default_rng(i))[0] for i in range(4000)])
    for t in (0, 7, 20):
        there = law.seen[:, t] > 0
        e = (law.filled[:, t] - law.alpha[0])[there]
        latent = law.latent[0][there]
        inverse = np.linalg.inv(latent @ latent.T + np.diag(law.sigma[0][there] ** 2))
        mean = latent.T @ inverse @ e
        nu, n = law.nu[0], there.sum()
        spread = (np.eye(2) - latent.T @ inverse @ latent) * (nu + e @ inverse @ e) / (nu + n)
        covariance = spread * (nu + n) / (nu + n - 2)
        np.testing.assert_allclose(drawn[:, t].mean(0), mean, atol=5 * drawn[:, t].std() / 4000**0.5)
        np.testing.assert_allclose(np.cov(drawn[:, t].T), covariance, atol=0.1 * covariance.max())


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
def test_risk_of_a_latent_model_is_the_closed_form_of_its_elliptical_t():
    tree = latent_tree(n_assets=4, n_latent=2, draws=100, seed=5)
    w = dict(zip(tree[s.OBSERVED_DATA][s.ASSET].values, (0.5, 0.4, -0.2, 0.3), strict=True))
    risk = bf.decompose_risk(tree, w, paths=1, random_seed=1, levels=(0.95, 0.99), drift="posterior")
    law = law_of(tree)
    weights = np.array([w[a] for a in sorted(w)])
    scale = np.sqrt(((weights @ law.latent) ** 2).sum(1) + ((weights * law.sigma) ** 2).sum(1))
    mean, nu = -means_of(law, tree, "posterior").alpha @ weights, law.nu
    for i, level in enumerate((0.95, 0.99)):
        q = stats.t.ppf(level, nu)
        hazard = (nu + q**2) / (nu - 1) * stats.t.pdf(q, nu) / (1 - level)
        np.testing.assert_allclose(risk.var_posterior[i].values.ravel(), mean + scale * q, rtol=1e-6)
        np.testing.assert_allclose(risk.es_posterior[i].values.ravel(), mean + scale * hazard, rtol=1e-6)
        parts = risk.es_contribution_posterior.isel(level=i).sel(component=s.SPECIFIC).sum("asset")
        own = scale * hazard * ((weights * law.sigma) ** 2).sum(1) / scale**2
        np.testing.assert_allclose(parts.values.ravel(), own, rtol=1e-6)
    assert risk.component.values.tolist() == ["latent-1", "latent-2", "specific", "drift"]
    assert risk.family.values.tolist() == ["latent", "latent", "specific", "drift"]
    for name in ("volatility", "es"):
        parts = risk[f"{name}_contribution"].sum(("asset", "component"))
        np.testing.assert_allclose(parts, risk[name], rtol=1e-10)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
def test_a_market_of_the_panels_own_assets_keeps_its_volatility_beside_latent_factors():
    tree = latent_tree(n_assets=5, n_factors=1, n_latent=1, n_times=80, own_market=True, seed=2)
    equal = dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values.tolist(), 0.2)
    m = law_of(tree).moments(1)
    factor = np.sqrt(m.factor_covariance[:, 0, 0, 0].mean() + m.factor_mean[:, 0, 0].var())
    risk = bf.decompose_risk(tree, equal, paths=50, random_seed=1)
    assert float(risk.volatility) == pytest.approx(factor, rel=0.01)
    latent = risk.volatility_contribution.sel(component="latent-1").sum()
    assert abs(float(latent)) < 1e-12  # the market's own portfolio has no exposure to what it leaves over


def test_stored_predictions_give_the_risk_of_streamed_ones():
    tree = latent_tree(n_factors=1, n_latent=1, draws=150)
    equal = dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values.tolist(), 0.2)
    kept = bf.forecast(tree, paths=3, random_seed=1)
    names = kept[s.PREDICTIONS][s.FACTOR].values.tolist()
    assert names == ["market", "latent-1"]
    with pytest.warns(UserWarning, match="Monte-Carlo error"):
        a = bf.decompose_risk(kept, equal, random_seed=1)
    with pytest.warns(UserWarning, match="Monte-Carlo error"):
        b = bf.decompose_risk(tree, equal, paths=3, random_seed=1)
    for name in a.data_vars:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-10, atol=1e-14, err_msg=str(name))


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
@pytest.mark.parametrize("structure", ["lowrank", "scores"])
def test_permuting_assets_changes_no_bit_of_rows_and_risk(structure):
    tree = latent_tree(structure, n_factors=1)
    permuted = tree.isel(asset=[3, 0, 4, 2, 1], missing_dims="ignore")
    assert np.array_equal(law_of(tree).row_log_likelihood(), law_of(permuted).row_log_likelihood())
    w = dict(zip(sorted(tree[s.OBSERVED_DATA][s.ASSET].values), (0.1, 0.2, 0.3, 0.2, 0.2), strict=True))
    a, b = (bf.decompose_risk(x, w, paths=200, random_seed=1) for x in (tree, permuted))
    assert np.array_equal(a.es, b.es)
    assert float(a.volatility) == float(b.volatility)
