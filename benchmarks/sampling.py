"""Effective draws per second of `hierarchical-t`, every parameter counted, against other ways to sample it.

All peers are given the factor law apart, which is the faster way for them too, the same priors and
the centred form; `bayesfactor` is measured in that form and in the one it chooses by itself.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import xarray as xr

import bayesfactor as bf
from bayesfactor.sampling import SampleOptions, sample
from benchmarks import plain, stan
from benchmarks.timing import market, min_ess

__all__ = ["OPTIONS", "OWN_FORMS", "PEERS", "Run", "measure", "ours", "with_nutpie"]

OPTIONS = {"draws": 500, "tune": 500, "chains": 4}


@dataclass(frozen=True)
class Run:
    """One sampler on both graphs: seconds of sampling alone, seconds before it, merged draws."""

    sampling: float
    before: float
    posterior: xr.Dataset
    divergences: int = 0


def ours(panel: xr.Dataset, *, pilot: bool = True) -> Run:
    """Sample with `bayesfactor`; reading the graph and the pilot count as sampling."""
    card = bf.get_model("hierarchical-t")
    options = SampleOptions(**OPTIONS, target_accept=0.95, progressbar=False, pilot=pilot)
    began = time.perf_counter()
    graphs = [card.build(panel), card.build_factor_law(panel)]
    before, began = time.perf_counter() - began, time.perf_counter()
    trees = [sample(graph, options, (1, i), label="") for i, graph in enumerate(graphs)]
    seconds = time.perf_counter() - began
    parts = [tree["posterior"].to_dataset() for tree in trees]
    divergences = sum(int(tree["sample_stats"]["diverging"].sum()) for tree in trees)
    return Run(seconds, before, xr.merge(parts, compat="override"), divergences)


def with_nutpie(panel: xr.Dataset) -> Run:
    """Sample plain PyMC with nutpie."""
    before, seconds, parts, divergences = 0.0, 0.0, [], 0
    for graph in (plain.returns_graph(panel), plain.factor_graph(panel)):
        began = time.perf_counter()
        compiled = nutpie.compile_pymc_model(graph)
        before, began = before + time.perf_counter() - began, time.perf_counter()
        raw = nutpie.sample(compiled, **OPTIONS, target_accept=0.95, seed=1, progress_bar=False)
        seconds += time.perf_counter() - began
        parts.append(raw["posterior"].to_dataset())
        divergences += int(raw["sample_stats"]["diverging"].sum())
    return Run(seconds, before, xr.merge(parts, compat="override"), divergences)


def _with_pymc(panel: xr.Dataset, sampler: str) -> Run:
    seconds, parts, divergences = 0.0, [], 0
    for graph in (plain.returns_graph(panel), plain.factor_graph(panel)):
        began = time.perf_counter()
        with graph, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = pm.sample(
                **OPTIONS,
                target_accept=0.95,
                random_seed=1,
                nuts_sampler=sampler,
                progressbar=False,
                compute_convergence_checks=False,
            )
        seconds += time.perf_counter() - began
        parts.append(tree["posterior"].to_dataset())
        divergences += int(tree["sample_stats"]["diverging"].sum())
    return Run(seconds, 0.0, xr.merge(parts, compat="override"), divergences)


def with_pymc(panel: xr.Dataset) -> Run:
    """Sample plain PyMC with its own NUTS; compiling cannot be told apart and is counted."""
    return _with_pymc(panel, "pymc")


def with_numpyro(panel: xr.Dataset) -> Run:
    """Sample plain PyMC with numpyro on the CPU, compiling counted."""
    return _with_pymc(panel, "numpyro")


def with_stan(panel: xr.Dataset) -> Run:
    """Sample the same model in Stan."""
    return Run(*stan.sample(panel, **OPTIONS))


PEERS: dict[str, Callable[[xr.Dataset], Run]] = {
    "nutpie": with_nutpie,
    "pymc": with_pymc,
    "numpyro": with_numpyro,
    "stan": with_stan,
}


def measure(
    peers: list[str], *, n_assets: int = 50, n_days: int = 1000, n_factors: int = 5
) -> list[dict[str, Any]]:
    """Return one row per way to sample; ratios are ours, in the chosen form, to theirs."""
    panel = market(n_assets, n_days, n_factors)
    ours(market(3, 50, n_factors))  # kernels are loaded once per process, whatever is fitted
    runs = {"bayesfactor": ours(panel), "bayesfactor, centred": ours(panel, pilot=False)}
    runs |= {f"plain, {p}" if p != "stan" else p: PEERS[p](panel) for p in peers}
    rates = {}
    rows = []
    for name, run in runs.items():
        ess, where = min_ess(run.posterior[[v for v in run.posterior if v not in OWN_FORMS]])
        rates[name] = ess / run.sampling
        rows.append(
            {
                "what": name,
                "sampling_s": round(run.sampling, 1),
                "before_s": round(run.before, 1),
                "min_ess": round(ess),
                "of": where,
                "divergences": run.divergences,
                "ess_per_s": round(rates[name], 1),
                "ratio": round(rates["bayesfactor"] / rates[name], 2),
                "ratio_centred": round(rates["bayesfactor, centred"] / rates[name], 2)
                if len(rates) > 1
                else None,
                **agreement(runs["bayesfactor"].posterior, run.posterior),
            }
        )
    return rows


OWN_FORMS = ("factor_cholesky", "factor_cholesky_corr", "factor_cholesky_stds", "factor_correlation_partial")
"""How a peer writes the correlation; what is said about it is compared in the other parameters."""


def agreement(one: xr.Dataset, other: xr.Dataset) -> dict[str, float]:
    """Return the largest difference of means, in Monte-Carlo errors, and the largest ratio of sds.

    Over a thousand parameters the largest of as many standard normals is between 3 and 4.
    """
    import arviz as az

    far, wide = 0.0, 1.0
    for name in sorted(set(one) & set(other) - set(OWN_FORMS)):
        a, b = (d[name].transpose("chain", "draw", ...) for d in (one, other))
        if a.shape[2:] != b.shape[2:]:
            continue
        gap = a.mean(("chain", "draw")).values - b.mean(("chain", "draw")).values
        errors = [az.mcse(x.rename("x").to_dataset())["x"].values for x in (a, b)]
        error = np.hypot(*errors)
        far = max(far, float(np.max(np.abs(gap) / np.where(error > 0, error, np.inf))))
        sds = a.std(("chain", "draw")).values / b.std(("chain", "draw")).values
        wide = max(wide, float(np.max(np.maximum(sds, 1 / sds))))
    return {"means_apart": round(far, 1), "sd_ratio": round(wide, 2)}
