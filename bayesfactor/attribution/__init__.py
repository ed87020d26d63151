"""Where returns and risk come from, and which factors matter: read off a fit."""

from bayesfactor.attribution.premium import decompose_premium
from bayesfactor.attribution.returns import attribute_returns
from bayesfactor.attribution.select import select_factors, systematic_share

__all__ = ["attribute_returns", "decompose_premium", "select_factors", "systematic_share"]
