"""What assets and factors belong to: a group for every asset, a family for every factor."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from bayesfactor.errors import PanelError, unknown_names
from bayesfactor.panel.words import few
from bayesfactor.schema import COMPOUNDING, DRIFT, SPECIFIC
from bayesfactor.tables import Door, clean_names, named_cells
from bayesfactor.tables.numbers import MISSING

__all__ = ["check_factor_names", "families_of", "groups_of"]

ONE_GROUP = "all"
MARKET_NAMES = ("market", "mkt")
GROUPS: Final = Door("groups", PanelError)
FAMILIES: Final = Door("families", PanelError)
GROUP_NAMES: Final = ("group", "groups", "sector", "category", "class", "industry", "cluster")


def groups_of(groups: object, assets: Sequence[str], fallback: Mapping[str, str] | None) -> list[str]:
    """Return the group of each asset; every asset must have one."""
    if groups is None:
        groups = fallback
    if groups is None:
        return [ONE_GROUP] * len(assets)
    known = _group_table(groups)
    homeless = [a for a in assets if a not in known]
    if homeless:
        hints = few(unknown_names([a], known) for a in homeless)
        msg = (
            f"every asset has a group; none is given for {hints}. Add them to groups=, a row for each, or "
            "drop the assets."
        )
        raise PanelError(msg)
    return [known[a] for a in assets]


def families_of(
    families: Mapping[str, str] | None, factors: Sequence[str], fallback: Mapping[str, str] | None
) -> list[str]:
    """Return the family of each factor: as given, else as its coord says, else by its name."""
    told = families or {}
    keys, values = clean_names(told, FAMILIES), clean_names(told.values(), FAMILIES)
    given = dict(zip(keys, values, strict=True))
    strangers = [name for name in given if name not in factors]
    if strangers:
        have = ", ".join(factors) or "none"
        msg = (
            f"families= names factors of the panel; unknown: {unknown_names(strangers, factors)}. The "
            f"factors are: {have}."
        )
        raise PanelError(msg)
    return [
        str(
            given.get(name)
            or (fallback or {}).get(name)
            or ("market" if name.lower() in MARKET_NAMES else "other")
        )
        for name in factors
    ]


def check_factor_names(factors: Sequence[str]) -> None:
    """Refuse factor names that components of risk already have."""
    components = (SPECIFIC, DRIFT, COMPOUNDING)
    taken = [name for name in factors if name in components]
    if taken:
        msg = (
            f"factors: the names {', '.join(components)} are components of risk and cannot be factors; got "
            f"{few(map(repr, taken))}. Rename."
        )
        raise PanelError(msg)


def _words(groups: list[str]) -> list[str]:
    """Return groups that are numbers without `.0`, which a spreadsheet adds to some of them."""
    if all(re.fullmatch(r"[0-9]*(\.0)?", g) for g in groups):
        return [g.removesuffix(".0") for g in groups]
    return groups


def _group_table(groups: object) -> dict[str, str]:
    cells = named_cells(groups, GROUPS, GROUP_NAMES, only=True)
    if cells is None:
        msg = (
            "groups: give a dict, a Series, a two-column DataFrame, a DataArray over asset or a path; got "
            f"{type(groups).__name__}. For example groups={{'BTC': 'layer-1'}}."
        )
        raise PanelError(msg)
    pairs = pd.Series(_words(clean_names(cells, GROUPS)), index=cells.index, dtype=object)
    pairs = pairs[[str(p).casefold() not in MISSING for p in pairs]]
    pairs = pairs[~pd.DataFrame({"asset": pairs.index, "group": pairs.to_numpy()}).duplicated().to_numpy()]
    if not pairs.index.is_unique:
        twice = pairs.index[pairs.index.duplicated()].unique()
        words = few(f"{name} ({few(pairs[[name]])})" for name in twice)
        msg = (
            f"groups: an asset has one group; more than one is given for {words}. Keep one, assets under "
            "asset and groups under group."
        )
        raise PanelError(msg)
    return {str(k): str(v) for k, v in pairs.items()}
