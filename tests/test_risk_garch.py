"""Risk of models with skew and volatility dynamics: against closed forms, simulation and linear algebra."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from garch_trees import garch_tree
from scipy import optimize

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import CompareError, ModelError, PanelError
from bayesfactor.forecast import predict
from bayesfactor.laws import drifting, law_of, skewed
from bayesfactor.laws.rows import row_log_likelihood
from bayesfactor.risk.asymmetric import asymmetric_tails
from bayesfactor.risk.conditional import conditional_tails
from bayesfactor.risk.exact import Book

LEVELS = np.array([0.9, 0.95, 0.99])
FEW = np.arange(4)
pytestmark = pytest.mark.filterwarnings(
    "ignore:the Monte-Carlo error of ES", "ignore:no posterior of VaR and ES"
)


def tails(tree, weights, horizon=1, levels=LEVELS, draws=FEW):
    """Return tails given some draws of a tree, and the book they are of."""
    found = predict(tree, horizon, random_seed=1)
    book = Book(found.moments.take(draws), np.asarray(weights, dtype=float))
    return asymmetric_tails(book, levels, found.law, draws), book


def by_hand(level, nu, skew):
    """Return quantile and shortfall of one skewed t, its quantile by bisection of its own cdf."""
    q = optimize.brentq(lambda z: skewed.cdf(z, nu, skew) - level, -200, 200, xtol=1e-13)
    return q, float(skewed.partial_mean(q, nu, skew)) / (1 - level)


def alone(tree, *, factor):
    """Leave of a tree one term alone: its factor's shock, or the innovation of its first asset."""
    tree = tree.copy(deep=True)
    post, const = tree[s.POSTERIOR], tree[s.CONSTANT_DATA]
    quiet = (s.SIGMA, s.INITIAL_VARIANCE) if factor else (s.FACTOR_SCALE, s.INITIAL_FACTOR_VARIANCE)
    post[quiet[0]][:] = 1e-9
    const[quiet[1]][:] = 1e-18
    # A variance follows the data, unless it keeps nothing of them.
    post[s.PERSISTENCE if factor else s.FACTOR_PERSISTENCE][:] = 0.0
    return tree


@pytest.fixture(scope="module")
def skewed_tree():
    return garch_tree(n_assets=4, n_factors=2, draws=50, scored=(0.0, 1.0))


@pytest.fixture(scope="module")
def own_tree():
    return garch_tree(n_assets=4, n_factors=1, draws=50, own_market=True)


@pytest.mark.parametrize("factor", [True, False])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_one_term_has_its_own_quantile_and_shortfall(factor, side):
    tree = alone(garch_tree(n_assets=2, n_factors=1), factor=factor)
    found, book = tails(tree, [side, 0.0])
    m = book.moments
    for d in FEW:
        c = -side * (m.loadings[d, 0, 0] if factor else 1.0)
        variance = m.factor_covariance[d, 0, 0, 0] if factor else m.specific_variance[d, 0, 0]
        nu = (m.factor_nu if factor else m.specific_nu)[d, 0, 0]
        skew = (m.factor_skew if factor else m.specific_skew)[d, 0, 0]
        for i, level in enumerate(LEVELS):
            q, shortfall = by_hand(level, nu, np.sign(c) * skew)
            size = abs(c) * np.sqrt(variance)
            assert found.var[i, d] == pytest.approx(book.mean_loss[d] + size * q, rel=1e-4)
            assert found.es[i, d] == pytest.approx(book.mean_loss[d] + size * shortfall, rel=4e-4)


@pytest.mark.parametrize("own_market", [False, True])
def test_without_skew_one_period_is_the_sum_of_symmetric_ts(own_market):
    tree = garch_tree(n_assets=4, n_factors=1 + (not own_market), skewed=False, own_market=own_market)
    weights = [0.5, -0.2, 0.4, 0.3]
    found, book = tails(tree, weights)
    assert book.moments.elliptical
    known = conditional_tails(book, LEVELS)
    for name in ("var", "es"):
        want = getattr(known, name)
        np.testing.assert_allclose(getattr(found, name), want, rtol=3e-4)
        parts = getattr(known, f"{name}_contribution")
        np.testing.assert_allclose(getattr(found, f"{name}_contribution"), parts, atol=5e-4 * want.mean())


