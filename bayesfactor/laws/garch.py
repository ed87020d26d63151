"""What one posterior draw of the factor GARCH says about data (numpy and numba only).

r_it = alpha_i + sum_k beta_ik f_kt + e_it, e_it = sqrt(h_it) z_it with z standardised (skewed) t and

    h_i,t+1 = sigma_i^2 (1 - p_i) + p_i ((1 - s_i) h_it + s_i news_it)

(see `GarchSkewT`). Factor k is a series of the same kind given factors 1, ..., k - 1, so that factors are
shocks u with variances of their own, f = M (location + u), M = (I - response)^-1. Cells with NaN, and factors
whose market is closed, contribute nothing and leave the variance to its mean; a closed factor is 0.
Densities of a day are given the days before and its factors.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import ModelError
from bayesfactor.laws import skewed
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.laws.calendar import Calendar
from bayesfactor.laws.contract import Moments, Scenarios, by_period
from bayesfactor.laws.draws import Reader, reader
from bayesfactor.laws.garch_days import days_after, simulate_days
from bayesfactor.laws.garch_series import Series, State
from bayesfactor.laws.integrate import Integral
from bayesfactor.laws.own import add_up, own_weights

__all__ = ["GarchLaw"]

_NONE = np.zeros((0, 0, 0))


@dataclass(frozen=True)
class GarchLaw:
    """The draws of one GARCH fit, flattened over (chain, draw), in original units.

    Parameters
    ----------
    returns : ndarray (asset, time)
    factors : ndarray (factor, time)
    opened : ndarray of bool (factor, time)
        Whether each factor could move.
    calendar : Calendar
        Whether it can in the next periods.
    assets, shocks : Series
    own_weights : ndarray (factor, asset) or (0, asset)
    floor : bool
    now : tuple of State, optional
        Where assets and shocks stand after the last day; filtered from the first day if not given.
    passed : ndarray (draw, time), optional
        Log densities of the rows, where the first of them is not the first day of all.
    """

    given: ClassVar[str] = "past"
    cells_are_dear: ClassVar[bool] = False
    chained: ClassVar[bool] = True

    returns: np.ndarray
    factors: np.ndarray
    opened: np.ndarray
    calendar: Calendar
    assets: Series
    shocks: Series
    own_weights: np.ndarray
    floor: bool
    now: tuple[State, State] | None = None
    passed: np.ndarray | None = None

    @classmethod
    def from_tree(cls, tree: xr.DataTree, draws: np.ndarray | None = None) -> "GarchLaw":
        """Read the law off a tree."""
        read = reader(tree, draws)
        order = read.order
        response = read.flat(s.FACTOR_RESPONSE, s.FACTOR, s.FACTOR_OTHER)
        const = read.constant
        assets = Series(
            read.flat(s.ALPHA, s.ASSET),
            read.flat(s.LOADINGS, s.ASSET, s.FACTOR),
            _own(read, "", s.ASSET, s.SIGMA),
            const[s.SCORED].values[order].astype(float),
            const[s.INITIAL_VARIANCE].values[order].astype(float),
        )
        shocks = Series(
            read.flat(s.FACTOR_LOCATION, s.FACTOR),
            response,
            _own(read, "factor_", s.FACTOR, s.FACTOR_SCALE),
            const[s.FACTOR_SCORED].values.astype(float),
            const[s.INITIAL_FACTOR_VARIANCE].values.astype(float),
        )
        returns = read.rows(read.observed, s.RETURNS, s.ASSET)
        now = None
        if s.STATE in tree.children:
            known = np.isfinite(returns).any(axis=1)
            variances = (read.flat(s.VARIANCE, s.ASSET), read.flat(s.FACTOR_VARIANCE, s.FACTOR))
            now = State(variances[0], known), State(variances[1], np.ones(len(shocks.initial), dtype=bool))
        return cls(
            returns=returns,
            factors=read.rows(const, s.FACTOR_RETURNS, s.FACTOR),
            opened=read.opened,
            calendar=Calendar.of(read.observed[s.TIME].values, read.opened, read.traded),
            assets=assets,
            shocks=shocks,
            own_weights=own_weights(const, order),
            floor=read.floor,
            now=now,
        )

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return self.assets.location.shape[0]

    @property
    def loadings(self) -> np.ndarray:
        """Loadings on the factors (draw, asset, factor)."""
        return self.assets.response

    @cached_property
    def _filtered(self) -> tuple[tuple[State, State], np.ndarray]:
        """Where everything stands after the last day, and log densities of the days (draw, time)."""
        none = State(np.empty((0, 0)), np.empty(0, dtype=bool))
        states, rows = [none, none], np.empty((self.n_draws, self.returns.shape[1]))
        for which, (series, values) in enumerate(((self.assets, self.returns), (self.shocks, self.moves))):
            variance = np.empty(series.location.shape)

            def work(
                b: slice, series: Series = series, values: np.ndarray = values
            ) -> tuple[slice, State, np.ndarray]:
                part = series.block(b)
                after, cells, _, _ = part.filter(values, self.factors, part.first)
                return b, after, cells[:, 0]

            for b, after, cells in run_blocks(work, slices(self.n_draws, 64)):
                variance[b] = after.variance
                if which == 0:
                    rows[b] = cells
                states[which] = State(variance, after.started)
        return (states[0], states[1]), rows

    @property
    def moves(self) -> np.ndarray:
        """Factors on the days on which they could move, else NaN (factor, time)."""
        return np.where(self.opened, self.factors, np.nan)

    @property
    def state(self) -> tuple[State, State]:
        """Where assets and shocks stand after the last day."""
        return self._filtered[0] if self.now is None else self.now

    def advance(
        self,
        returns: np.ndarray,
        factors: np.ndarray,
        weights: np.ndarray,
        opened: np.ndarray | None = None,
    ) -> "GarchLaw":
        """Return the law some days later: rows (asset, time), (factor, time), and the last own weights W.

        Bit by bit what the law would be had it seen all days at once.
        """
        opened = np.ones(factors.shape, dtype=bool) if opened is None else opened
        assets, shocks = self.state
        after, cells, _, _ = self.assets.filter(returns, factors, assets)
        now = after, self.shocks.filter(np.where(opened, factors, np.nan), factors, shocks)[0]
        return replace(
            self,
            returns=returns,
            factors=factors,
            opened=opened,
            calendar=self.calendar.after(returns.shape[1]),
            own_weights=weights,
            now=now,
            passed=cells[:, 0],
        )

    def with_means(self, alpha: np.ndarray, factors: np.ndarray) -> "GarchLaw":
        """Return the law of the periods ahead with these expected returns, see `Law`; variances stay."""
        location = factors - np.einsum("dkl,dl->dk", self.shocks.response, factors)
        series = replace(self.assets, location=alpha), replace(self.shocks, location=location)
        return replace(self, assets=series[0], shocks=series[1], now=self.state)

    def state_variables(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return variances of the next day: name to (dim, values (draw, dim)), assets in canonical order."""
        assets, shocks = self.state
        return {s.VARIANCE: (s.ASSET, assets.variance), s.FACTOR_VARIANCE: (s.FACTOR, shocks.variance)}

    def mixing(self, opened: np.ndarray) -> np.ndarray:
        """Return M (draw, factor, shock) of days on which factors are `opened (factor)`."""
        return np.linalg.inv(np.eye(len(opened)) - opened[:, None] * self.shocks.response)

    @cached_property
    def ahead(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Alpha, loadings and response G that make the future add up."""
        return add_up(self.own_weights, self.assets.location, self.assets.response)

    def row_log_likelihood(self) -> np.ndarray:
        """Return log p(r_t | days before, factors of day t) (draw, time)."""
        return self._filtered[1] if self.passed is None else self.passed

    def factor_log_likelihood(self) -> np.ndarray:
        """Return log p(f_t | days before) of the factors that are open (draw, time)."""
        moves = self.moves
        rows = np.empty((self.n_draws, self.factors.shape[1]))

        def work(b: slice) -> tuple[slice, np.ndarray]:
            part = self.shocks.block(b)
            return b, part.filter(moves, self.factors, part.first)[1][:, 0]

        for b, cells in run_blocks(work, slices(self.n_draws, 64)):
            rows[b] = cells
        return rows

    def integrated_rows(self) -> Integral:
        """Return the same: there is no integral in it."""
        return Integral.exact(self.row_log_likelihood())

    def marginal_row_log_likelihood(self) -> Integral:
        """Refuse: a day that the days before are known of is not given nothing."""
        msg = (
            "rows of a model with volatility dynamics are given the past; there is no density given nothing. "
            "Compare such models by bf.backtest, or by az.lfo_cv through bf.FactorModelWrapper."
        )
        raise ModelError(msg)

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return latent factors: there are none (draw, time, 0)."""
        return np.empty((self.n_draws, self.returns.shape[1], 0))

    def specific(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return specific returns over their scale of the day (draw, asset, time), and the long-run scale."""
        out = np.full((self.n_draws, *self.returns.shape), np.nan)
        for i in range(len(self.returns)):
            rows, times, _, residuals, path = self._cells(slice(i, i + 1))
            out[:, i + rows, times] = (residuals / np.sqrt(path)).T
        return out, self.assets.own[:, 0]

    def _cells(self, assets: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return asset and time of observed cells; (cell, draw) log density, residual and variance."""
        self._refuse_if_moved()
        part = self.assets.block(slice(None), assets)
        values = self.returns[assets]
        rows, times = np.nonzero(np.isfinite(values))
        _, density, residuals, path = part.filter(values, self.factors, part.first, by_series=True, keep=True)
        if len(values) == 1:
            density = density.reshape(path.shape)
        return rows, times, density[:, rows, times].T, residuals[:, rows, times].T, path[:, rows, times].T

    def cell_log_likelihood(self, assets: slice, cells: np.ndarray | None = None) -> np.ndarray:
        """Return log p(r_it | days before, factors of day t) for observed cells (cell, draw)."""
        out = self._cells(assets)[2]
        return out if cells is None else out[cells]

    def pit(self, assets: slice, cells: np.ndarray) -> np.ndarray:
        """Return P(a return <= the observed one | days before, factors of the day), (len(cells), draw)."""
        rows, _, _, residuals, path = self._cells(assets)
        own = self.assets.own[:, :, assets]
        at = rows[cells]
        return skewed.cdf(residuals[cells] / np.sqrt(path[cells]), own[:, 4, at].T, own[:, 5, at].T)

    def replicate(self, rng: np.random.Generator, assets: slice) -> np.ndarray:
        """Draw each observed cell of some assets anew given the days before and its factors, (cell, draw)."""
        rows, times, _, residuals, path = self._cells(assets)
        own = self.assets.own[:, :, assets][:, :, rows].transpose(1, 2, 0)
        mean = self.returns[assets][rows, times][:, None] - residuals
        return mean + np.sqrt(path) * skewed.draws(rng, own[4], own[5], mean.shape)

    def simulate(self, rng: np.random.Generator, horizon: int, draws: slice | np.ndarray) -> Scenarios:
        """Draw one future of `horizon` periods for each posterior draw in `draws`."""
        alpha, loadings, response = (x[draws] for x in self.ahead)
        assets, shocks = self.state
        f = np.empty((len(alpha), horizon, len(self.factors)))
        e = np.empty((len(alpha), horizon, alpha.shape[1]))
        floored = simulate_days(
            rng, alpha, loadings, self.shocks.location[draws], self.shocks.response[draws],
            self.assets.scored, self.shocks.scored, self.assets.own[draws], self.shocks.own[draws],
            assets.variance[draws], shocks.variance[draws], self.calendar.ahead(horizon), self.own_weights,
            response, self.floor, f, e,
        )  # fmt: skip
        return Scenarios(draws, f, e, int(floored))

    def start(self, draws: np.ndarray | slice) -> np.ndarray:
        """Return the variance that each series has in the first period if it is open, see `ChainedLaw`."""
        assets, shocks = self.state
        return np.concatenate([shocks.variance[draws], assets.variance[draws]], axis=1)

    def after(self, draw: int, variance: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the variance of the period after one with innovation z, see `ChainedLaw`."""
        out = np.empty((*variance.shape, z.shape[1]))
        n = len(self.factors)
        for part, series in ((slice(None, n), self.shocks), (slice(n, None), self.assets)):
            days_after(variance[part], z[part], series.scored, series.own[draw], out[part])
        return out

    def moments(self, horizon: int, *, all_open: bool = False) -> Moments:
        """Return the law of the next period given each draw; of later ones, exact means and variances."""
        alpha, loadings, response = self.ahead
        assets, shocks = self.state
        opened = self.calendar.ahead(horizon)
        opened[0] |= all_open
        moved = by_period(self.mixing, opened)
        variance = self.shocks.expected(shocks.variance, horizon, opened) * opened
        covariance = np.einsum("dhkj,dhj,dhlj->dhkl", moved, variance, moved)
        mean = np.einsum("dhkj,hj,dj->dhk", moved, opened.astype(float), self.shocks.location)

        def repeated(a: np.ndarray) -> np.ndarray:
            return np.broadcast_to(a[:, None], (a.shape[0], horizon, *a.shape[1:]))

        def skew(series: Series) -> np.ndarray | None:
            return repeated(series.own[:, 5]) if series.own[:, 5].any() else None

        return Moments(
            alpha=alpha,
            loadings=loadings,
            factor_mean=mean,
            factor_covariance=covariance,
            factor_nu=repeated(self.shocks.own[:, 4]),
            specific_variance=self.assets.expected(assets.variance, horizon),
            specific_nu=repeated(self.assets.own[:, 4]),
            own_weights=self.own_weights,
            own_response=response,
            block=np.arange(len(self.factors)),
            shocks=moved,
            factor_skew=skew(self.shocks),
            specific_skew=skew(self.assets),
            chained=self.chained,
        )

    def _refuse_if_moved(self) -> None:
        if self.passed is not None:
            msg = "a law that was moved on knows its last period only; read it off the tree again."
            raise ModelError(msg)


def _own(read: Reader, prefix: str, dim: str, level: str) -> np.ndarray:
    """Return sigma, persistence, news share, leverage, nu, skew, a and b (draw, 8, series)."""
    found: list[np.ndarray] = []
    for name in (level, *(f"{prefix}{x}" for x in (s.PERSISTENCE, s.NEWS_SHARE, s.LEVERAGE, s.NU, s.SKEW))):
        found.append(read.flat(name, dim) if name in read.posterior else np.zeros_like(found[0]))
    return np.ascontiguousarray(np.stack([*found, *skewed.shapes(found[4], found[5])], axis=1))
