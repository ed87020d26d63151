"""What one posterior draw says when latent factors are sampled and every asset has a tail of its own.

r_it = alpha_i + beta_i'f_t + lambda_i'z_t + sigma_i e_it, e_it ~ t(nu_i), z_t ~ multivariate t(latent_nu, I).
Row densities are marginal, with z_t integrated out: given the z_t that were sampled along, a row says nothing
of how well it would have been foreseen.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.laws.contract import Moments, Scenarios
from bayesfactor.laws.draws import Common
from bayesfactor.laws.integrate import Cells, Integral, Integrand, integrate, integrate_cells
from bayesfactor.laws.marginal import sampled_rows
from bayesfactor.laws.own import add_up
from bayesfactor.laws.student import variance_ratio

__all__ = ["ScoresLaw"]


@dataclass(frozen=True)
class ScoresLaw(Common):
    """The draws of one fit with sampled latent factors, flattened over (chain, draw).

    Parameters
    ----------
    latent : ndarray (draw, asset, latent)
    nu : ndarray (draw, asset)
    latent_nu : ndarray (draw)
        inf where latent factors are normal.
    sampled : ndarray (draw, time, latent)
    given : str
        `factors` where there are observed ones, else `nothing`.

    See `Common` for the rest.
    """

    cells_are_dear: ClassVar[bool] = True

    latent: np.ndarray
    nu: np.ndarray
    latent_nu: np.ndarray
    sampled: np.ndarray
    given: str

    @classmethod
    def from_tree(cls, tree: xr.DataTree, draws: np.ndarray | None = None) -> "ScoresLaw":
        """Read the law off a tree, all draws or those at the flat positions `draws`."""
        common = Common.read(tree, draws)
        found = common.pop("reader")
        normal = np.full(len(common["alpha"]), np.inf)
        return cls(
            **common,
            latent=found.flat(s.LATENT_LOADINGS, s.ASSET, s.LATENT),
            nu=found.flat(s.NU, s.ASSET),
            latent_nu=found.flat(s.LATENT_NU) if s.LATENT_NU in found.posterior else normal,
            sampled=found.flat(s.FACTOR_SCORES, s.TIME, s.LATENT),
            given="factors" if len(common["factors"]) else "nothing",
        )

    @property
    def _given_factors(self) -> Integrand:
        return Integrand(
            self.filled,
            self.seen,
            self.factors,
            self.alpha,
            self.sigma,
            self.nu,
            self.loadings,
            self.latent,
            np.zeros(self.latent.shape[2], dtype=np.int64),
            self.latent_nu[:, None],
        )

    def row_log_likelihood(self) -> np.ndarray:
        """Return log p(r_t | observed factors of day t) per draw and row, (draw, time)."""
        return self.integrated_rows().log_density

    def integrated_rows(self) -> Integral:
        """Return the same with the error of the importance sampling it comes from."""
        return integrate(self._given_factors)

    def marginal_row_log_likelihood(self) -> Integral:
        """Return log p(r_t), observed and latent factors integrated out by importance sampling."""
        if not len(self.factors):
            return self.integrated_rows()
        return sampled_rows(self, self.latent, self.latent_nu, self.nu)

    def _cells(self, assets: slice, cells: np.ndarray | None) -> Cells:
        rows, times = self._observed(assets)
        if cells is not None:
            rows, times = rows[cells], times[cells]
        return integrate_cells(self._given_factors, rows, times)

    def cell_log_likelihood(self, assets: slice, cells: np.ndarray | None = None) -> np.ndarray:
        """Return log p(r_it | the other returns of day t, observed factors), (cell, draw)."""
        return self._cells(assets, cells).log_density

    def pit(self, assets: slice, cells: np.ndarray) -> np.ndarray:
        """Return P(a return <= the observed one | the other returns of its day), (len(cells), draw)."""
        return self._cells(assets, cells).probability

    def replicate(self, rng: np.random.Generator, assets: slice) -> np.ndarray:
        """Draw each observed cell of some assets anew given the observed factors, (cell, draw)."""
        rows, times = self._observed(assets)
        out = self._cell_mean(rows, times)

        def student(nu: np.ndarray) -> np.ndarray:
            shape = np.broadcast_to(0.5 * np.where(np.isinf(nu), 1.0, nu), out.shape)
            mixing = np.where(np.isinf(nu), 1.0, np.sqrt(shape / rng.standard_gamma(shape)))
            return mixing * rng.standard_normal(out.shape)

        length = np.sqrt((self.latent**2).sum(axis=2)).T[rows]
        return out + length * student(self.latent_nu) + self.sigma.T[rows] * student(self.nu.T[rows])

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return latent factors of each day given its returns (draw, time, latent)."""
        return self.sampled

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
        return self._simulate(rng, horizon, draws, self.ahead, nu=self.nu, latent_nu=self.latent_nu)

    def moments(self, horizon: int, *, all_open: bool = False) -> Moments:
        """Return the exact law of the next `horizon` periods given each draw, see `Law`."""
        return self._moments(
            horizon,
            self.ahead,
            all_open=all_open,
            latent_nu=self.latent_nu,
            specific_variance=self.sigma**2 * variance_ratio(self.nu),
            specific_nu=self.nu,
        )
