"""PSIS-LOO against ArviZ, by day and by cell, and the table that comes of it."""

import warnings
from functools import cache

import arviz_stats
import numpy as np
import pytest
import xarray as xr
from arviz_stats.base.array import array_stats
from trees import make_tree, replace, with_attrs

from bayesfactor.compare import compare
from bayesfactor.errors import CompareError
from bayesfactor.laws import law_of
from bayesfactor.psis import psis_loo, psis_weights, relative_efficiency


@cache
def pair() -> dict[str, xr.DataTree]:
    """Return a t and a normal model of the same t(3) returns, with different numbers of draws."""
    common = {"n_assets": 5, "n_times": 80, "data_nu": 3.0, "jitter": 0.02}
    return {"normal": make_tree(normal=True, draws=120, **common), "t": make_tree(draws=100, **common)}


def cells(tree: xr.DataTree) -> xr.DataTree:
    """Return a tree whose log-likelihood holds every observed cell at once."""
    law = law_of(tree)
    values = law.cell_log_likelihood(slice(0, 5))
    n_chains, n_draws = tree["posterior"].sizes["chain"], tree["posterior"].sizes["draw"]
    values = values.reshape(-1, n_chains, n_draws).transpose(1, 2, 0)
    changed = tree.copy()
    changed["log_likelihood"] = xr.DataTree(xr.Dataset({"returns": (("chain", "draw", "cell"), values)}))
    return changed


def loo(tree: xr.DataTree) -> arviz_stats.ELPDData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return arviz_stats.loo(tree, var_name="returns", pointwise=True)


@pytest.mark.parametrize(("by", "shape"), [("time", lambda t: t), ("observation", cells)])
def test_the_table_is_that_of_arviz(by, shape):
    table = compare(pair(), by=by, progressbar=False)
    direct = {name: loo(shape(tree)) for name, tree in pair().items()}
    theirs = arviz_stats.compare(direct, round_to="none")
    assert table.index.tolist() == theirs.index.tolist() == ["t", "normal"]
    for column in ("elpd", "se", "p", "elpd_diff", "dse"):
        np.testing.assert_allclose(
            table[column].astype(float), theirs[column].astype(float), rtol=1e-10, atol=1e-9
        )
    np.testing.assert_allclose(table["weight"], theirs["weight"], atol=2e-3)
    assert table["diag_elpd"].tolist() == theirs["diag_elpd"].tolist()
    assert table["warning"].tolist() == [direct[n].warning for n in table.index]
    for name, result in direct.items():
        assert table.loc[name, "elpd"] == pytest.approx(result.elpd, abs=1e-8)


def test_the_table_says_what_was_compared():
    table = compare(pair(), by="observation", progressbar=False)
    assert table.attrs == {
        "by": "observation",
        "given": "factors",
        "method": "stacking",
        "n_observations": int(pair()["t"]["observed_data"]["returns"].notnull().sum()),
        "unit": "nats",
        "approximate": "",
        "integration_error": {},
        "own_factors": {},
    }


@pytest.mark.parametrize("method", ["stacking", "BB-pseudo-BMA", "pseudo-bma"])
def test_weights_sum_to_one_whatever_the_method(method):
    table = compare(pair(), method=method)
    assert table["weight"].sum() == pytest.approx(1.0)
    assert table["weight"].idxmax() == "t"


def test_approximate_fits_are_noted_not_refused():
    trees = pair() | {"quick": with_attrs(pair()["t"], approximate=1)}
    assert compare(trees).attrs["approximate"] == "quick"


def test_days_without_a_return_are_left_out():
    trees = {}
    for name, tree in pair().items():
        returns = tree["observed_data"]["returns"].copy()
        returns[3] = np.nan
        changed = replace(tree, "observed_data", returns=returns)
        rows = law_of(changed).row_log_likelihood().reshape(*tree["posterior"]["alpha"].shape[:2], -1)
        trees[name] = replace(changed, "log_likelihood", returns=(("chain", "draw", "time"), rows))
    assert compare(trees).attrs["n_observations"] == 79


