"""The factors' law in blocks: against scipy on open days, against plain simulation ahead, in every reader."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from driver_trees import FRIDAY, SATURDAY, garch_drivers, latent_drivers, static_drivers
from garch_trees import with_rows
from scipy import linalg, stats

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.forecast import predict
from bayesfactor.laws import law_of
from bayesfactor.laws.blocks import block_rng
from bayesfactor.laws.correlation import correlation
from bayesfactor.laws.factors import FactorLaw
from bayesfactor.laws.woodbury import patterns
from bayesfactor.likelihoods.blocks_kernel import blocks_kernel
from bayesfactor.risk.asymmetric import asymmetric_tails
from bayesfactor.risk.conditional import conditional_tails
from bayesfactor.risk.exact import Book
from bayesfactor.stress import worst
from bayesfactor.stress.conditional import conditional
from bayesfactor.stress.shifted import opened

LEVELS = np.array([0.95, 0.99])
BLOCK = np.array([1, 0, 2, 1, 0])


def problem(nu=(4.0, 3.0, 6.0), n_times=60):
    """Five factors in three blocks, whose order is not that of the panel, with closed days of all kinds."""
    rng = np.random.default_rng(1)
    partial = rng.uniform(-0.5, 0.5, 10)
    seen = np.ones((5, n_times))
    seen[0, ::3] = seen[3, ::4] = seen[2, ::5] = 0.0
    values = rng.normal(size=(5, n_times)) * seen
    parameters = (rng.normal(0.0, 0.1, 5), rng.uniform(0.5, 1.5, 5), partial, np.array(nu))
    return (values, patterns(seen), BLOCK.astype(float), seen), parameters


def law_of_problem(parameters):
    location, scale, partial, nu = parameters
    back = np.argsort(np.argsort(BLOCK, kind="stable"))
    matrix = correlation(partial[None], 5)[:, back[:, None], back]
    return FactorLaw.of_correlation(location[None], scale[None], matrix, nu[None], BLOCK), matrix[0]


@pytest.mark.parametrize("nu", [(4.0, 3.0, 6.0), (np.inf,) * 3])
def test_a_day_is_the_product_of_scipys_laws_of_its_open_factors(nu):
    """Each block given those before it that are open, in terms of the covariance algebra of the scales."""
    (values, _, _, seen), parameters = problem(nu)
    law, matrix = law_of_problem(parameters)
    location, scale = parameters[:2]
    whole = matrix * np.outer(scale, scale)
    expected = np.zeros(values.shape[1])
    for t in range(values.shape[1]):
        here = seen[:, t] > 0.0
        gap = np.where(here, values[:, t] - location, 0.0)
        for b in range(3):
            own, before = np.flatnonzero(b == BLOCK), np.flatnonzero(b > BLOCK)
            slope = whole[np.ix_(own, before)] @ np.linalg.pinv(whole[np.ix_(before, before)])
            inside = whole[np.ix_(own, own)] - slope @ whole[np.ix_(before, own)]
            some = here[own]
            if some.any():
                left = (gap[own] - slope @ gap[before])[some]
                shape = inside[np.ix_(some, some)]
                expected[t] += stats.multivariate_t(np.zeros(some.sum()), shape, df=nu[b]).logpdf(left)
    np.testing.assert_allclose(law.log_density(values, seen > 0.0)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("nu", [(4.0, 3.0, 6.0), (np.inf,) * 3])
def test_the_kernel_is_the_law_and_its_gradient_that_of_differences(nu):
    data, parameters = problem(nu)
    value, *gradients = blocks_kernel(*data, *parameters)
    law, _ = law_of_problem(parameters)
    assert value == pytest.approx(law.log_density(data[0], data[3] > 0.0).sum(), rel=1e-12)
    found = np.concatenate(gradients)
    x, cut = np.concatenate(parameters), np.cumsum([5, 5, 10])
    step = 1e-6 * np.eye(len(x))[: 20 if np.isinf(nu[0]) else len(x)]
    two = [[blocks_kernel(*data, *np.split(x + sign * h, cut))[0] for h in step] for sign in (1.0, -1.0)]
    np.testing.assert_allclose(found[: len(step)], np.subtract(*two) / 2e-6, rtol=1e-6, atol=1e-6)


def test_a_law_of_one_block_is_what_it_was():
    """One Student-t, marginal where a factor is closed."""
    data, parameters = problem()
    values, seen = data[0], data[3]
    scale = correlation(parameters[2][None], 5)[0] * np.outer(parameters[1], parameters[1])
    expected = sum(
        stats.multivariate_t(
            parameters[0][o := seen[:, t] > 0], scale[np.ix_(o, o)], df=4.0
        ).logpdf(values[o, t])
        for t in range(values.shape[1])
    )  # fmt: skip
    found = blocks_kernel(values, data[1], np.zeros(5), seen, *parameters[:3], np.array([4.0]))[0]
    assert found == pytest.approx(expected, rel=1e-12)


# --- ahead --------------------------------------------------------------------------------------

KINDS = {"static": static_drivers, "lowrank": latent_drivers, "garch": garch_drivers}


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments_the_law_states_and_closed_factors_are_exactly_zero(kind):
    """Four days from Friday: a weekend inside. Covariances within 5 standard errors."""
    tree = KINDS[kind](draws=1, **({"nu": 9.0} if kind == "garch" else {}))
    law, n = law_of(tree), 60_000
    if kind != "garch":
        law.observed.nu[:] = [[9.0, 12.0]]
    m = law.moments(4)
    f = law.simulate(np.random.default_rng(3), 4, np.zeros(n, dtype=int)).factor_returns
    assert not f[:, :2, 1:3].any()
    assert not m.factor_covariance[:, :2, 1:3].any()
    assert not m.factor_mean[:, :2, 1:3].any()
    assert f[:, 2:, 1:3].all()
    assert m.moving.tolist() == list(range(m.loadings.shape[2]))
    u = f - m.factor_mean[0]
    for h in range(4):
        products = u[:, h, :, None] * u[:, h, None, :]
        error = products.std(axis=0) / np.sqrt(n) + 1e-300
        assert np.all(np.abs(products.mean(axis=0) - m.factor_covariance[0, h]) < 5.0 * error)
    # Market and drivers move together on open days.
    assert np.abs(m.factor_covariance[0, 2, 0, 1:3]).min() > 0.0


@pytest.mark.parametrize("kind", ["static", "lowrank"])
def test_tails_given_a_draw_are_what_simulation_says(kind):
    """VaR and ES of four days over a weekend, and who makes them, within 4 to 5 standard errors."""
    tree = KINDS[kind](draws=1)
    law, n = replace(law_of(tree), floor=False), 300_000
    m = law.moments(4)
    weights = np.linspace(0.6, -0.2, m.alpha.shape[1])
    book = Book(m, weights)
    found = conditional_tails(book, LEVELS)
    block = law.simulate(np.random.default_rng(5), 4, np.zeros(n, dtype=int))
    check_tails(found, book, weights, block, n)


@pytest.mark.parametrize("horizon", [1, 4])
def test_tails_of_dynamic_factors_over_a_weekend_are_what_simulation_says(horizon):
    tree = garch_drivers(draws=1, n_times=60)
    law, n = replace(law_of(tree), floor=False), 300_000
    m = law.moments(horizon)
    weights = np.array([0.7, 0.3, 0.4])
    book = Book(m, weights)
    found = asymmetric_tails(
        Book(replace(m, **doubled(m)), weights), LEVELS, doubled_law(law), np.array([0, 1])
    )
    block = law.simulate(np.random.default_rng(5), horizon, np.zeros(n, dtype=int))
    check_tails(found, book, weights, block, n)


def doubled(m):
    """Two draws a hair apart: a posterior sd of 0 would refuse any numerical error."""
    names = ("factor_mean", "factor_covariance", "factor_nu", "specific_variance", "specific_nu", "loadings")
    more = ("alpha", "own_response", "shocks", "factor_skew", "specific_skew")
    twice = {n: np.concatenate([getattr(m, n)] * 2) for n in (*names, *more)}
    twice["alpha"] = np.concatenate([m.alpha, m.alpha + 0.01])
    return twice


class _Twice:
    def __init__(self, law):
        self.law = law

    def start(self, draws):
        return np.repeat(self.law.start(slice(None)), len(draws), axis=0)

    def after(self, draw, variance, z):
        return self.law.after(0, variance, z)


def doubled_law(law):
    return _Twice(law)


def check_tails(found, book, weights, block, n):
    m = book.moments
    f, e = block.factor_returns.sum(axis=1), block.specific_returns.sum(axis=1)
    drift = np.broadcast_to(-m.horizon * weights * m.alpha[0], e.shape)
    factor = -weights[:, None] * m.loadings[0] * f[:, None, :]
    parts = np.concatenate([factor, (-weights * e)[..., None], drift[..., None]], axis=2)
    loss = parts.sum(axis=(1, 2))
    for i, level in enumerate(LEVELS):
        error = np.sqrt(level * (1 - level) / n)
        assert (loss > found.var[i, 0]).mean() == pytest.approx(1 - level, abs=4.5 * error)
        beyond = parts[loss > np.quantile(loss, level)]
        # The quantile is estimated too, which doubles what the mean beyond it alone would have.
        error = 2.0 * loss[loss > found.var[i, 0]].std() / np.sqrt(len(beyond))
        assert found.es[i, 0] == pytest.approx(beyond.sum(axis=(1, 2)).mean(), abs=4.0 * error)
        error = 2.0 * beyond.std(axis=0) / np.sqrt(len(beyond)) + 1e-12
        assert np.all(np.abs(found.es_contribution[0, i] - beyond.mean(axis=0)) < 5.0 * error)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
@pytest.mark.parametrize("kind", KINDS)
def test_no_driver_takes_part_in_the_risk_of_a_saturday(kind):
    tree = KINDS[kind](draws=20, chains=2)
    assets = tree[s.OBSERVED_DATA][s.ASSET].values
    equal = dict.fromkeys(assets, 1.0 / len(assets))
    risk = bf.decompose_risk(tree, equal, paths=20, random_seed=1)
    drivers = risk[s.COMPONENT].values[1:3]
    for name in ("volatility", "var", "es", "es_contribution_posterior"):
        parts = risk[name if name.endswith("posterior") else f"{name}_contribution"]
        assert not parts.sel(component=drivers).values.any()
    assert np.isfinite(risk["es_posterior"]).all()
    monday = bf.decompose_risk(KINDS[kind]("2024-03-03", draws=20, chains=2), equal, paths=20, random_seed=1)
    assert monday["volatility_contribution"].sel(component=drivers).values.all()


@pytest.mark.parametrize("kind", KINDS)
def test_stored_predictions_are_the_law_they_were_made_from(kind, tmp_path):
    tree = KINDS[kind](draws=5, chains=2)
    path = tmp_path / "fit.nc"
    bf.save(bf.forecast(tree, 3, paths=2, random_seed=1), path)
    stored, fresh = predict(bf.load(path), 3).moments, predict(tree, 3).moments
    for name in ("factor_mean", "factor_covariance", "factor_nu", "shocks", "loadings", "specific_variance"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(fresh, name))
    np.testing.assert_array_equal(stored.block, fresh.block)
    np.testing.assert_allclose(stored.shock_covariance, fresh.shock_covariance, atol=1e-18)
    assert bf.load(path)[s.CONSTANT_DATA][s.FACTOR_OPEN].dtype == bool


# --- integrated ---------------------------------------------------------------------------------


def brute(law, rows, n, rng):
    """Return log p(r_t) of one draw by plain averages over the factors' law, and standard errors."""
    out, error = [], []
    for t in rows:
        opened, observed = law.opened[:, t], law.observed
        mixing = np.ones((n, observed.nu.shape[1]))
        for b, v in enumerate(observed.nu[0]):
            if np.isfinite(v):
                mixing[:, b] = np.sqrt(v / rng.chisquare(v, n))
        z = rng.standard_normal((n, len(opened))) * mixing[:, observed.block]
        # One factor after the other, as the generative story has it.
        f = np.zeros((n, len(opened)))
        shock = z @ observed.scale[0].T
        for k in np.argsort(observed.block, kind="stable"):
            gap = (f - observed.location[0]) * opened
            f[:, k] = opened[k] * (observed.location[0, k] + gap @ observed.response[0, k] + shock[:, k])
        seen = law.seen[:, t] > 0.0
        e = law.filled[seen, t] - law.alpha[0, seen] - f @ law.loadings[0, seen].T
        weight = np.exp(given_factors(law, e, seen))
        out.append(np.log(weight.mean()))
        error.append(weight.std() / weight.mean() / np.sqrt(n))
    return np.array(out), np.array(error)


