"""Portfolios, whatever they came in, become a table of portfolio by asset."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor import schema as s
from bayesfactor.errors import WeightsError
from bayesfactor.risk.weights import WEIGHT_NAMES, WEIGHTS
from bayesfactor.scoring.contract import PORTFOLIO
from bayesfactor.tables import Door, Given, clean_names, given, named_column, numbers_of, plain
from bayesfactor.tables.pairs import ASSET_NAMES, column_called, refuse_sides

__all__ = ["portfolios_of"]

_DOOR: Final = Door("portfolios", WeightsError)
_NAMES: Final = (PORTFOLIO, "fund", "strategy", "book", "account")
_DATES: Final = ("date", "time", "timestamp", "datetime")


def portfolios_of(table: Any, assets: Sequence[str], *, name: str = PORTFOLIO) -> pd.DataFrame | None:
    """Return weights (portfolio x asset), in the order of the table; None if it is no table.

    Parameters
    ----------
    table : path of CSV or Parquet, DataFrame of pandas or polars, pyarrow Table
        Long, with the columns portfolio, asset and weight; wide, with portfolios in the index or a column
        portfolio, and one column per asset; turned, with assets in the first column, and one column per
        portfolio; or asset and weight, which is one portfolio. What is not named, or empty, is not held.
    assets : sequence of str
        Assets of the panel.
    name : str
        Of the one portfolio of a table of asset and weight.

    Raises
    ------
    WeightsError
        If columns are missing, a weight is no finite number, or an asset has two in a portfolio.
    """
    found = given(table, _DOOR, any_name=True)
    if found is None:
        return None
    frame = found.frame
    refuse_sides(found, _DOOR)
    portfolio, asset, weight = (column_called(frame, n) for n in (_NAMES, ASSET_NAMES, WEIGHT_NAMES))
    dates = [str(c) for c in frame.columns if plain(c) in _DATES and str(c) not in set(assets)]
    if dates:
        msg = (
            f"portfolios: weights of a table hold all the time; got the column {dates[0]}. Give "
            "weights that change as a "
            "DataArray with the dims (time, portfolio, asset) to bf.backtest."
        )
        raise WeightsError(msg)
    if asset is not None and weight is not None and len(frame):
        return _long(found, portfolio, asset, weight, name)
    if asset is None and weight is None and len(frame):
        first = 0 if frame.shape[1] and not str(frame.columns[0]) else None
        if portfolio is not None or found.labelled or (first is None and not found.file):
            return _wide(found, portfolio)
        if first is not None:
            of_assets = set(clean_names(frame.iloc[:, 0], _DOOR)) <= set(assets)
            return _wide(found, first).T if of_assets else _wide(found, first)
    if (
        asset is not None
        and portfolio is None
        and frame.shape[1] > 1
        and weight is None
        and _numeric(found, asset)
    ):
        return _wide(found, asset).T
    got = ", ".join(map(str, frame.columns)) or "none"
    msg = (
        "portfolios: a table has rows, and the columns portfolio, asset and weight, or "
        "portfolio and one per asset; got "
        f"{got}."
    )
    raise WeightsError(msg)


def _numeric(table: Given, asset: int) -> bool:
    others = [c for j in range(table.frame.shape[1]) if j != asset for c in table.frame.iloc[:, j]]
    try:
        numbers_of(pd.Series(others, dtype=object), WEIGHTS)
    except WeightsError:
        return False
    return True


def _long(table: Given, portfolio: int | None, asset: int, weight: int, name: str) -> pd.DataFrame:
    frame = table.frame
    names = [name] * len(frame) if portfolio is None else named_column(table, portfolio, _DOOR, PORTFOLIO)
    return _pivoted(names, named_column(table, asset, _DOOR, s.ASSET), frame.iloc[:, weight].tolist())


def _wide(table: Given, portfolio: int | None) -> pd.DataFrame:
    frame = table.frame
    if portfolio is None:
        names = clean_names(frame.index, _DOOR)
    else:
        names = named_column(table, portfolio, _DOOR, PORTFOLIO)
        frame = frame.iloc[:, [j for j in range(frame.shape[1]) if j != portfolio]]
    assets = [str(c) for c in frame.columns]
    cells = frame.to_numpy(dtype=object)
    return _pivoted(np.repeat(names, len(assets)).tolist(), assets * len(names), cells.ravel().tolist())


def _pivoted(names: list[str], assets: list[str], cells: list[Any]) -> pd.DataFrame:
    """Return cells as portfolio x asset, in their order; an empty one is not held."""
    labels = [f"{a} in {p}" for p, a in zip(names, assets, strict=True)]
    bare = [0.0 if c is None or (isinstance(c, str) and not c.strip()) else c for c in cells]
    numbers = numbers_of(pd.Series(bare, index=labels, dtype=object), _DOOR).to_numpy()
    where = pd.MultiIndex.from_arrays([pd.Index(names, dtype=object), pd.Index(assets, dtype=object)])
    bad = where[where.duplicated() | ~np.isfinite(numbers)]
    if len(bad):
        what = "no finite number" if not np.isfinite(numbers[where.get_loc(bad[0])]).all() else "two weights"
        msg = f"portfolios: the table has {what} for {bad[0][1]} in {bad[0][0]}. Give each asset one weight."
        raise WeightsError(msg)
    wide = pd.Series(numbers, index=where).unstack().fillna(0.0)
    return wide.reindex(index=list(dict.fromkeys(names)), columns=list(dict.fromkeys(assets)))
