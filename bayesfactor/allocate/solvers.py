"""skfolio's optimisers on a law that is already known; importing this file imports skfolio.

Returns are divided by their typical size first: a solver's tolerances are absolute, and weights depend on
no unit.
"""

from collections.abc import Callable
from typing import Any, Final

import cvxpy as cp
import numpy as np
import pandas as pd
from skfolio import RiskMeasure
from skfolio.optimization import MaximumDiversification, MeanRisk, RiskBudgeting
from skfolio.prior import BasePrior, ReturnDistribution

from bayesfactor.allocate.terms import Terms
from bayesfactor.errors import RiskError

__all__ = ["equal_diversification", "least_es", "least_volatility", "risk_parity"]

_TIGHT: Final = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10}
"""Of the small conic problems; the linear programme of ES keeps skfolio's own."""
_STEPS: Final = 4
_NEAR: Final = 1e-5
"""A weight this near to its bound is on it: solvers stay a little inside. The rest is a linear system."""


class _Known(BasePrior):
    """A prior that has nothing to estimate."""

    def __init__(self, distribution: Any = None) -> None:
        self.distribution = distribution

    def fit(self, X: Any, y: Any = None, **_: Any) -> "_Known":
        """Take the law as it is."""
        self.return_distribution_ = self.distribution
        return self


def _weights(kind: Any, covariance: np.ndarray, returns: np.ndarray | None, **options: Any) -> np.ndarray:
    """Return the weights of one of skfolio's optimisers."""
    n = len(covariance)
    scenarios = np.zeros((2, n)) if returns is None else returns
    mu = scenarios.mean(axis=0)
    known = _Known(ReturnDistribution(mu=mu, covariance=covariance, returns=scenarios))
    estimator = kind(prior_estimator=known, **options)
    try:
        estimator.fit(pd.DataFrame(np.zeros((2, n)), columns=[f"a{i}" for i in range(n)]))
    except (cp.error.SolverError, ValueError, RuntimeError) as error:
        msg = f"the optimiser found no weights: {str(error).splitlines()[0]} Loosen bounds= or the budget."
        raise RiskError(msg) from error
    return np.asarray(estimator.weights_, dtype="float64")


def _unit(covariance: np.ndarray) -> float:
    return float(np.sqrt(np.diag(covariance).mean()))


def _between(terms: Terms) -> dict[str, Any]:
    return {"min_weights": terms.low, "max_weights": terms.high}


def least_es(returns: np.ndarray, terms: Terms, level: float) -> np.ndarray:
    """Return weights of least ES of returns (scenario, asset) and costs (Rockafellar and Uryasev 2000)."""
    unit = _unit(np.cov(returns, rowvar=False))
    cost: dict[str, Any] = {}
    if terms.rate > 0.0:
        cost = {"transaction_costs": terms.rate / unit, "previous_weights": terms.previous}
    options = {"risk_measure": RiskMeasure.CVAR, "cvar_beta": level, **_between(terms), **cost}
    return _weights(MeanRisk, np.eye(returns.shape[1]), returns / unit, **options)


def least_volatility(covariance: np.ndarray, terms: Terms) -> np.ndarray:
    """Return weights of least volatility and costs."""
    unit = _unit(covariance)
    options: dict[str, Any] = {"risk_measure": RiskMeasure.STANDARD_DEVIATION, "solver_params": _TIGHT}
    if terms.rate > 0.0:
        # The kink where nothing is traded keeps the last digit out of reach.
        options["solver_params"] = {name: 10.0 * gap for name, gap in _TIGHT.items()}
        options["add_objective"] = lambda w: terms.rate / unit * cp.norm(w - terms.previous, 1)
    w = _weights(MeanRisk, covariance / unit**2, None, **options, **_between(terms))
    if terms.rate > 0.0:
        return w
    exact, free = terms.on_bounds(w, _NEAR)
    if len(free):
        fixed = np.setdiff1d(np.arange(len(w)), free)
        pull = covariance[np.ix_(free, fixed)] @ exact[fixed]
        sides = np.stack([np.ones(len(free)), pull], axis=1)
        even, away = np.linalg.solve(covariance[np.ix_(free, free)], sides).T
        exact[free] = (1.0 - exact[fixed].sum() + away.sum()) / even.sum() * even - away
    return _better(w, exact, terms, lambda v: float(v @ covariance @ v))


def equal_diversification(covariance: np.ndarray, terms: Terms) -> np.ndarray:
    """Return weights of the largest mean volatility over volatility (Choueifaty and Coignard 2008)."""
    unit = _unit(covariance)
    options = {"solver_params": _TIGHT, **_between(terms)}
    w = _weights(MaximumDiversification, covariance / unit**2, None, **options)
    sd = np.sqrt(np.diag(covariance))
    exact, free = terms.on_bounds(w, _NEAR)
    if not np.delete(exact, free).any():  # nothing else is held, so that scale is free
        exact[free] = np.linalg.solve(covariance[np.ix_(free, free)], sd[free])
        exact /= exact.sum()
    return _better(w, exact, terms, lambda v: float(v @ covariance @ v) / float(v @ sd) ** 2)


def _better(
    w: np.ndarray, exact: np.ndarray, terms: Terms, measure: Callable[[np.ndarray], float]
) -> np.ndarray:
    """Return the exact weights if they keep to the bounds and are no worse than the solver's."""
    inside = (exact >= terms.low - 1e-12).all() and (exact <= terms.high + 1e-12).all()
    whole = abs(exact.sum() - 1.0) < 1e-9
    return exact if inside and whole and measure(exact) <= measure(w) * (1.0 + 1e-9) else w


def risk_parity(covariance: np.ndarray, budget: np.ndarray, terms: Terms) -> np.ndarray:
    """Return long-only weights whose shares of the variance are a budget (Richard and Roncalli 2019)."""
    # A budget on assets of one volatility, then weights back: the solver sees numbers of one size.
    sd = np.sqrt(np.diag(covariance))
    if (terms.low <= 0.0).all() and (terms.high >= 1.0).all():
        correlation = covariance / np.outer(sd, sd)
        y = _weights(RiskBudgeting, correlation, None, risk_budget=budget, solver_params=_TIGHT)
        y = y / np.sqrt(y @ correlation @ y)
        for _ in range(_STEPS):  # Newton on y * (C y) = budget, from where the solver stopped
            gap = correlation @ y - budget / y
            y = y - np.linalg.solve(correlation + np.diag(budget / y**2), gap)
        w = y / sd
        return np.asarray(w / w.sum())
    unit = _unit(covariance)
    options = {"risk_budget": budget, "solver_params": _TIGHT, **_between(terms)}
    return _weights(RiskBudgeting, covariance / unit**2, None, **options)
