"""What one posterior draw of the static factor model says about data (numpy and numba only).

r_it = alpha_i + sum_k beta_ik f_kt + sigma_i e_it with e_it ~ t(nu_i), independent over i and t;
f_t follow a law of their own (`FactorLaw`). Cells with NaN contribute nothing. Assets stand in canonical
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
from bayesfactor.laws.draws import Common
from bayesfactor.laws.integrate import Integral
from bayesfactor.laws.marginal import elliptical_rows, sampled_rows
from bayesfactor.laws.own import add_up
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
def _add_specific(rng, sigma, nu, assets, out):
    for c in range(len(assets)):
        for d in range(sigma.shape[0]):
            scale = sigma[d, assets[c]] * mixing_scale(rng, nu[d, assets[c]])
            out[c, d] += scale * rng.standard_normal()


@dataclass(frozen=True)
class StaticLaw(Common):
    """The draws of one static fit, flattened over (chain, draw), in original units.

    Parameters
    ----------
    nu : ndarray (draw, asset)
        inf where the specific returns are normal.

    See `Common` for the rest.
    """

    given: ClassVar[str] = "factors"
    cells_are_dear: ClassVar[bool] = False

    nu: np.ndarray

    @classmethod
    def from_tree(cls, tree: xr.DataTree, draws: np.ndarray | None = None) -> "StaticLaw":
        """Read the law off a tree, all draws or those at the flat positions `draws`."""
        common = Common.read(tree, draws)
        found = common.pop("reader")
        has_nu = s.NU in found.posterior
        nu = found.flat(s.NU, s.ASSET) if has_nu else np.full_like(common["alpha"], np.inf)
        return cls(**common, nu=nu)

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

    def integrated_rows(self) -> Integral:
        """Return row log-likelihoods, which are exact here."""
        return Integral.exact(self.row_log_likelihood())

    def marginal_row_log_likelihood(self) -> Integral:
        """Return log p(r_t) with the factors integrated over their own law.

        By quadrature where returns are normal given the factors, else by importance sampling.
        """
        none, normal = np.zeros((*self.alpha.shape, 0)), np.full(self.n_draws, np.inf)
        if np.isinf(self.nu).all():
            return elliptical_rows(self, none, normal)
        return sampled_rows(self, none, normal, self.nu)

    def cell_log_likelihood(self, assets: slice, cells: np.ndarray | None = None) -> np.ndarray:
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
        return out if cells is None else out[cells]

    def pit(self, assets: slice, cells: np.ndarray) -> np.ndarray:
        """Return P(a return <= the observed one | factors of the day), (len(cells), draw)."""
        from scipy.special import ndtr, stdtr

        rows, times = (index[cells] for index in self._observed(assets))
        z = (self.returns[rows, times][:, None] - self._cell_mean(rows, times)) / self.sigma.T[rows]
        nu = self.nu.T[rows]
        return ndtr(z) if np.isinf(nu).all() else stdtr(nu, z)

    def replicate(self, rng: np.random.Generator, assets: slice) -> np.ndarray:
        """Draw each observed cell of some assets anew given the factors of its day, (cell, draw)."""
        rows, times = self._observed(assets)
        out = self._cell_mean(rows, times)
        _add_specific(rng, self.sigma, self.nu, rows, out)
        return out

    def simulate(self, rng: np.random.Generator, horizon: int, draws: slice | np.ndarray) -> Scenarios:
        """Draw one future of `horizon` periods for each posterior draw in `draws`."""
        no_latent = np.full(self.n_draws, np.inf)
        return self._simulate(rng, horizon, draws, self.ahead, nu=self.nu, latent_nu=no_latent)

    def moments(self, horizon: int, *, all_open: bool = False) -> Moments:
        """Return the exact law of the next `horizon` periods given each draw, see `Law`."""
        return self._moments(
            horizon,
            self.ahead,
            all_open=all_open,
            specific_variance=self.sigma**2 * variance_ratio(self.nu),
            specific_nu=self.nu,
        )
