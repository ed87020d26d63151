"""nutpie: a graph's density, compiled or read into arrays, through NUTS."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np

from bayesfactor import schema as s
from bayesfactor.density import LIKELIHOODS, Density, expand
from bayesfactor.errors import ModelError
from bayesfactor.sampling.options import SampleOptions

__all__ = ["POINT", "after_pilot", "compiled_graph", "for_nutpie", "run", "shown"]

_COMPILED: Final[OrderedDict[Hashable, Any]] = OrderedDict()
_MOST_COMPILED: Final = 8


def compiled_graph(model: Any, same_graph: Hashable | None) -> Any:
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


def run(compiled: Any, options: SampleOptions, seed: int, report: Callable[[Any], None] | None = None) -> Any:
    """Return what nutpie drew: all of it, or an error; after Ctrl-C nothing.

    nutpie's own waiting catches `KeyboardInterrupt` and returns the draws that there are by then.
    """
    import nutpie

    low_rank = _LOW_RANK if options.adaptation == "low_rank" else {}
    sampler = nutpie.sample(
        compiled,
        blocking=False,
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
    try:
        return sampler.wait()
    except BaseException as error:
        # A panic of its compiled code is no Exception.
        if not isinstance(error, RuntimeError) and type(error).__name__ != _PANIC:
            raise
        said = " ".join(str(error).partition("Stack backtrace")[0].split())  # the rest is addresses
        msg = f"the sampler gave up: {said}. Look for a prior that allows what overflows, or is impossible."
        raise ModelError(msg) from None
    finally:
        _cancelled(sampler)


_PANIC: Final = "PanicException"


def _cancelled(sampler: Any) -> None:
    """End its threads, if they have not ended in a panic by themselves."""
    try:
        sampler.cancel()
    except BaseException as error:
        if not isinstance(error, RuntimeError) and type(error).__name__ != _PANIC:
            raise


_LOW_RANK: Final[dict[str, Any]] = {"mass_matrix_gamma": 1e-2, "mass_matrix_switch_freq": 40}
"""More regularisation and shorter windows than nutpie's own: as good, with far cheaper eigenproblems."""


@contextmanager
def shown(options: SampleOptions, label: str) -> Iterator[Callable[[Any], None] | None]:
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


POINT: Final = "point"
"""What the sampler calls its one vector of unconstrained elements."""


def for_nutpie(density: Density) -> Any:
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
        shape_info=([POINT], [slice(0, n)], [(n,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=n,
        _shapes={POINT: (n,)},
        _coords={},
    )


_PILOT: Final[dict[str, Any]] = {
    "chains": 2,
    "tune": 200,
    "draws": 100,
    "target_accept": 0.8,
}


def after_pilot(density: Density, options: SampleOptions, seed: int) -> Density:
    """Return the density in the form, and started at the place, that a short run of it suggests."""
    few, density = replace(options, **_PILOT, adaptation="diag"), density.half_centred()
    raw = run(for_nutpie(density), replace(few, tune=min(few.tune, options.tune)), seed + 1)
    return density.parametrised(raw[s.POSTERIOR][POINT].values)