def given_factors(law, e, seen):
    if hasattr(law, "latent"):
        own = law.latent[0, seen]
        shape = own @ own.T + np.diag(law.sigma[0, seen] ** 2)
        return stats.multivariate_t(np.zeros(seen.sum()), shape, df=law.nu[0]).logpdf(e)
    return (
        stats.t.logpdf(e / law.sigma[0, seen], law.nu[0, seen]).sum(axis=1) - np.log(law.sigma[0, seen]).sum()
    )


@pytest.mark.parametrize("kind", ["static", "lowrank", "normal given factors"])
def test_rows_given_nothing_are_plain_averages_over_the_factors(kind):
    """An open day, a Saturday, a holiday, a large move; drivers with strong loadings. 5 standard errors."""
    tree = static_drivers(draws=1) if kind != "lowrank" else latent_drivers(draws=1, n_times=40)
    law = law_of(tree)
    law.loadings[:, :, 1:] *= 3.0
    if kind == "normal given factors":
        law.nu[:] = np.inf
    law.returns[:, 4] *= 4.0
    stamps = pd.DatetimeIndex(tree[s.OBSERVED_DATA][s.TIME].values)
    holiday = int(np.flatnonzero(~law.opened[-1] & (stamps.day_of_week < 5))[0])
    rows = [int(np.flatnonzero(stamps.day_of_week == 5)[0]), 4, holiday, 30]
    found = law.marginal_row_log_likelihood()
    expected, error = brute(law, rows, 300_000, np.random.default_rng(2))
    gap = np.abs(found.log_density[0, rows] - expected)
    assert np.all(gap < 5.0 * np.hypot(error, found.error[0, rows]) + 1e-3)
    assert found.error.max() < 0.5


