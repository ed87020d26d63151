"""What weights may be, and what getting there costs: checked, one number per asset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesfactor.errors import RiskError, WeightsError, unknown_names
from bayesfactor.risk.weights import WEIGHT_NAMES
from bayesfactor.tables import Door, by_name, warn_of_gross

__all__ = ["Terms", "make_terms"]

_SLACK = 1e-9


@dataclass(frozen=True)
class Terms:
    """Bounds, what is held now, and the cost of trading.

    Parameters
    ----------
    low, high, previous : ndarray (asset)
        Canonical order.
    rate : float
        Cost per unit traded.
    """

    low: np.ndarray
    high: np.ndarray
    previous: np.ndarray
    rate: float = 0.0

    @property
    def held(self) -> np.ndarray:
        """Positions of the assets that may be held."""
        return np.flatnonzero((self.high > 0.0) | (self.low < 0.0))

    def take(self, assets: np.ndarray) -> "Terms":
        """Return the terms of some of the assets."""
        return Terms(self.low[assets], self.high[assets], self.previous[assets], self.rate)

    def free(self) -> "Terms":
        """Return the same bounds where trading costs nothing."""
        return Terms(self.low, self.high, self.previous)

    def turnover(self, weights: np.ndarray) -> float:
        """Return what is bought plus what is sold, as a fraction of value."""
        return float(np.abs(weights - self.previous).sum())

    def check_sums(self, why: str) -> None:
        """Raise `WeightsError`, which begins with `why`, unless weights within the bounds can sum to 1."""
        low, high = self.low.sum(), self.high.sum()
        if low > 1.0 + _SLACK or high < 1.0 - _SLACK:
            msg = (
                f"{why} lower bounds sum to {low:.4g} and the upper ones to {high:.4g}. "
                "Lower bounds sum to at most 1 and upper ones to at least 1."
            )
            raise WeightsError(msg)

    def tidied(self, weights: np.ndarray) -> np.ndarray:
        """Return weights with those a rounding error away from a bound on it; the others still sum to 1."""
        exact, free = self.on_bounds(weights, _SLACK)
        if len(free):
            exact[free] += (1.0 - exact.sum()) / len(free)
        return exact

    def on_bounds(self, weights: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
        """Return weights with those as near as that to a bound on it, and where the others are."""
        low, high = weights < self.low + near, weights > self.high - near
        exact = np.where(low, self.low, np.where(high, self.high, weights))
        return exact, np.flatnonzero(~(low | high))

    @property
    def may_stay(self) -> bool:
        """Whether what is held now keeps to the bounds and is fully invested."""
        inside = (self.previous >= self.low - _SLACK) & (self.previous <= self.high + _SLACK)
        return bool(inside.all()) and abs(self.previous.sum() - 1.0) < 1e-6


def make_terms(
    assets: np.ndarray, bounds: Any, previous: Any, rate: float, *, offered: np.ndarray | None = None
) -> Terms:
    """Return checked terms.

    Parameters
    ----------
    assets : ndarray of str
        Canonical order.
    bounds : pair of float, or mapping of asset to pair
        Assets that a mapping does not name have (0, 1).
    previous : mapping, Series or DataArray (asset), optional
        What is held now; what it does not name is not held.
    rate : float
    offered : ndarray of str, optional
        Those that may be held, all where not given; the tree may be a part of a fit.

    Raises
    ------
    WeightsError
        If a name is unknown, or no weights that sum to 1 keep to the bounds.
    RiskError
        If the rate is not a number of at least 0 and below 1.
    """
    names = [str(a) for a in assets]
    mine = names if offered is None else [str(a) for a in offered]
    low, high = _bounds(mine, bounds)
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0.0 <= rate < 1.0:
        msg = f"transaction_costs is the cost per unit traded, such as 0.001, at least 0; got {rate!r}."
        raise RiskError(msg)
    at = [names.index(a) for a in mine]
    low, high, held = (_at(x, at, len(names)) for x in (low, high, _previous(mine, previous)))
    terms = Terms(low, high, held, float(rate))
    if len(terms.held) < 2:
        msg = (
            f"allocation divides between at least two assets; bounds leave {len(terms.held)}. "
            "Loosen bounds=, or fit more assets."
        )
        raise WeightsError(msg)
    terms.check_sums("weights sum to 1, but the")
    return terms


def _at(values: np.ndarray, places: list[int], size: int) -> np.ndarray:
    """Return values at their places among assets of which the others are not held."""
    out = np.zeros(size)
    out[places] = values
    return out


def _bounds(names: list[str], bounds: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(bounds, Mapping):
        strange = [str(a) for a in bounds if str(a) not in set(names)]
        if strange:
            msg = f"bounds name assets the model does not know: {unknown_names(strange, names)}. Rename them."
            raise WeightsError(msg)
        by_name = {str(a): pair for a, pair in bounds.items()}
        pairs = [_pair(by_name.get(a, (0.0, 1.0))) for a in names]
    else:
        pairs = [_pair(bounds)] * len(names)
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def _pair(given: Any) -> tuple[float, float]:
    try:
        low, high = (float(x) for x in given)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not (np.isfinite([low, high]).all() and low <= high):
        msg = f"bounds are a pair (lowest, highest) such as (0, 0.2), or one per asset; got {given!r}."
        raise WeightsError(msg)
    return low, high


def _previous(names: list[str], previous: Any) -> np.ndarray:
    if previous is None:
        return np.zeros(len(names))
    table = by_name(previous, Door("previous_weights", WeightsError), WEIGHT_NAMES)
    if table is None:
        got = type(previous).__name__
        msg = f"previous_weights are a mapping, a Series or a DataArray from asset to weight; got {got}."
        raise WeightsError(msg)
    strange = [a for a in table.index if a not in set(names)]
    if strange or not table.index.is_unique:
        wrong = unknown_names(strange, names) if strange else "an asset twice"
        msg = f"previous_weights name assets of the model, each once; got {wrong}. Drop or rename them."
        raise WeightsError(msg)
    values = table.reindex(names, fill_value=0.0).to_numpy()
    if not np.isfinite(values).all():
        msg = "previous_weights are finite; got NaN or infinity. Give 0 to what is not held."
        raise WeightsError(msg)
    warn_of_gross(values, "previous_weights")
    return values
