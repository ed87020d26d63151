"""The other samplers: pathfinder for a first look, NUTS on JAX."""

import warnings
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.interrupts import aside
from bayesfactor.sampling.options import SampleOptions
from bayesfactor.sampling.record import STATS, record

__all__ = ["numpyro", "pathfinder"]


def pathfinder(model: Any, options: SampleOptions, seed: int) -> xr.DataTree:
    """Return draws of four paths, resampled by importance."""
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
    posterior = raw[s.POSTERIOR].to_dataset()
    shape = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    stats = xr.Dataset({"diverging": ((s.CHAIN, s.DRAW), np.zeros(shape, dtype=bool))})
    return record(posterior, stats, options)


def numpyro(model: Any, options: SampleOptions, seed: int) -> xr.DataTree:
    """Return draws of NUTS on JAX."""
    try:
        from pymc.sampling.jax import sample_jax_nuts

        import bayesfactor.likelihoods.on_jax  # noqa: F401 - teaches JAX our likelihoods
    except ImportError as error:
        msg = f"method='numpyro' needs JAX and numpyro ({error}). pip install 'bayesfactor[jax]'."
        raise ModelError(msg) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # One call of compiled code from the first draw to the last: it would not see Ctrl-C.
        raw = aside(
            lambda: sample_jax_nuts(
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
        )
    stats = raw[s.SAMPLE_STATS].to_dataset()
    stats = stats[[v for v in STATS.values() if v in stats]].drop_attrs()
    return record(raw[s.POSTERIOR].to_dataset(), stats, options)
