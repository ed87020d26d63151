"""Refits for ArviZ: what is left out stays unseen, and reweighting agrees with leaving out by hand."""

import warnings
from copy import deepcopy
from functools import cache

import arviz_stats
import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.special import logsumexp
from trees import with_attrs

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import CardError, ModelError, PanelError, SchemaError
from bayesfactor.laws.rows import row_log_likelihood
from bayesfactor.panel import panel_digests

LONG = {"draws": 400, "tune": 250, "chains": 2}
QUICK = {"draws": 150, "tune": 150, "chains": 2}
KINDS = ["hierarchical-normal", "latent-normal", "hybrid-t"]


@cache
def market() -> xr.Dataset:
    return bf.simulate_panel(n_assets=6, n_days=80, n_factors=2, n_groups=2, random_seed=7)[0]


@cache
def fitted(model: str) -> xr.DataTree:
    options = LONG if model in KINDS[:2] else QUICK
    return bf.fit(model, market(), **options, random_seed=1, progressbar=False)


def loo_of(tree):
    with warnings.catch_warnings():
        # that a Pareto k is large is what refits are for
        warnings.filterwarnings("ignore", "Estimated shape parameter", UserWarning)
        return arviz_stats.loo(tree, var_name=s.RETURNS, pointwise=True)


