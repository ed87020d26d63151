"""What all laws with observed factors hold: draws read off a tree, flat, in canonical order."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numba import njit
from scipy.special import gammaln

from bayesfactor import schema as s
from bayesfactor.errors import SchemaError
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.laws.contract import Moments, Scenarios
from bayesfactor.laws.future import simulate
from bayesfactor.laws.integrate import Integral
from bayesfactor.laws.mixture import marginal_rows
from bayesfactor.laws.own import own_weights
from bayesfactor.laws.student import variance_ratio
from bayesfactor.laws.whole import whole_fit
from bayesfactor.laws.woodbury import patterns

__all__ = ["Common", "Reader", "reader"]


@dataclass(frozen=True)
class Reader:
    """Reads draws of one tree.

    Parameters
    ----------
    posterior : Dataset
    constant, observed : Dataset
    order : ndarray (asset)
        Takes the panel's assets to canonical order.
    flat : callable
        `flat(name, *dims)` returns draws (draw, *dims), assets in canonical order.
    """

    posterior: xr.Dataset
    constant: xr.Dataset
    observed: xr.Dataset
    order: np.ndarray
    flat: Callable[..., np.ndarray]

    def rows(self, data: xr.Dataset, name: str, dim: str) -> np.ndarray:
        """Return a variable (dim, time) of some data in one piece, assets in canonical order."""
        values = data[name].transpose(dim, s.TIME).values
        return np.ascontiguousarray(values[self.order] if dim == s.ASSET else values, dtype="float64")

    @property
    def floor(self) -> bool:
        """Whether simulated returns below -1 are floored (simple returns)."""
        return self.observed.attrs.get("returns_kind", "simple") == "simple"


def reader(tree: xr.DataTree, draws: np.ndarray | None = None) -> Reader:
    """Return what reads all draws of a tree, or those at the flat positions `draws`."""
    tree = whole_fit(tree)
    post, const, obs = (tree[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
    order = s.canonical_order(obs[s.ASSET])
    if s.STATE in tree.children:
        post = post.assign(tree[s.STATE].to_dataset().data_vars)

    def flat(name: str, *dims: str) -> np.ndarray:
        if name not in post or set(post[name].dims) != {s.CHAIN, s.DRAW, *dims}:
            got = f"dims {post[name].dims}" if name in post else "none"
            own = ", ".join((s.CHAIN, s.DRAW, *dims))
            msg = f"the law of {tree.attrs.get('model')} reads {name} ({own}); got {got}. Give a whole tree."
            raise SchemaError(msg)
        values = post[name].transpose(s.CHAIN, s.DRAW, *dims).values
        values = values.reshape(-1, *values.shape[2:])
        values = values if draws is None else values[draws]
        if dims[:1] == (s.ASSET,):
            values = values[:, order]
        return np.ascontiguousarray(values, dtype="float64")

    return Reader(post, const, obs, order, flat)


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

    chained: ClassVar[bool] = False

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
        read = reader(tree, draws)
        post, const, flat = read.posterior, read.constant, read.flat
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
            "returns": read.rows(read.observed, s.RETURNS, s.ASSET),
            "factors": read.rows(const, s.FACTOR_RETURNS, s.FACTOR),
            "alpha": alpha,
            "sigma": flat(s.SIGMA, s.ASSET),
            "own_weights": own_weights(const, read.order),
            "floor": read.floor,
            "reader": read,
        }

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return self.alpha.shape[0]

    @cached_property
    def seen(self) -> np.ndarray:
        """1.0 where there is a return, else 0.0 (asset, time)."""
        return np.isfinite(self.returns).astype("float64")

    @cached_property
    def filled(self) -> np.ndarray:
        """Returns, 0 where there is none (asset, time)."""
        return np.where(self.seen > 0, self.returns, 0.0)

    @cached_property
    def pattern(self) -> np.ndarray:
        """The first day on which the same assets were seen (time)."""
        return patterns(self.seen)

    @property
    def factor_centre(self) -> np.ndarray:
        """Alpha + loadings . factor_location: returns at the centre of the factors' law (draw, asset)."""
        return self.alpha + np.einsum("dik,dk->di", self.loadings, self.factor_location)

    @property
    def factor_covariance(self) -> np.ndarray:
        """Covariance of the observed factors (draw, factor, factor)."""
        covariance = self.factor_scale @ self.factor_scale.swapaxes(-1, -2)
        return covariance * variance_ratio(self.factor_nu)[:, None, None]

    def factor_log_likelihood(self) -> np.ndarray:
        """Return log p(f_t), multivariate t, (draw, time)."""
        out = np.empty((self.n_draws, self.factors.shape[1]))
        size = len(self.factors)
        for b in slices(self.n_draws, 64):
            scale, nu = self.factor_scale[b], self.factor_nu[b, None]
            z = np.linalg.solve(scale, self.factors - self.factor_location[b, :, None])
            squares = np.einsum("dkt,dkt->dt", z, z)
            log_det = np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(axis=1)[:, None]
            normal = np.isinf(nu)
            v = np.where(normal, 1.0, nu)
            bell = gammaln(0.5 * (v + size)) - gammaln(0.5 * v) - 0.5 * size * np.log(0.5 * v)
            bell = np.where(normal, -0.5 * squares, bell - 0.5 * (v + size) * np.log1p(squares / v))
            out[b] = bell - log_det - 0.5 * size * math.log(2.0 * math.pi)
        return out

    def advance(self, returns: np.ndarray, factors: np.ndarray, weights: np.ndarray) -> Self:
        """Return the law after some more days: no day changes it, own weights W apart."""
        return replace(self, returns=returns, factors=factors, own_weights=weights)

    def with_means(self, alpha: np.ndarray, factors: np.ndarray) -> Self:
        """Return the law of the periods ahead with these expected returns, see `Law`."""
        return replace(self, alpha=alpha, factor_location=factors)

    def state_variables(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return where each draw stands after the last day: nowhere in particular."""
        return {}

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return latent factors of each day given its returns (draw, time, latent)."""
        return np.empty((self.n_draws, self.returns.shape[1], 0))

    def _elliptical_rows(self, latent: np.ndarray, nu: np.ndarray) -> Integral:
        """Return log p(r_t), observed factors integrated out of rows that are elliptical given them."""
        out = np.empty((self.n_draws, self.returns.shape[1]))
        mean, spread = self.factor_centre, self.loadings @ self.factor_scale

        def work(b: slice) -> None:
            draws = (mean[b], spread[b], latent[b], self.sigma[b], nu[b], self.factor_nu[b])
            marginal_rows(self.filled, self.seen, self.pattern, *draws, out[b])

        for _ in run_blocks(work, slices(self.n_draws, 32)):
            pass
        return Integral.exact(out)

    def _observed(self, assets: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return asset and time of the observed cells of some assets, asset by asset."""
        rows, times = np.nonzero(np.isfinite(self.returns[assets]))
        return rows + assets.indices(len(self.returns))[0], times

    def _cell_mean(self, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return alpha + loadings . factors of cells (cell, draw)."""
        out = np.empty((len(rows), self.n_draws))
        _cell_mean(self.factors, self.alpha, self.loadings, rows, times, out)
        return out

    def _simulate(
        self,
        rng: np.random.Generator,
        horizon: int,
        draws: slice | np.ndarray,
        ahead: tuple[np.ndarray, np.ndarray, np.ndarray],
        *,
        nu: np.ndarray,
        latent_nu: np.ndarray,
        joint: bool = False,
    ) -> Scenarios:
        """Draw one future of `horizon` periods for each posterior draw in `draws`."""
        alpha, loadings, response = (a[draws] for a in ahead)
        factor_returns = np.empty((len(alpha), horizon, loadings.shape[2]))
        specific = np.empty((len(alpha), horizon, alpha.shape[1]))
        floored = simulate(
            rng,
            alpha,
            loadings,
            self.sigma[draws],
            nu[draws],
            self.factor_location[draws],
            self.factor_scale[draws],
            self.factor_nu[draws],
            latent_nu[draws],
            joint,
            self.own_weights,
            response,
            self.floor,
            factor_returns,
            specific,
        )
        return Scenarios(draws, factor_returns, specific, int(floored))

    def _moments(
        self,
        horizon: int,
        ahead: tuple[np.ndarray, np.ndarray, np.ndarray],
        *,
        specific_variance: np.ndarray,
        specific_nu: np.ndarray,
        latent_nu: np.ndarray | None = None,
        joint: bool = False,
    ) -> Moments:
        """Return moments of periods that are all alike: observed factors a block, latent ones another."""
        alpha, loadings, response = ahead
        n_observed, n_factors = len(self.factors), loadings.shape[2]
        n_latent = n_factors - n_observed
        location = np.concatenate([self.factor_location, np.zeros((self.n_draws, n_latent))], axis=1)
        covariance = np.zeros((self.n_draws, n_factors, n_factors))
        covariance[:, :n_observed, :n_observed] = self.factor_covariance
        blocks = [self.factor_nu] if n_observed else []
        if latent_nu is not None:
            latent = range(n_observed, n_factors)
            covariance[:, latent, latent] = variance_ratio(latent_nu)[:, None]
            blocks.append(latent_nu)

        def repeated(a: np.ndarray) -> np.ndarray:
            return np.broadcast_to(a[:, None], (a.shape[0], horizon, *a.shape[1:]))

        return Moments(
            alpha=alpha,
            loadings=loadings,
            factor_mean=repeated(location),
            factor_covariance=repeated(covariance),
            factor_nu=repeated(np.stack(blocks, axis=1)),
            specific_variance=repeated(specific_variance),
            specific_nu=repeated(specific_nu),
            own_weights=self.own_weights,
            own_response=response,
            block=np.repeat([0, len(blocks) - 1], [n_observed, n_latent]),
            joint=len(blocks) - 1 if joint else -1,
        )
