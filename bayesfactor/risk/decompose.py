"""`decompose_risk`: what a portfolio can lose, how sure we are, and where the loss comes from."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import NumericalError, RiskError, WeightsError, warn
from bayesfactor.forecast import Labels, Predictions, predict
from bayesfactor.laws.blocks import Seed
from bayesfactor.periods import days_in_period, year_in
from bayesfactor.positions import Positions
from bayesfactor.risk.checks import check_paths, checked_levels, checked_value
from bayesfactor.risk.compounding import BuyAndHold
from bayesfactor.risk.conditional import ConditionalTails
from bayesfactor.risk.curved import position_tails
from bayesfactor.risk.exact import Book
from bayesfactor.risk.fragile import BARELY_FINITE, CENTRAL, FEW_DRAWS, MUCH, Fragile, few_draws, fragile
from bayesfactor.risk.given import linear_tails
from bayesfactor.risk.labelled import common_attrs, components, shaped, thinned_draws
from bayesfactor.risk.nonlinear import PositionBook, position_book
from bayesfactor.risk.predictive import PredictiveTails, predictive_tails
from bayesfactor.risk.weights import DELTAS, weights_for
from bayesfactor.tables import warn_of_gross

__all__ = ["decompose_risk"]

_MUCH = 0.25
"""Of ES that is curvature: volatility then says little."""


@verb
def decompose_risk(
    tree: xr.DataTree,
    weights: Any,
    *,
    fill_zero: bool = False,
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    value: float | None = None,
    compounding: bool = False,
    positions: Positions | None = None,
    kappa: Any = 0.0,
    repricing: str = "taylor",
    paths: int | None = None,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.Dataset:
    """Decompose the risk of a portfolio over the next periods.

    The loss is L = -sum_h w'r_h (constant exposures, arithmetic), so VaR and ES are positive for
    losses. x[asset, component] is the part of the loss from one asset through one component:
    each factor, `specific`, and `drift` (alpha); the sum of x is L, exactly. Expected returns are zero
    unless asked for.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`. If it holds `predictions` of this horizon and drift (`bf.forecast`), those paths
        are used; otherwise paths are streamed.
    weights : mapping, Series, DataArray (asset), table or path of one, or "equal"
        Fractions of the portfolio's value for every asset of the model; shorts and leverage
        are allowed. None, or all zero, where there are positions alone.
    fill_zero : bool
        Assets that are not named have weight 0; without it they are refused.
    levels : sequence of float
        Confidence levels, above 0.5 and below 1.
    horizon : int
        Periods ahead.
    value : float, optional
        Portfolio value; 1 (where not given) gives fractions, 1e6 gives money. Needed with positions.
    compounding : bool
        Positions are held without rebalancing: L = -sum_i w_i (prod_h (1 + r_ih) - 1), and what
        exceeds the sum over periods is one more component, `compounding`. Such a loss has no closed
        form given a draw, so of the posteriors only that of volatility is returned.
    positions : Positions, optional
        From `bf.read_positions`, in money beside the weights: perpetuals, options, greeks.
    kappa : float, mapping (asset) or what `bf.fit_kappa` returns
        An implied volatility s moves with the return r of its underlying to s (1 - kappa r); 0 where not
        named.
    repricing : "taylor" or "full"
        Options by delta, gamma, vega and theta, or by Black's formula. Then what is beyond the linear part is
        the component `nonlinear`, and theta and funding are `carry`.
    paths : int, optional
        Futures per posterior draw. Where not given, as many as bring the Monte-Carlo error of
        every ES under 1 %, or to what so few draws can tell (at most four million scenarios).
    drift : {"zero", "posterior", "prior"}
        Expected returns of the law ahead. "zero": every coin and factor is expected to return nothing, and
        the component `drift` is 0. "posterior": means given the data and the card's prior, with what is
        not known of them. "prior": means as the card has them before any return.
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    Dataset
        Predictive numbers (all draws and paths pooled; parameter uncertainty is inside):
        `volatility ()`, `var (level)`, `es (level)`, `volatility_contribution (asset, component)`,
        `var_contribution` and `es_contribution (level, asset, component)`, `var_mcse` and
        `es_mcse (level)`. Volatility comes from exact moments. `volatility_central ()` is that of the
        loss between its quantiles at 0.5 and 99.5 % (of a normal law 0.96 of the volatility), with its error
        `volatility_central_mcse`; read it where nu is near 2. Posteriors of the number given
        the parameters, on at least 400 draws: `volatility_posterior (chain, draw)`,
        `var_posterior` and `es_posterior (level, chain, draw)`, their `*_contribution_posterior`,
        and `var_posterior_mcse`, `es_posterior_mcse (level)`, the numerical error of those.
        Coords `family (component)` and `group (asset)`: a roll-up is a `groupby`.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    WeightsError
        If weights miss, exceed or misname the assets, or are not finite, or are all zero.
    RiskError
        If returns are logarithmic, or a level, horizon, value or drift is out of range; if positions come
        without value, with compounding or in unknown assets, or an option that is not repriced in full
        expires.
    NumericalError
        If a risk number is infinite (nu <= 2 for volatility, nu <= 1 for ES).

    Notes
    -----
    Volatility contributions are cov(x, L) / sd(L), ES contributions E[x | L >= VaR], VaR
    contributions E[x | L = VaR] estimated over the 10 % of the tail nearest to VaR on each side
    [1]_. Given a draw, VaR and ES are computed without paths, by inverting the characteristic
    function of the loss, a sum of independent terms: Student-t's, or, of models with skew or volatility
    dynamics, what each series adds up to over the horizon. attrs: `tail_posteriors` is "exact", or says
    why there are none, which then are NaN: over several periods dynamics are simulated by the fit, which
    stored predictions alone have not. With `compounding`, volatility takes periods for independent.

    With positions, the loss is -sum_i ((w_i value + slope_i) R_i + nonlinear_i(R_i) + carry_i), R_i the sum
    of r_ih, slope_i the delta and what vega adds by kappa. Volatility is that of the linear part, exact,
    since R^2 has no variance where nu <= 4 (attrs: `volatility_of`). VaR and ES given a draw are those of a
    linear stand-in, exact, plus a difference on simulated paths; where its error is above a fifth of the
    posterior standard deviation they are NaN.

    References
    ----------
    .. [1] Tasche, D. (2000). Risk contributions and performance measurement.
    .. [2] McNeil, A. J., Frey, R. and Embrechts, P. (2015). Quantitative Risk Management, ch. 8.

    Examples
    --------
    >>> risk = bf.decompose_risk(tree, {"BTC": 0.6, "ETH": 0.4}, random_seed=1)  # doctest: +SKIP
    >>> risk.es_contribution.groupby("family").sum()  # doctest: +SKIP
    """
    s.check_tree(tree, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="decompose_risk")
    wanted = _check(tree, levels, value, paths)
    if positions is not None and (value is None or compounding):
        msg = (
            "positions are money and weights are fractions: give value, the money that the weights refer to."
            if value is None
            else "positions are not compounded over the horizon. Use compounding=False."
        )
        raise RiskError(msg)
    value = 1.0 if value is None else float(value)
    found = predict(tree, horizon, drift=drift, random_seed=random_seed)
    labels = found.labels
    w = _weights(weights, labels, positions, fill_zero=fill_zero)
    book: Book = (BuyAndHold if compounding else Book)(found.moments, labels.to_canonical(w))
    if positions is not None:
        days = days_in_period(year_in(tree))
        held = {"value": value, "kappa": kappa, "period_days": days, "repricing": repricing}
        book = position_book(found.moments, book.weights, positions, labels, **held)
    volatility, volatility_parts = book.volatility()
    if not math.isfinite(volatility):
        msg = (
            "volatility is infinite: some draws have nu <= 2. "
            "Use a prior that keeps nu above 2 (transform above_two)."
        )
        raise NumericalError(msg)
    pooled = predictive_tails(found, book, wanted, paths=paths)
    some = thinned_draws(labels)
    thin = replace(book, moments=found.moments.take(some))
    out = _dataset(labels, wanted, volatility, volatility_parts, pooled)
    out = out.assign(_volatility_posterior(labels, thin))
    verdict = ""
    if not compounding:
        given, verdict = _tails_given_draws(thin, wanted, found, some)
        out = out.assign(_tail_posteriors(labels, given))
    out = out * value + 0.0  # a drift of nothing loses 0 and not -0
    out = out.assign_coords(weight=(s.ASSET, w))
    out["volatility_central"].attrs["probability"] = CENTRAL
    out.attrs = _attrs(tree, found, pooled, book, value)
    out.attrs["tail_posteriors"] = "none with compounding" if compounding else verdict or "exact"
    if verdict:
        warn(f"no posterior of VaR and ES: {verdict}")
    if isinstance(book, PositionBook):
        warn_of_gross(book.weights, DELTAS)
        straight = (s.ASSET, labels.to_panel_order(book.weights, 0))
        out = out.assign_coords(
            delta_weight=straight, notional=(s.ASSET, _notional(w, positions, labels, value))
        )
        _warn_if_curved(out)
    _warn_if_rough(out)
    _warn_if_fragile(out, book, volatility, labels)
    return out


def _tails_given_draws(
    thin: Book, levels: np.ndarray, found: Predictions, some: np.ndarray
) -> tuple[ConditionalTails, str]:
    """Return tails given each draw, and where they cannot be had NaN and why."""
    if isinstance(thin, PositionBook):
        return position_tails(thin, levels, found, some)
    return linear_tails(thin, levels, found, some)


def _weights(weights: Any, labels: Labels, positions: Positions | None, *, fill_zero: bool) -> np.ndarray:
    """Return spot weights (asset) in panel order, which are needed where there are no positions."""
    if weights is not None:
        return weights_for(weights, labels.assets, allow_zero=positions is not None, fill_zero=fill_zero)
    if positions is None:
        msg = "weights say what is held; got None. Leave them out only where positions are given."
        raise WeightsError(msg)
    return np.zeros(len(labels.assets))


def _notional(w: np.ndarray, positions: Positions | None, labels: Labels, value: float) -> np.ndarray:
    """Return weights and positions added up without regard to sign (asset), in fractions of value."""
    out: np.ndarray = np.abs(w)
    if positions is not None:
        at = {str(a): i for i, a in enumerate(labels.assets)}
        out[[at[a] for a in positions.assets]] += positions.notional / value
    return out


def _check(tree: xr.DataTree, levels: Sequence[float], value: float | None, paths: int | None) -> np.ndarray:
    wanted = checked_levels(tree, levels)
    if value is not None:
        checked_value(value)
    check_paths(paths)
    return wanted


def _dataset(
    labels: Labels,
    levels: np.ndarray,
    volatility: float,
    volatility_parts: np.ndarray,
    pooled: PredictiveTails,
) -> xr.Dataset:
    cells = (s.ASSET, s.COMPONENT)
    return xr.Dataset(
        {
            "volatility": ((), volatility),
            "var": (s.LEVEL, pooled.var),
            "es": (s.LEVEL, pooled.es),
            "volatility_contribution": (cells, labels.to_panel_order(volatility_parts, 0)),
            "var_contribution": ((s.LEVEL, *cells), labels.to_panel_order(pooled.var_contribution, 1)),
            "es_contribution": ((s.LEVEL, *cells), labels.to_panel_order(pooled.es_contribution, 1)),
            "var_mcse": (s.LEVEL, pooled.var_mcse),
            "es_mcse": (s.LEVEL, pooled.es_mcse),
            "volatility_central": ((), pooled.central),
            "volatility_central_mcse": ((), pooled.central_mcse),
        },
        coords={s.LEVEL: levels, **components(labels, volatility_parts.shape[1])},
    )


def _volatility_posterior(labels: Labels, thin: Book) -> dict[str, xr.DataArray]:
    volatility, parts = thin.volatility_by_draw()
    return {
        "volatility_posterior": shaped(labels, volatility),
        "volatility_contribution_posterior": shaped(labels, parts, s.ASSET, s.COMPONENT),
    }


def _tail_posteriors(labels: Labels, given: ConditionalTails) -> dict[str, xr.DataArray]:
    by_level, cells = (s.LEVEL, s.CHAIN, s.DRAW), (s.LEVEL, s.ASSET, s.COMPONENT)
    return {
        "var_posterior": shaped(labels, given.var.T, s.LEVEL).transpose(*by_level),
        "es_posterior": shaped(labels, given.es.T, s.LEVEL).transpose(*by_level),
        "var_contribution_posterior": shaped(labels, given.var_contribution, *cells),
        "es_contribution_posterior": shaped(labels, given.es_contribution, *cells),
        "var_posterior_mcse": xr.DataArray(given.var_mcse, dims=s.LEVEL),
        "es_posterior_mcse": xr.DataArray(given.es_mcse, dims=s.LEVEL),
    }


def _attrs(
    tree: xr.DataTree, found: Predictions, pooled: PredictiveTails, book: Book, value: float
) -> dict[str, Any]:
    attrs = common_attrs(tree, found, value) | {
        "compounding": int(isinstance(book, BuyAndHold)),
        "scenarios": int(pooled.scenarios),
        "floored_share": float(pooled.floored_share),
    }
    if isinstance(book, PositionBook):
        attrs |= {
            "units": "money",
            "positions": len(book.positions.rows),
            "repricing": "full" if book.full else "taylor",
            "volatility_of": "linear part",
        }
    return attrs


def _warn_if_curved(risk: xr.Dataset) -> None:
    """Say so when much of ES is not in volatility."""
    part = abs(risk["es_contribution"].sel({s.COMPONENT: s.NONLINEAR}).sum(s.ASSET))
    share = float((part / abs(risk["es"])).max())
    if share > _MUCH:
        msg = (
            f"the curvature of options is {share:.0%} of ES, and volatility is that of the linear part. "
            "Read VaR and ES instead."
        )
        warn(msg)


def _warn_if_fragile(risk: xr.Dataset, book: Book, volatility: float, labels: Labels) -> None:
    """Say so when volatility comes from variances that barely exist, or from few draws."""
    found = fragile(book, volatility)
    rests = few_draws(risk["volatility_posterior"].values ** 2)
    risk.attrs["volatility_share_of_barely_finite_variances"] = found.share
    risk.attrs["volatility_share_of_largest_draws"] = rests
    why = []
    if found.share > MUCH:
        whose = _named(found, book, labels)
        why.append(
            f"{found.share:.0%} of its square comes from laws with nu below {BARELY_FINITE}, whose variance "
            f"barely exists ({whose})"
        )
    if rests > MUCH:
        why.append(f"{rests:.0%} of its square comes from {FEW_DRAWS:.0%} of the posterior draws")
    if why:
        whole, central = (float(risk[x] / risk.attrs["value"]) for x in ("volatility", "volatility_central"))
        msg = (
            f"volatility is {whole:.2%} and says little: {', and '.join(why)}. Read volatility_central "
            f"({central:.2%}, of the central {CENTRAL:.0%} of the law), VaR and ES instead, or give `nu`, or "
            "`factor_nu`, a prior further from 2."
        )
        warn(msg)


def _named(found: Fragile, book: Book, labels: Labels) -> str:
    """Return the factors and coins behind variances that barely exist, the largest first."""
    m = book.moments
    blocks = [" and ".join(labels.factors[m.block == b].astype(str)) for b in range(len(found.factors))]
    names = np.array([*blocks, *labels.canonical.astype(str)], dtype=object)
    share = np.concatenate([found.factors, found.assets])
    order = np.argsort(-share)[: int((share > 0.0).sum())]
    more = f" and {len(order) - 5} more" if len(order) > 5 else ""
    return ", ".join(names[order[:5]]) + more


def _warn_if_rough(risk: xr.Dataset) -> None:
    share = float((risk["es_mcse"] / abs(risk["es"])).max())
    risk.attrs["es_mcse_share"] = share
    if share > 0.01:
        msg = (
            f"the Monte-Carlo error of ES is {share:.1%} of ES with {risk.attrs['scenarios']} scenarios. "
            "Ask for more paths, or sample more posterior draws."
        )
        warn(msg)
