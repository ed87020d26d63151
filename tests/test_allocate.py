"""Weights out of a posterior: against closed forms and skfolio by hand, under permutation, with costs."""

import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from trees import make_tree, replace, with_attrs

import bayesfactor as bf
from bayesfactor.allocate.law import asset_law, pooled_returns, returns_of_draw
from bayesfactor.allocate.verb import expected_shortfall
from bayesfactor.errors import ModelError, NumericalError, RiskError, SchemaError, WeightsError
from bayesfactor.forecast import predict

TREES = {
    "static": lambda: make_tree(6, 2),
    "own market": lambda: make_tree(6, 2, own_market=True),
    "garch": garch_tree,
    "latent": latent_tree,
    "hybrid": lambda: latent_tree(n_factors=1, own_market=True),
}
SMALL = {"scenarios": 1000, "random_seed": 1}


@pytest.fixture(scope="module")
def tree():
    return make_tree(6, 2, own_market=True)


def law_of(tree, horizon=1):
    return asset_law(predict(tree, horizon, random_seed=1).moments)


def canonical(tree):
    return sorted(tree["observed_data"]["asset"].values.tolist())


# --- the law -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("horizon", [1, 5])
def test_covariance_and_parts_are_those_of_decompose_risk(kind, horizon):
    tree = TREES[kind]()
    law, names = law_of(tree, horizon), canonical(tree)
    w = np.random.default_rng(0).normal(size=len(names))
    without_tails = {"levels": (0.9,), "paths": 1, "horizon": horizon, "random_seed": 1}
    risk = bf.decompose_risk(tree, dict(zip(names, w, strict=True)), **without_tails)
    volatility = float(risk["volatility"])
    assert np.sqrt(w @ law.covariance @ w) == pytest.approx(volatility, rel=1e-10)
    parts = np.einsum("i,cij,j->ic", w, law.parts, w) / volatility
    theirs = risk["volatility_contribution"].sel(asset=names).values
    np.testing.assert_allclose(parts, theirs, rtol=0, atol=1e-10 * volatility)


def test_pooled_returns_have_the_moments_of_the_law(tree):
    found = predict(tree, 2, random_seed=1)
    law, returns = asset_law(found.moments), pooled_returns(found, 60_000)
    assert returns.shape == (60_000, 6)
    error = np.sqrt(np.diag(law.covariance) / len(returns))
    assert (np.abs(returns.mean(axis=0) - law.mean) < 4 * error).all()
    correlation = law.covariance / np.sqrt(np.outer(*[np.diag(law.covariance)] * 2))
    np.testing.assert_allclose(np.corrcoef(returns.T), correlation, atol=0.05)


def test_returns_of_a_draw_are_of_that_draw_alone(tree):
    found = predict(tree, 1, random_seed=1)
    law = asset_law(found.moments.take(np.array([17])))
    returns = returns_of_draw(found, 17, 40_000)
    error = np.sqrt(np.diag(law.covariance) / len(returns))
    assert (np.abs(returns.mean(axis=0) - law.mean) < 4 * error).all()
    stored = predict(bf.forecast(tree, 1, paths=3, random_seed=1), 1)
    assert returns_of_draw(stored, 17, 3).shape == (3, 6)
    assert pooled_returns(stored, 10_000).shape == (1200, 6)  # all there are
    with pytest.raises(RiskError, match="hold 3"):
        returns_of_draw(stored, 17, 4)


def test_expected_shortfall_is_what_the_optimiser_minimises():
    returns = np.arange(-10.0, 0.0)  # losses 1 to 10
    assert expected_shortfall(returns, 0.8) == pytest.approx(9.5)
    assert expected_shortfall(returns, 0.75) == pytest.approx((10 + 9 + 0.5 * 8) / 2.5)


# --- objectives ----------------------------------------------------------------------------------


def test_least_es_is_that_of_skfolio_on_the_same_scenarios(tree):
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk

    found = predict(tree, 1, random_seed=1)
    returns = pooled_returns(found, 1000)
    by_hand = MeanRisk(risk_measure=RiskMeasure.CVAR, cvar_beta=0.9, max_weights=0.4)
    by_hand.fit(pd.DataFrame(returns, columns=canonical(tree)))
    ours = bf.allocate(tree, "min_es", level=0.9, bounds=(0, 0.4), **SMALL)
    np.testing.assert_allclose(ours["weights"].sel(asset=canonical(tree)), by_hand.weights_, atol=1e-5)
    assert float(ours["es"]) == pytest.approx(expected_shortfall(returns @ by_hand.weights_, 0.9), rel=1e-7)


