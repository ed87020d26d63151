"""`.bf` of every Dataset and DataTree: what it is, in ten lines; and the same in notebooks, unasked.

xarray objects are not to be subclassed: `sel`, `copy` and files give plain ones back. An accessor is what
xarray has instead, as ArviZ has `.azstats`. It belongs to the type: whatever came out of this package, or
out of a file, has it. What is shown is decided by `bf.info`, which reads all rooms; this one is the ground,
and asks the face for it when something is shown.
"""

import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

import xarray as xr

from bayesfactor.errors import BayesFactorError

__all__ = ["Shown"]


class Shown:
    """What `tree.bf` is: shows itself as `bf.info(tree)`, which is computed once for each object."""

    def __init__(self, thing: xr.Dataset | xr.DataTree) -> None:
        self._thing = thing

    @cached_property
    def info(self) -> Any:
        """The facts, from `bf.info`."""
        return sys.modules["bayesfactor"].info(self._thing)

    def __repr__(self) -> str:
        """Return the facts as lines, or why there are none."""
        try:
            return repr(self.info)
        except BayesFactorError as error:
            return f"<no result of bayesfactor: {error}>"

    def _repr_html_(self) -> str | None:
        try:
            found: str = self.info._repr_html_()
        except BayesFactorError:
            return None
        return found


def _above(before: Callable[[Any], str] | None) -> Callable[[Any], str]:
    """Return a notebook's view of an object: ours above the one before, where it is one of ours."""

    def show(thing: Any) -> str:
        view: str = thing._repr_html_() if before is None else before(thing)
        ours = thing.bf._repr_html_() if "schema_version" in thing.attrs else None
        return view if ours is None else ours + view

    return show


def _register() -> None:
    for kind, register in (
        (xr.Dataset, xr.register_dataset_accessor),
        (xr.DataTree, xr.register_datatree_accessor),
    ):
        if not hasattr(kind, "bf"):
            register("bf")(Shown)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and getattr(shell, "display_formatter", None) is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        for kind in (xr.Dataset, xr.DataTree):
            formatter.for_type(kind, _above(formatter.for_type(kind)))


_register()
