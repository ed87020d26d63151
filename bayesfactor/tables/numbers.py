"""Text becomes numbers as it was meant: 40,001.48, 40.001,48, $1.50, 12.5 %, 3.2M; doubts are refused.

A table has one decimal sign. `1,234` alone may be a thousand or one and a bit: then somebody has to say so.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bayesfactor.tables.names import Door, few

__all__ = ["Numbers", "check_decimal", "is_number", "read_numbers"]

MISSING = frozenset(
    {"", ".", "..", "-", "--", "–", "—", "na", "n/a", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "nat"}
    | {"null", "none"}
)
"""How files say that there is no number."""
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_DOT = re.compile(r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+")
_COMMA = re.compile(r"(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]*)?|,[0-9]+")
_PARTS = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<money>US\$|[$€£¥₹₩₿]|(?:USD[TC]?|EUR|GBP)\s)?\s*(?P<inner>[+-]?)"
    r"(?P<core>[0-9.,]+(?:[ \u00a0\u202f'’][0-9]{3})*(?:[.,][0-9]+)?)(?P<power>[eE][+-]?[0-9]+)?\s*"
    r"(?P<unit>[KkMmBbTt]?)\s*(?P<percent>[%％]?)\s*(?P<after>[$€£¥₹₩]|USD[TC]?|EUR|GBP)?"
)
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


@dataclass(frozen=True)
class Numbers:
    """A column of text as floats, and what stood beside them."""

    values: np.ndarray
    unread: list[str]
    """Cells that are neither numbers nor missing."""
    percent: bool
    """Every number had a per cent sign and was divided by 100."""
    mixed: bool
    """Some had one and some had none."""


@dataclass(frozen=True)
class _Parts:
    core: str
    power: str
    factor: float
    percent: bool


def is_number(cell: str) -> bool:
    """Whether a cell may be a number, in either way of writing decimals."""
    if _PLAIN.fullmatch(cell) or _INFINITE.fullmatch(cell):
        return True
    parts = _parts(cell)
    return parts is not None and bool(_DOT.fullmatch(parts.core) or _COMMA.fullmatch(parts.core))


def check_decimal(cells: Iterable[str], door: Door, code: str = "") -> str:
    """Return the decimal sign of a table of text, `.` or `,`.

    Parameters
    ----------
    cells : iterable of str
    door : Door
    code : str
        Python that reads the table with commas as separators of thousands, if there is such.

    Raises
    ------
    BayesFactorError
        The door's, if some cells have a decimal point and some a decimal comma, or if commas may be either.
    """
    dots: list[str] = []
    commas: list[str] = []
    doubtful: list[str] = []
    for cell in cells:
        # one more decimal point says nothing new
        if "," not in cell and cell.count(".") < (2 if dots else 1):
            continue
        parts = _parts(cell)
        if parts is None:
            continue
        as_dot, as_comma = bool(_DOT.fullmatch(parts.core)), bool(_COMMA.fullmatch(parts.core))
        if as_dot != as_comma:
            (dots if as_dot else commas).append(cell)
        elif as_dot and "," in cell:
            doubtful.append(cell)
    if dots and commas:
        msg = (
            f"{door.what}: a table has one decimal sign; {dots[0]!r} has a point and {commas[0]!r} a comma. "
            "Write all numbers alike."
        )
        raise door.error(msg)
    if doubtful and not dots and not commas:
        plain = doubtful[0].replace(",", "")
        msg = (
            f"{door.what}: a comma in {few(map(repr, doubtful))} is a decimal sign or a separator of "
            f"thousands, and nothing in the table says which. Write {plain} or "
            f"{doubtful[0].replace(',', '.')}"
        )
        if code:
            msg += (
                f", or say it: `{door.what} = {code}`, or with decimal=',' for thousands=','. For the "
                f"command line, add .to_csv('{door.what}.csv', index=False) and give that file"
            )
        msg += "."
        raise door.error(msg)
    return "," if commas else "."


def read_numbers(cells: Sequence[str], decimal: str = ".") -> Numbers:
    """Return a column of text as floats; NaN where a cell is missing or unread."""
    values = np.full(len(cells), np.nan)
    unread, signs, numbers = [], 0, 0
    for i, cell in enumerate(cells):
        # numbers as programs write them, nearly all there are; under a decimal comma 1.234 is no such number
        if _PLAIN.fullmatch(cell) and (decimal == "." or "." not in cell):
            values[i] = float(cell)
            numbers += 1
        elif cell.lower() in MISSING:
            continue
        elif _INFINITE.fullmatch(cell):
            values[i] = float(cell)
        else:
            parts = _parts(cell)
            number = None if parts is None else _value(parts, decimal)
            if parts is None or number is None:
                unread.append(cell)
                continue
            values[i] = number / 100.0 if parts.percent else number
            numbers += 1
            signs += parts.percent
    return Numbers(values, unread, percent=0 < signs == numbers, mixed=0 < signs < numbers)


def _parts(cell: str) -> _Parts | None:
    text = cell.strip().replace("−", "-")
    negative = text.startswith("(") and text.endswith(")")
    found = _PARTS.fullmatch(text[1:-1].strip() if negative else text)
    if found is None or (found["sign"] and found["inner"]) or (found["money"] and found["after"]):
        return None
    core = re.sub(r"[ \u00a0\u202f'’]", "", found["core"])
    minus = negative + ((found["sign"] or found["inner"]) == "-")
    if minus > 1:
        return None
    factor = _UNITS[found["unit"].lower()] * (-1.0 if minus else 1.0)
    return _Parts(core, found["power"] or "", factor, bool(found["percent"]))


def _value(parts: _Parts, decimal: str) -> float | None:
    if not (_DOT if decimal == "." else _COMMA).fullmatch(parts.core):
        return None
    core = parts.core.replace("," if decimal == "." else ".", "").replace(",", ".")
    return float(core + parts.power) * parts.factor
