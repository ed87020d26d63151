"""What all laws with observed factors hold: draws read off a tree, flat, in canonical order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numba import njit

from bayesfactor import schema as s
from bayesfactor.laws.contract import Moments
from bayesfactor.laws.own import own_weights
from bayesfactor.laws.student import variance_ratio

__all__ = ["Common", "Reader"]


@dataclass(frozen=True)
class Reader:
    """Reads draws of one tree.

    Parameters
    ----------
    posterior : Dataset
    flat : callable
        `flat(name, *dims)` returns draws (draw, *dims), assets in canonical order.
    """

    posterior: xr.Dataset
    flat: Callable[..., np.ndarray]


@njit(cache=True, nogil=True)
def _cell_mean(factors, alpha, loadings, assets, times, out):
    """`out[cell, draw]`: the mean of each cell (assets[cell], times[cell]) given the factors."""
    for c in range(len(assets)):
        for d in range(alpha.shape[0]):
            mean = alpha[d, assets[c]]
            for k in range(factors.shape[0]):
                mean += loadings[d, assets[c], k] * factors[k, times[c]]
            out[c, d] = mean


@dataclass(frozen=True)
class Common:
    """Draws flattened over (chain, draw), in original units.

    Parameters
    ----------
    returns : ndarray (asset, time)
    factors : ndarray (factor, time)
        Observed factors; there may be none.
    alpha, sigma : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
    factor_location : ndarray (draw, factor)
    factor_scale : ndarray (draw, factor, factor)
        Lower Cholesky factor of the scale matrix.
    factor_nu : ndarray (draw)
        inf where factors are normal.
    own_weights : ndarray (factor, asset) or (0, asset)
        Last weights of factors formed from the panel's own assets.
    floor : bool
        Whether simulated returns below -1 are floored (simple returns).
    """

    returns: np.ndarray
    factors: np.ndarray
    alpha: np.ndarray
    loadings: np.ndarray
    sigma: np.ndarray
    factor_location: np.ndarray
    factor_scale: np.ndarray
    factor_nu: np.ndarray
    own_weights: np.ndarray
    floor: bool

    @staticmethod
    def read(tree: xr.DataTree, draws: np.ndarray | None = None) -> dict[str, Any]:
        """Return the fields by name, and under `reader` what reads further variables."""
        post, const, obs = (tree[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
        order = s.canonical_order(obs[s.ASSET])

        def flat(name: str, *dims: str) -> np.ndarray:
            values = post[name].transpose(s.CHAIN, s.DRAW, *dims).values
            values = values.reshape(-1, *values.shape[2:])
            values = values if draws is None else values[draws]
            if dims[:1] == (s.ASSET,):
                values = values[:, order]
            return np.ascontiguousarray(values, dtype="float64")

        alpha = flat(s.ALPHA, s.ASSET)
        n = len(alpha)
        found = {
            "loadings": np.zeros((*alpha.shape, 0)),
            "factor_location": np.zeros((n, 0)),
            "factor_scale": np.zeros((n, 0, 0)),
            "factor_nu": np.full(n, np.inf),
        }
        if const.sizes[s.FACTOR]:
            correlation = flat(s.FACTOR_CORRELATION, s.FACTOR, s.FACTOR_OTHER)
            scale = flat(s.FACTOR_SCALE, s.FACTOR)[:, :, None]
            found["loadings"] = flat(s.LOADINGS, s.ASSET, s.FACTOR)
            found["factor_location"] = flat(s.FACTOR_LOCATION, s.FACTOR)
            found["factor_scale"] = scale * np.linalg.cholesky(correlation)
            if s.FACTOR_NU in post:
                found["factor_nu"] = flat(s.FACTOR_NU)
        return found | {
            "returns": np.ascontiguousarray(obs[s.RETURNS].transpose(s.ASSET, s.TIME).values[order]),
            "factors": np.ascontiguousarray(const[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values),
            "alpha": alpha,
            "sigma": flat(s.SIGMA, s.ASSET),
            "own_weights": own_weights(const, order),
            "floor": obs.attrs.get("returns_kind", "simple") == "simple",
            "reader": Reader(post, flat),
        }

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return self.alpha.shape[0]

    @property
    def factor_covariance(self) -> np.ndarray:
        """Covariance of the observed factors (draw, factor, factor)."""
        covariance = self.factor_scale @ self.factor_scale.swapaxes(-1, -2)
        return covariance * variance_ratio(self.factor_nu)[:, None, None]

    def _observed(self, assets: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return asset and time of the observed cells of some assets, asset by asset."""
        rows, times = np.nonzero(np.isfinite(self.returns[assets]))
        return rows + assets.indices(len(self.returns))[0], times

    def _cell_mean(self, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return alpha + loadings . factors of cells (cell, draw)."""
        out = np.empty((len(rows), self.n_draws))
        _cell_mean(self.factors, self.alpha, self.loadings, rows, times, out)
        return out

    def _moments(
        self,
        horizon: int,
        ahead: tuple[np.ndarray, np.ndarray, np.ndarray],
        *,
        location: np.ndarray,
        covariance: np.ndarray,
        blocks: np.ndarray,
        specific_variance: np.ndarray,
        specific_nu: np.ndarray,
        block: np.ndarray,
        joint: int = -1,
    ) -> Moments:
        """Return moments of periods that are all alike."""

        def repeated(a: np.ndarray) -> np.ndarray:
            return np.broadcast_to(a[:, None], (a.shape[0], horizon, *a.shape[1:]))

        alpha, loadings, response = ahead
        return Moments(
            alpha=alpha,
            loadings=loadings,
            factor_mean=repeated(location),
            factor_covariance=repeated(covariance),
            factor_nu=repeated(blocks),
            specific_variance=repeated(specific_variance),
            specific_nu=repeated(specific_nu),
            own_weights=self.own_weights,
            own_response=response,
            block=block,
            joint=joint,
        )
