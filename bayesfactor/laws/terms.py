"""A sum of independent one-dimensional laws: what a loss, or a move, is given a posterior draw."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Terms", "scale_ratio"]


@dataclass(frozen=True)
class Terms:
    """Independent terms of a sum, each a standardised t, perhaps skewed, times its standard deviation.

    Blocks of factors come first, then assets, where their innovations are not part of a block.

    Parameters
    ----------
    sd : ndarray (draw, period, term)
        Negative where the term is on the other side of a skewed law.
    nu : ndarray (draw, period, term)
        Degrees of freedom, inf of the normal.
    skew : ndarray (draw, period, term)
        Of Hansen's skewed t, 0 of the symmetric one.
    """

    sd: np.ndarray
    nu: np.ndarray
    skew: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """Scales of symmetric t's, not standard deviations (draw, period, term)."""
        return np.abs(self.sd) * np.sqrt(scale_ratio(self.nu))

    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sd, nu and skew with periods side by side (draw, term)."""
        shape = (len(self.sd), -1)
        return self.sd.reshape(shape), self.nu.reshape(shape), self.skew.reshape(shape)


def scale_ratio(nu: np.ndarray) -> np.ndarray:
    """Return squared scale over variance of a t."""
    return np.where(np.isinf(nu), 1.0, (nu - 2.0) / np.where(np.isinf(nu), 1.0, nu))
