"""Open, high, low, close and volume are fields of one coin, not coins: they are known by name, and refused.

Where a table has fields for each of several coins (two rows of names, or a column of coins), the close is
the price.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from bayesfactor.errors import PanelError
from bayesfactor.panel.dates import convert, looks_dated, reading
from bayesfactor.panel.forms import Form
from bayesfactor.schema import ASSET
from bayesfactor.tables import Door, Given, plain, read_numbers
from bayesfactor.tables.given import csv_code, indexed_code
from bayesfactor.tables.names import few
from bayesfactor.tables.numbers import check_decimal, is_number

__all__ = [
    "is_field",
    "refuse_fields_in_names",
    "refuse_fields_of_one_coin",
    "refuse_no_header",
    "refuse_turned",
    "value_among",
]

_OFTEN_COINS: Final = {
    "open", "high", "low", "last", "bid", "ask", "vol", "count", "change", "ignore", "dividends", "hoch",
    "tief",
}  # fmt: skip
"""Fields after which coins are called, too."""
_NEVER_COINS: Final = {
    "close", "adjclose", "adjustedclose", "adjcloseprice", "closeprice", "closingprice", "openprice",
    "highprice", "lowprice", "lastprice", "priceclose", "price", "prices", "priceusd", "closeusd",
    "marketcap", "mcap", "vwap", "marketcapitalization", "numberoftrades", "trades", "tradecount",
    "tradescount", "closetime", "timeclose", "timehigh", "timelow", "stocksplits", "circulatingsupply",
    "openinterest", "totalvolume", "quotevolume", "quoteassetvolume", "basevolume", "weightedaverage",
    "changepercent", "percentchange", "capmrktcurusd", "adjustedprice", "closeusdt", "priceusdt", "closeeur",
    "priceeur", "closingpriceusd", "zuletzt", "eröffn", "eröffnung", "schlusskurs", "dernier", "ouv",
    "plushaut", "plusbas", "último", "apertura", "máximo", "mínimo", "cierre",
}  # fmt: skip
_STEMS: Final = ("volume", "takerbuy")
_BARS: Final = {"open", "high", "low", "close", "adjclose", "volume", "marketcap", "price"}
_CLOSES: Final = {2: 1, 5: 4, 6: 4, 7: 4, 8: 4, 11: 4, 12: 4}
"""Where the price stands in files without header, by their number of columns: after open, high and low."""


def is_field(name: object) -> bool:
    """Whether a column is called as a field of one coin is."""
    word = plain(name)
    return word in _OFTEN_COINS or _is_sure(word)


def _is_sure(word: str) -> bool:
    return word in _NEVER_COINS or word.startswith(_STEMS)


def refuse_fields_in_names(table: Given, form: Form, columns: Sequence[str], date: str | None) -> None:
    """Raise if names of columns are coin and field in one, such as BTC_close and BTC_volume, or close.BTC.

    Raises
    ------
    PanelError
        With the code that keeps one field of each coin.
    """
    pairs = {c: pair for c in columns if (pair := _coin_and_field(c)) is not None}
    fields = {field for _, field in pairs.values()}
    if form.dim != ASSET or len(pairs) < max(2, 0.8 * len(columns)) or len(fields) < 2:
        return
    field = next((n for n in form.value_names if n in fields), None)
    kept = {c: coin for c, (coin, own) in pairs.items() if own == field}
    remedy = "Keep one field of each coin"
    if kept:
        start = table.code + (f".set_index({date!r})" if date is not None else "")
        remedy = (
            f"Keep one field of each: `{form.what} = {start}[{list(kept)!r}].rename(columns={kept!r})`. For "
            f"the command line, add .to_csv('{form.what}.csv') and give that file"
        )
    msg = (
        f"{form.what}: a wide table has one column per coin, named after it; {few(pairs)} are fields of "
        f"coins. {remedy}."
    )
    raise PanelError(msg)


def _coin_and_field(name: str) -> tuple[str, str] | None:
    """Return coin and field of a name that is made of both, None of another."""
    for separator in ("_", " ", ".", ":", "|", "-", "/"):
        for head, tail in ((name.rpartition(separator)[::2]), name.partition(separator)[::2][::-1]):
            if head and tail and plain(tail) in _BARS and plain(head) not in _BARS:
                return head, plain(tail)
    return None


def refuse_fields_of_one_coin(table: Given, form: Form, columns: Sequence[str], date: str | None) -> None:
    """Raise if the columns of a wide table are fields of one coin: some surely are, or all or several may be.

    Raises
    ------
    PanelError
        With the code that makes a table of coins of it.
    """
    fields = [c for c in columns if is_field(c)]
    sure = [c for c in fields if _is_sure(plain(c))]
    if form.dim != ASSET or not fields or (len(fields) < len(columns) and len(fields) < 3 and not sure):
        return
    one = next((c for name in form.value_names for c in columns if plain(c) == name), None)
    remedy = "Make one column for each coin, under its name"
    if one is not None:
        remedy = (
            f"With your coin's name for BTC: `{form.what} = {_line(table, date, one)}`, and more coins "
            f"beside it by pd.concat([...], axis=1). For the command line, add .to_csv('{form.what}.csv') "
            "and give that file"
        )
    msg = (
        f"{form.what}: a wide table has one column per coin, named after it; {few(fields)} are fields of "
        f"one coin. {remedy}."
    )
    raise PanelError(msg)


def refuse_no_header(table: Given, form: Form) -> None:
    """Raise if the first row of a file is data, or a frame has counts for names of columns.

    Raises
    ------
    PanelError
        With the code that names them, where their number says what they are.
    """
    names = [str(c) for c in table.frame.columns]
    if table.sheet is not None:
        bare = (
            len(names) > 1
            and (looks_dated(names[0]) or is_number(names[0]))
            and all(map(is_number, names[1:]))
        )
        first, stamps = ", ".join(names), [names[0], *table.frame.iloc[:, 0]]
        code = f"pd.read_csv({str(table.sheet.path)!r}, header=None{table.sheet.options()})"
    else:
        bare = not table.labelled and names == [str(j) for j in range(len(names))] and len(names) > 1
        first, stamps, code = ", ".join(names), table.frame.iloc[:, 0].tolist() if bare else [], table.code
    if not bare:
        return
    remedy = "Write a first line with a name for each column"
    close = _CLOSES.get(len(names))
    if close is not None and form.dim == ASSET:
        when = reading(stamps, "date")
        line = (
            f"{code}[[0, {close}]].set_axis(['date', 'BTC'], axis=1){convert('date', when) if when else ''}"
        )
        remedy = (
            f"These look like {'stamp and price' if close == 1 else 'stamp, open, high, low, close, ...'} "
            f"of one coin: with its name for BTC, `{form.what} = {line}`. For the command line, add "
            f".to_csv('{form.what}.csv', index=False) and give that file"
        )
    msg = f"{form.what}: the first row names the columns; got {few(first.split(', '))}. {remedy}."
    raise PanelError(msg)


def refuse_turned(table: Given, form: Form) -> None:
    """Raise if dates run across the columns.

    Raises
    ------
    PanelError
        With the code that turns the table.
    """
    names = [str(c) for c in table.frame.columns]
    dated = [n for n in names if looks_dated(n)]
    if len(dated) < 2 or len(dated) < len(names) - 1 or isinstance(table.frame.index, pd.DatetimeIndex):
        return
    code = table.code
    if table.sheet is not None:
        code = indexed_code(table.sheet)
    elif len(dated) < len(names):
        code += f".set_index({next(n for n in names if n not in dated)!r})"
    msg = (
        f"{form.what}: dates run down the rows, {form.dim}s across the columns; got columns {few(dated)}. "
        f"Turn the table: `{form.what} = {code}.T`. For the command line, add .to_csv('{form.what}.csv') and "
        "give that file."
    )
    raise PanelError(msg)


def value_among(
    frame: pd.DataFrame,
    names: Sequence[object],
    form: Form,
    *,
    text: bool,
    code: str = "",
    level: str = "",
) -> int:
    """Return the place of the column of values among `names`, of which a table has exactly one.

    Parameters
    ----------
    frame : DataFrame
    names : sequence of str
    form : Form
    text : bool
    code : str
        Python that makes the table, for the remedy.
    level : str
        What `.drop` has to be told besides.

    Raises
    ------
    PanelError
        If there is none, or two that differ.
    """
    words = [plain(n) for n in names]
    found = [j for j, w in enumerate(words) if w in form.value_names]
    if len(found) > 1 and all(
        _equal(frame.iloc[:, found[0]], frame.iloc[:, j], text=text) for j in found[1:]
    ):
        found = found[:1]
    if len(found) != 1:
        listed = " or ".join(form.value_names[:3])
        got = few(str(names[j]) for j in found) or "none"
        others = [str(names[j]) for j in found[1:]]
        how = f"{form.what} = {code or form.what}.drop(columns={others!r}{level})"
        remedy = (
            f"Drop {few(others)}, or the other: `{how}`. For the command line, add "
            f".to_csv('{form.what}.csv'{'' if level else ', index=False'}) and give that file"
            if found
            else f"Rename yours to {form.value_names[0]!r}"
        )
        msg = (
            f"{form.what}: a long table has exactly one value column, named {listed}; got {got} among "
            f"{few(names)}. {remedy}."
        )
        raise PanelError(msg)
    return found[0]


def _equal(one: pd.Series, other: pd.Series, *, text: bool) -> bool:
    if text:
        return list(one) == list(other)
    return bool(np.array_equal(one.to_numpy(), other.to_numpy()))


def _line(table: Given, date: str | None, field: str) -> str:
    """Return code that makes a table of one coin, under its dates, of one of its fields."""
    code = table.code
    if table.sheet is not None:
        cells = table.frame[field].tolist()
        decimal = check_decimal(cells, Door(field, PanelError))
        thousands = any("," in c for c in cells) if decimal == "." else any("." in c for c in cells)
        words = date if thousands else None
        code = csv_code(table.sheet, decimal, thousands=thousands, words=words)
        if read_numbers(cells, decimal).unread:
            return code
    if date is not None:
        when = reading(table.frame[date].tolist(), date)
        code += (convert(date, when) if when else "") + f".set_index({date!r})"
    return code + f"[[{field!r}]].rename(columns={{{field!r}: 'BTC'}})"
