"""Two names for one coin: exact copies are refused, near ones named.

Specific returns are independent in every model but the latent ones. Of a coin and its wrapped form they are
the same: half of each is then said to risk less than one of them, and a spread between the two, which hardly
moves, hundreds of times too much.
"""

import numpy as np
import xarray as xr

from bayesfactor.errors import PanelError, warn
from bayesfactor.pairwise import pairwise_correlation
from bayesfactor.schema import ASSET, FACTOR_RETURNS, RETURNS

__all__ = ["refuse_copies", "warn_of_twins"]

_COPY = 1e-6
"""How far, of its size, one return may be from a multiple of another that is a copy: rounding."""
_NEAR = 0.9
"""Correlation of what factors leave of two returns from which on they are one coin under two names."""
_FEWEST = 60
"""Common periods that a near copy is judged by."""
_FEWEST_EXACT = 10
_NAMED = 5


def refuse_copies(panel: xr.Dataset) -> None:
    """Raise if one asset's returns are a multiple of another's.

    Raises
    ------
    PanelError
        Naming both, with the remedy.
    """
    returns = panel[RETURNS].to_numpy().T
    # Correlation about zero: a copy is a multiple. One of two suspects is then looked at closely.
    correlation, days = pairwise_correlation(returns)
    suspect = np.argwhere(np.triu((np.abs(correlation) > 1.0 - 1e-9) & (days >= _FEWEST_EXACT), 1))
    pairs = [(i, j) for i, j in suspect if _copies(returns[i], returns[j])]
    if pairs:
        names = panel[ASSET].to_numpy().astype(str)
        shown = ", ".join(f"{names[i]} and {names[j]}" for i, j in pairs[:_NAMED])
        more = f" and {len(pairs) - _NAMED} more pairs" if len(pairs) > _NAMED else ""
        msg = (
            f"each asset has returns of its own; the same but for a factor: {shown}{more}. Keep one of each "
            "pair (drop=) and add up the weights of both: they have one specific return, not two."
        )
        raise PanelError(msg)


def warn_of_twins(panel: xr.Dataset) -> None:
    """Warn of pairs whose returns, given the factors, are nearly the same.

    Warns
    -----
    UserWarning
        Naming them, with the remedy.
    """
    left = _left_over(panel[RETURNS].to_numpy(), panel[FACTOR_RETURNS].to_numpy())
    correlation, days = pairwise_correlation(left)
    # Of few coins with their own market, what is left sums to zero: only what goes together is a twin.
    near = np.argwhere(np.triu((correlation > _NEAR) & (days >= _FEWEST), 1))
    if len(near):
        names = panel[ASSET].to_numpy().astype(str)
        worst = near[np.argsort(-correlation[near[:, 0], near[:, 1]], kind="stable")]
        shown = ", ".join(f"{names[i]} and {names[j]} ({correlation[i, j]:.3f})" for i, j in worst[:_NAMED])
        more = f" and {len(near) - _NAMED} more pairs" if len(near) > _NAMED else ""
        msg = (
            f"nearly one coin under two names, by the correlation of what factors leave: {shown}{more}. "
            "Models with observed factors alone take it for independent: both together risk more than is "
            "said, a spread between them far less. Keep one (drop=), or fit latent factors too (hybrid-t)."
        )
        warn(msg)


def _copies(one: np.ndarray, other: np.ndarray) -> bool:
    both = np.isfinite(one) & np.isfinite(other)
    x, y = one[both], other[both]
    slope = (x @ y) / (x @ x)
    return bool(np.linalg.norm(y - slope * x) <= _COPY * np.linalg.norm(y))


def _left_over(returns: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return what a constant and the factors leave of each asset over its own rows (asset, time)."""
    design = np.column_stack([np.ones(len(factors)), factors])
    out = np.full(returns.T.shape, np.nan)
    for i, column in enumerate(returns.T):
        rows = np.isfinite(column)
        if rows.sum() > design.shape[1] + 2:
            x = design[rows]
            out[i, rows] = column[rows] - x @ np.linalg.lstsq(x, column[rows], rcond=None)[0]
    return out
