"""What one posterior draw says when latent factors are integrated out (numpy and numba only).

r_t - alpha - B f_t ~ multivariate t(nu, Lambda Lambda' + diag sigma^2) over the assets seen on day t: latent
factors and specific returns of a day share one mixing variable. Observed factors have a law of their
own (`FactorLaw`). Assets stand in canonical order throughout.
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
from bayesfactor.laws.marginal import elliptical_rows
from bayesfactor.laws.own import add_up
from bayesfactor.laws.student import variance_ratio
from bayesfactor.laws.woodbury import factorise

__all__ = ["LowRankLaw"]

_LOG_2PI = math.log(2.0 * math.pi)


@njit(cache=True, nogil=True, error_model="numpy")
def _scores(returns, seen, factors, pattern, alpha, loadings, latent, sigma, scores, squares, log_det):
    """Fill M^-1 v `scores (draw, time, latent)`, e'S^-1 e `squares` and log |S| `log_det (draw, time)`."""
    n_assets, n_times = returns.shape
    n_latent = latent.shape[2]
    e, v, x = np.empty(n_times), np.empty((n_latent, n_times)), np.empty(n_latent)
    for d in range(alpha.shape[0]):
        place, _, inverse, dets, _, _ = factorise(seen, pattern, latent[d], sigma[d])
        q = squares[d]
        q[:] = 0.0
        v[:] = 0.0
        for i in range(n_assets):
            e[:] = alpha[d, i]
            for k in range(factors.shape[0]):
                b = loadings[d, i, k]
                for t in range(n_times):
                    e[t] += b * factors[k, t]
            shrink = 1.0 / (sigma[d, i] * sigma[d, i])
            for t in range(n_times):
                e[t] = (returns[i, t] - e[t]) * seen[i, t]
                q[t] += shrink * e[t] * e[t]
            for k in range(n_latent):
                a = shrink * latent[d, i, k]
                for t in range(n_times):
                    v[k, t] += a * e[t]
        for t in range(n_times):
            m = inverse[place[t]]
            log_det[d, t] = dets[place[t]]
            for k in range(n_latent):
                x[k] = 0.0
                for j in range(n_latent):
                    x[k] += m[k, j] * v[j, t]
                q[t] -= x[k] * v[k, t]
            for k in range(n_latent):
                scores[d, t, k] = x[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _log_density(squares, log_det, counts, nu, out):
    for d in range(squares.shape[0]):
        v = nu[d]
        for t in range(squares.shape[1]):
            n = counts[t]
            if n == 0.0:
                out[d, t] = 0.0
            elif math.isinf(v):
                out[d, t] = -0.5 * (squares[d, t] + log_det[d, t] + n * _LOG_2PI)
            else:
                const = math.lgamma(0.5 * (v + n)) - math.lgamma(0.5 * v) - 0.5 * n * math.log(v * math.pi)
                out[d, t] = const - 0.5 * log_det[d, t] - 0.5 * (v + n) * math.log1p(squares[d, t] / v)


@njit(cache=True, nogil=True, error_model="numpy")
def _given_the_others(
    returns, seen, factors, pattern, alpha, loadings, latent, sigma, nu, scores, squares, assets, z, size, df
):
    """Fill (cell, draw) of each cell given the rest of its day: standardised value, log scale, nu."""
    n_times, n_latent = returns.shape[1], latent.shape[2]
    counts = seen.sum(axis=0)
    a = np.empty(n_latent)
    for d in range(alpha.shape[0]):
        place, _, inverse, _, _, _ = factorise(seen, pattern, latent[d], sigma[d])
        cell = 0
        for i in assets:
            shrink = 1.0 / (sigma[d, i] * sigma[d, i])
            for t in range(n_times):
                if seen[i, t] == 0.0:
                    continue
                e = returns[i, t] - alpha[d, i]
                for k in range(factors.shape[0]):
                    e -= loadings[d, i, k] * factors[k, t]
                m = inverse[place[t]]
                taken = 0.0
                for k in range(n_latent):
                    e -= latent[d, i, k] * scores[d, t, k]
                    a[k] = 0.0
                    for j in range(n_latent):
                        a[k] += m[k, j] * latent[d, i, j]
                    taken += latent[d, i, k] * a[k]
                precision = shrink * (1.0 - shrink * taken)
                g = shrink * e
                spread = 1.0 / precision
                df[cell, d] = math.inf
                if not math.isinf(nu[d]):
                    df[cell, d] = nu[d] + counts[t] - 1.0
                    spread *= (nu[d] + squares[d, t] - g * g / precision) / df[cell, d]
                z[cell, d] = g / (precision * math.sqrt(spread))
                size[cell, d] = 0.5 * math.log(spread)
                cell += 1


@dataclass(frozen=True)
class LowRankLaw(Common):
    """The draws of one fit with latent factors integrated out, flattened over (chain, draw).

    Parameters
    ----------
    latent : ndarray (draw, asset, latent)
    nu : ndarray (draw)
        inf where rows are normal.
    given : str
        `factors` where there are observed ones, else `nothing`.

    See `Common` for the rest.
    """

    cells_are_dear: ClassVar[bool] = False

    latent: np.ndarray
    nu: np.ndarray
    given: str

    @classmethod
    def from_tree(cls, tree: xr.DataTree, draws: np.ndarray | None = None) -> "LowRankLaw":
        """Read the law off a tree, all draws or those at the flat positions `draws`."""
        common = Common.read(tree, draws)
        found = common.pop("reader")
        n, n_assets = common["alpha"].shape
        latent = np.zeros((n, n_assets, 0))
        if s.LATENT_LOADINGS in found.posterior:
            latent = found.flat(s.LATENT_LOADINGS, s.ASSET, s.LATENT)
        nu = found.flat(s.NU) if s.NU in found.posterior else np.full(n, np.inf)
        given = "factors" if len(common["factors"]) else "nothing"
        return cls(**common, latent=latent, nu=nu, given=given)

    @cached_property
    def _known(self) -> tuple[np.ndarray, ...]:
        return self.filled, self.seen, self.factors, self.pattern

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E[z_t | r_t] (draw, time, latent), squared distances and log |S| (draw, time)."""
        shape = (self.n_draws, self.returns.shape[1])
        scores, squares, log_det = np.empty((*shape, self.latent.shape[2])), np.empty(shape), np.empty(shape)

        def work(b: slice) -> None:
            draws = (self.alpha[b], self.loadings[b], self.latent[b], self.sigma[b])
            _scores(*self._known, *draws, scores[b], squares[b], log_det[b])

        for _ in run_blocks(work, slices(self.n_draws, 64)):
            pass
        return scores, squares, log_det

    def row_log_likelihood(self) -> np.ndarray:
        """Return log p(r_t | observed factors of day t) per draw and row, (draw, time)."""
        _, squares, log_det = self._rows
        out = np.empty_like(squares)
        _log_density(squares, log_det, self.seen.sum(axis=0), self.nu, out)
        return out

    def integrated_rows(self) -> Integral:
        """Return row log-likelihoods, which are exact here."""
        return Integral.exact(self.row_log_likelihood())

    def marginal_row_log_likelihood(self) -> Integral:
        """Return log p(r_t), observed factors integrated over their own law, exact up to quadrature."""
        if not len(self.factors):
            return self.integrated_rows()
        return elliptical_rows(self, self.latent, self.nu)

    def _cells(self, assets: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return standardised value, log scale and nu of cells given the rest of their day (cell, draw)."""
        which = np.arange(*assets.indices(len(self.returns)))
        shape = (int(self.seen[which].sum()), self.n_draws)
        z, size, df = np.empty(shape), np.empty(shape), np.empty(shape)
        scores, squares, _ = self._rows
        draws = (self.alpha, self.loadings, self.latent, self.sigma, self.nu)
        _given_the_others(*self._known, *draws, scores, squares, which, z, size, df)
        return z, size, df

    def cell_log_likelihood(self, assets: slice, cells: np.ndarray | None = None) -> np.ndarray:
        """Return log p(r_it | the other returns of day t, observed factors), (cell, draw)."""
        from scipy.special import gammaln

        z, size, df = (x if cells is None else x[cells] for x in self._cells(assets))
        if np.isinf(df).all():
            return -0.5 * (z * z + _LOG_2PI) - size
        const = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(df * math.pi)
        return const - size - 0.5 * (df + 1.0) * np.log1p(z * z / df)

    def pit(self, assets: slice, cells: np.ndarray) -> np.ndarray:
        """Return P(a return <= the observed one | the other returns of its day), (len(cells), draw)."""
        from scipy.special import ndtr, stdtr

        z, _, df = (x[cells] for x in self._cells(assets))
        return ndtr(z) if np.isinf(df).all() else stdtr(df, z)

    def replicate(self, rng: np.random.Generator, assets: slice) -> np.ndarray:
        """Draw each observed cell of some assets anew given the observed factors, (cell, draw)."""
        rows, times = self._observed(assets)
        out = self._cell_mean(rows, times)
        size = np.sqrt(self.sigma**2 + (self.latent**2).sum(axis=2)).T[rows]
        mixing = np.ones((1, self.n_draws))
        if not np.isinf(self.nu).all():
            mixing = np.sqrt(0.5 * self.nu / rng.standard_gamma(0.5 * self.nu, size=out.shape))
        return out + size * mixing * rng.standard_normal(out.shape)

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Draw latent factors of each day given its returns, one per posterior draw (draw, time, latent)."""
        mean, squares, _ = self._rows
        out = np.empty_like(mean)
        counts = self.seen.sum(axis=0)
        for d in range(self.n_draws):
            place, _, inverse, _, _, _ = factorise(self.seen, self.pattern, self.latent[d], self.sigma[d])
            chol = np.linalg.cholesky(inverse)[place]
            normal = np.einsum("tkl,tl->tk", chol, rng.standard_normal(mean.shape[1:]))
            df = self.nu[d] + counts
            if not math.isinf(self.nu[d]):
                spread = (self.nu[d] + squares[d]) / df * (0.5 * df / rng.standard_gamma(0.5 * df))
                normal *= np.sqrt(spread)[:, None]
            out[d] = mean[d] + normal
        return out

    def specific(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return specific returns over their scale (draw, asset, time), and the scale (draw, asset)."""
        left, scale = super().specific(rng)
        shared = self.latent @ self.scores(rng).swapaxes(1, 2)
        return left - shared / scale[:, :, None], scale

    @cached_property
    def ahead(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Alpha, loadings on observed and latent factors, and G, that make the future add up."""
        return add_up(self.own_weights, self.alpha, self.loadings, self.latent)

    def simulate(self, rng: np.random.Generator, horizon: int, draws: slice | np.ndarray) -> Scenarios:
        """Draw one future of `horizon` periods for each posterior draw in `draws`."""
        nu = np.broadcast_to(self.nu[:, None], self.alpha.shape)
        return self._simulate(rng, horizon, draws, self.ahead, nu=nu, latent_nu=self.nu, joint=True)

    def moments(self, horizon: int, *, all_open: bool = False) -> Moments:
        """Return the exact law of the next `horizon` periods given each draw, see `Law`."""
        nu = self.nu[:, None]
        return self._moments(
            horizon,
            self.ahead,
            all_open=all_open,
            latent_nu=self.nu,
            specific_variance=self.sigma**2 * variance_ratio(nu),
            specific_nu=np.repeat(nu, self.alpha.shape[1], axis=1),
            joint=True,
        )
