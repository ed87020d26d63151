"""Expected returns: none unless asked for, the same in every verb, and a mean where they are asked for."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from trees import make_tree, with_means

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import CardError, RiskError, SchemaError
from bayesfactor.forecast import predict
from bayesfactor.laws import law_of, means_of
from bayesfactor.laws.drift import _sample_means
from bayesfactor.laws.yearly import draw_prior, per_period

pytestmark = pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
YEARLY = {"dist": "Normal", "dims": ["asset"], "transform": "per_year", "kwargs": {"mu": 0.0, "sigma": 1.9}}


def weights_of(tree):
    assets = tree[s.OBSERVED_DATA][s.ASSET].values.tolist()
    return {a: (-1) ** i * (i + 1) / 10 for i, a in enumerate(assets)}


TREES = {
    "static": lambda: make_tree(4, 2, draws=30),
    "own market": lambda: make_tree(4, 1, draws=30, own_market=True),
    "latent": lambda: latent_tree(draws=30),
    "garch": lambda: garch_tree(n_assets=3, draws=30),
}


@pytest.mark.parametrize("name", TREES)
def test_nothing_is_expected_of_any_coin_unless_it_is_asked_for(name):
    tree = TREES[name]()
    assert np.abs(tree[s.POSTERIOR][s.ALPHA].values).max() > 0.0
    m = predict(tree, 3).moments
    assert not m.alpha.any()
    assert not m.factor_mean.any()
    risk = bf.decompose_risk(tree, weights_of(tree), horizon=3, paths=2, random_seed=1)
    assert risk.attrs["drift"] == "zero"
    parts = risk["es_contribution"].sel(component=s.DRIFT).values
    assert not parts.any()
    assert not np.signbit(parts).any()
    assert not risk["volatility_contribution"].sel(component=s.DRIFT).values.any()


VERBS = {
    "decompose_risk": lambda t, w, **k: bf.decompose_risk(t, w, paths=2, random_seed=1, **k),
    "incremental_risk": lambda t, w, **k: bf.incremental_risk(
        t, w, {"a": {next(iter(w)): 0.1}}, paths=2, random_seed=1, **k
    ),
    "stress": lambda t, w, **k: bf.stress(t, w, bf.RegimeShift(), paths=2, random_seed=1, **k),
    "allocate": lambda t, _, **k: bf.allocate(t, "min_volatility", scenarios=100, random_seed=1, **k),
    "forecast": lambda t, _, **k: bf.forecast(t, random_seed=1, **k)[s.PREDICTIONS],
    "stack": lambda t, _, **k: bf.stack({"a": t}, {"a": 1.0}, random_seed=1, **k)[s.PREDICTIONS],
    "prior_sensitivity": lambda t, w, **k: bf.prior_sensitivity(t, w, draws=100, **k),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_same_words_and_says_which_it_was(verb):
    tree = make_tree(3, 1, draws=50)
    for drift in ("zero", "posterior", "prior"):
        found = VERBS[verb](tree, weights_of(tree), **({} if drift == "zero" else {"drift": drift}))
        assert found.attrs["drift"] == drift
    with pytest.raises(RiskError, match="did you mean 'posterior'"):
        VERBS[verb](tree, weights_of(tree), drift="posteriour")


@pytest.mark.parametrize("name", TREES)
def test_what_is_asked_for_is_the_mean_of_simulated_futures(name):
    """A future's mean return, over many paths, is that of the moments: the law has one mean, not two."""
    tree = TREES[name]()
    found = predict(tree, drift="prior", random_seed=1)
    m = found.moments
    assert np.abs(m.alpha).max() > 1e-4
    w = np.array(list(weights_of(tree).values()))[found.labels.order]
    exposures = np.einsum("i,dik->dk", w, m.loadings)
    exact = m.alpha @ w + np.einsum("dk,dk->d", exposures, m.factor_mean[:, 0])
    gaps = np.zeros((200, m.n_draws))
    for i, block in enumerate(found.scenarios(range(200))):
        assert block.floored < 20
        f, e = block.factor_returns[:, 0], block.specific_returns[:, 0]
        gaps[i] = m.alpha[block.draws] @ w + (exposures * f).sum(axis=1) + e @ w - exact
    # Five standard errors.
    assert abs(gaps.mean()) < 5.0 * gaps.std() / np.sqrt(gaps.size)
    assert m.alpha.std() > 0.0


