"""What one posterior draw of the static factor model says about data (numpy and numba only).

r_it = alpha_i + sum_k beta_ik f_kt + sigma_i e_it with e_it ~ t(nu_i), independent over i and t;
f_t ~ multivariate t(factor_nu). Cells with NaN contribute nothing. Assets stand in canonical
order throughout, so that sums over them do not depend on the order of the panel.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import xarray as xr
from numba import njit

from bayesfactor import schema as s
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.laws.contract import Moments, Scenarios
from bayesfactor.laws.own import add_up, own_weights
from bayesfactor.laws.student import log_density_constant, mixing_scale, variance_ratio

__all__ = ["StaticLaw"]


@njit(cache=True, nogil=True)
def _row_log_likelihood(returns, factors, alpha, loadings, sigma, nu, out):
    n_draws, n_assets = alpha.shape
    n_times = returns.shape[1]
    n_factors = factors.shape[0]
    mean = np.empty(n_times)
    for d in range(n_draws):
        for i in range(n_assets):
            const = log_density_constant(nu[d, i], sigma[d, i])
            mean[:] = alpha[d, i]
            for k in range(n_factors):
                b = loadings[d, i, k]
                for t in range(n_times):
                    mean[t] += b * factors[k, t]
            normal = math.isinf(nu[d, i])
            shape = 0.5 * (nu[d, i] + 1.0)
            for t in range(n_times):
                r = returns[i, t]
                if r == r:
                    z = (r - mean[t]) / sigma[d, i]
                    out[d, t] += const - (0.5 * z * z if normal else shape * math.log1p(z * z / nu[d, i]))


@njit(cache=True, nogil=True)
def _cell_log_likelihood(returns, factors, alpha, loadings, sigma, nu, out):
    """`out[cell, draw]` for the observed cells of a few assets, asset by asset, days in order."""
    n_draws, n_assets = alpha.shape
    n_times = returns.shape[1]
    n_factors = factors.shape[0]
    cell = 0
    for i in range(n_assets):
        for t in range(n_times):
            r = returns[i, t]
            if r != r:
                continue
            for d in range(n_draws):
                mean = alpha[d, i]
                for k in range(n_factors):
                    mean += loadings[d, i, k] * factors[k, t]
                z = (r - mean) / sigma[d, i]
                out[cell, d] = z
            cell += 1
    cell = 0
    for i in range(n_assets):
        const = np.empty(n_draws)
        for d in range(n_draws):
            const[d] = log_density_constant(nu[d, i], sigma[d, i])
        for t in range(n_times):
            if returns[i, t] != returns[i, t]:
                continue
            for d in range(n_draws):
                z2 = out[cell, d] * out[cell, d]
                v = nu[d, i]
                out[cell, d] = const[d] - (
                    0.5 * z2 if math.isinf(v) else 0.5 * (v + 1.0) * math.log1p(z2 / v)
                )
            cell += 1


@njit(cache=True, nogil=True)
def _cell_mean(factors, alpha, loadings, assets, times, out):
    """`out[cell, draw]`: the mean of each cell (assets[cell], times[cell]) given the factors."""
    for c in range(len(assets)):
        for d in range(alpha.shape[0]):
            mean = alpha[d, assets[c]]
            for k in range(factors.shape[0]):
                mean += loadings[d, assets[c], k] * factors[k, times[c]]
            out[c, d] = mean


@njit(cache=True, nogil=True)
def _add_specific(rng, sigma, nu, assets, out):
    for c in range(len(assets)):
        for d in range(sigma.shape[0]):
            scale = sigma[d, assets[c]] * mixing_scale(rng, nu[d, assets[c]])
            out[c, d] += scale * rng.standard_normal()


@njit(cache=True, nogil=True)
def _simulate(rng, alpha, loadings, sigma, nu, location, chol, factor_nu, own, response, floor, f_out, e_out):
    """Fill `f_out (draw, horizon, factor)` and `e_out (draw, horizon, asset)`; count floored cells."""
    n_draws, horizon, n_factors = f_out.shape
    n_assets = e_out.shape[2]
    normal = np.empty(n_factors)
    gap = np.empty(n_factors)
    floored = 0
    for d in range(n_draws):
        for h in range(horizon):
            mix = mixing_scale(rng, factor_nu[d]) if n_factors > 0 else 1.0
            for k in range(n_factors):
                normal[k] = rng.standard_normal()
            for k in range(n_factors):
                total = 0.0
                for j in range(k + 1):
                    total += chol[d, k, j] * normal[j]
                f_out[d, h, k] = location[d, k] + mix * total
            for i in range(n_assets):
                e_out[d, h, i] = sigma[d, i] * mixing_scale(rng, nu[d, i]) * rng.standard_normal()
            if own.shape[0] > 0:
                # The factor is its own portfolio's return: what that portfolio's specific
                # returns add up to is taken out again, e - G (W e).
                for k in range(n_factors):
                    gap[k] = 0.0
                    for i in range(n_assets):
                        gap[k] += own[k, i] * e_out[d, h, i]
                for i in range(n_assets):
                    for k in range(n_factors):
                        e_out[d, h, i] -= response[d, i, k] * gap[k]
            if floor:
                for i in range(n_assets):
                    r = alpha[d, i] + e_out[d, h, i]
                    for k in range(n_factors):
                        r += loadings[d, i, k] * f_out[d, h, k]
                    if r < -1.0:
                        e_out[d, h, i] -= r + 1.0
                        floored += 1
    return floored


@dataclass(frozen=True)
class StaticLaw:
    """The draws of one static fit, flattened over (chain, draw), in original units.

    Parameters
    ----------
    returns : ndarray (asset, time)
    factors : ndarray (factor, time)
    alpha, sigma, nu : ndarray (draw, asset)
        `nu` is inf where the specific returns are normal.
    loadings : ndarray (draw, asset, factor)
    factor_location : ndarray (draw, factor)
    factor_scale : ndarray (draw, factor, factor)
        Lower Cholesky factor of the scale matrix.
    factor_nu : ndarray (draw)
    own_weights : ndarray (factor, asset) or (0, asset)
        Last weights of factors formed from the panel's own assets.
    floor : bool
        Whether simulated returns below -1 are floored (simple returns).
    """

    given: ClassVar[str] = "factors"

    returns: np.ndarray
    factors: np.ndarray
    alpha: np.ndarray
    loadings: np.ndarray
    sigma: np.ndarray
    nu: np.ndarray
    factor_location: np.ndarray
    factor_scale: np.ndarray
    factor_nu: np.ndarray
    own_weights: np.ndarray
    floor: bool

    @classmethod
    def from_tree(cls, tree: xr.DataTree, draws: np.ndarray | None = None) -> "StaticLaw":
        """Read the law off a tree, all draws or those at the flat positions `draws`."""
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
        n_factors = obs.sizes.get(s.FACTOR, const.sizes[s.FACTOR])
        correlation = flat(s.FACTOR_CORRELATION, s.FACTOR, s.FACTOR_OTHER)
        scale = flat(s.FACTOR_SCALE, s.FACTOR)
        return cls(
            returns=np.ascontiguousarray(obs[s.RETURNS].transpose(s.ASSET, s.TIME).values[order]),
            factors=np.ascontiguousarray(const[s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME).values),
            alpha=alpha,
            loadings=flat(s.LOADINGS, s.ASSET, s.FACTOR),
            sigma=flat(s.SIGMA, s.ASSET),
            nu=flat(s.NU, s.ASSET) if s.NU in post else np.full_like(alpha, np.inf),
            factor_location=flat(s.FACTOR_LOCATION, s.FACTOR),
            factor_scale=scale[:, :, None] * np.linalg.cholesky(correlation) if n_factors else correlation,
            factor_nu=flat(s.FACTOR_NU) if s.FACTOR_NU in post else np.full(len(alpha), np.inf),
            own_weights=own_weights(const, order),
            floor=obs.attrs.get("returns_kind", "simple") == "simple",
        )

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return self.alpha.shape[0]

    @cached_property
    def ahead(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Alpha, loadings and response G that make the future add up, where factors are portfolios."""
        return add_up(self.own_weights, self.alpha, self.loadings)

    def row_log_likelihood(self) -> np.ndarray:
        """Return log p(r_t | factors of day t) per draw and row, (draw, time)."""
        out = np.zeros((self.n_draws, self.returns.shape[1]))

        def work(b: slice) -> None:
            _row_log_likelihood(
                self.returns, self.factors, self.alpha[b], self.loadings[b], self.sigma[b], self.nu[b], out[b]
            )

        for _ in run_blocks(work, slices(self.n_draws, 64)):
            pass
        return out

    def cell_log_likelihood(self, assets: slice) -> np.ndarray:
        """Return log p(r_it | factors of day t) for the observed cells of some assets, (cell, draw)."""
        returns = self.returns[assets]
        out = np.empty((int(np.isfinite(returns).sum()), self.n_draws))
        _cell_log_likelihood(
            returns,
            self.factors,
            np.ascontiguousarray(self.alpha[:, assets]),
            np.ascontiguousarray(self.loadings[:, assets]),
            np.ascontiguousarray(self.sigma[:, assets]),
            np.ascontiguousarray(self.nu[:, assets]),
            out,
        )
        return out

    def _observed(self, assets: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return asset and time of the observed cells of some assets, asset by asset."""
        rows, times = np.nonzero(np.isfinite(self.returns[assets]))
        return rows + assets.indices(len(self.returns))[0], times

    def pit(self, assets: slice, cells: np.ndarray) -> np.ndarray:
        """Return P(a return <= the observed one | factors of the day), (len(cells), draw)."""
        from scipy.special import ndtr, stdtr

        rows, times = (index[cells] for index in self._observed(assets))
        z = np.empty((len(rows), self.n_draws))
        _cell_mean(self.factors, self.alpha, self.loadings, rows, times, z)
        z = (self.returns[rows, times][:, None] - z) / self.sigma.T[rows]
        nu = self.nu.T[rows]
        return ndtr(z) if np.isinf(nu).all() else stdtr(nu, z)

    def replicate(self, rng: np.random.Generator, assets: slice) -> np.ndarray:
        """Draw each observed cell of some assets anew given the factors of its day, (cell, draw)."""
        rows, times = self._observed(assets)
        out = np.empty((len(rows), self.n_draws))
        _cell_mean(self.factors, self.alpha, self.loadings, rows, times, out)
        _add_specific(rng, self.sigma, self.nu, rows, out)
        return out

    def simulate(self, rng: np.random.Generator, horizon: int, draws: slice) -> Scenarios:
        """Draw one future of `horizon` periods for each posterior draw in `draws`."""
        n = self.alpha[draws].shape[0]
        alpha, loadings, response = self.ahead
        factor_returns = np.empty((n, horizon, self.factors.shape[0]))
        specific = np.empty((n, horizon, self.alpha.shape[1]))
        floored = _simulate(
            rng,
            alpha[draws],
            loadings[draws],
            self.sigma[draws],
            self.nu[draws],
            self.factor_location[draws],
            self.factor_scale[draws],
            self.factor_nu[draws],
            self.own_weights,
            response[draws],
            self.floor,
            factor_returns,
            specific,
        )
        return Scenarios(draws, factor_returns, specific, int(floored))

    def moments(self, horizon: int) -> Moments:
        """Return the exact law of the next `horizon` periods given each draw."""
        covariance = self.factor_scale @ self.factor_scale.swapaxes(-1, -2)
        covariance = covariance * variance_ratio(self.factor_nu)[:, None, None]
        variance = self.sigma**2 * variance_ratio(self.nu)

        def ahead(a: np.ndarray) -> np.ndarray:
            return np.broadcast_to(a[:, None], (a.shape[0], horizon, *a.shape[1:]))

        alpha, loadings, response = self.ahead
        return Moments(
            alpha=alpha,
            loadings=loadings,
            factor_mean=ahead(self.factor_location),
            factor_covariance=ahead(covariance),
            factor_nu=ahead(self.factor_nu[:, None]),
            specific_variance=ahead(variance),
            specific_nu=ahead(self.nu),
            own_weights=self.own_weights,
            own_response=response,
            block=np.zeros(self.factors.shape[0], dtype=int),
        )
