"""Positions held without rebalancing: against brute force, against one period, and adding up."""

import numpy as np
import pytest
import xarray as xr
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.forecast import predict
from bayesfactor.risk.compounding import BuyAndHold
from bayesfactor.risk.exact import Book


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "own market"])
def tree(request):
    return make_tree(n_assets=4, n_factors=2, draws=60, normal=True, own_market=request.param)


@pytest.fixture
def weights(tree):
    assets = tree[s.OBSERVED_DATA][s.ASSET].values
    return dict(zip(assets, [0.7, 0.6, -0.4, 0.1], strict=True))


def held(tree, horizon, kind=BuyAndHold):
    found = predict(tree, horizon, random_seed=1)
    return kind(found.moments, np.array([0.7, 0.6, -0.4, 0.1]))


def test_one_period_has_nothing_to_compound(tree, weights):
    plain = bf.decompose_risk(tree, weights, random_seed=1)
    same = bf.decompose_risk(tree, weights, random_seed=1, compounding=True)
    assert same[s.COMPONENT].values.tolist() == [*plain[s.COMPONENT].values, s.COMPOUNDING]
    for name in ("volatility", "es", "var"):
        np.testing.assert_allclose(same[name], plain[name], rtol=1e-12)
    for name in ("volatility_contribution", "es_contribution", "volatility_contribution_posterior"):
        rest = same[name].drop_sel({s.COMPONENT: s.COMPOUNDING})
        np.testing.assert_allclose(rest, plain[name], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(same[name].sel({s.COMPONENT: s.COMPOUNDING}), 0.0, atol=1e-14)


def test_every_total_is_the_sum_of_its_parts(tree, weights):
    risk = bf.decompose_risk(tree, weights, horizon=10, random_seed=1, compounding=True)
    for name in ("volatility", "var", "es", "volatility_posterior"):
        part = (
            "volatility_contribution_posterior" if name == "volatility_posterior" else f"{name}_contribution"
        )
        np.testing.assert_allclose(risk[part].sum((s.ASSET, s.COMPONENT)), risk[name], rtol=1e-10)
    assert "es_posterior" not in risk
    assert risk.attrs["compounding"] == 1
    assert abs(float(risk["es_contribution"].sel({s.COMPONENT: s.COMPOUNDING, s.LEVEL: 0.99}).sum())) > 0


@pytest.mark.parametrize("horizon", [2, 7])
def test_moments_are_those_of_simulated_products(tree, horizon):
    """Mean, variance and every covariance with the loss, for one draw, from 400 000 normal futures."""
    book = held(tree, horizon)
    one = BuyAndHold(book.moments.take(np.array([3])), book.weights)
    m, rng = one.moments, np.random.default_rng(0)
    n = 400_000
    chol = np.linalg.cholesky(m.factor_covariance[0, 0])
    f = m.factor_mean[0, 0] + rng.standard_normal((n, horizon, 2)) @ chol.T
    e = np.sqrt(m.specific_variance[0, 0]) * rng.standard_normal((n, horizon, 4))
    if len(m.own_weights):
        e = e - (e @ m.own_weights.T) @ m.own_response[0].T
    r = m.alpha[0] + f @ m.loadings[0].T + e
    w = one.weights
    whole = (1 + r).prod(axis=1) - 1
    loss = -whole @ w
    parts = np.concatenate(
        [
            -w[:, None] * m.loadings[0] * f.sum(axis=1)[:, None, :],
            -(w * e.sum(axis=1))[..., None],
            np.zeros((n, 4, 1)),
            -(w * (whole - r.sum(axis=1)))[..., None],
        ],
        axis=2,
    )
    assert one.mean_loss[0] == pytest.approx(loss.mean(), abs=5 * loss.std() / np.sqrt(n))
    expected = (parts * (loss - loss.mean())[:, None, None]).mean(axis=0)
    scale = parts.std(axis=0) * loss.std()
    assert np.abs(one.covariance_parts()[0] - expected).max() < 6 * np.maximum(scale, 1e-9).max() / np.sqrt(n)
    np.testing.assert_allclose(one.covariance_parts()[0].sum(), loss.var(), rtol=0.01)
    mean = one.mean_parts()[0]
    assert mean.sum() == pytest.approx(one.mean_loss[0], rel=1e-12)


def test_small_returns_hardly_compound(tree):
    """Over many small steps the product is the sum, to first order."""
    found = predict(tree, 5, random_seed=1)
    m = found.moments
    tiny = type(m)(
        **{f: getattr(m, f) for f in m.__dataclass_fields__}
        | {"factor_covariance": m.factor_covariance * 1e-8, "specific_variance": m.specific_variance * 1e-8}
        | {"alpha": m.alpha * 1e-4, "factor_mean": m.factor_mean * 1e-4}
    )
    w = np.array([0.7, 0.6, -0.4, 0.1])
    np.testing.assert_allclose(BuyAndHold(tiny, w).volatility()[0], Book(tiny, w).volatility()[0], rtol=1e-4)


def test_shortfall_is_that_of_the_stored_paths(tree, weights):
    ahead = bf.forecast(tree, 6, paths=60, random_seed=2)
    risk = bf.decompose_risk(ahead, weights, horizon=6, levels=(0.95,), compounding=True)
    p = ahead[s.PREDICTIONS].to_dataset()
    returns = p[s.ALPHA] + xr.dot(p[s.LOADINGS], p[s.FACTOR_RETURNS], dim=s.FACTOR) + p[s.SPECIFIC_RETURNS]
    held_weights = xr.DataArray(list(weights.values()), dims=s.ASSET, coords={s.ASSET: list(weights)})
    loss = -(((1 + returns).prod(s.HORIZON) - 1) * held_weights).sum(s.ASSET).values.ravel()
    k = int(np.ceil(round(len(loss) * 0.05, 6)))
    assert float(risk["es"][0]) == pytest.approx(np.sort(loss)[-k:].mean(), rel=1e-12)


def test_what_shows_intervals_says_that_there_are_none(tree, weights, tmp_path):
    risk = bf.decompose_risk(tree, weights, horizon=3, random_seed=1, compounding=True)
    with pytest.raises(bf.SchemaError, match="compounding"):
        bf.plot_risk(risk, measure="es")
    assert bf.plot_risk(risk, measure="volatility")
    with pytest.raises(bf.RiskError, match="compounding"):
        bf.report(tree, weights, tmp_path / "r.html", risk=risk, allow_unconverged=True)
