"""`score_backtest`: every statistic by which walk-forward forecasts are judged, in one table.

Portfolios are treated one by one, models within a portfolio on the same days. Random numbers start
anew from the seed for each series, so that no number depends on what else is in the backtest.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError
from bayesfactor.scoring.comparison import check_replications, confidence_set, diebold_mariano
from bayesfactor.scoring.contract import (
    CRPS,
    ES,
    LOG_SCORE,
    MIN_DAYS,
    MODEL,
    PIT,
    PORTFOLIO,
    REALISED,
    VAR,
    check_backtest,
    common_days,
    model_position,
)
from bayesfactor.scoring.coverage import christoffersen, dynamic_quantile, kupiec
from bayesfactor.scoring.losses import fz0_loss, quantile_loss
from bayesfactor.scoring.shortfall import NAMES, shortfall_tests
from bayesfactor.scoring.uniformity import berkowitz, kolmogorov_smirnov

__all__ = ["score_backtest"]

_BY_LEVEL: Final = (
    "hits",
    "hit_rate",
    "kupiec",
    "kupiec_p",
    "independence",
    "christoffersen_independence_p",
    "christoffersen",
    "christoffersen_p",
    "dynamic_quantile",
    "dynamic_quantile_p",
    *NAMES,
    "quantile_loss",
    "fz0",
    "diebold_mariano",
    "diebold_mariano_p",
    "confidence_set_p",
)
_BY_MODEL: Final = (LOG_SCORE, CRPS, "pit_ks_p", "pit_berkowitz", "pit_berkowitz_p")


@verb
def score_backtest(
    backtest: xr.Dataset,
    *,
    reference: str | None = None,
    confidence: float | None = 0.9,
    random_seed: int = 0,
    replications: int = 1000,
) -> xr.Dataset:
    """Judge walk-forward forecasts of VaR and ES.

    A day of a portfolio counts when its realised return is finite, and VaR and ES of every model at
    every level. A model that never has a forecast of a portfolio is not compared on it: its numbers are
    NaN, and it takes no day from the others. Days that do not count are not seen: the day before is
    the last one that counts. With fewer than 20 days a portfolio's numbers are NaN.

    Parameters
    ----------
    backtest : Dataset
        From `bf.backtest`: `var`, `es` (time, model, portfolio, level), fractions, positive for losses;
        `pit`, `log_score` (nats), `crps` (time, model, portfolio); `realised` (time, portfolio), simple
        returns.
    reference : str, optional
        Model that the others are compared with, the first by default.
    confidence : float, optional
        Of the model confidence set. None leaves the set out; it is what takes longest, and needs arch.
    random_seed : int
    replications : int
        Resamples of each bootstrap.

    Returns
    -------
    Dataset
        By model, portfolio and level, alpha being 1 - level:

        - `hits`, `hit_rate`: days with a loss above VaR, and their share, to hold against alpha.
        - `kupiec`, `kupiec_p`: that the share is alpha [1]_.
        - `independence`, `christoffersen_independence_p`: that hits do not follow hits;
          `christoffersen`, `christoffersen_p`: both at once [2]_.
        - `dynamic_quantile`, `dynamic_quantile_p`: that four lagged hits and VaR do not foretell
          hits [3]_.
        - `acerbi_szekely_z1`, `acerbi_szekely_z2` and their `_p` [4]_; `exceedance_residual` and its
          `_p` [5]_: that losses beyond VaR average ES, against larger ones. How each p is formed:
          `bayesfactor.scoring.shortfall.shortfall_tests`. NaN without a hit.
        - `quantile_loss`, in units of return, and `fz0` [6]_: mean losses, small is good. FZ0 needs
          ES positive and not short of VaR: days on which a compared model's is not are left out of all
          that is built on it, for all models; `fz0_days` (portfolio, level) remain.
        - `diebold_mariano`, `diebold_mariano_p`: on FZ0, positive where the model is worse than the
          reference, two-sided [7]_. NaN for the reference itself.
        - `confidence_set_p`, and `in_confidence_set`: whether it is above 1 - `confidence` [8]_. False
          where p is NaN.

        By model and portfolio: `log_score` (nats) and `crps` (units of return), means over the days
        on which all models that have any have one; `pit_ks_p`, that PITs are uniform [9]_;
        `pit_berkowitz`, `pit_berkowitz_p`, that their normal scores are N(0, 1) and uncorrelated [10]_.
        By portfolio: `days`.

        p-values are not adjusted for how many there are: see `holm`. attrs: `reference`,
        `confidence` (NaN for None), `random_seed`, `replications`.

    Raises
    ------
    RiskError
        If `reference` is not a model, a level or `confidence` is not between 0 and 1, `replications` is
        less than 1, or arch is missing.
    SchemaError
        If `backtest` lacks a variable, a dim or labels.

    References
    ----------
    .. [1] Kupiec (1995). Journal of Derivatives 3(2).
    .. [2] Christoffersen (1998). International Economic Review 39(4).
    .. [3] Engle and Manganelli (2004). Journal of Business & Economic Statistics 22(4).
    .. [4] Acerbi and Szekely (2014). Risk, December.
    .. [5] McNeil and Frey (2000). Journal of Empirical Finance 7.
    .. [6] Patton, Ziegel and Chen (2019). Journal of Econometrics 211(2), eq. 6.
    .. [7] Diebold and Mariano (1995). Journal of Business & Economic Statistics 13(3).
    .. [8] Hansen, Lunde and Nason (2011). Econometrica 79(2).
    .. [9] Diebold, Gunther and Tay (1998). International Economic Review 39(4).
    .. [10] Berkowitz (2001). Journal of Business & Economic Statistics 19(4).
    """
    check_replications(replications)
    _check_confidence(confidence)
    data = check_backtest(backtest, "score_backtest")
    first = model_position(data, reference)
    random = {"replications": replications, "random_seed": random_seed}
    tables = [
        _score_portfolio(data.isel({PORTFOLIO: j}), first, random, with_set=confidence is not None)
        for j in range(data.sizes[PORTFOLIO])
    ]
    scores = _assemble(data, tables, confidence)
    scores.attrs = {
        "reference": str(data[MODEL].values[first]),
        "confidence": np.nan if confidence is None else confidence,
        **random,
        **{k: backtest.attrs[k] for k in ("periods_per_year",) if k in backtest.attrs},
    }
    return scores


def _check_confidence(confidence: float | None) -> None:
    if confidence is not None and not 0.0 < confidence < 1.0:
        msg = f"confidence lies between 0 and 1; got {confidence}. Use 0.9, or None for no set."
        raise RiskError(msg)


def _assemble(data: xr.Dataset, tables: list[dict[str, np.ndarray]], confidence: float | None) -> xr.Dataset:
    dims: dict[str, tuple[str, ...]] = {"days": (PORTFOLIO,), "fz0_days": (PORTFOLIO, s.LEVEL)}
    dims |= dict.fromkeys(_BY_LEVEL, (PORTFOLIO, MODEL, s.LEVEL))
    dims |= dict.fromkeys(_BY_MODEL, (PORTFOLIO, MODEL))
    variables = {name: (of, np.stack([table[name] for table in tables])) for name, of in dims.items()}
    coords = {d: data[d].values for d in (MODEL, PORTFOLIO, s.LEVEL)}
    scores = xr.Dataset(variables, coords=coords).transpose(MODEL, PORTFOLIO, s.LEVEL)
    if confidence is None:
        return scores.drop_vars("confidence_set_p")
    scores["in_confidence_set"] = scores["confidence_set_p"] > 1.0 - confidence
    return scores


def _score_portfolio(
    one: xr.Dataset, reference: int, random: dict[str, int], *, with_set: bool
) -> dict[str, np.ndarray]:
    """Return every statistic of one portfolio: (model, level), (model), (level) or no dims."""
    n_models, n_levels = one.sizes[MODEL], one.sizes[s.LEVEL]
    table: dict[str, np.ndarray] = {name: np.full((n_models, n_levels), np.nan) for name in _BY_LEVEL}
    table |= {name: np.full(n_models, np.nan) for name in _BY_MODEL}
    y, var, es = one[REALISED].values, one[VAR].values, one[ES].values
    finite = (np.isfinite(var) & np.isfinite(es)).all(axis=2) & np.isfinite(y)[:, None]
    compared, days = common_days(finite)
    table["days"], table["fz0_days"] = np.array(days.sum()), np.zeros(n_levels, dtype="int64")
    if days.sum() < MIN_DAYS:
        return table
    level = one[s.LEVEL].values
    y, var, es = y[days][:, None, None], var[days][:, compared], es[days][:, compared]
    losses = fz0_loss(y, var, es, level)
    table["fz0_days"] = np.isfinite(losses).all(axis=1).sum(axis=0)
    by_level = _coverage(y, var, 1.0 - level) | _shortfall(y, var, es, 1.0 - level, random)
    by_level["quantile_loss"] = quantile_loss(y, var, level).mean(axis=0)
    by_level |= _losses(losses, _position_among(compared, reference), random, with_set=with_set)
    by_model = _densities(one.isel({s.TIME: days, MODEL: compared}))
    for name, values in (by_level | by_model).items():
        table[name][compared] = values
    return table


def _position_among(compared: np.ndarray, reference: int) -> int | None:
    """Return where the reference stands among the models compared, None if it is not one of them."""
    return int(compared[:reference].sum()) if compared[reference] else None


def _coverage(y: np.ndarray, var: np.ndarray, alpha: np.ndarray) -> dict[str, np.ndarray]:
    hits = -y > var
    found = {"hits": hits.sum(axis=0), "hit_rate": hits.mean(axis=0)}
    found["kupiec"], found["kupiec_p"] = kupiec(hits, alpha)
    names = ("independence", "christoffersen_independence_p", "christoffersen", "christoffersen_p")
    found |= dict(zip(names, christoffersen(hits, alpha), strict=True))
    found["dynamic_quantile"], found["dynamic_quantile_p"] = dynamic_quantile(hits, var, alpha)
    return found


def _shortfall(
    y: np.ndarray, var: np.ndarray, es: np.ndarray, alpha: np.ndarray, random: dict[str, int]
) -> dict[str, np.ndarray]:
    found = {name: np.full(var.shape[1:], np.nan) for name in NAMES}
    for i, j in np.ndindex(*var.shape[1:]):
        tests = shortfall_tests(y[:, 0, 0], var[:, i, j], es[:, i, j], float(alpha[j]), **random)
        for name, value in tests.items():
            found[name][i, j] = value
    return found


def _losses(
    losses: np.ndarray, reference: int | None, random: dict[str, int], *, with_set: bool
) -> dict[str, np.ndarray]:
    """Return what is built on FZ0 losses (day, model, level)."""
    names = ("fz0", "diebold_mariano", "diebold_mariano_p", "confidence_set_p")
    found = {name: np.full(losses.shape[1:], np.nan) for name in names}
    for j in range(losses.shape[2]):
        loss = losses[:, :, j]
        loss = loss[np.isfinite(loss).all(axis=1)]
        if len(loss) < MIN_DAYS:
            continue
        found["fz0"][:, j] = loss.mean(axis=0)
        if reference is not None:
            statistic, p = diebold_mariano(loss, loss[:, [reference]])
            found["diebold_mariano"][:, j], found["diebold_mariano_p"][:, j] = statistic, p
        if with_set:
            found["confidence_set_p"][:, j] = confidence_set(loss, **random)
    return found


def _densities(one: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what is read from whole predictive laws, for the models compared."""
    found = {name: np.full(one.sizes[MODEL], np.nan) for name in _BY_MODEL}
    for name in (LOG_SCORE, CRPS):
        having, values = _common(one[name].values)
        if len(values) >= MIN_DAYS:
            found[name][having] = values.mean(axis=0)
    having, pit = _common(one[PIT].values)
    if len(pit) >= MIN_DAYS:
        found["pit_ks_p"][having] = kolmogorov_smirnov(pit)
        found["pit_berkowitz"][having], found["pit_berkowitz_p"][having] = berkowitz(pit)
    return found


def _common(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which models have any of `values` (day, model), and what all of those have (day, having)."""
    having, days = common_days(np.isfinite(values))
    return having, values[days][:, having]
