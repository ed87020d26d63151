"""VaR and ES given each posterior draw where the loss is no sum of independent symmetric t's.

Innovations may be skewed, and each period may change the variances of the next. The loss is still a sum of
independent series, one for each shock of the factors and one for each asset, each added up over the horizon.
"""

from typing import Final

import numpy as np

from bayesfactor.errors import RiskError
from bayesfactor.laws import ChainedLaw, Law
from bayesfactor.laws.blocks import run_blocks, thinned
from bayesfactor.risk.characteristic import series_table
from bayesfactor.risk.conditional import ConditionalTails, refuse_if_imprecise
from bayesfactor.risk.exact import Book
from bayesfactor.risk.inversion import tails_of_sum

__all__ = ["asymmetric_tails"]

_CHECKED: Final = 8
"""Draws on which the quadrature is repeated with half the nodes."""


def asymmetric_tails(book: Book, levels: np.ndarray, law: Law | None, draws: np.ndarray) -> ConditionalTails:
    """Return tails of the horizon's loss given each draw.

    Parameters
    ----------
    book : Book
        Of the draws asked for.
    levels : ndarray (level)
    law : Law, optional
        Needed over several periods.
    draws : ndarray (draw)
        Flat positions of these draws in `law`.

    Raises
    ------
    RiskError
        If there are several periods and no law that says how one changes the next.
    NumericalError
        If the quadrature's error exceeds a fifth of the posterior standard deviation.
    """
    m = book.moments
    if m.horizon > 1 and not isinstance(law, ChainedLaw):
        msg = (
            "over several periods, of which each changes the next, the posterior of VaR and ES is computed "
            "from the fit, not from stored predictions. Use the tree without its group 'predictions'."
        )
        raise RiskError(msg)
    chained = law if isinstance(law, ChainedLaw) else None
    loss, share, variance, nu, skew = _series(book, chained, draws)
    shut = np.zeros(share.shape[1:], dtype=bool)
    shut[:, : m.factor_nu.shape[2]] = ~m.shock_variance.any(axis=0)

    def one(d: int, *, coarse: bool) -> tuple[np.ndarray, ...]:
        terms = variance[d], nu[d], skew[d], share[d]
        found = series_table(chained, int(draws[d]), *terms, shut, coarse=coarse)
        return tails_of_sum(loss[d], *found, 1.0 - levels, coarse=coarse)

    def run(which: np.ndarray, *, coarse: bool) -> tuple[np.ndarray, ...]:
        found = run_blocks(lambda d: one(int(d), coarse=coarse), which)
        return tuple(np.stack(x) for x in zip(*found, strict=True))

    quantiles, beyond, at = run(np.arange(m.n_draws), coarse=False)
    few = thinned(m.n_draws, _CHECKED)
    rough, rough_beyond, _ = run(few, coarse=True)
    with np.errstate(invalid="ignore"):
        at = at * np.where(quantiles != 0.0, quantiles / at.sum(axis=2), 1.0)[..., None]
    var_parts, es_parts = (_parts(book, loss, x) for x in (at, beyond))
    found = ConditionalTails(
        var=var_parts.sum(axis=(2, 3)).T,
        es=es_parts.sum(axis=(2, 3)).T,
        var_contribution=var_parts,
        es_contribution=es_parts,
        var_mcse=np.abs(quantiles[few] - rough).max(axis=0),
        es_mcse=np.abs((beyond[few] - rough_beyond).sum(axis=2)).max(axis=0),
    )
    refuse_if_imprecise(found)
    return found


def _shocks(book: Book) -> np.ndarray:
    """Return what each shock moves (draw, horizon, factor, shock)."""
    if book.moments.shocks is None:
        msg = "skewed factors are made of independent shocks; these moments name none."
        raise RiskError(msg)
    return book.moments.shocks


def _series(book: Book, law: ChainedLaw | None, draws: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return loss per unit of each series, and what that is of it in each period, variances, nus and skews.

    Loss, variance of the first period, nu and skew are (draw, series); shares (draw, horizon, series) are 1
    but where a factor is closed, which neither moves nor hands on what others do.
    """
    m = book.moments
    towards = np.einsum("dk,dhkb->dhb", book.exposures, _shocks(book)) * (m.shock_variance > 0.0)
    nu = np.concatenate([m.factor_nu[:, 0], m.specific_nu[:, 0]], axis=1)
    skew, n = np.zeros_like(nu), towards.shape[2]
    if m.factor_skew is not None:
        skew[:, :n] = m.factor_skew[:, 0]
    if m.specific_skew is not None:
        skew[:, n:] = m.specific_skew[:, 0]
    largest = np.abs(towards).argmax(axis=1)[:, None]
    loss = np.take_along_axis(towards, largest, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(loss != 0.0, towards / loss, 1.0)
    share = np.concatenate([share, np.ones((*share.shape[:2], m.alpha.shape[1]))], axis=2)
    if law is None or m.horizon == 1:
        variance = np.concatenate([m.shock_variance[:, 0], m.specific_variance[:, 0]], axis=1)
        variance = np.where(variance > 0.0, variance, 1.0)  # of a closed factor, whose loss is 0
    else:
        variance = law.start(draws)
    return -np.concatenate([loss[:, 0], book.bets], axis=1), share, variance, nu, skew


def _parts(book: Book, loss: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return (draw, level, asset, component) from each series' part of the loss (draw, level, series)."""
    m, shocks = book.moments, _shocks(book)
    n = m.factor_nu.shape[2]
    # What a shock brings is shared among periods in proportion to their share of its variance.
    towards = np.einsum("dk,dhkb->dhb", book.exposures, shocks) * m.shock_variance
    moved = np.einsum("dhkb,dhb->dkb", shocks, towards)
    whole = np.einsum("dk,dkb->db", book.exposures, moved)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_loss = np.where(whole != 0.0, 1.0 / whole, 0.0)
        means = given[..., n:] * np.where(loss[:, n:] != 0.0, 1.0 / loss[:, n:], 0.0)[:, None]
    factor = np.einsum("dkb,dlb,db->dlk", moved, given[..., :n], per_loss)
    linear = [book.spread(factor[:, v], -means[:, v]) for v in range(given.shape[1])]
    return np.stack(linear, axis=1) + book.mean_parts()[:, None]