def test_least_volatility_has_a_closed_form(tree):
    found = bf.allocate(tree, "min_volatility", bounds=(-5, 5), **SMALL)
    solved = np.linalg.solve(law_of(tree).covariance, np.ones(6))
    np.testing.assert_allclose(found["weights"].sel(asset=canonical(tree)), solved / solved.sum(), atol=1e-6)
    assert float(found["volatility"]) == pytest.approx(solved.sum() ** -0.5, rel=1e-9)


def test_the_largest_diversification_has_a_closed_form():
    # Innovations alone: uncorrelated coins are held by the inverse of their volatility.
    tree = make_tree(5, 1, jitter=1e-6)
    tree = replace(tree, "posterior", loadings=0.0 * tree["posterior"]["loadings"])
    found = bf.allocate(tree, "max_diversification", **SMALL)
    inverse = 1 / np.sqrt(np.diag(law_of(tree).covariance))
    expected = inverse / inverse.sum()
    np.testing.assert_allclose(found["weights"].sel(asset=canonical(tree)), expected, atol=1e-5)
    assert float(found["diversification_ratio"]) == pytest.approx(np.sqrt(5), rel=1e-4)


@pytest.mark.parametrize("objective", ["min_es", "min_volatility", "max_diversification"])
@pytest.mark.parametrize("cap", [0.2, 0.25])
def test_bounds_may_decide_everything_or_almost(tree, objective, cap):
    """Six coins of at most a fifth: five are on their bound, or four on it and one in between."""
    found = bf.allocate(tree, objective, bounds=(0, cap), **SMALL)["weights"]
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-8)
    assert float(found.max()) <= cap + 1e-8
    assert float(found.min()) >= -1e-8


def test_no_weights_are_better(tree):
    """Random long-only weights never beat what was found."""
    law = law_of(tree)
    returns = pooled_returns(predict(tree, 1, random_seed=1), 1000) - law.mean
    sd = np.sqrt(np.diag(law.covariance))
    measures = {
        "min_es": lambda w: expected_shortfall(returns @ w, 0.975),
        "min_volatility": lambda w: np.sqrt(w @ law.covariance @ w),
        "max_diversification": lambda w: -(w @ sd) / np.sqrt(w @ law.covariance @ w),
    }
    others = np.random.default_rng(0).dirichlet(np.full(6, 0.3), 500)
    for objective, measure in measures.items():
        w = bf.allocate(tree, objective, **SMALL)["weights"].sel(asset=canonical(tree)).values
        least = measure(w)
        assert all(least <= measure(v) + 1e-9 for v in others)
        nearby = 0.98 * w + 0.02 * others
        assert all(least <= measure(v) + 1e-9 for v in nearby)


def test_a_budget_by_asset_or_group_is_met(tree):
    even = bf.allocate(tree, "risk_budget", **SMALL)
    np.testing.assert_allclose(even["risk_share"].sum("component"), 1 / 6, atol=1e-6)
    given = {"COIN01": 0.5, "COIN02": 0.3, "COIN05": 0.2}
    found = bf.allocate(tree, "risk_budget", budget=given, **SMALL)
    share = found["risk_share"].sum("component")
    np.testing.assert_allclose(share.sel(asset=list(given)), list(given.values()), atol=1e-6)
    assert (found["weights"].sel(asset=["COIN03", "COIN04", "COIN06"]) == 0).all()
    groups = bf.allocate(tree, "risk_budget", budget={"group1": 0.7, "group2": 0.3}, **SMALL)
    by_group = groups["risk_share"].sum("component").groupby("group").sum()
    np.testing.assert_allclose(by_group.sel(group=["group1", "group2"]), [0.7, 0.3], atol=1e-6)


def test_a_budget_by_component_is_met_with_the_least_volatility():
    tree = make_tree(8, 1)
    law = law_of(tree)
    free = bf.allocate(tree, "min_volatility", **SMALL)
    market = float(free["risk_share"].sel(component="market").sum())
    for target in (0.5 * market, market + 0.1):
        found = bf.allocate(tree, "risk_budget", budget={"market": target, "specific": 1 - target}, **SMALL)
        part = found["risk_share"].sum("asset")
        whole = part.sel(component=["market", "specific"])
        np.testing.assert_allclose(whole / whole.sum(), [target, 1 - target], atol=1e-4)
        assert float(found["volatility"]) >= float(free["volatility"]) - 1e-12
        # Weights that meet the budget, of many random ones moved onto it, are more volatile.
        w = found["weights"].sel(asset=canonical(tree)).values
        rng = np.random.default_rng(1)
        for v in rng.dirichlet(np.ones(8), 4000):
            x = 0.7 * w + 0.3 * v
            q = np.einsum("i,cij,j->c", x, law.parts[:2], x)
            if abs(q[0] / q.sum() - target) < 1e-3:
                assert x @ law.covariance @ x > (1 - 4e-3) * float(found["volatility"]) ** 2