def test_stored_predictions_are_used_where_they_are_of_the_drift_asked_for():
    tree = make_tree(3, 1, draws=30)
    w = weights_of(tree)
    stored = bf.forecast(tree, 2, paths=3, drift="posterior", random_seed=5)
    asked = bf.decompose_risk(stored, w, horizon=2, drift="posterior", random_seed=9)
    assert asked.attrs["scenarios"] == 3 * 120
    assert asked.attrs["random_seed"] == "5"
    fresh = bf.decompose_risk(stored, w, horizon=2, paths=3, random_seed=9)
    assert fresh.attrs["drift"] == "zero"
    xr.testing.assert_identical(fresh, bf.decompose_risk(tree, w, horizon=2, paths=3, random_seed=9))
    mixture = bf.stack({"a": tree}, {"a": 1.0}, horizon=2, drift="posterior", random_seed=1)
    with pytest.raises(RiskError, match=r"have the expected returns drift='posterior', and drift='zero'"):
        bf.decompose_risk(mixture, w, horizon=2)
    assert bf.decompose_risk(mixture, w, horizon=2, drift="posterior").attrs["drift"] == "posterior"


def test_risk_in_a_report_is_of_one_drift(tmp_path):
    tree = make_tree(3, 1, draws=100)
    w = weights_of(tree)
    risk = bf.decompose_risk(tree, w, paths=20, drift="posterior", random_seed=1)
    plain = bf.stress(tree, w, bf.RegimeShift(), paths=2, random_seed=1)
    out = tmp_path / "r.md"
    bf.report(tree, w, out, risk=risk, allow_unconverged=True, random_seed=1)
    assert "means given the data and the prior" in out.read_text(encoding="utf-8")
    assert "drift='posterior'" in out.read_text(encoding="utf-8")
    with pytest.raises(RiskError, match="risk has drift posterior, and drift=zero is asked for"):
        bf.report(tree, w, out, risk=risk, drift="zero", allow_unconverged=True)
    with pytest.raises(RiskError, match="stress has the expected returns drift='zero'"):
        bf.report(tree, w, out, risk=risk, stress=plain, allow_unconverged=True)
    old = risk.copy()
    del old.attrs["drift"]
    with pytest.raises(RiskError, match="does not say which expected returns"):
        bf.report(tree, w, out, risk=old, allow_unconverged=True)


def test_the_posterior_of_means_is_that_of_normal_sample_means():
    """Conjugate algebra by another route: precisions add up, of factors and of what they leave."""
    tree = make_tree(4, 2, n_times=200, draws=2000, chains=2, missing=0.1)
    law = law_of(tree)
    got = means_of(law, tree, "posterior")
    z = np.concatenate([got.factors, got.alpha], axis=1)
    seen, error = _sample_means(law)
    const = tree[s.CONSTANT_DATA].to_dataset()
    sd = np.concatenate([3.8 * const[s.FACTOR_UNIT].values, np.full(4, 1.9 * float(const[s.RETURNS_UNIT]))])
    precision = np.diag(365.0 / sd**2) + np.linalg.inv(error)
    covariance = np.linalg.inv(precision)
    kept = covariance @ np.linalg.inv(error)
    exact = covariance + kept @ np.cov(seen, rowvar=False) @ kept.T
    size = np.sqrt(np.diag(exact))
    # Of 4000 draws: five standard errors of a mean, and of a standard deviation.
    np.testing.assert_allclose(z.mean(axis=0), kept @ seen.mean(axis=0), atol=5.0 * size.max() / 4000**0.5)
    np.testing.assert_allclose(z.std(axis=0), size, rtol=5.0 / 8000**0.5)
    np.testing.assert_allclose(np.corrcoef(z.T), exact / np.outer(size, size), atol=5.0 / 4000**0.5)


