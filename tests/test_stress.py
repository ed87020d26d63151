"""Stress against closed forms, against plain conditioning of simulated futures, and against brute force."""

import numpy as np
import pytest
import xarray as xr
from garch_trees import garch_tree, log_density
from latent_trees import latent_tree
from scipy import stats
from trees import make_tree, with_attrs, with_means

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.forecast import predict
from bayesfactor.laws.blocks import block_rng
from bayesfactor.risk.exact import Book
from bayesfactor.stress import worst
from bayesfactor.stress.conditional import conditional, constrained
from bayesfactor.stress.plausible import chance_beyond, chance_by_paths
from bayesfactor.stress.shifted import opened
from bayesfactor.stress.worst import most_plausible

FEW = {"paths": 50, "random_seed": 1}


def weights_of(tree):
    assets = tree[s.OBSERVED_DATA][s.ASSET].values.tolist()
    return {a: (i + 1) / 10 * (-1) ** (i == 1) for i, a in enumerate(assets)}


def flat(tree, name):
    """Return draws of a variable (sample, ...)."""
    return tree[s.POSTERIOR][name].stack(sample=("chain", "draw")).transpose("sample", ...).values


def book(tree):
    """Return exposures (draw, factor) and drift (draw) of the weights, by hand."""
    w = np.array(list(weights_of(tree).values()))
    return np.einsum("i,dik->dk", w, flat(tree, s.LOADINGS)), flat(tree, s.ALPHA) @ w


def scale_matrix(tree):
    size = flat(tree, s.FACTOR_SCALE)
    return flat(tree, s.FACTOR_CORRELATION) * size[:, :, None] * size[:, None, :]


def factors_of(tree):
    return [str(f) for f in tree[s.CONSTANT_DATA][s.FACTOR].values]


