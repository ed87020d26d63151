"""Series whose variances follow from the days before: their draws, and how a day moves them."""

from dataclasses import dataclass

import numpy as np

from bayesfactor.laws import skewed
from bayesfactor.laws.garch_days import filter_days

__all__ = ["Series", "State"]


@dataclass(frozen=True)
class Series:
    """Series with variances of their own: the specific returns of assets, or the factors' shocks.

    Parameters
    ----------
    location : ndarray (draw, series)
    response : ndarray (draw, series, factor)
        To the factors of the same day.
    own : ndarray (draw, 8, series)
        sigma, persistence, news share, leverage, nu, skew, and a and b of `skewed.shape`.
    scored : ndarray (series)
    initial : ndarray (series)
    """

    location: np.ndarray
    response: np.ndarray
    own: np.ndarray
    scored: np.ndarray
    initial: np.ndarray

    def block(self, draws: slice, series: slice = slice(None)) -> "Series":
        """Return some draws of some series."""
        return Series(
            np.ascontiguousarray(self.location[draws, series]),
            np.ascontiguousarray(self.response[draws, series]),
            np.ascontiguousarray(self.own[draws, :, series]),
            self.scored[series],
            self.initial[series],
        )

    def filter(
        self,
        values: np.ndarray,
        factors: np.ndarray,
        state: "State",
        *,
        by_series: bool = False,
        keep: bool = False,
    ) -> tuple["State", np.ndarray, np.ndarray, np.ndarray]:
        """Return the state after some days, log densities, and where wanted residuals and variances."""
        n_draws, n = self.location.shape
        n_times = values.shape[1]
        cells = np.zeros((n_draws, n if by_series else 1, n_times))
        shape = (n_draws, n, n_times) if keep else (0, 0, 0)
        residuals, path = np.empty(shape), np.empty(shape)
        after = State(state.variance.copy(), state.started.copy())
        filter_days(
            values, factors, self.location, self.response, self.scored, self.own,
            after.started, after.variance, cells, residuals, path,
        )  # fmt: skip
        return after, cells, residuals, path

    @property
    def first(self) -> "State":
        """The state before any day."""
        shape = self.location.shape
        return State(np.broadcast_to(self.initial, shape).copy(), np.zeros(shape[1], dtype=bool))

    def expected(self, variance: np.ndarray, horizon: int, opened: np.ndarray | None = None) -> np.ndarray:
        """Return E[h] of the next periods (draw, horizon, series), of which some have no news.

        Parameters
        ----------
        variance : ndarray (draw, series)
        horizon : int
        opened : ndarray of bool (horizon, series), optional
            Where there is news; everywhere if not given.
        """
        sigma, persistence, share, leverage, nu, skew = self.own.swapaxes(0, 1)[:6]
        chance, square = skewed.below_zero(nu, skew)
        # News is h times (1 - leverage) E[x] + 2 leverage E[x; z < 0], x being z^2 or the score: the score's
        # part below 0 is the chance of being there, because no change of scale changes that.
        falls = np.where(self.scored > 0.0, chance, square)
        drag = persistence * (1.0 - share + share * (1.0 - leverage + 2.0 * leverage * falls))
        out = np.empty((len(variance), horizon, variance.shape[1]))
        out[:, 0] = variance
        for h in range(1, horizon):
            kept = drag if opened is None else np.where(opened[h - 1], drag, persistence)
            out[:, h] = sigma**2 * (1.0 - persistence) + kept * out[:, h - 1]
        return out


@dataclass(frozen=True)
class State:
    """Variances of the next day (draw, series), and which series have begun."""

    variance: np.ndarray
    started: np.ndarray
