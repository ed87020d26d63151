"""The law of the next periods, opened up so that a scenario can change it, and paths of what it became.

Factors are f = centre + root x: the columns x are standardised (variance 1), elliptical within a block and
independent between blocks. Innovations are `spread` times standardised ones, which share the mixing of the
block `joint` if there is one. A scenario replaces some of these arrays; nothing else knows which law it was.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from bayesfactor.errors import NumericalError, RiskError
from bayesfactor.forecast import Predictions
from bayesfactor.laws import ChainedLaw, Moments, Scenarios, skewed

__all__ = ["FirstPeriod", "Shifted", "opened", "refuse_infinite"]

_TOGETHER: Final = 4


class FirstPeriod(Protocol):
    """Columns of the first period that depend on one another given a shock."""

    @property
    def mean(self) -> np.ndarray:
        """E[x] of the first period (draw, column)."""
        ...

    def draw(self, rng: np.random.Generator, draws: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return x (row, column) given the shock, of which `x` are draws without it."""
        ...


@dataclass(frozen=True)
class Shifted:
    """What a scenario makes of the next periods, given each draw.

    Parameters
    ----------
    moments : Moments
        Of the law as it was: alpha, loadings, what is common to all scenarios.
    centre : ndarray (draw, horizon, factor)
    root : ndarray (draw, horizon, factor, column)
    block : ndarray (column)
    nu, skew : ndarray (draw, horizon, block)
    spread, specific_nu, specific_skew : ndarray (draw, horizon, asset)
        Standard deviation, degrees of freedom and skew of innovations.
    replayed : ndarray (horizon, asset), optional
        Returns that are known, NaN where they are drawn.
    first : FirstPeriod, optional
    law : ChainedLaw, optional
        Says how one period changes the next, where it does.
    """

    moments: Moments
    centre: np.ndarray
    root: np.ndarray
    block: np.ndarray
    nu: np.ndarray
    skew: np.ndarray | None
    spread: np.ndarray
    specific_nu: np.ndarray
    specific_skew: np.ndarray | None
    replayed: np.ndarray | None = None
    first: FirstPeriod | None = None
    law: ChainedLaw | None = None

    @cached_property
    def expected(self) -> np.ndarray:
        """E[f] (draw, horizon, factor)."""
        if self.first is None:
            return self.centre
        out = self.centre.copy()
        out[:, 0] += np.einsum("dkc,dc->dk", self.root[:, 0], self.first.mean)
        return out

    def simulate(self, rng: np.random.Generator, draws: np.ndarray) -> Scenarios:
        """Draw one future for each of `draws`, floored at a return of -1.

        Parameters
        ----------
        rng : Generator
        draws : ndarray (row)
            Flat positions of posterior draws; any of them, any number of times.
        """
        m = self.moments
        mixing = _mixing(rng, self.nu[draws])
        x = _standardised(rng, mixing[..., self.block], self._factor_shape, draws)
        if self.first is not None:
            x[:, 0] = self.first.draw(rng, draws, x[:, 0])
        own = mixing[..., m.joint, None] if m.joint >= 0 else _mixing(rng, self.specific_nu[draws])
        shape = (*x.shape[:2], m.alpha.shape[1])
        z = _standardised(rng, np.broadcast_to(own, shape), self._specific_shape, draws)
        if self.law is None:
            f = self.centre[draws] + np.einsum("nhkc,nhc->nhk", self.root[draws], x)
            e = self.spread[draws] * z
        else:
            f, e = self._chained(draws, x, z)
        if len(m.own_weights):
            e = e - np.einsum("nik,nhk->nhi", m.own_response[draws], e @ m.own_weights.T)
        systematic = m.alpha[draws][:, None] + np.einsum("nhk,nik->nhi", f, m.loadings[draws])
        below = np.minimum(systematic + e + 1.0, 0.0)
        if self.replayed is not None:
            known = np.isfinite(self.replayed)
            e = np.where(known, np.where(known, self.replayed, 0.0) - systematic, e)
            below = np.where(known, 0.0, below)
        return Scenarios(draws, f, e - below, int((below < 0.0).sum()))

    def _chained(self, draws: np.ndarray, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return factors and innovations of periods of which each changes the variances of the next."""
        m, law = self.moments, self.law
        assert law is not None  # noqa: S101 - simulate asks
        variance, opened = law.start(slice(None)), m.shock_variance.any(axis=0)
        # What does not move on a day is no news of that day.
        both = np.concatenate([np.where(opened, x, np.nan), z], axis=2)
        scale = np.ones_like(both)
        order = np.argsort(draws, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(draws[order])) + 1):
            d = draws[rows[0]]
            start = variance[d][:, None]
            now = np.broadcast_to(start, (len(start), len(rows)))
            for h in range(1, both.shape[1]):
                now = _after(law, int(d), start if h == 1 else now, both[rows, h - 1].T)
                scale[rows, h] = np.sqrt(now / start).T
        n = x.shape[2]
        f = self.centre[draws] + np.einsum("nhkc,nhc->nhk", self.root[draws], x * scale[:, :, :n])
        return f, self.spread[draws, :1] * scale[:, :, n:] * z

    @cached_property
    def _factor_shape(self) -> tuple[np.ndarray, ...] | None:
        return _shape(self.nu, self.skew)

    @cached_property
    def _specific_shape(self) -> tuple[np.ndarray, ...] | None:
        return _shape(self.specific_nu, self.specific_skew)

    def with_mixing_known(self, period: int, square: np.ndarray, count: int) -> "Shifted":
        """Return the law once `count` factors of the block `joint` are known in a period.

        What they say about the mixing variable, specific returns share: their variance is multiplied by
        (nu - 2 + q) / (nu + p - 2), and nu becomes nu + p, with q the squared distance `square (draw)` in
        units of the covariance, p = `count`.
        """
        b = self.moments.joint
        wider = mixing_factor(self.nu[:, period, b], square, count)
        spread, own = self.spread.copy(), self.specific_nu.copy()
        spread[:, period] *= np.sqrt(wider)[:, None]
        own[:, period] += count
        nu = self.nu.copy()
        nu[:, period, b] += count
        return replace(self, spread=spread, specific_nu=own, nu=nu)


def mixing_factor(nu: np.ndarray, square: np.ndarray, count: int) -> np.ndarray:
    """Return by what a variance is multiplied once p coordinates at squared distance q are known.

    Ding (2016): the squared scale of the others by (nu + d) / (nu + p) with d = q nu / (nu - 2); in variances
    (nu - 2 + q) / (nu + p - 2), for the normal 1.
    """
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(nu), 1.0, (nu - 2.0 + square) / (nu + count - 2.0))


def opened(found: Predictions) -> Shifted:
    """Return the law of the next periods as it is.

    Raises
    ------
    NumericalError
        If a draw has nu <= 2, so that there is no variance, or nu <= 1, so that there is no expected
        shortfall.
    RiskError
        If one period changes the next and stored predictions do not say how.
    """
    m = found.moments
    refuse_infinite(m)
    law = None
    if m.chained and m.horizon > 1:
        if not isinstance(found.law, ChainedLaw):
            msg = (
                "over several periods, of which each changes the next, a scenario is simulated by the fit, "
                "not from stored predictions. Use the tree without its group 'predictions', or one period."
            )
            raise RiskError(msg)
        law = found.law
    if m.chained:
        variance = m.shock_variance if law is None else law.start(slice(None))[:, None, : len(m.block)]
        root = np.sqrt(variance * (m.shock_variance > 0.0))[:, :, None]
    else:
        root = _roots(m.shock_covariance)
    root = root if m.shocks is None else m.shocks * root if m.chained else m.shocks @ root
    return Shifted(
        moments=m,
        centre=m.factor_mean,
        root=root,
        block=m.block,
        nu=m.factor_nu,
        skew=m.factor_skew,
        spread=np.sqrt(m.specific_variance),
        specific_nu=m.specific_nu,
        specific_skew=m.specific_skew,
        law=law,
    )


def _roots(covariance: np.ndarray) -> np.ndarray:
    """Return lower Cholesky factors (draw, horizon, ...), made once where all periods are one.

    What does not move, a factor whose market is closed, has a row of zeros.
    """
    some = covariance[:, :1] if covariance.strides[1] == 0 else covariance
    still = np.diagonal(some, axis1=2, axis2=3) == 0.0
    root = np.linalg.cholesky(some + still[..., None] * np.eye(some.shape[2]))
    return np.broadcast_to(root * ~still[..., None], covariance.shape)


def refuse_infinite(m: Moments) -> None:
    """Raise `NumericalError` where a draw has no variance."""
    low = min(float(x.min(initial=np.inf)) for x in (m.factor_nu, m.specific_nu))
    if low <= 2.0:
        what = "expected shortfall is infinite" if low <= 1.0 else "variances are infinite"
        msg = f"{what}: a draw has nu = {low:.3g}. Use a prior that keeps nu above 2 (transform above_two)."
        raise NumericalError(msg)


def _after(law: ChainedLaw, draw: int, variance: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the variances (series, path) that follow, path by path; one column of `variance` is for all."""
    if variance.shape[1] == 1:
        return law.after(draw, variance, z)[:, 0]
    # The law crosses all variances with all innovations: few at a time waste little.
    pieces = (slice(a, a + _TOGETHER) for a in range(0, z.shape[1], _TOGETHER))
    found = [np.einsum("spp->sp", law.after(draw, variance[:, p], z[:, p])) for p in pieces]
    return np.concatenate(found, axis=1)


def _mixing(rng: np.random.Generator, nu: np.ndarray) -> np.ndarray:
    """Draw s such that s * standard normal is a t(nu) of variance 1."""
    finite = np.isfinite(nu)
    if not finite.any():
        return np.ones(nu.shape)
    half = 0.5 * np.where(finite, nu, 4.0)
    return np.where(finite, np.sqrt((half - 1.0) / rng.standard_gamma(half)), 1.0)


def _shape(nu: np.ndarray, skew: np.ndarray | None) -> tuple[np.ndarray, ...] | None:
    return None if skew is None else (skew, *skewed.shapes(np.minimum(nu, 1e6), skew))


def _standardised(
    rng: np.random.Generator, mixing: np.ndarray, shape: tuple[np.ndarray, ...] | None, draws: np.ndarray
) -> np.ndarray:
    """Draw standardised variables, one for each element of `mixing`."""
    y = mixing * rng.standard_normal(mixing.shape)
    if shape is None:
        return y
    skew, a, b = (v[draws] for v in shape)
    left = rng.random(y.shape) < 0.5 * (1.0 - skew)
    return np.asarray((np.where(left, skew - 1.0, 1.0 + skew) * np.abs(y) - a) / b)
