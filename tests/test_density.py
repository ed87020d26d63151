"""The read density against the graph it was read from, for every card and every kind of part."""

from dataclasses import replace

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from driver_trees import driver_panel
from pymc.initial_point import make_initial_point_fn

import bayesfactor as bf
from bayesfactor import sampling
from bayesfactor.density import UnreadableGraphError, read_density
from bayesfactor.density.first import first_call
from bayesfactor.sampling import nuts, verb
from bayesfactor.structures import STRUCTURES


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=5, n_days=60, n_factors=2, n_groups=2, missing=0.05, random_seed=3)[0]


def graphs(model, panel):
    found = {"returns": model.build(panel)}
    return found | ({"factors": model.build_factor_law(panel)} if model.observes_factors else {})


def compare(graph, *, spread=0.5, tolerance=1e-9):
    """Hold value, gradient, draws and log prior against PyMC's own, interpreted, at random points."""
    density = read_density(graph)
    plain = graph.logp_dlogp_function(ravel_inputs=True, mode="FAST_COMPILE")
    values = graph.compile_fn(graph.unobserved_value_vars, inputs=graph.value_vars, mode="FAST_COMPILE")
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = density.start + spread * rng.normal(size=density.n_dim)
        value, gradient = density.logp_and_gradient(x)
        expected, slope = plain(x)
        assert value == pytest.approx(float(expected), rel=tolerance)
        np.testing.assert_allclose(gradient, slope, rtol=tolerance, atol=tolerance * np.abs(slope).max())
        draws = density.draws(x[None])
        point = {
            graph.rvs_to_values[rv].name: x[e.where].reshape(e.shape)
            for rv, e in zip(graph.free_RVs, density.elements, strict=True)
        }
        named = dict(zip([v.name for v in graph.unobserved_value_vars], values(point), strict=True))
        for name, drawn in draws.items():
            np.testing.assert_allclose(drawn[0], named[name], rtol=1e-12, err_msg=name)


# These two GARCH cards have the graph of score-skew-t, or parts of it.
@pytest.mark.parametrize("name", [n for n in bf.list_models() if n not in ("gjr-t", "gjr-skew-t")])
def test_registered_graphs_are_read(name, panel):
    for graph in graphs(bf.get_model(name), panel).values():
        compare(graph)


@pytest.mark.parametrize("name", ["hierarchical-t", "hierarchical-normal"])
def test_factors_in_blocks_are_read(name):
    compare(bf.get_model(name).build_factor_law(driver_panel(2, n_days=40)))


@pytest.mark.parametrize("name", ["latent-t", "hybrid-t", "hybrid-own-t"])
@pytest.mark.parametrize("n_latent", [0, 1, 3])
def test_graphs_are_read_whatever_the_number_of_latent_factors(name, n_latent, panel):
    if n_latent or name != "hybrid-own-t":
        compare(bf.get_model(name, n_latent=n_latent).build(panel))


PARTS = {
    "half normal": {"sigma": {"dist": "HalfNormal", "dims": ["asset"], "kwargs": {"sigma": 0.7}}},
    "exponential": {"sigma": {"dist": "Exponential", "dims": ["asset"], "kwargs": {"scale": 0.7}}},
    "gamma": {
        "nu": {
            "dist": "Gamma",
            "dims": ["asset"],
            "transform": "above_two",
            "kwargs": {"alpha": 2, "beta": 0.3},
        }
    },
    "half normal above": {
        "alpha": {
            "dist": "Normal",
            "dims": ["asset"],
            "kwargs": {"mu": 0, "sigma": {"dist": "HalfNormal", "kwargs": {"sigma": 0.1}}},
        }
    },
    "one for all": {"sigma": {"dist": "LogNormal", "kwargs": {"mu": -0.7, "sigma": 0.5}}},
}


@pytest.mark.parametrize("part", PARTS)
def test_other_priors_are_read(part, panel):
    compare(bf.get_model("hierarchical-t", priors=PARTS[part]).build(panel))


UNREADABLE = {
    "density": {"sigma": {"dist": "InverseGamma", "dims": ["asset"], "kwargs": {"alpha": 3, "beta": 1}}},
    "offsets": {
        "alpha": {
            "dist": "Normal",
            "dims": ["asset"],
            "centered": False,
            "kwargs": {"mu": 0, "sigma": {"dist": "HalfNormal", "kwargs": {"sigma": 0.1}}},
        }
    },
}


@pytest.mark.parametrize("part", UNREADABLE)
def test_other_parts_are_named_and_refused(part, panel):
    graph = bf.get_model("hierarchical-t", priors=UNREADABLE[part]).build(panel)
    with pytest.raises(UnreadableGraphError, match={"density": "InvGammaRV", "offsets": "Mul"}[part]):
        read_density(graph)


