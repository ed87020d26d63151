"""What every law supplies: the protocol, and the two things it hands over."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr

from bayesfactor.laws.integrate import Integral
from bayesfactor.laws.terms import Terms

__all__ = ["ChainedLaw", "Law", "Moments", "Scenarios", "by_period"]


@dataclass(frozen=True)
class Scenarios:
    """Simulated futures of a block of posterior draws, one per draw.

    Parameters
    ----------
    draws : slice or ndarray
        Flat positions of the posterior draws.
    factor_returns : ndarray (draw, horizon, factor)
    specific_returns : ndarray (draw, horizon, asset)
    floored : int
        How many simulated asset returns were floored at -1.
    """

    draws: slice | np.ndarray
    factor_returns: np.ndarray
    specific_returns: np.ndarray
    floored: int = 0


def by_period(of: Callable[[np.ndarray], np.ndarray], opened: np.ndarray) -> np.ndarray:
    """Return `of` each period (draw, horizon, ...), held once where periods are alike.

    Parameters
    ----------
    of : callable
        Which factors are open (factor) -> ndarray (draw, ...).
    opened : ndarray of bool (horizon, factor)
    """
    kinds, place = np.unique(opened, axis=0, return_inverse=True)
    found = [of(kind) for kind in kinds]
    if len(found) == 1:
        return np.broadcast_to(found[0][:, None], (len(found[0]), len(opened), *found[0].shape[1:]))
    return np.stack([found[k] for k in place.ravel()], axis=1)


@dataclass(frozen=True)
class Moments:
    """The law of the next periods given each draw: independent elliptical t blocks per period.

    Given the draw, shocks of one block are jointly t(`factor_nu`) and factors are `factor_mean` + M u, with
    covariance `factor_covariance`; blocks, and periods, are independent. A factor that is closed in a period
    has mean and covariance 0 there. Innovations e_i with variance
    `specific_variance` are uncorrelated: independent t(`specific_nu`), or, where `joint` names a block,
    jointly t with it. `nu = inf` is the normal. Where factors are portfolios W of the panel's own
    assets, specific returns are e - G (W e), which W maps to 0.

    Parameters
    ----------
    alpha : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
    factor_mean : ndarray (draw, horizon, factor)
    factor_covariance : ndarray (draw, horizon, factor, factor)
    factor_nu : ndarray (draw, horizon, block)
    specific_variance, specific_nu : ndarray (draw, horizon, asset)
    own_weights : ndarray (factor, asset) or (0, asset)
        W, with rows of zeros for factors given from outside.
    own_response : ndarray (draw, asset, factor) or (draw, asset, 0)
        G, with W G = I on the factors that W forms.
    block : ndarray (factor)
        The block of each factor's own shock.
    joint : int
        The block whose mixing the innovations share, -1 where they have their own.
    shocks : ndarray (draw, horizon, factor, factor), optional
        M, what the shock of each factor moves: 1 on its own factor, and others besides. None: M = I.
    factor_skew : ndarray (draw, horizon, block), optional
    specific_skew : ndarray (draw, horizon, asset), optional
        Of Hansen's skewed t. None: symmetric laws.
    chained : bool
        Whether what happens in one period changes the variances of later ones. Their expectations are
        still exact, the independence of periods is not.
    """

    alpha: np.ndarray
    loadings: np.ndarray
    factor_mean: np.ndarray
    factor_covariance: np.ndarray
    factor_nu: np.ndarray
    specific_variance: np.ndarray
    specific_nu: np.ndarray
    own_weights: np.ndarray
    own_response: np.ndarray
    block: np.ndarray
    joint: int = -1
    shocks: np.ndarray | None = None
    factor_skew: np.ndarray | None = None
    specific_skew: np.ndarray | None = None
    chained: bool = False

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return self.alpha.shape[0]

    @property
    def horizon(self) -> int:
        """Number of periods."""
        return self.factor_mean.shape[1]

    def take(self, draws: np.ndarray) -> "Moments":
        """Return the same law for some of the draws."""
        fixed = ("own_weights", "block", "joint", "chained")
        names = [f for f in self.__dataclass_fields__ if f not in fixed and getattr(self, f) is not None]
        return replace(self, **{f: getattr(self, f)[draws] for f in names})

    @property
    def elliptical(self) -> bool:
        """Whether the loss given a draw is a sum of independent symmetric t's."""
        skewed = self.factor_skew is not None or self.specific_skew is not None
        return not (skewed or (self.chained and self.horizon > 1))

    @cached_property
    def shock_covariance(self) -> np.ndarray:
        """Covariance of the shocks u (draw, horizon, factor, factor); 0 between blocks and where closed."""
        if self.shocks is None:
            return self.factor_covariance
        alike = self.shocks.strides[1] == 0 and self.factor_covariance.strides[1] == 0
        periods = slice(0, 1) if alike else slice(None)
        back = np.linalg.inv(self.shocks[:, periods])
        found = back @ self.factor_covariance[:, periods] @ back.swapaxes(-1, -2)
        found = found * np.equal.outer(self.block, self.block)
        return np.broadcast_to(found, (len(found), self.horizon, *found.shape[2:]))

    @property
    def shock_variance(self) -> np.ndarray:
        """Variances of the shocks (draw, horizon, factor)."""
        return np.diagonal(self.shock_covariance, axis1=2, axis2=3)

    @property
    def moving(self) -> np.ndarray:
        """Positions of the factors that are open in any of the periods."""
        return np.flatnonzero(np.diagonal(self.factor_covariance, axis1=2, axis2=3).any(axis=(0, 1)))

    def of_factors(self, which: np.ndarray) -> "Moments":
        """Return the same law without the factors that are not in `which`, none of which moves."""
        if len(which) == self.loadings.shape[2]:
            return self
        both = np.ix_(which, which)
        return replace(
            self,
            loadings=self.loadings[:, :, which],
            factor_mean=self.factor_mean[:, :, which],
            factor_covariance=self.factor_covariance[:, :, *both],
            block=self.block[which],
            shocks=None if self.shocks is None else self.shocks[:, :, *both],
        )

    def along(
        self, exposures: np.ndarray, periods: int | None = None, bets: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the blocks' shares of b'f are, b being `exposures (draw, factor)`.

        Parameters
        ----------
        exposures : ndarray (draw, factor)
        periods : int, optional
            Of the first periods only.
        bets : ndarray (draw, asset), optional
            Of the innovations, which count where they are part of a block.

        Returns
        -------
        covariance : ndarray (draw, period, factor, block)
            cov(f, the share of a block).
        variance : ndarray (draw, period, block)
            Of the shares, which are independent.
        """
        some = slice(periods)
        member = np.equal.outer(self.block, np.arange(self.factor_nu.shape[2])).astype(float)
        if self.shocks is None:
            towards, moved = exposures[:, None], None
        else:
            moved = self.shocks[:, some]
            towards = np.einsum("dk,dhkc->dhc", exposures, moved)
        covariance = self.shock_covariance[:, some]
        towards = np.broadcast_to(towards, covariance.shape[:3])
        share = np.einsum("dhkc,dhc->dhk", covariance, towards)
        parts = share[..., None] * member
        variance = np.einsum("dhcb,dhc->dhb", parts, towards)
        if moved is not None:
            parts = np.einsum("dhkc,dhcb->dhkb", moved, parts)
        if bets is not None and self.joint >= 0:
            own = np.einsum("dhi,di->dh", self.specific_variance[:, some], bets**2)
            variance[:, :, self.joint] += own
        return parts, variance

    def terms(
        self, exposures: np.ndarray, bets: np.ndarray | None = None, *, periods: int | None = None
    ) -> Terms:
        """Return the independent terms of exposures'(f - E f) + bets'e.

        Parameters
        ----------
        exposures : ndarray (draw, factor)
        bets : ndarray (draw, asset), optional
            Of the innovations, where they count.
        periods : int, optional
            Of the first periods only.
        """
        some = slice(periods)
        variance = self.along(exposures, periods, bets)[1]
        sd, nu = np.sqrt(np.maximum(variance, 0.0)), self.factor_nu[:, some]
        if self.shocks is not None and self.shocks.shape[3] == sd.shape[2]:  # a skewed shock has a side
            sd = np.copysign(sd, np.einsum("dk,dhkb->dhb", exposures, self.shocks[:, some]))
        skew = np.zeros(nu.shape) if self.factor_skew is None else self.factor_skew[:, some]
        if bets is not None and self.joint < 0:
            own = bets[:, None] * np.sqrt(self.specific_variance[:, some])
            of_own = np.zeros(own.shape) if self.specific_skew is None else self.specific_skew[:, some]
            sd = np.concatenate([sd, own], axis=2)
            nu = np.concatenate([nu, self.specific_nu[:, some]], axis=2)
            skew = np.concatenate([skew, of_own], axis=2)
        return Terms(sd, nu, skew)


class Law(Protocol):
    """What a posterior draw says about data and about the future, whatever the structure."""

    @property
    def given(self) -> str:
        """What a row's log-likelihood is conditional on: `factors`, `nothing` or `past`."""
        ...

    chained: ClassVar[bool]
    """Whether variances follow the days before. Where they do not, the law of the next period is the same
    after a crash as after a calm day: a forecast is of a typical day of the window."""
    cells_are_dear: ClassVar[bool]
    """Whether each cell's log-likelihood, given the rest of its day, takes importance sampling."""

    @classmethod
    def from_tree(cls, tree: xr.DataTree, draws: np.ndarray | None = None) -> Self:
        """Read the law off a tree."""
        ...

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        ...

    @property
    def returns(self) -> np.ndarray:
        """Rows of assets (asset, time), NaN where there is no return."""
        ...

    @property
    def factors(self) -> np.ndarray:
        """Rows of observed factors (factor, time)."""
        ...

    @property
    def opened(self) -> np.ndarray:
        """When each of them could move (factor, time): closed, it is 0 and missing information."""
        ...

    @property
    def loadings(self) -> np.ndarray:
        """Loadings on observed factors (draw, asset, factor)."""
        ...

    def row_log_likelihood(self) -> np.ndarray:
        """Return (draw, time)."""
        ...

    def factor_log_likelihood(self) -> np.ndarray:
        """Return log p(f_t), of models with dynamics given the days before, (draw, time)."""
        ...

    def integrated_rows(self) -> Integral:
        """Return the same with the error of an integral, where there is one."""
        ...

    def marginal_row_log_likelihood(self) -> Integral:
        """Return (draw, time) with everything integrated out that the day shows: given nothing."""
        ...

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return latent factors of each day given its returns (draw, time, latent)."""
        ...

    @property
    def own_weights(self) -> np.ndarray:
        """Last weights W of factors made of the assets themselves (factor, asset), or (0, asset)."""
        ...

    @property
    def ahead(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Alpha, loadings and the response G to own factors that make the future add up."""
        ...

    def specific(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return specific returns over their scale (draw, asset, time), and the scale (draw, asset).

        Latent factors of a day are drawn given its returns. NaN where there is no return.
        """
        ...

    def cell_log_likelihood(self, assets: slice, cells: np.ndarray | None = None) -> np.ndarray:
        """Return (cell, draw) for the observed cells of some assets, or some of these cells."""
        ...

    def pit(self, assets: slice, cells: np.ndarray) -> np.ndarray:
        """Return P(a return <= the observed one), (len(cells), draw).

        `cells` are positions in the first dim of `cell_log_likelihood(assets)`.
        """
        ...

    def replicate(self, rng: np.random.Generator, assets: slice) -> np.ndarray:
        """Draw each observed cell of some assets anew, one per posterior draw, (cell, draw)."""
        ...

    def advance(
        self,
        returns: np.ndarray,
        factors: np.ndarray,
        weights: np.ndarray,
        opened: np.ndarray | None = None,
    ) -> Self:
        """Return the law some days later, given their rows and the last own weights W.

        Its rows are those days'. `opened (factor, time)` says where factors could move, everywhere by
        default.
        """
        ...

    def with_means(self, alpha: np.ndarray, factors: np.ndarray) -> Self:
        """Return the law of the periods ahead with other expected returns.

        Parameters
        ----------
        alpha : ndarray (draw, asset)
        factors : ndarray (draw, factor)
            Of the observed factors; latent ones have none.
        """
        ...

    def state_variables(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return where each draw stands after the last day: name to (dim, values (draw, dim)), canonical."""
        ...

    def simulate(self, rng: np.random.Generator, horizon: int, draws: slice | np.ndarray) -> Scenarios:
        """Draw one future per posterior draw; a draw that is named often has as many."""
        ...

    def moments(self, horizon: int, *, all_open: bool = False) -> Moments:
        """Return the exact law of the next periods given each draw.

        Closed factors do not move; with `all_open`, no market is closed in the first period.
        """
        ...


@runtime_checkable
class ChainedLaw(Protocol):
    """What a law supplies besides where its moments are `chained`."""

    def start(self, draws: np.ndarray | slice) -> np.ndarray:
        """Return the variance that each series has in the first period if it is open (draw, series)."""
        ...

    def after(self, draw: int, variance: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the variance of the period after one with innovation z sqrt(variance).

        Series are the shocks of the factors, then the innovations of the assets; each goes its own way.

        Parameters
        ----------
        draw : int
            Flat position.
        variance : ndarray (series, state)
        z : ndarray (series, node)
            Standardised innovations, NaN where a factor is closed.

        Returns
        -------
        ndarray (series, state, node)
        """
        ...
