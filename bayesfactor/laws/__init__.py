"""The laws: pointwise log-likelihood, simulation and exact moments, without PyMC.

`LAWS` maps the structure a tree was fitted with to its law; adding a structure adds one line.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import SchemaError
from bayesfactor.laws.contract import ChainedLaw, Law, Moments, Scenarios
from bayesfactor.laws.drift import DRIFTS, Means, checked_drift, drifting, means_of
from bayesfactor.laws.garch import GarchLaw
from bayesfactor.laws.lowrank import LowRankLaw
from bayesfactor.laws.scores import ScoresLaw
from bayesfactor.laws.static import StaticLaw

__all__ = [
    "DRIFTS",
    "LAWS",
    "ChainedLaw",
    "Law",
    "Means",
    "Moments",
    "Scenarios",
    "checked_drift",
    "drifting",
    "follows_days",
    "law_class",
    "law_of",
    "means_of",
]

LAWS: Final[dict[str, type[Law]]] = {
    "static": StaticLaw,
    "lowrank": LowRankLaw,
    "scores": ScoresLaw,
    "garch": GarchLaw,
}


def law_of(tree: xr.DataTree, draws: np.ndarray | None = None) -> Law:
    """Return the law of a fitted tree, all draws or those at the flat positions `draws`."""
    s.check_tree(tree, s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA, verb="this verb")
    kind = law_class(tree)
    try:
        return kind.from_tree(tree, draws)
    except KeyError as error:
        msg = f"a tree of structure {tree.attrs['structure']} holds more than this one: {error.args[0]}"
        raise SchemaError(msg) from error


def follows_days(tree: xr.DataTree) -> bool:
    """Whether forecasts of a tree follow the days before; else they are of a typical day of its window."""
    if s.POSTERIOR not in tree.children and s.PREDICTIONS in tree.children:  # a mixture of fits
        return bool(tree[s.PREDICTIONS].attrs.get("chained", 0))
    return law_class(tree).chained


def law_class(tree: xr.DataTree) -> type[Law]:
    """Return the kind of law of a fitted tree, without reading a draw."""
    structure = tree.attrs.get("structure")
    if structure not in LAWS:
        msg = f"the tree was fitted with structure {structure!r}; this version knows {', '.join(LAWS)}."
        raise SchemaError(msg)
    return LAWS[structure]
