"""`stress`: what a portfolio loses in scenarios, where the loss comes from, and how sure that is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, warn
from bayesfactor.forecast import Labels, Predictions, predict
from bayesfactor.laws import Moments, checked_drift
from bayesfactor.laws.blocks import Seed, root_entropy, thinned
from bayesfactor.periods import days_in_period, year_in
from bayesfactor.positions import Positions
from bayesfactor.risk.checks import check_paths, checked_levels, checked_value
from bayesfactor.risk.labelled import components, fit_attrs, value_attrs
from bayesfactor.risk.nonlinear import PositionBook, position_book
from bayesfactor.risk.weights import DELTAS, weights_for
from bayesfactor.stress.cases import Ahead, Ask, Case, case_of
from bayesfactor.stress.reading import read_scenarios
from bayesfactor.stress.scenarios import ReverseStress, Scenario
from bayesfactor.stress.tails import Holding, Tails, tails
from bayesfactor.tables import warn_of_gross

__all__ = ["stress"]

type Book = Callable[[Moments], PositionBook]
"""Positions against the law of a scenario's periods."""

_POSTERIOR_DRAWS: Final = 400
_CURVED: Final = 0.1
"""By how much of it a reverse stress of options may miss its loss."""
_MONEY: Final = (
    "loss",
    "loss_posterior",
    "loss_contribution",
    "var",
    "es",
    "var_mcse",
    "es_mcse",
    "es_contribution",
)
"""What `value` multiplies."""


