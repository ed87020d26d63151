"""Stamps at which nobody has a price, an outage or a holiday: their rows have no return, and cost nothing.

A return needs prices at t-1 and t, so the row after such a stamp has none either. What is made of the assets
themselves is not known there: their market is closed, in the sense of `factor_open`.
"""

from typing import Final

import numpy as np
import pandas as pd

from bayesfactor.errors import warn
from bayesfactor.panel.words import stamps_text

__all__ = ["blank_rows", "carried", "closed_cells", "skipped_stamps"]

MANY: Final = 0.1
"""Share of the stamps that is not skipped without a word."""
FEW: Final = 2
"""Stamps that are an outage however short the table."""


def blank_rows(table: pd.DataFrame) -> np.ndarray:
    """Return which rows have no value at all (time), bool."""
    return table.isna().all(axis=1).to_numpy()


def closed_cells(factors: pd.DataFrame, returns: pd.DataFrame) -> pd.DataFrame:
    """Return where a factor lacks a value on a row without any return (time, factor), bool."""
    return factors.isna() & blank_rows(returns)[:, None]


def carried(values: np.ndarray, blank: np.ndarray) -> np.ndarray:
    """Return values (time, ...) whose blank rows hold what the row before them did; the first ones stay."""
    rows = np.arange(len(blank))
    last = np.maximum.accumulate(np.where(blank, -1, rows))
    return values[np.where(last < 0, rows, last)]


def skipped_stamps(table: pd.DataFrame, kept: pd.Index, what: str) -> dict[str, int]:
    """Return the note on how many stamps within the kept rows have no value; say so where they are many."""
    inside = table.loc[kept[0] : kept[-1]] if len(kept) else table.iloc[:0]
    seen = np.flatnonzero(~blank_rows(inside))
    # Before the first listing and after the last there is no hole.
    inside = inside.iloc[seen[0] : seen[-1] + 1] if len(seen) else inside.iloc[:0]
    stamps = pd.DatetimeIndex(inside.index[blank_rows(inside)])
    if not len(stamps):
        return {}
    if len(stamps) > max(FEW, MANY * len(inside)):
        warn(
            f"{len(stamps)} of {len(inside)} stamps have no {what} at all, the first "
            f"{stamps_text(stamps[:1])}: they, and those after them, have no return. Is this the calendar of "
            "these data?",
        )
    return {"skipped": len(stamps)}
