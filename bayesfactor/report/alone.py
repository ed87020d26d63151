"""What each part would risk alone: exposures to factors, and standalone volatility, exact per draw.

A factor k alone makes a portfolio with exposure b_k as volatile as |b_k| sd(f_k); an asset alone is the
portfolio of that one position. Pooled numbers follow the law of total variance, as `Book.volatility`.
"""

from dataclasses import dataclass

import numpy as np

from bayesfactor import schema as s
from bayesfactor.forecast import Predictions
from bayesfactor.laws.blocks import thinned
from bayesfactor.risk.exact import Book

__all__ = ["Alone", "assets_alone", "factors_alone", "groups_alone"]

_DRAWS = 400


@dataclass(frozen=True)
class Alone:
    """Parts by themselves; volatilities are over the horizon, of fractions of the portfolio's value.

    Parameters
    ----------
    labels : ndarray (part)
    volatility : ndarray (part)
        Pooled over draws.
    unit : ndarray (part)
        Volatility of one unit: of the factor itself, or of the asset.
    exposure : ndarray (draw, part)
        Loading of the portfolio on a factor; the weight of an asset or group, one draw of it.
    """

    labels: np.ndarray
    volatility: np.ndarray
    unit: np.ndarray
    exposure: np.ndarray

    def take(self, positions: np.ndarray) -> "Alone":
        """Return some of the parts."""
        labels, volatility, unit = self.labels[positions], self.volatility[positions], self.unit[positions]
        return Alone(labels, volatility, unit, self.exposure[:, positions])


def factors_alone(found: Predictions, weights: np.ndarray) -> Alone:
    """Return every factor by itself, then what no factor explains, and drift; `weights` as in the panel.

    Of `specific` and `drift` an exposure has no meaning and is NaN. Given a draw, drift is certain: pooled,
    its volatility is what is not known about alpha.
    """
    m, labels = found.moments, found.labels
    book = Book(m, labels.to_canonical(weights))
    x, mean = book.exposures, m.factor_mean.sum(axis=1)
    variance = np.einsum("dhkk->dk", m.factor_covariance)
    specific = (book.bets**2 * m.specific_variance.sum(axis=1)).sum(axis=1)
    some = thinned(m.n_draws, _DRAWS)
    of_factors = np.sqrt((x**2 * variance).mean(axis=0) + (x * mean).var(axis=0))
    drift = m.horizon * (m.alpha @ book.weights)
    others = np.full(2, np.nan)
    return Alone(
        np.append(labels.factors.astype(str), [s.SPECIFIC, s.DRIFT]),
        np.append(of_factors, [np.sqrt(specific.mean()), drift.std()]),
        np.append(np.sqrt(variance.mean(axis=0) + mean.var(axis=0)), others),
        np.column_stack([x[some], np.full((len(some), 2), np.nan)]),
    )


def assets_alone(found: Predictions, weights: np.ndarray) -> Alone:
    """Return every asset by itself, in the order of the panel."""
    unit = _portfolios(found, np.eye(len(weights)))
    return Alone(found.labels.assets.astype(str), np.abs(weights) * unit, unit, weights[None])


def groups_alone(found: Predictions, weights: np.ndarray) -> Alone:
    """Return the positions of every group by themselves, groups in order of their names."""
    groups = found.labels.groups.astype(str)
    names = np.unique(groups)
    held = np.stack([np.where(groups == g, weights, 0.0) for g in names])
    net = found.labels.to_canonical(held).sum(axis=1)
    return Alone(names, _portfolios(found, held), np.full(len(names), np.nan), net[None])


def _portfolios(found: Predictions, held: np.ndarray) -> np.ndarray:
    """Return the volatility of each portfolio (portfolio), pooled over draws."""
    held = found.labels.to_canonical(held)
    with np.errstate(invalid="ignore"):
        return np.array([Book(found.moments, one).volatility()[0] for one in held])
