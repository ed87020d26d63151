"""Losses that the true quantile, or the true quantile and shortfall together, make least on average."""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor.errors import RiskError

__all__ = ["fz0_loss", "quantile_loss"]

_ROUNDING: Final = 1e-6
"""Relative: ES so little short of VaR is a numerical error of whoever integrated it."""


def quantile_loss[V: (np.ndarray, xr.DataArray)](realised: V, var: V, level: V | float) -> V:
    """Return the loss that the true VaR makes least on average (the pinball loss).

    Parameters
    ----------
    realised : ndarray or DataArray
        Simple return, a fraction. Arrays broadcast as numpy's do, DataArrays by their dims.
    var : ndarray or DataArray
        Forecast of VaR, a fraction, positive for losses.
    level : float, ndarray or DataArray
        Confidence level, such as 0.99.

    Returns
    -------
    ndarray or DataArray
        (alpha - 1{y < v}) (y - v) with alpha = 1 - level, v = -var: not negative, in units of
        return. NaN where an argument is.

    Raises
    ------
    RiskError
        If `level` is not between 0 and 1.

    References
    ----------
    .. [1] Koenker, R. and Bassett, G. (1978). Regression quantiles. Econometrica 46(1).
    """
    _check_level(level)
    return xr.apply_ufunc(_quantile_loss, realised, var, level)


def fz0_loss[V: (np.ndarray, xr.DataArray)](realised: V, var: V, es: V, level: V | float) -> V:
    """Return the loss that the true VaR and ES together make least on average (FZ0).

    Its differences do not change with the unit of returns. Forecasts outside its domain (ES that is
    not positive, or short of VaR by more than a millionth) have no loss: it is NaN there.

    Parameters
    ----------
    realised : ndarray or DataArray
        Simple return, a fraction. Arrays broadcast as numpy's do, DataArrays by their dims.
    var, es : ndarray or DataArray
        Forecasts, fractions, positive for losses.
    level : float, ndarray or DataArray
        Confidence level, such as 0.99.

    Returns
    -------
    ndarray or DataArray
        With alpha = 1 - level, v = -var, e = -es: 1{y <= v} (v - y) / (-alpha e) + v / e + log(-e) - 1.
        Any sign. NaN where an argument is.

    Raises
    ------
    RiskError
        If `level` is not between 0 and 1.

    References
    ----------
    .. [1] Patton, A. J., Ziegel, J. F. and Chen, R. (2019). Dynamic semiparametric models for expected
       shortfall (and value-at-risk). Journal of Econometrics 211(2), eq. 6.
    .. [2] Fissler, T. and Ziegel, J. F. (2016). Higher order elicitability and Osband's principle.
       Annals of Statistics 44(4).
    """
    _check_level(level)
    return xr.apply_ufunc(_fz0_loss, realised, var, es, level)


def _quantile_loss(y: np.ndarray, var: np.ndarray, level: np.ndarray) -> np.ndarray:
    beyond = np.asarray(y) + var
    return (1.0 - level - (beyond < 0.0)) * beyond


def _fz0_loss(y: np.ndarray, var: np.ndarray, es: np.ndarray, level: np.ndarray) -> np.ndarray:
    es = np.asarray(es, dtype="float64")
    inside = (es > 0.0) & (es >= var - _ROUNDING * np.abs(var))
    es = np.where(inside, es, np.nan)
    excess = np.maximum(-(np.asarray(y) + var), 0.0)
    return excess / ((1.0 - level) * es) + var / es + np.log(es) - 1.0


def _check_level(level: np.ndarray | xr.DataArray | float) -> None:
    values = np.asarray(level, dtype="float64")
    if not ((values > 0.0) & (values < 1.0)).all():
        msg = f"levels lie between 0 and 1; got {values.tolist()}. Give a confidence level such as 0.99."
        raise RiskError(msg)