def test_shocks_that_factors_share_are_the_same_law_as_factors_in_blocks_of_their_own():
    """Factors that do not respond to each other are blocks of one factor each."""
    tree = garch_tree(n_assets=3, n_factors=2, skewed=False)
    tree[s.POSTERIOR][s.FACTOR_RESPONSE][:] = 0.0
    m = predict(tree).moments
    weights = np.array([0.5, 0.2, -0.4])
    one, other = (conditional_tails(Book(x, weights), LEVELS) for x in (m, replace(m, shocks=None)))
    for name in ("var", "es", "var_contribution", "es_contribution"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-15)


def test_a_shock_is_given_to_every_factor_that_it_moves():
    """With one shock alone, all of the loss beyond its mean is that shock, through all factors it moves."""
    tree = garch_tree(n_assets=3, n_factors=2, skewed=False)
    m = predict(tree).moments
    variance = m.shock_variance * np.array([1.0, 0.0])
    m = replace(
        m,
        factor_covariance=np.einsum("dhkb,dhb,dhlb->dhkl", m.shocks, variance, m.shocks),
        specific_variance=1e-20 * m.specific_variance,
    )
    np.testing.assert_allclose(m.shock_variance, variance, atol=1e-18)
    book = Book(m, np.array([0.5, 0.2, 0.4]))
    found = conditional_tails(book, LEVELS)
    beyond = found.es_contribution - book.mean_parts()[:, None]
    by_factor = beyond[..., :2].sum(axis=2)
    share = book.exposures * m.shocks[:, 0, :, 0]
    share = share / share.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        by_factor, share[:, None] * (found.es.T - book.mean_loss[:, None])[..., None], rtol=1e-8
    )


@pytest.mark.parametrize(("horizon", "which"), [(1, "skewed"), (5, "skewed"), (5, "own"), (5, "symmetric")])
def test_tails_and_who_makes_them_are_what_simulation_says(horizon, which, skewed_tree, own_tree):
    symmetric = garch_tree(n_assets=4, n_factors=2, skewed=False, scored=(1.0, 0.0), nu=4.0)
    tree = {"skewed": skewed_tree, "own": own_tree, "symmetric": symmetric}[which]
    weights, d, n = np.array([0.7, -0.2, 0.3, 0.4]), 2, 400_000
    found, book = tails(tree, weights, horizon, draws=np.arange(d, d + 4))
    law = replace(drifting(law_of(tree), tree, "zero"), floor=False)
    block = law.simulate(np.random.default_rng(5), horizon, np.full(n, d))
    m = book.moments
    f, e = block.factor_returns.sum(axis=1), block.specific_returns.sum(axis=1)
    factor, specific = -weights[:, None] * m.loadings[0] * f[:, None, :], -weights * e
    drift = np.broadcast_to(-horizon * weights * m.alpha[0], specific.shape)
    parts = np.concatenate([factor, specific[..., None], drift[..., None]], axis=2)
    loss = parts.sum(axis=(1, 2))
    for i, level in enumerate(LEVELS):
        var = found.var[i, 0]
        error = np.sqrt(level * (1 - level) / n)
        assert (loss > var).mean() == pytest.approx(1 - level, abs=4.5 * error)
        beyond = parts[loss > np.quantile(loss, level)]
        # The quantile is estimated too, which doubles what the mean beyond it alone would have.
        error = 2.0 * loss[loss > var].std() / np.sqrt(len(beyond))
        assert found.es[i, 0] == pytest.approx(beyond.sum(axis=(1, 2)).mean(), abs=3.0 * error)
        error = 2.0 * beyond.std(axis=0) / np.sqrt(len(beyond)) + 1e-12
        assert np.all(np.abs(found.es_contribution[0, i] - beyond.mean(axis=0)) < 4.0 * error)
        near = parts[(loss > var * 0.97) & (loss < var * 1.03)]
        error = near.std(axis=0) / np.sqrt(len(near)) + 0.004 * var
        assert np.all(np.abs(found.var_contribution[0, i] - near.mean(axis=0)) < 4.0 * error)


