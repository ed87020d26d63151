"""Volatility from exact moments, by the law of total variance: no paths, no Monte-Carlo error.

Everything here is linear algebra on arrays in canonical asset order. A portfolio w has factor
exposures b = B'w; where factors are portfolios W of the panel's own assets its specific loss is
-(w - W'G'w)'e with independent e, because specific returns are e - G (W e).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from bayesfactor import schema as s
from bayesfactor.laws import Moments, Scenarios

__all__ = ["Book"]


@dataclass(frozen=True)
class Book:
    """A portfolio held against the law of the next periods.

    Parameters
    ----------
    moments : Moments
    weights : ndarray (asset)
        Canonical order.
    """

    components: ClassVar[tuple[str, ...]] = (s.SPECIFIC, s.DRIFT)
    """Behind the factors."""

    moments: Moments
    weights: np.ndarray

    @property
    def certain(self) -> np.ndarray | None:
        """Gains that no scenario changes (asset), where there are any: the last component."""
        return None

    def beyond(self, block: Scenarios) -> np.ndarray | None:
        """Return gains beyond the linear ones (scenario, asset), where there are any: a component."""
        return None

    @cached_property
    def exposures(self) -> np.ndarray:
        """Portfolio loadings b (draw, factor)."""
        return np.einsum("i,dik->dk", self.weights, self.moments.loadings)

    @cached_property
    def bets(self) -> np.ndarray:
        """Coefficients of the independent innovations e in the portfolio's return (draw, asset)."""
        own = self.moments.own_weights
        base = np.broadcast_to(self.weights, self.moments.alpha.shape)
        if not len(own):
            return base
        return base - np.einsum("i,dik->dk", self.weights, self.moments.own_response) @ own

    @cached_property
    def mean_loss(self) -> np.ndarray:
        """E[L] given each draw (draw)."""
        m = self.moments
        factors = np.einsum("dk,dhk->d", self.exposures, m.factor_mean)
        return -(m.horizon * (m.alpha @ self.weights) + factors)

    def spread(self, factor: np.ndarray, specific: np.ndarray) -> np.ndarray:
        """Return the (asset, component) table from what each factor and innovation stands for.

        Parameters
        ----------
        factor : ndarray (draw, factor)
            The part of the loss per unit of exposure to each factor.
        specific : ndarray (draw, asset)
            The same per unit of each innovation, signs as in a loss.

        Returns
        -------
        ndarray (draw, asset, factor + 2)
            Factors, then specific, then a drift of zero.
        """
        m, w = self.moments, self.weights
        out = np.zeros((len(factor), len(w), factor.shape[1] + 2))
        out[:, :, :-2] = w[:, None] * m.loadings * factor[:, None, :]
        net = specific
        if len(m.own_weights):
            net = specific - np.einsum("dik,dk->di", m.own_response, specific @ m.own_weights.T)
        out[:, :, -2] = w * net
        return out

    def mean_parts(self) -> np.ndarray:
        """E[x] given each draw (draw, asset, component): factor means stay in their factor."""
        m = self.moments
        out = self.spread(-m.factor_mean.sum(axis=1), np.zeros_like(m.alpha))
        out[:, :, -1] = -m.horizon * self.weights * m.alpha
        return out

    def covariance_parts(self) -> np.ndarray:
        """cov(x, L) given each draw (draw, asset, component)."""
        m = self.moments
        factor = np.einsum("dhkl,dl->dk", m.factor_covariance, self.exposures)
        specific = m.specific_variance.sum(axis=1) * self.bets
        return self.spread(factor, specific)

    def volatility(self) -> tuple[float, np.ndarray]:
        """Return the predictive volatility and its (asset, component) contributions."""
        within = self.covariance_parts().mean(axis=0)
        means = self.mean_parts()
        loss = self.mean_loss
        between = np.einsum("dic,d->ic", means - means.mean(axis=0), loss - loss.mean()) / len(loss)
        covariance = within + between
        volatility = np.sqrt(covariance.sum())
        with np.errstate(invalid="ignore"):
            return float(volatility), covariance / (volatility if volatility != 0.0 else 1.0)

    def volatility_by_draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return volatility given each draw (draw) and contributions (draw, asset, component)."""
        covariance = self.covariance_parts()
        volatility = np.sqrt(covariance.sum(axis=(1, 2)))
        return volatility, covariance / np.where(volatility != 0.0, volatility, 1.0)[:, None, None]
