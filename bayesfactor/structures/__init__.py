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
from bayesfactor.laws.yearly import per_period
from bayesfactor.structures.blocks import blocks_of
from bayesfactor.structures.supports import ABOVE_TWO, SHAPE, Slot
from bayesfactor.structures.units import Units, to_original, units_of

__all__ = ["STRUCTURES", "Structure", "Units", "blocks_of", "to_original", "units_of"]


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
    factor_law : str
        The file whose `build_factor_law(panel, priors, options)` returns the graph of the factors' own law.
    factor_slots : tuple of str
        Prior slots that a card with observed factors must fill for it.
    slots : mapping of str to Slot
        Where its slots differ from `supports.SLOTS`.
    """

    module: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    options: Mapping[str, int] = field(default_factory=dict)
    factor_law: str = "factor_law"
    factor_slots: tuple[str, ...] = (s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_CORRELATION)
    slots: Mapping[str, Slot] = field(default_factory=dict)

    def missing(self, priors: Mapping[str, Any]) -> list[str]:
        """Return the slots that a card with these slots still has to fill."""
        needed = (*self.required, *(self.factor_slots if s.LOADINGS in priors else ()))
        return [x for x in dict.fromkeys(needed) if x not in priors]

    def build(self, panel: xr.Dataset, priors: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Return the `pm.Model` of returns given factors."""
        module = import_module(f"bayesfactor.structures.{self.module}")
        return module.build(panel, _per_period(priors, panel), {**self.options, **options})

    def build_factor_law(
        self, panel: xr.Dataset, priors: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Return the `pm.Model` of the factors' own law."""
        module = import_module(f"bayesfactor.structures.{self.factor_law}")
        return module.build_factor_law(panel, _per_period(priors, panel), {**self.options, **options})

    def constants(self, panel: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return what else of a panel its law is conditioned on, in original units, as variables."""
        module = import_module(f"bayesfactor.structures.{self.module}")
        found = getattr(module, "constants", None)
        return found(panel, {**self.options, **options}) if found else {}


def _per_period(priors: Mapping[str, Any], panel: xr.Dataset) -> dict[str, Any]:
    """Return priors as graphs take them: those of means that are per year, per period of this panel."""
    return per_period(priors, float(panel.attrs["periods_per_year"]))


_FACTOR_LAW: Final = (s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_CORRELATION)
_LOADINGS: Final = ("group_alpha", "group_loadings", "loadings_scale", "loadings_slab")

_GARCH: Final = (s.PERSISTENCE, s.NEWS_SHARE, s.NU)
_FACTOR_GARCH: Final = (
    s.FACTOR_LOCATION,
    s.FACTOR_SCALE,
    s.FACTOR_RESPONSE,
    *(f"factor_{x}" for x in _GARCH),
)

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
        slots={s.NU: Slot((), SHAPE)},
    ),
    "scores": Structure(
        "scores",
        required=(s.ALPHA, s.LATENT_LOADINGS, s.SIGMA, s.NU),
        optional=(s.LATENT_NU, s.LOADINGS, *_FACTOR_LAW, s.FACTOR_NU, *_LOADINGS),
        options={"n_latent": 1},
    ),
    "garch": Structure(
        "garch",
        required=(s.ALPHA, s.LOADINGS, s.SIGMA, *_GARCH),
        optional=(s.LEVERAGE, s.SKEW, *_FACTOR_GARCH, s.FACTOR_LEVERAGE, s.FACTOR_SKEW, *_LOADINGS),
        options={"score_assets": 0, "score_factors": 0},
        factor_law="garch",
        factor_slots=_FACTOR_GARCH,
        slots={s.NU: Slot((s.ASSET,), ABOVE_TWO), s.FACTOR_NU: Slot((s.FACTOR,), ABOVE_TWO)},
    ),
}
