"""The episodes that are shipped: their days, and one line of why. Data, in `episodes.toml`."""

import tomllib
from functools import cache
from importlib.resources import files

import pandas as pd

from bayesfactor.calls import verb

__all__ = ["episodes", "list_episodes"]


@cache
def episodes() -> dict[str, dict[str, object]]:
    """Return the shipped table: name to `start`, `end` and `why`."""
    text = files("bayesfactor.stress").joinpath("episodes.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@verb
def list_episodes() -> pd.DataFrame:
    """Return the episodes that `bf.Episode` knows by name.

    Returns
    -------
    DataFrame (name)
        `start` and `end`, first and last UTC day, both inclusive; `why`, one line.

    Examples
    --------
    >>> import bayesfactor as bf
    >>> bf.list_episodes().loc["ftx-2022", "why"]
    'FTX stops withdrawals.'
    """
    table = pd.DataFrame.from_dict(episodes(), orient="index")
    for side in ("start", "end"):
        table[side] = pd.to_datetime(table[side])
    return table.rename_axis("name")