def test_numerical_errors_are_below_a_twentieth_of_the_posterior_sd(skewed_tree):
    draws = np.arange(0, 100, 5)
    for horizon, weights in ((1, [1, 1, 1, 1]), (10, [1, 1, 1, 1]), (10, [1, -1, 1, -1]), (10, [1, 0, 0, 0])):
        found, _ = tails(skewed_tree, weights, horizon, draws=draws)
        for name in ("var", "es"):
            spread = getattr(found, name).std(axis=1)
            assert np.all(getattr(found, f"{name}_mcse") < 0.05 * spread)


@pytest.mark.parametrize("horizon", [1, 3])
def test_every_total_is_the_sum_of_its_parts(horizon, own_tree):
    w = dict(zip(own_tree[s.OBSERVED_DATA][s.ASSET].values, [0.5, -0.3, 0.4, 0.2], strict=True))
    risk = bf.decompose_risk(own_tree, w, horizon=horizon, paths=20, random_seed=2)
    assert risk.attrs["tail_posteriors"] == "exact"
    for name in ("volatility", "var", "es", "volatility_posterior", "var_posterior", "es_posterior"):
        stem, _, kind = name.partition("_")
        parts = risk[f"{stem}_contribution{'_' + kind if kind else ''}"].sum(("asset", "component"))
        np.testing.assert_allclose(parts.transpose(*risk[name].dims), risk[name], rtol=1e-10, atol=1e-14)
        assert np.isfinite(risk[name]).all()


def test_permuting_assets_changes_nothing_but_labels():
    tree, order = garch_tree(draws=30), [2, 0, 3, 1]
    w = dict(zip(tree[s.OBSERVED_DATA][s.ASSET].values, [0.5, -0.3, 0.4, 0.2], strict=True))
    a, b = (
        bf.decompose_risk(x, w, horizon=2, paths=5, random_seed=4) for x in (tree, tree.isel(asset=order))
    )
    xr.testing.assert_identical(a.isel(asset=order), b)


def test_twice_the_weights_is_twice_the_risk(skewed_tree):
    one, _ = tails(skewed_tree, [0.5, -0.3, 0.4, 0.2], 3)
    two, _ = tails(skewed_tree, [1.0, -0.6, 0.8, 0.4], 3)
    for name in ("var", "es", "var_contribution", "es_contribution"):
        np.testing.assert_allclose(2.0 * getattr(one, name), getattr(two, name), rtol=1e-9, atol=1e-14)


def test_returns_in_another_unit_have_risk_in_that_unit():
    """A fit of returns in per cent: levels times 100, variances times 10 000, all else alike."""
    tree = garch_tree(draws=30)
    scaled = tree.copy(deep=True)
    for group, names, by in (
        (s.POSTERIOR, (s.ALPHA, s.SIGMA, s.FACTOR_LOCATION, s.FACTOR_SCALE), 100.0),
        (s.CONSTANT_DATA, (s.FACTOR_RETURNS,), 100.0),
        (s.CONSTANT_DATA, (s.INITIAL_VARIANCE, s.INITIAL_FACTOR_VARIANCE), 1e4),
        (s.OBSERVED_DATA, (s.RETURNS,), 100.0),
    ):
        for name in names:
            scaled[group][name][:] = by * scaled[group][name].values
    one, other = (tails(x, [0.5, -0.3, 0.4, 0.2], 3)[0] for x in (tree, scaled))
    for name in ("var", "es", "es_contribution"):
        np.testing.assert_allclose(100.0 * getattr(one, name), getattr(other, name), rtol=1e-8, atol=1e-12)


def test_stored_predictions_are_the_streamed_ones(own_tree, tmp_path):
    w = dict(zip(own_tree[s.OBSERVED_DATA][s.ASSET].values, [0.5, -0.3, 0.4, 0.2], strict=True))
    tree = bf.forecast(own_tree, 1, paths=20, random_seed=6)
    bf.save(tree, tmp_path / "fit.nc")
    stored = bf.decompose_risk(bf.load(tmp_path / "fit.nc"), w)
    streamed = bf.decompose_risk(own_tree, w, paths=20, random_seed=6)
    for name in stored.data_vars:
        np.testing.assert_allclose(stored[name], streamed[name], rtol=1e-8, atol=1e-12)
    back, law = predict(tree, 1).moments, predict(own_tree, 1).moments
    for name in ("shocks", "factor_skew", "specific_skew", "chained"):
        np.testing.assert_array_equal(getattr(back, name), getattr(law, name))


