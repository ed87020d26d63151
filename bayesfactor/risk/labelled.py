"""Names for what risk verbs return: which draws are kept, what components are called, common attributes."""

import math
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.forecast import Labels, Predictions
from bayesfactor.laws import follows_days
from bayesfactor.laws.blocks import thinned
from bayesfactor.risk.compounding import BuyAndHold
from bayesfactor.risk.exact import Book
from bayesfactor.risk.nonlinear import PositionBook

__all__ = ["common_attrs", "components", "fit_attrs", "kept_draws", "shaped", "thinned_draws", "value_attrs"]

_POSTERIOR_DRAWS: Final = 400
_OTHERS: Final = {len(kind.components): kind.components for kind in (Book, BuyAndHold, PositionBook)}
"""Components behind the factors, by how many they are."""


def kept_draws(labels: Labels, wanted: int = _POSTERIOR_DRAWS) -> np.ndarray:
    """Return positions of evenly spaced draws of a chain, at least `wanted` over all chains."""
    return thinned(len(labels.draws), math.ceil(wanted / len(labels.chains)))


def thinned_draws(labels: Labels, wanted: int = _POSTERIOR_DRAWS) -> np.ndarray:
    """Return flat positions of the kept draws of every chain."""
    starts = np.arange(len(labels.chains)) * len(labels.draws)
    return (starts[:, None] + kept_draws(labels, wanted)).ravel()


def components(labels: Labels, count: int) -> dict[str, Any]:
    """Return coords of assets and of `count` components: factors, then as many of the others as there are."""
    others = _OTHERS[count - len(labels.factors)]
    return {
        s.ASSET: labels.assets,
        s.GROUP: (s.ASSET, labels.groups),
        s.COMPONENT: [*labels.factors.astype(str), *others],
        s.FAMILY: (s.COMPONENT, [*labels.families.astype(str), *others]),
    }


def shaped(labels: Labels, values: np.ndarray, *dims: str) -> xr.DataArray:
    """Return values (kept draw, *dims) in canonical order with their chains, draws and names."""
    kept = kept_draws(labels)
    if s.ASSET in dims:
        values = labels.to_panel_order(values, 1 + dims.index(s.ASSET))
    values = values.reshape(len(labels.chains), len(kept), *values.shape[1:])
    coords = {s.CHAIN: labels.chains, s.DRAW: labels.draws[kept]}
    if s.ASSET in dims:
        coords |= components(labels, values.shape[-1])
    return xr.DataArray(values, dims=(s.CHAIN, s.DRAW, *dims), coords=coords)


def fit_attrs(tree: xr.DataTree, entropy: int) -> dict[str, Any]:
    """Return attributes of the fit and of the seed."""
    kept = ("model", "card_digest", "returns_digest", "factors_digest", "returns_kind", "periods_per_year")
    first, last = w.stamps(tree[s.OBSERVED_DATA].to_dataset()[s.TIME].values)
    return {k: tree.attrs[k] for k in kept if k in tree.attrs} | {
        "window_start": first,
        "as_of": last,
        "chained": int(follows_days(tree)),
        "schema_version": s.SCHEMA_VERSION,
        "random_seed": str(entropy),
    }


def value_attrs(value: float) -> dict[str, Any]:
    """Return attributes of the worth of the portfolio."""
    return {"value": float(value), "units": "fraction of value" if value == 1.0 else "money"}


def common_attrs(tree: xr.DataTree, found: Predictions, value: float) -> dict[str, Any]:
    """Return attributes of the fit, and of what was asked for."""
    attrs = fit_attrs(tree, found.entropy) | value_attrs(value)
    return attrs | {s.DRIFT: found.drift, "horizon": int(found.moments.horizon)}
