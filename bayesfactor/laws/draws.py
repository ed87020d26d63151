"""What all laws with observed factors hold: draws read off a tree, flat, in canonical order."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numba import njit

from bayesfactor import schema as s
from bayesfactor.errors import SchemaError
from bayesfactor.laws.blocks import slices
from bayesfactor.laws.calendar import Calendar
from bayesfactor.laws.contract import Moments, Scenarios, by_period
from bayesfactor.laws.factors import FactorLaw, block_of_each
from bayesfactor.laws.future import simulate
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
    def opened(self) -> np.ndarray:
        """When each observed factor could move (factor, time): always, where the tree does not say."""
        if s.FACTOR_OPEN in self.constant:
            return self.constant[s.FACTOR_OPEN].transpose(s.FACTOR, s.TIME).values.astype(bool)
        return np.ones((self.constant.sizes[s.FACTOR], self.observed.sizes[s.TIME]), dtype=bool)

    @property
    def traded(self) -> np.ndarray:
        """On which days any asset has a return (time)."""
        return self.observed[s.RETURNS].notnull().any(s.ASSET).values

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


def _factor_law(read: Reader) -> FactorLaw:
    """Read the law of the observed factors."""
    correlation = read.flat(s.FACTOR_CORRELATION, s.FACTOR, s.FACTOR_OTHER)
    nu = np.full((len(correlation), 1), np.inf)
    block = block_of_each(read.constant)
    if s.FACTOR_NU in read.posterior:
        dims = [d for d in (s.BLOCK,) if d in read.posterior[s.FACTOR_NU].dims]
        nu = read.flat(s.FACTOR_NU, *dims).reshape(len(correlation), -1)
    nu = np.repeat(nu, block.max() + 1, axis=1) if nu.shape[1] == 1 else nu
    location, scale = (read.flat(name, s.FACTOR) for name in (s.FACTOR_LOCATION, s.FACTOR_SCALE))
    return FactorLaw.of_correlation(location, scale, correlation, nu, block)


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
    observed : FactorLaw
        The law of the observed factors.
    opened : ndarray of bool (factor, time)
        Whether each factor could move.
    calendar : Calendar
        Whether it can in the next periods.
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
    observed: FactorLaw
    opened: np.ndarray
    calendar: Calendar
    own_weights: np.ndarray
    floor: bool

    @staticmethod
    def read(tree: xr.DataTree, draws: np.ndarray | None = None) -> dict[str, Any]:
        """Return the fields by name, and under `reader` what reads further variables."""
        read = reader(tree, draws)
        const, flat = read.constant, read.flat
        alpha = flat(s.ALPHA, s.ASSET)
        loadings, observed = np.zeros((*alpha.shape, 0)), FactorLaw.none(len(alpha))
        if const.sizes[s.FACTOR]:
            loadings, observed = flat(s.LOADINGS, s.ASSET, s.FACTOR), _factor_law(read)
        opened = read.opened
        found = {"loadings": loadings, "observed": observed, "opened": opened}
        found["calendar"] = Calendar.of(read.observed[s.TIME].values, opened, read.traded)
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
    def factor_location(self) -> np.ndarray:
        """Centre of the factors' law (draw, factor)."""
        return self.observed.location

    @property
    def factor_scale(self) -> np.ndarray:
        """Roots of the scale matrices of the factors' own shocks (draw, factor, factor)."""
        return self.observed.scale

    @property
    def factor_nu(self) -> np.ndarray:
        """Degrees of freedom of each block of factors (draw, block)."""
        return self.observed.nu

    @property
    def days_alike(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Days on which the same factors were open: their positions, and which factors (factor)."""
        which = patterns(self.opened.astype("float64"))
        return [(np.flatnonzero(which == day), self.opened[:, int(day)]) for day in np.unique(which)]

    @cached_property
    def _kept(self) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
        return {}

    def _on_days(self, opened: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return centre and spread of the factors' law on one kind of day, made once for all paths."""
        if opened.tobytes() not in self._kept:
            self._kept[opened.tobytes()] = self.observed.centre(opened), self.observed.spread(opened)
        return self._kept[opened.tobytes()]

    def factor_centre(self, opened: np.ndarray) -> np.ndarray:
        """Return returns at the centre of the factors' law, of which some are `opened` (draw, asset)."""
        return self.alpha + np.einsum("dik,dk->di", self.loadings, self.observed.centre(opened))

    def factor_log_likelihood(self) -> np.ndarray:
        """Return log p(f_t) of the factors that are open, (draw, time)."""
        out = np.empty((self.n_draws, self.factors.shape[1]))
        for b in slices(self.n_draws, 64):
            out[b] = self.observed.take(b).log_density(self.factors, self.opened)
        return out

    def advance(
        self,
        returns: np.ndarray,
        factors: np.ndarray,
        weights: np.ndarray,
        opened: np.ndarray | None = None,
    ) -> Self:
        """Return the law after some more days: no day changes it, own weights W and the calendar apart."""
        calendar = self.calendar.after(returns.shape[1])
        opened = np.ones(factors.shape, dtype=bool) if opened is None else opened
        return replace(
            self, returns=returns, factors=factors, opened=opened, own_weights=weights, calendar=calendar
        )

    def with_means(self, alpha: np.ndarray, factors: np.ndarray) -> Self:
        """Return the law of the periods ahead with these expected returns, see `Law`."""
        return replace(self, alpha=alpha, observed=replace(self.observed, location=factors))

    def state_variables(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return where each draw stands after the last day: nowhere in particular."""
        return {}

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return latent factors of each day given its returns (draw, time, latent)."""
        return np.empty((self.n_draws, self.returns.shape[1], 0))

    def specific(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return specific returns over their scale (draw, asset, time), and the scale (draw, asset)."""
        left = self.returns - self.alpha[:, :, None] - self.loadings @ self.factors
        return left / self.sigma[:, :, None], self.sigma

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
        kinds, place = np.unique(self.calendar.ahead(horizon), axis=0, return_inverse=True)
        laws = [self._on_days(kind) for kind in kinds]
        factor_returns = np.empty((len(alpha), horizon, loadings.shape[2]))
        specific = np.empty((len(alpha), horizon, alpha.shape[1]))
        floored = simulate(
            rng,
            alpha,
            loadings,
            self.sigma[draws],
            nu[draws],
            np.stack([centre[draws] for centre, _ in laws]),
            np.stack([spread[draws] for _, spread in laws]),
            place.ravel(),
            self.observed.block,
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
        all_open: bool = False,
    ) -> Moments:
        """Return moments of the next periods: blocks of observed factors, and latent ones another."""
        alpha, loadings, response = ahead
        law, n_factors = self.observed, loadings.shape[2]
        n_observed = len(self.factors)
        opened = self.calendar.ahead(horizon)
        opened[0] |= all_open
        blocks = [law.nu] if n_observed else []
        blocks += [latent_nu[:, None]] if latent_nu is not None else []
        last = sum(b.shape[1] for b in blocks) - 1

        def mean(kind: np.ndarray) -> np.ndarray:
            latent = np.zeros((self.n_draws, n_factors - n_observed))
            return np.concatenate([law.centre(kind), latent], axis=1)

        def covariance(kind: np.ndarray) -> np.ndarray:
            out = np.zeros((self.n_draws, n_factors, n_factors))
            out[:, :n_observed, :n_observed] = law.covariance(kind)
            if latent_nu is not None:
                latent = range(n_observed, n_factors)
                out[:, latent, latent] = variance_ratio(latent_nu)[:, None]
            return out

        def shocks(kind: np.ndarray) -> np.ndarray:
            out = np.broadcast_to(np.eye(n_factors), (self.n_draws, n_factors, n_factors)).copy()
            out[:, :n_observed, :n_observed] = law.moved(kind)
            return out

        def repeated(a: np.ndarray) -> np.ndarray:
            return np.broadcast_to(a[:, None], (a.shape[0], horizon, *a.shape[1:]))

        return Moments(
            alpha=alpha,
            loadings=loadings,
            factor_mean=by_period(mean, opened),
            factor_covariance=by_period(covariance, opened),
            factor_nu=repeated(np.concatenate(blocks, axis=1)),
            specific_variance=repeated(specific_variance),
            specific_nu=repeated(specific_nu),
            own_weights=self.own_weights,
            own_response=response,
            block=np.concatenate([law.block, np.full(n_factors - n_observed, last)]),
            joint=last if joint else -1,
            shocks=by_period(shocks, opened) if law.response.any() else None,
        )
