"""What is typed becomes what the verbs take: weights, levels, and outputs that can be written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.portfolios import portfolios_of
from bayesfactor.errors import BayesFactorError, MissingFileError, RiskError, WeightsError
from bayesfactor.keep import check_place, save, write_csv, write_parquet
from bayesfactor.periods import between as inside
from bayesfactor.periods import stamp_text
from bayesfactor.risk.trades import read_trades as read
from bayesfactor.risk.weights import EQUAL, WEIGHT_NAMES, WEIGHTS
from bayesfactor.tables import by_name
from bayesfactor.tables.names import few

__all__ = [
    "FACTORS",
    "TREE",
    "between",
    "check_output",
    "names_of",
    "read_kappa",
    "read_levels",
    "read_names",
    "read_pairs",
    "read_portfolios",
    "read_trades",
    "read_weights",
    "write_csv",
    "write_factors",
]

TREE: Final = (".nc", ".zarr")
FACTORS: Final = (".nc", ".parquet", ".csv")


def read_weights(text: str, assets: Sequence[str], *, fill_zero: bool = False) -> pd.Series:
    """Return the weights that `text` stands for.

    Parameters
    ----------
    text : str
        `equal`, the path of a CSV with columns asset and weight, or pairs such as `BTC=0.6,ETH=0.4`.
    assets : sequence of str
        Assets of the model.
    fill_zero : bool
        Give 0 to the assets that are not named.

    Raises
    ------
    WeightsError
        If the text or the file cannot be read as weights.
    MissingFileError
        If it is neither `equal`, nor pairs, nor a file.
    """
    if text == EQUAL:
        return pd.Series(1.0 / len(assets), index=list(assets))
    path = Path(text)
    if path.is_file():
        weights = _from_file(path)
    elif "=" in text:
        weights = _from_pairs(text)
    else:
        msg = (
            f"no file of weights at {text!r}. Give '{EQUAL}', a CSV with the columns asset and weight, "
            "or pairs such as BTC=0.6,ETH=0.4."
        )
        raise MissingFileError(msg)
    others = [a for a in assets if a not in set(weights.index)]
    if others and not fill_zero and set(weights.index) <= set(assets):
        msg = (
            f"every asset of the fit needs a weight; none for {few(others)}. --fill-zero gives 0 to what is "
            "not named."
        )
        raise WeightsError(msg)
    return pd.concat([weights, pd.Series(0.0, index=others)]) if fill_zero and others else weights


def _from_pairs(text: str) -> pd.Series:
    names, values = [], []
    for pair in text.split(","):
        name, value = _pair(pair)
        if value is None:
            msg = f"weights are pairs such as BTC=0.6,ETH=0.4; got {pair!r} in {text!r}."
            raise WeightsError(msg)
        names.append(name)
        values.append(value)
    return pd.Series(values, index=names)


def _pair(text: str) -> tuple[str, float | None]:
    """Return the name and the number of `BTC=0.6`; no number where it is no pair."""
    name, _, number = (x.strip() for x in text.rpartition("="))
    try:
        return name, float(number) if name else None
    except ValueError:
        return name, None


def _from_file(path: Path) -> pd.Series:
    found = by_name(path, WEIGHTS, WEIGHT_NAMES)
    assert found is not None  # noqa: S101 - a file is a table or refused
    absent = found.index[found.isna().to_numpy()]
    if len(absent):
        msg = f"weights: {path.name!r} has no number for {', '.join(absent[:5])}. Give 0 to what is not held."
        raise WeightsError(msg)
    return found


def read_trades(path: Path) -> dict[str, dict[str, float]]:
    """Return trades, in the order of the file, as changes of weight by asset.

    Raises
    ------
    WeightsError
        If a column is missing, a change is not a number, or a trade names an asset twice.
    MissingFileError
        If there is no such file.
    """
    if not path.is_file():
        msg = f"no file of trades at {str(path)!r}. Give a CSV with the columns trade, asset and change."
        raise MissingFileError(msg)
    return read(path)


def read_portfolios(text: str, assets: Sequence[str]) -> pd.DataFrame:
    """Return portfolios (portfolio x asset) out of `equal` or a CSV.

    Parameters
    ----------
    text : str
        `equal`, or the path of a CSV: long, with the columns portfolio, asset and weight; wide, with a column
        portfolio and one per asset; or asset and weight, one portfolio named after the file. What is not
        named is not held.
    assets : sequence of str
        Assets of the panel.

    Raises
    ------
    WeightsError
        If the file cannot be read as portfolios.
    MissingFileError
        If it is neither `equal` nor a file.
    """
    if text == EQUAL:
        return pd.DataFrame([[1.0 / len(assets)] * len(assets)], index=["equal weight"], columns=list(assets))
    path = Path(text)
    if not path.is_file():
        msg = f"no file of portfolios at {text!r}. Give '{EQUAL}' or a CSV: portfolio, asset, weight."
        raise MissingFileError(msg)
    found = portfolios_of(path, assets, name=path.stem)
    assert found is not None  # noqa: S101 - a file is a table or refused
    return found


def read_pairs(text: str, rule: str) -> dict[str, float]:
    """Return numbers by name out of text such as `market=-0.2,size=0.05`; what breaks the rule quotes it."""
    found: dict[str, float] = {}
    for pair in text.split(","):
        name, value = _pair(pair)
        if value is None or name in found:
            msg = f"{rule}; got {pair!r} in {text!r}."
            raise RiskError(msg)
        found[name] = value
    return found


def read_kappa(text: str) -> float | dict[str, float]:
    """Return one number for all assets, or one each out of text such as `BTC=1.0,ETH=1.5`."""
    try:
        return float(text)
    except ValueError:
        return read_pairs(text, "kappa is a number, or pairs such as BTC=1.0,ETH=1.5, each asset once")


def read_names(text: str | None) -> list[str] | None:
    """Return the names in text such as `BTC,ETH`, None where there is no text."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def read_levels(text: str) -> tuple[float, ...]:
    """Return confidence levels out of text such as `0.95,0.99`."""
    try:
        return tuple(float(x) for x in text.split(","))
    except ValueError as error:
        msg = f"levels are numbers between 0.5 and 1 with commas, such as 0.95,0.99; got {text!r}."
        raise BayesFactorError(msg) from error


