"""Positions whose gain is no straight line in the return: options beside spot weights.

With R the return of an underlying over the horizon, the gain of what is held of it is

    (w value + slope) R + nonlinear(R) + carry

The straight part is a `Book` of weights w + slope / value, so all that is exact for weights is exact for it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from bayesfactor import schema as s
from bayesfactor.errors import RiskError, unknown_names
from bayesfactor.forecast import Labels
from bayesfactor.laws import Moments, Scenarios
from bayesfactor.positions import Positions
from bayesfactor.risk.exact import Book

__all__ = ["PositionBook", "padded", "position_book"]


@dataclass(frozen=True)
class PositionBook(Book):
    """Spot weights and positions; `weights` are those of the straight part.

    Parameters
    ----------
    positions : Positions
    at : ndarray (underlying)
        Canonical places of the underlyings.
    value : float
        Money that is 1 in weights.
    days, period_days : float
        That pass over the horizon, and in one period.
    kappa : ndarray (underlying)
    full : bool
        Options are repriced, not expanded.
    """

    components: ClassVar[tuple[str, ...]] = (*Book.components, s.NONLINEAR, s.CARRY)

    positions: Positions
    at: np.ndarray
    value: float
    days: float
    period_days: float
    kappa: np.ndarray
    full: bool

    @cached_property
    def certain(self) -> np.ndarray:
        """Theta and funding over the horizon (asset)."""
        out = np.zeros(len(self.weights))
        out[self.at] = self.positions.carry(self.days, self.period_days, full=self.full) / self.value
        return out

    @property
    def straight(self) -> Book:
        """The straight part alone."""
        return Book(self.moments, self.weights)

    def beyond(self, block: Scenarios) -> np.ndarray:
        """Return gains beyond the straight ones (scenario, asset)."""
        out = np.zeros((len(block.factor_returns), len(self.weights)))
        if self.positions.curved.any():
            out[:, self.at] = self.bent(self.moves(block))
        return out

    def volatility(self) -> tuple[float, np.ndarray]:
        """Return volatility of the straight part; the others contribute nothing to it."""
        volatility, parts = super().volatility()
        return volatility, padded(parts)

    def volatility_by_draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the same given each draw."""
        volatility, parts = super().volatility_by_draw()
        return volatility, padded(parts)

    def moves(self, block: Scenarios) -> np.ndarray:
        """Return what the underlyings return over the horizon, added up (scenario, underlying)."""
        m, d = self.moments, block.draws
        out = m.horizon * m.alpha[d][:, self.at] + block.specific_returns.sum(axis=1)[:, self.at]
        factors = block.factor_returns.sum(axis=1)
        return out + np.einsum("dik,dk->di", m.loadings[d][:, self.at], factors)

    def bent(self, returns: np.ndarray) -> np.ndarray:
        """Return gains beyond the straight ones by underlying, given their returns (scenario, underlying)."""
        return self.positions.nonlinear(returns, self.days, self.kappa, full=self.full) / self.value


def padded(parts: np.ndarray) -> np.ndarray:
    """Return contributions (..., component) with nothing for nonlinear and carry."""
    return np.concatenate([parts, np.zeros((*parts.shape[:-1], 2))], axis=-1)


def position_book(
    moments: Moments,
    weights: np.ndarray,
    positions: Positions,
    labels: Labels,
    *,
    value: float,
    kappa: Any,
    period_days: float,
    repricing: str,
) -> PositionBook:
    """Return the book of spot weights (canonical order) and positions.

    Raises
    ------
    RiskError
        If positions are in assets that the model does not know, or an option that is expanded expires
        within the horizon.
    PositionsError
        If kappa is not valid.
    """
    if not isinstance(positions, Positions):
        msg = f"positions come from bf.read_positions; got {type(positions).__name__}. Read them first."
        raise RiskError(msg)
    if repricing not in ("taylor", "full"):
        msg = f"repricing is 'taylor' (an expansion) or 'full' (Black's formula); got {repricing!r}."
        raise RiskError(msg)
    known = labels.assets.astype(str).tolist()
    unknown = [a for a in positions.assets if a not in set(known)]
    if unknown:
        names = unknown_names(unknown, known)
        msg = f"positions name underlyings that the model does not know: {names}. Drop or rename them."
        raise RiskError(msg)
    days = moments.horizon * period_days
    first = positions.first_expiry()
    if repricing == "taylor" and first is not None and first[1] <= days:
        msg = (
            f"an expansion in theta needs options that outlive the horizon of {days:g} days; one on "
            f'{first[0]} expires in {first[1]:g}. Use repricing="full".'
        )
        raise RiskError(msg)
    at = labels.places[[known.index(a) for a in positions.assets]]
    k = positions.kappa(kappa)
    straight = weights.copy()
    straight[at] += positions.slope(k) / value
    return PositionBook(
        moments, straight, positions, at, value, days, period_days, k, full=repricing == "full"
    )
