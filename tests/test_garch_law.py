"""The law of the factor GARCH: rows, days one by one, moments ahead and draws against plain loops and simulation."""

from dataclasses import replace

import numpy as np
import pytest
from garch_trees import SERIES, garch_tree, log_density, plain_news
from scipy import stats

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.laws import law_of, skewed
from bayesfactor.laws.blocks import block_rng
from bayesfactor.likelihoods.garch_kernel import garch_kernel

BOTH = [(0.0, 1.0), (1.0, 0.0)]


def days(law, first, last):
    """Rows of some days as `advance` takes them."""
    return tuple(np.ascontiguousarray(x[:, first:last]) for x in (law.returns, law.factors))


def until(law, day):
    """The law had it seen the first days only."""
    returns, factors = days(law, 0, day)
    return replace(law, returns=returns, factors=factors, opened=law.opened[:, :day])


def plain_path(law, d, i):
    """Residuals, variances and log densities of one asset of one draw, day by day."""
    sigma, p, share, leverage, nu, skew = law.assets.own[d, :6, i]
    scored = law.assets.scored[i]
    e = law.returns[i] - law.assets.location[d, i] - law.assets.response[d, i] @ law.factors
    h, started, path, density = law.assets.initial[i], False, [], []
    for x in e:
        path.append(h)
        density.append(0.0)
        started = started or np.isfinite(x)
        if np.isfinite(x):
            density[-1] = log_density(x / np.sqrt(h), nu, skew)[0] - 0.5 * np.log(h)
        if started:
            news = plain_news(x, h, scored, leverage, nu, skew) if np.isfinite(x) else h
            h = sigma**2 * (1.0 - p) + p * ((1.0 - share) * h + share * news)
    return e, np.array(path), np.array(density), h