TREES = {
    "static": lambda: make_tree(n_assets=4, n_factors=3, draws=30, missing=0.0),
    "normal": lambda: make_tree(n_assets=4, n_factors=3, draws=30, normal=True),
    "own market": lambda: make_tree(n_assets=5, n_factors=2, draws=30, own_market=True),
    "hybrid": lambda: latent_tree(n_factors=2, draws=30),
    "latent": lambda: latent_tree(draws=30),
    "scores": lambda: latent_tree("scores", n_factors=2, draws=30),
    "garch": lambda: garch_tree(draws=30),
    "garch, symmetric": lambda: garch_tree(draws=30, skewed=False),
}
KINDS = {
    "frozen": lambda f: bf.FactorShock({f: -0.2}, others="frozen"),
    "conditional": lambda f: bf.FactorShock({f: -0.2}),
    "regime": lambda _: bf.RegimeShift(0.5, 2.0, 3.0),
    "reverse": lambda _: bf.ReverseStress(0.2),
    "three periods": lambda f: bf.FactorShock({f: -0.1}, horizon=3),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.filterwarnings("ignore:in .* a coin is expected to lose more")
def test_contributions_add_up_whatever_the_law_and_the_scenario(name):
    tree = TREES[name]()
    first = factors_of(tree)[0] if factors_of(tree) else "latent-1"
    asked = {k: make(first) for k, make in KINDS.items()}
    found = bf.stress(tree, weights_of(tree), asked, paths=4, random_seed=1)
    cells = [s.ASSET, s.COMPONENT]
    np.testing.assert_allclose(found["loss_contribution"].sum(cells), found["loss"], atol=1e-12)
    np.testing.assert_allclose(found["es_contribution"].sum(cells), found["es"], atol=1e-12)
    np.testing.assert_allclose(found["loss_posterior"].mean(("chain", "draw")), found["loss"], atol=1e-12)
    assert (found["es"] >= found["var"] - 1e-12).all()
    assert found["horizon"].values.tolist() == [1, 1, 1, 1, 3]
    assert set(found["component"].values) == {*found["factor"].values, s.SPECIFIC, s.DRIFT}
    assert found.attrs["kind_of_data"] == "stress"
    assert np.isfinite(found["es"]).all()


@pytest.mark.parametrize("name", ["static", "garch", "scores"])
def test_frozen_factors_lose_loadings_times_shock_less_drift(name):
    tree = TREES[name]()
    first, second = factors_of(tree)[:2]
    shock = bf.FactorShock({second: 0.05, first: -0.2}, others="frozen")
    found = bf.stress(tree, weights_of(tree), shock, drift="prior", **FEW)
    exposures, drift = book(with_means(tree, "prior"))
    by_draw = -(exposures[:, :2] @ [-0.2, 0.05]) - drift
    np.testing.assert_allclose(found["loss_posterior"].values.ravel(), by_draw, rtol=0, atol=1e-14)
    assert float(found["loss"][0]) == pytest.approx(by_draw.mean(), abs=1e-14)
    np.testing.assert_allclose(found["factor_move"].values[0, :2], [-0.2, 0.05], rtol=1e-14)
    assert not found["loss_contribution"].sel(component=s.SPECIFIC).any()


@pytest.mark.parametrize("name", ["static", "normal"])
def test_the_other_factors_follow_the_conditional_t(name):
    tree = TREES[name]()
    names = factors_of(tree)
    found = bf.stress(tree, weights_of(tree), bf.FactorShock({names[1]: 0.06}), drift="posterior", **FEW)
    tree = with_means(tree, "posterior")
    mean, scale = flat(tree, s.FACTOR_LOCATION), scale_matrix(tree)
    slope = scale[:, [0, 2], 1] / scale[:, 1, 1][:, None]
    moves = np.full(mean.shape, 0.06)
    moves[:, [0, 2]] = mean[:, [0, 2]] + slope * (0.06 - mean[:, 1])[:, None]
    exposures, drift = book(tree)
    by_draw = -(exposures * moves).sum(axis=1) - drift
    np.testing.assert_allclose(found["loss_posterior"].values.ravel(), by_draw, atol=1e-13)
    np.testing.assert_allclose(found["factor_move"].values[0], moves.mean(axis=0), atol=1e-13)


def test_the_conditional_t_has_the_scale_and_tail_of_the_closed_form():
    tree = make_tree(n_factors=3, chains=1, draws=1)
    law = conditional(opened(predict(tree, drift="posterior")), np.array([0]), np.array([-0.15]))
    tree = with_means(tree, "posterior")
    f = law.simulate(block_rng(3), np.zeros(100_000, dtype=int)).factor_returns[:, 0]
    mean, scale, nu = (
        flat(tree, s.FACTOR_LOCATION)[0],
        scale_matrix(tree)[0],
        float(flat(tree, s.FACTOR_NU)[0]),
    )
    gap = -0.15 - mean[0]
    # Ding (2016), eq. 3: t(nu + p) with scale (nu + d) / (nu + p) times the Schur complement.
    spread = (nu + gap**2 / scale[0, 0]) / (nu + 1) * (scale[2, 2] - scale[2, 0] ** 2 / scale[0, 0])
    exact = stats.t(nu + 1, loc=mean[2] + scale[2, 0] / scale[0, 0] * gap, scale=np.sqrt(spread))
    assert (f[:, 0] == -0.15).all()
    assert stats.kstest(f[:, 2], exact.cdf).pvalue > 0.01


REJECT = {
    "static": (lambda: make_tree(n_assets=3, n_factors=2, chains=1, draws=2), 1, -0.04, 2e-3),
    "hybrid, shared mixing": (lambda: latent_tree(n_assets=3, n_latent=2, chains=1, draws=2), 0, -3.0, 0.1),
    "garch, the second of a chain": (lambda: garch_tree(n_factors=2, chains=1, draws=2), 1, -0.05, 2e-3),
    "garch, the first of a chain": (lambda: garch_tree(n_factors=2, chains=1, draws=2), 0, -0.05, 2e-3),
}


@pytest.mark.parametrize("name", REJECT)
def test_a_shock_is_what_is_left_of_simulated_futures_that_meet_it(name):
    """The independent route: the law's own paths, of which those near the shock are kept."""
    make, which, move, near = REJECT[name]
    found = predict(make(), random_seed=1)
    law = conditional(opened(found), np.array([which]), np.array([move]))
    kept = []
    for path in range(60):
        for c in range(10):
            block = found.law.simulate(block_rng(9, path, c), 1, np.zeros(1000, dtype=int))
            hit = np.abs(block.factor_returns[:, 0, which] - move) < near
            kept.append(
                np.concatenate([block.factor_returns[hit, 0], block.specific_returns[hit, 0]], axis=1)
            )
    kept = np.concatenate(kept)
    drawn = law.simulate(block_rng(4), np.zeros(40_000, dtype=int))
    drawn = np.concatenate([drawn.factor_returns[:, 0], drawn.specific_returns[:, 0]], axis=1)
    assert len(kept) > 300
    for column in range(drawn.shape[1]):
        if column != which:
            assert stats.ks_2samp(kept[:, column], drawn[:, column]).pvalue > 1e-3, column
    np.testing.assert_allclose(
        law.expected[0, 0], drawn[:, : law.expected.shape[2]].mean(axis=0), atol=0.05 * abs(move)
    )


@pytest.mark.parametrize("which", [(0, 2), (1,), (2,)])
@pytest.mark.parametrize("size", [2.0, 8.0])
def test_shocks_to_a_chain_have_the_mean_of_a_fine_grid(which, size):
    """The density of the free shocks given the constraint, on a grid, by another implementation of the law."""
    tree = garch_tree(n_factors=3, chains=1, draws=1, seed=3)
    law = opened(predict(tree))
    m = law.moments
    which = np.array(which)
    move = m.factor_mean[0, 0, which] - size * np.sqrt(m.factor_covariance[0, 0, which, which])
    found = constrained(law, which, move)
    free, root = np.setdiff1d(np.arange(3), which), law.root[0, 0]
    # Far out too: fat tails put a rare move of one factor down to a far rarer one of another.
    axis = np.linspace(-8.0, 8.0, 8001 if len(free) == 1 else 801)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[axis] * len(free), indexing="ij")], axis=1)
    spacing, grid = np.log(np.cosh(grid)).sum(axis=1), np.sinh(grid)
    missing = (move - m.factor_mean[0, 0, which])[:, None] - root[np.ix_(which, free)] @ grid.T
    bound = np.linalg.solve(root[np.ix_(which, which)], missing)
    nu, skew = m.factor_nu[0, 0], m.factor_skew[0, 0]
    height = sum(log_density(grid[:, i], nu[k], skew[k]) for i, k in enumerate(free))
    height = height + sum(log_density(bound[i], nu[k], skew[k]) for i, k in enumerate(which))
    height = height + spacing
    weight = np.exp(height - height.max())
    np.testing.assert_allclose(found.mean[0, free], weight @ grid / weight.sum(), atol=0.02 * size)
    np.testing.assert_allclose(found.mean[0, which], bound @ weight / weight.sum(), atol=0.02 * size)
    assert found.effective[0] > 0.1


