"""One graph, one call of a sampler, and what the graph says of parameters before and after."""

import warnings
from collections.abc import Hashable
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.density import Density, Geometry, UnreadableGraphError, read_density
from bayesfactor.errors import ModelError
from bayesfactor.graphs import GRAPHS
from bayesfactor.interrupts import heeded
from bayesfactor.sampling.nuts import POINT, after_pilot, compiled_graph, for_nutpie, run, shown
from bayesfactor.sampling.options import SampleOptions
from bayesfactor.sampling.others import numpyro, pathfinder
from bayesfactor.sampling.record import STATS, record

__all__ = ["draw_prior", "log_prior", "sample"]


def sample(
    model: Any,
    options: SampleOptions,
    key: tuple[int, int],
    *,
    label: str,
    same_graph: Hashable | None = None,
    geometry: dict[str, Geometry] | None = None,
) -> xr.DataTree:
    """Return `posterior` (model units) and `sample_stats` of one graph: all that was asked for, or an error.

    Parameters
    ----------
    model : pm.Model
    options : SampleOptions
    key : tuple of int
        Entropy of the fit and the position of this graph in it.
    label : str
        What the progress bar calls it.
    same_graph : hashable, optional
        Equal for graphs that differ in nothing but data and labels: where one has to be compiled,
        it is compiled once.
    geometry : dict, optional
        By label, what a pilot run found out: used where it is there, put there where not.

    Raises
    ------
    ModelError
        If the graph has no finite density to start from, or the sampler gives up.
    KeyboardInterrupt
        At Ctrl-C, whatever a sampler makes of it.
    """
    seed = int(np.random.SeedSequence(key[0], spawn_key=(key[1],)).generate_state(1, np.uint32)[0] >> 1)
    with heeded():
        with GRAPHS:
            _refuse_too_large(model, options)
            _refuse_impossible(model, label)
        if options.method == "nuts":
            return _nuts(model, options, seed, label, same_graph, geometry)
        other = pathfinder if options.method == "pathfinder" else numpyro
        with GRAPHS:
            return other(model, options, seed)


def _nuts(
    model: Any,
    options: SampleOptions,
    seed: int,
    label: str,
    same_graph: Hashable | None,
    geometry: dict[str, Geometry] | None,
) -> xr.DataTree:
    density: Density | None = None
    try:
        density = _read(model)
    except UnreadableGraphError as reason:
        if options.progressbar:
            print(f"Compiling the graph of the {label}, which holds {reason}", flush=True)  # noqa: T201
        with GRAPHS:
            compiled = compiled_graph(model, same_graph)
    else:
        if geometry and label in geometry:
            density = density.placed(geometry[label])
        elif options.pilot and options.tune and density.hierarchical.any():
            density = after_pilot(density, options, seed)
        if geometry is not None:
            geometry[label] = density.geometry
        compiled = for_nutpie(density)
    with shown(options, f"{label} ({compiled.n_dim} parameters)") as report:
        raw = run(compiled, options, seed, report)
    stats = raw[s.SAMPLE_STATS].to_dataset()
    stats = stats[list(STATS)].rename(STATS)
    for name in ("tree_depth", "n_steps"):
        stats[name] = stats[name].astype("int64")
    posterior = raw[s.POSTERIOR].to_dataset()
    if density is not None:
        posterior = _named(density, posterior[POINT].values, model)
    return record(posterior, stats, options)


def _refuse_too_large(model: Any, options: SampleOptions) -> None:
    """Refuse draws that memory cannot hold, before anything is drawn."""
    elements = sum(x.size for x in model.initial_point().values())
    options.check_room(elements, model.observed_RVs[0].shape[-1].eval())


def _refuse_impossible(model: Any, label: str) -> None:
    """Refuse a graph that has no place to start from, by the names of its parameters."""
    try:
        density = _read(model)
    except UnreadableGraphError:
        return  # its compiled form is tried by the sampler
    aside = density.jitter * np.random.default_rng(0).uniform(-1.0, 1.0, (_PLACES, density.n_dim))
    aside[0] = 0.0
    for x in density.start + aside:
        code, logp, gradient = density.call(x)
        if code == 0 and np.isfinite(logp) and np.isfinite(gradient).all():
            return
    with np.errstate(all="ignore"):
        each = density.log_prior(density.draws(density.start[None]))
    names = [name for name, values in each.items() if not np.isfinite(values).all()]
    whose = f"the prior of {', '.join(names)}" if names else "what the priors say of the returns"
    msg = (
        f"no density is finite where the {label} would be sampled from: {whose} overflows or is impossible. "
        "Priors are in units of usual returns and factors: keep locations and scales within a few units."
    )
    raise ModelError(msg)


_PLACES: Final = 10
"""Starting points tried before a graph is called impossible: nutpie tries as many."""

_DENSITIES: Final[WeakKeyDictionary[Any, Density]] = WeakKeyDictionary()


def _read(model: Any) -> Density:
    """Return the density of a graph, read once for as long as the graph lives."""
    with GRAPHS:
        if model not in _DENSITIES:
            _DENSITIES[model] = read_density(model)
        return _DENSITIES[model]


def _named(density: Density, points: np.ndarray, model: Any) -> xr.Dataset:
    """Return the variables of the graph of unconstrained points (chain, draw, element)."""
    ahead = points.shape[:2]
    dims = model.named_vars_to_dims
    data = {}
    for name, values in density.draws(points.reshape(-1, points.shape[-1])).items():
        own = dims.get(name) or [f"{name}_dim_{i}" for i in range(values.ndim - 1)]
        data[name] = ((s.CHAIN, s.DRAW, *own), values.reshape(*ahead, *values.shape[1:]))
    used = {d for d, _ in data.values() for d in d}
    return xr.Dataset(data, coords={d: list(v) for d, v in model.coords.items() if d in used})


def log_prior(model: Any, tree: xr.DataTree) -> xr.Dataset:
    """Return the log prior density of each free variable, elementwise, in model units."""
    posterior = tree[s.POSTERIOR].to_dataset()
    try:
        density = _read(model)
    except UnreadableGraphError:
        return _compiled_log_prior(model, tree)
    ahead = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    flat = {e.name: posterior[e.name].values.reshape(-1, *e.shape) for e in density.elements}
    each = {k: v.reshape(*ahead, *v.shape[1:]) for k, v in density.log_prior(flat).items()}
    return posterior[list(each)].copy(data=each)


def _compiled_log_prior(model: Any, tree: xr.DataTree) -> xr.Dataset:
    import pymc as pm

    idata = xr.DataTree.from_dict({s.POSTERIOR: tree[s.POSTERIOR].to_dataset()})
    with GRAPHS, model:
        done = pm.stats.compute_log_prior(idata, progressbar=False)
    return done[s.LOG_PRIOR].to_dataset().drop_attrs()


def draw_prior(model: Any, draws: int, key: tuple[int, int]) -> xr.DataTree:
    """Return `prior` and `prior_predictive` of one graph, in model units."""
    import pymc as pm

    rng = np.random.default_rng(np.random.SeedSequence(key[0], spawn_key=(key[1],)))
    with heeded(), GRAPHS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Numba will use object mode")
        # A graph that is run once is not worth compiling.
        return pm.sample_prior_predictive(
            draws, model=model, random_seed=rng, compile_kwargs={"mode": "FAST_COMPILE"}
        )