def test_several_stored_periods_have_predictive_numbers_and_say_why_no_more(skewed_tree):
    w = dict.fromkeys(skewed_tree[s.OBSERVED_DATA][s.ASSET].values, 0.25)
    tree = bf.forecast(skewed_tree, 3, paths=20, random_seed=6)
    with pytest.warns(UserWarning, match="no posterior of VaR and ES: .*without its group 'predictions'"):
        stored = bf.decompose_risk(tree, w, horizon=3)
    streamed = bf.decompose_risk(skewed_tree, w, horizon=3, paths=20, random_seed=6)
    for name in stored.data_vars:
        if name.startswith("volatility") or "posterior" not in name:
            np.testing.assert_allclose(stored[name], streamed[name], rtol=1e-8, atol=1e-12)
        else:
            assert stored[name].isnull().all()
    assert "stored predictions" in stored.attrs["tail_posteriors"]


@pytest.mark.parametrize("options", [{}, {"given": "nothing"}, {"by": "observation"}])
def test_compare_sends_rows_given_the_past_to_the_backtest(skewed_tree, options):
    with pytest.raises(CompareError, match=r"leaves it in the filter.*bf\.backtest.*az\.lfo_cv"):
        bf.compare({"a": skewed_tree, "b": skewed_tree}, **options)


def panel_of(tree):
    found = xr.merge(
        [
            tree[s.OBSERVED_DATA].to_dataset()[[s.RETURNS]],
            tree[s.CONSTANT_DATA].to_dataset()[[s.FACTOR_RETURNS]],
        ]
    )
    return found.assign_attrs(tree[s.OBSERVED_DATA].attrs)


def test_rows_given_the_past_go_on_from_the_days_of_the_fit():
    whole = garch_tree(n_times=60)
    panel = panel_of(whole)
    short = whole.copy()
    for group in (s.OBSERVED_DATA, s.CONSTANT_DATA):
        short[group] = xr.DataTree(whole[group].to_dataset().isel(time=slice(0, 45)))
    rows = row_log_likelihood(short, panel)
    np.testing.assert_array_equal(rows, whole[s.LOG_LIKELIHOOD][s.RETURNS])
    for bad in (panel.isel(time=slice(45, 60)), panel.isel(time=slice(1, 60)), panel.isel(time=slice(0, 44))):
        with pytest.raises(
            PanelError, match="starts with those of the fit, 45 from 2024-01-01 to 2024-02-14; got"
        ):
            row_log_likelihood(short, bad)
    with pytest.raises(PanelError, match="starts with those of the fit"):
        row_log_likelihood(short, panel.isel(time=[*range(45), 50, 48]))


def test_diagnosis_and_attribution_read_such_trees():
    tree = garch_tree(n_assets=4, n_factors=2, n_times=80, draws=60)
    w = dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values, 0.25)
    assert bf.diagnose(tree).attrs["adequacy"] in ("ok", "warn")
    parts = bf.attribute_returns(tree, w)
    np.testing.assert_allclose(parts.contribution.sum("component"), parts.realised, rtol=1e-10)
    for verb in (bf.systematic_share, bf.select_factors, bf.decompose_premium):
        assert verb(tree).sizes["asset"] == 4


def test_leave_future_out_scores_days_by_a_filter_that_ran_through_those_before():
    tree = garch_tree(n_times=60, missing=False)
    wrapper = object.__new__(bf.FactorModelWrapper)
    wrapper.panel, wrapper.past, wrapper.given = panel_of(tree), True, None
    kept, left_out = wrapper.sel_observations(np.arange(50, 60))
    refit = tree.copy()
    for group in (s.OBSERVED_DATA, s.CONSTANT_DATA):
        refit[group] = xr.DataTree(tree[group].to_dataset().isel(time=slice(0, kept.sizes["time"])))
    # The next three days of ten that were left out, as az.lfo_cv asks for them.
    found = wrapper.log_likelihood__i(left_out.isel(time=slice(0, 3)), refit)
    xr.testing.assert_equal(found, tree[s.LOG_LIKELIHOOD][s.RETURNS].isel(time=slice(50, 53)))
    with pytest.raises(ModelError, match="conditional on the past"):
        wrapper.sel_observations([20])
