"""The observed factors' own law: blocks with tails of their own, each told given those before it.

f_b = open (m_b + R_b open (f_< - m_<) + u_b) with u_b ~ multivariate t(nu_b, 0, A_b A_b'), f_< the factors of
earlier blocks. The first block, the portfolios, has the law it would have without the others. A factor whose
market is closed is 0 and tells the others nothing; the law of those of its block that are open is marginal.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from scipy.special import gammaln

from bayesfactor import schema as s
from bayesfactor.laws.student import variance_ratio
from bayesfactor.laws.woodbury import patterns

__all__ = ["TRADED_FAMILIES", "FactorLaw", "block_of_each"]

TRADED_FAMILIES: Final = ("market", "style", "sector", "liquidity", "size", "momentum")
"""Families whose factors are portfolios by default: they share the first block."""


@dataclass(frozen=True)
class FactorLaw:
    """Draws of the factors' law, in original units.

    Parameters
    ----------
    location : ndarray (draw, factor)
    response : ndarray (draw, factor, factor)
        R, of each factor to those of earlier blocks; 0 elsewhere.
    scale : ndarray (draw, factor, factor)
        A: lower Cholesky factors of the blocks' scale matrices, 0 elsewhere.
    nu : ndarray (draw, block)
        inf where a block is normal.
    block : ndarray (factor)
    """

    location: np.ndarray
    response: np.ndarray
    scale: np.ndarray
    nu: np.ndarray
    block: np.ndarray

    @classmethod
    def of_correlation(
        cls,
        location: np.ndarray,
        scale: np.ndarray,
        correlation: np.ndarray,
        nu: np.ndarray,
        block: np.ndarray,
    ) -> "FactorLaw":
        """Return the law of scales (draw, factor) and a correlation matrix (draw, factor, factor).

        With L the Cholesky factor of the correlation matrix in the order of the blocks, f = m + D L z, D the
        scales, each block of z with a mixing variable of its own.
        """
        order = np.argsort(block, kind="stable")
        chol = np.linalg.cholesky(correlation[:, order[:, None], order])
        response, root = np.zeros_like(correlation), np.zeros_like(correlation)
        for b in range(nu.shape[1]):
            at = np.flatnonzero(block[order] == b)
            mine, before = order[at], order[: at[0]]
            root[:, mine[:, None], mine] = scale[:, mine, None] * chol[:, at[:, None], at]
            if len(before):
                across = np.linalg.solve(
                    chol[:, : at[0], : at[0]].swapaxes(1, 2), chol[:, at, : at[0]].swapaxes(1, 2)
                ).swapaxes(1, 2)
                response[:, mine[:, None], before] = across * scale[:, mine, None] / scale[:, None, before]
        return cls(location, response, root, nu, block)

    @classmethod
    def none(cls, n_draws: int) -> "FactorLaw":
        """Return the law of no factors."""
        empty = np.zeros((n_draws, 0, 0))
        return cls(np.zeros((n_draws, 0)), empty, empty, np.full((n_draws, 1), np.inf), np.zeros(0, int))

    def take(self, draws: slice | np.ndarray) -> "FactorLaw":
        """Return some of the draws."""
        parts = (self.location, self.response, self.scale, self.nu)
        location, response, scale, nu = (x[draws] for x in parts)
        return FactorLaw(location, response, scale, nu, self.block)

    def moved(self, opened: np.ndarray) -> np.ndarray:
        """Return what each factor's own shock moves on a day on which factors are `opened (factor)`.

        (draw, factor, factor): 1 on its own factor, which takes no part in a closed one.
        """
        unit = np.eye(len(opened))
        if not self.response.any():
            return np.broadcast_to(unit, self.response.shape)
        return np.linalg.inv(unit - opened[:, None] * self.response)

    def spread(self, opened: np.ndarray) -> np.ndarray:
        """Return what standard normals, times the mixing of their block, move (draw, factor, normal)."""
        own = self.scale if opened.all() else opened[:, None] * self.scale
        return own if not self.response.any() else self.moved(opened) @ own

    def centre(self, opened: np.ndarray) -> np.ndarray:
        """Return expected factors (draw, factor)."""
        return self.location if opened.all() else opened * self.location

    def covariance(self, opened: np.ndarray) -> np.ndarray:
        """Return the covariance of the factors (draw, factor, factor)."""
        spread, ratio = self.spread(opened), variance_ratio(self.nu)
        out = np.zeros_like(spread)
        for b in range(self.nu.shape[1]):
            part = spread[:, :, self.block == b]
            square = part @ part.swapaxes(-1, -2)
            with np.errstate(invalid="ignore"):
                out += np.where(square == 0.0, 0.0, square * ratio[:, b, None, None])
        return out

    def log_density(self, values: np.ndarray, opened: np.ndarray) -> np.ndarray:
        """Return log p(f_t) of days (draw, time).

        Parameters
        ----------
        values : ndarray (factor, time)
        opened : ndarray of bool (factor, time)
        """
        out = np.zeros((len(self.location), values.shape[1]))
        which = patterns(opened.astype("float64"))
        for first in np.unique(which):
            days, here = np.flatnonzero(which == first), opened[:, int(first)]
            y = here[:, None] * (values[:, days] - self.location[:, :, None])
            e = y - self.response @ y if self.response.any() else y
            for b in range(self.nu.shape[1]):
                mine = np.flatnonzero((self.block == b) & here)
                if len(mine):
                    out[:, days] += self._of_block(b, mine, e[:, mine])
        return out

    def _of_block(self, b: int, mine: np.ndarray, e: np.ndarray) -> np.ndarray:
        """Return log densities of shocks e (draw, seen, time) to the factors `mine` of one block."""
        scale = self.scale[:, mine[:, None], mine]
        if len(mine) < (self.block == b).sum():
            own = self.scale[:, mine]
            scale = np.linalg.cholesky(own @ own.swapaxes(1, 2))
        nu, size = self.nu[:, b, None], len(mine)
        z = np.linalg.solve(scale, e)
        squares = np.einsum("dkt,dkt->dt", z, z)
        log_det = np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(axis=1)[:, None]
        normal = np.isinf(nu)
        v = np.where(normal, 1.0, nu)
        bell = gammaln(0.5 * (v + size)) - gammaln(0.5 * v) - 0.5 * size * np.log(0.5 * v)
        bell = np.where(normal, -0.5 * squares, bell - 0.5 * (v + size) * np.log1p(squares / v))
        return np.asarray(bell - log_det - 0.5 * size * math.log(2.0 * math.pi))


def block_of_each(constant: xr.Dataset) -> np.ndarray:
    """Return the block of each factor of a tree (factor): one for all where the tree names none."""
    if s.FACTOR_BLOCK in constant:
        return constant[s.FACTOR_BLOCK].values.astype(np.int64)
    return np.zeros(constant.sizes[s.FACTOR], dtype=np.int64)