def test_fits_with_drivers_are_compared_given_nothing():
    trees = {n: with_rows(static_drivers(draws=50, chains=2, seed=k)) for k, n in enumerate(("one", "other"))}
    found = bf.compare(trees, given="nothing")
    assert np.isfinite(found["elpd"]).all()


# --- stress -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "moves"), [((1,), [0.06]), ((0,), [-0.1]), ((0, 2), [-0.08, 0.05])])
def test_what_a_move_brings_is_what_many_mixings_weighted_by_it_say(which, moves):
    """E[f | some factors move], by plain draws of the mixing variables; spread and tails by the paths."""
    tree = static_drivers("2024-02-29", draws=1)
    law = opened(predict(tree))
    m, which, rng = law.moments, np.array(which), np.random.default_rng(4)
    shocked = conditional(law, which, np.array(moves))
    n, nu = 400_000, m.factor_nu[0, 0]
    square = (nu - 2.0) / rng.chisquare(nu, (n, len(nu)))  # of mean 1
    root = law.root[0, 0]
    parts = [root[:, m.block == b] @ root[:, m.block == b].T for b in range(len(nu))]
    covariance = np.einsum("nb,bkl->nkl", square, np.stack(parts))
    gap = np.array(moves) - m.factor_mean[0, 0, which]
    own = covariance[:, which[:, None], which]
    solved = np.linalg.solve(own, np.broadcast_to(gap[:, None], (n, len(which), 1)))[..., 0]
    weight = np.exp(-0.5 * (np.linalg.slogdet(own)[1] + solved @ gap))
    weight /= weight.sum()
    given = m.factor_mean[0, 0] + np.einsum("nkw,nw->nk", covariance[:, :, which], solved)
    expected = weight @ given
    error = np.sqrt((weight**2) @ (given - expected) ** 2)
    assert np.all(np.abs(shocked.expected[0, 0] - expected) < 5.0 * error + 0.01 * np.abs(expected))
    f = shocked.simulate(block_rng(1), np.zeros(40_000, dtype=int)).factor_returns[:, 0]
    np.testing.assert_allclose(f[:, which], np.broadcast_to(moves, (40_000, len(which))), atol=1e-12)
    inner = covariance - covariance[:, :, which] @ np.linalg.solve(own, covariance[:, which])
    second = weight @ (np.diagonal(inner, axis1=1, axis2=2) + (given - expected) ** 2)
    free = np.setdiff1d(np.arange(3), which)
    # The sd of a t(4): estimates of it are wide.
    np.testing.assert_allclose(f.std(axis=0)[free], np.sqrt(second)[free], rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shock_to_a_driver_whose_market_is_closed_is_taken_as_if_open(kind):
    tree = KINDS[kind](draws=20, chains=2)
    names = tree[s.CONSTANT_DATA][s.FACTOR].values
    assets = tree[s.OBSERVED_DATA][s.ASSET].values
    equal = dict.fromkeys(assets, 1.0 / len(assets))
    shocks = {
        "driver": bf.FactorShock({names[1]: -0.05}, horizon=3),
        "market": bf.FactorShock({names[0]: -0.1}),
        "reverse": bf.ReverseStress(0.2),
        "regime": bf.RegimeShift(volatility=2.0, correlation=0.5, horizon=2),
    }
    found = bf.stress(tree, equal, shocks, paths=20, random_seed=1)
    move = found["factor_move"]
    assert "is closed in the next period; taken as if open" in str(
        found["note"].sel(scenario="driver").values
    )
    assert float(move.sel(scenario="driver")[1]) != 0.0
    assert abs(float(move.sel(scenario="driver")[0])) > 1e-4  # the market answers
    assert float(move.sel(scenario="market")[1]) == 0.0  # and a closed driver does not
    assert float(move.sel(scenario="reverse")[1]) == 0.0
    assert np.isfinite(found["plausibility"].values[:3]).all()
    assert np.isfinite(found["es"]).all()
    stored = bf.forecast(tree, 1, paths=2, random_seed=1)
    with pytest.raises(bf.errors.RiskError, match="market of a shocked factor is closed"):
        bf.stress(stored, equal, [bf.FactorShock({names[1]: -0.05})])


# --- days that come ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_days_added_one_by_one_are_bitwise_all_days_at_once(kind):
    """A driver's variance waits over closed days, and the calendar goes on."""
    tree = KINDS[kind](draws=2)
    whole = law_of(tree)
    cut = whole.returns.shape[1] - 6
    early = tree.copy()
    for group in (s.OBSERVED_DATA, s.CONSTANT_DATA):
        early[group] = tree[group].to_dataset().isel({s.TIME: slice(0, cut)})
    early.attrs |= s.label_digests(early[s.CONSTANT_DATA].to_dataset())
    if s.STATE in early.children:
        del early[s.STATE]
    law = law_of(early)
    for t in range(cut, cut + 6):
        day = (whole.returns[:, t : t + 1], whole.factors[:, t : t + 1])
        law = law.advance(*day, whole.own_weights, whole.opened[:, t : t + 1])
    np.testing.assert_array_equal(law.calendar.ahead(9), whole.calendar.ahead(9))
    one, other = law.moments(3), whole.moments(3)
    np.testing.assert_array_equal(one.factor_covariance, other.factor_covariance)
    np.testing.assert_array_equal(one.specific_variance, other.specific_variance)


def test_closed_days_are_no_news_to_a_drivers_variance():
    """h' = sigma^2 (1 - p) + p h over the weekend that follows."""
    law = law_of(garch_drivers(draws=1))
    m, own = law.moments(3), law.shocks.own[0]
    h = law.state[1].variance[0, 1]
    for _ in range(2):
        h = own[0, 1] ** 2 * (1.0 - own[1, 1]) + own[1, 1] * h
    assert m.shock_variance[0, 2, 1] == pytest.approx(h, rel=1e-12)
    saturday = law_of(garch_drivers(SATURDAY, draws=1))
    assert np.isfinite(saturday.factor_log_likelihood()).all()


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
def test_factors_with_nu_near_two_are_named_in_the_warning():
    tree = static_drivers("2024-02-29", draws=20, chains=2)
    post = tree[s.POSTERIOR].to_dataset()
    low = post[s.FACTOR_NU].copy()
    low[..., 0] = 2.05
    tree[s.POSTERIOR] = post.assign({s.FACTOR_NU: low})
    equal = dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values, 1.0 / 3.0)
    with pytest.warns(UserWarning, match=r"nu below 2.2, whose variance barely exists \(market\)"):
        risk = bf.decompose_risk(tree, equal, paths=10, random_seed=1)
    assert 0.25 < risk.attrs["volatility_share_of_barely_finite_variances"] <= 1.0


