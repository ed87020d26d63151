"""Positions that are held and not rebalanced: periods multiply, and what that adds has its own name.

Held over periods h, an asset returns R_i = prod_h (1 + r_ih) - 1, and what exceeds the sum of the
r_ih is the component `compounding`. Periods are independent given a draw, so with a_h = 1 + E r_h

    cov(R_i, R_j) = prod_h (cov(r_ih, r_jh) + a_ih a_jh) - prod_h a_ih a_jh
    cov(y_h, R_j) = cov(y_h, r_jh) prod_{h' != h} a_jh'         for y_h of period h alone

and volatility stays exact.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from bayesfactor import schema as s
from bayesfactor.laws import Scenarios
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.risk.exact import Book

__all__ = ["BuyAndHold"]

_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True)
class BuyAndHold(Book):
    """A portfolio that is left alone over all periods; one more component than a `Book`."""

    components: ClassVar[tuple[str, ...]] = (*Book.components, s.COMPOUNDING)

    def beyond(self, block: Scenarios) -> np.ndarray:
        """Return by how much periods that multiply exceed periods that add up (scenario, asset)."""
        d, m = block.draws, self.moments
        returns = block.specific_returns + m.alpha[d][:, None, :]
        returns += np.einsum("dik,dhk->dhi", m.loadings[d], block.factor_returns)
        return self.weights * ((1.0 + returns).prod(axis=1) - 1.0 - returns.sum(axis=1))

    @cached_property
    def growth(self) -> np.ndarray:
        """1 + E r of every period (draw, horizon, asset)."""
        m = self.moments
        return 1.0 + m.alpha[:, None, :] + np.einsum("dik,dhk->dhi", m.loadings, m.factor_mean)

    @cached_property
    def mean_loss(self) -> np.ndarray:
        """E[L] given each draw (draw)."""
        return -(self.growth.prod(axis=1) - 1.0) @ self.weights

    def mean_parts(self) -> np.ndarray:
        """E[x] given each draw (draw, asset, component)."""
        linear = super().mean_parts()
        beyond = self.growth.prod(axis=1) - 1.0 - (self.growth - 1.0).sum(axis=1)
        return np.concatenate([linear, -(self.weights * beyond)[:, :, None]], axis=2)

    def covariance_parts(self) -> np.ndarray:
        """cov(x, L) given each draw (draw, asset, component)."""
        m, a = self.moments, self.growth
        linear = np.zeros((*m.alpha.shape, m.loadings.shape[2] + 2))
        for h in range(m.horizon):
            held = self.weights * np.delete(a, h, axis=1).prod(axis=1)
            exposures = np.einsum("di,dik->dk", held, m.loadings)
            bets = held
            if len(m.own_weights):
                bets = held - np.einsum("di,dik->dk", held, m.own_response) @ m.own_weights
            factor = np.einsum("dkl,dl->dk", m.factor_covariance[:, h], exposures)
            linear += self.spread(factor, m.specific_variance[:, h] * bets)
        size = max(1, _BLOCK_CELLS // m.alpha.shape[1] ** 2)
        whole = np.concatenate(list(run_blocks(self._whole, slices(m.n_draws, size))))
        return np.concatenate([linear, (whole - linear.sum(axis=2))[:, :, None]], axis=2)

    def _whole(self, draws: slice) -> np.ndarray:
        """Return cov(w_i R_i, L), signs as in a loss, for some draws (draw, asset)."""
        m, a = self.moments, self.growth[draws]
        loadings = m.loadings[draws]
        net = np.broadcast_to(np.eye(loadings.shape[1]), (len(a), loadings.shape[1], loadings.shape[1]))
        if len(m.own_weights):
            net = net - m.own_response[draws] @ m.own_weights
        second = np.ones(net.shape)
        for h in range(m.horizon):
            covariance = loadings @ m.factor_covariance[draws, h] @ loadings.swapaxes(1, 2)
            covariance += (net * m.specific_variance[draws, h][:, None, :]) @ net.swapaxes(1, 2)
            second *= covariance + a[:, h, :, None] * a[:, h, None, :]
        mean = a.prod(axis=1)
        return self.weights * (second @ self.weights - mean * (mean @ self.weights)[:, None])