def test_gradients_of_a_budget_lead_to_short_positions_where_allowed():
    tree = make_tree(6, 1, jitter=1e-6)  # loadings not known leave a share that no weights hedge
    neutral = {"market": 0.0, "specific": 1.0}
    found = bf.allocate(tree, "risk_budget", budget=neutral, bounds=(-3, 3), **SMALL)
    part = found["risk_share"].sum("asset")
    assert abs(float(part.sel(component="market"))) < 1e-4
    assert (found["weights"] < 0).any()
    assert float(found["weights"].sum()) == pytest.approx(1.0, abs=1e-9)


def test_a_budget_that_bounds_forbid_is_said_to_be_missed(tree):
    with pytest.warns(UserWarning, match="meet the budget"):
        bf.allocate(tree, "risk_budget", budget={"market": 0.0, "specific": 1.0}, **SMALL)


def test_components_without_a_name_get_nothing():
    tree = make_tree(6, 2, own_market=False)
    budget = {"market": 0.6, "specific": 0.4}
    found = bf.allocate(tree, "risk_budget", budget=budget, bounds=(-1, 1), **SMALL)
    part = found["risk_share"].sum("asset")
    named = part.sel(component=["market", "specific", "size"])
    np.testing.assert_allclose(named / named.sum(), [0.6, 0.4, 0.0], atol=1e-4)


# --- what it says of the weights -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_figures_are_those_of_decompose_risk(tree):
    found = bf.allocate(tree, "max_diversification", horizon=3, **SMALL)
    risk = bf.decompose_risk(tree, found["weights"], levels=(0.975,), horizon=3, paths=1, random_seed=1)
    assert float(found["volatility"]) == pytest.approx(float(risk["volatility"]), rel=1e-10)
    share = risk["volatility_contribution"] / risk["volatility"]
    np.testing.assert_allclose(found["risk_share"], share, atol=1e-10)
    assert float(found["risk_share"].sum()) == pytest.approx(1.0, abs=1e-12)
    assert found["risk_share"]["family"].values.tolist() == risk["family"].values.tolist()


def test_drift_is_left_out_unless_asked_for(tree):
    plain = bf.allocate(tree, "min_es", level=0.9, **SMALL)
    drifting = bf.allocate(tree, "min_es", level=0.9, drift="posterior", **SMALL)
    assert float(plain["expected_return"]) == 0.0
    law = asset_law(predict(tree, drift="posterior").moments)
    w = drifting["weights"].sel(asset=canonical(tree)).values
    assert float(drifting["expected_return"]) == pytest.approx(float(law.mean @ w), rel=1e-12)
    assert not np.allclose(plain["weights"], drifting["weights"], atol=1e-4)


@pytest.mark.parametrize("objective", ["min_es", "min_volatility", "risk_budget"])
def test_weights_by_draw_are_those_under_the_law_of_the_draw(tree, objective):
    found = bf.allocate(tree, objective, weight_draws=8, **SMALL)
    by_draw = found["weights_posterior"]
    assert dict(by_draw.sizes) == {"chain": 4, "draw": 2, "asset": 6}
    np.testing.assert_allclose(by_draw.sum("asset"), 1.0, atol=1e-8)
    assert float(by_draw.std(("chain", "draw")).max()) > 1e-3
    chain, draw = 2, int(by_draw["draw"][1])
    alone = with_attrs(tree)
    alone["posterior"] = xr.DataTree(tree["posterior"].to_dataset().isel(chain=[chain], draw=[draw]))
    if objective != "min_es":
        own = bf.allocate(alone, objective, **SMALL)["weights"]
        np.testing.assert_allclose(by_draw.sel(chain=chain, draw=draw), own, atol=1e-7)