def names_of(models: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return one name per file: the model's; where two are equal, the file's; then the whole path."""
    for names in (list(models), [p.stem for p in paths], [str(p) for p in paths]):
        if len(set(names)) == len(names):
            return names
    twice = next(str(p) for p in paths if paths.count(p) > 1)
    msg = f"each fit is compared once; {twice!r} was given twice."
    raise BayesFactorError(msg)


def check_output(path: Path | None, suffixes: Sequence[str]) -> None:
    """Raise unless what writes will be able to; before anything long begins, and by the same rule."""
    if path is not None:
        check_place(path, suffixes)


def between(factors: xr.Dataset, start: str | None, end: str | None) -> xr.Dataset:
    """Return the periods from `start` to `end`, both inclusive, a date its whole day."""
    stamps = pd.DatetimeIndex(factors.indexes[s.TIME])
    kept = factors.isel({s.TIME: np.flatnonzero(inside(stamps, start, end))})
    if kept.sizes[s.TIME] <= kept.sizes[s.FACTOR] + 1:
        msg = (
            f"factors: more periods than factors lie between start and end; got {kept.sizes[s.TIME]} for "
            f"{kept.sizes[s.FACTOR]}. The data run from {stamp_text(stamps[0])} to {stamp_text(stamps[-1])}."
        )
        raise BayesFactorError(msg)
    return kept


def write_factors(factors: xr.Dataset, path: Path) -> None:
    """Write factors as netCDF with all they carry, or their returns alone as a wide table."""
    if path.suffix.lower() == ".nc":
        save(factors, path)
        return
    values = factors[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR)
    dates = pd.Index(values[s.TIME].values, name="date")
    table = pd.DataFrame(values.values, index=dates, columns=values[s.FACTOR].values.astype(object))
    if path.suffix.lower() == ".csv":
        write_csv(table, path)
        return
    write_parquet(table, path)
