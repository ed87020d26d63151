"""Pictures of a fit, of its risk and of a backtest, on plain matplotlib Axes.

Every number drawn is read off the tree or the Dataset; nothing is fitted here. A figure is
made with pyplot where no `ax` is given, as matplotlib users expect, and never otherwise.
"""

from bayesfactor.plots.backtest import plot_backtest
from bayesfactor.plots.breakdown import Breakdown, breakdown
from bayesfactor.plots.frame import PALETTE
from bayesfactor.plots.loadings import plot_loadings
from bayesfactor.plots.risk import plot_risk
from bayesfactor.plots.stress import plot_stress
from bayesfactor.plots.tails import plot_tails

__all__ = [
    "PALETTE",
    "Breakdown",
    "breakdown",
    "plot_backtest",
    "plot_loadings",
    "plot_risk",
    "plot_stress",
    "plot_tails",
]