class Recording(bf.FactorModelWrapper):
    """Keeps the densities it hands to ArviZ."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.densities = []

    def log_likelihood__i(self, excluded_obs, idata__i):
        self.densities.append(super().log_likelihood__i(excluded_obs, idata__i))
        return self.densities[-1]


@cache
def refitted(model):
    """Return LOO, LOO with its two most influential days refitted, those days and their densities."""
    tree = fitted(model)
    loo = loo_of(tree)
    rows = tree[s.LOG_LIKELIHOOD][s.RETURNS].values
    influence = logsumexp(rows, axis=(0, 1), b=1 / rows[..., 0].size) - loo.elpd_i.values
    # Where k is above 0.5 the weights have no variance, and neither has a Monte-Carlo error.
    days = np.sort(np.argsort(np.where(loo.pareto_k < 0.5, influence, 0.0))[-2:])
    marked = deepcopy(loo)
    marked.pareto_k[days] = 2.0
    wrapper = Recording(model, market(), tree, random_seed=2)
    return loo, arviz_stats.reloo(wrapper, marked, k_threshold=1.5, pointwise=True), days, wrapper.densities


def error_of_log_mean(log_values):
    """Return the Monte-Carlo error of log mean exp of (chain, draw) values, by the delta method."""
    values = np.exp(log_values - log_values.max())
    error = arviz_stats.mcse(xr.Dataset({"x": (("chain", "draw"), values)}), method="mean")
    return float(error["x"]) / values.mean()


def by_hand(day):
    """Return (chain, draw) densities of a day under a fit without it, with nothing of ours but `fit`."""
    constant = fitted("hierarchical-normal")[s.CONSTANT_DATA]
    panel = market().assign({k: constant[k] for k in (s.RETURNS_UNIT, s.FACTOR_UNIT)}).copy(deep=True)
    panel[s.RETURNS][day] = np.nan
    tree = bf.fit("hierarchical-normal", panel, **LONG, random_seed=99 + day, progressbar=False)
    post, row = tree[s.POSTERIOR], market().isel(time=day)
    mean = post[s.ALPHA] + (post[s.LOADINGS] * row[s.FACTOR_RETURNS]).sum("factor")
    density = stats.norm.logpdf(row[s.RETURNS], mean.transpose(..., "asset"), post[s.SIGMA])
    return np.nansum(density, axis=-1)


# --- the refits against what they stand for ---------------------------------------------------


def test_reloo_agrees_with_refits_by_hand():
    loo, found, days, _ = refitted("hierarchical-normal")
    by = by_hand(days[0])
    # Two runs of the same length: root two errors of one, and four of those.
    tolerance = 4 * np.sqrt(2) * error_of_log_mean(by)
    assert tolerance < 0.5
    assert float(found.elpd_i[days[0]]) == pytest.approx(logsumexp(by) - np.log(by.size), abs=tolerance)
    others = np.setdiff1d(np.arange(80), days)
    assert np.array_equal(found.elpd_i[others], loo.elpd_i[others])
    assert found.elpd == pytest.approx(float(found.elpd_i.sum()))


@pytest.mark.parametrize("model", KINDS[:2])
def test_reweighting_agrees_with_refitting(model):
    loo, found, days, densities = refitted(model)
    for day, refit in zip(days, densities, strict=True):
        rows = fitted(model)[s.LOG_LIKELIHOOD][s.RETURNS].isel(time=day).values
        reweighted, exact = float(loo.elpd_i[day]), float(found.elpd_i[day])
        errors = error_of_log_mean(-rows), error_of_log_mean(refit.values[..., 0])
        tolerance = 4 * np.hypot(*errors)
        print(f"\n{model}, day {day}: {reweighted:.3f}, {exact:.3f} +- {tolerance:.3f}")
        assert abs(reweighted - exact) < tolerance
        # The tolerance is worth something: a refit that saw the day would be outside.
        assert logsumexp(rows) - np.log(rows.size) > exact + tolerance


@pytest.mark.parametrize("model", KINDS)
def test_folds_and_the_future_are_scored(model):
    tree = fitted(model)
    wrapper = bf.FactorModelWrapper(model, market(), tree, **QUICK, random_seed=3)
    folds = arviz_stats.loo_kfold(tree, wrapper, k=2, pointwise=True, save_fits=True)
    assert folds.elpd_i.shape == (80,)
    assert np.isfinite(folds.elpd_i).all()
    loo = loo_of(tree)
    assert folds.elpd == pytest.approx(loo.elpd, abs=3 * loo.se)
    ahead = arviz_stats.lfo_cv(tree, wrapper, min_observations=77, forecast_horizon=3, pointwise=True)
    assert ahead.elpd_i.shape == (1,)
    assert np.isfinite(ahead.elpd_i).all()


# --- what a refit sees ------------------------------------------------------------------------


def corrupted(days, *names):
    panel = market().copy(deep=True)
    for name in names:
        panel[name][days] = 0.3 + 7 * panel[name][days]
    return panel


@pytest.mark.parametrize(
    ("model", "days", "names"),
    [
        ("hierarchical-normal", [0, 40, 41, 79], [s.RETURNS]),
        ("hybrid-t", range(60, 80), [s.RETURNS, s.FACTOR_RETURNS]),
    ],
)
def test_a_refit_knows_nothing_of_the_days_left_out(model, days, names):
    days = np.array(days)
    refits = []
    for panel in (market(), corrupted(days, *names)):
        tree = with_attrs(fitted(model), **panel_digests(bf.get_model(model).sees(panel)))
        wrapper = bf.FactorModelWrapper(model, panel, tree, draws=30, tune=60, random_seed=4)
        kept, excluded = wrapper.sel_observations(days)
        refits.append(wrapper.sample(kept))
        assert np.array_equal(excluded[s.RETURNS], panel[s.RETURNS][days], equal_nan=True)
    a, b = (t[s.POSTERIOR].to_dataset() for t in refits)
    assert a.identical(b)
    units = [t[s.CONSTANT_DATA][s.RETURNS_UNIT] for t in (fitted(model), *refits)]
    assert units[0] == units[1] == units[2]


def test_days_within_are_emptied_and_the_future_is_cut_off():
    wrapper = bf.FactorModelWrapper("hybrid-t", market(), fitted("hybrid-t"))
    kept, excluded = wrapper.sel_observations(np.array([7, 5]))
    assert kept.sizes["time"] == 80
    assert bool(kept[s.RETURNS][[5, 7]].isnull().all())
    assert kept[s.RETURNS].drop_isel(time=[5, 7]).identical(market()[s.RETURNS].drop_isel(time=[5, 7]))
    assert kept[s.FACTOR_RETURNS].identical(market()[s.FACTOR_RETURNS])
    assert np.array_equal(excluded["time"], market()["time"][[7, 5]])
    kept, excluded = wrapper.sel_observations(np.arange(50, 80))
    assert kept.sizes["time"] == 50
    assert excluded.sizes["time"] == 30
    assert kept[s.RETURNS].identical(market()[s.RETURNS][:50])
    assert wrapper.sel_observations(np.int64(5))[1].sizes["time"] == 1


def test_refits_are_sampled_as_the_fit_was_unless_told_otherwise(tmp_path):
    tree = bf.load(bf.save(fitted("hybrid-t"), tmp_path / "fit.nc"))
    wrapper = bf.FactorModelWrapper("hybrid-t", market(), tree, tune=7)
    assert {k: wrapper.sample_kwargs[k] for k in ("draws", "tune", "chains")} == QUICK | {"tune": 7}
    assert wrapper.sample_kwargs["target_accept"] == fitted("hybrid-t").attrs["target_accept"]
    assert wrapper.sample_kwargs["method"] == "nuts"


# --- rows of another panel --------------------------------------------------------------------


@pytest.mark.parametrize("model", KINDS)
def test_rows_of_the_own_panel_are_the_log_likelihood_of_the_tree(model):
    tree = fitted(model)
    rows = row_log_likelihood(tree, market())
    assert rows.dims == ("chain", "draw", "time")
    assert rows.attrs == tree[s.LOG_LIKELIHOOD].attrs
    assert rows.drop_attrs().identical(tree[s.LOG_LIKELIHOOD][s.RETURNS].drop_attrs())
    turned = market().isel(asset=slice(None, None, -1), factor=slice(None, None, -1))
    assert np.array_equal(row_log_likelihood(tree, turned), rows)


@pytest.mark.parametrize("model", KINDS)
def test_a_row_does_not_depend_on_the_rows_beside_it(model):
    days = [70, 3, 12]
    some = row_log_likelihood(fitted(model), market().isel(time=days))
    everything = fitted(model)[s.LOG_LIKELIHOOD][s.RETURNS].isel(time=days)
    xr.testing.assert_allclose(some.drop_attrs(), everything.drop_attrs(), rtol=1e-12)


def test_rows_need_no_latent_factors_that_were_drawn_day_by_day():
    seen = market().isel(time=slice(0, 60))
    tree = bf.fit("latent-own-t", seen, draws=20, tune=30, chains=1, random_seed=1, progressbar=False)
    rows = row_log_likelihood(tree, market())
    assert np.isfinite(rows).all()
    assert np.array_equal(rows[..., :60], tree[s.LOG_LIKELIHOOD][s.RETURNS])


def test_a_row_without_a_return_has_a_density_of_one():
    panel = market().isel(time=[4, 5]).copy(deep=True)
    panel[s.RETURNS][0] = np.nan
    for model in KINDS:
        rows = row_log_likelihood(fitted(model), panel)
        assert (rows[..., 0] == 0.0).all()
        assert (rows[..., 1] != 0.0).all()


def test_a_model_without_observed_factors_ignores_those_of_the_panel():
    bare = bf.panel_from_returns(market()[s.RETURNS])
    tree = fitted("latent-normal")
    assert np.array_equal(row_log_likelihood(tree, bare), tree[s.LOG_LIKELIHOOD][s.RETURNS])


# --- bad input --------------------------------------------------------------------------------


def wrap(model="hybrid-t", panel=None, tree=None):
    return bf.FactorModelWrapper(
        model, market() if panel is None else panel, fitted("hybrid-t") if tree is None else tree
    )


def given_past():
    tree = fitted("hybrid-t").copy(deep=True)
    tree[s.LOG_LIKELIHOOD].attrs["given"] = "past"
    return tree


def renamed(dim):
    labels = market()[dim].values.astype(object)
    labels[0] = "XYZ"
    return market().assign_coords({dim: labels})


def regrouped():
    groups = market()[s.GROUP].values.copy()
    return market().assign_coords(
        {s.GROUP: ("asset", groups[::-1] if groups[0] != groups[-1] else groups[[1, 0, 2, 3, 4, 5]])}
    )


BAD = {
    "an unknown model": (lambda: wrap("hybrid-s"), CardError, "did you mean 'hybrid-t'"),
    "another model": (lambda: wrap("latent-t"), ModelError, "'hybrid-t' with card_digest .* got 'latent-t'"),
    "the model with other priors": (lambda: wrap(bf.get_model("hybrid-t", n_latent=2)), ModelError, "overrides included"),
    "no tree": (lambda: wrap(tree=market()), SchemaError, "reads the DataTree that bf.fit returns; got Dataset"),
    "rows given the past": (lambda: wrap(tree=given_past()).sel_observations([3]), ModelError, "conditional on the past"),
    "other returns": (lambda: wrap(panel=corrupted([3], s.RETURNS)), PanelError, "the returns differ: in the panel alone returns_digest"),
    "other factor returns": (lambda: wrap(panel=corrupted([3], s.FACTOR_RETURNS)), PanelError, "the factor returns differ"),
    "other assets": (lambda: wrap(panel=renamed("asset")), PanelError, "the assets differ: in the panel alone XYZ, in the fit alone COIN01"),
    "other factors": (lambda: wrap(panel=renamed("factor")), PanelError, "the factors differ: in the panel alone XYZ, in the fit alone market"),
    "other groups": (lambda: wrap(panel=regrouped()), PanelError, "the groups differ: in the panel alone COIN01 in"),
    "other days": (lambda: wrap(panel=market().isel(time=slice(0, 70))), PanelError, "the stamps differ: in the panel alone 70 rows"),
    "a day that is none": (lambda: wrap().sel_observations(80), PanelError, "by position, 0 to 79; got 80"),
    "a day before the first": (lambda: wrap().sel_observations([-1]), PanelError, "by position"),
    "days by name": (lambda: wrap().sel_observations("2023-01-05"), PanelError, "by position"),
    "no day": (lambda: wrap().sel_observations([]), PanelError, "by position"),
    "every day": (lambda: wrap().sel_observations(np.arange(80)), PanelError, "all 80 are left out"),
    "rows of other assets": (lambda: row_log_likelihood(fitted("hybrid-t"), renamed("asset")), PanelError, "missing 'COIN01' and unknown to it 'XYZ'"),
    "rows of fewer assets": (lambda: row_log_likelihood(fitted("hybrid-t"), market().isel(asset=[1, 2])), PanelError, "missing 'COIN01', 'COIN04'"),
    "rows without a factor": (lambda: row_log_likelihood(fitted("hybrid-t"), market().isel(factor=[1])), PanelError, "the factors of the fit; missing 'market'"),
    "rows under a panel": (lambda: row_log_likelihood(market(), market()), SchemaError, "row_log_likelihood reads the DataTree"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_named_and_refused(what):
    call, error, message = BAD[what]
    with pytest.raises(error, match=message):
        call()


# --- every model ------------------------------------------------------------------------------


@cache
def own_market() -> xr.Dataset:
    """A panel whose market is made of its own coins, one of which is listed after most of the days."""
    returns = bf.simulate_panel(n_assets=7, n_days=120, n_groups=2, missing=0, random_seed=5)[0][s.RETURNS]
    prices = (1 + returns).cumprod("time")
    prices[:100, 2] = np.nan
    return bf.panel_from_prices(prices.to_pandas())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", bf.list_models())
def test_every_registered_model_can_be_refitted(model):
    how = {"draws": 300, "tune": 300, "chains": 2}
    tree = bf.fit(model, own_market(), **how, random_seed=1, progressbar=False)
    wrapper = bf.FactorModelWrapper(model, own_market(), tree, random_seed=2)
    loo = loo_of(tree)
    worst = int(np.nanargmax(loo.pareto_k.values))
    marked = deepcopy(loo)
    marked.pareto_k[worst] = 2.0
    exact = arviz_stats.reloo(wrapper, marked, k_threshold=1.5, pointwise=True)
    folds = arviz_stats.loo_kfold(tree, wrapper, k=3)
    ahead = arviz_stats.lfo_cv(tree, wrapper, min_observations=90, forecast_horizon=5)
    print(
        f"\n{model}: {loo.elpd:.1f}, {exact.elpd:.1f}, {folds.elpd:.1f}, {ahead.elpd:.1f} ({ahead.n_refits} refits)"
    )
    assert np.isfinite([exact.elpd, folds.elpd, ahead.elpd]).all()
    assert abs(float(exact.elpd_i[worst] - loo.elpd_i[worst])) < 3.0
    assert folds.elpd == pytest.approx(loo.elpd, abs=2 * loo.se)
