"""How implied volatility moves with returns: ds = -kappa s r, given by the user or fitted."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PositionsError, unknown_names
from bayesfactor.tables import Door, by_name

__all__ = ["fit_kappa", "kappa_for"]

_FEWEST: Final = 20
"""Days below which a slope says nothing."""


def kappa_for(kappa: Any, assets: Sequence[str]) -> np.ndarray:
    """Return kappa (asset): one number for all, or by name; who is not named has 0.

    Raises
    ------
    PositionsError
        If a name is not an underlying, or a number is not finite.
    """
    fitted = isinstance(kappa, pd.DataFrame)
    table = None if np.isscalar(kappa) else by_name(kappa, Door("kappa", PositionsError), ("kappa",))
    if table is not None:
        # the table of `fit_kappa` may be about more assets than have positions
        kappa = {a: v for a, v in table.to_dict().items() if not fitted or a in set(assets)}
        unknown = [str(a) for a in kappa if str(a) not in assets]
        if unknown:
            names = unknown_names(unknown, assets)
            msg = f"kappa names assets without a position: {names}. Drop or rename them."
            raise PositionsError(msg)
        given = {str(a): v for a, v in kappa.items()}
        values: list[Any] = [given.get(a, 0.0) for a in assets]
    else:
        values = [kappa] * len(assets)
    try:
        found = np.array(values, dtype="float64")
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        msg = f"kappa is a finite number, or a mapping asset -> number; got {kappa!r}."
        raise PositionsError(msg)
    return found


@verb
def fit_kappa(returns: Any, implied_volatility: Any) -> pd.DataFrame:
    """Fit how implied volatility moves with returns: ds / s = c - kappa r + error, by least squares.

    Parameters
    ----------
    returns : DataFrame or DataArray (time, asset), or a panel
        Returns per period as fractions.
    implied_volatility : DataFrame or DataArray (time, asset)
        Implied volatility, levels as annual fractions, of one tenor. Its relative change over a period stands
        against the return of that period; periods where either is missing are left out.

    Returns
    -------
    DataFrame (asset)
        `kappa`, its standard error `se` (robust to errors of unequal variance, HC1 [1]_), `r_squared`, and
        `periods`, how many there were. The table is what `kappa=` takes.

    Raises
    ------
    PositionsError
        If no asset is in both tables, fewer than 20 periods have both, volatility is not positive, or a
        return never moves.

    References
    ----------
    .. [1] MacKinnon, J. G. and White, H. (1985). Some heteroskedasticity-consistent covariance matrix
       estimators with improved finite sample properties. Journal of Econometrics 29.
    """
    r, level = (_table(x, name) for x, name in ((returns, "returns"), (implied_volatility, "volatility")))
    assets = [a for a in r.columns if a in set(level.columns)]
    if not assets:
        msg = (
            f"no asset has both returns ({', '.join(r.columns[:5])}) and implied volatility "
            f"({', '.join(level.columns[:5])}). Name them alike."
        )
        raise PositionsError(msg)
    level = level.reindex(r.index)
    if (level[assets] <= 0.0).any(axis=None):
        msg = "implied volatility is above 0. Leave out, or give NaN for, days without a quote."
        raise PositionsError(msg)
    change = level / level.shift(1) - 1.0
    rows = {a: _slope(r[a].to_numpy("float64"), change[a].to_numpy("float64"), a) for a in assets}
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["kappa", "se", "r_squared", "periods"])
    found.index.name = s.ASSET
    return found.astype({"periods": int})


def _slope(r: np.ndarray, change: np.ndarray, asset: str) -> tuple[float, float, float, int]:
    seen = np.isfinite(r) & np.isfinite(change)
    n = int(seen.sum())
    if n < _FEWEST:
        msg = (
            f"{asset}: kappa needs at least {_FEWEST} periods with return and change of volatility; got {n}."
        )
        raise PositionsError(msg)
    x, y = r[seen] - r[seen].mean(), change[seen] - change[seen].mean()
    size = float(x @ x)
    if size <= 0.0:
        msg = f"{asset}: its return never moves, so kappa cannot be told. Leave it out."
        raise PositionsError(msg)
    slope = float(x @ y) / size
    error = y - slope * x
    se = float(np.sqrt(n / (n - 2.0) * ((x * error) ** 2).sum()) / size)
    whole = float(y @ y)
    return -slope, se, 1.0 - float(error @ error) / whole if whole > 0.0 else np.nan, n


def _table(data: Any, what: str) -> pd.DataFrame:
    if isinstance(data, xr.Dataset) and s.RETURNS in data:
        data = data[s.RETURNS]
    if isinstance(data, xr.DataArray) and set(data.dims) == {s.TIME, s.ASSET}:
        data = data.transpose(s.TIME, s.ASSET).to_pandas()
    if not isinstance(data, pd.DataFrame):
        msg = f"{what}: a DataFrame or DataArray of time by asset; got {type(data).__name__}."
        raise PositionsError(msg)
    if not data.columns.is_unique or not data.index.is_unique:
        msg = f"{what}: each asset and each time once. Drop the repeated ones."
        raise PositionsError(msg)
    return data.rename(columns=str).sort_index()
