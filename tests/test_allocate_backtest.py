"""The walk-forward of allocations: what it may know, what it pays, what it says of itself."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from skfolio.optimization import MeanRisk

import bayesfactor as bf
from bayesfactor.errors import CardError, RiskError, SchemaError, WeightsError

HOW = {
    "window": 60,
    "refit_every": 10,
    "draws": 10,
    "tune": 20,
    "chains": 2,
    "scenarios": 200,
    "random_seed": 1,
    "progressbar": False,
}


def momentum(past):
    """Hold the two assets that rose most: a function of the window."""
    assert past.sizes["time"] == 60
    rose = past["returns"].sum("time").to_series().sort_values()
    return dict.fromkeys(rose.index[-2:], 0.5)


STRATEGIES = {
    "equal": "equal",
    "inverse": "inverse-volatility",
    "model": "min-volatility: hierarchical-t",
    "es": bf.Strategy("min_es", "hierarchical-t", level=0.9, bounds=(0.0, 0.7)),
    "careful": bf.Strategy("min_volatility", "hierarchical-t", mind_costs=True),
    "sample": MeanRisk(),
    "momentum": momentum,
}


@pytest.fixture(scope="module")
def panel():
    panel = bf.simulate_panel(n_assets=4, n_days=85, n_factors=1, n_groups=2, random_seed=3)[0]
    returns = panel["returns"].values.copy()
    returns = np.where(np.isfinite(returns), returns, np.random.default_rng(0).normal(0, 0.03, returns.shape))
    returns[:25, 1] = np.nan  # listed late: its window is full from day 79 on
    returns[76:, 2] = np.nan  # delisted
    return panel.assign(returns=(("time", "asset"), returns))


def quiet(panel, strategies=STRATEGIES, **more):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten draws do not converge
        return bf.backtest_allocation(strategies, panel, **(HOW | more))


@pytest.fixture(scope="module")
def result(panel):
    return quiet(panel)


def test_a_walk_forward_has_the_schema(result, panel):
    assert dict(result.sizes) == {"strategy": 7, "time": 25, "asset": 4, "model": 1, "rebalance": 3}
    assert result["weights"].dims == ("strategy", "time", "asset")
    assert result["time"].values.tolist() == panel["time"].values[60:].tolist()
    assert result["model"].values.tolist() == ["hierarchical-t"]
    np.testing.assert_allclose(result["weights"].sum("asset"), 1.0, atol=1e-6)
    assert result["rhat"].notnull().all()
    assert result.attrs["random_seed"] == "1"


def test_only_assets_with_a_full_window_are_held(result):
    weights = result["weights"].isel(time=[0, 10, 20])
    late, gone = weights.isel(asset=1), weights.isel(asset=2)
    assert (late[:, :2] == 0.0).all()
    assert (late.sel(strategy=["equal", "inverse", "model"])[:, 2] > 0.0).all()
    assert (gone.sel(strategy="equal")[:2] > 0.0).all()
    assert (gone[:, 2] == 0.0).all()
    np.testing.assert_allclose(weights.sel(strategy="equal")[0], [1 / 3, 0, 1 / 3, 1 / 3], atol=1e-15)


def test_what_is_earned_and_paid_is_counted_by_hand(result, panel):
    """One strategy, all days, from weights and returns alone."""
    returns = np.nan_to_num(panel["returns"].transpose("time", "asset").values[60:])
    for name in ("equal", "es"):
        one = result.sel(strategy=name)
        w = one["weights"].values
        np.testing.assert_allclose(one["returns_gross"], (w * returns).sum(axis=1), atol=1e-15)
        drifted = w * (1 + returns) / (1 + one["returns_gross"].values)[:, None]
        for day in range(1, 25):
            traded = np.abs(w[day] - drifted[day - 1]).sum()
            assert traded == pytest.approx(float(one["turnover"][day]), abs=1e-12)
            assert traded == pytest.approx(0.0, abs=1e-12) or day in (10, 20)
    assert float(result["turnover"].sel(strategy="equal")[0]) == pytest.approx(1.0)
    paid = result["returns_gross"] - result["returns_net"]
    np.testing.assert_allclose(paid, 0.001 * result["turnover"], atol=1e-16)


def test_nothing_after_a_day_decides_what_is_held_on_it(result, panel):
    """From day 75 on another world: what is held until day 75, decided on day 70, stays bit by bit."""
    values, factors = panel["returns"].values.copy(), panel["factor_returns"].values.copy()
    values[75:] = np.where(np.isfinite(values[75:]), -0.5, np.nan)
    factors[75:] = 5.0
    broken = {"returns": (("time", "asset"), values), "factor_returns": (("time", "factor"), factors)}
    if "factor_weights" in panel:
        own = panel["factor_weights"].copy(deep=True)
        own[75:] = 7.0
        broken["factor_weights"] = own
    other = quiet(panel.assign(broken))
    till = slice(None, panel["time"].values[75])
    xr.testing.assert_identical(result["weights"].sel(time=till), other["weights"].sel(time=till))
    xr.testing.assert_identical(result["turnover"].sel(time=till), other["turnover"].sel(time=till))
    # ... and what is decided later does change, or the test would not see.
    last = result["weights"].isel(time=20), other["weights"].isel(time=20)
    for name in ("inverse", "model", "es", "sample"):
        assert not np.allclose(*(x.sel(strategy=name) for x in last), atol=1e-6), name


def test_company_changes_nothing(result, panel):
    alone = quiet(panel, {k: STRATEGIES[k] for k in ("es", "careful")})
    for name in ("weights", "returns_net"):
        xr.testing.assert_identical(alone[name], result[name].sel(strategy=["es", "careful"]))


def test_a_strategy_is_allocate_on_the_fit_of_the_window(result):
    held = result["weights"].sel(strategy="es").isel(time=[0, 10, 20])
    assert float(held.max()) <= 0.7 + 1e-6


def test_minding_costs_trades_less(panel):
    both = {
        "free": bf.Strategy("min_volatility", "hierarchical-t"),
        "minded": bf.Strategy("min_volatility", "hierarchical-t", mind_costs=True),
    }
    found = quiet(panel, both, cost=0.02)
    later = found["turnover"].isel(time=[10]).sum("time")
    assert float(later.sel(strategy="minded")) < float(later.sel(strategy="free"))


def test_rules_are_what_they_say(panel, result):
    window = panel["returns"].isel(time=slice(0, 60), asset=[0, 2, 3])
    inverse = 1 / window.std("time").values
    found = result["weights"].sel(strategy="inverse").isel(time=0, asset=[0, 2, 3])
    np.testing.assert_allclose(found, inverse / inverse.sum(), atol=1e-15)
    by_hand = MeanRisk().fit(window.to_pandas().fillna(0.0)).weights_
    theirs = result["weights"].sel(strategy="sample").isel(time=0, asset=[0, 2, 3])
    np.testing.assert_allclose(theirs, by_hand, atol=1e-12)


def wrong(_):
    return {"BTX": 1.0}


def nothing(past):
    return {past["asset"].values[0]: np.nan}


REFUSED = [
    ({"strategies": "equals"}, RiskError, "did you mean 'equal'"),
    ({"strategies": "min-es: score-skew"}, RiskError, "did you mean"),
    ({"strategies": []}, RiskError, "strategies are"),
    ({"strategies": ["equal", "equal"]}, RiskError, "names of their own"),
    ({"strategies": {"x": 1.0}}, RiskError, "a strategy is a name"),
    ({"strategies": {"x": bf.Strategy("min_ess", "hierarchical-t")}}, RiskError, "objective"),
    ({"strategies": {"x": bf.Strategy("min_es", "hierarchical")}}, CardError, "did you mean"),
    ({"strategies": {"x": wrong}}, WeightsError, "BTX"),
    ({"strategies": {"x": nothing}}, WeightsError, "finite"),
    ({"window": 85}, RiskError, "leaves one to hold"),
    ({"refit_every": 0}, RiskError, "refit_every"),
    ({"cost": -1.0}, RiskError, "cost"),
    ({"full": 2.0}, RiskError, "full"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED)
def test_bad_input_is_refused(panel, given, error, said):
    given = {"strategies": "equal", **given}
    with pytest.raises(error, match=said):
        bf.backtest_allocation(panel=panel, **(HOW | given))


def test_panels_that_cannot_be_held_are_refused(panel):
    with pytest.raises(RiskError, match="simple"):
        bf.backtest_allocation("equal", panel.assign_attrs(returns_kind="log"), **HOW)
    young = panel["returns"].values.copy()
    young[:59, 1:] = np.nan
    with pytest.raises(RiskError, match="two assets with a full window"):
        bf.backtest_allocation("equal", panel.assign(returns=(("time", "asset"), young)), **HOW)


@pytest.mark.filterwarnings("ignore:returns jump tenfold")
def test_a_strategy_that_loses_everything_is_named(panel):
    values = panel["returns"].values.copy()
    values[70] = -0.9
    with pytest.raises(RiskError, match="nothing is left"):
        bf.backtest_allocation(
            {"levered": lambda past: dict.fromkeys(past["asset"].values, 1.0)},
            panel.assign(returns=(("time", "asset"), values)),
            **HOW,
        )


def test_fits_that_did_not_converge_are_named(panel):
    with pytest.warns(UserWarning, match="hierarchical-t: . of 3 fits"):
        bf.backtest_allocation("min-volatility: hierarchical-t", panel, **(HOW | {"draws": 4, "tune": 1}))


# --- the summary --------------------------------------------------------------------------------


def made(returns, turnover=None, cost=0.001):
    """A result with these net returns (time, strategy)."""
    returns = np.asarray(returns, dtype=float)
    turnover = np.zeros_like(returns) if turnover is None else turnover
    names = ["equal", *(f"s{i}" for i in range(1, returns.shape[1]))]
    dims = ("time", "strategy")
    return xr.Dataset(
        {
            "returns_net": (dims, returns),
            "returns_gross": (dims, returns + cost * turnover),
            "turnover": (dims, turnover),
        },
        coords={"time": pd.date_range("2024-01-01", periods=len(returns)), "strategy": names},
        attrs={"periods_per_year": 365, "cost": cost},
    )


def test_the_figures_are_those_of_the_textbook():
    rng = np.random.default_rng(0)
    x = rng.normal(0.001, 0.02, (400, 2))
    turnover = np.zeros((400, 2))
    turnover[::40] = 0.5
    found = bf.summarise_allocation(made(x, turnover), level=0.975, replications=50)
    one = found.sel(strategy="s1")
    r = x[:, 1]
    assert float(one["annual_return"]) == pytest.approx(np.prod(1 + r) ** (365 / 400) - 1)
    assert float(one["volatility"]) == pytest.approx(r.std(ddof=1) * np.sqrt(365))
    assert float(one["es"]) == pytest.approx(-np.sort(r)[:10].mean())
    assert float(one["sharpe"]) == pytest.approx(r.mean() / r.std(ddof=1) * np.sqrt(365))
    wealth = pd.Series(np.concatenate([[1.0], np.cumprod(1 + r)]))
    assert float(one["max_drawdown"]) == pytest.approx(float((1 - wealth / wealth.cummax()).max()))
    assert float(one["turnover"]) == pytest.approx(5.0 * 365 / 400)
    assert float(one["cost"]) == pytest.approx(0.005 * 365 / 400)
    assert float(one["annual_return_gross"]) > float(one["annual_return"])


def test_intervals_cover_and_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(1)
    inside, p = 0, []
    for _ in range(100):
        common = rng.normal(0.0, 0.02, (250, 1))
        x = 0.001 + common + rng.normal(0.0, 0.01, (250, 2))
        found = bf.summarise_allocation(made(x), replications=150)
        truth = 0.001 / np.hypot(0.02, 0.01) * np.sqrt(365)
        inside += float(found["sharpe_low"][1]) < truth < float(found["sharpe_high"][1])
        p.append(float(found["sharpe_p"][1]))
    assert 80 <= inside <= 98
    assert 0.0 < np.mean(np.array(p) < 0.1) < 0.2


def test_a_difference_that_is_there_is_seen():
    rng = np.random.default_rng(2)
    common = rng.normal(0.0, 0.03, (600, 1))
    x = np.hstack([common, 0.5 * common]) + rng.normal(0.0, 0.005, (600, 2))
    found = bf.summarise_allocation(made(x), replications=500)
    one = found.sel(strategy="s1")
    assert float(one["es_difference"]) < 0.0
    assert float(one["es_p"]) < 0.01
    assert float(one["volatility_p"]) < 0.01
    assert found["sharpe_p"].isnull().values.tolist() == [True, False]
    swapped = bf.summarise_allocation(made(x), "s1", replications=500)
    assert float(swapped["es_difference"].sel(strategy="equal")) == pytest.approx(
        -float(one["es_difference"])
    )


def test_the_summary_is_reproducible_and_refuses(result):
    first, second = (bf.summarise_allocation(result, replications=20, random_seed=4) for _ in range(2))
    xr.testing.assert_identical(first, second)
    assert first.attrs["reference"] == "equal"
    with pytest.raises(RiskError, match="did you mean 'equal'"):
        bf.summarise_allocation(result, "equals")
    with pytest.raises(RiskError, match="at least 20 periods"):
        bf.summarise_allocation(result.isel(time=slice(0, 5)))
    with pytest.raises(RiskError, match="level"):
        bf.summarise_allocation(result, level=0.05)
    with pytest.raises(RiskError, match="block"):
        bf.summarise_allocation(result, block=100)
    with pytest.raises(SchemaError, match="lacks turnover"):
        bf.summarise_allocation(result.drop_vars("turnover"))
