"""`select_assets`: a part of a fit whose numbers are those of the whole."""

from collections.abc import Sequence

import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import SchemaError, unknown_names
from bayesfactor.laws.whole import part_of, whole_fit

__all__ = ["select_assets"]


@verb
def select_assets(tree: xr.DataTree, assets: str | Sequence[str]) -> xr.DataTree:
    """Return the part of a fit that is about some of its assets.

    Every number stays what it is in the whole fit with nothing held of the others: assets share a law, so
    the others are set aside in the group `others`, and not thrown away. `tree.sel(asset=...)` does, and is
    refused by every verb.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`, `bf.update`, `bf.forecast`, `bf.stack`, or a part of one.
    assets : str or sequence of str
        What is kept, in this order.

    Returns
    -------
    DataTree
        Groups with those assets alone; verbs ask weights for them and answer for them. What is about the fit
        as one (`bf.diagnose`, `bf.compare`, `bf.update`, sensitivity) still reads all of it.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`, or an asset is unknown, there twice, or none is given.

    Examples
    --------
    >>> part = bf.select_assets(tree, ["BTC", "ETH"])  # doctest: +SKIP
    >>> bf.decompose_risk(part, {"BTC": 0.6, "ETH": 0.4})  # doctest: +SKIP
    """
    if isinstance(tree, xr.Dataset):
        msg = (
            "select_assets takes a part of a fit; got a Dataset. Of a panel: panel.sel(asset=[...]), without "
            "its factor_weights (drop_vars), for the factors are then given from outside."
        )
        raise SchemaError(msg)
    s.check_tree(tree, s.OBSERVED_DATA, verb="select_assets")
    names = [assets] if isinstance(assets, str) else [str(a) for a in assets]
    every = whole_fit(tree)
    known = every[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str).tolist()
    strange, twice = [n for n in names if n not in set(known)], len(set(names)) < len(names)
    if strange or twice or not names:
        got = unknown_names(strange, known) if strange else "one twice" if twice else "none"
        msg = f"select_assets keeps assets of the fit, each once; got {got}. It has {', '.join(known[:20])}."
        raise SchemaError(msg)
    return part_of(every, names)
