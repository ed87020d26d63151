"""VaR and ES given each posterior draw, exact: what posterior intervals of risk are made of."""

from dataclasses import dataclass

import numpy as np

from bayesfactor.errors import NumericalError
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.laws.terms import scale_ratio
from bayesfactor.risk.exact import Book
from bayesfactor.risk.student_cf import cf_table
from bayesfactor.risk.tails import tail_kernel

__all__ = ["ConditionalTails", "conditional_tails", "refuse_if_imprecise"]


@dataclass(frozen=True)
class ConditionalTails:
    """VaR, ES and contributions given each draw.

    Parameters
    ----------
    var, es : ndarray (level, draw)
    var_contribution, es_contribution : ndarray (draw, level, asset, component)
    var_mcse, es_mcse : ndarray (level)
        Largest numerical error seen when the quadrature is halved.
    """

    var: np.ndarray
    es: np.ndarray
    var_contribution: np.ndarray
    es_contribution: np.ndarray
    var_mcse: np.ndarray
    es_mcse: np.ndarray


def conditional_tails(book: Book, levels: np.ndarray) -> ConditionalTails:
    """Return exact tails of the horizon's loss given each draw.

    Raises
    ------
    NumericalError
        If ES is infinite (nu <= 1), or the quadrature's error exceeds a fifth of the posterior
        standard deviation.
    """
    m = book.moments
    low = min(float(m.factor_nu.min(initial=np.inf)), float(m.specific_nu.min(initial=np.inf)))
    if low <= 1.0:
        msg = (
            f"expected shortfall is infinite: a draw has nu = {low:.3g} <= 1. "
            "Use a prior that keeps nu above 2."
        )
        raise NumericalError(msg)
    scales, nus, repeat = _terms(book)
    tails = 1.0 - levels
    quantiles, beyond, at = _run(scales, nus, repeat, tails, coarse=False)
    few = np.linspace(0, len(scales) - 1, min(8, len(scales))).astype(int)
    rough, rough_beyond, _ = _run(scales[few], nus[few], repeat, tails, coarse=True)

    var_parts = _parts(book, at, scales, repeat, quantiles)
    es_parts = _parts(book, beyond, scales, repeat, None)
    var, es = var_parts.sum(axis=(2, 3)).T, es_parts.sum(axis=(2, 3)).T
    fine_y = (beyond[few] * scales[few][:, None, :]).sum(axis=2)
    rough_y = (rough_beyond * scales[few][:, None, :]).sum(axis=2)
    errors = np.abs(quantiles[few] - rough).max(axis=0), repeat * np.abs(fine_y - rough_y).max(axis=0)
    found = ConditionalTails(var, es, var_parts, es_parts, *errors)
    refuse_if_imprecise(found)
    return found


def refuse_if_imprecise(found: ConditionalTails) -> None:
    """Raise `NumericalError` if an error exceeds a fifth of the posterior standard deviation."""
    for name, values, error in (("var", found.var, found.var_mcse), ("es", found.es, found.es_mcse)):
        spread = values.std(axis=1)
        if not np.all(error <= 0.2 * spread + 1e-9 * np.abs(values).max()):
            msg = (
                f"the posterior of {name} is too imprecise: numerical error {error.max():.2g} against a "
                f"posterior sd of {spread.min():.2g}. Ask for levels further from 1."
            )
            raise NumericalError(msg)


def _terms(book: Book) -> tuple[np.ndarray, np.ndarray, int]:
    """Return scales and nus (draw, term) of the independent t's in the loss, and their repeats.

    The first terms of a period are the blocks of factors, each of which gives a t of its own; the
    others are the assets' innovations, where they are not part of a block. Periods that share one law
    are repeated, not listed.
    """
    m = book.moments
    alike = all(a.strides[1] == 0 or m.horizon == 1 for a in (m.factor_covariance, m.specific_variance))
    periods = 1 if alike else m.horizon
    terms = m.terms(book.exposures, book.bets, periods=periods)
    shape = (m.n_draws, -1)
    return terms.scale.reshape(shape), np.ascontiguousarray(terms.nu.reshape(shape)), m.horizon // periods


def _run(
    scales: np.ndarray, nus: np.ndarray, repeat: int, tails: np.ndarray, *, coarse: bool
) -> tuple[np.ndarray, ...]:
    n, terms = scales.shape
    quantiles = np.empty((n, len(tails)))
    beyond, at = np.empty((2, n, len(tails), terms))
    table, log_slopes = cf_table()

    def work(b: slice) -> None:
        tail_kernel(
            scales[b], nus[b], repeat, tails, table, log_slopes, coarse, quantiles[b], beyond[b], at[b]
        )

    for _ in run_blocks(work, slices(n, 10)):
        pass
    return quantiles, beyond, at


def _parts(
    book: Book, conditional: np.ndarray, scales: np.ndarray, repeat: int, total: np.ndarray | None
) -> np.ndarray:
    """Return (draw, level, asset, component) from E[T_j | tail event] of every term.

    `total`, where the sum of the terms is known exactly, rescales away the quadrature's error.
    """
    m = book.moments
    n, n_levels = conditional.shape[:2]
    n_assets, n_blocks = m.alpha.shape[1], m.factor_nu.shape[2]
    terms = n_blocks + (n_assets if m.joint < 0 else 0)
    periods = conditional.shape[2] // terms
    y = repeat * (conditional * scales[:, None, :])
    if total is not None:
        with np.errstate(invalid="ignore"):
            fix = np.where(total != 0.0, total / y.sum(axis=2), 1.0)
        y, conditional = y * fix[:, :, None], conditional * fix[:, :, None]
    shape = (n, n_levels, periods, terms)
    y, conditional = y.reshape(shape), conditional.reshape(shape)
    covariance, variance = m.along(book.exposures, periods, book.bets)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(variance > 0.0, 1.0 / variance, 0.0)
    # Within a block, E[x | its part of the loss] is linear in that part, for any elliptical law.
    factor = np.einsum("dlhb,dhkb->dlk", y[..., :n_blocks], covariance * share[:, :, None])
    if m.joint < 0:
        unit = np.sqrt(m.specific_variance[:, :periods] * scale_ratio(m.specific_nu[:, :periods]))
        specific = repeat * np.einsum("dlhi,dhi->dli", conditional[..., n_blocks:], unit)
        specific = specific * np.sign(book.bets)[:, None, :]
    else:
        slope = m.specific_variance[:, :periods] * share[:, :, m.joint, None]
        specific = np.einsum("dlh,dhi->dli", y[..., m.joint], slope) * book.bets[:, None, :]
    means = book.mean_parts()
    out = np.empty((n, n_levels, n_assets, factor.shape[2] + 2))
    for level in range(n_levels):
        out[:, level] = book.spread(factor[:, level], specific[:, level]) + means
    return out
