"""The arrays of a panel as every graph of returns wants them: model units, rows in one piece."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.structures.priors import PriorSet
from bayesfactor.structures.units import units_of

__all__ = ["Arrays", "arrays_of"]


@dataclass(frozen=True)
class Arrays:
    """What a graph of returns is built on.

    Parameters
    ----------
    coords : dict
        Labels of asset, factor, group and time.
    returns : ndarray (asset, time)
        0 where there is none.
    seen : ndarray (asset, time)
        1.0 where there is a return, else 0.0.
    factors : ndarray (factor, time)
    priors : PriorSet
        The card's slots but those of the factors' law.
    """

    coords: dict[str, Any]
    returns: np.ndarray
    seen: np.ndarray
    factors: np.ndarray
    priors: PriorSet


def arrays_of(panel: xr.Dataset, specs: Mapping[str, Mapping[str, Any]]) -> Arrays:
    """Return the arrays of a panel and the priors of a card on it."""
    units = units_of(panel)
    # Rows in one piece: kernels run along time and are three times slower on strided memory.
    returns = np.ascontiguousarray(panel[s.RETURNS].transpose(s.ASSET, s.TIME).values)
    seen = np.isfinite(returns)
    factors = np.ascontiguousarray(panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values)
    groups, index = np.unique(panel[s.GROUP].values.astype(str), return_inverse=True)
    return Arrays(
        coords={d: panel[d].values for d in (s.ASSET, s.FACTOR, s.TIME)} | {s.GROUP: groups},
        returns=np.where(seen, returns, 0.0) / units.returns,
        seen=seen.astype("float64"),
        factors=factors / units.factors[:, None],
        priors=PriorSet({k: v for k, v in specs.items() if not k.startswith("factor_")}, index),
    )
