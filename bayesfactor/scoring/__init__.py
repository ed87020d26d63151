"""How walk-forward forecasts of VaR and ES are judged: coverage, shortfall, losses, comparisons."""

from bayesfactor.scoring.comparison import compare_mean_loss, holm
from bayesfactor.scoring.losses import fz0_loss, quantile_loss
from bayesfactor.scoring.score import score_backtest

__all__ = ["compare_mean_loss", "fz0_loss", "holm", "quantile_loss", "score_backtest"]