def test_candidates_for_a_chain_cover_what_is_meant():
    law = opened(predict(garch_tree(n_factors=3, draws=20)))
    found = constrained(law, np.array([2]), np.array([-0.2]))
    assert found.effective.min() > 0.05
    # What the shock bears on is weighted, and the shock is met exactly.
    x = found.draw(block_rng(1), np.arange(40), np.zeros((40, 3)))
    f = law.centre[:40, 0] + np.einsum("dkc,dc->dk", law.root[:40, 0], x)
    np.testing.assert_allclose(f[:, 2], -0.2, atol=1e-14)


def test_what_comes_after_a_shock_remembers_it():
    """Variances after a fall of the first factor, drawn from the law that was moved on by a day."""
    tree = garch_tree(n_factors=1, n_assets=2, chains=1, draws=1, missing=False)
    found = predict(tree, 2, random_seed=1)
    law = conditional(opened(found), np.array([0]), np.array([-0.15]))
    two = law.simulate(block_rng(5), np.zeros(20_000, dtype=int)).factor_returns[:, 1, 0]
    day = np.full((2, 1), np.nan), np.array([[-0.15]])
    moved = found.law.advance(*day, found.moments.own_weights)
    one = np.concatenate(
        [moved.simulate(block_rng(6, i), 1, np.zeros(1000, int)).factor_returns[:, 0, 0] for i in range(20)]
    )
    assert stats.ks_2samp(one, two).pvalue > 0.01
    assert np.std(two) > 1.3 * np.sqrt(found.moments.factor_covariance[0, 0, 0, 0])


