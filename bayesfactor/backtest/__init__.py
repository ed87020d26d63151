"""The walk-forward: fit on the past, forecast tomorrow or hold what the forecast says, look, go on."""

from bayesfactor.backtest.allocation import backtest_allocation
from bayesfactor.backtest.allocation_scores import summarise_allocation
from bayesfactor.backtest.allocation_strategies import Strategy
from bayesfactor.backtest.baselines import BASELINES
from bayesfactor.backtest.run import backtest

__all__ = ["BASELINES", "Strategy", "backtest", "backtest_allocation", "summarise_allocation"]