# --- invariances -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "min_es", "weight_draws": 2},
        {"objective": "min_volatility", "transaction_costs": 0.001, "previous_weights": {"COIN03": 1.0}},
        {"objective": "risk_budget", "budget": {"market": 0.7, "specific": 0.3}, "bounds": (-1, 1)},
        {"objective": "max_diversification", "bounds": {"COIN02": (0, 0), "COIN05": (0.1, 0.3)}},
    ],
    ids=lambda o: o["objective"],
)
def test_the_order_of_assets_changes_no_bit(tree, options):
    order = [3, 0, 5, 1, 4, 2]
    parts = {g: d.to_dataset() for g, d in tree.children.items()}
    moved = xr.DataTree.from_dict(
        {g: d.isel(asset=order) if "asset" in d.dims else d for g, d in parts.items()}
    )
    moved.attrs = tree.attrs
    first, second = (bf.allocate(t, **options, **SMALL) for t in (tree, moved))
    xr.testing.assert_identical(first, second.sel(asset=first["asset"]))
    xr.testing.assert_identical(first, bf.allocate(tree, **options, **SMALL))
    if options["objective"] == "min_es":
        other = bf.allocate(tree, **options, **(SMALL | {"random_seed": 2}))
        assert not np.array_equal(first["weights"], other["weights"])


def test_the_unit_of_returns_changes_no_weight():
    tree = make_tree(5, 1)
    scaled = {"alpha", "sigma", "factor_location", "factor_scale"}
    draws = tree["posterior"].to_dataset()
    larger = with_attrs(tree)
    larger["posterior"] = xr.DataTree(draws.assign({v: 3.0 * draws[v] for v in scaled}))
    for objective in ("min_volatility", "max_diversification", "risk_budget"):
        a, b = (bf.allocate(t, objective, **SMALL) for t in (tree, larger))
        np.testing.assert_allclose(a["weights"], b["weights"], atol=1e-8)
        assert float(b["volatility"]) == pytest.approx(3 * float(a["volatility"]), rel=1e-7)


# --- costs -----------------------------------------------------------------------------------------