@pytest.mark.parametrize("name", ["garch", "own market", "scores"])
def test_paths_over_several_periods_are_those_of_the_law(name):
    found = predict(TREES[name](), 4, random_seed=1)
    draws = np.zeros(8000, dtype=int)
    mine = opened(found).simulate(block_rng(3), draws)
    own = [found.law.simulate(block_rng(4, i), 4, np.zeros(1000, dtype=int)) for i in range(8)]
    for which in ("factor_returns", "specific_returns"):
        one, two = getattr(mine, which), np.concatenate([getattr(b, which) for b in own])
        for k in range(one.shape[2]):
            assert stats.ks_2samp(one[:, 3, k], two[:, 3, k]).pvalue > 1e-3, (which, k)
            # Sizes of periods that follow one another go together where variances remember.
            pair = [stats.spearmanr(np.abs(x[:, 2, k]), np.abs(x[:, 3, k])).statistic for x in (one, two)]
            assert abs(pair[0] - pair[1]) < 0.05, (which, k)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
@pytest.mark.parametrize("name", ["static", "hybrid", "garch", "own market"])
def test_a_regime_that_changes_nothing_is_the_risk_as_it_is(name):
    tree = TREES[name]()
    w = weights_of(tree)
    found = bf.stress(tree, w, bf.RegimeShift(), paths=500, random_seed=1).isel(scenario=0)
    plain = bf.decompose_risk(tree, w, paths=500, random_seed=2)
    for which in ("var", "es"):
        error = np.hypot(found[f"{which}_mcse"], plain[f"{which}_mcse"])
        np.testing.assert_array_less(abs(found[which] - plain[which]), 4.5 * error)
    parts = found["es_contribution"].sum(s.ASSET) - plain["es_contribution"].sum(s.ASSET)
    assert (abs(parts) < 0.1 * plain["es"]).all()


@pytest.mark.parametrize("name", ["static", "hybrid", "garch", "own market"])
def test_twice_the_volatility_is_twice_the_distance_from_the_mean(name):
    tree = TREES[name]()
    w = weights_of(tree)
    found = bf.stress(tree, w, {str(x): bf.RegimeShift(0.3, x, 4.0) for x in (0.2, 0.4)}, **FEW)
    once, twice = (losses_of_a_regime(tree, x) for x in (0.2, 0.4))
    np.testing.assert_allclose(2.0 * (once - once.mean()), twice - twice.mean(), atol=1e-12)
    np.testing.assert_array_equal(found["loss"][0], found["loss"][1])


def losses_of_a_regime(tree, x):
    """Return losses of one draw under a regime, the same random numbers each time."""
    from bayesfactor.stress.cases import Ask, case_of
    from bayesfactor.stress.tails import Holding

    found = predict(tree, random_seed=1)
    w = np.array(list(weights_of(tree).values()))[found.labels.order]
    case = case_of("x", bf.RegimeShift(0.3, x, 4.0), Ask(tree, lambda _: found, w, None, 1.0, found.labels))
    block = next(iter(case.paths(range(1))))
    holding = Holding(case, w)
    loss = holding.losses(block) - holding.mean_parts.sum(axis=(1, 2))[block.draws]
    assert not block.floored
    return loss


