"""`incremental_risk`: what proposed trades do to a portfolio's risk, and how sure that is."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import NumericalError, warn
from bayesfactor.forecast import Labels, Predictions, predict
from bayesfactor.laws.blocks import Seed
from bayesfactor.risk.checks import checked_levels, checked_value
from bayesfactor.risk.exact import Book
from bayesfactor.risk.given import linear_tails
from bayesfactor.risk.labelled import common_attrs, components, shaped, thinned_draws
from bayesfactor.risk.predictive import PredictiveTails, mcse_of, predictive_tails_of
from bayesfactor.risk.trades import trades_for
from bayesfactor.risk.weights import weights_for

__all__ = ["incremental_risk"]

_NOTHING: Final = 1e-12
"""A position that is this small beside what it was made of has been closed."""


@verb
def incremental_risk(
    tree: xr.DataTree,
    weights: Any,
    trades: Any,
    *,
    fill_zero: bool = False,
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    value: float = 1.0,
    paths: int | None = None,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.Dataset:
    """Measure what each proposed trade does to volatility, VaR and ES of a portfolio.

    Trades are judged one by one, each against the portfolio as it stands. Cash takes up the difference:
    weights need not add up to 1. The loss is that of `bf.decompose_risk` without compounding.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    weights : mapping, Series, DataArray (asset), table or path of one, or "equal"
        What is held before, fractions of value; all may be zero.
    fill_zero : bool
        Assets that are not named have weight 0; without it they are refused.
    trades : mapping (trade) of mappings (asset), or DataFrame (trade, asset)
        Changes of weight, fractions of value; assets that are not named, or NaN in a DataFrame, do not
        change.
    levels : sequence of float
        Confidence levels, above 0.5 and below 1.
    horizon : int
        Periods ahead.
    value : float
        Portfolio value; 1 gives fractions, 1e6 gives money.
    paths : int, optional
        Futures per posterior draw, the same for all trades. Where not given, as many as bring the Monte-Carlo
        error of every ES under 1 %, or to what so few draws can tell, within bounds of memory.
    drift : {"zero", "posterior", "prior"}
        Expected returns, as in `bf.decompose_risk`.
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    Dataset
        For each of `volatility`, `var (level)` and `es (level)`, here called x: `x` before and
        `x_after (trade)`; `x_change (trade)`, and `x_first_order (trade)`, what `x_marginal (asset)`
        predicts; posteriors `x_posterior`, `x_after_posterior` and `x_change_posterior (chain, draw)`; the
        shares `x_share` and `x_share_after (asset, component)`. Marginals are per unit of weight, of assets
        that are not held too. `var` and `es` have errors `_mcse`; those of changes are small, since
        all books see the same paths. `change (trade, asset)` is what was proposed.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    WeightsError
        If weights or trades misname assets, or are not finite, or there is no trade.
    RiskError
        If returns are logarithmic, or a level, horizon or value is out of range.
    NumericalError
        If a risk number is infinite.

    Notes
    -----
    Marginals are Euler's gradients [1]_: of volatility exact, of ES E[-r_i | L >= VaR], of VaR
    E[-r_i | L = VaR], from the same paths. Where nothing is held there is no gradient and there are no
    shares: they are NaN, and a warning names the trade.

    References
    ----------
    .. [1] Tasche, D. (2000). Risk contributions and performance measurement.

    Examples
    --------
    >>> trades = {"less BTC": {"BTC": -0.1}, "switch": {"BTC": -0.1, "ETH": 0.1}}
    >>> found = bf.incremental_risk(tree, weights, trades, random_seed=1)  # doctest: +SKIP
    >>> found["es_change_posterior"].quantile([0.05, 0.95], ("chain", "draw"))  # doctest: +SKIP
    """
    s.check_tree(tree, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="incremental_risk")
    wanted = checked_levels(tree, levels)
    checked_value(value)
    found = predict(tree, horizon, drift=drift, random_seed=random_seed)
    labels = found.labels
    before = weights_for(weights, labels.assets, allow_zero=True, fill_zero=fill_zero)
    names, change = trades_for(trades, labels.assets)
    after = before + change
    after[np.abs(after) <= _NOTHING * (np.abs(before) + np.abs(change))] = 0.0
    held = np.concatenate([before[None], after])
    books = [Book(found.moments, labels.to_canonical(w)) for w in held]
    pooled = predictive_tails_of(found, books, wanted, paths=paths)
    given, why = _posteriors(labels, books, wanted, found)
    variables = _predictive(labels, found, books, pooled, change)
    out = xr.Dataset(variables, coords={s.TRADE: names, s.LEVEL: wanted}).assign(given)
    money = [v for v in out.data_vars if "_share" not in str(v)]
    out = out.assign({v: out[v] * value for v in money})
    out["change"] = ((s.TRADE, s.ASSET), change)
    out = out.assign_coords(weight=(s.ASSET, before), **components(labels, labels.factors.size + 2))
    out.attrs = common_attrs(tree, found, value) | {
        "scenarios": pooled[0].scenarios,
        "tail_posteriors": why or "exact",
    }
    _warn_of_nothing(["before", *names], held)
    return out


def _predictive(
    labels: Labels,
    found: Predictions,
    books: list[Book],
    pooled: list[PredictiveTails],
    change: np.ndarray,
) -> dict[str, Any]:
    """Return predictive numbers, shares and marginals."""
    exact = [book.volatility() for book in books]
    volatility = np.array([v for v, _ in exact])
    if not np.isfinite(volatility).all():
        msg = "volatility is infinite: some draws have nu <= 2. Use a prior that keeps nu above 2."
        raise NumericalError(msg)
    slopes = {"volatility": _marginal_volatility(books[0], volatility[0])}
    values = {"volatility": volatility}
    parts = {"volatility": np.stack([p for _, p in exact])}
    errors: dict[str, Any] = {}
    for name in ("var", "es"):
        values[name] = np.stack([getattr(p, name) for p in pooled])
        parts[name] = np.stack([getattr(p, f"{name}_contribution") for p in pooled])
        slopes[name] = getattr(pooled[0], f"{name}_marginal")
        mcse = np.stack([getattr(p, f"{name}_mcse") for p in pooled])
        influence = np.stack([getattr(p, f"{name}_influence") for p in pooled])
        gap = np.array([[mcse_of(x, found.labels) for x in one] for one in influence[1:] - influence[0]])
        errors |= {f"{name}_mcse": (s.LEVEL, mcse[0])}
        errors |= {f"{name}_after_mcse": ((s.TRADE, s.LEVEL), mcse[1:])}
        errors |= {f"{name}_change_mcse": ((s.TRADE, s.LEVEL), gap)}
    out: dict[str, Any] = {}
    canonical = labels.to_canonical(change)
    for name, x in values.items():
        level = () if name == "volatility" else (s.LEVEL,)
        # Nothing held, no gradient: the risk of a first position is the same whichever its sign.
        slope = slopes[name] if books[0].weights.any() else np.full_like(slopes[name], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = parts[name] / np.where(x == 0.0, np.nan, x)[..., None, None]
        share = labels.to_panel_order(share, -2)
        cells = (*level, s.ASSET, s.COMPONENT)
        out |= {
            name: (level, x[0]),
            f"{name}_after": ((s.TRADE, *level), x[1:]),
            f"{name}_change": ((s.TRADE, *level), x[1:] - x[0]),
            f"{name}_first_order": ((s.TRADE, *level), (canonical @ slope.T)),
            f"{name}_marginal": ((*level, s.ASSET), labels.to_panel_order(slope, -1)),
            f"{name}_share": (cells, share[0]),
            f"{name}_share_after": ((s.TRADE, *cells), share[1:]),
        }
    return out | errors


def _marginal_volatility(book: Book, volatility: float) -> np.ndarray:
    """Return cov(-r_i, L) / volatility (asset), by the law of total variance."""
    m = book.moments
    unit = Book(m, np.ones_like(book.weights))
    factor = np.einsum("dhkl,dl->dk", m.factor_covariance, book.exposures)
    within = unit.spread(factor, m.specific_variance.sum(axis=1) * book.bets).sum(axis=2).mean(axis=0)
    means, loss = unit.mean_parts().sum(axis=2), book.mean_loss
    between = np.einsum("di,d->i", means - means.mean(axis=0), loss - loss.mean()) / len(loss)
    return (within + between) / (volatility or np.nan)


def _posteriors(
    labels: Labels, books: list[Book], levels: np.ndarray, found: Predictions
) -> tuple[dict[str, xr.DataArray], str]:
    """Return numbers given each draw before and after, and their differences draw by draw."""
    some = thinned_draws(labels)
    thin = found.moments.take(some)
    values: dict[str, list[np.ndarray]] = {"volatility": [], "var": [], "es": []}
    reason = ""
    for book in books:
        one = Book(thin, book.weights)
        values["volatility"].append(one.volatility_by_draw()[0])
        tails, why = linear_tails(one, levels, found, some)
        values["var"].append(tails.var.T)
        values["es"].append(tails.es.T)
        reason = reason or why
    out = {}
    for name, each in values.items():
        level = () if name == "volatility" else (s.LEVEL,)
        after = np.stack(each[1:], axis=1)
        tables = {
            "posterior": (each[0], level),
            "after_posterior": (after, (s.TRADE, *level)),
            "change_posterior": (after - each[0][:, None], (s.TRADE, *level)),
        }
        for suffix, (x, dims) in tables.items():
            out[f"{name}_{suffix}"] = shaped(labels, x, *dims).transpose(*dims, s.CHAIN, s.DRAW)
    return out, reason


def _warn_of_nothing(names: list[str], held: np.ndarray) -> None:
    empty = [n for n, w in zip(names, held, strict=True) if not w.any()]
    if empty:
        shown = ", ".join(map(repr, empty))
        msg = f"nothing is held in {shown}. Risk is zero there, and shares and marginals of zero are NaN."
        warn(msg)
