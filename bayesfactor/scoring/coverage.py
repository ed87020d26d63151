"""Whether losses exceed VaR as often as they should, and at any time alike.

Time is the first dim of every array; all others are series, treated apart. A hit is a loss above
VaR, and `alpha` (1 - level) is how often it should come. Days that were left out are not seen: the day
before is the last one that counts.
"""

from typing import Final

import numpy as np
from scipy import special, stats

__all__ = ["christoffersen", "dynamic_quantile", "kupiec"]

LAGS: Final = 4
_SINGULAR: Final = 1e-9


def kupiec(hits: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test that hits are as frequent as `alpha`: likelihood ratio and p.

    Parameters
    ----------
    hits : ndarray of bool (time, ...)
    alpha : ndarray
        Broadcast against the dims behind time.

    Returns
    -------
    statistic, p : ndarray (...)
        Chi-squared with 1 degree of freedom. Finite without hits too: 0 log 0 is 0.

    References
    ----------
    .. [1] Kupiec, P. H. (1995). Techniques for verifying the accuracy of risk measurement models.
       Journal of Derivatives 3(2).
    """
    n, x = len(hits), hits.sum(axis=0)
    statistic = 2.0 * (_log_likelihood(x, n, x / n) - _log_likelihood(x, n, alpha))
    return _clean(statistic), stats.chi2.sf(_clean(statistic), 1)


def christoffersen(hits: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, ...]:
    """Test that hits do not depend on the day before, alone and together with their frequency.

    Both likelihood ratios condition on the first day, so that the joint one is the sum of the other
    and of Kupiec's over the days from the second on.

    Parameters
    ----------
    hits : ndarray of bool (time, ...)
    alpha : ndarray
        Broadcast against the dims behind time.

    Returns
    -------
    independence, independence_p, conditional_coverage, conditional_coverage_p : ndarray (...)
        Chi-squared with 1 and 2 degrees of freedom. Without hits
        independence is 0, its p 1.

    References
    ----------
    .. [1] Christoffersen, P. F. (1998). Evaluating interval forecasts. International Economic Review
       39(4), section 3.
    """
    before, after = hits[:-1], hits[1:]
    n0, n1 = (~before).sum(axis=0), before.sum(axis=0)
    n01, n11 = (~before & after).sum(axis=0), (before & after).sum(axis=0)
    markov = _log_likelihood(n01, n0, n01 / np.maximum(n0, 1))
    markov = markov + _log_likelihood(n11, n1, n11 / np.maximum(n1, 1))
    x, n = n01 + n11, len(after)
    independence = _clean(2.0 * (markov - _log_likelihood(x, n, x / n)))
    joint = _clean(2.0 * (markov - _log_likelihood(x, n, alpha)))
    return independence, stats.chi2.sf(independence, 1), joint, stats.chi2.sf(joint, 2)


def dynamic_quantile(hits: np.ndarray, var: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test that hits less `alpha` cannot be foretold: out-of-sample dynamic quantile test.

    Regressors are a constant, the hits of the four days before, and the VaR forecast, all known the
    day before. What is collinear counts once: the degrees of freedom are the rank. At 99 % and a few
    hundred days there are few hits, and the test then rejects more often than it says.

    Parameters
    ----------
    hits : ndarray of bool (time, ...)
    var : ndarray (time, ...)
        Forecast of VaR.
    alpha : ndarray
        Broadcast against the dims behind time.

    Returns
    -------
    statistic, p : ndarray (...)
        Hit' X (X'X)^-1 X' Hit / (alpha (1 - alpha)), chi-squared with the rank of X.

    References
    ----------
    .. [1] Engle, R. F. and Manganelli, S. (2004). CAViaR: conditional autoregressive value at risk by
       regression quantiles. Journal of Business & Economic Statistics 22(4).
    """
    n = len(hits) - LAGS
    lagged = [hits[LAGS - k : LAGS - k + n].astype("float64") for k in range(1, LAGS + 1)]
    x = np.moveaxis(np.stack([*lagged, var[LAGS:]], axis=-1), 0, -2)
    # Centred, the others are at right angles to the constant, and a VaR that hardly moves still counts.
    size = np.abs(x).max(axis=-2, keepdims=True)
    x = x - x.mean(axis=-2, keepdims=True)
    norm = np.sqrt(np.square(x).sum(axis=-2, keepdims=True))
    moves = norm > _SINGULAR * size * np.sqrt(n)
    x = np.divide(x, norm, out=np.zeros_like(x), where=moves)
    surprise = np.moveaxis(hits[LAGS:] - alpha, 0, -1)
    values, vectors = np.linalg.eigh(np.swapaxes(x, -1, -2) @ x)
    along = np.einsum("...ij,...ni,...n->...j", vectors, x, surprise, optimize=True)
    kept = values > _SINGULAR
    explained = np.where(kept, np.square(along) / np.where(kept, values, 1.0), 0.0).sum(axis=-1)
    statistic = (n * np.square(surprise.mean(axis=-1)) + explained) / (alpha * (1.0 - alpha))
    return statistic, stats.chi2.sf(statistic, 1 + kept.sum(axis=-1))


def _log_likelihood(x: np.ndarray, n: np.ndarray | int, p: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of `x` hits out of `n` at rate `p`, without the binomial coefficient."""
    return special.xlogy(x, p) + special.xlog1py(n - x, -p)


def _clean(ratio: np.ndarray) -> np.ndarray:
    """Return a likelihood ratio without the rounding that makes a perfect fit negative."""
    return np.maximum(ratio, 0.0)
