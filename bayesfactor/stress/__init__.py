"""The room of what-if: scenarios, and what a portfolio loses in them.

A scenario changes the law of the next periods (`shifted`); counting losses (`tails`) knows nothing of which
it was.
"""

from bayesfactor.stress.catalogue import list_episodes
from bayesfactor.stress.run import stress
from bayesfactor.stress.scenarios import Episode, FactorShock, Liquidation, RegimeShift, ReverseStress

__all__ = [
    "Episode",
    "FactorShock",
    "Liquidation",
    "RegimeShift",
    "ReverseStress",
    "list_episodes",
    "stress",
]
