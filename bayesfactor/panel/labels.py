"""What assets and factors belong to: a group for every asset, a family for every factor."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from bayesfactor.errors import PanelError, unknown_names
from bayesfactor.panel.tables import ASSET_NAMES, read_file
from bayesfactor.panel.words import few
from bayesfactor.schema import ASSET, COMPOUNDING, DRIFT, SPECIFIC

__all__ = ["check_factor_names", "families_of", "groups_of"]

ONE_GROUP = "all"
MARKET_NAMES = ("market", "mkt")


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
        msg = f"every asset has a group; none is given for {hints}. Add them to groups=, or drop the assets."
        raise PanelError(msg)
    return [known[a] for a in assets]


def families_of(
    families: Mapping[str, str] | None, factors: Sequence[str], fallback: Mapping[str, str] | None
) -> list[str]:
    """Return the family of each factor: as given, else as its coord says, else by its name."""
    given = dict(families or {})
    strangers = [name for name in given if name not in factors]
    if strangers:
        have = ", ".join(factors) or "none"
        msg = (
            f"families= names factors of the panel; unknown: {unknown_names(strangers, factors)}. "
            f"The factors are: {have}."
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
            f"factors: the names {', '.join(components)} are components of risk and cannot be factors; "
            f"got {few(map(repr, taken))}. Rename."
        )
        raise PanelError(msg)


def _group_table(groups: object) -> dict[str, str]:
    pairs = _group_pairs(groups)
    pairs = pairs[pairs.notna() & (pairs.astype(str).str.strip() != "")]
    pairs = pd.Series(pairs.astype(str).to_numpy(), index=pairs.index.astype(str))
    pairs = pairs[~pd.DataFrame({"asset": pairs.index, "group": pairs.to_numpy()}).duplicated().to_numpy()]
    if not pairs.index.is_unique:
        twice = pairs.index[pairs.index.duplicated()].unique()
        words = few(f"{name} ({', '.join(pairs[[name]])})" for name in twice)
        msg = f"groups: an asset has one group; more than one is given for {words}. Keep one."
        raise PanelError(msg)
    return {str(k): str(v) for k, v in pairs.items()}


def _group_pairs(groups: object) -> pd.Series:
    """Return groups as a Series over assets, not yet checked."""
    if isinstance(groups, str | Path):
        groups = read_file(groups, "groups", words=True)
    if isinstance(groups, xr.DataArray):
        if groups.dims != (ASSET,) or ASSET not in groups.coords:
            msg = f"groups: a DataArray has the dim ({ASSET}) with labels; got dims {groups.dims}. Label it."
            raise PanelError(msg)
        groups = pd.Series(groups.to_numpy(), index=groups.indexes[ASSET])
    if isinstance(groups, pd.DataFrame):
        groups = _group_frame(groups)
    if isinstance(groups, Mapping):
        return pd.Series(list(groups.values()), index=pd.Index(list(groups), dtype=object), dtype=object)
    if isinstance(groups, pd.Series):
        return groups
    msg = (
        "groups: give a dict, a Series, a two-column DataFrame, a DataArray over asset or a path; "
        f"got {type(groups).__name__}. For example groups={{'BTC': 'layer-1'}}."
    )
    raise PanelError(msg)


def _group_frame(frame: pd.DataFrame) -> pd.Series:
    if frame.shape[1] == 1:
        return frame.iloc[:, 0]
    named = [j for j, name in enumerate(frame.columns) if str(name).lower() in ASSET_NAMES]
    if frame.shape[1] != 2:
        msg = f"groups: a table has two columns, asset and group; got {few(frame.columns)}. Keep those two."
        raise PanelError(msg)
    key = named[0] if named else 0
    return pd.Series(frame.iloc[:, 1 - key].to_numpy(), index=pd.Index(frame.iloc[:, key]))
