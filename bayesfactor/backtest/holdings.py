"""What is held on each day of a backtest, decided on what was known the day before."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.portfolios import portfolios_of
from bayesfactor.errors import RiskError, WeightsError, unknown_names, warn
from bayesfactor.panel.holes import carried
from bayesfactor.periods import stamp_text
from bayesfactor.scoring.contract import PORTFOLIO
from bayesfactor.tables import warn_of_gross

__all__ = ["Portfolios", "history", "holdings", "refuse_log_returns", "rescaled"]

type Portfolios = pd.DataFrame | xr.DataArray | Callable[[xr.Dataset], pd.DataFrame]


def refuse_log_returns(panel: xr.Dataset) -> None:
    """Raise `RiskError` if the panel's returns do not add up across assets."""
    if panel.attrs["returns_kind"] != "simple":
        msg = "a portfolio's return is the sum of simple returns; this panel holds log returns. Make it anew."
        raise RiskError(msg)


def holdings(portfolios: Portfolios, panel: xr.Dataset, days: range) -> tuple[list[str], np.ndarray]:
    """Return the names of the portfolios and their weights (day, portfolio, asset).

    An asset without a return the day before is not held (see `rescaled`). A callable is given the panel up to
    the day before, and nothing else.

    Warns
    -----
    UserWarning
        If a portfolio with long and short positions lacks one of them; the message names coin and day.
    """
    returns = panel[s.RETURNS].transpose(s.TIME, s.ASSET).values
    assets = panel[s.ASSET].values.astype(str)
    if callable(portfolios):
        tables = [_table(portfolios(panel.isel({s.TIME: slice(0, t)})), assets) for t in days]
        names = tables[0][0]
        odd = next((i for i, (n, _) in enumerate(tables) if n != names), None)
        if odd is not None:
            stamp = stamp_text(panel[s.TIME].values[days[odd]])
            msg = f"portfolios() names the same portfolios every time; on {stamp} got {tables[odd][0]}."
            raise WeightsError(msg)
        raw = np.stack([w for _, w in tables])
    elif isinstance(portfolios, xr.DataArray):
        names, raw = _dated(portfolios, panel, days)
    else:
        names, fixed = _table(portfolios, assets)
        raw = np.broadcast_to(fixed, (len(days), *fixed.shape))
    raw = np.ascontiguousarray(raw)  # sums are rounded alike in whatever order weights lay
    if not np.isfinite(raw).all():
        msg = "weights are finite numbers; got NaN or infinite ones. Give 0 to what is not held."
        raise WeightsError(msg)
    for name, weights in zip(names, raw.swapaxes(0, 1), strict=True):
        warn_of_gross(weights[np.abs(weights).sum(axis=1).argmax()], f"weights of portfolio {name!r}")
    there = np.isfinite(returns)
    # At a stamp without any price nobody stopped trading: the last row with a return says who does.
    there = carried(there, ~there.any(axis=1))
    known = there[days.start - 1 : days.stop - 1]
    stamps = panel[s.TIME].values[days.start :]
    _warn_of_legs(names, raw, known & there[days.start : days.stop], assets, stamps)
    return names, rescaled(raw, known[:, None, :])


def _warn_of_legs(
    names: list[str], weights: np.ndarray, there: np.ndarray, assets: np.ndarray, stamps: np.ndarray
) -> None:
    """Say which signed portfolios (day, portfolio, asset) lacked a leg, and from when."""
    gone = (weights != 0.0) & _signed(weights)[..., None] & ~there[:, None, :]
    for p, i in np.argwhere(gone.any(axis=0)):
        days = np.flatnonzero(gone[:, p, i])
        msg = (
            f"portfolio {names[p]!r} has long and short positions, and {assets[i]} had no return on "
            f"{len(days)} of {len(weights)} stamps, first on {stamp_text(stamps[days[0]])}: the other legs "
            "were left as they are, unhedged by it. Give weights by time that say what was held instead."
        )
        warn(msg)


