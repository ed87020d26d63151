"""The JAX path on whatever device JAX finds, against the kernel on this machine's CPU.

`python -m benchmarks gpu` on a machine with a GPU and `jax[cuda12]`: a gradient of 500 and of 2000
assets, and a fit of 500 x 2000 x 10. Without a GPU the fit is left out: it would take hours and say nothing.
"""

import time
from typing import Any

import numpy as np

import bayesfactor as bf
from bayesfactor.likelihoods.kernels import static_kernel
from benchmarks.timing import best_of, market

__all__ = ["measure"]


def measure(
    sizes: tuple[tuple[int, int, int], ...] = ((500, 2000, 10), (2000, 2000, 10)),
) -> list[dict[str, Any]]:
    """Return one row per size for a gradient, and one for a fit where there is a GPU."""
    import jax

    from bayesfactor.likelihoods.on_jax import static_log_likelihood

    device = jax.devices()[0]
    compiled = jax.jit(jax.value_and_grad(static_log_likelihood, argnums=(3, 4, 5, 6)))
    rows = []
    for n, t, k in sizes:
        rng = np.random.default_rng(0)
        returns, factors, one = rng.standard_t(4, (n, t)), rng.standard_normal((k, t)), np.ones(n)
        loadings = rng.normal(0.5, 0.3, (n, k))
        arguments = (returns, np.ones_like(returns), factors, 0.0 * one, loadings, one, 4.0 * one)
        there = [jax.device_put(a, device) for a in arguments]
        cpu = best_of(lambda a=arguments: static_kernel(*a))
        other = best_of(lambda a=there: jax.block_until_ready(compiled(*a)))
        rows.append(
            {
                "what": f"gradient, {n} x {t} x {k}",
                "device": device.device_kind,
                "kernel_ms": round(1e3 * cpu, 2),
                "jax_ms": round(1e3 * other, 2),
                "ratio": round(cpu / other, 2),
            }
        )
    if device.platform != "cpu":
        rows.append(_fit(device.device_kind))
    return rows


def _fit(device: str) -> dict[str, Any]:
    panel = market(500, 2000, 10)
    seconds = {}
    for method in ("nuts", "numpyro"):
        began = time.perf_counter()
        bf.fit("hierarchical-t", panel, method=method, draws=500, tune=500, progressbar=False, random_seed=1)
        seconds[method] = time.perf_counter() - began
    return {
        "what": "fit, 500 x 2000 x 10, 4 x (500 + 500)",
        "device": device,
        "kernel_ms": round(1e3 * seconds["nuts"]),
        "jax_ms": round(1e3 * seconds["numpyro"]),
        "ratio": round(seconds["nuts"] / seconds["numpyro"], 2),
    }
