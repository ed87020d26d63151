"""Risk against closed forms: the normal, the elliptical t, and plain linear algebra."""

import numpy as np
import pytest
import xarray as xr
from scipy import optimize, stats
from trees import make_tree, with_means

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import NumericalError, WeightsError
from bayesfactor.risk.labelled import thinned_draws
from bayesfactor.risk.student_cf import cf_table
from bayesfactor.risk.tails import tail_kernel

LEVELS = np.array([0.95, 0.99])
# Most oracles hold for any number of paths, so few are drawn.
pytestmark = pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")


def weights_of(tree, *, long_short=False):
    assets = tree[s.OBSERVED_DATA][s.ASSET].values.tolist()
    sign = [(-1) ** i if long_short else 1 for i in range(len(assets))]
    return {a: sg * (i + 1) / 10 for i, (a, sg) in enumerate(zip(assets, sign, strict=True))}


def by_hand(tree, weights, horizon=1):
    """Mean and covariance of every x[asset, component], per draw, by building all matrices.

    Nothing is shared with the package: the loss of each asset through each component is a row of
    a linear map A from z = (factors, innovations), so cov(x) = A cov(z) A'.
    """
    post, const = tree[s.POSTERIOR].to_dataset(), tree[s.CONSTANT_DATA].to_dataset()
    flat = post.stack(sample=("chain", "draw")).transpose("sample", ...)
    w = np.array([weights[a] for a in post[s.ASSET].values])
    n, k = len(w), post.sizes["factor"]
    out = []
    for d in range(flat.sizes["sample"]):
        one = flat.isel(sample=d)
        b = one[s.LOADINGS].transpose("asset", "factor").values
        nu = one[s.NU].values if s.NU in one else np.full(n, np.inf)
        fnu = float(one[s.FACTOR_NU]) if s.FACTOR_NU in one else np.inf
        scale = one[s.FACTOR_SCALE].values
        sf = one[s.FACTOR_CORRELATION].values * np.outer(scale, scale) * ratio(fnu)
        cov = np.zeros((k + n, k + n))
        cov[:k, :k], cov[k:, k:] = sf, np.diag(one[s.SIGMA].values ** 2 * ratio(nu))
        own = (
            const[s.FACTOR_WEIGHTS].transpose("factor", "asset").values if s.FACTOR_WEIGHTS in const else None
        )
        alpha, net = one[s.ALPHA].values, np.eye(n)
        if own is not None:
            # Returns are projected so that the factor's own portfolio returns the factor.
            response = b @ np.linalg.inv(own @ b)
            net = np.eye(n) - response @ own
            b, alpha = net @ b + response, net @ alpha
        a = np.zeros((n, k + 2, k + n))
        mean = np.zeros((n, k + 2))
        for i in range(n):
            for j in range(k):
                a[i, j, j] = -w[i] * b[i, j]
                mean[i, j] = -w[i] * b[i, j] * one[s.FACTOR_LOCATION].values[j]
            a[i, k, k:] = -w[i] * net[i]
            mean[i, k + 1] = -w[i] * alpha[i]
        rows = a.reshape(-1, k + n)
        with_loss = (rows @ cov @ rows.sum(axis=0)).reshape(n, k + 2)
        out.append((horizon * mean, horizon * with_loss))
    return np.array([m for m, _ in out]), np.array([c for _, c in out])


def ratio(nu):
    nu = np.asarray(nu, dtype=float)
    return np.where(np.isinf(nu), 1.0, nu / (np.where(np.isinf(nu), 3.0, nu) - 2.0))