def test_correlations_go_to_one_by_the_share_asked_for():
    tree = make_tree(n_factors=3, chains=1, draws=1, n_assets=3)
    from bayesfactor.stress.cases import _closer

    found = predict(tree)
    covariance = found.moments.factor_covariance[0, 0]
    sd = np.sqrt(np.diag(covariance))
    before = covariance / np.outer(sd, sd)
    for share in (0.4, 1.0):
        root = _closer(opened(found).root, np.arange(3), share, np.array([1.0, -1.0, 1.0]))[0, 0]
        now = root @ root.T / np.outer(sd, sd)
        signs = np.outer([1.0, -1.0, 1.0], [1.0, -1.0, 1.0])
        np.testing.assert_allclose(now, (1 - share) * before + share * signs, atol=1e-12)
        assert np.linalg.eigvalsh(now).min() > -1e-12
        np.testing.assert_allclose(np.tril(root), root)


@pytest.mark.parametrize("name", ["static", "normal", "garch", "hybrid"])
def test_the_reverse_stress_is_the_best_move_of_a_fine_grid(name):
    """One factor, and one coin that is held: moves on the plane are a line."""
    two = {
        "static": make_tree(n_factors=1, draws=10),
        "normal": make_tree(n_factors=1, draws=10, normal=True),
    }
    two |= {"garch": garch_tree(n_factors=1, draws=10), "hybrid": latent_tree(n_latent=1, draws=10)}
    found = predict(two[name])
    m, w = found.moments, np.zeros(len(found.labels.assets))
    w[1] = 1.0
    held, total = Book(m, w), -0.3
    move = most_plausible(held, total)
    slope = held.exposures.mean(axis=0)[0], held.bets.mean(axis=0)[1]
    assert slope[0] * move.factors[0] + slope[1] * move.innovations[1] == pytest.approx(total, abs=1e-12)
    assert not np.delete(move.innovations, 1).any()
    density = worst.log_density(m, np.array([1]))
    own = np.linspace(-0.5, 0.5, 2_001)
    grid = np.stack([(total - slope[1] * own) / slope[0], own], axis=1)
    height = np.array([density(x)[0] for x in grid])
    best = density(np.array([move.factors[0], move.innovations[1]]))[0]
    assert best >= height.max() - 1e-7


