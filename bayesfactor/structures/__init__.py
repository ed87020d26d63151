"""The graphs: (panel, priors) -> pm.Model, one file each.

`STRUCTURES` names them for the cards, with the prior slots a card may fill; adding a family adds
one line here and one in `laws`. PyMC is imported when a graph is built, not before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import xarray as xr

from bayesfactor.structures.units import Units, to_original, units_of

__all__ = ["STRUCTURES", "Structure", "Units", "to_original", "units_of"]


@dataclass(frozen=True)
class Structure:
    """One family of graphs.

    Parameters
    ----------
    module : str
        The file in this folder whose `build(panel, priors)` returns the graph of the returns.
    required, optional : tuple of str
        Prior slots a card must and may fill.
    """

    module: str
    required: tuple[str, ...]
    optional: tuple[str, ...]

    def build(self, panel: xr.Dataset, priors: Mapping[str, Any]) -> Any:
        """Return the `pm.Model` of returns given factors."""
        return import_module(f"bayesfactor.structures.{self.module}").build(panel, priors)

    def build_factor_law(self, panel: xr.Dataset, priors: Mapping[str, Any]) -> Any:
        """Return the `pm.Model` of the factors' own law."""
        return import_module("bayesfactor.structures.factor_law").build_factor_law(panel, priors)


STRUCTURES: Final[dict[str, Structure]] = {
    "static": Structure(
        "static",
        required=("alpha", "loadings", "sigma", "factor_location", "factor_scale", "factor_correlation"),
        optional=("nu", "factor_nu", "group_alpha", "group_loadings", "loadings_scale", "loadings_slab"),
    ),
}
