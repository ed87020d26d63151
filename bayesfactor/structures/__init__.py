"""The graphs: (panel, priors) -> pm.Model, one file each.

`STRUCTURES` names them for the cards, with the prior slots a card may fill; adding a family adds
one line here and one in `laws`. PyMC is imported when a graph is built, not before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

import xarray as xr

from bayesfactor import schema as s
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
    options : mapping of str to int
        Whole numbers a card may set, such as `n_latent`, and what they are if it does not.
    """

    module: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    options: Mapping[str, int] = field(default_factory=dict)

    def missing(self, priors: Mapping[str, Any]) -> list[str]:
        """Return the slots that a card with these slots still has to fill."""
        needed = (*self.required, *(_FACTOR_LAW if s.LOADINGS in priors else ()))
        return [x for x in dict.fromkeys(needed) if x not in priors]

    def build(self, panel: xr.Dataset, priors: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Return the `pm.Model` of returns given factors."""
        module = import_module(f"bayesfactor.structures.{self.module}")
        return module.build(panel, priors, {**self.options, **options})

    def build_factor_law(self, panel: xr.Dataset, priors: Mapping[str, Any]) -> Any:
        """Return the `pm.Model` of the factors' own law."""
        return import_module("bayesfactor.structures.factor_law").build_factor_law(panel, priors)


_FACTOR_LAW: Final = (s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_CORRELATION)
_LOADINGS: Final = ("group_alpha", "group_loadings", "loadings_scale", "loadings_slab")

STRUCTURES: Final[dict[str, Structure]] = {
    "static": Structure(
        "static",
        required=(s.ALPHA, s.LOADINGS, s.SIGMA),
        optional=(s.NU, *_FACTOR_LAW, s.FACTOR_NU, *_LOADINGS),
    ),
    "lowrank": Structure(
        "lowrank",
        required=(s.ALPHA, s.LATENT_LOADINGS, s.SIGMA),
        optional=(s.NU, s.LOADINGS, *_FACTOR_LAW, s.FACTOR_NU, *_LOADINGS),
        options={"n_latent": 1},
    ),
    "scores": Structure(
        "scores",
        required=(s.ALPHA, s.LATENT_LOADINGS, s.SIGMA, s.NU),
        optional=(s.LATENT_NU, s.LOADINGS, *_FACTOR_LAW, s.FACTOR_NU, *_LOADINGS),
        options={"n_latent": 1},
    ),
}
