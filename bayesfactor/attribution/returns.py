"""`attribute_returns`: what a portfolio earned, split into factors, drift and the specific rest."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.attribution.draws import Draws, expected_means, read_draws, spread_over
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError
from bayesfactor.periods import between, stamp_text
from bayesfactor.risk.weights import weights_for

__all__ = ["attribute_returns"]

_RULE: Final = "period is a pandas frequency such as 'ME' or 'YE', or (start, end)"


@verb
def attribute_returns(
    tree: xr.DataTree,
    weights: Any,
    period: str | tuple[object, object] | None = None,
    *,
    fill_zero: bool = False,
) -> xr.Dataset:
    """Split a portfolio's realised return into factors, drift and specific, with posterior intervals.

    For each draw and day, w'r = w'alpha + sum_k (w'beta_k) f_k + specific; summed over the days of a period
    (constant exposures, arithmetic). Alpha is what factors leave of a mean return, as with
    `drift="posterior"`, not the centre of a robust law. The parts add up to the realised return exactly, draw
    by draw.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    weights : mapping, Series or DataArray (asset)
        Fractions of the portfolio's value, held constant.
    fill_zero : bool
        Assets that are not named have weight 0; without it they are refused.
    period : str, (start, end) or None
        A pandas frequency such as "ME", "QE" or "YE" for one row each; the two ends of one period, both
        inclusive, a date its whole day; or None for the whole sample.

    Returns
    -------
    Dataset
        `contribution` (period, component): posterior mean, a fraction of the portfolio's value, with `_low`
        and `_high` (90 % interval); `asset_contribution` (period, asset, component): posterior mean;
        `realised` (period) and `n_days` (period); components are the factors, `specific` and `drift`; coords
        `family` (component) and `start`, `end` (period). `attrs["missing_cells"]` counts days on which a held
        asset had no return, which earn nothing here.

    Raises
    ------
    WeightsError
        If weights miss, exceed or repeat assets, or are not numbers.
    RiskError
        If the period is not understood or holds no day of the sample.
    """
    d = read_draws(tree, verb="attribute_returns", part=True)
    d = replace(d, alpha=expected_means(tree, d.assets)[0])
    w = weights_for(weights, d.assets, fill_zero=fill_zero)
    spans = _periods(d.time, period)
    components = [*d.names, s.SPECIFIC, s.DRIFT]
    n, k = len(spans), len(components)
    mean, low, high = np.empty((n, k)), np.empty((n, k)), np.empty((n, k))
    by_asset = np.empty((n, len(d.assets), k))
    realised, n_days = np.empty(n), np.empty(n, dtype=int)
    for at, (_, rows) in enumerate(spans):
        draws, by_asset[at], realised[at] = _one(d, w, rows)
        mean[at], low[at], high[at] = spread_over(draws)
        n_days[at] = rows.sum()
    there = np.isfinite(d.returns)
    inside = np.any([rows for _, rows in spans], axis=0)
    family = [*d.families, s.SPECIFIC, s.DRIFT]
    return xr.Dataset(
        {
            "contribution": (("period", s.COMPONENT), mean),
            "contribution_low": (("period", s.COMPONENT), low),
            "contribution_high": (("period", s.COMPONENT), high),
            "asset_contribution": (("period", s.ASSET, s.COMPONENT), by_asset),
            "realised": ("period", realised),
            "n_days": ("period", n_days),
        },
        coords={
            "period": [name for name, _ in spans],
            "start": ("period", np.array([d.time[rows][0] for _, rows in spans])),
            "end": ("period", np.array([d.time[rows][-1] for _, rows in spans])),
            s.COMPONENT: components,
            s.ASSET: d.assets,
            s.FAMILY: (s.COMPONENT, family),
            s.GROUP: (s.ASSET, d.groups),
        },
        attrs={"missing_cells": int((~there[inside][:, w != 0]).sum())},
    )


def _one(d: Draws, w: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return contributions (draw, component), their means by asset, and the realised return."""
    returns = d.returns[rows]
    there = np.isfinite(returns)
    earned = w * np.where(there, returns, 0.0).sum(axis=0)
    # Each asset meets the factor only on the days on which it has a return.
    moves = there.T.astype(float) @ d.factors[rows]
    factors = d.loadings * (w[:, None] * moves)
    drift = d.alpha * (w * there.sum(axis=0))
    specific = earned - factors.sum(axis=2) - drift
    parts = np.concatenate([factors, specific[:, :, None], drift[:, :, None]], axis=2)
    return parts.sum(axis=1), parts.mean(axis=0), float(earned.sum())


def _periods(time: np.ndarray, period: Any) -> list[tuple[str, np.ndarray]]:
    """Return a name and the rows of each period."""
    stamps = pd.DatetimeIndex(time)
    if period is None:
        return [(f"{stamp_text(stamps[0])}..{stamp_text(stamps[-1])}", np.ones(len(time), dtype=bool))]
    if isinstance(period, str):
        try:
            grouped = pd.Series(np.arange(len(time)), index=stamps).resample(period)
            found = [(stamp_text(end), rows.to_numpy()) for end, rows in grouped if len(rows)]
        except (ValueError, TypeError, ZeroDivisionError) as error:
            msg = f"{_RULE}; got {period!r}."
            raise RiskError(msg) from error
        return [(name, np.isin(np.arange(len(time)), rows)) for name, rows in found]
    try:
        start, end = period
        rows = between(stamps, start, end)
    except (ValueError, TypeError) as error:
        msg = f"{_RULE}; got {period!r}."
        raise RiskError(msg) from error
    first, last = stamp_text(stamps[0]), stamp_text(stamps[-1])
    if not rows.any():
        msg = (
            f"a period holds some of the sample, {first} to {last}; none lies between {start} and {end}. "
            "Move it."
        )
        raise RiskError(msg)
    return [("..".join(stamp_text(x) for x in stamps[rows][[0, -1]]), rows)]