def test_cells_stand_in_the_same_order_whatever_the_order_of_assets():
    tree = pair()["t"]
    backwards = xr.DataTree.from_dict(
        {
            g: (n.to_dataset().isel(asset=slice(None, None, -1)) if "asset" in n.dims else n.to_dataset())
            for g, n in tree.children.items()
        }
    )
    backwards.attrs = tree.attrs
    table = compare({"a": tree, "b": backwards}, by="observation", progressbar=False)
    # parameters enter the relative efficiency in another order: the last digits may move
    assert table["dse"].max() < 1e-9


def test_stacking_survives_days_that_overflow_an_exponential():
    shifted = {}
    for name, tree in pair().items():
        rows = tree["log_likelihood"]["returns"]
        shifted[name] = replace(tree, "log_likelihood", returns=rows + 900.0)
        shifted[name]["log_likelihood"].attrs = tree["log_likelihood"].attrs
    table, plain = compare(shifted), compare(pair())
    np.testing.assert_allclose(table["weight"], plain["weight"], atol=1e-6)
    np.testing.assert_allclose(table["elpd_diff"].astype(float), plain["elpd_diff"].astype(float), atol=1e-6)


# --- the smoothing itself ---------------------------------------------------------------------


def log_likelihoods() -> np.ndarray:
    """Return rows from harmless to hopeless: normal, t and nearly constant log weights."""
    rng = np.random.default_rng(5)
    easy = 0.2 * rng.standard_normal((10, 1200))
    hard = -np.abs(rng.standard_t(2, (10, 1200)))
    tiny = 1e-9 * rng.standard_normal((5, 1200))
    wide = 40 * rng.standard_normal((5, 1200))
    return np.concatenate([easy, hard, tiny, wide, 4 * wide])


@pytest.mark.parametrize("r_eff", [1.0, 0.3, 1.4])
def test_psis_equals_that_of_arviz(r_eff):
    values = log_likelihoods()
    ours = psis_loo(values, r_eff)
    elpd, k, p = array_stats.loo(values.reshape(-1, 4, 300), r_eff=r_eff)
    np.testing.assert_allclose(ours.pareto_k, k, atol=1e-6)
    np.testing.assert_allclose(ours.elpd, elpd, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.p, p, rtol=1e-8, atol=1e-10)
    weights, _ = psis_weights(values, r_eff)
    log_weights, _ = array_stats.psislw(values, r_eff=r_eff)
    np.testing.assert_allclose(weights, np.exp(log_weights), rtol=1e-8, atol=1e-12)


def test_equal_weights_need_no_smoothing():
    loo = psis_loo(np.full((1, 100), -1.5))
    assert loo.elpd[0] == pytest.approx(-1.5)
    assert np.isnan(loo.pareto_k[0])


def test_relative_efficiency_is_that_of_arviz():
    from arviz_stats.loo.loo_helper import _get_r_eff

    tree = pair()["t"]
    assert relative_efficiency(tree["posterior"].to_dataset()) == pytest.approx(
        _get_r_eff(tree, 400), rel=1e-12
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_density_that_is_no_number_is_refused_with_its_model_and_day(value):
    tree = make_tree(missing=0.0)
    rows = tree["log_likelihood"]["returns"].copy(deep=True)
    rows[1, 5, 7] = value
    bad = replace(tree, "log_likelihood", returns=rows)
    bad["log_likelihood"].attrs = tree["log_likelihood"].attrs
    with pytest.raises(CompareError, match=r"'second' has (NaN|-?inf) for the returns of 2024-01-08\."):
        compare({"first": tree, "second": bad})


def test_a_cell_that_is_no_number_is_refused_with_its_coin():
    tree = make_tree(missing=0.0)
    nus = tree["posterior"]["nu"].copy(deep=True)
    nus[0, 0, 1] = 5e-324  # its density is none
    with pytest.raises(CompareError, match=r"'second' has .* for COIN02 of 2024-01-01"):
        compare({"first": tree, "second": replace(tree, "posterior", nu=nus)}, by="observation")
