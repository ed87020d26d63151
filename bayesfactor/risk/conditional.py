"""VaR and ES given each posterior draw, exact: what posterior intervals of risk are made of."""

from dataclasses import dataclass

import numpy as np

from bayesfactor.errors import NumericalError
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.risk.exact import Book
from bayesfactor.risk.student_cf import cf_table
from bayesfactor.risk.tails import tail_kernel

__all__ = ["ConditionalTails", "conditional_tails"]


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
    for name, values, error in (("var", var, errors[0]), ("es", es, errors[1])):
        spread = values.std(axis=1)
        if np.any(error > 0.2 * spread + 1e-9 * np.abs(values).max()):
            msg = (
                f"the posterior of {name} is too imprecise: numerical error {error.max():.2g} against a "
                f"posterior sd of {spread.min():.2g}. Ask for levels further from 1."
            )
            raise NumericalError(msg)
    return ConditionalTails(var, es, var_parts, es_parts, *errors)


def _terms(book: Book) -> tuple[np.ndarray, np.ndarray, int]:
    """Return scales and nus (draw, term) of the independent t's in the loss, and their repeats.

    The first term of a period is the factors' part, -b'f, which is a t of its own; the others
    are the assets' innovations. Periods that share one law are repeated, not listed.
    """
    m = book.moments
    alike = all(a.strides[1] == 0 or m.horizon == 1 for a in (m.factor_covariance, m.specific_variance))
    periods = 1 if alike else m.horizon
    factor = np.einsum("dk,dhkl,dl->dh", book.exposures, m.factor_covariance[:, :periods], book.exposures)
    factor = np.sqrt(np.maximum(factor, 0.0) * _scale_ratio(m.factor_nu[:, :periods]))
    specific = np.sqrt(m.specific_variance[:, :periods] * _scale_ratio(m.specific_nu[:, :periods]))
    specific = specific * np.abs(book.bets)[:, None, :]
    scales = np.concatenate([factor[:, :, None], specific], axis=2).reshape(m.n_draws, -1)
    nus = np.concatenate([m.factor_nu[:, :periods, None], m.specific_nu[:, :periods]], axis=2)
    return scales, np.ascontiguousarray(nus.reshape(m.n_draws, -1)), m.horizon // periods


def _scale_ratio(nu: np.ndarray) -> np.ndarray:
    """Return squared scale over variance of a t."""
    return np.where(np.isinf(nu), 1.0, (nu - 2.0) / np.where(np.isinf(nu), 1.0, nu))


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
    n_assets = m.alpha.shape[1]
    periods = conditional.shape[2] // (n_assets + 1)
    y = repeat * (conditional * scales[:, None, :])
    if total is not None:
        with np.errstate(invalid="ignore"):
            fix = np.where(total != 0.0, total / y.sum(axis=2), 1.0)
        y, conditional = y * fix[:, :, None], conditional * fix[:, :, None]
    shape = (n, n_levels, periods, n_assets + 1)
    y, conditional = y.reshape(shape), conditional.reshape(shape)
    covariance = np.einsum("dhkl,dl->dhk", m.factor_covariance[:, :periods], book.exposures)
    variance = np.einsum("dhk,dk->dh", covariance, book.exposures)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(variance[..., None] > 0.0, covariance / variance[..., None], 0.0)
    # E[-(f - mean) | -b'f] is linear in -b'f for any elliptical law.
    factor = np.einsum("dlh,dhk->dlk", y[..., 0], slope)
    unit = np.sqrt(m.specific_variance[:, :periods] * _scale_ratio(m.specific_nu[:, :periods]))
    specific = (
        repeat * np.einsum("dlhi,dhi->dli", conditional[..., 1:], unit) * np.sign(book.bets)[:, None, :]
    )
    means = book.mean_parts()
    out = np.empty((n, n_levels, n_assets, factor.shape[2] + 2))
    for level in range(n_levels):
        out[:, level] = book.spread(factor[:, level], specific[:, level]) + means
    return out