def test_a_scale_that_may_be_negative_is_refused():
    with pm.Model() as graph:
        scale = pm.Normal("scale")
        pm.Normal("x", 0.0, scale)
        pm.Normal("y", 0.0, 1.0, observed=[1.0])
    with pytest.raises(UnreadableGraphError, match="NormalRV"):
        read_density(graph)


def test_the_start_is_pymcs_initial_point(panel):
    """One graph for every prior that is known; PyMC rounds some of its own to 32 bits."""
    scale = {"dist": "HalfCauchy", "kwargs": {"beta": 0.3}}
    alpha = {"dist": "Normal", "dims": ["asset"], "kwargs": {"mu": {"dist": "Normal"}, "sigma": scale}}
    models = [bf.get_model(n) for n in ("hierarchical-t", "horseshoe-t", "score-skew-t", "hybrid-own-t")]
    found = [g for m in models for g in graphs(m, panel).values()]
    found.append(bf.get_model("hierarchical-t", priors={"alpha": alpha}).build(panel))
    for graph in found:
        point = make_initial_point_fn(model=graph, return_transformed=True, jitter_rvs=set())(0)
        expected = np.concatenate([np.ravel(point[graph.rvs_to_values[rv].name]) for rv in graph.free_RVs])
        np.testing.assert_allclose(read_density(graph).start, expected, rtol=1e-6, atol=1e-6)


def test_a_graph_is_read_once(panel, monkeypatch):
    graph = bf.get_model("hierarchical-t").build(panel)
    reads = []
    monkeypatch.setattr(verb, "read_density", lambda g: reads.append(g) or read_density(g))
    options = sampling.SampleOptions(draws=10, tune=10, chains=1, target_accept=0.8, progressbar=False)
    sampling.log_prior(graph, sampling.sample(graph, options, (1, 0), label="x"))
    assert len(reads) == 1


def test_log_prior_is_that_of_pymc(panel):
    for graph in graphs(bf.get_model("hierarchical-t"), panel).values():
        options = sampling.SampleOptions(draws=30, tune=30, chains=2, target_accept=0.8, progressbar=False)
        tree = sampling.sample(graph, options, (1, 0), label="x")
        own = sampling.log_prior(graph, tree)
        plain = verb._compiled_log_prior(graph, tree)
        assert set(own.data_vars) == set(plain.data_vars)
        for name in own.data_vars:
            np.testing.assert_allclose(own[name].values, plain[name].values, rtol=1e-6, atol=1e-6)


def test_far_points_are_refused_not_returned(panel):
    for graph in graphs(bf.get_model("hierarchical-t"), panel).values():
        density = read_density(graph)
        for shift in (1e3, -1e3):
            code, value, gradient = density.call(density.start + shift)
            assert code in (3, 4)
            assert not (np.isfinite(value) and np.isfinite(gradient).all())


def test_what_has_to_be_compiled_is_compiled_once(monkeypatch):
    """A second window, under other names, goes through the compiled graph and finds its own posterior."""
    model = bf.get_model("unpooled-t", priors=UNREADABLE["density"])
    whole, _ = bf.simulate_panel(n_assets=3, n_days=160, n_factors=1, n_groups=2, missing=0.0, random_seed=1)
    first = whole.isel(time=slice(0, 100))
    second = whole.isel(time=slice(60, 160)).assign_coords(asset=["X", "Y", "Z"])
    how = {"draws": 20, "tune": 20, "chains": 1, "random_seed": 1, "progressbar": False}
    calls, compile_graph = [], nutpie.compile_pymc_model
    monkeypatch.setattr(nutpie, "compile_pymc_model", lambda m: (calls.append(m), compile_graph(m))[1])
    bf.fit(model, first, **how)
    again = bf.fit(model, second, **how)
    assert len(calls) == 1
    assert again["posterior"]["asset"].values.tolist() == ["X", "Y", "Z"]
    monkeypatch.setattr(nuts, "_COMPILED", {})
    anew = bf.fit(model, second, **how)
    assert len(calls) == 2
    xr.testing.assert_identical(again["posterior"].to_dataset(), anew["posterior"].to_dataset())


def test_structures_that_ship_need_no_compiler():
    assert set(STRUCTURES) == {"static", "lowrank", "scores", "garch"}, (
        "a new structure: add its graphs to these tests"
    )


