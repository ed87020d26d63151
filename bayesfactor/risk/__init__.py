"""Risk of a portfolio: volatility, VaR and expected shortfall, and where each comes from."""

from bayesfactor.risk.decompose import decompose_risk

__all__ = ["decompose_risk"]
