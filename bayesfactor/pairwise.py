"""Correlations of series that have holes and begin on different days: each pair over the days of both."""

import numpy as np

__all__ = ["pairwise_correlation"]


def pairwise_correlation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return correlations (series, series) about zero, and the number of days of each pair.

    Parameters
    ----------
    values : ndarray (series, time)
        Centred, NaN where there is none.

    Returns
    -------
    correlation : ndarray (series, series)
        1 on the diagonal, 0 for a pair without a common day.
    days : ndarray (series, series)
    """
    seen = np.isfinite(values).astype(float)
    filled = np.nan_to_num(values, nan=0.0)
    square = (filled**2) @ seen.T
    size = np.sqrt(square * square.T)
    correlation = (filled @ filled.T) / np.where(size > 0.0, size, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation, seen @ seen.T
