"""Rotation, sign and order: what must not change does not, and what was turned is turned back."""

import numpy as np
import pytest
import xarray as xr
from latent_trees import latent_tree
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import ModelError, SchemaError
from bayesfactor.laws import law_of
from bayesfactor.laws.rotation import METHODS, rotations


def turned_at_random(k=3, n=20, draws=200, noise=0.05, seed=0):
    """Draws of one sparse matrix of loadings, each under a rotation, signs and order of its own."""
    rng = np.random.default_rng(seed)
    truth = 0.02 * rng.standard_normal((n, k))
    for j in range(k):
        truth[j * (n // k) : (j + 1) * (n // k), j] += 1.0 - 0.2 * j
    turns = np.linalg.qr(rng.standard_normal((draws, k, k)))[0] * rng.choice([-1.0, 1.0], (draws, 1, 1))
    return truth, (truth + noise * rng.standard_normal((draws, n, k))) @ turns


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_what_rotation_does_not_touch_stays_to_eight_digits(method, k):
    _, draws = turned_at_random(k)
    q = rotations(draws, method)
    np.testing.assert_allclose(q @ q.swapaxes(1, 2), np.broadcast_to(np.eye(k), q.shape), atol=1e-10)
    aligned = draws @ q
    np.testing.assert_allclose(
        aligned @ aligned.swapaxes(1, 2), draws @ draws.swapaxes(1, 2), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("k", [1, 2, 4])
def test_varimax_finds_sparse_loadings_again(k):
    truth, draws = turned_at_random(k)
    aligned = draws @ rotations(draws)
    np.testing.assert_allclose(aligned.mean(axis=0), truth, atol=0.06)
    # What is left between draws is their noise, not their rotation.
    assert aligned.std(axis=0).max() < 0.08
    assert draws.std(axis=0).max() > 0.4


def test_procrustes_puts_the_mean_on_its_principal_axes():
    _, draws = turned_at_random(3)
    mean = (draws @ rotations(draws, "procrustes")).mean(axis=0)
    gram = mean.T @ mean
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-2)
    assert np.all(np.diff(np.diag(gram)) <= 0.0)
    assert ((mean * np.abs(mean)).sum(axis=0) > 0.0).all()


@pytest.mark.parametrize("structure", ["lowrank", "scores"])
@pytest.mark.parametrize("method", METHODS)
def test_aligning_again_changes_neither_likelihood_nor_what_is_invariant(structure, method):
    tree = latent_tree(structure, n_factors=1)
    post = tree[s.POSTERIOR].to_dataset()
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((2, 20, 2, 2)))[0]
    loadings = post[s.LATENT_LOADINGS].transpose("chain", "draw", "asset", "latent")
    wild = post.assign({s.LATENT_LOADINGS: (loadings.dims, loadings.values @ turn)})
    if structure == "scores":
        scores = post[s.FACTOR_SCORES].transpose("chain", "draw", "time", "latent")
        wild[s.FACTOR_SCORES] = (scores.dims, scores.values @ turn)
    other = tree.copy()
    other[s.POSTERIOR] = xr.DataTree(wild)
    again = bf.align_loadings(other, method)
    rows = law_of(tree).row_log_likelihood()
    np.testing.assert_allclose(
        law_of(again).row_log_likelihood(), rows, rtol=1e-8, atol=0.3 if structure == "scores" else 1e-8
    )
    for name in (s.COMMUNALITY, s.LATENT_VARIANCE):
        np.testing.assert_allclose(again[s.POSTERIOR][name], post[name], rtol=1e-8)
    common = [
        t[s.POSTERIOR][s.LATENT_LOADINGS].transpose("chain", "draw", "asset", "latent").values
        for t in (tree, again)
    ]
    np.testing.assert_allclose(*[c @ c.swapaxes(-1, -2) for c in common], rtol=1e-8, atol=1e-14)
    assert again[s.POSTERIOR][s.LATENT_LOADINGS].attrs["aligned"] == method


def test_factors_are_called_after_what_they_load_on():
    tree = latent_tree(n_assets=6, n_latent=1, draws=30)
    post = tree[s.POSTERIOR].to_dataset()
    values = np.zeros(post[s.LATENT_LOADINGS].shape)
    values[..., 0, 0], values[..., 2, 0], values[..., 5, 0] = -0.03, 0.02, 0.001
    tree[s.POSTERIOR] = xr.DataTree(post.assign({s.LATENT_LOADINGS: (post[s.LATENT_LOADINGS].dims, values)}))
    named = bf.align_loadings(tree)[s.POSTERIOR]["loads_on"].values.tolist()
    assert named == ["COIN01, -COIN03"]


def test_aligning_does_not_depend_on_the_order_of_assets():
    tree = latent_tree(n_assets=6)
    permuted = tree.isel(asset=[5, 3, 0, 4, 2, 1], missing_dims="ignore")
    a, b = (bf.align_loadings(t)[s.POSTERIOR][s.LATENT_LOADINGS].sortby("asset") for t in (tree, permuted))
    assert np.array_equal(a.transpose(*b.dims), b)


def test_predictions_along_the_old_axes_are_dropped():
    tree = bf.forecast(latent_tree(), random_seed=1)
    assert s.PREDICTIONS not in bf.align_loadings(tree, "procrustes").children


def test_scores_have_their_dims_and_their_seed():
    tree = latent_tree()
    a, b, c = (bf.factor_scores(tree, random_seed=x) for x in (1, 1, 2))
    assert a.dims == ("chain", "draw", "time", "latent")
    assert a.latent.values.tolist() == ["latent-1", "latent-2"]
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    sampled = latent_tree("scores")
    np.testing.assert_array_equal(
        bf.factor_scores(sampled).transpose("chain", "draw", "time", "latent"),
        sampled[s.POSTERIOR][s.FACTOR_SCORES].transpose("chain", "draw", "time", "latent"),
    )


def test_models_without_latent_factors_and_unknown_methods_are_refused():
    with pytest.raises(ModelError, match="latent-t"):
        bf.align_loadings(make_tree())
    with pytest.raises(ModelError, match="latent-t"):
        bf.factor_scores(make_tree())
    with pytest.raises(ModelError, match="varimax"):
        bf.align_loadings(latent_tree(), "quartimax")
    with pytest.raises(SchemaError):
        bf.align_loadings("tree")
