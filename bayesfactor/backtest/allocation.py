"""`backtest_allocation`: hold what each strategy says, pay for every trade, see what is left."""

from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.allocation_strategies import Past, Strategy, decide, read_strategies
from bayesfactor.backtest.holdings import refuse_log_returns
from bayesfactor.backtest.models import health_of
from bayesfactor.backtest.run import CHAPTER, key_of, progress, seeded
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, warn
from bayesfactor.fit import refit
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.limits import check_count
from bayesfactor.model import FactorModel
from bayesfactor.panel import check_panel
from bayesfactor.registry import get_model
from bayesfactor.sampling import Geometry, SampleOptions
from bayesfactor.scoring.sampling import BAD_RHAT

__all__ = ["backtest_allocation"]

REBALANCE: Final = "rebalance"
MODEL: Final = "model"


@verb
def backtest_allocation(
    strategies: Any,
    panel: xr.Dataset,
    *,
    window: int = 500,
    refit_every: int = 30,
    cost: float = 0.001,
    full: float = 0.9,
    draws: int = 250,
    tune: int = 300,
    chains: int = 2,
    scenarios: int = 5_000,
    random_seed: Seed = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Hold what each strategy says from one rebalancing to the next, and count what is earned and paid.

    Every `refit_every` days weights are decided on the `window` days before; in between positions are left
    alone, so that weights drift with prices. Strategies with the same model share its fit.

    Parameters
    ----------
    strategies : str, sequence of str, or mapping of str to strategy
        By name: "equal"; "inverse-volatility"; an objective and a model, such as "min-es: score-skew-t"; a
        `bf.Strategy`; an optimiser of skfolio, which is fitted to the window's returns (a missing one is 0)
        with the panel's factors as y; or a function of the window's panel that returns weights by asset.
    panel : Dataset
        From `bf.panel_from_prices` or `bf.panel_from_returns`, simple returns.
    window : int
        Days that are looked back on.
    refit_every : int
        Days between rebalancings.
    cost : float
        Paid per unit traded, 0.001 for ten basis points; also for buying in on the first day.
    full : float
        Share of the window's days on which an asset needs a return to be held; the last day is one of them.
    draws, tune, chains : int
        Of each fit.
    scenarios : int
        Predictive returns behind ES.
    random_seed : int, Generator or SeedSequence, optional
    progressbar : bool

    Returns
    -------
    Dataset
        `weights (strategy, time, asset)`, held over the day and decided on what was known the day before;
        `returns_gross`, `returns_net`, `turnover (strategy, time)`, fractions of value, turnover on the first
        day of each period; `rhat (model, rebalance)`. A day on which an asset has no return leaves its
        position as it is.

    Raises
    ------
    PanelError
        If the panel is not well formed.
    RiskError, WeightsError
        If an option is out of range, a strategy is unknown, or fewer than two assets have a full window.

    Warns
    -----
    UserWarning
        If fits did not converge; the message names them.
    """
    check_panel(panel)
    refuse_log_returns(panel)
    chosen = read_strategies(strategies)
    _check(panel, window, refit_every, cost, full)
    models = _models(chosen)
    entropy = root_entropy(random_seed)
    returns = panel[s.RETURNS].transpose(s.TIME, s.ASSET).values
    starts = list(range(window, len(returns), refit_every))
    fits = _Fits(models, panel, window, SampleOptions(draws, tune, chains, 0.9, progressbar=False), entropy)
    shape = (len(chosen), len(returns) - window)
    weights, gross, turnover = np.zeros((*shape, returns.shape[1])), np.zeros(shape), np.zeros(shape)
    held = np.zeros((len(chosen), returns.shape[1]))
    everyone = panel[s.ASSET].values.astype(str)
    with progress(progressbar, len(starts)) as report:
        for period, start in enumerate(starts):
            end = min(start + refit_every, len(returns))
            there = _full(returns[start - window : start], full, panel[s.TIME].values[start])
            part = panel.drop_vars(s.FACTOR_WEIGHTS, errors="ignore")
            part = part.isel({s.TIME: slice(start - window, start), s.ASSET: np.flatnonzero(there)})
            trees = {name: fits.tree(name, period, start) for name in models}
            for i, what in enumerate(chosen.values()):
                name = _name(what)
                past = Past(
                    part, everyone, held[i].copy(), cost, end - start,
                    trees.get(name), scenarios, key_of(entropy, name, period),
                )  # fmt: skip
                target, at = decide(what, past), start - window
                turnover[i, at] = np.abs(target - held[i]).sum()
                held[i] = _hold(target, returns[start:end], weights[i, at:], gross[i, at:])
            report(str(panel[s.TIME].values[start])[:10])
    found = _dataset(panel, window, chosen, weights, gross, turnover, cost)
    found["rhat"] = ((MODEL, REBALANCE), fits.rhat(len(starts)))
    found = found.assign_coords({MODEL: list(models), REBALANCE: panel[s.TIME].values[starts]})
    found.attrs |= {"window": window, "refit_every": refit_every, "full": full, "scenarios": scenarios}
    found.attrs |= {"draws": draws, "tune": tune, "chains": chains, "random_seed": str(entropy)}
    _warn(found)
    return found


class _Fits:
    """Fits of a walk-forward, one for each model and rebalancing.

    Parameters
    ----------
    models : dict of str to FactorModel
    panel : Dataset
    window : int
    options : SampleOptions
    entropy : int
    """

    def __init__(
        self,
        models: dict[str, FactorModel],
        panel: xr.Dataset,
        window: int,
        options: SampleOptions,
        entropy: int,
    ) -> None:
        self.models, self.panel, self.window = models, panel, window
        self.options, self.entropy = options, entropy
        self.geometry: dict[tuple[str, int], dict[str, Geometry]] = {}
        self.health: dict[tuple[str, int], float] = {}

    def tree(self, name: str, period: int, start: int) -> xr.DataTree:
        """Return the fit to the window before a day."""
        model = self.models[name]
        part = self.panel.isel({s.TIME: slice(start - self.window, start)})
        known = self.geometry.setdefault((name, period // CHAPTER), {})
        tree = refit(model, part, seeded(model, self.options), key_of(self.entropy, name, period), known)
        self.health[name, period] = health_of(tree).rhat
        return tree

    def rhat(self, periods: int) -> np.ndarray:
        """Return the largest R-hat of each fit (model, rebalance)."""
        table = [[self.health[name, p] for p in range(periods)] for name in self.models]
        return np.array(table).reshape(len(self.models), periods)


def _hold(target: np.ndarray, returns: np.ndarray, weights: np.ndarray, gross: np.ndarray) -> np.ndarray:
    """Fill in the days of a period and return what is held after them: positions move with prices."""
    now = target
    for day, row in enumerate(np.where(np.isfinite(returns), returns, 0.0)):
        weights[day] = now
        gross[day] = float(now @ row)
        if gross[day] <= -1.0:
            msg = f"a strategy lost {-gross[day]:.0%} of its value in a period: nothing is left to hold."
            raise RiskError(msg)
        now = now * (1.0 + row) / (1.0 + gross[day])
    return now


def _full(returns: np.ndarray, share: float, stamp: Any) -> np.ndarray:
    """Return which assets have returns on enough days of a window (time, asset), the last among them."""
    known = np.isfinite(returns)
    known = known[known.any(axis=1)]  # a stamp without any price says nothing of one asset
    there = (known.mean(axis=0) >= share) & (known[-1] if len(known) else False)
    if there.sum() < 2:
        msg = (
            f"allocation needs two assets with a full window; on {str(stamp)[:10]} there are {there.sum()}. "
            "Shorten window=, lower full=, or start later."
        )
        raise RiskError(msg)
    return there


def _models(chosen: dict[str, Any]) -> dict[str, FactorModel]:
    """Return the models that strategies need, by what tells them apart."""
    return {_name(w): get_model(w.model) for w in chosen.values() if isinstance(w, Strategy)}


def _name(what: Any) -> str:
    if not isinstance(what, Strategy):
        return ""
    model = get_model(what.model)
    return model.name if not model.overrides else f"{model.name} {model.digest}"


def _check(panel: xr.Dataset, window: int, refit_every: int, cost: float, full: float) -> None:
    for name, value in (("window", window), ("refit_every", refit_every)):
        check_count(name, value, error=RiskError)
    least = panel.sizes[s.FACTOR] + 3
    if not least <= window < panel.sizes[s.TIME]:
        msg = (
            f"a window has at least {least} periods and leaves one to hold; got window={window} for a panel "
            f"of {panel.sizes[s.TIME]} periods."
        )
        raise RiskError(msg)
    for name, share in (("cost", cost), ("full", full)):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
            msg = f"{name} is a number between 0 and 1; got {share!r}."
            raise RiskError(msg)


def _dataset(
    panel: xr.Dataset, window: int, chosen: dict[str, Any], weights: np.ndarray, gross: np.ndarray,
    turnover: np.ndarray, cost: float,
) -> xr.Dataset:  # fmt: skip
    dims = (s.STRATEGY, s.TIME)
    return xr.Dataset(
        {
            s.WEIGHTS: ((*dims, s.ASSET), weights),
            "returns_gross": (dims, gross),
            "returns_net": (dims, gross - cost * turnover),
            "turnover": (dims, turnover),
        },
        coords={
            s.STRATEGY: list(chosen),
            s.TIME: panel[s.TIME].values[window:],
            s.ASSET: panel[s.ASSET].values,
            s.GROUP: (s.ASSET, panel[s.GROUP].values),
        },
        attrs={
            "schema_version": s.SCHEMA_VERSION,
            "cost": float(cost),
            **{k: panel.attrs[k] for k in ("periods_per_year", "returns_kind")},
        },
    )


def _warn(found: xr.Dataset) -> None:
    rhat = found["rhat"]
    bad = (~(rhat <= BAD_RHAT)).sum(REBALANCE)  # one that cannot be had is none that was passed
    lines = [
        f"{m}: {int(bad.sel(model=m))} of {rhat.sizes[REBALANCE]} fits" for m in rhat[MODEL].values
        if int(bad.sel(model=m))
    ]  # fmt: skip
    if lines:
        named = "; ".join(lines)
        msg = f"fits did not converge (R-hat above {BAD_RHAT} or not known): {named}. Raise tune= and draws=."
        warn(msg)
