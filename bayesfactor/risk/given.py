"""VaR and ES given each draw, by whatever way a book and its law allow."""

import numpy as np

from bayesfactor.errors import NumericalError, RiskError
from bayesfactor.forecast import Predictions
from bayesfactor.risk.asymmetric import asymmetric_tails
from bayesfactor.risk.conditional import ConditionalTails, conditional_tails
from bayesfactor.risk.exact import Book

__all__ = ["exact_tails", "linear_tails", "no_tails"]


def exact_tails(book: Book, levels: np.ndarray, found: Predictions, some: np.ndarray) -> ConditionalTails:
    """Return tails of a book without positions given each draw; raises where there are none."""
    if book.moments.elliptical:
        return conditional_tails(book, levels)
    return asymmetric_tails(book, levels, found.law, some)


def linear_tails(
    book: Book, levels: np.ndarray, found: Predictions, some: np.ndarray
) -> tuple[ConditionalTails, str]:
    """Return tails of a book without positions given each draw; where there are none NaN, and why.

    Parameters
    ----------
    book : Book
        Of the draws asked for.
    levels : ndarray (level)
    found : Predictions
    some : ndarray (draw)
        Flat positions of these draws in `found`.
    """
    if book.moments.elliptical:
        return conditional_tails(book, levels), ""
    try:
        return exact_tails(book, levels, found, some), ""
    except (RiskError, NumericalError) as error:
        return no_tails(book, levels), str(error)


def no_tails(book: Book, levels: np.ndarray) -> ConditionalTails:
    """Return NaN everywhere."""
    m = book.moments
    count = m.loadings.shape[2] + len(book.components)
    none = np.full((2, m.n_draws, len(levels), m.alpha.shape[1], count), np.nan)
    return ConditionalTails(*none[..., 0, 0].swapaxes(1, 2), *none, *none[:, 0, :, 0, 0])
