"""What every sampler returns: plain draws and the names ArviZ reads, as many as were asked for."""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.sampling.options import SampleOptions

__all__ = ["STATS", "record"]

STATS: Final = {
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


def record(posterior: xr.Dataset, stats: xr.Dataset, options: SampleOptions) -> xr.DataTree:
    """Return `posterior` and `sample_stats` of one graph.

    Raises
    ------
    ModelError
        If there are not the draws that were asked for.
    """
    got = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    asked = (1 if options.method == "pathfinder" else options.chains, options.draws)
    if got != asked:
        msg = (
            f"the sampler returned {got[0]} chains of {got[1]} draws, where {asked[0]} of {asked[1]} were "
            "asked for; nothing is kept of them. Sample again."
        )
        raise ModelError(msg)
    stats = stats.assign_coords({d: np.arange(stats.sizes[d]) for d in (s.CHAIN, s.DRAW)})
    return xr.DataTree.from_dict({s.POSTERIOR: _clean(posterior), s.SAMPLE_STATS: stats})


def _clean(posterior: xr.Dataset) -> xr.Dataset:
    """Keep plain draws: no sampler attrs, int64 coords for chain and draw."""
    posterior = posterior.drop_attrs()
    return posterior.assign_coords(
        {d: np.arange(posterior.sizes[d]) for d in (s.CHAIN, s.DRAW)},
    ).transpose(s.CHAIN, s.DRAW, ...)