@pytest.fixture(scope="module", params=["given factors", "own market"])
def normal_tree(request):
    own = request.param == "own market"
    return make_tree(n_assets=4, n_factors=1 if own else 3, draws=100, normal=True, own_market=own, seed=5)


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("long_short", [False, True])
def test_volatility_is_the_law_of_total_variance(normal_tree, horizon, long_short):
    w = weights_of(normal_tree, long_short=long_short)
    risk = bf.decompose_risk(normal_tree, w, horizon=horizon, paths=1, drift="posterior", random_seed=1)
    mean, covariance = by_hand(with_means(normal_tree, "posterior"), w, horizon)
    total = mean.sum(axis=(1, 2))
    pooled = covariance.mean(axis=0) + np.einsum(
        "dik,d->ik", mean - mean.mean(0), total - total.mean()
    ) / len(total)
    volatility = np.sqrt(pooled.sum())
    assert float(risk.volatility) == pytest.approx(volatility, rel=1e-8)
    np.testing.assert_allclose(risk.volatility_contribution, pooled / volatility, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("long_short", [False, True])
def test_posterior_of_a_normal_model_is_the_closed_form_draw_by_draw(normal_tree, horizon, long_short):
    w = weights_of(normal_tree, long_short=long_short)
    risk = bf.decompose_risk(normal_tree, w, horizon=horizon, paths=1, drift="posterior", random_seed=1)
    mean, covariance = by_hand(with_means(normal_tree, "posterior"), w, horizon)
    sd = np.sqrt(covariance.sum(axis=(1, 2)))
    z = stats.norm.ppf(LEVELS)
    hazard = stats.norm.pdf(z) / (1 - LEVELS)
    for name, factor in (("var", z), ("es", hazard)):
        total = mean.sum(axis=(1, 2)) + factor[:, None] * sd
        got = risk[f"{name}_posterior"].stack(d=("chain", "draw")).values
        np.testing.assert_allclose(got, total, rtol=1e-9)
        parts = mean[:, None] + factor[:, None, None] * (covariance / sd[:, None, None])[:, None]
        got = risk[f"{name}_contribution_posterior"].stack(d=("chain", "draw"))
        got = got.transpose("d", "level", "asset", "component").values
        np.testing.assert_allclose(got, parts, rtol=1e-8, atol=1e-10 * sd.mean())
    got = risk.volatility_posterior.stack(d=("chain", "draw")).values
    np.testing.assert_allclose(got, sd, rtol=1e-10)


def test_predictive_numbers_of_a_normal_model_are_those_of_the_mixture(normal_tree):
    w = weights_of(normal_tree)
    risk = bf.decompose_risk(normal_tree, w, drift="posterior", random_seed=3)
    mean, covariance = by_hand(with_means(normal_tree, "posterior"), w)
    m, sd = mean.sum(axis=(1, 2)), np.sqrt(covariance.sum(axis=(1, 2)))
    for i, level in enumerate(LEVELS):
        var = optimize.brentq(
            lambda v, p=level: stats.norm.sf((v - m) / sd).mean() - (1 - p), 0, 20 * sd.max()
        )
        z = (var - m) / sd
        es = (m * stats.norm.sf(z) + sd * stats.norm.pdf(z)).mean() / (1 - level)
        assert abs(float(risk["var"][i]) - var) < 4 * float(risk.var_mcse[i])
        assert abs(float(risk.es[i]) - es) < 4 * float(risk.es_mcse[i])
        tail = stats.norm.sf(z)[:, None, None] * mean
        tail = tail + stats.norm.pdf(z)[:, None, None] * covariance / sd[:, None, None]
        parts = tail.mean(axis=0) / (1 - level)
        # Parts are averages over the tail: their error is at most about that of the whole.
        np.testing.assert_allclose(risk.es_contribution[i], parts, atol=6 * float(risk.es_mcse[i]))
        density = stats.norm.pdf(z) / sd
        parts = (density[:, None, None] * (mean + covariance * ((var - m) / sd**2)[:, None, None])).mean(0)
        np.testing.assert_allclose(risk.var_contribution[i], parts / density.mean(), atol=0.03 * var)


def test_posterior_of_an_elliptical_t_is_the_closed_form_draw_by_draw():
    tree = make_tree(n_assets=4, n_factors=3, draws=100, seed=5)
    tree[s.POSTERIOR][s.SIGMA][:] = 1e-13
    w = weights_of(tree, long_short=True)
    risk = bf.decompose_risk(tree, w, paths=1, drift="prior", random_seed=1)
    mean, covariance = by_hand(with_means(tree, "prior"), w)
    nu = tree[s.POSTERIOR][s.FACTOR_NU].values.ravel()
    scale = np.sqrt(covariance.sum(axis=(1, 2)) / ratio(nu))
    for i, level in enumerate(LEVELS):
        q = stats.t.ppf(level, nu)
        var = mean.sum(axis=(1, 2)) + scale * q
        hazard = (nu + q**2) / (nu - 1) * stats.t.pdf(q, nu) / (1 - level)
        es = mean.sum(axis=(1, 2)) + scale * hazard
        np.testing.assert_allclose(risk.var_posterior[i].values.ravel(), var, rtol=1e-6)
        np.testing.assert_allclose(risk.es_posterior[i].values.ravel(), es, rtol=1e-6)
        share = covariance / covariance.sum(axis=(1, 2))[:, None, None]
        parts = mean + (scale * hazard)[:, None, None] * share
        got = risk.es_contribution_posterior.stack(d=("chain", "draw")).transpose("d", "level", ...)[:, i]
        np.testing.assert_allclose(got, parts, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("nu", [2.1, 3.0, 4.5, 30.0, 300.0, 1e5, np.inf])
def test_a_single_t_has_its_own_quantile_and_shortfall(nu):
    levels = np.array([0.9, 0.95, 0.99, 0.999])
    law = stats.norm() if np.isinf(nu) else stats.t(nu)
    q = law.ppf(levels)
    bend = 1.0 if np.isinf(nu) else (nu + q**2) / (nu - 1)
    quantiles, beyond, at = tails_of([[2.0]], [[nu]], levels)
    np.testing.assert_allclose(quantiles[0], 2 * q, rtol=1e-6)
    np.testing.assert_allclose(beyond[0, :, 0], bend * law.pdf(q) / (1 - levels), rtol=5e-6)
    np.testing.assert_allclose(at[0, :, 0], q, rtol=1e-6)


def test_a_sum_of_ts_is_what_simulation_says():
    rng = np.random.default_rng(0)
    scales, nus = rng.uniform(0.1, 1.0, (1, 12)), rng.uniform(2.3, 8.0, (1, 12))
    quantiles, beyond, _ = tails_of(scales, nus, LEVELS, repeat=2)
    draws = (rng.standard_t(nus[0], (400_000, 2, 12)) * scales[0]).sum(axis=(1, 2))
    for i, level in enumerate(LEVELS):
        var = np.quantile(draws, level)
        assert quantiles[0, i] == pytest.approx(var, rel=0.02)
        es = 2 * (beyond[0, i] * scales[0]).sum()
        assert es == pytest.approx(draws[draws > var].mean(), rel=0.03)


def tails_of(scales, nus, levels, repeat=1):
    scales, nus, tails = np.atleast_2d(scales).astype(float), np.atleast_2d(nus).astype(float), 1 - levels
    quantiles = np.empty((len(scales), len(tails)))
    beyond, at = np.empty((2, len(scales), len(tails), scales.shape[1]))
    tail_kernel(scales, nus, repeat, tails, *cf_table(), False, quantiles, beyond, at)
    return quantiles, beyond, at


@pytest.fixture(scope="module")
def t_tree():
    return make_tree(n_assets=5, n_factors=2, draws=150, seed=8)


@pytest.mark.parametrize("horizon", [1, 3])
def test_every_total_is_the_sum_of_its_parts(t_tree, horizon):
    risk = bf.decompose_risk(t_tree, weights_of(t_tree, long_short=True), horizon=horizon, random_seed=2)
    for name in ("volatility", "var", "es", "volatility_posterior", "var_posterior", "es_posterior"):
        stem, _, kind = name.partition("_")
        parts = risk[f"{stem}_contribution{'_' + kind if kind else ''}"].sum(("asset", "component"))
        whole = risk[name]
        np.testing.assert_allclose(parts.transpose(*whole.dims), whole, rtol=1e-10, atol=1e-12)


def test_the_predictive_number_lies_among_the_posterior_of_the_conditional_one(t_tree):
    risk = bf.decompose_risk(t_tree, weights_of(t_tree), random_seed=2)
    for name in ("var", "es"):
        posterior = risk[f"{name}_posterior"]
        low, high = posterior.quantile(0.02, ("chain", "draw")), posterior.quantile(0.98, ("chain", "draw"))
        assert bool(((low < risk[name]) & (risk[name] < high)).all())


def test_the_posterior_has_at_least_400_draws_evenly_spaced(t_tree):
    risk = bf.decompose_risk(t_tree, weights_of(t_tree), paths=1, random_seed=2)
    assert risk.sizes["chain"] * risk.sizes["draw"] >= 400
    assert set(risk.draw.values) <= set(t_tree[s.POSTERIOR].draw.values)


def test_numerical_errors_of_the_posterior_are_stated_and_tiny(t_tree):
    risk = bf.decompose_risk(t_tree, weights_of(t_tree), paths=1, random_seed=2)
    for name in ("var", "es"):
        spread = risk[f"{name}_posterior"].std(("chain", "draw"))
        assert bool((risk[f"{name}_posterior_mcse"] < 0.01 * spread).all())


def test_paths_are_added_until_shortfall_is_known_within_one_per_cent(t_tree):
    risk = bf.decompose_risk(t_tree, weights_of(t_tree), random_seed=2)
    assert float((risk.es_mcse / risk.es).max()) <= 0.01


def test_paths_are_not_added_for_an_error_that_is_the_draws_own():
    tree = make_tree(draws=8, chains=2, jitter=0.3)
    with pytest.warns(UserWarning, match="sample more posterior draws"):
        risk = bf.decompose_risk(tree, weights_of(tree), levels=(0.95,), random_seed=2)
    assert float(risk["es_mcse"][0] / risk["es"][0]) > 0.02
    assert risk.attrs["scenarios"] < 1_000_000
    # What the paths leave open is small beside that: another seed says nearly the same.
    with pytest.warns(UserWarning, match="sample more posterior draws"):
        other = bf.decompose_risk(tree, weights_of(tree), levels=(0.95,), random_seed=3)
    np.testing.assert_allclose(other["es"], risk["es"], rtol=4 * 0.005 * np.sqrt(2))


def test_too_few_paths_are_warned_of(t_tree):
    with pytest.warns(UserWarning, match="Monte-Carlo error of ES"):
        bf.decompose_risk(t_tree, weights_of(t_tree), paths=2, random_seed=2)


def test_the_stated_error_of_shortfall_is_the_spread_over_seeds(t_tree):
    w = weights_of(t_tree)
    runs = [bf.decompose_risk(t_tree, w, paths=150, random_seed=seed) for seed in range(12)]
    spread = np.std([r.es.values for r in runs], axis=0, ddof=1)
    # Seeds share the posterior draws, whose own error is inside the stated one.
    assert np.all(spread < 2.0 * runs[0].es_mcse.values)
    assert np.all(spread > 0.2 * runs[0].es_mcse.values)


def test_the_same_seed_gives_the_same_numbers_bit_by_bit(t_tree):
    a, b = (bf.decompose_risk(t_tree, weights_of(t_tree), paths=150, random_seed=9) for _ in range(2))
    assert a.identical(b)


def test_money_is_the_fraction_times_the_value(t_tree):
    w = weights_of(t_tree)
    one = bf.decompose_risk(t_tree, w, paths=150, random_seed=9)
    million = bf.decompose_risk(t_tree, w, paths=150, random_seed=9, value=1e6)
    for name in one.data_vars:
        np.testing.assert_allclose(million[name], 1e6 * one[name], rtol=1e-12)
    assert million.attrs["units"] == "money"


def test_twice_the_weights_is_twice_the_risk(t_tree):
    w = weights_of(t_tree)
    one = bf.decompose_risk(t_tree, w, paths=150, random_seed=9)
    two = bf.decompose_risk(t_tree, {k: 2 * v for k, v in w.items()}, paths=150, random_seed=9)
    for name in one.data_vars:
        np.testing.assert_allclose(two[name], 2 * one[name], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("own_market", [False, True])
def test_permuting_assets_changes_nothing_but_labels(own_market):
    tree = make_tree(n_assets=5, n_factors=1 if own_market else 2, draws=100, own_market=own_market)
    order = [3, 0, 4, 2, 1]
    permuted = tree.isel(asset=order, missing_dims="ignore")
    w = weights_of(tree)
    a = bf.decompose_risk(tree, w, paths=100, random_seed=4).isel(asset=order)
    b = bf.decompose_risk(permuted, w, paths=100, random_seed=4)
    xr.testing.assert_identical(a, b)


def test_risk_of_stored_predictions_is_the_risk_of_the_same_streamed_paths(t_tree):
    w = weights_of(t_tree)
    with_paths = bf.forecast(t_tree, 2, paths=100, random_seed=6)
    stored = bf.decompose_risk(with_paths, w, horizon=2)
    streamed = bf.decompose_risk(t_tree, w, horizon=2, paths=100, random_seed=6)
    for name in stored.data_vars:
        np.testing.assert_allclose(stored[name], streamed[name], rtol=1e-8, atol=1e-12)


def test_shortfall_and_var_are_those_of_the_stored_paths(t_tree):
    w = weights_of(t_tree)
    tree = bf.forecast(t_tree, 2, paths=100, random_seed=6)
    p = tree[s.PREDICTIONS].to_dataset()
    returns = p.alpha + (p.loadings * p.factor_returns).sum("factor") + p.specific_returns
    loss = -(returns * xr.DataArray(list(w.values()), coords={"asset": list(w)})).sum(("asset", "horizon"))
    losses = np.sort(loss.values.ravel())[::-1]
    risk = bf.decompose_risk(tree, w, horizon=2)
    for i, level in enumerate(LEVELS):
        k = int(np.ceil(round(len(losses) * (1 - level), 6)))
        assert float(risk["var"][i]) == pytest.approx(losses[k - 1], rel=1e-12)
        assert float(risk.es[i]) == pytest.approx(losses[:k].mean(), rel=1e-12)


def test_forecast_puts_an_identity_on_the_tree(t_tree):
    tree = bf.forecast(t_tree, 3, paths=4, random_seed=1)
    p = tree[s.PREDICTIONS].to_dataset()
    assert p[s.FACTOR_RETURNS].dims == ("chain", "draw", "path", "horizon", "factor")
    assert p[s.SPECIFIC_RETURNS].dims == ("chain", "draw", "path", "horizon", "asset")
    returns = p.alpha + (p.loadings * p.factor_returns).sum("factor") + p.specific_returns
    assert float(returns.min()) >= -1.0 - 1e-12
    assert s.PREDICTIONS not in t_tree.children


def test_roll_ups_are_group_bys(t_tree):
    risk = bf.decompose_risk(t_tree, weights_of(t_tree), paths=100, random_seed=4)
    families = risk.es_contribution.groupby("family").sum().sum("asset")
    groups = risk.es_contribution.groupby("group").sum().sum("component")
    np.testing.assert_allclose(families.sum("family"), risk.es, rtol=1e-10)
    np.testing.assert_allclose(groups.sum("group"), risk.es, rtol=1e-10)


def test_tails_without_variance_are_called_infinite():
    tree = make_tree(draws=100)
    tree[s.POSTERIOR][s.NU][0, 0, 0] = 1.8
    with pytest.raises(NumericalError, match="nu <= 2"):
        bf.decompose_risk(tree, weights_of(tree), paths=10, random_seed=1)


def test_thinning_keeps_every_chain():
    tree = make_tree(chains=3, draws=400)
    from bayesfactor.forecast import predict

    positions = thinned_draws(predict(tree).labels)
    assert len(positions) == 402
    assert set(positions // 400) == {0, 1, 2}


def test_a_volatility_that_rests_on_barely_finite_variances_is_said_so():
    tree = make_tree(draws=100)
    w = weights_of(tree)
    plain = bf.decompose_risk(tree, w, paths=100, random_seed=1)
    first = tree[s.POSTERIOR][s.NU][..., 0]
    first[:] = 2.001
    with pytest.warns(UserWarning, match=r"whose variance barely exists \(COIN01\). Read volatility_central"):
        risk = bf.decompose_risk(tree, w, paths=100, random_seed=1)
    assert risk.attrs["volatility_share_of_barely_finite_variances"] > 0.25
    # The volatility is another one, the middle of the law is not.
    assert float(risk["volatility"]) > 3.0 * float(plain["volatility"])
    assert float(risk["volatility_central"]) < 1.2 * float(plain["volatility_central"])


def test_factors_whose_variance_barely_exists_are_said_too():
    tree = make_tree(draws=100)
    tree[s.POSTERIOR][s.FACTOR_NU][:] = 2.02
    with pytest.warns(UserWarning, match=r"whose variance barely exists \(market and size\)"):
        risk = bf.decompose_risk(tree, weights_of(tree), paths=10, random_seed=1)
    assert risk.attrs["volatility_share_of_barely_finite_variances"] > 0.8
    mixing = tree[s.POSTERIOR][s.FACTOR_NU].values
    mixing[:] = 6.0
    mixing[0, :3] = 2.0001
    with pytest.warns(UserWarning, match="comes from 1% of the posterior draws"):
        risk = bf.decompose_risk(tree, weights_of(tree), paths=10, random_seed=1)
    assert risk.attrs["volatility_share_of_largest_draws"] > 0.8


def test_the_volatility_of_the_middle_of_the_law_is_that_of_its_closed_form(normal_tree):
    """A mixture of normals: variance between its quantiles, by integrals."""
    w = weights_of(normal_tree)
    risk = bf.decompose_risk(normal_tree, w, value=1e6, paths=1000, random_seed=3)
    _, covariance = by_hand(with_means(normal_tree, "zero"), w)
    sd = np.sqrt(covariance.sum(axis=(1, 2)))
    end = optimize.brentq(lambda x: stats.norm.cdf(-x / sd).mean() - 0.005, 0.0, 10.0 * sd.max())
    z = end / sd
    inside = 2.0 * stats.norm.cdf(z) - 1.0 - 2.0 * z * stats.norm.pdf(z)
    exact = 1e6 * np.sqrt((sd**2 * inside).mean() / 0.99)
    got, error = float(risk["volatility_central"]), float(risk["volatility_central_mcse"])
    assert abs(got - exact) < 5.0 * error
    assert error < 0.005 * exact
    assert risk["volatility_central"].attrs["probability"] == 0.99
    np.testing.assert_allclose(got / float(risk["volatility"]), 0.96, atol=0.01)


def test_equal_weights_have_a_name():
    tree = make_tree(draws=20)
    assets = tree["observed_data"]["asset"].values
    how = {"paths": 5, "random_seed": 1}
    named = bf.decompose_risk(tree, "equal", **how)
    xr.testing.assert_identical(named, bf.decompose_risk(tree, dict.fromkeys(assets, 1 / len(assets)), **how))


def test_assets_that_are_not_named_are_not_held_where_that_is_said(tmp_path):
    tree = make_tree(draws=120)
    first, *others = tree["observed_data"]["asset"].values
    whole, one = {first: 1.0, **dict.fromkeys(others, 0.0)}, {first: 1.0}
    with pytest.raises(WeightsError, match="fill_zero=True"):
        bf.decompose_risk(tree, one)
    how = {"paths": 5, "random_seed": 1}
    for verb, more in (
        (bf.decompose_risk, how),
        (bf.stress, {"scenarios": bf.RegimeShift(volatility=2.0), **how}),
        (bf.incremental_risk, {"trades": {"more": {first: 0.1}}, **how}),
    ):
        xr.testing.assert_identical(verb(tree, one, fill_zero=True, **more), verb(tree, whole, **more))
    table = bf.prior_sensitivity(tree, one, fill_zero=True, random_seed=1)
    assert table.equals(bf.prior_sensitivity(tree, whole, random_seed=1))
    page, same = tmp_path / "a.html", tmp_path / "b.html"
    free = {"allow_unconverged": True, "random_seed": 1}
    risk = bf.decompose_risk(tree, whole, **how)
    bf.report(tree, one, page, fill_zero=True, benchmark=one, risk=risk, **free)
    bf.report(tree, whole, same, benchmark=whole, risk=risk, **free)
    assert page.read_text() == same.read_text()
