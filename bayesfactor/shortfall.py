"""VaR and ES of equally likely losses: the one estimator, wherever a tail is averaged."""

import math

import numpy as np

__all__ = ["tail_of", "tail_weights"]


def tail_of(losses: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return VaR and ES of equally likely losses (scenario, ...), along the first dim.

    With m = n (1 - level), VaR is the k-th largest loss, k = m rounded up, and ES

        (sum of the k - 1 largest + (m - k + 1) VaR) / m,

    the least value of Rockafellar and Uryasev's objective: where m is no whole number, a fraction of the loss
    at VaR counts. The mean of k losses would be too small, by 4 to 12 % at 99 % of a window of days.

    Parameters
    ----------
    losses : ndarray (scenario, ...)
        Positive where something is lost.
    level : float
        Confidence level.

    Returns
    -------
    var, es : ndarray (...)

    References
    ----------
    .. [1] Rockafellar, R. T. and Uryasev, S. (2002). Conditional value-at-risk for general loss
       distributions. Journal of Banking and Finance 26, proposition 8.
    """
    n = len(losses)
    mass, k = _tail(n, level)
    part = np.partition(losses, n - k, axis=0)
    var = part[n - k]
    return var, (part[n - k + 1 :].sum(axis=0) + (mass - k + 1) * var) / mass


def tail_weights(losses: np.ndarray, level: float) -> np.ndarray:
    """Return the weight of each loss (scenario) in ES, sum 1: what a part of ES is an average with.

    Losses equal to VaR share what is left of the tail.
    """
    mass, _ = _tail(len(losses), level)
    var = tail_of(losses, level)[0]
    beyond, at = losses > var, losses == var
    return (beyond + at * ((mass - beyond.sum()) / at.sum())) / mass


def _tail(n: int, level: float) -> tuple[float, int]:
    """Return how many of n losses are in the tail, and that rounded up."""
    # 1000 (1 - 0.99) is 10.000000000000009 in floating point, and no eleventh loss belongs to it.
    mass = round(n * (1.0 - level), 6)
    mass = mass if mass > 0.0 else n * (1.0 - level)
    return mass, max(1, math.ceil(mass))
