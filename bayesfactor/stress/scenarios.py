"""What can be asked: five kinds of scenario, as frozen values that check themselves.

They hold no data and know no model; whether a model can answer is seen when they are run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from bayesfactor.calls import verb
from bayesfactor.errors import PanelError, RiskError, unknown_names
from bayesfactor.forecast import MOST_PERIODS
from bayesfactor.limits import check_count
from bayesfactor.periods import first_moment, last_moment
from bayesfactor.stress.catalogue import episodes
from bayesfactor.tables import Door, by_name

__all__ = [
    "KINDS",
    "Episode",
    "FactorShock",
    "Liquidation",
    "RegimeShift",
    "ReverseStress",
    "Scenario",
    "volumes_of",
]

_VOLUMES: Final = ("volume", "volumes", "quotevolume", "tradedvalue", "value", "adv")


@verb
@dataclass(frozen=True)
class Episode:
    """What happened then, once more, to what is held now.

    Coins with a return on every day of the episode repeat their returns. Others get their loadings times the
    factor moves of the episode, and specific returns drawn from their own law.

    Parameters
    ----------
    name : str, optional
        One of `bf.list_episodes()`. Either the name or both dates.
    start, end : date-like, optional
        First and last day, both inclusive; or moments, such as 2020-03-12 10:00.

    Raises
    ------
    RiskError
        If the name is unknown, or dates are missing, no dates, or in the wrong order.

    Examples
    --------
    >>> import bayesfactor as bf
    >>> bf.Episode("covid-2020").label
    'covid-2020'
    """

    kind: ClassVar[str] = "episode"

    name: str | None = None
    start: object = None
    end: object = None

    def __post_init__(self) -> None:
        if (self.name is None) == (self.start is None and self.end is None):
            msg = (
                "an episode is a name of bf.list_episodes(), or start= and end=; "
                f"got name={self.name!r}, start={self.start!r}, end={self.end!r}."
            )
            raise RiskError(msg)
        if self.name is not None and self.name not in episodes():
            have = ", ".join(episodes())
            msg = (
                f"unknown episode {unknown_names([self.name], episodes())}. Shipped are: {have}. "
                "For other times give Episode(start=, end=)."
            )
            raise RiskError(msg)
        first, last = self.days
        if last < first:
            msg = f"an episode ends after it starts; got {first.date()} to {last.date()}. Swap them."
            raise RiskError(msg)

    @property
    def days(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First and last day; or moments, where they were given as such."""
        first, last = self.span
        whole = last + pd.Timedelta(1, unit="ns") == last.normalize() + pd.Timedelta(days=1)
        return first, last.normalize() if whole else last

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First and last moment: an episode has all of its last day."""
        found = episodes()[self.name] if self.name is not None else {"start": self.start, "end": self.end}
        try:
            return first_moment(found["start"], "start", daily=True), last_moment(
                found["end"], "end", daily=True
            )
        except (PanelError, TypeError) as error:
            msg = f"an episode has the dates start= and end=; {error}"
            raise RiskError(msg) from error

    @property
    def label(self) -> str:
        """What it is called where no name is given."""
        first, last = self.days
        return self.name or f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


@verb
@dataclass(frozen=True)
class FactorShock:
    """Some factors move by so much in the first period.

    Parameters
    ----------
    moves : mapping of str to float
        Factor to move: a fraction for traded factors (-0.2 is a fall of 20 %), standardised innovations for
        drivers and latent factors.
    others : {"conditional", "frozen"}
        What the other factors do in that period: follow their law given the shock, or stand at zero.
    horizon : int
        Periods in all. Those after the first follow the model's law, or stand at zero too where frozen.

    Raises
    ------
    RiskError
        If a move is no finite number, or `others` or `horizon` are none of those.
    """

    kind: ClassVar[str] = "shock"

    moves: Mapping[str, float]
    others: str = "conditional"
    horizon: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.moves, Mapping) or not self.moves:
            msg = f'a shock is a mapping of factors to moves, such as {{"market": -0.2}}; got {self.moves!r}.'
            raise RiskError(msg)
        for factor, move in self.moves.items():
            _finite(move, f"the move of {factor!r}")
        if self.others not in ("conditional", "frozen"):
            got = unknown_names([self.others], ("conditional", "frozen"))
            msg = f"others is 'conditional' or 'frozen'; got {got}."
            raise RiskError(msg)
        _horizon(self.horizon)

    @property
    def label(self) -> str:
        """What it is called where no name is given."""
        moves = ", ".join(f"{k} {v:+g}" for k, v in self.moves.items())
        return moves + (", others frozen" if self.others == "frozen" else "")


@verb
@dataclass(frozen=True)
class RegimeShift:
    """Another market: correlations of factors closer to one, larger volatilities, fatter tails.

    Parameters
    ----------
    correlation : float
        Share of the way from the model's correlations of observed factors to those of one single factor: 0
        leaves them, at 1 all observed factors move together, each against the portfolio's exposure to it.
        Latent factors and specific returns stay uncorrelated.
    volatility : float
        Standard deviations of factors and specific returns are multiplied by it.
    nu : float, optional
        Degrees of freedom are at most this; variances stay as scaled. Above 2.
    horizon : int
        Periods.

    Raises
    ------
    RiskError
        If a number is out of its range.
    """

    kind: ClassVar[str] = "regime"

    correlation: float = 0.0
    volatility: float = 1.0
    nu: float | None = None
    horizon: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= _finite(self.correlation, "correlation") <= 1.0:
            msg = f"correlation is a share of the way to one, from 0 to 1; got {self.correlation!r}."
            raise RiskError(msg)
        if not _finite(self.volatility, "volatility") > 0.0:
            msg = f"volatility is a positive multiple; got {self.volatility!r}."
            raise RiskError(msg)
        if self.nu is not None and not _finite(self.nu, "nu") > 2.0:
            what = "expected shortfall" if self.nu <= 1.0 else "variance"
            msg = f"nu of a regime is above 2; got {self.nu!r}: infinite {what}. Take 2.5 for very fat tails."
            raise RiskError(msg)
        _horizon(self.horizon)

    @property
    def label(self) -> str:
        """What it is called where no name is given."""
        words = [f"correlations {self.correlation:g} of the way to one"] if self.correlation else []
        words += [f"volatility x {self.volatility:g}"] if self.volatility != 1.0 else []
        words += [f"nu at most {self.nu:g}"] if self.nu is not None else []
        return ", ".join(words) or "as it is"


@verb
@dataclass(frozen=True)
class ReverseStress:
    """The most plausible joint move, of factors and of what coins do of their own, that loses so much.

    Nothing is left open: VaR and ES are the loss. No coin that is held falls by more than all of it, where
    the loss can be had without. The plausibility is the probability of the loss, whatever brings it.

    Parameters
    ----------
    loss : float
        Fraction of the portfolio's value, above 0.
    horizon : int
        Periods over which it is lost.

    Raises
    ------
    RiskError
        If the loss is not positive and finite.
    """

    kind: ClassVar[str] = "reverse"

    loss: float
    horizon: int = 1

    def __post_init__(self) -> None:
        if not _finite(self.loss, "loss") > 0.0:
            msg = f"a reverse stress loses a positive fraction of value, such as 0.2; got {self.loss!r}."
            raise RiskError(msg)
        _horizon(self.horizon)

    @property
    def label(self) -> str:
        """What it is called where no name is given."""
        return f"what loses {round(100.0 * self.loss, 6):g} %"


@verb
@dataclass(frozen=True)
class Liquidation:
    """Everything is sold, no faster than a share of what is traded, and what is left stays at risk.

    Parameters
    ----------
    volume : mapping, Series (asset), table of asset and volume, or its path
        Money traded per period, in the currency of `value`; one for every asset held.
    participation : float
        Share of the volume that is ours, above 0 and at most 1.
    value : float, optional
        Worth of the portfolio in money; where not given, `value=` of `bf.stress`.
    longest : int
        Periods it may take; beyond, the scenario is refused.

    Raises
    ------
    RiskError
        If a number is out of its range or a volume is not positive.
    """

    kind: ClassVar[str] = "liquidation"

    volume: Any
    participation: float = 0.1
    value: float | None = None
    longest: int = 250

    def __post_init__(self) -> None:
        if not 0.0 < _finite(self.participation, "participation") <= 1.0:
            msg = (
                f"participation is a share of the volume, above 0 and at most 1; got {self.participation!r}."
            )
            raise RiskError(msg)
        if self.value is not None and not _finite(self.value, "value") > 0.0:
            msg = f"value is the worth of the portfolio in money; got {self.value!r}."
            raise RiskError(msg)
        _horizon(self.longest, "longest")
        if not isinstance(self.volume, Mapping | pd.Series):
            object.__setattr__(self, "volume", volumes_of(self.volume))
        for asset, traded in self.volume.items():
            if not _finite(traded, f"the volume of {asset!r}") > 0.0:
                msg = f"volumes are positive; got {traded!r} for {asset!r}. What never trades cannot be sold."
                raise RiskError(msg)

    @property
    def label(self) -> str:
        """What it is called where no name is given."""
        return f"sold at {round(100.0 * self.participation, 6):g} % of volume"


def volumes_of(data: Any) -> pd.Series:
    """Return money traded per period by asset, each once.

    Raises
    ------
    RiskError
        If it is no such table, or an asset has no number or two.
    """
    found = by_name(data, Door("volumes", RiskError), _VOLUMES, percent=False)
    if found is None:
        got = type(data).__name__
        msg = f"volume is a mapping or Series of asset to money traded per period; got {got}."
        raise RiskError(msg)
    bad = found.index[found.isna().to_numpy() | found.index.duplicated()]
    if len(bad):
        msg = f"volumes: each asset has one number; not so for {bad[0]!r}. Mend it."
        raise RiskError(msg)
    return found


type Scenario = Episode | FactorShock | RegimeShift | ReverseStress | Liquidation

KINDS: Final[dict[str, type[Any]]] = {
    c.kind: c for c in (Episode, FactorShock, RegimeShift, ReverseStress, Liquidation)
}
"""Kind to class."""


def _finite(number: Any, what: str) -> float:
    good = isinstance(number, int | float | np.integer | np.floating) and not isinstance(number, bool)
    if not good or not np.isfinite(number):
        msg = f"{what} is a finite number; got {number!r}."
        raise RiskError(msg)
    return float(number)


def _horizon(horizon: object, what: str = "horizon") -> None:
    check_count(f"{what}, in periods,", horizon, most=MOST_PERIODS, error=RiskError)
