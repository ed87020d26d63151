"""The prior for skfolio: its law, sklearn's habits, every optimiser on it."""

import importlib
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from skfolio import RiskMeasure
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.optimization import (
    HierarchicalRiskParity,
    InverseVolatility,
    MaximumDiversification,
    MeanRisk,
    RiskBudgeting,
)
from skfolio.prior import EmpiricalPrior
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from trees import make_tree

import bayesfactor as bf
from bayesfactor.allocate.law import asset_law
from bayesfactor.errors import PanelError, RiskError, WeightsError
from bayesfactor.forecast import predict
from bayesfactor.skfolio import FactorModelPrior

FEW = {"draws": 10, "tune": 20, "chains": 2}


@pytest.fixture(scope="module")
def tree():
    return make_tree(5, 1, own_market=True)


@pytest.fixture(scope="module")
def returns(tree):
    return tree["observed_data"]["returns"].to_pandas()


@pytest.fixture(scope="module")
def prior(tree):
    return FactorModelPrior(tree=tree, scenarios=1500, random_seed=1)


def test_the_law_is_the_predictive_one(tree, returns, prior):
    found = prior.fit(returns).return_distribution_
    law = asset_law(predict(tree, 1).moments)
    np.testing.assert_array_equal(found.covariance, law.covariance)
    np.testing.assert_array_equal(found.mu, 0.0)
    assert found.returns.shape == (1500, 5)
    risk_of = dict.fromkeys(returns.columns, 0.2)
    risk = bf.decompose_risk(tree, risk_of, levels=(0.9,), random_seed=1)
    w = np.full(5, 0.2)
    assert np.sqrt(w @ found.covariance @ w) == pytest.approx(float(risk["volatility"]), rel=1e-10)
    drifting = FactorModelPrior(tree=tree, scenarios=1500, random_seed=1, drift="posterior").fit(returns)
    law = asset_law(predict(tree, 1, drift="posterior").moments)
    np.testing.assert_array_equal(drifting.return_distribution_.mu, law.mean)
    # The same futures, each moved by the means of its draw: five standard errors.
    shift = drifting.return_distribution_.returns - found.returns
    assert (np.abs(shift.mean(axis=0) - law.mean) < 5.0 * shift.std(axis=0) / 1500**0.5).all()


def test_scenarios_hold_specific_risk(returns, prior):
    """Without it five assets on one factor would move alike."""
    found = prior.fit(returns).return_distribution_
    assert np.linalg.matrix_rank(np.corrcoef(found.returns.T), tol=0.05) == 5


def test_an_optimiser_does_what_it_does_on_the_scenarios_by_hand(returns, prior):
    how = {"risk_measure": RiskMeasure.CVAR, "cvar_beta": 0.95}
    ours = MeanRisk(prior_estimator=prior, **how).fit(returns)
    drawn = ours.prior_estimator_.return_distribution_.returns
    by_hand = MeanRisk(prior_estimator=EmpiricalPrior(), **how).fit(
        pd.DataFrame(drawn, columns=returns.columns)
    )
    np.testing.assert_allclose(ours.weights_, by_hand.weights_, atol=1e-9)


@pytest.mark.parametrize(
    "optimiser",
    [
        MeanRisk,
        RiskBudgeting,
        MaximumDiversification,
        HierarchicalRiskParity,
        InverseVolatility,
    ],
)
def test_every_optimiser_takes_it(returns, prior, optimiser):
    found = optimiser(prior_estimator=prior).fit(returns)
    assert found.weights_.sum() == pytest.approx(1.0, abs=1e-6)
    assert (found.weights_ > -1e-6).all()


def test_order_and_choice_of_assets_follow_x(returns, prior):
    whole = prior.fit(returns).return_distribution_
    some = ["COIN04", "COIN01", "COIN03"]
    at = [list(returns.columns).index(c) for c in some]
    found = clone(prior).fit(returns[some]).return_distribution_
    np.testing.assert_array_equal(found.covariance, whole.covariance[np.ix_(at, at)])
    np.testing.assert_array_equal(found.returns, whole.returns[:, at])
    bare = clone(prior).fit(returns.to_numpy()).return_distribution_
    np.testing.assert_array_equal(bare.covariance, whole.covariance)


