"""One evaluation of the log-likelihood with all gradients, against numpy's two matrix products alone."""

from typing import Any

import numpy as np

from bayesfactor.likelihoods.kernels import static_kernel
from benchmarks.timing import best_of

__all__ = ["measure"]


def measure(
    sizes: tuple[tuple[int, int, int], ...] = ((50, 1000, 5), (200, 1500, 8)),
) -> list[dict[str, Any]]:
    """Return one row per size; `ratio` is kernel over `(R - F @ B.T).T @ F`."""
    rng = np.random.default_rng(0)
    rows = []
    for n, t, k in sizes:
        returns, factors = rng.standard_t(4, (n, t)), rng.standard_normal((k, t))
        loadings, one = rng.normal(0.5, 0.3, (n, k)), np.ones(n)
        seen = np.ones_like(returns)
        by_day, by_factor = np.ascontiguousarray(returns.T), np.ascontiguousarray(factors.T)
        kernel = best_of(
            lambda a=(returns, seen, factors, 0.0 * one, loadings, one, 4.0 * one): static_kernel(*a)
        )
        product = best_of(lambda r=by_day, f=by_factor, b=loadings: (r - f @ b.T).T @ f)
        rows.append(
            {
                "what": f"{n} x {t} x {k}",
                "kernel_ms": round(1e3 * kernel, 3),
                "numpy_ms": round(1e3 * product, 3),
                "ratio": round(kernel / product, 2),
            }
        )
    return rows
