"""The table that says how each driver becomes an innovation: read from TOML or a dict, and checked."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from bayesfactor.calls import verb
from bayesfactor.errors import MissingFileError, PanelError, unknown_names
from bayesfactor.factors.transforms import TRANSFORMS

__all__ = ["Driver", "driver_spec", "read_spec"]

STANDARDISE: Final = ("rolling", "expanding", "none")


@dataclass(frozen=True)
class Driver:
    """How one driver becomes an innovation.

    Parameters
    ----------
    column : str
        In the table of drivers.
    name : str
        Of the factor.
    family : str
    transform : str
        `log-difference`, `difference`, `log-ar1`, `ar1`, `log-ewma`, `ewma` or `level`.
    lag : int
        Days after its stamp at which a value is known.
    standardise : {"rolling", "expanding", "none"}
    window, min_periods : int
        Observations, for standardisation and autoregression.
    halflife : float
        Of an EWMA, in observations.
    winsorise : float
        Cut at so many standard deviations, where there are; 0 for none.
    max_gap : int
        Days without an observation that count as days without news, as weekends of a business-day series.
    """

    column: str
    name: str
    family: str
    transform: str = "log-difference"
    lag: int = 0
    standardise: str = "rolling"
    window: int = 365
    min_periods: int = 60
    halflife: float = 30.0
    winsorise: float = 6.0
    max_gap: int = 7

    def __post_init__(self) -> None:
        for key, known in (
            ("transform", TRANSFORMS),
            ("standardise", STANDARDISE),
        ):
            value = getattr(self, key)
            if value not in known:
                self._refuse(key, f"one of {', '.join(known)}", value)
        for key in ("name", "family"):
            if not isinstance(getattr(self, key), str) or not getattr(self, key).strip():
                self._refuse(key, "a word", getattr(self, key))
        for key, least in (("lag", 0), ("window", 2), ("min_periods", 2), ("max_gap", 0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                self._refuse(key, f"a whole number of at least {least}", value)
        for key, open_at in (("halflife", True), ("winsorise", False)):
            value = getattr(self, key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not (value > 0 if open_at else value >= 0):
                self._refuse(key, "a number above zero" if open_at else "zero or a number above it", value)
        if self.standardise == "rolling" and self.min_periods > self.window:
            self._refuse("min_periods", f"at most window ({self.window})", self.min_periods)

    def _refuse(self, key: str, rule: str, got: object) -> None:
        msg = f"driver spec {self.column!r}: {key} is {rule}; got {got!r}. Mend the spec."
        raise PanelError(msg)


_KEYS: Final = tuple(f.name for f in fields(Driver) if f.name != "column")


@verb
def driver_spec() -> dict[str, dict[str, Any]]:
    """Return the spec that ships: a table by column of the drivers, to read, change and pass on.

    Returns
    -------
    dict of dict
        Column to `name`, `family`, `transform`, `lag` (days after its stamp at which a value is known)
        and what else differs from the defaults.

    Examples
    --------
    >>> import bayesfactor as bf
    >>> bf.driver_spec()["btc_hash_rate_ths"]["transform"]
    'log-ar1'
    """
    return tomllib.loads(files("bayesfactor.factors").joinpath("drivers.toml").read_text(encoding="utf-8"))


def read_spec(spec: Mapping[str, Any] | str | Path | None) -> list[Driver]:
    """Return the drivers a spec describes.

    Raises
    ------
    PanelError
        If a key or a value is not known; the message names the column.
    MissingFileError
        If a path names no file.
    """
    if spec is None:
        spec = driver_spec()
    if isinstance(spec, str | Path):
        path = Path(spec)
        if not path.is_file():
            msg = f"driver spec: the file {str(path)!r} does not exist. Check it."
            raise MissingFileError(msg)
        try:
            spec = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            msg = f"driver spec: {path.name!r} is not TOML: {error}. Write one table per column."
            raise PanelError(msg) from error
    if not isinstance(spec, Mapping) or not spec:
        msg = f"a driver spec maps columns to tables; got {spec!r}. See bf.driver_spec() for one."
        raise PanelError(msg)
    drivers = [_driver(str(column), table) for column, table in spec.items()]
    names = [d.name for d in drivers]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"driver spec: names are unique; more than once: {', '.join(twice)}. Rename."
        raise PanelError(msg)
    return drivers


def _driver(column: str, table: Any) -> Driver:
    if not isinstance(table, Mapping):
        msg = f"driver spec {column!r}: a table of options; got {table!r}. Such as {{family = 'macro'}}."
        raise PanelError(msg)
    unknown = [k for k in table if k not in _KEYS]
    if unknown:
        msg = (
            f"driver spec {column!r}: unknown key {unknown_names(unknown, _KEYS)}; known: {', '.join(_KEYS)}."
        )
        raise PanelError(msg)
    if "family" not in table:
        msg = f"driver spec {column!r}: family is missing, such as 'on-chain' or 'macro'. Add it."
        raise PanelError(msg)
    return Driver(column=column, **({"name": column} | dict(table)))
