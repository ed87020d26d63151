"""What every measurement needs: markets, clocks, effective draws per second, peak memory."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

import bayesfactor as bf

__all__ = ["best_of", "in_fresh_process", "market", "min_ess"]


def market(n_assets: int, n_days: int, n_factors: int, *, seed: int = 1) -> xr.Dataset:
    """Return a simulated panel without holes: plain peers cannot skip cells."""
    groups = min(5, n_assets)
    sizes = {"n_assets": n_assets, "n_days": n_days, "n_factors": n_factors, "n_groups": groups}
    return bf.simulate_panel(**sizes, missing=0.0, random_seed=seed)[0]


def best_of(job: Callable[[], Any], *, seconds: float = 2.0) -> float:
    """Return the shortest time of one call, after a first call that is not counted."""
    job()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        job()
        best = min(best, time.perf_counter() - began)
    return best


def min_ess(posterior: xr.Dataset) -> tuple[float, str]:
    """Return the smallest bulk ESS over every element of every variable, and whose it is."""
    ess = az.ess(posterior, method="bulk")
    ess = ess if isinstance(ess, xr.Dataset) else ess.to_dataset()
    smallest = {str(v): float(ess[v].min()) for v in ess.data_vars if np.isfinite(ess[v]).any()}
    name = min(smallest, key=smallest.__getitem__)
    return smallest[name], name


def in_fresh_process(code: str) -> dict[str, Any]:
    """Run code that prints one line of JSON last, and return it with the peak memory in GB."""
    tail = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    *_, line, peak = done.stdout.strip().splitlines()
    return json.loads(line) | {"peak_gb": round(float(peak), 2)}
