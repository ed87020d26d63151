"""What a portfolio holds, read off the Dataset of its risk: long, short, gross, net, notional."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesfactor import schema as s

__all__ = ["Held", "held_of", "held_weights", "is_held", "moving", "only_held"]

_DELTA = "delta_weight"
_NOTIONAL = "notional"


@dataclass(frozen=True)
class Held:
    """What is held, in fractions of the portfolio's value; options count by their delta.

    Parameters
    ----------
    long, short : float
        Sums of the positive and of the negative weights.
    notional : float, optional
        Sum of absolute weights and of |quantity x price| of positions, an option as its underlying; None
        where there are no positions, and gross says it all.
    count, of : int
        Assets that are held, and that the model knows.
    """

    long: float
    short: float
    notional: float | None
    count: int
    of: int

    @property
    def gross(self) -> float:
        """Long and short added up without regard to sign."""
        return self.long - self.short

    @property
    def net(self) -> float:
        """What is left when long and short cancel."""
        return self.long + self.short


def held_of(risk: xr.Dataset) -> Held:
    """Return what the portfolio of a risk Dataset holds."""
    weight = held_weights(risk)[s.canonical_order(risk[s.ASSET])]
    notional = float(risk[_NOTIONAL].sum()) if _NOTIONAL in risk.coords else None
    long, short = (float(weight[side].sum()) for side in (weight > 0.0, weight < 0.0))
    return Held(long, short, notional, int(is_held(risk).sum()), len(weight))


def held_weights(risk: xr.Dataset) -> np.ndarray:
    """Return what is held of each asset, options by their delta, in the order of the Dataset."""
    held: np.ndarray = risk[_DELTA if _DELTA in risk.coords else "weight"].values.astype(float)
    return held


def is_held(risk: xr.Dataset) -> np.ndarray:
    """Return whether an asset has a weight or a position (asset)."""
    names = [c for c in ("weight", _DELTA, _NOTIONAL) if c in risk.coords]
    found: np.ndarray = np.any([risk[c].values != 0.0 for c in names], axis=0)
    return found


def only_held(risk: xr.Dataset) -> xr.Dataset:
    """Return the same without what has no part: assets that are not held, unless none is; no drift."""
    held = is_held(risk)
    return moving(risk.isel({s.ASSET: held}) if held.any() else risk)


def moving(risk: xr.Dataset) -> xr.Dataset:
    """Return the same without the component `drift` where every part of it is zero: no return is expected."""
    kept = risk[s.COMPONENT].values != s.DRIFT
    parts = (x for x in risk.data_vars.values() if s.COMPONENT in x.dims)
    idle = all(not x.isel({s.COMPONENT: ~kept}).values.any() for x in parts)
    return risk.isel({s.COMPONENT: kept}) if idle else risk