def test_it_has_the_habits_of_scikit_learn(returns, prior):
    params = prior.get_params()
    assert set(params) == {
        "model", "tree", "horizon", "scenarios", "groups", "drift", "sample", "random_seed",
    }  # fmt: skip
    copy = clone(prior)
    assert not hasattr(copy, "return_distribution_")
    first, second = (p.fit(returns).return_distribution_ for p in (prior, copy))
    np.testing.assert_array_equal(first.returns, second.returns)
    assert copy.set_params(horizon=3).fit(returns).return_distribution_.covariance[0, 0] == pytest.approx(
        3 * first.covariance[0, 0], rel=0.02
    )
    assert copy.feature_names_in_.tolist() == returns.columns.tolist()
    chain = Pipeline(
        [
            ("same", FunctionTransformer().set_output(transform="pandas")),
            ("optimise", MeanRisk(prior_estimator=prior)),
        ]
    )
    alone = MeanRisk(prior_estimator=prior).fit(returns)
    np.testing.assert_array_equal(chain.fit(returns)["optimise"].weights_, alone.weights_)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_fits_in_a_walk_forward(returns):
    prior = FactorModelPrior(scenarios=200, sample=FEW, random_seed=1)
    filled = returns.fillna(0.0)
    found = cross_val_predict(
        MeanRisk(prior_estimator=prior), filled, cv=WalkForward(train_size=40, test_size=10)
    )
    assert len(found) == 2
    by_hand = MeanRisk(prior_estimator=prior).fit(filled.iloc[:40])
    np.testing.assert_array_equal(found[0].weights, by_hand.weights_)
    fitted = by_hand.prior_estimator_.tree_
    assert fitted.attrs["model"] == "hierarchical-t"
    assert fitted["constant_data"]["factor_weights"].values.tolist() == [[0.2] * 5]
    market = fitted["constant_data"]["factor_returns"].values[:, 0]
    np.testing.assert_allclose(market, filled.iloc[:40].mean(axis=1), atol=1e-15)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_missing_returns_and_factors_of_ones_own(returns):
    late = returns.copy()
    late["COIN02"] = np.nan
    factors = pd.DataFrame({"market": returns.mean(axis=1)})
    prior = FactorModelPrior("pooled-t", scenarios=200, sample=FEW, random_seed=1)
    found = MeanRisk(prior_estimator=prior).fit(late, factors)
    assert found.prior_estimator_.tree_["posterior"].sizes["asset"] == 4
    assert "factor_weights" not in found.prior_estimator_.tree_["constant_data"]
    with config_context(enable_metadata_routing=True):
        routed = MeanRisk(prior_estimator=clone(prior).set_fit_request(factors=True)).fit(
            late, factors=factors
        )
    np.testing.assert_array_equal(routed.weights_, found.weights_)
    law = found.prior_estimator_.return_distribution_
    assert law.investable_mask.tolist() == [True, False, True, True, True]
    assert found.weights_[1] == 0.0
    assert found.weights_.sum() == pytest.approx(1.0, abs=1e-6)


def test_bad_input_is_refused(tree, returns):
    with pytest.raises(RiskError, match="did you mean 'zero'"):
        FactorModelPrior(tree=tree, drift="zeros").fit(returns)
    with pytest.raises(RiskError, match="scenarios"):
        FactorModelPrior(tree=tree, scenarios=1).fit(returns)
    with pytest.raises(WeightsError, match="did you mean 'COIN01'"):
        FactorModelPrior(tree=tree).fit(returns.rename(columns={"COIN01": "COIN1"}))
    with pytest.raises(WeightsError, match="Give a DataFrame"):
        FactorModelPrior(tree=tree).fit(returns.to_numpy()[:, :3])
    with pytest.raises(PanelError, match="at least two"):
        FactorModelPrior().fit(returns[["COIN01"]])
    with pytest.raises(PanelError, match="a row for each"):
        FactorModelPrior().fit(returns, returns[["COIN01"]].iloc[:5])
    log = tree.copy()
    log["observed_data"] = xr.DataTree(tree["observed_data"].to_dataset().assign_attrs(returns_kind="log"))
    with pytest.raises(RiskError, match="simple returns"):
        FactorModelPrior(tree=log).fit(returns)


def test_without_skfolio_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio.prior", None)
    monkeypatch.delitem(sys.modules, "bayesfactor.skfolio")
    with pytest.raises(RiskError, match=r'pip install "bayesfactor\[allocate\]"'):
        importlib.import_module("bayesfactor.skfolio")
