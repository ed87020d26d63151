"""The cards of the factor GARCH from prior to forecast, and (slow) whether their intervals hold the truth."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.laws import law_of, skewed

CARDS = ("garch-t", "gjr-t", "gjr-skew-t", "score-skew-t")
SMALL = {"draws": 30, "tune": 60, "chains": 2, "random_seed": 3, "progressbar": False}


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=4, n_days=90, n_factors=2, n_groups=2, random_seed=7)[0]


@pytest.fixture(scope="module")
def trees(panel):
    return {name: bf.fit(name, panel, **SMALL) for name in CARDS}


@pytest.mark.parametrize("name", CARDS)
def test_a_fit_has_the_names_of_the_schema(trees, name):
    post = trees[name][s.POSTERIOR].to_dataset()
    dims = dict.fromkeys((s.ALPHA, s.SIGMA, s.PERSISTENCE, s.NEWS_SHARE, s.NU), (s.ASSET,))
    dims |= dict.fromkeys((s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_PERSISTENCE, s.FACTOR_NU), (s.FACTOR,))
    dims |= {
        s.LOADINGS: (s.ASSET, s.FACTOR),
        s.FACTOR_NEWS_SHARE: (s.FACTOR,),
        s.FACTOR_RESPONSE: (s.FACTOR, s.FACTOR_OTHER),
    }
    leverage, skew = name != "garch-t", "skew" in name
    dims |= {s.LEVERAGE: (s.ASSET,), s.FACTOR_LEVERAGE: (s.FACTOR,)} if leverage else {}
    dims |= {s.SKEW: (s.ASSET,), s.FACTOR_SKEW: (s.FACTOR,)} if skew else {}
    for variable, own in dims.items():
        assert post[variable].dims == ("chain", "draw", *own), variable
        assert np.isfinite(post[variable]).all(), variable
    assert (s.LEVERAGE in post, s.SKEW in post, s.FACTOR_SKEW in post) == (leverage, skew, skew)
    for variable in (s.PERSISTENCE, s.NEWS_SHARE, s.FACTOR_PERSISTENCE, s.FACTOR_NEWS_SHARE):
        assert ((post[variable] > 0.0) & (post[variable] < 1.0)).all()
    assert (post[s.NU] > 2.0).all()
    response = post[s.FACTOR_RESPONSE]
    assert (response.values[..., 1, 0] != 0.0).all()
    assert not np.triu(response.values).any()
    assert not [v for v in post.data_vars if str(v).endswith(("_raw", "_partial"))]
    assert "pair" not in post.dims
    constant = trees[name][s.CONSTANT_DATA].to_dataset()
    assert (constant[s.INITIAL_VARIANCE] > 0.0).all()
    assert (constant[s.FACTOR_SCORED] == float(name == "score-skew-t")).all()
    assert not constant[s.SCORED].any()
    assert trees[name][s.LOG_LIKELIHOOD].attrs["given"] == "past"


def test_the_response_of_factors_is_in_their_own_units(trees, panel):
    """The second factor by the first: what is left of it does not go with the first any more."""
    response = trees["garch-t"][s.POSTERIOR][s.FACTOR_RESPONSE].values[..., 1, 0]
    f = panel[s.FACTOR_RETURNS].values
    slope = f[:, 1] @ f[:, 0] / (f[:, 0] @ f[:, 0])
    error = np.sqrt(((f[:, 1] - slope * f[:, 0]) ** 2).mean() / (f[:, 0] ** 2).sum())
    assert abs(response.mean() - slope) < 4.0 * error


def test_the_same_seed_gives_the_same_draws_bit_by_bit(trees, panel):
    again = bf.fit("score-skew-t", panel, **SMALL)
    assert again[s.POSTERIOR].to_dataset().identical(trees["score-skew-t"][s.POSTERIOR].to_dataset())
    persistence = again[s.POSTERIOR][s.PERSISTENCE]
    assert not np.array_equal(persistence[0], persistence[1])


def test_a_fit_is_kept_and_forecasts_the_same_from_its_file(trees, tmp_path):
    tree = trees["score-skew-t"]
    bf.save(tree, tmp_path / "fit.nc")
    loaded = bf.load(tmp_path / "fit.nc")
    for group in tree.children:
        xr.testing.assert_equal(loaded[group].to_dataset(), tree[group].to_dataset())
    a, b = (bf.forecast(x, 3, paths=4, random_seed=1)[s.PREDICTIONS].to_dataset() for x in (tree, loaded))
    xr.testing.assert_equal(a, b)


@pytest.mark.parametrize("name", CARDS)
def test_a_forecast_starts_where_the_days_have_led(trees, name):
    found = bf.forecast(trees[name], 3, paths=4, random_seed=1)[s.PREDICTIONS].to_dataset()
    assert np.isfinite(found[s.SPECIFIC_RETURNS]).all()
    assert found[s.FACTOR_COVARIANCE].dims == ("chain", "draw", "horizon", "factor", "factor_other")
    assert (np.linalg.eigvalsh(found[s.FACTOR_COVARIANCE].values) > 0.0).all()
    ahead = found[s.SPECIFIC_VARIANCE].transpose("horizon", "chain", "draw", "asset").values
    now = law_of(trees[name]).state[0].variance
    assert np.array_equal(ahead[0].reshape(now.shape)[:, s.canonical_order(found[s.ASSET])], now)
    assert not np.allclose(ahead[0], ahead[2], rtol=0.01)


@pytest.fixture(scope="module")
def prior(panel):
    return bf.sample_prior_predictive("score-skew-t", panel, draws=60, random_seed=1)


def test_what_the_prior_says_is_plausible(prior, panel):
    drawn, predictive = prior[s.PRIOR].to_dataset(), prior[s.PRIOR_PREDICTIVE].to_dataset()
    seen = panel[s.RETURNS].notnull()
    assert np.isfinite(predictive[s.RETURNS].where(seen, 0.0)).all()
    assert predictive[s.RETURNS].where(~seen).isnull().all()
    for name in (s.RETURNS, s.FACTOR_RETURNS):
        size = float(abs(predictive[name]).median() / abs(panel[name]).median())
        assert 0.3 < size < 4.0, name
    assert 0.85 < float(drawn[s.PERSISTENCE].median()) < 0.99
    assert 0.05 < float(drawn[s.NEWS_SHARE].median()) < 0.3
    # Both signs, and nobody at the edge of what there is.
    for name in (s.LEVERAGE, s.SKEW, s.FACTOR_LEVERAGE, s.FACTOR_SKEW):
        assert abs(float(drawn[name].mean())) < 0.15
        assert float((abs(drawn[name]) < 0.9).mean()) > 0.98
    assert float(drawn[s.LEVERAGE].std("asset").max()) == 0.0


def test_returns_drawn_from_the_prior_are_uniform_under_the_law(prior):
    """Data of each prior draw under the same draw: what draws and what judges are two programs."""
    pit, shocks = [], []
    for d in range(12):
        draw = {s.CHAIN: slice(0, 1), s.DRAW: slice(d, d + 1)}
        predictive = prior[s.PRIOR_PREDICTIVE].to_dataset().isel(chain=0, draw=d)
        tree = xr.DataTree.from_dict(
            {
                s.POSTERIOR: prior[s.PRIOR].to_dataset().isel(draw),
                s.OBSERVED_DATA: prior[s.OBSERVED_DATA]
                .to_dataset()
                .assign({s.RETURNS: predictive[s.RETURNS]}),
                s.CONSTANT_DATA: prior[s.CONSTANT_DATA].to_dataset(),
            }
        )
        tree.attrs = prior.attrs
        law = law_of(tree)
        cells = np.arange(len(law.cell_log_likelihood(slice(0, 4))))
        pit.append(law.pit(slice(0, 4), cells)[:, 0])
        f = np.ascontiguousarray(predictive[s.FACTOR_RETURNS].values.T)
        _, _, u, h = law.shocks.filter(f, f, law.shocks.first, keep=True)
        shocks.append(skewed.cdf(u[0] / np.sqrt(h[0]), *law.shocks.own[0, 4:6, :, None]).ravel())
    for numbers in (np.concatenate(pit), np.concatenate(shocks)):
        assert len(numbers) > 2000
        assert stats.kstest(numbers, "uniform").pvalue > 1e-3


def test_first_variances_are_those_of_the_first_days(panel):
    """Residuals of the first days four times as large: the variance to start from is sixteen times."""
    model = bf.get_model("garch-t")
    calm = model.constants(panel)
    loud = panel.copy(deep=True)
    seen = loud[s.RETURNS].notnull().values
    early = np.cumsum(seen, axis=0) <= 10
    residual = np.random.default_rng(0).normal(0.0, 0.1, early.shape)
    loud[s.RETURNS] = loud[s.RETURNS] + xr.DataArray(
        np.where(early, residual, 0.0), dims=loud[s.RETURNS].dims
    )
    names = dict(zip(("dims", "values"), calm[s.INITIAL_VARIANCE], strict=True))
    assert names["dims"] == s.ASSET
    assert (model.constants(loud)[s.INITIAL_VARIANCE][1] > 1.5 * names["values"]).all()
    permuted = model.constants(panel.isel(asset=[2, 0, 3, 1]))[s.INITIAL_VARIANCE][1]
    assert np.array_equal(permuted, names["values"][[2, 0, 3, 1]])


def test_without_factors_there_is_nothing_to_explain_returns_by():
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=60)
    bare = bf.panel_from_returns(pd.DataFrame(rng.normal(0, 0.02, (60, 3)), days, ["A", "B", "C"]))
    with pytest.raises(ModelError, match="the panel has none"):
        bf.fit("garch-t", bare, **SMALL)
