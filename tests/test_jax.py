"""The JAX form of the likelihoods against the kernels, and a graph that numpyro samples."""

import numpy as np
import pytest
from test_blocks import problem as blocks_problem
from test_lowrank import problem, scores_problem

import bayesfactor as bf
from bayesfactor.density import read_density
from bayesfactor.likelihoods.blocks_kernel import blocks_kernel
from bayesfactor.likelihoods.garch_kernel import garch_kernel
from bayesfactor.likelihoods.kernels import elliptical_kernel, static_kernel
from bayesfactor.likelihoods.lowrank_kernel import lowrank_kernel
from bayesfactor.likelihoods.scores_kernel import scores_kernel, spherical_kernel

jax = pytest.importorskip("jax")


@pytest.fixture(scope="module")
def on_jax():
    from bayesfactor.likelihoods import on_jax

    return on_jax


def both(kernel, function, arguments, n_data):
    """Value and gradients of the kernel, and of the function through JAX."""
    parameters = tuple(range(n_data, len(arguments)))
    value, gradients = jax.value_and_grad(function, argnums=parameters)(*arguments)
    return kernel(*arguments), (value, *gradients)


def static_arguments(nu):
    rng = np.random.default_rng(0)
    n, t, k = 4, 70, 3
    seen = (rng.uniform(size=(n, t)) < 0.8).astype(float)
    seen[3] = 0.0
    data = (rng.standard_t(3, (n, t)), seen, rng.standard_normal((k, t)))
    return (*data, rng.normal(0, 0.1, n), rng.normal(1, 0.3, (n, k)), rng.uniform(0.3, 2, n), np.asarray(nu))


@pytest.mark.parametrize("nu", [[3.0, 2.001, 8.0, 4.0], [np.inf] * 4, [np.inf, 3.0, 50.0, 4.0]])
def test_static(on_jax, nu):
    kernel, function = both(static_kernel, on_jax.static_log_likelihood, static_arguments(nu), 3)
    assert float(function[0]) == pytest.approx(kernel[0], rel=1e-10)
    finite = np.isfinite(nu)
    for mine, theirs in zip(kernel[1:4], function[1:4], strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(np.asarray(function[4])[finite], kernel[4][finite], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("scored", [0.0, 1.0])
def test_garch(on_jax, scored):
    data = static_arguments([3.0] * 4)
    data[1][1, :30] = 0.0  # listed late
    series = [[0.8, 1.2, 0.5, 1.0], [0.9, 0.97, 0.5, 0.9], [0.1, 0.3, 0.2, 0.1], [0.2, -0.3, 0.0, 0.1]]
    series += [[2.5, 4.0, 9.0, 3.0], [0.0, -0.4, 0.3, 0.1]]
    start = (np.array([0.5, 1.0, 2.0, 1.0]), np.full(4, scored))
    arguments = (*data[:3], *start, *data[3:5], *map(np.array, series))
    kernel, function = both(garch_kernel, on_jax.garch_log_likelihood, arguments, 5)
    assert float(function[0]) == pytest.approx(kernel[0], rel=1e-10)
    for mine, theirs in zip(kernel[1:], function[1:], strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("nu", [2.5, 30.0, np.inf])
@pytest.mark.parametrize("n", [1, 4])
def test_elliptical(on_jax, nu, n):
    rng = np.random.default_rng(1)
    seen = (rng.uniform(size=90) < 0.9).astype(float)
    partial = rng.uniform(-0.6, 0.6, n * (n - 1) // 2)
    arguments = (rng.standard_t(3, (n, 90)), seen, rng.normal(0, 0.1, n), rng.uniform(0.5, 2, n), partial, nu)
    kernel, function = both(elliptical_kernel, on_jax.elliptical_log_likelihood, arguments, 2)
    assert float(function[0]) == pytest.approx(kernel[0], rel=1e-10)
    for mine, theirs in list(zip(kernel[1:], function[1:], strict=True))[: 4 if np.isfinite(nu) else 3]:
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("nu", [(4.0, 3.0, 6.0), (np.inf,) * 3])
def test_factors_in_blocks(on_jax, nu):
    data, parameters = blocks_problem(nu)
    kernel, function = both(blocks_kernel, on_jax.blocks_log_likelihood, (*data, *parameters), 4)
    assert float(function[0]) == pytest.approx(kernel[0], rel=1e-10)
    for mine, theirs in list(zip(kernel[1:], function[1:], strict=True))[: 4 if np.isfinite(nu[0]) else 3]:
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("nu", [3.0, np.inf])
def test_lowrank(on_jax, nu):
    arguments = problem(t=70, nu=nu)
    # JAX multiplies what is masked, so that even an empty day has to have a harmless nu.
    kernel, function = both(lowrank_kernel, on_jax.lowrank_log_likelihood, arguments, 4)
    assert float(function[0]) == pytest.approx(kernel[0], rel=1e-10)
    for mine, theirs in list(zip(kernel[1:], function[1:], strict=True))[: 5 if np.isfinite(nu) else 4]:
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("nu", [3.0, np.inf])
def test_scores(on_jax, nu):
    arguments = scores_problem()
    kernel, function = both(scores_kernel, on_jax.scores_log_likelihood, arguments, 3)
    pairs = [(kernel, function)]
    spherical = [arguments[-1], arguments[5], nu]
    pairs.append(both(spherical_kernel, on_jax.spherical_log_density, spherical, 0))
    for mine, theirs in pairs:
        assert float(theirs[0]) == pytest.approx(mine[0], rel=1e-10)
        for a, b in list(zip(mine[1:], theirs[1:], strict=True))[: 6 if np.isfinite(nu) else 2]:
            np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-8)


@pytest.mark.usefixtures("on_jax")
# The other GARCH cards leave out parts of this one.
@pytest.mark.parametrize("name", [n for n in bf.list_models() if n not in ("garch-t", "gjr-t", "gjr-skew-t")])
def test_graphs_have_the_same_density_on_jax(name):
    from pymc.sampling.jax import get_jaxified_logp

    panel, _ = bf.simulate_panel(n_assets=4, n_days=60, n_factors=2, n_groups=2, random_seed=4)
    model = bf.get_model(name)
    graphs = [model.build(panel)]
    if model.observes_factors:
        graphs.append(model.build_factor_law(panel))
    for graph in graphs:
        density = read_density(graph)
        x = density.start + 0.2 * np.random.default_rng(0).normal(size=density.n_dim)
        pieces = [x[e.where].reshape(e.shape) for e in density.elements]
        value = get_jaxified_logp(graph)(pieces)
        assert float(value) == pytest.approx(density.logp_and_gradient(x)[0], rel=1e-9)


@pytest.mark.slow
def test_numpyro_samples_the_same_posterior():
    panel, _ = bf.simulate_panel(n_assets=4, n_days=150, n_factors=2, n_groups=2, random_seed=4)
    how = {"draws": 400, "tune": 400, "chains": 2, "progressbar": False, "random_seed": 1}
    trees = {m: bf.fit("hierarchical-t", panel, method=m, **how) for m in ("nuts", "numpyro")}
    assert not trees["numpyro"].attrs["approximate"]
    for name in ("loadings", "sigma", "factor_scale"):
        one, other = (t["posterior"][name] for t in trees.values())
        assert one.dims == other.dims
        gap = np.abs(one.mean(("chain", "draw")) - other.mean(("chain", "draw"))) / one.std(("chain", "draw"))
        assert float(gap.max()) < 0.35
    checked = bf.diagnose(trees["numpyro"], check_adequacy=False)
    assert set(checked["r_hat"].coords["parameter"].values) > {"loadings_mean[market]"}
