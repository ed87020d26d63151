"""Saved files that a command is given: a fit where a fit is asked for."""

from pathlib import Path

import xarray as xr

from bayesfactor.errors import SchemaError

__all__ = ["read_fit"]


def read_fit(path: Path) -> xr.DataTree:
    """Return the fit in a file.

    Raises
    ------
    SchemaError, MissingFileError
        As `bf.load`; and if the file holds something else than a fit.
    """
    from bayesfactor.keep import load

    tree = load(path)
    if isinstance(tree, xr.Dataset):
        held = ", ".join(map(str, list(tree)[:4]))
        msg = f"{path.name} holds a Dataset ({held}, ...), where a fit is asked for. Give the file of a fit."
        raise SchemaError(msg)
    return tree