def test_sample_means_are_those_of_least_squares_on_each_coin_s_own_days():
    tree = make_tree(3, 2, n_times=90, draws=3, chains=2, missing=0.2)
    law = law_of(tree)
    seen, error = _sample_means(law)
    for i in range(3):
        days = np.isfinite(law.returns[i])
        for d in range(6):
            left = law.returns[i, days] - law.loadings[d, i] @ law.factors[:, days]
            assert seen[d, 2 + i] == pytest.approx(left.mean(), abs=1e-15)
        left = law.returns[i, days] - law.loadings.mean(axis=0)[i] @ law.factors[:, days]
        # Ten days of the typical coin are in it.
        assert error[2 + i, 2 + i] == pytest.approx(left.var(ddof=1) / days.sum(), rel=0.2)
    np.testing.assert_allclose(error[:2, :2], np.cov(law.factors) / 90.0, rtol=1e-12)


def test_a_coin_without_a_return_is_expected_to_return_what_the_prior_says():
    tree = make_tree(3, 1, draws=1000, missing=0.0)
    data = tree[s.OBSERVED_DATA].to_dataset()
    data[s.RETURNS][:, 1] = np.nan
    tree[s.OBSERVED_DATA] = xr.DataTree(data)
    found = means_of(law_of(tree), tree, "posterior").alpha
    sd = 1.9 * float(tree[s.CONSTANT_DATA][s.RETURNS_UNIT]) / 365**0.5
    assert found[:, 1].std() == pytest.approx(sd, rel=0.08)  # 4000 draws: five standard errors are 0.056
    assert found[:, 0].std() < 0.9 * sd


@pytest.mark.parametrize("drift", ["posterior", "prior"])
def test_means_are_the_same_in_every_verb_whatever_its_seed(drift):
    tree = make_tree(3, 1, draws=20)
    one, two = (predict(tree, drift=drift, random_seed=i).moments for i in (1, 2))
    np.testing.assert_array_equal(one.alpha, two.alpha)
    np.testing.assert_array_equal(one.factor_mean, two.factor_mean)


def test_a_tree_without_its_card_has_no_drift_but_zero():
    tree = make_tree(3, 1, draws=20)
    tree.attrs["card"] = 'name = "x"'
    assert bf.decompose_risk(tree, weights_of(tree), paths=2).attrs["drift"] == "zero"
    with pytest.raises(SchemaError, match=r"missing: 'priors'. Use drift=\"zero\""):
        bf.decompose_risk(tree, weights_of(tree), drift="posterior")


