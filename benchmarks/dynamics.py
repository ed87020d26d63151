"""One refit of the factor GARCH against the same model in plain PyMC: a scan over days, nutpie, numba."""

import time
import warnings
from typing import Any
from unittest import mock

import numpy as np

import bayesfactor as bf
from bayesfactor.fit import refit
from bayesfactor.sampling import SampleOptions

__all__ = ["measure"]

SIZES = {"n_assets": 10, "n_days": 300, "n_factors": 1, "n_groups": 3}
DRAWS = {"draws": 100, "tune": 100, "chains": 2}


def measure() -> list[dict[str, Any]]:
    """Sample garch-t both ways, the same draws of the same panel; seconds and smallest bulk ESS a second."""
    panel = bf.simulate_panel(**SIZES, random_seed=1)[0]
    model = bf.get_model("garch-t")
    options = SampleOptions(**DRAWS, target_accept=0.9, progressbar=False)
    bf.fit(model, panel, draws=10, tune=10, chains=1, random_seed=1, progressbar=False)
    began = time.perf_counter()
    ours = refit(model, panel, options, 1)["posterior"].to_dataset()
    rows = [_row("bayesfactor", time.perf_counter() - began, ours)]
    began = time.perf_counter()
    theirs = _plain(model, panel)
    rows.append(_row("plain PyMC", time.perf_counter() - began, theirs))
    rows.append(
        {
            "what": "ratio",
            "seconds": round(rows[1]["seconds"] / rows[0]["seconds"], 1),
            "ESS/s": round(rows[0]["ESS/s"] / rows[1]["ESS/s"], 1),
        }
    )
    return rows


def _plain(model: Any, panel: Any) -> Any:
    """Sample the same graph with its likelihood written in PyTensor, compiled as every new model is."""
    import nutpie
    import pymc as pm

    from bayesfactor.likelihoods.garch import reference_logp
    from bayesfactor.structures import garch

    def plain(
        name: str, alpha: Any, loadings: Any, series: Any, *data: Any, observed: Any, dims: Any
    ) -> None:
        del dims
        pm.Potential(name, reference_logp(observed, alpha, loadings, series, *data))

    with mock.patch.object(garch, "GarchSkewT", plain), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = nutpie.compile_pymc_model(model.build(panel))
        tree = nutpie.sample(compiled, **DRAWS, seed=1, progress_bar=False, target_accept=0.9)
    return tree["posterior"].to_dataset()


def _row(what: str, seconds: float, posterior: Any) -> dict[str, Any]:
    from arviz_stats.base.array import array_stats

    names = ("loadings", "sigma", "persistence", "news_share", "nu")
    least = min(float(np.min(array_stats.ess(posterior[n].values, chain_axis=0, draw_axis=1))) for n in names)
    return {"what": what, "seconds": round(seconds, 1), "ESS/s": round(least / seconds, 2)}
