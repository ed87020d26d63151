"""Names: without blanks around them, printable, alike wherever they are read."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bayesfactor.errors import BayesFactorError

__all__ = ["Door", "clean", "clean_names", "few", "plain"]

_INVISIBLE = "\ufeff\u200b\u200e\u200f"
_SHOWN = 5


@dataclass(frozen=True)
class Door:
    """What a table is called in messages, and the class of its errors."""

    what: str
    error: type[BayesFactorError]


def few(words: Iterable[object]) -> str:
    """Join the first few words, and say how many more there are."""
    listed = [str(w) for w in words]
    text = ", ".join(listed[:_SHOWN])
    return text if len(listed) <= _SHOWN else f"{text} and {len(listed) - _SHOWN} more"


def clean(name: object) -> str:
    """Return a name as text without blanks around it; nothing and NaN are an empty name."""
    if name is None or (isinstance(name, float | np.floating) and np.isnan(name)):
        return ""
    text = str(name)
    if text in {"NaT", "<NA>"} and not isinstance(name, str):
        return ""
    return text.strip().strip(_INVISIBLE).strip()


def plain(name: object) -> str:
    """Return a name in small letters and digits, by which columns are known: `Adj. Close` is adjclose."""
    return "".join(c for c in clean(name).casefold() if c.isalnum())


def clean_names(names: Iterable[object], door: Door) -> list[str]:
    """Return names without blanks around them.

    Raises
    ------
    BayesFactorError
        The door's, if a name holds NUL, another control character or half of a surrogate pair: such a name
        can be neither saved nor shown.
    """
    found = [clean(n) for n in names]
    bad = [n for n in found if not (n.isascii() and n.isprintable()) and any(map(_is_no_letter, n))]
    if bad:
        msg = (
            f"{door.what}: names are printable text; got {few(map(ascii, bad))}, with NUL, a line break or "
            "half a character in it. Rename."
        )
        raise door.error(msg)
    return found


def _is_no_letter(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}
