"""One graph, one call of a sampler: the only place that knows nutpie and pathfinder."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.density import LIKELIHOODS, Density, Geometry, UnreadableGraphError, expand, read_density
from bayesfactor.errors import ModelError, unknown_names

__all__ = ["METHODS", "Geometry", "SampleOptions", "draw_prior", "log_prior", "sample"]

METHODS: Final = ("nuts", "pathfinder", "numpyro")
ADAPTATIONS: Final = ("diag", "low_rank")

_STATS: Final = {
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "diverging": "diverging",
    "energy": "energy",
    "logp": "lp",
    "mean_tree_accept": "acceptance_rate",
    "n_steps": "n_steps",
    "step_size": "step_size",
}
"""nutpie's names to those ArviZ reads."""


@dataclass(frozen=True)
class SampleOptions:
    """How to sample; checked when made, before anything long begins.

    Without a `pilot` every element is sampled in its centred form. The `adaptation` is the mass matrix's:
    "low_rank" follows a few directions that run across parameters, such as the scale and the rotation
    of latent factors.
    """

    draws: int
    tune: int
    chains: int
    target_accept: float
    max_treedepth: int = 10
    cores: int | None = None
    progressbar: bool = True
    method: str = "nuts"
    pilot: bool = True
    adaptation: str = "diag"

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("max_treedepth", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                msg = f"{name} is a whole number of at least {least}; got {value!r}."
                raise ModelError(msg)
        if self.cores is not None and self.cores < 1:
            msg = f"cores is at least 1; got {self.cores!r}."
            raise ModelError(msg)
        if not 0.0 < self.target_accept < 1.0:
            msg = f"target_accept lies between 0 and 1; got {self.target_accept!r}. 0.95 suits these models."
            raise ModelError(msg)
        for name, known in (("method", METHODS), ("adaptation", ADAPTATIONS)):
            if getattr(self, name) not in known:
                got = unknown_names([getattr(self, name)], known)
                msg = f"{name} {got} is unknown; choose from {', '.join(known)}."
                raise ModelError(msg)


def sample(
    model: Any,
    options: SampleOptions,
    key: tuple[int, int],
    *,
    label: str,
    same_graph: Hashable | None = None,
    geometry: dict[str, Geometry] | None = None,
) -> xr.DataTree:
    """Return `posterior` (model units) and `sample_stats` of one graph.

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
    """
    seed = int(np.random.SeedSequence(key[0], spawn_key=(key[1],)).generate_state(1, np.uint32)[0] >> 1)
    if options.method == "nuts":
        return _nuts(model, options, seed, label, same_graph, geometry)
    run = _pathfinder if options.method == "pathfinder" else _numpyro
    return run(model, options, seed)


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
        compiled = _compiled(model, same_graph)
    else:
        if geometry and label in geometry:
            density = density.placed(geometry[label])
        elif options.pilot and options.tune and density.hierarchical.any():
            density = _after_pilot(density, options, seed)
        if geometry is not None:
            geometry[label] = density.geometry
        compiled = _for_nutpie(density)
    with _shown(options, f"{label} ({compiled.n_dim} parameters)") as report:
        raw = _run(compiled, options, seed, report)
    stats = raw[s.SAMPLE_STATS].to_dataset()
    stats = stats[list(_STATS)].rename(_STATS)
    for name in ("tree_depth", "n_steps"):
        stats[name] = stats[name].astype("int64")
    posterior = raw[s.POSTERIOR].to_dataset()
    if density is not None:
        posterior = _named(density, posterior[_POINT].values, model)
    return xr.DataTree.from_dict({s.POSTERIOR: _clean(posterior), s.SAMPLE_STATS: stats})


_DENSITIES: Final[WeakKeyDictionary[Any, Density]] = WeakKeyDictionary()


def _read(model: Any) -> Density:
    """Return the density of a graph, read once for as long as the graph lives."""
    if model not in _DENSITIES:
        _DENSITIES[model] = read_density(model)
    return _DENSITIES[model]


_COMPILED: Final[OrderedDict[Hashable, Any]] = OrderedDict()
_MOST_COMPILED: Final = 8


def _compiled(model: Any, same_graph: Hashable | None) -> Any:
    """Compile a graph with PyTensor, or hand new data and labels to one that was compiled before."""
    import nutpie
    import pandas as pd

    if same_graph not in _COMPILED:
        compiled = nutpie.compile_pymc_model(model)
        if same_graph is not None:
            _COMPILED[same_graph] = compiled
            if len(_COMPILED) > _MOST_COMPILED:
                _COMPILED.popitem(last=False)
        return compiled
    _COMPILED.move_to_end(same_graph)
    compiled = _COMPILED[same_graph].with_data(**{d.name: d.get_value() for d in model.data_vars})
    labels = {name: pd.Index(values) for name, values in model.coords.items()}
    return replace(compiled, _coords=compiled.coords | labels)


def _run(
    compiled: Any, options: SampleOptions, seed: int, report: Callable[[Any], None] | None = None
) -> Any:
    import nutpie

    low_rank = _LOW_RANK if options.adaptation == "low_rank" else {}
    return nutpie.sample(
        compiled,
        adaptation=options.adaptation,
        **low_rank,
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        cores=options.cores,
        seed=seed,
        save_warmup=False,
        progress_bar=False,
        progress_callback=report,
        target_accept=options.target_accept,
        maxdepth=options.max_treedepth,
    )


_LOW_RANK: Final[dict[str, Any]] = {"mass_matrix_gamma": 1e-2, "mass_matrix_switch_freq": 40}
"""More regularisation and shorter windows than nutpie's own: as good, with far cheaper eigenproblems."""


@contextmanager
def _shown(options: SampleOptions, label: str) -> Iterator[Callable[[Any], None] | None]:
    """Show one line of progress for all chains; what is yielded is told how far they are."""
    if not options.progressbar:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %, {task.fields[divergences]} divergences"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    total = options.chains * (options.draws + options.tune)
    with Progress(*columns) as progress:
        task = progress.add_task(f"Sampling {label}", total=total, divergences=0)

        def report(chains: Any) -> None:
            done = sum(c.finished_draws for c in chains)
            after_tuning = sum(c.divergences for c in chains)
            progress.update(task, completed=done, divergences=after_tuning)

        yield report
        progress.update(task, completed=total)


_PILOT: Final[dict[str, Any]] = {
    "chains": 2,
    "tune": 200,
    "draws": 100,
    "target_accept": 0.8,
}


def _after_pilot(density: Density, options: SampleOptions, seed: int) -> Density:
    """Return the density in the form, and started at the place, that a short run of it suggests."""
    few, density = replace(options, **_PILOT, adaptation="diag"), density.half_centred()
    raw = _run(_for_nutpie(density), replace(few, tune=min(few.tune, options.tune)), seed + 1)
    return density.parametrised(raw[s.POSTERIOR][_POINT].values)


_POINT: Final = "point"
"""What the sampler calls its one vector of unconstrained elements."""


def _for_nutpie(density: Density) -> Any:
    """Return the density as a model of nutpie, with one unnamed vector in place of variables."""
    from nutpie.compile_pymc import CompiledPyMCModel

    n = density.n_dim

    def initial_point(seed: int | None) -> np.ndarray:
        return density.start + density.jitter * np.random.default_rng(seed).uniform(-1.0, 1.0, n)

    return CompiledPyMCModel(
        dims={},
        compiled_logp_func=LIKELIHOODS[density.likelihood].logp,
        compiled_expand_func=expand,
        initial_point_func=initial_point,
        # Addresses are all that compiled code sees: this keeps what they point at.
        shared_data={"density": density},
        shared_var_keys={},
        user_data=density.table,
        n_expanded=n,
        shape_info=([_POINT], [slice(0, n)], [(n,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=n,
        _shapes={_POINT: (n,)},
        _coords={},
    )


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


def _pathfinder(model: Any, options: SampleOptions, seed: int) -> xr.DataTree:
    import pymc_extras as pmx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = pmx.fit_pathfinder(
            model=model,
            num_paths=4,
            num_draws=options.draws,
            num_draws_per_path=options.draws,
            random_seed=seed,
            progressbar=options.progressbar,
            vectorize_logp=False,
            parallel=False,
            # Interpreted: its linear algebra takes minutes to compile and seconds to run.
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
    posterior = _clean(raw[s.POSTERIOR].to_dataset())
    shape = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    stats = xr.Dataset(
        {"diverging": ((s.CHAIN, s.DRAW), np.zeros(shape, dtype=bool))},
        coords={s.CHAIN: posterior[s.CHAIN], s.DRAW: posterior[s.DRAW]},
    )
    return xr.DataTree.from_dict({s.POSTERIOR: posterior, s.SAMPLE_STATS: stats})


def _numpyro(model: Any, options: SampleOptions, seed: int) -> xr.DataTree:
    try:
        from pymc.sampling.jax import sample_jax_nuts

        import bayesfactor.likelihoods.on_jax  # noqa: F401 - teaches JAX our likelihoods
    except ImportError as error:
        msg = f"method='numpyro' needs JAX and numpyro ({error}). pip install 'bayesfactor[jax]'."
        raise ModelError(msg) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = sample_jax_nuts(
            nuts_sampler="numpyro",
            model=model,
            draws=options.draws,
            tune=options.tune,
            chains=options.chains,
            target_accept=options.target_accept,
            random_seed=seed,
            progressbar=options.progressbar,
            chain_method="vectorized",
            nuts_kwargs={"max_tree_depth": options.max_treedepth},
            compute_convergence_checks=False,
        )
    stats = raw[s.SAMPLE_STATS].to_dataset()
    stats = stats[[v for v in _STATS.values() if v in stats]].drop_attrs()
    stats = stats.assign_coords({d: np.arange(stats.sizes[d]) for d in (s.CHAIN, s.DRAW)})
    posterior = raw[s.POSTERIOR].to_dataset()
    return xr.DataTree.from_dict({s.POSTERIOR: _clean(posterior), s.SAMPLE_STATS: stats})


def _clean(posterior: xr.Dataset) -> xr.Dataset:
    """Keep plain draws: no sampler attrs, int64 coords for chain and draw."""
    posterior = posterior.drop_attrs()
    return posterior.assign_coords(
        {d: np.arange(posterior.sizes[d]) for d in (s.CHAIN, s.DRAW)},
    ).transpose(s.CHAIN, s.DRAW, ...)


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
    with model:
        done = pm.stats.compute_log_prior(idata, progressbar=False)
    return done[s.LOG_PRIOR].to_dataset().drop_attrs()


def draw_prior(model: Any, draws: int, key: tuple[int, int]) -> xr.DataTree:
    """Return `prior` and `prior_predictive` of one graph, in model units."""
    import pymc as pm

    rng = np.random.default_rng(np.random.SeedSequence(key[0], spawn_key=(key[1],)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Numba will use object mode")
        # A graph that is run once is not worth compiling.
        return pm.sample_prior_predictive(
            draws, model=model, random_seed=rng, compile_kwargs={"mode": "FAST_COMPILE"}
        )