@pytest.mark.parametrize("last", ["2024-02-29", FRIDAY])
@pytest.mark.parametrize("kind", ["static", "lowrank"])
def test_the_plausibility_of_a_joint_move_is_scipys_density_of_its_shocks(kind, last):
    """Blocks of shocks u = M^-1 (f - m), innovations beside or in one of them; slopes as differences are."""
    m = predict(KINDS[kind](last, draws=1)).moments
    m = m.of_factors(m.moving)
    held, n = np.arange(m.alpha.shape[1]), m.loadings.shape[2]
    density = worst.log_density(m, held)
    back = np.eye(n) if m.shocks is None else np.linalg.inv(m.shocks[0, 0])
    covariance = back @ m.factor_covariance[0, 0] @ back.T

    def expected(x):
        u, e, total = back @ (x[:n] - m.factor_mean[0, 0]), x[n:], 0.0
        for b, nu in enumerate(m.factor_nu[0, 0]):
            at = np.flatnonzero(m.block == b)
            z, shape = u[at], covariance[np.ix_(at, at)]
            if b == m.joint:
                shape = linalg.block_diag(shape, np.diag(m.specific_variance[0, 0]))
                z = np.concatenate([z, e])
            if len(z):
                total += stats.multivariate_t(np.zeros(len(z)), shape * (nu - 2.0) / nu, df=nu).logpdf(z)
        if m.joint < 0:
            nu = m.specific_nu[0, 0]
            size = np.sqrt(m.specific_variance[0, 0] * (nu - 2.0) / nu)
            total += (stats.t.logpdf(e / size, nu) - np.log(size)).sum()
        return total

    points = 0.03 * np.random.default_rng(1).normal(size=(4, n + len(held)))
    gaps = [density(x)[0] - expected(x) for x in points]
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-9)
    step = 1e-6 * np.eye(n + len(held))
    slopes = [(density(points[0] + h)[0] - density(points[0] - h)[0]) / 2e-6 for h in step]
    np.testing.assert_allclose(density(points[0])[1], slopes, rtol=1e-5, atol=1e-5)
