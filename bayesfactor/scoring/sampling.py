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
    """How the fits of one model went.

    Parameters
    ----------
    model : str
    fits : int
    bad : int
        Those that did not converge, or of which nobody knows: one chain, or fewer than four draws a chain.
    worst : float
        Largest R-hat, NaN where none is known.
    """

    model: str
    fits: int
    bad: int
    worst: float

    @property
    def words(self) -> str:
        """Say how far from convergence the worst fit is."""
        return "R-hat not known" if np.isnan(self.worst) else f"R-hat up to {self.worst:.2f}"

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
        if "divergences" in backtest:  # NaN where there was no fit
            rhat = rhat[~np.isnan(backtest["divergences"].sel({MODEL: name}).values)]
        else:
            rhat = rhat[~np.isnan(rhat)]
        if len(rhat):
            # Of chains that never moved it is infinite.
            worst = np.nan if np.isnan(rhat).all() else float(np.nanmax(rhat))
            bad = int((~(rhat <= BAD_RHAT)).sum())
            found.append(Sampling(name, len(rhat), bad, worst))
    return found
