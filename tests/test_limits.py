"""Counts and sizes: what would need more memory than there is, is refused with both numbers, at once."""

import math

import numpy as np
import pandas as pd
import pytest
from trees import make_tree

import bayesfactor as bf
from bayesfactor import limits
from bayesfactor.errors import BayesFactorError, ModelError, RiskError
from bayesfactor.limits import check_count, check_levels, check_memory, check_number, free_memory, said
from bayesfactor.sampling import SampleOptions


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_assets=3, n_factors=1, n_times=30, chains=2, draws=20)


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=3, n_days=40, n_factors=1, n_groups=1, random_seed=1)[0]


NO_COUNTS = [
    0,
    -1,
    1.0,
    1.5,
    True,
    False,
    math.nan,
    math.inf,
    "3",
    None,
    [3],
    np.array([3, 4]),
    np.float64(3),
    10**12,
    10**5000,
]


@pytest.mark.parametrize("value", NO_COUNTS, ids=lambda v: type(v).__name__)
def test_a_count_is_a_whole_number_in_its_range(value):
    with pytest.raises(RiskError, match="paths is a whole number"):
        check_count("paths", value, error=RiskError)


@pytest.mark.parametrize("value", [1, np.int64(7), np.uint8(7), 10**9])
def test_whole_numbers_of_numpy_are_counts(value):
    assert type(check_count("n", value)) is int


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, True, 10**400, 0.0, 1.0])
def test_a_number_is_finite_and_inside(value):
    with pytest.raises(ModelError, match="x is a finite number above 0 and below 1"):
        check_number("x", value, above=0.0, below=1.0)


@pytest.mark.parametrize(
    "levels", [0.5, 1.0, 1 - 1e-18, 1 - 1e-9, [0.9, 0.9], [], "0.95", None, math.nan, [[0.9]], [10**400]]
)
def test_levels_are_those_that_simulated_losses_can_tell(levels):
    with pytest.raises(RiskError, match="level"):
        check_levels(levels, error=RiskError)


def test_levels_are_read_from_one_or_many():
    assert check_levels(0.95).tolist() == [0.95]
    assert check_levels((0.95, 0.999999)).tolist() == [0.95, 0.999999]


def test_what_is_said_of_a_value_is_short_and_never_an_error():
    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert said(Broken()) == "something of type Broken that cannot be shown"
    assert said(10**5000) == "something of type int that cannot be shown"
    assert len(said("x" * 1000)) < 100


def test_memory_that_is_not_there_is_named_beside_what_is_needed(monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda: 2.0 * limits.GIB)
    check_memory("a little", 1e6, "Ask for less.")
    with pytest.raises(
        ModelError, match=r"much would take 4.0 GiB of memory, where 2.0 GiB are free. Ask for less."
    ):
        check_memory("much", 0.5 * limits.GIB, "Ask for less.")


def test_free_memory_is_what_the_tightest_limit_leaves(monkeypatch):
    assert 0.0 < free_memory() < 2.0**50
    monkeypatch.setattr(limits, "_of_the_container", lambda: 5.0)
    assert free_memory() == 5.0


@pytest.mark.parametrize("options", [{"draws": 10**12}, {"chains": 10**6}, {"tune": 10**10}, {"cores": 10**6}, {"cores": 1.5},
                                     {"max_treedepth": 63}, {"target_accept": "0.9"}, {"method": None}, {"draws": np.nan}])  # fmt: skip
def test_sampling_is_judged_before_it_begins(options):
    fine = {"draws": 10, "tune": 10, "chains": 2, "target_accept": 0.9}
    with pytest.raises(ModelError, match=next(iter(options))):
        SampleOptions(**fine | options)


def test_a_fit_that_memory_cannot_hold_says_what_it_would_take(panel):
    with pytest.raises(
        ModelError, match=r"4 chains of 1,000,000,000 draws .* GiB of memory, where .* GiB are free"
    ):
        bf.fit("hierarchical-normal", panel, draws=10**9, chains=4, progressbar=False)
    with pytest.raises(ModelError, match="GiB"):
        bf.fit("hierarchical-normal", panel, draws=10, tune=10**9, chains=4, progressbar=False)


HUGE = {
    "horizon of risk": lambda t: bf.decompose_risk(t, "equal", horizon=10**9),
    "periods without memory": lambda _: bf.decompose_risk(make_tree(draws=5000), "equal", horizon=10**6),
    "paths of risk": lambda t: bf.decompose_risk(t, "equal", paths=10**12),
    "paths without memory": lambda t: bf.decompose_risk(t, "equal", paths=10**9),
    "horizon of a forecast": lambda t: bf.forecast(t, 10**9),
    "paths of a forecast": lambda t: bf.forecast(t, paths=10**9),
    "scenarios of an allocation": lambda t: bf.allocate(t, "min_es", scenarios=10**12),
    "horizon of an allocation": lambda t: bf.allocate(t, "min_es", horizon=10**12),
    "paths of a stress": lambda t: bf.stress(t, "equal", [bf.FactorShock({"market": -0.1})], paths=10**12),
    "draws of a prior": lambda _: bf.sample_prior_predictive("hierarchical-t", market(), draws=10**9),
    "a simulated market": lambda _: bf.simulate_panel(n_assets=10**6, n_days=10**6),
    "groups": lambda _: bf.simulate_panel(n_assets=10**12),
    "latent factors": lambda _: bf.get_model("latent-t", n_latent=10**9),
    "samples of a backtest": lambda _: backtest(samples=10**12),
    "samples without memory": lambda _: backtest(samples=10**9),
    "window": lambda _: backtest(window=10**12),
    "levels": lambda t: bf.decompose_risk(t, "equal", levels=(1 - 1e-9,)),
    "replications": lambda _: bf.compare_mean_loss(backtest(), 0.95, replications=10**12),
}  # fmt: skip


def market():
    return bf.simulate_panel(n_assets=3, n_days=40, n_factors=1, n_groups=1, random_seed=1)[0]


def backtest(**options):
    panel = market()
    held = pd.DataFrame(1 / 3, index=["equal"], columns=panel["asset"].values)
    return bf.backtest(
        ["normal", "historical"],
        panel,
        held,
        **{"window": 30, "samples": 100, "progressbar": False} | options,
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", HUGE)
def test_numbers_without_bound_are_refused_at_once(tree, what):
    with pytest.raises(BayesFactorError, match=r"whole number|GiB|levels"):
        HUGE[what](tree)


def test_draws_too_few_to_tell_how_many_paths_they_need_are_refused():
    few = make_tree(draws=1, chains=2)
    with pytest.raises(RiskError, match=r"10 posterior draws or more .* got 2"):
        bf.decompose_risk(few, "equal")
    with pytest.warns(UserWarning, match="Monte-Carlo error"):
        risk = bf.decompose_risk(few, "equal", paths=200, random_seed=1)
    assert np.isfinite(risk["es"]).all()