EVEN = {f"COIN{i:02d}": 1 / 6 for i in range(1, 7)}
OBJECTIVES = ["min_es", "min_volatility", "max_diversification", "risk_budget"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nothing_is_traded_where_it_costs_more_than_it_saves(tree, objective):
    how = {"objective": objective, "previous_weights": EVEN, **SMALL}
    stays = bf.allocate(tree, transaction_costs=0.5, **how)
    np.testing.assert_array_equal(stays["weights"].values, list(EVEN.values()))
    assert float(stays["turnover"]) == float(stays["cost"]) == 0.0
    moves = bf.allocate(tree, transaction_costs=1e-6, **how)
    assert float(moves["turnover"]) > 0.05
    assert float(moves["cost"]) == pytest.approx(1e-6 * float(moves["turnover"]), rel=1e-12)
    free = bf.allocate(tree, **how)
    np.testing.assert_allclose(moves["weights"], free["weights"], atol=2e-2)


@pytest.mark.parametrize("objective", ["min_es", "min_volatility"])
def test_costs_are_weighed_against_risk(tree, objective):
    how = {"objective": objective, "previous_weights": EVEN, **SMALL}
    found = [bf.allocate(tree, transaction_costs=c, **how) for c in (0.0, 0.002, 0.004, 0.5)]
    turnover = [float(f["turnover"]) for f in found]
    assert turnover == sorted(turnover, reverse=True)
    assert turnover[0] > turnover[1] > turnover[3] == 0.0
    name = "es" if objective == "min_es" else "volatility"
    totals = [float(found[i][name]) + 0.002 * turnover[i] for i in range(4)]
    assert totals[1] == min(totals)


def test_what_may_not_be_held_is_sold(tree):
    found = bf.allocate(
        tree,
        "min_volatility",
        bounds={"COIN01": (0, 0)},
        previous_weights=EVEN,
        transaction_costs=0.5,
        **SMALL,
    )
    assert float(found["weights"].sel(asset="COIN01")) == 0.0
    np.testing.assert_allclose(found["turnover"], 1 / 3, atol=1e-5)


# --- refusals ----------------------------------------------------------------------------------------


def test_what_is_not_held_is_not_held_at_all(tree):
    for objective in ("min_es", "min_volatility", "max_diversification", "risk_budget"):
        w = bf.allocate(tree, objective, bounds=(0, 0.4), **SMALL)["weights"].values
        assert w.sum() == pytest.approx(1.0, abs=1e-12)
        assert not ((w != 0.0) & (abs(w) < 1e-9)).any()
        assert not ((w != 0.4) & (abs(w - 0.4) < 1e-9)).any()


REFUSED = [
    ({"objective": "min_ess"}, RiskError, "did you mean 'min_es'"),
    ({"drift": "Zero"}, RiskError, "did you mean 'zero'"),
    ({"level": 0.05}, RiskError, "confidence levels"),
    ({"horizon": 0}, RiskError, "horizon"),
    ({"scenarios": 10}, RiskError, "scenarios"),
    ({"weight_draws": -1}, RiskError, "weight_draws"),
    ({"transaction_costs": -0.1}, RiskError, "transaction_costs"),
    ({"budget": {"market": 1.0}}, RiskError, "risk_budget"),
    ({"objective": "risk_budget", "budget": {"market": 0.5, "specific": 0.6}}, WeightsError, "sum to 1.1"),
    (
        {"objective": "risk_budget", "budget": {"market": -0.5, "specific": 1.5}},
        WeightsError,
        "at least 0; got market -0.5",
    ),
    (
        {"objective": "risk_budget", "budget": {"market": np.nan, "specific": 1.0}},
        WeightsError,
        "got market nan",
    ),
    ({"objective": "risk_budget", "budget": {"markt": 0.5, "specific": 0.5}}, WeightsError, "did you mean"),
    ({"objective": "risk_budget", "budget": {"COIN01": 0.5, "specific": 0.5}}, WeightsError, "several kinds"),
    ({"objective": "risk_budget", "budget": {"market": "x", "specific": 0.5}}, WeightsError, "numbers"),
    ({"objective": "risk_budget", "budget": {}}, WeightsError, "mapping"),
    (
        {"objective": "risk_budget", "budget": {"COIN01": 0.5, "COIN02": 0.5}, "bounds": {"COIN01": (0, 0)}},
        WeightsError,
        "COIN01",
    ),
    ({"objective": "risk_budget", "bounds": (-1, 1)}, WeightsError, "long positions"),
    ({"objective": "max_diversification", "bounds": (-1, 1)}, WeightsError, "long positions"),
    ({"bounds": (0, 0.1)}, WeightsError, "upper ones to 0.6"),
    (
        {"objective": "risk_budget", "budget": {"COIN01": 0.5, "COIN02": 0.5}, "bounds": (0, 0.3)},
        WeightsError,
        "with a share of the budget hold everything, but their .* upper ones to 0.6",
    ),
    ({"level": "high"}, RiskError, "confidence levels"),
    ({"random_seed": "a"}, ModelError, "got 'a'"),
    ({"bounds": (0.3, 1)}, WeightsError, "sum to 1.8"),
    ({"bounds": (1, 0)}, WeightsError, "a pair"),
    ({"bounds": 0.2}, WeightsError, "a pair"),
    ({"bounds": {"COIN1": (0, 1)}}, WeightsError, "did you mean 'COIN01'"),
    ({"bounds": {f"COIN{i:02d}": (0, 0) for i in range(2, 7)}}, WeightsError, "at least two"),
    ({"previous_weights": {"COIN1": 1.0}}, WeightsError, "did you mean 'COIN01'"),
    ({"previous_weights": {"COIN01": np.nan}}, WeightsError, "finite"),
    ({"previous_weights": [1.0]}, WeightsError, "mapping"),
    ({"previous_weights": pd.Series([0.5, 0.5], ["COIN01", "COIN01"])}, WeightsError, "twice"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED)
def test_bad_input_is_refused(tree, given, error, said):
    with pytest.raises(error, match=said):
        bf.allocate(tree, **{"random_seed": 1, **given})


def test_trees_that_cannot_be_allocated_are_refused(tree):
    with pytest.raises(SchemaError, match="DataTree"):
        bf.allocate({"weights": 1.0})
    with pytest.raises(WeightsError, match="at least two"):
        bf.allocate(make_tree(1, 1))
    log = tree.copy()
    log["observed_data"] = xr.DataTree(tree["observed_data"].to_dataset().assign_attrs(returns_kind="log"))
    with pytest.raises(RiskError, match="simple returns"):
        bf.allocate(log)
    draws = tree["posterior"].to_dataset()
    heavy = with_attrs(tree)
    heavy["posterior"] = xr.DataTree(draws.assign(nu=xr.full_like(draws["nu"], 1.9)))
    with pytest.raises(NumericalError, match="nu <= 2"):
        bf.allocate(heavy, "min_volatility")


def test_without_skfolio_the_remedy_is_named(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio", None)
    monkeypatch.delitem(sys.modules, "bayesfactor.allocate.solvers", raising=False)
    monkeypatch.delattr(sys.modules["bayesfactor.allocate"], "solvers", raising=False)
    with pytest.raises(RiskError, match=r'pip install "bayesfactor\[allocate\]"'):
        bf.allocate(tree, "min_volatility", random_seed=1)
