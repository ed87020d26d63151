"""Mixtures of models: weights from past scores, and predictions that every risk verb reads."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize
from scipy.special import logsumexp

import bayesfactor as bf
from bayesfactor.errors import CompareError

pytestmark = pytest.mark.filterwarnings("ignore:the Monte-Carlo error")  # of few posterior draws

HOW = {"draws": 100, "tune": 80, "chains": 2, "random_seed": 1, "progressbar": False}


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=4, n_days=150, n_factors=1, n_groups=2, random_seed=3)[0]


@pytest.fixture(scope="module")
def trees(panel):
    return {name: bf.fit(name, panel, **HOW) for name in ("hierarchical-t", "gjr-skew-t")}


@pytest.fixture(scope="module")
def book(panel):
    return dict.fromkeys(panel["asset"].values.tolist(), 0.25)


def test_weights_are_those_that_would_have_foreseen_best():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(4000) < 0.7, rng.normal(0, 1, 4000), rng.normal(0, 4, 4000))
    scores = pd.DataFrame({"narrow": -0.5 * truth**2, "wide": -0.5 * truth**2 / 16 - np.log(4.0)})
    scores["hopeless"] = scores["wide"] - 5.0
    found = bf.stacking_weights(scores)
    assert found.sum() == pytest.approx(1.0)
    assert found["narrow"] == pytest.approx(0.7, abs=0.05)
    assert found["hopeless"] < 1e-6

    def loss(x):
        w = np.exp(x - logsumexp(x))
        return -logsumexp(scores.to_numpy() + np.log(w + 1e-300), axis=1).sum()

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-6})
    assert loss(np.log(found.to_numpy() + 1e-12)) <= best.fun + 1e-3


def test_weights_know_nothing_of_later_days():
    days = pd.date_range("2024-01-01", periods=40)
    values = np.zeros((40, 2, 2))
    values[:20, 0], values[20:, 0] = 1.0, -9.0
    dims = ("time", "model", "portfolio")
    coords = {"time": days, "model": ["a", "b"], "portfolio": ["p", "q"]}
    result = xr.Dataset({"log_score": (dims, values)}, coords)
    early = bf.stacking_weights(result, until="2024-01-20")
    assert early["a"] == pytest.approx(1.0)
    assert bf.stacking_weights(result)["a"] < 0.9
    with pytest.raises(CompareError, match="at least two models"):
        bf.stacking_weights(result.isel(model=[0]))


def test_a_mixture_of_one_is_that_one(trees, book):
    for name, tree in trees.items():
        weights = {n: float(n == name) for n in trees}
        mixed = bf.stack(trees, weights, horizon=1, paths=400, random_seed=1)
        assert json.loads(mixed.attrs["weights"]) == weights
        alone = bf.forecast(tree, 1, paths=400, random_seed=2)
        a, b = (bf.decompose_risk(t, book, random_seed=1) for t in (mixed, alone))
        assert float(a["volatility"]) == pytest.approx(float(b["volatility"]), rel=1e-12)
        assert float(a["var"].sel(level=0.95)) == pytest.approx(float(b["var"].sel(level=0.95)), rel=0.03)


def test_variances_of_a_mixture_are_those_of_its_parts(trees, book):
    weights = pd.Series({"hierarchical-t": 0.5, "gjr-skew-t": 0.5})
    mixed = bf.decompose_risk(bf.stack(trees, weights, random_seed=1), book, random_seed=1)
    parts = [bf.decompose_risk(t, book, paths=50, random_seed=1) for t in trees.values()]
    square = np.mean([float(p["volatility"]) ** 2 for p in parts])
    means = [float(p["mean_loss"]) if "mean_loss" in p else 0.0 for p in parts]
    assert float(mixed["volatility"]) ** 2 == pytest.approx(square + np.var(means), rel=0.02)
    for name in ("volatility", "var", "es"):
        total = mixed[f"{name}_contribution"].sum(("asset", "component"))
        np.testing.assert_allclose(total, mixed[name], rtol=1e-10)


def test_a_mixture_is_saved_and_read(trees, book, tmp_path):
    mixed = bf.stack(trees, {"hierarchical-t": 3, "gjr-skew-t": 1}, random_seed=1)
    back = bf.load(bf.save(mixed, tmp_path / "mixed.nc"))
    risk = [bf.decompose_risk(t, book, random_seed=1)["es"].values for t in (mixed, back)]
    np.testing.assert_array_equal(*risk)


def test_what_cannot_be_mixed_is_refused(trees, panel):
    weights = dict.fromkeys(trees, 0.5)
    other = bf.simulate_panel(n_assets=5, n_days=60, n_factors=1, n_groups=2, random_seed=4)[0]
    few = HOW | {"draws": 5, "tune": 5}
    strange = bf.fit("hierarchical-t", other, **few)
    early = bf.fit("hierarchical-t", panel.isel(time=slice(0, 100)), **few)
    cases = [
        ({**trees}, {"hierarchical-t": 1.0}, "without a weight: gjr-skew-t"),
        ({**trees}, {**weights, "gjr-skewt": 0.1}, "did you mean 'gjr-skew-t'"),
        ({**trees}, {**weights, "gjr-skew-t": -1.0}, "not negative"),
        ({**trees, "gjr-skew-t": strange}, weights, "same assets"),
        ({**trees, "gjr-skew-t": early}, weights, "bf.update"),
    ]
    for given, w, said in cases:
        with pytest.raises(CompareError, match=said):
            bf.stack(given, w)
