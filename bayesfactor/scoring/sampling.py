"""Whether the fits of a backtest converged, model by model."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor.scoring.contract import MODEL

__all__ = ["BAD_RHAT", "Sampling", "sampling"]

BAD_RHAT: Final = 1.05
MANY: Final = 0.1
"""Share of a model's fits that may miss convergence before its numbers are not to be used."""


@dataclass(frozen=True)
class Sampling:
    """How the fits of one model went."""

    model: str
    fits: int
    bad: int
    worst: float

    @property
    def css(self) -> str:
        """Return ok, warn or fail."""
        if not self.bad:
            return "ok"
        return "warn" if self.bad <= MANY * self.fits else "fail"


def sampling(backtest: xr.Dataset) -> list[Sampling]:
    """Return how the fits of each model went; nothing of baselines, which are not sampled."""
    if "rhat" not in backtest:
        return []
    found = []
    for name in backtest[MODEL].values.astype(str):
        rhat = backtest["rhat"].sel({MODEL: name}).values
        rhat = rhat[~np.isnan(rhat)]  # chains that never moved have an infinite one
        if len(rhat):
            found.append(Sampling(name, len(rhat), int((rhat > BAD_RHAT).sum()), float(rhat.max())))
    return found
