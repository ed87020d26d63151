"""A table of positions, checked row by row: what an instrument needs is there, and nothing else is."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import PositionsError, unknown_names
from bayesfactor.positions.holdings import Positions
from bayesfactor.positions.units import POSITIONS, number_of
from bayesfactor.tables import check_decimal, clean, clean_names, given, plain
from bayesfactor.tables.given import without_counters
from bayesfactor.tables.names import few
from bayesfactor.tables.pairs import SIDES

__all__ = ["read_positions"]

_NEEDS: Final = {
    "spot": (("quantity", "price"), ()),
    "perpetual": (("quantity", "price"), ("funding",)),
    "option": (("type", "quantity", "price", "strike", "days", "implied_volatility"), ("rate",)),
    "greeks": ((), ("delta", "gamma", "vega", "theta", "implied_volatility")),
}
"""By instrument: columns that are needed, and columns that may be given."""

_COLUMNS: Final = (
    s.ASSET,
    "instrument",
    "type",
    "quantity",
    "price",
    "strike",
    "days",
    "implied_volatility",
    "rate",
    "funding",
    "delta",
    "gamma",
    "vega",
    "theta",
)
_CALLED: Final = {
    s.ASSET: ("symbol", "underlying", "coin", "contract", "contracts", "ticker", "market", "pair"),
    "instrument": ("kind", "instrumenttype", "producttype"),
    "type": ("optiontype", "callput", "putcall", "cp", "right"),
    "quantity": ("qty", "size", "amount", "positionamt", "position", "units"),
    "price": ("markprice", "mark", "indexprice", "underlyingprice", "spotprice", "forward"),
    "strike": ("strikeprice", "k"),
    "implied_volatility": ("iv", "impliedvol", "markiv", "vol", "volatility", "sigma"),
    "rate": ("interestrate", "riskfreerate", "r"),
}
"""What exchanges call a column, in small letters and digits."""
_SAID: Final = (
    (
        ("expiry", "expiration", "expirydate", "maturity", "expirationdate"),
        "give days, from today to expiry, for it",
    ),
    (SIDES, "give shorts a negative quantity instead of a side"),
    (
        ("fundingrate", "fundingrate8h", "lastfundingrate", "funding8h"),
        "give funding for one period of the panel as a fraction",
    ),
)
_WORDS: Final = (s.ASSET, "instrument", "type")


@verb
def read_positions(table: Any) -> Positions:
    """Read positions in spot, perpetuals and options, or their greeks.

    Parameters
    ----------
    table : path of CSV or Parquet, DataFrame of pandas or polars, pyarrow Table, or sequence of mappings
        One row per position. `asset` is the underlying, `instrument` what is held of it:

        - `spot`: `quantity`, `price`;
        - `perpetual`: `quantity`, `price`, and `funding`, what longs pay per period as a fraction of the
          notional (0 where empty);
        - `option`, European, settled in the money of `price`: `type` (call or put), `quantity`, `price` (of
          the underlying, or the forward to expiry), `strike`, `days` to expiry, `implied_volatility` (per
          year of 365 days, a fraction), and `rate` (per year, continuous; 0 where empty);
        - `greeks`: `delta`, money per 100 % return of the underlying; `gamma`, money per (100 % return)^2;
          `vega`, money per 1.00 of implied volatility; `theta`, money gained per period; what is empty is 0.
          The gain is delta r + gamma r^2 / 2. `implied_volatility` is needed where it moves with returns.

        Shorts have a negative quantity. What an instrument does not have is left empty.

    Returns
    -------
    Positions

    Raises
    ------
    PositionsError
        If a column or an instrument is unknown, a row lacks what its instrument needs or has what it does not
        have, or a number is not finite, or a price, strike, number of days or volatility is not above 0.
    MissingFileError
        If there is no such file.

    Notes
    -----
    Options are valued by Black's formula on the forward [1]_. Inverse and quanto contracts, which pay in the
    coin, and American exercise are out of scope: give their `greeks`.

    References
    ----------
    .. [1] Black, F. (1976). The pricing of commodity contracts. Journal of Financial Economics 3.

    Examples
    --------
    >>> put = {"asset": "BTC", "instrument": "option", "type": "put", "quantity": 2, "price": 95_000}
    >>> put |= {"strike": 80_000, "days": 30, "implied_volatility": 0.6}
    >>> bf.read_positions([put]).exposures()  # doctest: +SKIP
    """
    frame = _frame(table)
    names = [clean(c).lower().replace(" ", "_") for c in frame.columns]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"positions: each column once; got {', '.join(twice)} more than once. Drop or rename one."
        raise PositionsError(msg)
    unknown = [n for n in names if n not in _COLUMNS]
    if unknown:
        raise PositionsError(
            _unknown([clean(c) for c, n in zip(frame.columns, names, strict=True) if n in unknown])
        )
    absent = [n for n in (s.ASSET, "instrument") if n not in names]
    if absent:
        got = ", ".join(names) or "none"
        msg = (
            f"positions: the columns asset and instrument are needed; missing {', '.join(absent)}, got {got}."
        )
        raise PositionsError(msg)
    if not len(frame):
        msg = "positions: a table has at least one row; got none. Leave positions out where there are none."
        raise PositionsError(msg)
    frame = frame.set_axis(names, axis=1)
    decimal = check_decimal(_texts(frame), POSITIONS)
    rows = [_row(i + 1, dict(zip(names, row, strict=True)), decimal) for i, row in enumerate(_values(frame))]
    types = {c: "str" if c in _WORDS else "float64" for c in _COLUMNS}
    return Positions(pd.DataFrame(rows, columns=list(_COLUMNS)).astype(types))


def _unknown(columns: list[str]) -> str:
    """Return what to say of columns that are unknown, some of them by the names that exchanges give them."""
    renamed = {c: next((own for own, others in _CALLED.items() if plain(c) in others), None) for c in columns}
    told = [f"{c} may be {own}" for c, own in renamed.items() if own is not None]
    said = [word for names, word in _SAID if any(plain(c) in names for c in columns)]
    known = {n for names, _ in _SAID for n in names}
    others = [c for c in columns if renamed[c] is None and plain(c) not in known]
    typed = [c for c in others if not any(own in plain(c) for own in _COLUMNS)]
    got = ", ".join(unknown_names([c], _COLUMNS) if c in typed else repr(c) for c in columns)
    remedies = [f"rename ({', '.join(told)})"] if told else []
    remedies += [*said, f"leave {few(map(repr, others))} out"] if others else said
    remedy = "; ".join(remedies)
    return (
        f"positions: unknown columns {got}. Known are {', '.join(_COLUMNS)}. {remedy[0].upper()}{remedy[1:]}."
    )


def _values(frame: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    return frame.itertuples(index=False, name=None)


def _texts(frame: pd.DataFrame) -> Iterable[str]:
    """Yield what is written in columns of numbers."""
    numbers = [c for c in frame.columns if c not in _WORDS]
    return (x.strip() for c in numbers for x in frame[c] if isinstance(x, str))


def _frame(table: Any) -> pd.DataFrame:
    """Return the table as it came; a file as text, since NA and NULL are names of coins."""
    if isinstance(table, Iterable) and not isinstance(table, Mapping | str | pd.DataFrame):
        rows = list(table) if not hasattr(table, "to_pandas") else None
        if rows is not None and all(isinstance(row, Mapping) for row in rows):
            return pd.DataFrame([dict(row) for row in rows])
    # what an instrument does not have is left empty: a row may end where nothing follows
    found = given(table, POSITIONS, header=False, any_name=True, short_rows=True)
    if found is None:
        msg = f"positions: a CSV, a DataFrame or a list of rows by column; got {type(table).__name__}."
        raise PositionsError(msg)
    return without_counters(found.frame, POSITIONS, text=found.text)


def _row(number: int, cells: dict[str, Any], decimal: str) -> dict[str, Any]:
    """Return one row checked: words as text, numbers as floats, NaN where there is none."""
    filled = {name: x for name, x in ((n, _given(c)) for n, c in cells.items()) if x is not None}
    where = f"row {number} of positions"
    asset = clean_names([filled.pop(s.ASSET, "")], POSITIONS)[0]
    if not asset:
        msg = f"{where}: asset names the underlying; got nothing. Name it, or leave the row out."
        raise PositionsError(msg)
    kind = str(filled.pop("instrument", "")).strip().lower()
    if kind not in _NEEDS:
        got = unknown_names([kind], _NEEDS) if kind else "nothing"
        msg = f"{where} ({asset}): instrument is one of {', '.join(_NEEDS)}; got {got}."
        raise PositionsError(msg)
    where = f"{where} ({asset}, {kind})"
    needed, allowed = _NEEDS[kind]
    missing = [n for n in needed if n not in filled]
    if missing:
        msg = f"{where}: needs {', '.join(needed)}; nothing in {', '.join(missing)}."
        raise PositionsError(msg)
    alien = [n for n in filled if n not in (*needed, *allowed)]
    if alien:
        msg = f"{where}: has no {' or '.join(alien)}; got {filled[alien[0]]!r}. Leave it empty."
        raise PositionsError(msg)
    if kind == "greeks" and not set(filled) - {"implied_volatility"}:
        msg = f"{where}: give at least one of delta, gamma, vega and theta; all are empty."
        raise PositionsError(msg)
    out: dict[str, Any] = {s.ASSET: asset, "instrument": kind, "type": ""}
    if "type" in filled:
        out["type"] = str(filled.pop("type")).strip().lower()
        if out["type"] not in ("call", "put"):
            msg = f"{where}: type is call or put; got {out['type']!r}. Write the word."
            raise PositionsError(msg)
    return out | {name: number_of(where, name, x, decimal) for name, x in filled.items()}


def _given(cell: Any) -> Any:
    """Return a cell, None where it is empty."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    return None if isinstance(cell, float) and math.isnan(cell) else cell