def with_weights(density, seed=0):
    """The density in a form between centred and not, chosen by dice, the extremes included."""
    rng = np.random.default_rng(seed)
    dice = np.clip(rng.uniform(-0.3, 1.3, density.n_dim), 0.0, 1.0)
    return replace(density, weight=np.where(density.hierarchical, dice, 1.0))


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("hierarchical-t", "returns"),
        ("hierarchical-t", "factors"),
        ("horseshoe-t", "returns"),
        ("hybrid-t", "returns"),
        ("latent-own-t", "returns"),
    ],
)
def test_every_form_is_the_same_density(name, which, panel):
    """A form is a change of variables: densities differ by its Jacobian, sum (1 - w) log s."""
    centred = read_density(graphs(bf.get_model(name), panel)[which])
    other = with_weights(centred)
    assert (other.weight < 1).any() == (which == "returns")
    x = other.start + 0.3 * np.random.default_rng(1).normal(size=other.n_dim)
    values = other._values(x[None])
    back = other._points(values, other.weight)[0]
    np.testing.assert_allclose(back, x, rtol=1e-10, atol=1e-12)
    same = other._points(values, centred.weight)[0]
    scales = [
        other._location_and_scale(values, j)[1][0] if w < 1 else 1.0 for j, w in enumerate(other.weight)
    ]
    jacobian = ((1.0 - other.weight) * np.log(scales)).sum()
    value, gradient = other.logp_and_gradient(x)
    assert value == pytest.approx(centred.logp_and_gradient(same)[0] + jacobian, rel=1e-12)
    for variable, drawn in centred.draws(same[None]).items():
        np.testing.assert_allclose(other.draws(x[None])[variable], drawn, rtol=1e-10, atol=1e-12)
    for j in range(other.n_dim):
        step = np.zeros(other.n_dim)
        step[j] = 1e-6
        sides = [other.logp_and_gradient(x + sign * step)[0] for sign in (1, -1)]
        assert gradient[j] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-4)


def test_the_form_follows_the_data():
    """Centred where days are many, non-centred where the prior is all there is."""
    panel, _ = bf.simulate_panel(n_assets=12, n_days=400, n_factors=1, n_groups=3, random_seed=2)
    returns = panel["returns"].copy()
    returns[:396, 0] = np.nan
    density = read_density(bf.get_model("hierarchical-t").build(panel.assign(returns=returns)))
    options = sampling.SampleOptions(draws=300, tune=300, chains=2, target_accept=0.8, progressbar=False)
    chosen = nuts.after_pilot(density, options, 1)
    where = {e.name: e.where for e in density.elements}
    loadings = chosen.weight[where["loadings"]]
    assert loadings[1:].min() > 0.8
    assert loadings[0] < 0.2
    assert (chosen.weight[~density.hierarchical] == 1.0).all()


@pytest.mark.slow
def test_read_and_compiled_graphs_have_the_same_posterior(panel):
    """Means agree within Monte-Carlo error of two samplers that share no compiled code."""
    graph = bf.get_model("hierarchical-t").build(panel)
    options = sampling.SampleOptions(draws=2000, tune=1000, chains=4, target_accept=0.95, progressbar=False)
    own = sampling.sample(graph, options, (1, 0), label="x")["posterior"]
    raw = nutpie.sample(
        nutpie.compile_pymc_model(graph),
        draws=2000,
        tune=1000,
        chains=4,
        target_accept=0.95,
        seed=5,
        progress_bar=False,
    )["posterior"]
    import arviz as az

    for name in own.data_vars:
        gap = own[name].mean(("chain", "draw")).values - raw[name].mean(("chain", "draw")).values
        error = np.hypot(
            az.mcse(own[name].to_dataset(name=name))[name].values,
            az.mcse(raw[name].to_dataset(name=name))[name].values,
        )
        assert np.max(np.abs(gap) / error) < 5.0, name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_scale_that_collapses_does_not_drag_the_rest(seed):
    """All tails alike, and all groups: the scales have nothing to pool over."""
    rng = np.random.default_rng(0)
    n, t = 30, 750
    factors = rng.standard_t(4, (t, 2)) * [0.03, 0.01]
    loadings = np.c_[1 + 0.2 * rng.normal(size=n), 0.3 * rng.normal(size=n)]
    days = pd.date_range("2022-01-01", periods=t)
    names = [f"C{i:02d}" for i in range(n)]
    returns = pd.DataFrame(factors @ loadings.T + 0.03 * rng.standard_t(4, (t, n)), days, names)
    panel = bf.panel_from_returns(
        returns,
        factors=pd.DataFrame(factors, days, ["market", "size"]),
        groups={a: f"g{i % 3}" for i, a in enumerate(names)},
    )
    tree = bf.fit("hierarchical-t", panel, random_seed=seed, progressbar=False)
    found = bf.diagnose(tree, check_adequacy=False)
    assert found.attrs["verdict"] == "ok", found.attrs["reasons"]
    assert int(found["divergences"]) == 0
    assert float(tree["posterior"]["nu_log_sd"].mean()) < 0.5


def test_the_first_call_on_a_machine_says_that_it_compiles(tmp_path):
    assert "compiling" in first_call(tmp_path)
    (tmp_path / "kernels.pool-1.py313.nbi").touch()
    assert first_call(tmp_path) == ""
