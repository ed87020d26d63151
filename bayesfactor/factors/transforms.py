"""Levels become surprises: each value is what a stamp brought beyond what was known before it.

A series holds one driver's own observations in order, without holes; its stamps come back with it.
Every function at t reads the series up to t alone.
"""

from typing import Final

import numpy as np

from bayesfactor.errors import PanelError

__all__ = ["TRANSFORMS", "innovations", "standardised"]

TRANSFORMS: Final = ("log-difference", "difference", "log-ar1", "ar1", "log-ewma", "ewma", "level")

_LEAST: Final = 30
"""Pairs before an autoregression is believed."""


def innovations(name: str, values: np.ndarray, transform: str, *, window: int, halflife: float) -> np.ndarray:
    """Return the surprise in each observation, NaN where there is no forecast yet.

    Parameters
    ----------
    name : str
        For messages.
    values : ndarray (observation)
    transform : str
        One of `TRANSFORMS`.
    window : int
        Pairs of an autoregression, at most.
    halflife : float
        Of an EWMA, in observations.
    """
    kind = transform.removeprefix("log-")
    if kind != transform:
        if np.any(values <= 0.0):
            msg = (
                f"driver {name!r}: transform {transform!r} takes the log, so values are above zero; "
                f"the smallest is {values.min():.6g}. Use {kind!r} instead, or "
                "empty those cells."
            )
            raise PanelError(msg)
        values = np.log(values)
    if kind == "level":
        return values.copy()
    if kind == "difference":
        return np.r_[np.nan, np.diff(values)]
    return _ar1(values, window) if kind == "ar1" else _ewma(values, halflife)


def _ar1(values: np.ndarray, window: int) -> np.ndarray:
    """Return x_t - (a + b x_{t-1}), with a and b by least squares on the pairs up to t-1."""
    out = np.full(len(values), np.nan)
    for t in range(_LEAST + 1, len(values)):
        first = max(0, t - 1 - window)
        x, y = values[first : t - 1], values[first + 1 : t]
        gap = x - x.mean()
        spread = gap @ gap
        slope = (gap @ y) / spread if spread > 0.0 else 0.0
        out[t] = values[t] - y.mean() - slope * (values[t - 1] - x.mean())
    return out


def _ewma(values: np.ndarray, halflife: float) -> np.ndarray:
    """Return x_t minus the exponentially weighted mean of the values up to t-1."""
    keep = 0.5 ** (1.0 / halflife)
    out = np.full(len(values), np.nan)
    total = weight = 0.0
    for t, x in enumerate(values):
        if t >= min(_LEAST, halflife):
            out[t] = x - total / weight
        total, weight = keep * total + x, keep * weight + 1.0
    return out


def standardised(surprise: np.ndarray, *, kind: str, window: int, least: int, clip: float) -> np.ndarray:
    """Return surprises in standard deviations, by mean and spread of what came before.

    Parameters
    ----------
    surprise : ndarray (observation)
    kind : {"rolling", "expanding", "none"}
    window, least : int
        Observations of a rolling window; and how many there must be before there is a value.
    clip : float
        Standard deviations at which a value is cut before it enters the scale of later ones; 0 for none.
        What is returned is not cut.
    """
    out = surprise.copy()
    if kind != "none":
        out[:] = np.nan
        seen = np.isfinite(surprise)
        kept = surprise.copy()
        for t in range(1, len(surprise)):
            first = max(0, t - window) if kind == "rolling" else 0
            past = kept[first:t][seen[first:t]]
            # A window of equal values has no scale to measure by.
            if len(past) >= least and (past != past[0]).any():
                out[t] = (surprise[t] - past.mean()) / past.std()
                # What is cut enters the scale as cut: one bad value must not hide the rest of its window.
                if clip > 0.0 and abs(out[t]) > clip:
                    kept[t] = past.mean() + np.sign(out[t]) * clip * past.std()
    return out
