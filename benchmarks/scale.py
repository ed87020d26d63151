"""What grows with the panel: seconds and memory of a fit, of LOO and of risk, each in a fresh process."""

from typing import Any

from benchmarks.timing import in_fresh_process

__all__ = ["measure_large", "measure_memory", "measure_refit", "measure_sweep"]

_FIT = """
import json, time
import bayesfactor as bf
from benchmarks.timing import market
panel = market({n}, {t}, {k})
bf.fit("hierarchical-t", market(3, 50, {k}), draws=10, tune=10, chains=1, progressbar=False, random_seed=1)
began = time.perf_counter()
tree = bf.fit("hierarchical-t", panel, draws={draws}, tune={tune}, progressbar=False, random_seed=1)
fit = time.perf_counter() - began
found = bf.diagnose(tree, check_adequacy=False)
steps = float(tree["sample_stats"]["n_steps"].mean())
out = {{"what": "{n} x {t} x {k}", "fit_s": round(fit, 1), "r_hat": round(float(found["r_hat"].max()), 4),
       "min_ess": round(float(found["ess_bulk"].min())), "divergences": int(found["divergences"]),
       "steps": round(steps, 1)}}
"""

_READ = """
began = time.perf_counter()
bf.compare({{"a": tree, "b": tree.copy()}}, by="time", progressbar=False)
out["loo_time_s"] = round(time.perf_counter() - began, 1)
began = time.perf_counter()
bf.compare({{"a": tree, "b": tree.copy()}}, by="observation", progressbar=False)
out["loo_observation_s"] = round(time.perf_counter() - began, 1)
weights = {{str(a): 1 / {n} for a in panel["asset"].values}}
began = time.perf_counter()
bf.decompose_risk(tree, weights, random_seed=1)
out["risk_s"] = round(time.perf_counter() - began, 1)
"""


def _run(code: str, **sizes: int) -> dict[str, Any]:
    return in_fresh_process(code.format(**sizes) + "\nprint(json.dumps(out))")


def measure_memory(n: int = 200, t: int = 1500, k: int = 8) -> list[dict[str, Any]]:
    """Return fit, both comparisons and risk at 4000 draws, and the peak memory of it all."""
    return [_run(_FIT + _READ, n=n, t=t, k=k, draws=1000, tune=500)]


def measure_large(n: int = 500, t: int = 2000, k: int = 10) -> list[dict[str, Any]]:
    """Return a fit that is large, 4 x (500 + 500)."""
    return [_run(_FIT, n=n, t=t, k=k, draws=500, tune=500)]


def measure_sweep() -> list[dict[str, Any]]:
    """Return fits over a sweep of sizes; `ns_per_cell_step` stays level where cost is linear."""
    rows = []
    for n, t in ((25, 500), (50, 500), (50, 1000), (100, 1000), (200, 1000), (200, 2000)):
        row = _run(_FIT, n=n, t=t, k=5, draws=250, tune=250)
        work = n * t * row["steps"] * 4 * 500
        rows.append(row | {"ns_per_cell_step": round(1e9 * row["fit_s"] / work, 2)})
    return rows


_REFIT = """
import json, time
import bayesfactor as bf
from benchmarks.timing import market
panel = market(30, 600, 3)
first_window, second_window = panel.isel(time=slice(0, 500)), panel.isel(time=slice(100, 600))
begin_fit = time.perf_counter()
bf.fit("hierarchical-t", first_window, draws=250, tune=250, progressbar=False, random_seed=1)
first = time.perf_counter() - begin_fit
begin_fit = time.perf_counter()
bf.fit("hierarchical-t", second_window, draws=250, tune=250, progressbar=False, random_seed=2)
second = time.perf_counter() - begin_fit
import nutpie
from benchmarks.plain import factor_graph, returns_graph
begin_fit = time.perf_counter()
for graph in (returns_graph(second_window), factor_graph(second_window)):
    compiled = nutpie.compile_pymc_model(graph)
    nutpie.sample(compiled, draws=250, tune=250, chains=4, seed=1, progress_bar=False, target_accept=0.95)
plain = time.perf_counter() - begin_fit
out = {"what": "30 x 500 x 3, 4 x (250 + 250)", "first_fit_s": round(first, 2)}
out |= {"second_fit_s": round(second, 2), "ratio": round(second / first, 2)}
out |= {"plain_s": round(plain, 1), "ratio_to_plain": round(second / plain, 3)}
print(json.dumps(out))
"""


def measure_refit() -> list[dict[str, Any]]:
    """Return the first fit of a process against one on another window, and against plain PyMC."""
    return [in_fresh_process(_REFIT)]
