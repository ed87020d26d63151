"""The walk-forward: fit on the past, forecast tomorrow, look, go on."""

from bayesfactor.backtest.baselines import BASELINES
from bayesfactor.backtest.run import backtest

__all__ = ["BASELINES", "backtest"]