@verb
def stress(
    tree: xr.DataTree,
    weights: Any,
    scenarios: Any,
    *,
    fill_zero: bool = False,
    history: xr.Dataset | None = None,
    levels: Sequence[float] = (0.95, 0.99),
    value: float | None = None,
    positions: Positions | None = None,
    kappa: Any = 0.0,
    repricing: str = "full",
    paths: int | None = None,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.Dataset:
    """Say what a portfolio loses in scenarios, where the loss comes from, and how sure that is.

    The loss is L = -sum_h w'r_h over the periods of the scenario (constant exposures, arithmetic), positive
    for losses, and splits into components as in `bf.decompose_risk`. Scenarios are linear in factor moves.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`, or `bf.stack` for scenarios of the horizon stored.
    weights : mapping, Series, DataArray (asset), table or path of one, or "equal"
        Fractions of the portfolio's value for every asset of the model. None, or all zero, where there
        are positions alone.
    fill_zero : bool
        Assets that are not named have weight 0; without it they are refused.
    scenarios : mapping, sequence, str or Path
        Name to scenario (`bf.Episode`, `bf.FactorShock`, `bf.RegimeShift`, `bf.ReverseStress`,
        `bf.Liquidation`); scenarios, or names of `bf.list_episodes()`; or a TOML file of them.
    history : Dataset, optional
        A panel that covers the episodes and has the model's observed factors by name, in fractions per
        period. Where not given, the data of the fit.
    levels : sequence of float
        Confidence levels, above 0.5 and below 1.
    value : float, optional
        Portfolio value; 1 (where not given) gives fractions, 1e6 gives money. Needed with positions.
    positions : Positions, optional
        From `bf.read_positions`, in money beside the weights. Not with a `bf.Liquidation`.
    kappa : float or mapping (asset)
        As `bf.decompose_risk` takes it: an implied volatility s moves to s (1 - kappa r).
    repricing : {"full", "taylor"}
        Options are repriced, or expanded to second order, which moves of this size are often beyond.
    paths : int, optional
        Futures per posterior draw behind `var` and `es`. Where not given, as many as bring the Monte-Carlo
        error of every ES under 1 % (at most 200 000 scenarios).
    drift : {"zero", "posterior", "prior"}
        Expected returns of what a scenario leaves open, as in `bf.decompose_risk`.
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    Dataset
        `loss (scenario)`: expected loss under the scenario, over all draws; `loss_posterior (scenario, chain,
        draw)`: the same given each of at least 400 draws; `loss_contribution (scenario, asset, component)`:
        adds up to `loss`; all three without simulation, but for what options gain beyond their slopes, the
        component `nonlinear`; theta and funding are `carry`. `var`, `es`, their errors `var_mcse` and
        `es_mcse (scenario, level)`, and `es_contribution (scenario, level, asset, component)`: of the loss
        under the scenario, with specific returns and what the scenario leaves open drawn. `factor_move
        (scenario, factor)`: expected total move; `specific_move (scenario, asset)`: what coins are expected
        to return of their own. `plausibility (scenario)`: predictive probability of a factor move at least
        as far in its direction, of a reverse stress that of the loss, NaN where that means nothing. With a
        `bf.Liquidation`, `days_to_unwind (scenario, asset)`, in periods. Coords `kind`, `horizon` and
        `note (scenario)`, `group` and `weight (asset)`, `family (component)`.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    WeightsError
        If weights miss, exceed or misname the assets, or are not finite, or are all zero.
    PanelError
        If `history` is no panel.
    RiskError
        If returns are logarithmic; a scenario is none, stands twice, names an unknown factor, or lies outside
        the history; or a level, value or number of paths is out of range.
    NumericalError
        If variances or expected shortfalls are infinite (nu <= 2).

    References
    ----------
    .. [1] Ding, P. (2016). On the conditional distribution of the multivariate t distribution. The American
       Statistician 70(3).
    .. [2] Breuer, T., Jandacka, M., Rheinberger, K. and Summer, M. (2009). How to find plausible, severe, and
       useful stress scenarios. International Journal of Central Banking 5(3).

    Examples
    --------
    >>> found = bf.stress(tree, weights, ["ftx-2022", bf.FactorShock({"market": -0.2})])  # doctest: +SKIP
    >>> found["loss"].to_pandas()  # doctest: +SKIP
    """
    s.check_tree(tree, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="stress")
    if positions is not None and value is None:
        msg = (
            "positions are money and weights are fractions: give value, the money that the weights refer to."
        )
        raise RiskError(msg)
    value = 1.0 if value is None else value
    wanted = _check(tree, levels, value, paths)
    asked = read_scenarios(scenarios)
    entropy = root_entropy(random_seed)
    ahead = _ahead(tree, checked_drift(drift), entropy)
    near = ahead(1 if s.POSTERIOR in tree.children else int(tree[s.PREDICTIONS].sizes[s.HORIZON]))
    labels = near.labels
    if weights is None and positions is not None:
        weights = dict.fromkeys(labels.assets.tolist(), 0.0)
    w = weights_for(weights, labels.assets, allow_zero=positions is not None, fill_zero=fill_zero)
    spot = labels.to_canonical(w)
    ask = Ask(tree, ahead, spot, history, float(value), labels)
    book: Book | None = None
    if positions is not None:
        days = days_in_period(year_in(tree))
        held = {"value": float(value), "kappa": kappa, "period_days": days, "repricing": repricing}
        book = lambda moments: position_book(moments, spot, positions, labels, **held)  # noqa: E731
        straight = book(near.moments)
        warn_of_gross(straight.weights, DELTAS)
        optioned = np.isin(np.arange(len(spot)), straight.at)
        ask = replace(ask, weights=straight.weights, optioned=optioned)
    found = [_one(name, scenario, ask, book, wanted, paths) for name, scenario in asked.items()]
    if positions is not None:
        _refuse_other_losses(asked, found)
    out = _dataset(labels, list(asked), [x.kind for x in asked.values()], wanted, found)
    out = out.assign({name: out[name] * value + 0.0 for name in _MONEY})
    out = out.assign_coords(weight=(s.ASSET, w))
    if positions is not None:
        out = out.assign_coords(delta_weight=(s.ASSET, labels.to_panel_order(ask.weights, 0)))
    out.attrs = (
        fit_attrs(tree, entropy)
        | value_attrs(value)
        | {
            "kind_of_data": "stress",
            s.DRIFT: drift,
            "floored_share": max(t.floored_share for _, _, t in found),
        }
    )
    _warn_if_impossible(out)
    return out


def _one(
    name: str, scenario: Scenario, ask: Ask, book: Book | None, levels: np.ndarray, paths: int | None
) -> tuple[Case, Holding, Tails]:
    case = case_of(name, scenario, ask)
    holding = Holding(case, ask.weights, None if book is None else book(case.moments))
    return case, holding, tails(holding, levels, ask.labels, paths=paths)


def _ahead(tree: xr.DataTree, drift: str, entropy: int) -> Ahead:
    """Return what predicts each horizon, reading the law off the tree once."""
    known: dict[int, Predictions] = {}
    stored = tree[s.PREDICTIONS].sizes[s.HORIZON] if s.PREDICTIONS in tree.children else 0

    def ahead(horizon: int, *, all_open: bool = False) -> Predictions:
        if all_open:
            found = ahead(horizon)
            if found.law is None:
                msg = (
                    "the market of a shocked factor is closed in the next period, and stored predictions do "
                    "not say what an open day is like. Use the tree without its group 'predictions'."
                )
                raise RiskError(msg)
            return replace(found, moments=found.law.moments(horizon, all_open=True))
        if horizon in known:
            return known[horizon]
        if horizon != stored and s.POSTERIOR not in tree.children:
            msg = (
                f"these predictions are of {stored} period{'s' if stored > 1 else ''}, the scenario takes "
                f"{horizon}. Make them with horizon={horizon}, or stress the fit itself."
            )
            raise RiskError(msg)
        fresh = next((f for f in known.values() if f.law is not None), None)
        if horizon == stored or fresh is None or fresh.law is None:
            known[horizon] = predict(tree, horizon, drift=drift, random_seed=entropy)
        else:
            known[horizon] = replace(fresh, moments=fresh.law.moments(horizon))
        return known[horizon]

    return ahead


def _check(tree: xr.DataTree, levels: Sequence[float], value: float, paths: int | None) -> np.ndarray:
    wanted = checked_levels(tree, levels)
    checked_value(value)
    check_paths(paths)
    return wanted


def _dataset(
    labels: Labels,
    names: list[str],
    kinds: list[str],
    levels: np.ndarray,
    found: list[tuple[Case, Holding, Tails]],
) -> xr.Dataset:
    cases, holdings, ends = zip(*found, strict=True)
    per_chain = math.ceil(_POSTERIOR_DRAWS / len(labels.chains))
    kept = thinned(len(labels.draws), per_chain)
    grid = (len(labels.chains), len(labels.draws))
    means = [h.mean_parts.mean(axis=0) for h in holdings]
    by_draw = [h.mean_parts.sum(axis=(1, 2)).reshape(grid)[:, kept] for h in holdings]
    by_level, cells = (s.SCENARIO, s.LEVEL), (s.SCENARIO, s.ASSET, s.COMPONENT)
    variables = {
        "loss": (s.SCENARIO, [m.sum() for m in means]),
        "loss_posterior": ((s.SCENARIO, s.CHAIN, s.DRAW), np.stack(by_draw)),
        "loss_contribution": (cells, labels.to_panel_order(np.stack(means), 1)),
        "var": (by_level, np.stack([t.var for t in ends])),
        "es": (by_level, np.stack([t.es for t in ends])),
        "var_mcse": (by_level, np.stack([t.var_mcse for t in ends])),
        "es_mcse": (by_level, np.stack([t.es_mcse for t in ends])),
        "es_contribution": (
            (s.SCENARIO, s.LEVEL, s.ASSET, s.COMPONENT),
            labels.to_panel_order(np.stack([t.es_contribution for t in ends]), 2),
        ),
        "factor_move": (
            (s.SCENARIO, s.FACTOR),
            np.stack([c.expected.sum(axis=1).mean(axis=0) for c in cases]),
        ),
        "specific_move": (
            (s.SCENARIO, s.ASSET),
            labels.to_panel_order(np.stack([c.own for c in cases]), 1),
        ),
        "plausibility": (s.SCENARIO, [c.plausibility for c in cases]),
    }
    if any(c.days_to_unwind is not None for c in cases):
        none = np.full(len(labels.canonical), np.nan)
        days = np.stack([none if c.days_to_unwind is None else c.days_to_unwind for c in cases])
        variables["days_to_unwind"] = ((s.SCENARIO, s.ASSET), labels.to_panel_order(days, 1))
    coords = {
        s.SCENARIO: names,
        "kind": (s.SCENARIO, kinds),
        s.HORIZON: (s.SCENARIO, [c.expected.shape[1] for c in cases]),
        "note": (s.SCENARIO, [c.note for c in cases]),
        s.LEVEL: levels,
        s.FACTOR: labels.factors.astype(str),
        **components(labels, means[0].shape[1]),
        s.CHAIN: labels.chains,
        s.DRAW: labels.draws[kept],
    }
    return xr.Dataset(variables, coords=coords)


def _refuse_other_losses(asked: Mapping[str, Scenario], found: Sequence[tuple[Case, Holding, Tails]]) -> None:
    """Refuse a reverse stress whose move, found by slopes, loses something else once options are repriced."""
    for (name, scenario), (_, holding, _) in zip(asked.items(), found, strict=True):
        if isinstance(scenario, ReverseStress):
            reached = float(holding.mean_parts.mean(axis=0).sum())
            if abs(reached - scenario.loss) > _CURVED * scenario.loss:
                msg = (
                    f"{name}: the move that loses {scenario.loss:.3g} by the slopes of the options loses "
                    f"{reached:.3g} once they are repriced: they are too curved for a reverse stress. Ask "
                    "for the spot alone, or for several bf.FactorShock with the options."
                )
                raise RiskError(msg)


def _warn_if_impossible(found: xr.Dataset) -> None:
    """Say so where a long position is expected to lose more than there is."""
    weight = found["weight"] * found.attrs["value"]
    loss = found["loss_contribution"].sum(s.COMPONENT)
    beyond = ((weight > 0.0) & (loss > weight * (1.0 + 1e-9)) & (found[s.HORIZON] == 1)).any(s.ASSET)
    names = found[s.SCENARIO].values[beyond.values]
    if len(names):
        msg = (
            f"in {', '.join(map(str, names))} a coin is expected to lose more than all of its worth: losses "
            "are linear in factor moves (fractions: -0.2 is -20 %), and so large a move is beyond that. VaR "
            "and ES take no coin below nothing and may be smaller. Read the loss as a bound, or take a "
            "smaller move."
        )
        warn(msg)