def _signed(weights: np.ndarray) -> np.ndarray:
    """Return which portfolios (..., asset) have positions of both signs."""
    return (weights > 0.0).any(axis=-1) & (weights < 0.0).any(axis=-1)


def rescaled(weights: np.ndarray, trades: np.ndarray) -> np.ndarray:
    """Return weights with 0 where an asset does not trade (..., asset).

    Positions of one sign are put into what is left, at the same gross. Of a portfolio with both signs the
    other legs stay as they are: a hedge that is gone is no reason to double what it hedged. Where nothing
    that is held trades, all are 0.
    """
    left = np.where(trades, weights, 0.0)
    gross, now = np.abs(weights).sum(axis=-1), np.abs(left).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(_signed(weights) & (now > 0.0), 1.0, np.where(now > 0.0, gross / now, 0.0))
    return np.ascontiguousarray(left * share[..., None])  # sums run in one order


def history(weights: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Return what today's weights (asset) would have earned on past days (time, asset).

    Days on which nothing that is held traded are left out; and of weights of both signs, all days without one
    of its legs: that was another portfolio, with other risk.
    """
    if _signed(weights):
        legs = returns[:, weights != 0.0]
        return (legs[np.isfinite(legs).all(axis=1)] * weights[weights != 0.0]).sum(axis=1)
    own = rescaled(np.broadcast_to(weights, returns.shape), np.isfinite(returns))
    earned = (own * np.where(np.isfinite(returns), returns, 0.0)).sum(axis=1)
    return earned[np.abs(own).sum(axis=1) > 0.0]


def _table(table: object, assets: np.ndarray) -> tuple[list[str], np.ndarray]:
    found = None if isinstance(table, xr.DataArray | xr.Dataset) else portfolios_of(table, assets.tolist())
    if found is None:
        msg = (
            "portfolios is a DataFrame (portfolio x asset) or another table, a DataArray (time, portfolio, "
            f"asset) or a callable that returns such a table; got {type(table).__name__}."
        )
        raise WeightsError(msg)
    table = found
    strange = sorted(set(table.columns.astype(str)) - set(assets))
    if strange:
        msg = f"weights name assets of the panel; unknown: {unknown_names(strange, assets)}."
        raise WeightsError(msg)
    if not len(table) or not table.index.is_unique or not table.columns.is_unique:
        msg = f"portfolios and assets have names of their own, and there is one at least; got {table.shape}."
        raise WeightsError(msg)
    whole = table.set_axis(table.columns.astype(str), axis=1).reindex(columns=assets, fill_value=0.0)
    return table.index.astype(str).tolist(), whole.to_numpy(dtype=float)


def _dated(weights: xr.DataArray, panel: xr.Dataset, days: range) -> tuple[list[str], np.ndarray]:
    if set(weights.dims) != {s.TIME, PORTFOLIO, s.ASSET}:
        msg = f"dated weights have the dims (time, portfolio, asset); got {weights.dims}."
        raise WeightsError(msg)
    assets = panel[s.ASSET].values.astype(str)
    strange = sorted(set(weights[s.ASSET].values.astype(str)) - set(assets))
    if strange:
        msg = f"weights name assets of the panel; unknown: {unknown_names(strange, assets)}."
        raise WeightsError(msg)
    stamps = panel[s.TIME].values[days.start : days.stop]
    absent = np.setdiff1d(stamps, weights[s.TIME].values)
    if len(absent):
        msg = (
            f"weights are given for every period that is forecast; {len(absent)} are missing, the first "
            f"{stamp_text(absent[0])}. Reindex them, or cut the panel."
        )
        raise WeightsError(msg)
    whole = weights.sel({s.TIME: stamps}).reindex({s.ASSET: panel[s.ASSET].values}, fill_value=0.0)
    names = weights[PORTFOLIO].values.astype(str).tolist()
    return names, whole.transpose(s.TIME, PORTFOLIO, s.ASSET).values.astype(float)
