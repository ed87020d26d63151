"""The static law against scipy, cell by cell, and its draws against its moments."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import SchemaError
from bayesfactor.laws import LAWS, law_of
from bayesfactor.laws.blocks import block_rng, root_entropy, run_blocks, slices
from bayesfactor.structures import STRUCTURES


def cell_densities(tree):
    """Log density of every observed cell by scipy: (chain, draw, time, asset), 0 where missing."""
    post = tree[s.POSTERIOR].to_dataset()
    returns = tree[s.OBSERVED_DATA][s.RETURNS].transpose("time", "asset")
    mean = post[s.ALPHA] + (post[s.LOADINGS] * tree[s.CONSTANT_DATA][s.FACTOR_RETURNS]).sum("factor")
    mean = mean.transpose("chain", "draw", "time", "asset").values
    sigma = post[s.SIGMA].transpose("chain", "draw", "asset").values[:, :, None]
    if s.NU in post:
        nu = post[s.NU].transpose("chain", "draw", "asset").values[:, :, None]
        logp = stats.t.logpdf(returns.values, df=nu, loc=mean, scale=sigma)
    else:
        logp = stats.norm.logpdf(returns.values, loc=mean, scale=sigma)
    return np.where(np.isnan(returns.values), 0.0, logp), np.isfinite(returns.values)


@pytest.mark.parametrize("normal", [False, True])
def test_row_log_likelihood_is_the_sum_of_scipy_cell_densities(normal):
    tree = make_tree(n_assets=4, n_factors=2, n_times=50, draws=20, normal=normal)
    cells, _ = cell_densities(tree)
    rows = law_of(tree).row_log_likelihood().reshape(cells.shape[:3])
    np.testing.assert_allclose(rows, cells.sum(axis=-1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("normal", [False, True])
def test_cell_log_likelihood_is_scipy_cell_by_cell(normal):
    tree = make_tree(n_assets=4, n_factors=2, n_times=50, draws=20, normal=normal)
    cells, seen = cell_densities(tree)
    law = law_of(tree)
    order = s.canonical_order(tree[s.OBSERVED_DATA][s.ASSET])
    expected = cells.reshape(-1, *cells.shape[2:])[:, :, order]
    for part in (slice(0, 2), slice(2, 4)):
        got = law.cell_log_likelihood(part)
        want = np.concatenate([expected[:, seen[:, order[i]], i].T for i in range(part.start, part.stop)])
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


def test_rows_do_not_depend_on_the_order_of_the_assets():
    tree = make_tree(n_assets=5, n_factors=2, n_times=40, draws=10)
    permuted = tree.isel(asset=[3, 0, 4, 2, 1], missing_dims="ignore")
    assert np.array_equal(law_of(tree).row_log_likelihood(), law_of(permuted).row_log_likelihood())


def test_draws_have_the_moments_the_law_states():
    tree = make_tree(n_assets=3, n_factors=2, n_times=40, chains=1, draws=2, seed=3)
    # Fourth moments must exist for the sample variance to settle.
    tree[s.POSTERIOR][s.NU][:] = 9.0
    tree[s.POSTERIOR][s.FACTOR_NU][:] = 9.0
    law = law_of(tree)
    m = law.moments(1)
    n = 15_000
    many = [law.simulate(block_rng(5, p), 1, slice(0, 2)) for p in range(n)]
    f = np.stack([b.factor_returns[:, 0] for b in many])
    e = np.stack([b.specific_returns[:, 0] for b in many])
    for d in range(2):
        np.testing.assert_allclose(f[:, d].mean(axis=0), m.factor_mean[d, 0], atol=5 * f[:, d].std() / n**0.5)
        np.testing.assert_allclose(np.cov(f[:, d].T), m.factor_covariance[d, 0], atol=0.05 * f[:, d].var())
        np.testing.assert_allclose(e[:, d].var(axis=0), m.specific_variance[d, 0], rtol=0.05)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
def test_a_factor_made_of_the_panels_own_assets_keeps_its_volatility():
    tree = make_tree(n_assets=5, n_factors=1, n_times=80, draws=50, own_market=True, seed=2)
    equal = dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values.tolist(), 0.2)
    m = law_of(tree).moments(1)
    factor = np.sqrt(m.factor_covariance[:, 0, 0, 0].mean() + m.factor_mean[:, 0, 0].var())
    known = bf.decompose_risk(tree, equal, paths=50, random_seed=1)
    assert float(known.volatility) == pytest.approx(factor, rel=0.01)
    # Draws that do not know it are too volatile, by much with five coins.
    tree[s.CONSTANT_DATA] = xr.DataTree(tree[s.CONSTANT_DATA].to_dataset().drop_vars(s.FACTOR_WEIGHTS))
    unknown = bf.decompose_risk(tree, equal, paths=50, random_seed=1)
    assert float(unknown.volatility) > 1.03 * factor


def test_simulated_specific_returns_of_own_factors_add_up_to_nothing():
    tree = make_tree(n_assets=4, n_factors=1, n_times=40, draws=5, own_market=True)
    law = law_of(tree)
    law.loadings[:] = 1.0  # w'b = 1 exactly
    law.alpha[:] = 0.0
    law.sigma[:] *= 0.01  # far from the floor
    block = law.simulate(np.random.default_rng(1), 3, slice(0, law.n_draws))
    assert block.floored == 0
    assert np.abs(block.specific_returns @ law.own_weights[0]).max() < 1e-15


def test_simple_returns_never_fall_below_minus_one():
    tree = make_tree(n_assets=3, n_factors=1, n_times=40, draws=50)
    law = law_of(tree)
    law.sigma[:] = 2.0
    block = law.simulate(np.random.default_rng(1), 2, slice(0, law.n_draws))
    factors = np.einsum("dik,dhk->dhi", law.loadings, block.factor_returns)
    returns = law.alpha[:, None] + factors + block.specific_returns
    assert block.floored > 0
    assert returns.min() >= -1.0 - 1e-12


def test_blocks_are_reproducible_one_by_one():
    law = law_of(make_tree(draws=20))
    first = law.simulate(block_rng(7, 3, 1), 2, slice(0, 5))
    again = law.simulate(block_rng(7, 3, 1), 2, slice(0, 5))
    other = law.simulate(block_rng(7, 3, 2), 2, slice(0, 5))
    assert np.array_equal(first.specific_returns, again.specific_returns)
    assert not np.array_equal(first.specific_returns, other.specific_returns)


def test_blocks_come_back_in_order_whatever_the_threads_do():
    assert list(run_blocks(lambda b: b.start, slices(1000, 7))) == list(range(0, 1000, 7))


@pytest.mark.parametrize("seed", [3, np.random.SeedSequence(3), np.random.default_rng(3)])
def test_seeds_of_every_kind_become_one_integer(seed):
    assert isinstance(root_entropy(seed), int)


def test_no_seed_gives_a_fresh_one_each_time():
    assert root_entropy(None) != root_entropy(None)


def test_an_unknown_structure_is_refused():
    tree = make_tree()
    tree.attrs["structure"] = "kalman"
    with pytest.raises(SchemaError, match="kalman"):
        law_of(tree)


def test_every_structure_has_a_law():
    assert set(LAWS) == set(STRUCTURES)
    assert law_of(make_tree()).given == "factors"
