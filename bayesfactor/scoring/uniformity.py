"""Whether the probabilities that were forecast for what came are uniform, and independent.

Time is the first dim of every array; all others are series, treated apart.
"""

from typing import Final

import numpy as np
from scipy import special, stats

__all__ = ["berkowitz", "kolmogorov_smirnov"]

_EDGE: Final = 1e-6
"""Simulated forecasts give a PIT of 0 or 1, whose normal score is infinite."""


def kolmogorov_smirnov(pit: np.ndarray) -> np.ndarray:
    """Return the p of the Kolmogorov-Smirnov test that `pit` (time, ...) is uniform.

    It takes the days for independent; the exact law of the statistic is used.

    References
    ----------
    .. [1] Diebold, F. X., Gunther, T. A. and Tay, A. S. (1998). Evaluating density forecasts.
       International Economic Review 39(4).
    """
    n = len(pit)
    ordered = np.sort(pit, axis=0)
    rank = np.arange(n).reshape(-1, *([1] * (pit.ndim - 1)))
    distance = np.maximum((rank + 1) / n - ordered, ordered - rank / n).max(axis=0)
    return np.asarray(stats.kstwo.sf(distance, n))


def berkowitz(pit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test that normal scores of `pit` (time, ...) have mean 0, variance 1 and no autocorrelation.

    The likelihood is that of an AR(1), given the first day. PITs are held a millionth away from 0
    and 1.

    Returns
    -------
    statistic, p : ndarray (...)
        Likelihood ratio, chi-squared with 3 degrees of freedom.

    References
    ----------
    .. [1] Berkowitz, J. (2001). Testing density forecasts, with applications to risk management.
       Journal of Business & Economic Statistics 19(4).
    """
    z = special.ndtri(np.clip(pit, _EDGE, 1.0 - _EDGE))
    before, after = z[:-1], z[1:]
    x, y = before - before.mean(axis=0), after - after.mean(axis=0)
    xx, xy, yy = (x * x).sum(axis=0), (x * y).sum(axis=0), (y * y).sum(axis=0)
    n = len(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (yy - xy * xy / xx) / n
        statistic = (after * after).sum(axis=0) - n * np.log(variance) - n
    statistic = np.where(xx > 0.0, np.maximum(statistic, 0.0), np.nan)
    return statistic, stats.chi2.sf(statistic, 3)
