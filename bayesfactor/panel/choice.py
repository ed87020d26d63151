"""Which columns of a table become assets: those asked for, less those left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayesfactor.errors import PanelError, unknown_names, warn
from bayesfactor.panel.words import few

__all__ = ["Choice", "choice_of"]

DEAD = "dead"
"""Stands in `drop=` for all assets without any return in the window."""


@dataclass(frozen=True)
class Choice:
    """What `assets=` and `drop=` ask for.

    Parameters
    ----------
    assets : tuple of str or None
        Those to keep, in this order; None keeps all.
    drop : tuple of str
        Those to leave out.
    dead : bool
        Whether those without any return in the window go too.
    """

    assets: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    dead: bool = False

    def of(self, wide: pd.DataFrame, what: str) -> pd.DataFrame:
        """Return the columns of a table that are asked for.

        Raises
        ------
        PanelError
            If a name is not in the table, is named twice, or nothing is left.
        """
        have = [str(c) for c in wide.columns]
        for option, names in (("assets", self.assets or ()), ("drop", self.drop)):
            unknown = [n for n in names if n not in set(have)]
            if unknown:
                msg = (
                    f"{option}= names {what} of the table; unknown: {unknown_names(unknown, have)}. "
                    f"It has {len(have)}: {few(have)}."
                )
                raise PanelError(msg)
        kept = [n for n in self.assets or have if n not in set(self.drop)]
        if not kept:
            msg = f"assets= less drop= leave some asset; got none of {few(have)}. Leave less out."
            raise PanelError(msg)
        return wide if kept == have else wide[kept]

    def living(self, returns: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Return the returns of a window without what has none in it, and the names of those, said aloud."""
        if not self.dead:
            return returns, []
        gone = [str(c) for c in returns.columns[returns.isna().all()]]
        if len(gone) == returns.shape[1]:
            msg = f"some asset has a return in the window; none of {few(gone)} has. Widen the window."
            raise PanelError(msg)
        if gone:
            warn(
                f"left out, for want of any return in the window: {', '.join(gone)}. "
                "What remains are the survivors: a study of the past wants the others too.",
            )
        return returns.drop(columns=gone), gone


def choice_of(assets: str | Iterable[str] | None, drop: str | Iterable[str] | None) -> Choice:
    """Return what the two options ask for.

    Raises
    ------
    PanelError
        If one is no list of names, or names an asset twice.
    """
    keep, out = _names(assets, "assets"), _names(drop, "drop") or ()
    if keep is not None and not keep:
        msg = "assets= names at least one asset; got none. Leave it out to keep all."
        raise PanelError(msg)
    return Choice(keep, tuple(n for n in out if n != DEAD), DEAD in out)


def _names(given: str | Iterable[str] | None, option: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    names: tuple[Any, ...] = (
        tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    )
    strange = [n for n in names if not isinstance(n, str)]
    if strange:
        msg = (
            f"{option}= is a name or a list of names; got {few(map(repr, strange))}. Such as ['BTC', 'ETH']."
        )
        raise PanelError(msg)
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"{option}= names each asset once; more than once: {few(twice)}."
        raise PanelError(msg)
    return names
