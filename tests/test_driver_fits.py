"""Fits with a market and business-day drivers: the market is what it is without them."""

import numpy as np
import pandas as pd
import pytest
from driver_trees import driver_panel

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.density import read_density
from bayesfactor.laws import law_of

SAMPLE = {"draws": 250, "tune": 250, "chains": 2, "progressbar": False, "random_seed": 1}


@pytest.mark.parametrize("n_drivers", [1, 4, 10])
def test_drivers_add_nothing_to_the_density_of_the_markets_law(n_drivers):
    """Where drivers do not respond to it, values differ by a constant and slopes not at all."""
    panel = driver_panel(n_drivers)
    alone = read_density(bf.get_model("hierarchical-t").build_factor_law(panel.isel(factor=[0])))
    both = read_density(bf.get_model("hierarchical-t").build_factor_law(panel))
    at = {e.name: e.begin for e in both.elements}
    first = [at["factor_location"], at["factor_scale"], at["factor_nu_raw"]]
    assert {e.name: e.shape for e in both.elements}["factor_nu_raw"] == (2,)
    x = np.zeros(both.n_dim)  # partial correlations of 0
    gaps = []
    for own in ([0.05, -0.4, 0.3], [-0.1, 0.2, -0.5], [0.0, -1.0, 1.0]):
        x[first] = own
        value, gradient = both.logp_and_gradient(x)
        expected, slope = alone.logp_and_gradient(np.array(own))
        gaps.append(value - expected)
        np.testing.assert_allclose(gradient[first], slope, rtol=1e-9)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-10)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
@pytest.mark.parametrize("name", ["hierarchical-t", pytest.param("garch-t", marks=pytest.mark.slow)])
def test_a_fit_with_drivers_has_the_markets_law_and_risk_of_the_fit_without(name):
    """Predictive sd within 5 %: both have about 250 effective draws, whose sd differs by 1 % by chance."""
    panel = driver_panel(3, n_days=250)
    trees = {n: bf.fit(name, p, **SAMPLE) for n, p in (("both", panel), ("alone", panel.isel(factor=[0])))}
    post = trees["both"].posterior
    if name == "hierarchical-t":
        assert post[s.FACTOR_NU].dims == ("chain", "draw", "block")
        assert post["block"].values.tolist() == ["traded", "macro"]
        nu = post[s.FACTOR_NU].sel(block="traded"), trees["alone"].posterior[s.FACTOR_NU]
        apart = abs(float(np.log(nu[0] - 2).mean() - np.log(nu[1] - 2).mean()))
        assert apart < 0.5 * float(np.log(nu[1] - 2).std())
        driver = post[s.FACTOR_CORRELATION].mean(("chain", "draw"))[0, 1:]
        assert (abs(driver - 0.3) < 0.2).all()
    sd = {}
    for n, tree in trees.items():
        m = law_of(tree).moments(1)
        sd[n] = np.sqrt(m.factor_covariance[:, 0, 0, 0].mean() + m.factor_mean[:, 0, 0].var())
    assert sd["both"] == pytest.approx(sd["alone"], rel=0.05)
    weights = dict.fromkeys(panel.asset.values, 0.25)
    sample = float(np.std(panel.returns.values.mean(axis=1)))
    if name == "hierarchical-t":
        risk = bf.decompose_risk(trees["both"], weights, paths=10, random_seed=1)
        # The sample's own sd of a t(4) is known to about 8 %.
        assert float(risk["volatility"]) == pytest.approx(sample, rel=0.25)


def test_models_of_drivers_sample_in_their_range_and_draw_closed_days_as_zero():
    panel = driver_panel(2, n_days=60)
    found = bf.sample_prior_predictive("hierarchical-t", panel, draws=20, random_seed=1)
    drawn = found["prior_predictive"][s.FACTOR_RETURNS].values[0]
    closed = np.asarray(panel.indexes["time"].day_of_week) >= 5
    assert not drawn[:, closed, 1:].any()
    assert drawn[:, ~closed].all()
    assert (found["prior"][s.FACTOR_NU] > 2.0).all()


@pytest.mark.slow
def test_parameters_of_the_law_in_blocks_are_recovered_at_their_stated_rate():
    """Ranks of the truth in its posterior are uniform: 60 panels drawn from the law at draws of the prior.

    Of 60 x 7 intervals of 80 %, a share within 5 standard errors of 0.8.
    """
    inside, names = [], ["market", "d0", "d1"]
    days = pd.date_range("2023-01-02", periods=250)
    template = driver_panel(2, n_days=250)
    for k in range(60):
        truth = bf.sample_prior_predictive("hierarchical-t", template, draws=2, random_seed=100 + k)
        factors = truth["prior_predictive"][s.FACTOR_RETURNS].values[0, 0]
        panel = bf.panel_from_returns(
            template.returns.to_pandas(),
            factors=pd.DataFrame(factors, days, names),
            families={"market": "market", "d0": "macro", "d1": "macro"},
        )
        tree = bf.fit(
            "hierarchical-t", panel, draws=300, tune=300, chains=2, progressbar=False, random_seed=k
        )
        drawn, known = tree.posterior, truth["prior"].to_dataset().isel(chain=0, draw=0)
        for name in (s.FACTOR_SCALE, s.FACTOR_NU):
            low, high = drawn[name].quantile([0.1, 0.9], ("chain", "draw")).values
            inside += list((known[name].values > low) & (known[name].values < high))
        low, high = drawn[s.FACTOR_CORRELATION].quantile([0.1, 0.9], ("chain", "draw")).values[:, 0, 1:]
        value = known[s.FACTOR_CORRELATION].values[0, 1:]
        inside += list((value > low) & (value < high))
    error = np.sqrt(0.8 * 0.2 / len(inside))
    assert np.mean(inside) == pytest.approx(0.8, abs=5.0 * error)
