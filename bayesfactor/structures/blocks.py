"""Which factors share a law: portfolios are one block, and every family of drivers is one of its own."""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.laws.factors import TRADED_FAMILIES
from bayesfactor.panel.openings import open_factors, own_portfolios

__all__ = ["blocks_of"]

_FIRST: Final = "traded"
"""Name of the first block."""
_LARGEST: Final = 0.5
"""Portfolios do not move by this much in a usual period; drivers, in standard deviations, do."""


def blocks_of(panel: xr.Dataset) -> tuple[np.ndarray, list[str]]:
    """Return the block of each factor (factor), and the names of the blocks in the order of their laws.

    Portfolios that are always open come first, then families that are, then those that close at times: a
    later block is told given those before it.
    """
    traded = panel[s.RETURNS].notnull().any(s.ASSET).values
    opened = open_factors(panel)[:, traded].all(axis=1)
    moves = panel[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values[:, traded]
    small = np.sqrt((moves**2).mean(axis=1)) < _LARGEST
    families = panel[s.FAMILY].values.astype(str)
    first = own_portfolios(panel) | (np.isin(families, TRADED_FAMILIES) & opened & small)
    names = [_FIRST if f else str(x) for f, x in zip(first, families, strict=True)]
    closes = {n: any(m == n and not o for m, o in zip(names, opened, strict=True)) for n in names}
    order = sorted(dict.fromkeys(names), key=lambda n: (n != _FIRST, closes[n]))
    return np.array([order.index(n) for n in names], dtype=np.int64), order
