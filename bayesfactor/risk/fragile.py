"""How far a volatility can be trusted, and one that can be where tails are so fat that it cannot.

With nu near 2 a variance exists, is exact, and says nothing of what happens on most days: a term of it may
be of any size while quantiles hardly move.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bayesfactor.risk.exact import Book

__all__ = [
    "BARELY_FINITE",
    "CENTRAL",
    "FEW_DRAWS",
    "MUCH",
    "Fragile",
    "central_volatility",
    "few_draws",
    "fragile",
]

BARELY_FINITE: Final = 2.2
"""Below this nu a variance is more than eleven times the squared scale."""
MUCH: Final = 0.1
"""Share of a variance from which it is worth a warning that it barely exists, or rests on few draws."""
FEW_DRAWS: Final = 0.01
CENTRAL: Final = 0.99
"""Probability of the middle of the law that a volatility is read off too."""


@dataclass(frozen=True)
class Fragile:
    """Where a variance comes from that barely exists.

    Parameters
    ----------
    share : float
        Of the predictive variance, from terms whose nu is below `BARELY_FINITE` in their draw.
    factors : ndarray (block)
        The part of each block of factors.
    assets : ndarray (asset)
        The part of each innovation, canonical order.
    """

    share: float
    factors: np.ndarray
    assets: np.ndarray


def fragile(book: Book, volatility: float) -> Fragile:
    """Return the shares of the predictive variance that come from variances that barely exist.

    Parameters
    ----------
    book : Book
    volatility : float
        Predictive, of the book.
    """
    m = book.moments
    own = m.along(book.exposures)[1]
    bets = book.bets[:, None] ** 2 * m.specific_variance
    whole = volatility**2 if volatility > 0.0 else np.inf
    factors, assets = (
        np.where(nu < BARELY_FINITE, x, 0.0).sum(axis=1).mean(axis=0) / whole
        for x, nu in ((own, m.factor_nu), (bets, m.specific_nu))
    )
    return Fragile(float(factors.sum() + assets.sum()), factors, assets)


def few_draws(variance: np.ndarray) -> float:
    """Return the share of a mean variance (draw) that its largest `FEW_DRAWS` of the draws make.

    0 of fewer draws than that is one of.
    """
    ordered = np.sort(variance.ravel())[::-1]
    count, total = round(FEW_DRAWS * len(ordered)), ordered.sum()
    return float(ordered[:count].sum() / total) if total > 0.0 else 0.0


def central_volatility(losses: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the standard deviation of the central `CENTRAL` of losses (path, draw), and influence (draw).

    Of losses between their quantiles at (1 - CENTRAL) / 2 on either side. Influence: what a draw's paths move
    it by; its Monte-Carlo error is that of the number.
    """
    tail = 0.5 * (1.0 - CENTRAL)
    low, high = np.quantile(losses, [tail, 1.0 - tail])
    inside = losses[(losses >= low) & (losses <= high)]
    sd, mean = float(inside.std()), inside.mean()
    if sd == 0.0:
        return 0.0, np.zeros(losses.shape[1])
    # A quantile that moves takes scenarios at it in or out: they count as those there.
    return sd, ((np.clip(losses, low, high) - mean) ** 2).mean(axis=0) / (2.0 * sd * CENTRAL)
