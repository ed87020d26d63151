"""Risk of a portfolio: volatility, VaR and expected shortfall, where each comes from, and what trades do."""

from bayesfactor.risk.decompose import decompose_risk
from bayesfactor.risk.incremental import incremental_risk

__all__ = ["decompose_risk", "incremental_risk"]
