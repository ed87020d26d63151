"""What a walk-forward of allocations can hold: rules, objectives on a model, optimisers, functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.allocate import OBJECTIVES, allocate
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, WeightsError, unknown_names
from bayesfactor.model import FactorModel
from bayesfactor.registry import get_model, list_models

__all__ = ["RULES", "Past", "Strategy", "decide", "read_strategies"]


@verb
@dataclass(frozen=True)
class Strategy:
    """An objective of `bf.allocate` under a model.

    Parameters
    ----------
    objective : str
        As in `bf.allocate`.
    model : str, Path or FactorModel
        What is fitted.
    level : float
        Of ES.
    budget : mapping, optional
        As in `bf.allocate`.
    bounds : pair of float
        Lowest and highest weight.
    drift : {"zero", "posterior", "prior"}
        As in `bf.allocate`.
    mind_costs : bool
        Whether the cost of trading is weighed against the risk saved until the next rebalancing.
    """

    objective: str
    model: str | Path | FactorModel
    level: float = 0.975
    budget: Mapping[str, float] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    drift: str = "zero"
    mind_costs: bool = False


@dataclass(frozen=True)
class Past:
    """What is known when weights are decided.

    Parameters
    ----------
    panel : Dataset
        The days of the window, of assets that may be held.
    everyone : ndarray of str
        All assets of the panel, in its order.
    previous : ndarray (asset)
        What is held, of everyone.
    cost : float
        Per unit traded.
    ahead : int
        Days until the next rebalancing.
    tree : DataTree, optional
        The model's fit to the window.
    scenarios, seed : int
    """

    panel: xr.Dataset
    everyone: np.ndarray
    previous: np.ndarray
    cost: float
    ahead: int
    tree: xr.DataTree | None = None
    scenarios: int = 5_000
    seed: int = 0

    @property
    def assets(self) -> list[str]:
        """Names of the assets that may be held."""
        return [str(a) for a in self.panel[s.ASSET].values]

    def returns(self) -> pd.DataFrame:
        """Return the window's returns (time x asset), a missing one as 0."""
        values = self.panel[s.RETURNS].transpose(s.TIME, s.ASSET).values
        return pd.DataFrame(np.nan_to_num(values), self.panel.indexes[s.TIME], self.assets)


type Rule = Callable[[Past], Any]


def _equal(past: Past) -> pd.Series:
    return pd.Series(1.0 / len(past.assets), index=past.assets)


def _inverse_volatility(past: Past) -> pd.Series:
    deviation = past.panel[s.RETURNS].std(s.TIME).to_series()
    inverse = 1.0 / deviation
    return inverse / inverse.sum()


RULES: Final[dict[str, Rule]] = {"equal": _equal, "inverse-volatility": _inverse_volatility}
"""Strategies that need neither a model nor an optimiser."""


def read_strategies(given: Any) -> dict[str, Any]:
    """Return strategies by name: a `Strategy`, a rule of `RULES`, an estimator or a function.

    Raises
    ------
    RiskError
        If a name is unknown, or there twice.
    """
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping):
        named = {str(k): v for k, v in given.items()}
    elif isinstance(given, Sequence):
        named = {str(v): v for v in given}
        if len(named) != len(given):
            msg = f"strategies have names of their own; got {', '.join(map(str, given))}. Give a mapping."
            raise RiskError(msg)
    else:
        named = {}
    if not named:
        msg = f"strategies are names, or a mapping from names to what is held; got {given!r}."
        raise RiskError(msg)
    return {name: _read(what) for name, what in named.items()}


def _read(what: Any) -> Any:
    if isinstance(what, Strategy):
        get_model(what.model)
        if what.objective not in OBJECTIVES:
            msg = f"an objective is one of {', '.join(OBJECTIVES)}; got {what.objective!r}."
            raise RiskError(msg)
        return what
    if isinstance(what, str):
        if what in RULES:
            return RULES[what]
        objective, colon, model = (part.strip() for part in what.partition(":"))
        objective = objective.replace("-", "_")
        if colon and objective in OBJECTIVES and (model in list_models() or "." in model):
            return _read(Strategy(objective, model))
        known = [*RULES, *(f"{o.replace('_', '-')}: {m}" for o in OBJECTIVES for m in list_models())]
        msg = (
            f"a strategy is {', '.join(RULES)}, or an objective and a model such as 'min-es: score-skew-t'; "
            f"got {unknown_names([what], known)}."
        )
        raise RiskError(msg)
    if not (callable(what) or hasattr(what, "get_params")):
        msg = (
            "a strategy is a name, a Strategy, an optimiser of skfolio or a function of the past; "
            f"got {type(what).__name__}."
        )
        raise RiskError(msg)
    return what


def decide(what: Any, past: Past) -> np.ndarray:
    """Return the weights of a strategy, of everyone.

    Raises
    ------
    WeightsError
        If it holds what may not be held, or a weight is not finite.
    """
    if isinstance(what, Strategy):
        found = _allocated(what, past)
    elif hasattr(what, "get_params"):
        found = _optimised(what, past)
    elif what in RULES.values():
        found = what(past)
    else:
        found = what(past.panel)
    table = pd.Series(found, dtype="float64")
    table.index = table.index.astype(str)
    strange = [a for a in table.index[table.to_numpy() != 0.0] if a not in set(past.assets)]
    if strange or not table.index.is_unique:
        got = unknown_names(strange, past.assets) or "one twice"
        msg = f"a strategy holds assets with a full window, each once; got {got}."
        raise WeightsError(msg)
    values = table.reindex(past.everyone, fill_value=0.0).to_numpy()
    if not np.isfinite(values).all():
        msg = "weights are finite; a strategy gave NaN or infinity. Give 0 to what is not held."
        raise WeightsError(msg)
    return np.asarray(values)


def _allocated(what: Strategy, past: Past) -> pd.Series:
    if past.tree is None:
        msg = "a Strategy is decided on a fit; there is none."
        raise RiskError(msg)
    held = set(past.assets)
    bounds = {str(a): what.bounds if str(a) in held else (0.0, 0.0) for a in past.everyone}
    costs: dict[str, Any] = {}
    if what.mind_costs:
        previous = dict(zip(past.everyone, past.previous, strict=True))
        costs = {
            "previous_weights": previous,
            "transaction_costs": past.cost,
            "horizon": past.ahead,
        }
    found = allocate(
        past.tree, what.objective, level=what.level, budget=what.budget, bounds=bounds, drift=what.drift,
        scenarios=past.scenarios, random_seed=past.seed, **costs,
    )  # fmt: skip
    return found[s.WEIGHTS].to_series()


def _optimised(estimator: Any, past: Past) -> pd.Series:
    """Return what a fresh copy of an optimiser holds; factors of the panel are its y."""
    from sklearn.base import clone

    fresh, returns = clone(estimator), past.returns()
    if np.any(np.asarray(fresh.get_params(deep=False).get("transaction_costs", 0.0)) != 0.0):
        held = dict(zip(past.everyone, past.previous, strict=True))
        fresh.set_params(previous_weights={a: held[a] for a in past.assets})
    factors = past.panel[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).to_pandas()
    fresh.fit(returns, factors if factors.shape[1] else None)
    return pd.Series(fresh.weights_, index=returns.columns)