@pytest.mark.parametrize("scored", BOTH)
def test_rows_and_cells_are_the_plain_loop(scored):
    law = law_of(garch_tree(scored=scored, draws=2, chains=1))
    rows, last = law.row_log_likelihood(), law.state[0]
    assert law.given == "past"
    for d in range(law.n_draws):
        total = np.zeros(law.returns.shape[1])
        for i in range(len(law.returns)):
            e, path, density, after = plain_path(law, d, i)
            there = np.isfinite(e)
            total += density
            np.testing.assert_allclose(
                law.cell_log_likelihood(slice(i, i + 1))[:, d], density[there], rtol=1e-7
            )
            chance = skewed.cdf((e / np.sqrt(path))[there], *law.assets.own[d, 4:6, i])
            found = law.pit(slice(i, i + 1), np.arange(there.sum()))[:, d]
            np.testing.assert_allclose(found, chance, rtol=1e-7)
            assert last.variance[d, i] == pytest.approx(after, rel=1e-7)
        np.testing.assert_allclose(rows[d], total, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scored", BOTH)
@pytest.mark.parametrize("skew", [True, False])
def test_rows_add_up_to_cells_and_to_the_kernel(scored, skew):
    law = law_of(garch_tree(scored=scored, skewed=skew))
    rows = law.row_log_likelihood()
    cells = law.cell_log_likelihood(slice(0, 2)), law.cell_log_likelihood(slice(2, 4))
    np.testing.assert_allclose(rows.sum(axis=1), sum(x.sum(axis=0) for x in cells), rtol=1e-11)
    picked = np.array([3, 40, 77])
    assert np.array_equal(law.cell_log_likelihood(slice(0, 2), picked), cells[0][picked])
    seen = np.isfinite(law.returns)
    data = np.where(seen, law.returns, 0.0), seen.astype(float), law.factors
    for d in range(law.n_draws):
        part = law.assets
        own = (np.ascontiguousarray(x) for x in part.own[d, :6])
        value = garch_kernel(*data, part.initial, part.scored, part.location[d], part.response[d], *own)[0]
        assert rows[d].sum() == pytest.approx(value, rel=1e-11)


@pytest.mark.parametrize("scored", BOTH)
def test_day_by_day_is_bit_by_bit_all_at_once(scored):
    law = law_of(garch_tree(scored=scored))
    whole, rows = [x.variance for x in law.state], law.row_log_likelihood()
    # Before the late listing, at it, and to the last day: 0 to 15, 15 to 16, ... 60.
    for ends in (range(1, 61), (15, 16, 60), (7, 41, 42, 60)):
        moved, begin = until(law, ends[0]), ends[0]
        for end in ends[1:]:
            moved = moved.advance(*days(law, begin, end), law.own_weights)
            assert np.array_equal(moved.row_log_likelihood(), rows[:, begin:end])
            begin = end
        for a, b in zip(whole, moved.state, strict=True):
            assert np.array_equal(a, b.variance)
        a, b = (x.simulate(block_rng(1, 2), 3, slice(0, 4)) for x in (law, moved))
        assert np.array_equal(a.specific_returns, b.specific_returns)
        assert np.array_equal(a.factor_returns, b.factor_returns)
        assert np.array_equal(law.moments(2).specific_variance, moved.moments(2).specific_variance)
    with pytest.raises(ModelError, match="moved on"):
        moved.cell_log_likelihood(slice(0, 1))


def test_an_asset_not_yet_listed_waits_at_its_first_variance():
    law = law_of(garch_tree())
    assert np.array_equal(until(law, 15).state[0].variance[:, 0], np.full(law.n_draws, law.assets.initial[0]))
    assert not until(law, 15).state[0].started[0]
    assert (until(law, 16).state[0].variance[:, 0] != law.assets.initial[0]).all()


def test_permuting_assets_changes_no_bit():
    tree = garch_tree(n_assets=5)
    permuted = tree.isel(asset=[3, 0, 4, 2, 1], missing_dims="ignore")
    a, b = law_of(tree), law_of(permuted)
    assert np.array_equal(a.row_log_likelihood(), b.row_log_likelihood())
    assert np.array_equal(a.moments(3).specific_variance, b.moments(3).specific_variance)
    one, other = (x.simulate(block_rng(7, 3), 3, slice(0, 6)) for x in (a, b))
    assert np.array_equal(one.specific_returns, other.specific_returns)


def test_a_card_without_leverage_and_skew_has_none():
    tree = garch_tree(skewed=False)
    tree[s.POSTERIOR] = tree[s.POSTERIOR].to_dataset().drop_vars([s.LEVERAGE, s.FACTOR_LEVERAGE])
    law = law_of(tree)
    m = law.moments(1)
    assert m.factor_skew is None
    assert m.specific_skew is None
    assert m.elliptical
    assert not law.assets.own[:, [3, 5]].any()
    assert law_of(garch_tree()).moments(1).specific_skew.shape == (10, 1, 4)
    with pytest.raises(ModelError, match="given the past"):
        law.marginal_row_log_likelihood()


def simulated(scored, blocks=16, horizon=3):
    """One draw's law and a great many futures of it: factors and specific returns (path, horizon, ...)."""
    # Variances that start far from the long run, so that a wrong step towards it would show.
    law = law_of(garch_tree(n_assets=3, chains=1, draws=20_000, n_times=1, scored=scored, nu=25.0, start=5.0,
                            jitter=0.0, missing=False, seed=4))  # fmt: skip
    law = replace(law, floor=False)
    law.assets.own[:, 3], law.assets.own[:, 5] = 0.7, -0.5
    law.shocks.own[:, 3], law.shocks.own[:, 5] = -0.6, 0.5
    for part in (law.assets, law.shocks):
        part.own[:, 1:3] = np.array([0.9, 0.5])[:, None]
        part.own[:, 6], part.own[:, 7] = skewed.shapes(part.own[:, 4], part.own[:, 5])
    many = [law.simulate(block_rng(11, b), horizon, slice(0, law.n_draws)) for b in range(blocks)]
    f = np.concatenate([x.factor_returns for x in many])
    return law, f, np.concatenate([x.specific_returns for x in many])


@pytest.mark.parametrize("scored", BOTH)
def test_moments_ahead_are_those_of_simulated_futures(scored):
    law, f, e = simulated(scored)
    m, n = law.moments(3), len(f)
    u = f - m.factor_mean[0, 0]
    shocks = u @ np.linalg.inv(m.shocks[0, 0]).T
    for h in range(3):
        for x, variance in (
            (e[:, h], m.specific_variance[0, h]),
            (u[:, h], m.factor_covariance[0, h].diagonal()),
        ):
            error = (x**2).std(axis=0) / np.sqrt(n)
            assert np.all(np.abs((x**2).mean(axis=0) - variance) < 5.0 * error), h
            assert np.all(error < 0.02 * variance)
            assert np.all(np.abs(x.mean(axis=0)) < 5.0 * x.std(axis=0) / np.sqrt(n))
        cross = u[:, h, 0] * u[:, h, 1]
        assert abs(cross.mean() - m.factor_covariance[0, h, 0, 1]) < 5.0 * cross.std() / np.sqrt(n)
        apart = shocks[:, h, 0] * shocks[:, h, 1]
        assert abs(apart.mean()) < 5.0 * apart.std() / np.sqrt(n)
    # The two parts of the news that bend expectations are not idle here.
    symmetric = replace(law.assets, own=np.where(np.arange(8)[:, None] == 3, 0.0, law.assets.own))
    other = symmetric.expected(law.state[0].variance, 3)[0, 2]
    assert np.all(np.abs(other / m.specific_variance[0, 2] - 1.0) > 0.03)


@pytest.mark.parametrize("scored", BOTH)
def test_one_step_draws_follow_the_law_the_moments_state(scored):
    law, f, e = simulated(scored, blocks=1, horizon=1)
    m = law.moments(1)
    for i in range(3):
        z = e[:, 0, i] / np.sqrt(m.specific_variance[0, 0, i])
        law_of_z = (m.specific_nu[0, 0, i], m.specific_skew[0, 0, i])
        assert stats.kstest(z, lambda x, at=law_of_z: skewed.cdf(x, *at)).pvalue > 1e-3
    u = (f[:, 0] - m.factor_mean[0, 0]) @ np.linalg.inv(m.shocks[0, 0]).T
    for k, variance in enumerate(law.state[1].variance[0]):
        law_of_z = (m.factor_nu[0, 0, k], m.factor_skew[0, 0, k])
        assert (
            stats.kstest(u[:, k] / np.sqrt(variance), lambda x, at=law_of_z: skewed.cdf(x, *at)).pvalue > 1e-3
        )


@pytest.mark.parametrize("scored", BOTH)
def test_probabilities_of_data_from_the_law_are_the_numbers_they_were_made_from(scored):
    tree = garch_tree(
        n_assets=3, n_times=900, chains=1, draws=1, jitter=0.0, missing=False, scored=scored, seed=2
    )
    law = law_of(tree)
    pit = law.pit(slice(0, 3), np.arange(3 * 900))[:, 0]
    np.testing.assert_allclose(pit, tree[s.OBSERVED_DATA]["chance"].values.T.ravel(), rtol=1e-6, atol=1e-9)
    assert stats.kstest(pit, "uniform").pvalue > 1e-3
    # Variances that stand still leave volatile and quiet days in it.
    still = law.assets.own.copy()
    still[:, 2] = 0.0
    other = replace(law, assets=replace(law.assets, own=still)).pit(slice(0, 3), np.arange(3 * 900))[:, 0]
    assert np.abs(other - pit).max() > 0.05


def test_replicates_given_the_past_follow_each_days_own_law():
    law = law_of(garch_tree(n_assets=2, n_times=20, chains=1, draws=4000, jitter=0.0, missing=False))
    drawn = law.replicate(np.random.default_rng(0), slice(1, 2))
    mean = law.assets.location[0, 1] + law.assets.response[0, 1] @ law.factors
    nu, skew = law.assets.own[0, 4:6, 1]
    for t, h in enumerate(plain_path(law, 0, 1)[1]):
        z = (drawn[t] - mean[t]) / np.sqrt(h)
        assert stats.kstest(z, lambda x: skewed.cdf(x, nu, skew)).pvalue > 1e-4


def test_a_market_of_the_panels_own_assets_is_what_its_portfolio_returns():
    tree = garch_tree(n_assets=4, own_market=True, draws=400)
    law = replace(law_of(tree), floor=False)
    alpha, loadings, _ = law.ahead
    block = law.simulate(np.random.default_rng(1), 3, slice(0, law.n_draws))
    assert not np.allclose(alpha, law.assets.location)
    f, e = block.factor_returns, block.specific_returns
    returns = alpha[:, None] + np.einsum("dik,dhk->dhi", loadings, f) + e
    market = returns @ law.own_weights[0]
    np.testing.assert_allclose(market, f[:, :, 0], rtol=0, atol=1e-14)
    assert market.std() == pytest.approx(f[:, :, 0].std(), rel=1e-12)
    # And in the moments, whose innovations are stated before they are projected.
    m = law.moments(1)
    w = law.own_weights[0]
    left = w - np.einsum("i,dik,kj->dj", w, m.own_response, law.own_weights)
    assert np.abs(left).max() < 1e-14
    np.testing.assert_allclose(np.einsum("i,dik->dk", w, m.loadings)[:, 0], 1.0, rtol=1e-12)


def test_simple_returns_never_fall_below_minus_one():
    law = law_of(garch_tree(draws=50))
    law.assets.own[:, 0] *= 40.0
    law.state[0].variance[:] *= 1000.0
    block = law.simulate(np.random.default_rng(1), 2, slice(0, law.n_draws))
    alpha, loadings, _ = law.ahead
    returns = (
        alpha[:, None] + np.einsum("dik,dhk->dhi", loadings, block.factor_returns) + block.specific_returns
    )
    assert block.floored > 0
    assert returns.min() >= -1.0 - 1e-12
    assert replace(law, floor=False).simulate(np.random.default_rng(1), 2, slice(0, law.n_draws)).floored == 0


def test_every_parameter_is_read_from_its_own_name():
    tree = garch_tree(chains=1, draws=2)
    post, law = tree[s.POSTERIOR].to_dataset(), law_of(tree)
    order = np.argsort(post[s.ASSET].values)
    names = [(SERIES, law.assets), ((s.FACTOR_SCALE, *(f"factor_{x}" for x in SERIES[1:])), law.shocks)]
    for slots, part in names:
        for at, name in enumerate(slots):
            values = post[name].values[0]
            assert np.array_equal(part.own[:, at], values[:, order] if part is law.assets else values), name
