"""Trades, whatever they came in, become changes of weight by name and asset."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesfactor import schema as s
from bayesfactor.errors import WeightsError, unknown_names
from bayesfactor.tables import (
    Door,
    Given,
    by_name,
    clean_names,
    given,
    named_column,
    numbers_of,
    warn_of_gross,
)
from bayesfactor.tables.pairs import ASSET_NAMES, column_called, refuse_sides

__all__ = ["read_trades", "trades_for"]

_DOOR: Final = Door("trades", WeightsError)
_CHANGES: Final = ("change", "weightchange", "changeofweight", "delta", "weight")
_LARGEST: Final = 3.0
"""A trade that moves more than three times the portfolio's value is written in per cent or money."""


def trades_for(trades: Any, assets: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return names and changes (trade, asset) in the order of `assets`.

    Raises
    ------
    WeightsError
        If there is none, a name stands twice, an asset is unknown or named twice, or a change is no number.
    """
    rows = _rows(trades)
    if not rows:
        msg = "there is no trade to measure. Give at least one, such as {'less BTC': {'BTC': -0.1}}."
        raise WeightsError(msg)
    names = [name for name, _ in rows]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"each trade has one name; {', '.join(twice)} more than once. Rename one."
        raise WeightsError(msg)
    return names, np.stack([_one(name, row, [str(a) for a in assets]) for name, row in rows])


def read_trades(table: Any) -> dict[str, dict[str, float]]:
    """Return trades, in their order, as changes of weight by asset.

    Parameters
    ----------
    table : path, DataFrame of pandas or polars, pyarrow Table
        Long, with the columns trade, asset and change; or wide, with a column trade, or trades in the index,
        and one column per asset, where an empty cell changes nothing.

    Raises
    ------
    WeightsError
        If a column is missing, a row has no trade, a change is not a number, or a trade names an asset twice.
    MissingFileError
        If there is no such file.
    """
    rows = _from_table(_given(table))
    return {name: {str(a): float(x) for a, x in row.items()} for name, row in rows}


def _given(table: Any) -> Given:
    found = given(table, _DOOR, any_name=True)
    if found is None:
        msg = (
            "trades are a mapping trade -> asset -> change of weight, a table of trade, asset "
            "and change, or a "
            f"DataFrame of trades by assets; got {type(table).__name__}."
        )
        raise WeightsError(msg)
    return found


def _rows(trades: Any) -> list[tuple[str, pd.Series]]:
    if isinstance(trades, Mapping) and not _is_columns(trades):
        return [(str(name), _cells(str(name), row)) for name, row in trades.items()]
    return _from_table(_given(trades))


def _is_columns(trades: Mapping[Any, Any]) -> bool:
    return any(isinstance(v, list | np.ndarray) for v in trades.values())


def _from_table(table: Given) -> list[tuple[str, pd.Series]]:
    frame = table.frame
    refuse_sides(table, _DOOR)
    trade, asset, change = (column_called(frame, names) for names in ((s.TRADE,), ASSET_NAMES, _CHANGES))
    if trade is None and asset is None and not table.labelled and frame.shape[1] and not frame.columns[0]:
        trade = 0
    if asset is not None and change is not None and trade is not None:
        return _long(table, trade, asset, change)
    if asset is not None or (trade is None and not table.labelled):
        got = ", ".join(map(str, frame.columns))
        wanted = {s.TRADE: trade, s.ASSET: asset, "change": change}
        absent = ", ".join(n for n, place in wanted.items() if place is None)
        remedy = (
            "Rename yours" if trade is not None or frame.shape[1] > 2 else "Add one that names each trade"
        )
        msg = f"trades: a table needs the columns trade, asset and change; got {got}, no {absent}. {remedy}."
        raise WeightsError(msg)
    if trade is not None:
        names = named_column(table, trade, _DOOR, s.TRADE)
        frame = frame.iloc[:, [j for j in range(frame.shape[1]) if j != trade]].set_axis(names, axis="index")
    names = clean_names(frame.index, _DOOR)
    rows = [(name, _cells(name, row)) for name, (_, row) in zip(names, frame.iterrows(), strict=True)]
    return [(name, row.dropna()) for name, row in rows]


def _long(table: Given, trade: int, asset: int, change: int) -> list[tuple[str, pd.Series]]:
    names = named_column(table, trade, _DOOR, s.TRADE)
    assets = named_column(table, asset, _DOOR, s.ASSET)
    changes = _numbers(table.frame.iloc[:, change].tolist(), assets, names)
    found: dict[str, dict[str, float]] = {}
    for name, one, number in zip(names, assets, changes, strict=True):
        row = found.setdefault(name, {})
        if one in row:
            msg = f"trades: the table changes {one} twice in {name!r}. Add the changes up."
            raise WeightsError(msg)
        row[one] = number
    return [(name, pd.Series(row, dtype="float64")) for name, row in found.items()]


def _numbers(cells: Sequence[Any], assets: list[str], names: list[str]) -> list[float]:
    labels = [f"{a} in {n!r}" for a, n in zip(assets, names, strict=True)]
    found = numbers_of(pd.Series(cells, index=labels, dtype=object), _DOOR)
    bad = [(label, c) for label, c, x in zip(labels, cells, found, strict=True) if not np.isfinite(x)]
    if bad:
        msg = f"trades are finite changes of weight: no number for {bad[0][0]}; got {bad[0][1]!r}. Mend it."
        raise WeightsError(msg)
    return [float(x) for x in found]


def _cells(name: str, row: Any) -> pd.Series:
    if not isinstance(row, Mapping | pd.Series):
        msg = f"trade {name!r} is a mapping asset -> change of weight; got {type(row).__name__}."
        raise WeightsError(msg)
    found = by_name(row, Door(f"changes of weight of trade {name!r}", WeightsError), _CHANGES)
    assert found is not None  # noqa: S101 - a mapping always has names
    return found


def _one(name: str, row: pd.Series, known: list[str]) -> np.ndarray:
    """Return the changes of one trade in the order of the assets."""
    series = row
    given_names = [str(a) for a in series.index]
    unknown = [a for a in given_names if a not in set(known)]
    if unknown:
        shown = unknown_names(unknown, known)
        msg = f"trade {name!r} names assets the model does not know: {shown}. Drop or rename them."
        raise WeightsError(msg)
    twice = sorted({a for a in given_names if given_names.count(a) > 1})
    if twice:
        msg = f"trade {name!r} names {', '.join(twice)} more than once. Add them up first."
        raise WeightsError(msg)
    values = series.to_numpy("float64")
    if not np.isfinite(values).all():
        msg = f"changes of weight are finite numbers; trade {name!r} has {series.to_dict()!r}."
        raise WeightsError(msg)
    warn_of_gross(values, f"changes of weight in trade {name!r}", most=_LARGEST)
    changes = dict(zip(given_names, values, strict=True))
    return np.array([changes.get(a, 0.0) for a in known])
