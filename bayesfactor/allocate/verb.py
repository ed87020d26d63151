"""`allocate`: the weights an objective asks for, how sure they are, and what it costs to get there."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.allocate.budget import (
    Budget,
    component_names,
    make_budget,
    shares_by,
    weights_by_component,
)
from bayesfactor.allocate.law import AssetLaw, asset_law, pooled_returns, returns_of_draw
from bayesfactor.allocate.terms import Terms, make_terms
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, WeightsError, warn
from bayesfactor.forecast import Labels, Predictions, predict
from bayesfactor.laws import checked_drift
from bayesfactor.laws.blocks import Seed
from bayesfactor.limits import check_choice, check_count, check_memory
from bayesfactor.risk.checks import checked_levels
from bayesfactor.risk.labelled import fit_attrs, kept_draws, thinned_draws
from bayesfactor.shortfall import tail_of

__all__ = ["OBJECTIVES", "allocate", "expected_shortfall", "solvers"]

OBJECTIVES: Final = ("min_es", "min_volatility", "max_diversification", "risk_budget")
_PER_DRAW: Final = 2_000
"""Scenarios of one posterior draw behind its weights of least ES."""
_OFF: Final = 1e-3
"""A budget missed by more than this is said to be missed."""


@dataclass(frozen=True)
class _Task:
    """What is asked for, of assets that may be held."""

    objective: str
    level: float
    terms: Terms
    budget: Budget

    def solve(self, law: AssetLaw, returns: np.ndarray | None) -> np.ndarray:
        """Return the weights under a law; `returns` (scenario, asset) where the objective is ES."""
        return self.terms.tidied(self._solved(law, returns))

    def _solved(self, law: AssetLaw, returns: np.ndarray | None) -> np.ndarray:
        engine = solvers()
        if self.objective == "min_es" and returns is not None:
            return engine.least_es(returns, self.terms, self.level)
        if self.objective == "min_volatility":
            return engine.least_volatility(law.covariance, self.terms)
        if self.objective == "max_diversification":
            return engine.equal_diversification(law.covariance, self.terms)
        if not self.budget.of_assets:
            return weights_by_component(self.budget, law, self.terms)
        share = self.budget.per_asset()
        used, out = np.flatnonzero(share > 0.0), np.zeros(len(share))
        out[used] = engine.risk_parity(
            law.covariance[np.ix_(used, used)], share[used], self.terms.take(used).free()
        )
        return out

    def saved(self, law: AssetLaw, returns: np.ndarray | None, weights: np.ndarray) -> float:
        """Return the risk saved by trading from what is held to `weights`, a fraction of value."""
        old, new = self.terms.previous, weights
        if self.objective == "min_es" and returns is not None:
            a, b = (expected_shortfall(returns @ w, self.level) for w in (old, new))
            return a - b
        a, b = (math.sqrt(w @ law.covariance @ w) for w in (old, new))
        if self.objective == "max_diversification":
            # At the volatility that what is held would have without any diversification.
            sd = np.sqrt(np.diag(law.covariance))
            return a - b * float(old @ sd) / float(new @ sd)
        if self.objective == "risk_budget":
            return a * self.misplaced(law, old) - b * self.misplaced(law, new)
        return a - b

    def misplaced(self, law: AssetLaw, weights: np.ndarray) -> float:
        """Return the share of the risk that is not where the budget wants it."""
        return 0.5 * float(np.abs(shares_by(self.budget, law, weights) - self.budget.target).sum())


@verb
def allocate(
    tree: xr.DataTree,
    objective: str = "min_es",
    *,
    level: float = 0.975,
    horizon: int = 1,
    budget: Mapping[str, float] | None = None,
    bounds: Any = (0.0, 1.0),
    previous_weights: Any = None,
    transaction_costs: float = 0.0,
    scenarios: int = 20_000,
    weight_draws: int = 0,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.Dataset:
    """Find the weights that an objective asks for, under the predictive law of a fit.

    Weights sum to 1. Parameter uncertainty is inside: the law pools all posterior draws.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`, simple returns.
    objective : {"min_es", "min_volatility", "max_diversification", "risk_budget"}
        Least expected shortfall at `level` [1]_; least volatility; the largest ratio of mean volatility to
        volatility [2]_; or shares of the variance as in `budget` [3]_.
    level : float
        Confidence level of ES.
    horizon : int
        Periods over which risk is counted; costs are paid once.
    budget : mapping of str to float, optional
        Shares of the variance that sum to 1, for "risk_budget": by asset, by group (its assets share
        equally), by family of components or by component, such as `{"market": 0.5, "specific": 0.5}`. Names
        are looked up in that order. Assets and groups not named are not held; components not named get 0,
        but for `drift`, which is then left out of the whole. None gives every asset the same share.
    bounds : pair of float, or mapping of asset to pair
        Lowest and highest weight; (0, 0) leaves an asset out. Assets not named in a mapping have (0, 1).
    previous_weights : mapping, Series or DataArray (asset), optional
        What is held now; what is not named is not. None: nothing is.
    transaction_costs : float
        Cost per unit traded, 0.001 for ten basis points. In "min_es" and "min_volatility" it is part of the
        objective. Whatever the objective, nothing is traded where the risk saved over the horizon is
        less than the cost.
    scenarios : int
        Predictive returns behind ES.
    weight_draws : int
        Weights are found for so many posterior draws too, each under its own law.
    drift : {"zero", "posterior", "prior"}
        Expected returns, as in `bf.decompose_risk`.
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    Dataset
        `weights (asset)`; `weights_posterior (chain, draw, asset)` where asked for, without costs; of the
        weights `volatility`, `es`, `expected_return` (fractions of value, over the horizon), `risk_share
        (asset, component)` (of the variance; sums to 1) and `diversification_ratio`; `turnover` (bought plus
        sold) and `cost`, fractions of value. Coords `group (asset)`, `family (component)`,
        `previous_weight (asset)`.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    WeightsError
        If bounds or the budget cannot be met by any weights, or name what is not there.
    RiskError
        If an option is out of range, returns are logarithmic, or skfolio is not installed.
    NumericalError
        If a variance is infinite (nu <= 2).

    Warns
    -----
    UserWarning
        If bounds keep the shares of a budget from being met.

    Notes
    -----
    Expected returns are zero by default: on real coins models of the same days differ in their sign.
    Volatility and shares are exact, ES is that of the scenarios. Budgets by component have many solutions;
    the one of least volatility is returned.

    References
    ----------
    .. [1] Rockafellar, R. T. and Uryasev, S. (2000). Optimization of conditional value-at-risk. Journal of
       Risk 2(3).
    .. [2] Choueifaty, Y. and Coignard, Y. (2008). Toward maximum diversification. Journal of Portfolio
       Management 35(1).
    .. [3] Richard, J.-C. and Roncalli, T. (2019). Constrained risk budgeting portfolios. arXiv:1902.05710.

    Examples
    --------
    >>> found = bf.allocate(tree, "min_es", bounds=(0, 0.2), random_seed=1)  # doctest: +SKIP
    >>> found = bf.allocate(tree, "risk_budget", budget={"market": 0.6, "specific": 0.4})  # doctest: +SKIP
    """
    s.check_tree(tree, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="allocate")
    checked_levels(tree, [level])
    check_options(objective, drift, scenarios, weight_draws, budget)
    found = predict(tree, horizon, drift=drift, random_seed=random_seed)
    labels = found.labels
    what = f"{scenarios:,} scenarios of {len(labels.canonical)} assets"
    check_memory(what, 4 * scenarios * len(labels.canonical), "Ask for fewer scenarios.", error=RiskError)
    terms = make_terms(labels.canonical, bounds, previous_weights, transaction_costs, offered=labels.assets)
    held = terms.held
    task = _Task(objective, level, terms.take(held), make_budget(labels, budget).take(held))
    _check_long_only(task)
    _check_reachable(task)
    law = asset_law(found.moments)
    small = law.take(held)
    returns = pooled_returns(found, scenarios)
    weights, chosen = np.zeros(len(terms.low)), _with_costs(task, terms, small, returns[:, held])
    weights[held] = chosen
    if chosen is task.terms.previous:
        weights = terms.previous.copy()
    _warn_if_missed(task, small, weights[held])
    out = _dataset(labels, law, terms, weights, returns, level)
    if weight_draws:
        out["weights_posterior"] = _by_draw(found, task, held, len(terms.low), weight_draws)
    out.attrs = fit_attrs(tree, found.entropy) | {
        "objective": objective,
        "level": float(level),
        "drift": drift,
        "horizon": int(horizon),
        "budget": json.dumps(dict(budget)) if budget else "",
        "transaction_costs": float(transaction_costs),
        "scenarios": len(returns),
    }
    return out


def solvers() -> Any:
    """Return the room's optimisers, which need skfolio.

    Raises
    ------
    RiskError
        If skfolio is not installed.
    """
    try:
        from bayesfactor.allocate import solvers as engine
    except ImportError as error:
        msg = 'allocation needs the package skfolio: pip install "bayesfactor[allocate]".'
        raise RiskError(msg) from error
    return engine


def expected_shortfall(returns: np.ndarray, level: float) -> float:
    """Return the ES of equally likely returns (scenario): the value Rockafellar and Uryasev minimise."""
    return float(tail_of(-returns, level)[1])


def check_options(objective: str, drift: str, scenarios: int, weight_draws: int, budget: Any) -> None:
    """Raise unless options are ones there are."""
    check_choice("objective", objective, OBJECTIVES, error=RiskError)
    checked_drift(drift)
    for name, count, least in (("scenarios", scenarios, 100), ("weight_draws", weight_draws, 0)):
        check_count(name, count, least=least, error=RiskError)
    if budget is not None and objective != "risk_budget":
        msg = f'a budget goes with objective="risk_budget"; got {objective!r}. Leave one of them out.'
        raise RiskError(msg)
    if budget is not None and drift == "zero" and float(budget.get(s.DRIFT, 0.0)) != 0.0:
        msg = (
            'with drift="zero" no risk comes from drift, and the budget gives it a share. Leave it out, or '
            'ask for drift="posterior".'
        )
        raise RiskError(msg)


def _check_long_only(task: _Task) -> None:
    convex = task.objective == "risk_budget" and task.budget.of_assets
    if (convex or task.objective == "max_diversification") and (task.terms.low < 0.0).any():
        what = "a budget by asset or group" if convex else "max_diversification"
        msg = f"{what} is for long positions; got a lower bound of {task.terms.low.min():g}. Give at least 0."
        raise WeightsError(msg)


def _check_reachable(task: _Task) -> None:
    """Raise where only some assets have a share of the budget, and their bounds do not reach 1."""
    if task.objective == "risk_budget" and task.budget.of_assets:
        used = np.flatnonzero(task.budget.per_asset() > 0.0)
        task.terms.take(used).check_sums("assets with a share of the budget hold everything, but their")


def _with_costs(task: _Task, terms: Terms, law: AssetLaw, returns: np.ndarray) -> np.ndarray:
    """Return the best weights, or what is held where trading costs more than it saves."""
    best = task.solve(law, returns)
    if terms.rate == 0.0 or not terms.may_stay:
        return best
    cost = terms.rate * task.terms.turnover(best)
    # Solvers stop a little off the optimum: what is saved by less than their error is not worth a trade.
    return best if task.saved(law, returns, best) > cost * (1.0 + 1e-6) else task.terms.previous


def _warn_if_missed(task: _Task, law: AssetLaw, weights: np.ndarray) -> None:
    if task.objective != "risk_budget" or np.array_equal(weights, task.terms.previous):
        return
    names, target = task.budget.names, task.budget.target
    share = shares_by(task.budget, law, weights)
    worst = np.argsort(-np.abs(share - target))[:5]
    if abs(share[worst[0]] - target[worst[0]]) > _OFF:
        got = ", ".join(f"{names[i]} {share[i]:.3f} for {target[i]:.3f}" for i in worst)
        msg = f"no weights within the bounds meet the budget; the nearest have {got}. Loosen bounds=."
        warn(msg)


def _by_draw(found: Predictions, task: _Task, held: np.ndarray, n_assets: int, count: int) -> xr.DataArray:
    """Return weights under the law of single draws (chain, draw, asset), as if nothing were held."""
    labels, m = found.labels, found.moments
    kept, flat = kept_draws(labels, count), thinned_draws(labels, count)
    free = _Task(task.objective, task.level, task.terms.free(), task.budget)
    out = np.zeros((len(flat), n_assets))
    for row, d in enumerate(flat):
        law, returns = asset_law(m.take(np.array([d]))), None
        if task.objective == "min_es":
            returns = returns_of_draw(found, int(d), _PER_DRAW)[:, held]
        out[row, held] = free.solve(law.take(held), returns)
    values = labels.to_panel_order(out, 1).reshape(len(labels.chains), len(kept), n_assets)
    coords = {s.CHAIN: labels.chains, s.DRAW: labels.draws[kept], s.ASSET: labels.assets}
    return xr.DataArray(values, coords=coords, dims=(s.CHAIN, s.DRAW, s.ASSET))


def _dataset(
    labels: Labels,
    law: AssetLaw,
    terms: Terms,
    w: np.ndarray,
    returns: np.ndarray,
    level: float,
) -> xr.Dataset:
    """Describe weights in canonical order."""
    variance = float(w @ law.covariance @ w)
    share = w[:, None] * np.einsum("cij,j->ic", law.parts, w)
    sd = np.sqrt(np.diag(law.covariance))
    names, families = component_names(labels)
    turnover = terms.turnover(w)
    return xr.Dataset(
        {
            s.WEIGHTS: (s.ASSET, labels.to_panel_order(w, 0)),
            "risk_share": ((s.ASSET, s.COMPONENT), labels.to_panel_order(share / share.sum(), 0)),
            "volatility": math.sqrt(variance),
            "es": expected_shortfall(returns @ w, level),
            "expected_return": float(law.mean @ w),
            "diversification_ratio": float(np.abs(w) @ sd) / math.sqrt(variance),
            "turnover": turnover,
            "cost": terms.rate * turnover,
        },
        coords={
            s.ASSET: labels.assets,
            s.GROUP: (s.ASSET, labels.groups),
            s.COMPONENT: names,
            s.FAMILY: (s.COMPONENT, families),
            "previous_weight": (s.ASSET, labels.to_panel_order(terms.previous, 0)),
        },
    )
