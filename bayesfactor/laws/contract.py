"""What every law supplies: the protocol, and the two things it hands over."""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr

from bayesfactor.laws.integrate import Integral

__all__ = ["ChainedLaw", "Law", "Moments", "Scenarios"]


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


@dataclass(frozen=True)
class Moments:
    """The law of the next periods given each draw: independent elliptical t blocks per period.

    Given the draw, factors of one block are jointly t(`factor_nu`) with mean `factor_mean` and
    covariance `factor_covariance`; blocks, and periods, are independent. Innovations e_i with variance
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
        The block of each factor.
    joint : int
        The block whose mixing the innovations share, -1 where they have their own.
    shocks : ndarray (draw, factor, block), optional
        Where every block is one shock with unit weight on its own factor and others besides:
        factors are `factor_mean` + shocks @ u, u independent. None: blocks are groups of factors.
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

    @property
    def shock_variance(self) -> np.ndarray:
        """Variances of the independent shocks, where factors share them (draw, horizon, block)."""
        if self.shocks is None:
            msg = "blocks are groups of factors, not shocks."
            raise ValueError(msg)
        back = np.linalg.inv(self.shocks)
        return np.einsum("dbk,dhkl,dbl->dhb", back, self.factor_covariance, back)


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

    def advance(self, returns: np.ndarray, factors: np.ndarray, weights: np.ndarray) -> Self:
        """Return the law some days later, given their rows and the last own weights W.

        Its rows are those days'.
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

    def moments(self, horizon: int) -> Moments:
        """Return the exact law of the next periods given each draw."""
        ...


@runtime_checkable
class ChainedLaw(Protocol):
    """What a law supplies besides where its moments are `chained`."""

    def after(self, draw: int, variance: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the variance of the period after one with innovation z sqrt(variance).

        Series are the shocks of the factors, then the innovations of the assets; each goes its own way.

        Parameters
        ----------
        draw : int
            Flat position.
        variance : ndarray (series, state)
        z : ndarray (series, node)
            Standardised innovations.

        Returns
        -------
        ndarray (series, state, node)
        """
        ...
