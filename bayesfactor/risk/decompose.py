"""`decompose_risk`: what a portfolio can lose, how sure we are, and where the loss comes from."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import NumericalError, RiskError
from bayesfactor.forecast import Labels, Predictions, predict
from bayesfactor.laws.blocks import Seed
from bayesfactor.risk.asymmetric import asymmetric_tails
from bayesfactor.risk.checks import checked_levels
from bayesfactor.risk.compounding import BuyAndHold
from bayesfactor.risk.conditional import ConditionalTails, conditional_tails
from bayesfactor.risk.exact import Book
from bayesfactor.risk.predictive import PredictiveTails, predictive_tails
from bayesfactor.risk.weights import weights_for

__all__ = ["decompose_risk"]

_POSTERIOR_DRAWS = 400
_BARELY_FINITE = 2.2
"""Below this nu the variance is more than eleven times the squared scale."""


def decompose_risk(
    tree: xr.DataTree,
    weights: Any,
    *,
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    value: float = 1.0,
    compounding: bool = False,
    paths: int | None = None,
    random_seed: Seed = None,
) -> xr.Dataset:
    """Decompose the risk of a portfolio over the next periods.

    The loss is L = -sum_h w'r_h (constant exposures, arithmetic), so VaR and ES are positive for
    losses. x[asset, component] is the part of the loss from one asset through one component:
    each factor, `specific`, and `drift` (alpha); the sum of x is L, exactly.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`. If it holds `predictions` of this horizon (`bf.forecast`), those paths are
        used; otherwise paths are streamed.
    weights : mapping, Series or DataArray (asset)
        Fractions of the portfolio's value for every asset of the model; shorts and leverage
        are allowed.
    levels : sequence of float
        Confidence levels, above 0.5 and below 1.
    horizon : int
        Periods ahead.
    value : float
        Portfolio value; 1 gives fractions, 1e6 gives money.
    compounding : bool
        Positions are held without rebalancing: L = -sum_i w_i (prod_h (1 + r_ih) - 1), and what
        exceeds the sum over periods is one more component, `compounding`. Such a loss has no closed
        form given a draw, so of the posteriors only that of volatility is returned.
    paths : int, optional
        Futures per posterior draw. Where not given, as many as bring the Monte-Carlo error of
        every ES under 1 % (at most four million scenarios).
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    Dataset
        Predictive numbers (all draws and paths pooled; parameter uncertainty is inside):
        `volatility ()`, `var (level)`, `es (level)`, `volatility_contribution (asset, component)`,
        `var_contribution` and `es_contribution (level, asset, component)`, `var_mcse` and
        `es_mcse (level)`. Volatility comes from exact moments. Posteriors of the number given
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
        If returns are logarithmic, or a level, horizon or value is out of range.
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
    found = predict(tree, horizon, random_seed=random_seed)
    labels = found.labels
    w = weights_for(weights, labels.assets)
    kind = BuyAndHold if compounding else Book
    book = kind(found.moments, np.ascontiguousarray(w[labels.order]))
    volatility, volatility_parts = book.volatility()
    if not math.isfinite(volatility):
        msg = (
            "volatility is infinite: some draws have nu <= 2. "
            "Use a prior that keeps nu above 2 (transform above_two)."
        )
        raise NumericalError(msg)
    pooled = predictive_tails(found, book, wanted, paths=paths)
    some = _thinned(labels)
    thin = kind(found.moments.take(some), book.weights)
    out = _dataset(labels, wanted, volatility, volatility_parts, pooled)
    out = out.assign(_volatility_posterior(labels, thin))
    verdict = ""
    if not compounding:
        given, verdict = _tails_given_draws(thin, wanted, found, some)
        out = out.assign(_tail_posteriors(labels, given))
    out = out * value
    out = out.assign_coords(weight=(s.ASSET, w))
    out.attrs = _attrs(tree, found, pooled, horizon, value, compounding=compounding)
    out.attrs["tail_posteriors"] = "none with compounding" if compounding else verdict or "exact"
    if verdict:
        warnings.warn(f"no posterior of VaR and ES: {verdict}", UserWarning, stacklevel=2)
    _warn_if_rough(out)
    _warn_if_barely_finite(out, book, volatility)
    return out


def _tails_given_draws(
    thin: Book, levels: np.ndarray, found: Predictions, some: np.ndarray
) -> tuple[ConditionalTails, str]:
    """Return tails given each draw, and where they cannot be had NaN and why."""
    if thin.moments.elliptical:
        return conditional_tails(thin, levels), ""
    try:
        return asymmetric_tails(thin, levels, found.law, some), ""
    except (RiskError, NumericalError) as error:
        m = thin.moments
        shape = (m.n_draws, len(levels), m.alpha.shape[1], m.loadings.shape[2] + 2)
        none = np.full((2, *shape), np.nan)
        return ConditionalTails(*none[..., 0, 0].swapaxes(1, 2), *none, *none[:, 0, :, 0, 0]), str(error)


def _check(tree: xr.DataTree, levels: Sequence[float], value: float, paths: int | None) -> np.ndarray:
    wanted = checked_levels(tree, levels)
    if not np.isfinite(value) or value <= 0:
        msg = f"value is the positive worth of the portfolio; got {value!r}."
        raise RiskError(msg)
    if paths is not None and (
        isinstance(paths, bool) or not isinstance(paths, int | np.integer) or paths < 1
    ):
        msg = f"paths is a whole number of at least 1, or None; got {paths!r}."
        raise RiskError(msg)
    return wanted


def _kept(labels: Labels) -> np.ndarray:
    """Return positions of evenly spaced draws of a chain, at least 400 over all chains."""
    draws = len(labels.draws)
    per_chain = min(draws, math.ceil(_POSTERIOR_DRAWS / len(labels.chains)))
    return np.round(np.linspace(0, draws - 1, per_chain)).astype(int)


def _thinned(labels: Labels) -> np.ndarray:
    """Return flat positions of the kept draws of every chain."""
    starts = np.arange(len(labels.chains)) * len(labels.draws)
    return (starts[:, None] + _kept(labels)).ravel()


def _components(labels: Labels, count: int) -> dict[str, Any]:
    """Return coords of assets and of `count` components: factors, then as many of these as there are."""
    others = (s.SPECIFIC, s.DRIFT, s.COMPOUNDING)[: count - len(labels.factors)]
    names = [*labels.factors.astype(str), *others]
    families = [*labels.families.astype(str), *others]
    return {
        s.ASSET: labels.assets,
        s.GROUP: (s.ASSET, labels.groups),
        s.COMPONENT: names,
        s.FAMILY: (s.COMPONENT, families),
    }


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
        },
        coords={s.LEVEL: levels, **_components(labels, volatility_parts.shape[1])},
    )


def _shaped(labels: Labels, values: np.ndarray, *dims: str) -> xr.DataArray:
    """Return values (kept draw, *dims) in canonical order with their chains, draws and names."""
    kept = _kept(labels)
    if s.ASSET in dims:
        values = labels.to_panel_order(values, 1 + dims.index(s.ASSET))
    values = values.reshape(len(labels.chains), len(kept), *values.shape[1:])
    coords = {s.CHAIN: labels.chains, s.DRAW: labels.draws[kept]}
    if s.ASSET in dims:
        coords |= _components(labels, values.shape[-1])
    return xr.DataArray(values, dims=(s.CHAIN, s.DRAW, *dims), coords=coords)


def _volatility_posterior(labels: Labels, thin: Book) -> dict[str, xr.DataArray]:
    volatility, parts = thin.volatility_by_draw()
    return {
        "volatility_posterior": _shaped(labels, volatility),
        "volatility_contribution_posterior": _shaped(labels, parts, s.ASSET, s.COMPONENT),
    }


def _tail_posteriors(labels: Labels, given: ConditionalTails) -> dict[str, xr.DataArray]:
    by_level, cells = (s.LEVEL, s.CHAIN, s.DRAW), (s.LEVEL, s.ASSET, s.COMPONENT)
    return {
        "var_posterior": _shaped(labels, given.var.T, s.LEVEL).transpose(*by_level),
        "es_posterior": _shaped(labels, given.es.T, s.LEVEL).transpose(*by_level),
        "var_contribution_posterior": _shaped(labels, given.var_contribution, *cells),
        "es_contribution_posterior": _shaped(labels, given.es_contribution, *cells),
        "var_posterior_mcse": xr.DataArray(given.var_mcse, dims=s.LEVEL),
        "es_posterior_mcse": xr.DataArray(given.es_mcse, dims=s.LEVEL),
    }


def _attrs(
    tree: xr.DataTree,
    found: Predictions,
    pooled: PredictiveTails,
    horizon: int,
    value: float,
    *,
    compounding: bool,
) -> dict[str, Any]:
    kept = ("model", "card_digest", "returns_digest", "factors_digest", "returns_kind", "periods_per_year")
    return {k: tree.attrs[k] for k in kept if k in tree.attrs} | {
        "schema_version": s.SCHEMA_VERSION,
        "horizon": int(horizon),
        "compounding": int(compounding),
        "value": float(value),
        "units": "fraction of value" if value == 1.0 else "money",
        "scenarios": int(pooled.scenarios),
        "floored_share": float(pooled.floored_share),
        "random_seed": str(found.entropy),
    }


def _warn_if_barely_finite(risk: xr.Dataset, book: Book, volatility: float) -> None:
    """Say so when most of the volatility comes from coins whose variance barely exists."""
    m = book.moments
    specific = (book.bets**2 * m.specific_variance.sum(axis=1)).mean(axis=0)
    barely = np.median(m.specific_nu[:, 0], axis=0) < _BARELY_FINITE
    share = float(specific[barely].sum() / volatility**2)
    risk.attrs["volatility_share_of_barely_finite_variances"] = share
    if share > 0.25:
        names = risk[s.ASSET].values[s.canonical_order(risk[s.ASSET])]
        names = names[np.argsort(-np.where(barely, specific, 0.0))][: int((barely & (specific > 0.0)).sum())]
        shown = ", ".join(map(str, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        msg = (
            f"{share:.0%} of the variance of this portfolio comes from specific returns with nu below "
            f"{_BARELY_FINITE}, whose variance barely exists ({shown}). Read VaR and ES instead of "
            "volatility, or give `nu` a prior further from 2."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def _warn_if_rough(risk: xr.Dataset) -> None:
    share = float((risk["es_mcse"] / abs(risk["es"])).max())
    risk.attrs["es_mcse_share"] = share
    if share > 0.01:
        msg = (
            f"the Monte-Carlo error of ES is {share:.1%} of ES with {risk.attrs['scenarios']} scenarios. "
            "Ask for more paths, or sample more posterior draws."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