@pytest.mark.parametrize("name", ["static", "own market", "hybrid", "garch", "scores"])
def test_slopes_of_a_density_are_its_differences(name):
    m = predict(TREES[name]()).moments
    held = np.array([0, 2])
    density = worst.log_density(m, held)
    x = 0.01 * np.random.default_rng(1).standard_normal(m.loadings.shape[2] + 2)
    step = 1e-6 * np.eye(len(x))
    differences = [(density(x + h)[0] - density(x - h)[0]) / 2e-6 for h in step]
    np.testing.assert_allclose(density(x)[1], differences, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("own_market", [False, True])
def test_of_one_normal_draw_the_reverse_stress_goes_along_the_covariances(own_market):
    """S w L / w'S w, and P(L >= loss): factors and coins of their own, by covariances of returns alone."""
    tree = make_tree(4, 2, chains=1, draws=1, normal=True, own_market=own_market)
    found = bf.stress(tree, weights_of(tree), bf.ReverseStress(0.1), **FEW).isel(scenario=0)
    w = np.array(list(weights_of(tree).values()))
    p = bf.forecast(tree)[s.PREDICTIONS].isel(chain=0, draw=0, horizon=0)
    b = p[s.LOADINGS].transpose(s.ASSET, s.FACTOR).values
    net = np.eye(4)
    if own_market:
        net = net - p[s.OWN_RESPONSE].values @ p[s.FACTOR_WEIGHTS].values
    covariance = (
        b @ p[s.FACTOR_COVARIANCE].values @ b.T + net @ np.diag(p[s.SPECIFIC_VARIANCE].values) @ net.T
    )
    spread = w @ covariance @ w
    moved = b @ found["factor_move"].values + found["specific_move"].values
    np.testing.assert_allclose(moved, -covariance @ w * 0.1 / spread, atol=2e-6)
    assert float(found["plausibility"]) == pytest.approx(stats.norm.sf(0.1 / spread**0.5), rel=1e-9)
    parts = found["loss_contribution"].sum(s.ASSET)
    assert float(parts.sum()) == pytest.approx(0.1, abs=1e-14)
    np.testing.assert_allclose(
        found["loss_contribution"].sel({s.COMPONENT: s.SPECIFIC}), -w * found["specific_move"], atol=1e-15
    )
    np.testing.assert_array_equal(found["es"], found["loss"].values * np.ones(2))


@pytest.mark.parametrize("name", ["static", "hybrid", "garch"])
def test_its_plausibility_is_the_chance_of_the_loss_under_the_book_s_own_law(name):
    """A long-short book, whose losses coins make of their own: of simulated futures as many lose as much."""
    tree = TREES[name]()
    w = dict.fromkeys(weights_of(tree), 0.5)
    w |= dict.fromkeys(list(w)[::2], -0.5)
    found = predict(tree, random_seed=3)
    held = Book(found.moments, np.array([w[a] for a in found.labels.canonical]))
    loss = 2.5 * held.volatility()[0]
    got = float(bf.stress(tree, w, bf.ReverseStress(loss), **FEW)["plausibility"][0])
    share = chance_by_paths(found, held, loss)
    # Of 200 000 futures, some 2 000 of which lose as much: five standard errors are 11 %.
    assert got == pytest.approx(share, rel=0.11)
    assert np.isnan(chance_by_paths(found, held, 1e3 * loss))


def test_over_periods_that_follow_one_another_it_is_the_share_of_futures():
    tree = garch_tree(draws=30)
    w = weights_of(tree)
    got = bf.stress(tree, w, bf.ReverseStress(0.1, horizon=3), **FEW).isel(scenario=0)
    assert 0.001 < float(got["plausibility"]) < 0.5
    assert float(got["loss"]) == pytest.approx(0.1, abs=1e-12)


def test_no_coin_falls_by_more_than_there_is_while_the_loss_can_be_had_without():
    """Fat tails put it all on one coin, of which a tenth is held: that coin alone cannot lose it."""
    tree = make_tree(6, 1, draws=20, data_nu=2.5)
    assets = tree[s.OBSERVED_DATA][s.ASSET].values.tolist()
    w = dict.fromkeys(assets, 0.05) | {assets[0]: 0.5, assets[1]: 0.25}
    found = bf.stress(tree, w, bf.ReverseStress(0.45), **FEW).isel(scenario=0)
    m = predict(tree).moments
    loadings = tree[s.POSTERIOR][s.LOADINGS].mean(("chain", "draw"))
    returns = (loadings * found["factor_move"]).sum(s.FACTOR) + found["specific_move"]
    assert float(returns.min()) >= -1.0 - 1e-6
    assert float(found["loss"]) == pytest.approx(0.45, abs=1e-9)
    assert m.horizon == 1
    with pytest.warns(UserWarning, match="expected to lose more than all of its worth"):
        bf.stress(tree, w, bf.ReverseStress(1.2), **FEW)


def test_the_plausibility_of_one_factor_is_its_tail_in_the_direction_of_the_move():
    tree = make_tree(draws=20)
    first = factors_of(tree)[0]
    found = bf.stress(
        tree, weights_of(tree), {"a": bf.FactorShock({first: -0.1}), "b": bf.FactorShock({first: 0.1})}, **FEW
    )
    z = np.array([[-0.1], [0.1]]) / flat(tree, s.FACTOR_SCALE)[:, 0]
    exact = stats.t.sf(np.abs(z), flat(tree, s.FACTOR_NU)).mean(axis=1)
    np.testing.assert_allclose(found["plausibility"], exact, rtol=1e-9)


@pytest.mark.parametrize(("horizon", "name"), [(1, "garch"), (4, "static"), (4, "normal")])
def test_the_chance_of_a_sum_is_that_of_simulated_futures(horizon, name):
    found = predict(TREES[name](), horizon, random_seed=1)
    m = found.moments
    direction = np.broadcast_to([1.0, 0.7, -0.4][: m.loadings.shape[2]], (m.n_draws, m.loadings.shape[2]))
    beyond = np.full(m.n_draws, 0.08 if horizon == 1 else 0.25)
    total = [
        b.factor_returns.sum(axis=1) - m.factor_mean.sum(axis=1)[b.draws]
        for b in found.scenarios(range(1000))
    ]
    hits = (np.concatenate(total) @ direction[0] > beyond[0]).mean()
    assert hits > 1e-3
    assert chance_beyond(m, direction, beyond) == pytest.approx(hits, rel=0.06)


def test_numbers_scale_with_value_and_forget_the_order_of_assets():
    tree = latent_tree(n_factors=2, draws=30)
    w, first = weights_of(tree), factors_of(tree)[0]
    asked = {"a": bf.FactorShock({first: -0.1}), "b": bf.RegimeShift(0.5, 2.0), "c": bf.ReverseStress(0.1)}
    plain = bf.stress(tree, w, asked, **FEW)
    money = bf.stress(tree, w, asked, value=1e6, **FEW)
    for name in ("loss", "loss_posterior", "loss_contribution", "var", "es", "es_contribution"):
        np.testing.assert_array_equal(money[name], plain[name] * 1e6)
    np.testing.assert_array_equal(money["plausibility"], plain["plausibility"])
    order = np.array([3, 0, 4, 1, 2])
    turned = tree.copy()
    for group in (s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA):
        turned[group] = xr.DataTree(tree[group].to_dataset().isel(asset=order))
    other = bf.stress(turned, w, asked, **FEW)
    for name in ("loss", "var", "es", "factor_move"):
        np.testing.assert_array_equal(other[name], plain[name])
    assets = plain["asset"].values
    np.testing.assert_array_equal(other["es_contribution"].sel(asset=assets), plain["es_contribution"])


def test_a_scenario_does_not_depend_on_its_company():
    tree = make_tree(draws=25)
    a, b = (
        bf.FactorShock({"market" if "market" in factors_of(tree) else factors_of(tree)[0]: -0.1}),
        bf.RegimeShift(0.2),
    )
    both = bf.stress(tree, weights_of(tree), {"a": a, "b": b}, **FEW)
    alone = bf.stress(tree, weights_of(tree), {"b": b}, **FEW)
    np.testing.assert_array_equal(both["es"].sel(scenario="b"), alone["es"].sel(scenario="b"))


def test_a_coin_that_loses_more_than_it_is_worth_is_warned_of():
    tree = make_tree(draws=25)
    with pytest.warns(UserWarning, match="more than all of its worth"):
        bf.stress(
            tree, weights_of(tree), bf.FactorShock({factors_of(tree)[0]: -0.95}, others="frozen"), **FEW
        )


def test_log_returns_are_refused():
    tree = make_tree(draws=25)
    data = tree[s.OBSERVED_DATA].to_dataset().assign_attrs(returns_kind="log")
    tree = with_attrs(tree)
    tree[s.OBSERVED_DATA] = xr.DataTree(data)
    with pytest.raises(bf.RiskError, match="simple returns"):
        bf.stress(tree, weights_of(tree), "ftx-2022")