def test_filters_of_a_backtest_keep_the_centre_they_were_fitted_with():
    """A law that is moved on by a day, then given means, has the variances of the fit's own residuals."""
    tree = garch_tree(n_assets=3, draws=20)
    law = law_of(tree)
    means = means_of(law, tree, "zero")
    ahead = law.with_means(means.alpha, means.factors)
    for one, two in zip(law.moments(3).specific_variance, ahead.moments(3).specific_variance, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(law.moments(3).factor_covariance, ahead.moments(3).factor_covariance)
    other = with_means(tree, "prior")
    factors = other[s.POSTERIOR][s.FACTOR_LOCATION].values.reshape(law.n_draws, -1)
    given = law.with_means(means.alpha, factors).moments(1).factor_mean[:, 0]
    np.testing.assert_allclose(given, factors, atol=1e-15)


# --- priors per year ------------------------------------------------------------------------------


def panel_of(periods_per_year, freq):
    panel, _ = bf.simulate_panel(n_assets=3, n_days=60, n_factors=1, random_seed=1)
    days = pd.date_range("2023-01-01", periods=panel.sizes[s.TIME], freq=freq)
    panel = panel.assign_coords({s.TIME: days.values.astype("datetime64[ns]")})
    return panel.assign_attrs(periods_per_year=periods_per_year)


PERIODS = {"hourly": (8760, "h"), "daily": (365, "D"), "weekly": (52, "7D")}


@pytest.mark.parametrize("model", bf.list_models())
def test_a_card_believes_the_same_sharpe_ratio_a_year_at_any_step(model):
    """The prior standard deviation of alpha and factor_location, read off the graph, times root periods a year."""
    card = bf.get_model(model)
    found = {}
    for name, (periods, freq) in PERIODS.items():
        panel = panel_of(periods, freq)
        graphs = [card.build(panel), *([card.build_factor_law(panel)] if card.observes_factors else [])]
        sds = []
        for graph, slot in zip(graphs, ("alpha", "factor_location"), strict=False):
            # The parameters of the graph's own Normal: generator and size come before them.
            mu, sigma = graph[slot].owner.inputs[-2:]
            assert not np.any(mu.eval())
            sds.append(float(np.max(sigma.eval())) * periods**0.5)
        found[name] = sds
    for name in PERIODS:
        np.testing.assert_allclose(found[name], [1.9, 3.8][: len(found[name])], rtol=1e-12)


def test_prior_draws_have_the_same_sharpe_ratio_a_year_at_any_step():
    for periods, freq in PERIODS.values():
        panel = panel_of(periods, freq)
        tree = bf.sample_prior_predictive("hierarchical-t", panel, draws=1000, random_seed=1)
        unit = float(tree[s.CONSTANT_DATA][s.RETURNS_UNIT])
        sharpe = tree["prior"][s.ALPHA].values / unit * periods**0.5
        # 3000 draws: five standard errors of a standard deviation are 6.5 %.
        assert sharpe.std() == pytest.approx(1.9, rel=0.065)


HYPER = {
    "a half-normal scale": {"dist": "HalfNormal", "kwargs": {"sigma": 2.0}},
    "a log-normal scale": {"dist": "LogNormal", "kwargs": {"mu": 0.3, "sigma": 0.5}},
    "a gamma scale": {"dist": "Gamma", "kwargs": {"alpha": 3.0, "beta": 2.0}},
    "a gamma scale by its mean": {"dist": "Gamma", "kwargs": {"mu": 1.5, "sigma": 0.5}},
    "an exponential scale": {"dist": "Exponential", "kwargs": {"lam": 2.0}},
    "an inverse gamma scale by its mean": {"dist": "InverseGamma", "kwargs": {"mu": 1.5, "sigma": 0.5}},
    "a half-t scale": {"dist": "HalfStudentT", "kwargs": {"nu": 4.0}},
    "a Weibull scale": {"dist": "Weibull", "kwargs": {"alpha": 2.0, "beta": 1.5}},
    "numbers by coin": [1.5, 2.5],
    "an inverse gamma scale": {"dist": "InverseGamma", "kwargs": {"alpha": 4.0, "beta": 3.0}},
    "a number": 1.5,
}


@pytest.mark.parametrize("name", HYPER)
def test_whatever_stands_above_a_mean_is_divided_with_it(name):
    spec = {
        **YEARLY,
        "kwargs": {"mu": {"dist": "Normal", "kwargs": {"mu": 0.5, "sigma": 1.0}}, "sigma": HYPER[name]},
    }
    scaled = per_period({"alpha": spec}, 100.0)["alpha"]
    plain = {k: v for k, v in spec.items() if k != "transform"}
    one = draw_prior(np.random.default_rng(1), "alpha", plain, 500, 2)
    two = draw_prior(np.random.default_rng(1), "alpha", scaled, 500, 2)
    np.testing.assert_allclose(two, 0.1 * one, rtol=1e-9)


REFUSED = {
    "a slot that is no mean": ({"sigma": YEARLY}, "is for priors of means"),
    "alpha alone, beside its group": (
        {"alpha": YEARLY, "group_alpha": {"dist": "Normal", "dims": ["group"], "kwargs": {"sigma": 0.1}}},
        "both per year or both not",
    ),
    "a law without a scale": ({"alpha": {**YEARLY, "dist": "Beta", "kwargs": {}}}, "got dist 'Beta'"),
    "a hyperprior with a transform": (
        {
            "alpha": {
                **YEARLY,
                "kwargs": {"sigma": {"dist": "HalfNormal", "transform": "above_two", "kwargs": {"sigma": 1}}},
            }
        },
        "a hyperprior with transform 'above_two'",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_per_year_is_refused(why):
    priors, message = REFUSED[why]
    with pytest.raises(CardError, match=message):
        per_period(priors, 365.0)
    if why != "alpha alone, beside its group":  # refused first for its mean
        with pytest.raises(CardError):
            bf.get_model("hierarchical-t", priors=priors)


def test_a_hyperprior_is_not_per_year():
    prior = {
        "dist": "Normal",
        "dims": ["asset"],
        "kwargs": {"mu": 0.0, "sigma": {**YEARLY, "dist": "HalfNormal"}},
    }
    prior["kwargs"]["sigma"]["kwargs"] = {"sigma": 1.0}
    with pytest.raises(CardError, match="stands on the slot of a mean"):
        bf.get_model("hierarchical-t", priors={"alpha": prior})


def test_numbers_by_coin_belong_to_their_coins_whatever_the_order():
    """A card's numbers stand in the panel's order; the law reads coins in another."""
    tree = make_tree(3, 1, draws=1000)
    tree.attrs["card"] = tree.attrs["card"].replace("sigma = 1.9", "sigma = [0.5, 1.0, 2.0]")
    back = tree.isel(asset=[2, 1, 0])
    turned = back.attrs["card"].replace("[0.5, 1.0, 2.0]", "[2.0, 1.0, 0.5]")
    back.attrs["card"] = turned
    for one in (tree, back):
        found = means_of(law_of(one), one, "prior").alpha
        unit = float(tree[s.CONSTANT_DATA][s.RETURNS_UNIT]) / 365**0.5
        order = s.canonical_order(tree[s.OBSERVED_DATA].to_dataset()[s.ASSET])
        # 4000 draws: five standard errors.
        np.testing.assert_allclose(found.std(axis=0) / unit, np.array([0.5, 1.0, 2.0])[order], rtol=0.056)


def test_a_prior_by_group_is_drawn_by_group():
    tree = make_tree(4, 1, draws=2000, n_groups=2)
    tree.attrs["card"] = tree.attrs["card"].replace(
        "kwargs = { mu = 0.0, sigma = 1.9 }",
        'kwargs = { sigma = 1.0 }\n[priors.group_alpha]\ndist = "Normal"\ndims = ["group"]\n'
        'transform = "per_year"\nkwargs = { mu = 0.0, sigma = 2.0 }',
    )
    found = means_of(law_of(tree), tree, "prior").alpha
    unit = float(tree[s.CONSTANT_DATA][s.RETURNS_UNIT]) / 365**0.5
    # 8000 draws: five standard errors.
    assert found.std() == pytest.approx(5**0.5 * unit, rel=0.04)
    together = np.corrcoef(found.T)
    assert together[0, 2] == pytest.approx(0.8, abs=0.03)
    assert together[0, 1] == pytest.approx(0.0, abs=0.06)
    posterior = means_of(law_of(tree), tree, "posterior").alpha
    assert posterior.std(axis=0).max() < found.std(axis=0).min()


def test_adequacy_says_where_alpha_is_no_mean():
    """Specific returns of mean zero whose centre lies lower: the gap is said, with the words that mend it."""
    from bayesfactor.adequacy import judge_adequacy, predictive_checks

    tree = make_tree(4, 1, n_times=400, draws=50, missing=0.0, jitter=0.02)
    plain = predictive_checks(tree)
    assert not [r for r in judge_adequacy(plain, np.zeros(1))[1] if "is the centre of a law" in r]
    post = tree[s.POSTERIOR].to_dataset()
    low = post.assign({s.ALPHA: post[s.ALPHA] - xr.DataArray([0.0, 0.02, 0.02, 0.0], dims=s.ASSET)})
    tree[s.POSTERIOR] = xr.DataTree(low)
    (said,) = [
        r for r in judge_adequacy(predictive_checks(tree), np.zeros(1))[1] if "is the centre of a law" in r
    ]
    assert "alpha of 2 of 4 assets" in said
    assert "COIN02, COIN03" in said
    assert 'drift="posterior"' in said


# --- what alpha means --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_expected_return_of_skewed_coins_is_covered_and_their_risk_is_right():
    """Right-skewed specific returns of mean zero: a t's centre is -0.3 % a day, known within 0.1 %."""
    from bayesfactor.laws import skewed

    n, days, covered, centres, ratio = 10, 500, [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        market = 0.03 * skewed.draws(rng, np.full(1, 5.0), np.full(1, 0.0), (days, 1))[:, 0]
        own = 0.03 * skewed.draws(rng, np.full(n, 3.5), np.full(n, 0.35), (days, n))
        returns = np.maximum(np.linspace(0.7, 1.3, n) * market[:, None] + own, -0.95)
        panel = skewed_panel(returns, market)
        tree = bf.fit(
            "hierarchical-t", panel, draws=400, tune=400, chains=2, random_seed=1, progressbar=False
        )
        m = predict(tree, drift="posterior").moments
        low, high = np.quantile(m.alpha, [0.05, 0.95], axis=0)
        covered += list((low < 0.0) & (high > 0.0))
        centre = tree[s.POSTERIOR][s.ALPHA]
        ends = centre.quantile([0.05, 0.95], ("chain", "draw")).values
        centres += list((ends[0] < 0.0) & (ends[1] > 0.0))
        w = dict.fromkeys(panel[s.ASSET].values.tolist(), 0.2)
        w |= dict.fromkeys(list(w)[n // 2 :], -0.2)
        risk = {
            d: float(bf.decompose_risk(tree, w, horizon=10, levels=(0.99,), drift=d, random_seed=1)["es"][0])
            for d in ("zero", "posterior")
        }
        ratio.append([risk["zero"], risk["posterior"]])
    # 60 intervals of 90 %: five standard errors of a binomial are 0.19.
    assert np.mean(covered) > 0.9 - 0.19
    assert np.mean(centres) < 0.3
    big = np.random.default_rng(99)
    own = 0.03 * skewed.draws(big, np.full(n, 3.5), np.full(n, 0.35), (400_000, n))
    market = 0.03 * skewed.draws(big, np.full(1, 5.0), np.full(1, 0.0), (400_000, 1))
    returns = np.maximum(np.linspace(0.7, 1.3, n) * market + own, -0.95)
    sides = np.where(np.arange(n) < n // 2, 0.2, -0.2)
    loss = -(returns @ sides).reshape(-1, 10).sum(axis=1)
    exact = loss[loss > np.quantile(loss, 0.99)].mean()
    np.testing.assert_allclose(np.mean(ratio, axis=0) / exact, 1.0, atol=0.1)


def skewed_panel(returns, market):
    days = pd.date_range("2023-01-01", periods=len(returns))
    names = [f"C{i}" for i in range(returns.shape[1])]
    table = pd.DataFrame(returns, index=days, columns=names)
    return bf.panel_from_returns(table, factors=pd.DataFrame({"market": market}, index=days))
