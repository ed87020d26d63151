"""Files in the shapes that exchanges, sites and spreadsheets write, made of the same small market."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DAYS = pd.date_range("2024-01-25", periods=20, name="date", unit="ns")
COINS = ["BTC", "ETH", "SOL"]


def market() -> pd.DataFrame:
    """Prices of three coins, rounded as files have them; the first is dear enough for separators of thousands."""
    rng = np.random.default_rng(7)
    walk = np.exp(np.cumsum(rng.normal(0, 0.03, size=(len(DAYS), 3)), axis=0))
    return pd.DataFrame((walk * [40_000.0, 2_000.0, 90.0]).round(2), index=DAYS, columns=COINS)


def bars(coin: str = "BTC") -> pd.DataFrame:
    """Open, high, low, close and volume of one coin."""
    close = market()[coin]
    table = pd.DataFrame(
        {"Open": close.shift(1).fillna(close.iloc[0]), "High": close * 1.01, "Low": close * 0.99}
    )
    return table.assign(Close=close, Volume=1e6).round(2)


def stacked() -> pd.DataFrame:
    """One row per day and coin, with open, high, low, close and volume."""
    return pd.concat([bars(c).assign(symbol=c) for c in COINS]).reset_index()


def lines(
    table: pd.DataFrame, delimiter: str = ",", number: Callable[[float], str] = str, quote: str = ""
) -> str:
    """Return a wide table as text, its numbers written by `number`."""
    rows = [delimiter.join(["date", *table.columns])]
    for day, row in zip(table.index, table.to_numpy(), strict=True):
        rows.append(delimiter.join([str(day.date()), *(f"{quote}{number(x)}{quote}" for x in row)]))
    return "\n".join(rows) + "\n"


def klines(unit: str = "ms") -> list[list[Any]]:
    """Return rows as Binance writes them: twelve columns, no header."""
    per = {"ms": 10**6, "us": 10**3}[unit]
    rows = []
    for day, (o, h, low, c, v) in zip(DAYS, bars().to_numpy(), strict=True):
        at = day.value // per
        rows.append([at, o, h, low, c, v, at + 86_400 * 10**9 // per - 1, v * c, 100, v / 2, v * c / 2, 0])
    return rows


def rows_text(rows: list[list[Any]], header: str = "") -> str:
    return "\n".join([*([header] if header else []), *(",".join(map(str, r)) for r in rows)]) + "\n"


def written(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    """Write a file, compressed where its name says so."""
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
    return path


def code_in(message: str) -> str:
    """Return the line of Python that an error prints as its remedy."""
    found = re.search(r"`([^`]+)`", message)
    assert found is not None, message
    return found[1]


def mended(message: str, **names: Any) -> Any:
    """Run the remedy of an error, and return what it makes."""
    scope: dict[str, Any] = {"pd": pd, **names}
    exec(code_in(message), scope)
    return scope[code_in(message).split(" = ")[0]]
