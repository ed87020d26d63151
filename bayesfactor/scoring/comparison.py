"""Which model forecasts better, and whether the difference is more than chance.

Losses are FZ0, small is good. Models are compared on the same days, and those come in blocks or with
autocovariances wherever a variance is needed: the losses of one day are like those of the day before.
"""

from typing import Final

import numpy as np
import xarray as xr
from scipy import stats

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError
from bayesfactor.limits import check_count
from bayesfactor.scoring.contract import (
    ES,
    MIN_DAYS,
    MODEL,
    PORTFOLIO,
    REALISED,
    VAR,
    check_backtest,
    level_position,
    model_position,
)
from bayesfactor.scoring.losses import fz0_loss

__all__ = ["check_replications", "compare_mean_loss", "confidence_set", "diebold_mariano", "holm"]

_FLAT: Final = 1e-10
"""Differences of FZ0, a logarithm, that stay within it do not move."""
_DIGITS: Final = 12
_CHUNK: Final = 2_000_000
_COMPARED: Final = (
    "mean_loss",
    "difference",
    "diebold_mariano",
    "diebold_mariano_p",
    "bootstrap_p",
    "bootstrap_p_better",
    "bootstrap_p_worse",
)


def diebold_mariano(loss: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test that mean losses are those of the reference.

    Parameters
    ----------
    loss : ndarray (time, ...)
    reference : ndarray
        Broadcast against `loss`.

    Returns
    -------
    statistic, p : ndarray (...)
        Positive where the loss is larger than the reference's; p is two-sided, from the t with days - 1
        degrees of freedom. The variance is Newey and West's with floor(4 (days / 100)^(2/9)) lags [2]_,
        the statistic has the small-sample factor for one step ahead [3]_, eq. 9. NaN where the
        difference is the same on all days.

    References
    ----------
    .. [1] Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. Journal of Business
       & Economic Statistics 13(3).
    .. [2] Newey, W. K. and West, K. D. (1994). Automatic lag selection in covariance matrix estimation.
       Review of Economic Studies 61(4).
    .. [3] Harvey, D., Leybourne, S. and Newbold, P. (1997). Testing the equality of prediction mean
       squared errors. International Journal of Forecasting 13(2).
    """
    difference = loss - reference
    n = len(difference)
    variance = _newey_west(difference)
    variance = np.where(_flat(difference), np.nan, variance)
    statistic = difference.mean(axis=0) / np.sqrt(variance / n) * np.sqrt((n - 1) / n)
    return statistic, 2.0 * stats.t.sf(np.abs(statistic), n - 1)


def _newey_west(x: np.ndarray) -> np.ndarray:
    """Return the long-run variance of each series of `x` (time, ...), Bartlett weights."""
    n = len(x)
    lags = int(4.0 * (n / 100.0) ** (2.0 / 9.0))
    x = x - x.mean(axis=0)
    total = (x * x).sum(axis=0)
    for k in range(1, lags + 1):
        total = total + 2.0 * (1.0 - k / (lags + 1.0)) * (x[k:] * x[:-k]).sum(axis=0)
    return total / n


def _flat(difference: np.ndarray) -> np.ndarray:
    return np.ptp(difference, axis=0) <= _FLAT


def confidence_set(loss: np.ndarray, *, replications: int, random_seed: int) -> np.ndarray:
    """Return the p of each model's membership in the model confidence set.

    The set of confidence c holds the models with p above 1 - c. It is `arch.bootstrap.MCS`, with the
    range statistic and the stationary bootstrap; its mean block is the longest of the optimal lengths
    [2]_ of the models' losses less the mean of all models, at least 1. Models with one and the same
    loss on all days count as one.

    Parameters
    ----------
    loss : ndarray (time, model)
    replications : int
    random_seed : int

    Returns
    -------
    ndarray (model)
        NaN where the losses of two models differ by a constant: nothing says how sure that is.

    Raises
    ------
    RiskError
        If arch is not installed.

    References
    ----------
    .. [1] Hansen, P. R., Lunde, A. and Nason, J. M. (2011). The model confidence set. Econometrica
       79(2), section 3.1.2.
    .. [2] Patton, A., Politis, D. N. and White, H. (2009). Correction to: Automatic block-length
       selection for the dependent bootstrap. Econometric Reviews 28(4).
    """
    # Sorted columns also make the numbers independent of the order of models.
    distinct, which = np.unique(np.round(loss, _DIGITS), axis=1, return_inverse=True)
    which = which.ravel()
    if distinct.shape[1] == 1:
        return np.ones(len(which))
    if _flat(distinct[:, :, None] - distinct[:, None, :])[np.triu_indices(distinct.shape[1], 1)].any():
        return np.full(len(which), np.nan)
    return _arch_confidence_set(distinct, replications, random_seed)[which]


def _arch_confidence_set(loss: np.ndarray, replications: int, random_seed: int) -> np.ndarray:
    try:
        from arch.bootstrap import MCS, optimal_block_length
    except ImportError as error:
        msg = (
            "the model confidence set needs the package arch, which is not installed. "
            "Install bayesfactor[backtest], or leave the set out with confidence=None."
        )
        raise RiskError(msg) from error
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = optimal_block_length(loss - loss.mean(axis=1, keepdims=True))["stationary"]
    longest = np.nanmax(np.append(lengths.to_numpy(dtype="float64"), 1.0))
    models = MCS(
        loss, size=0.5, reps=replications, block_size=int(np.ceil(longest)), method="R", seed=random_seed
    )
    models.compute()
    return models.pvalues["Pvalue"].sort_index().to_numpy(dtype="float64")


@verb
def compare_mean_loss(
    backtest: xr.Dataset,
    level: float,
    reference: str | None = None,
    *,
    block: int | None = None,
    replications: int = 5000,
    random_seed: int = 0,
) -> xr.Dataset:
    """Compare models by their FZ0 loss averaged over portfolios: one number a day.

    A day counts when every portfolio has a loss for every model. Portfolios without any loss, and
    models without any, are left out.

    Parameters
    ----------
    backtest : Dataset
        From `bf.backtest`: `var`, `es` (time, model, portfolio, level), `realised` (time, portfolio).
    level : float
        One of the levels of the backtest.
    reference : str, optional
        Model to compare with, the first by default.
    block : int, optional
        Days in a block of the bootstrap; the square root of the number of days by default.
    replications : int
        Resamples of the bootstrap.
    random_seed : int

    Returns
    -------
    Dataset
        - `mean_loss` (model): mean over days and portfolios.
        - `difference` (model): that of the model less that of the reference, negative where the model
          is better.
        - `diebold_mariano`, `diebold_mariano_p` (model): as of `score_backtest`, on the daily means.
        - `bootstrap_p` (model): two-sided, from a circular block bootstrap of the recentred daily
          differences [1]_; `bootstrap_p_better` and `bootstrap_p_worse` are one-sided, small where the
          model is better, or worse, than the reference.
        - `days`: how many count. With fewer than 20 all else is NaN.

        Tests are NaN for the reference, and where a difference never moves. attrs: `level`, `reference`,
        `block`, `replications`, `random_seed`, and `portfolios`, how many count.

    Raises
    ------
    RiskError
        If `level` or `reference` is not in the backtest, `block` is not between 1 and the number of
        days, or `replications` is less than 1.
    SchemaError
        If `backtest` lacks a variable, a dim or labels.

    References
    ----------
    .. [1] Politis, D. N. and Romano, J. P. (1992). A circular block-resampling procedure for stationary
       data. In: Exploring the limits of bootstrap.
    """
    check_replications(replications)
    data = check_backtest(backtest, "compare_mean_loss")
    first = model_position(data, reference)
    loss, portfolios = _mean_over_portfolios(data.isel({s.LEVEL: level_position(data, level)}))
    n = len(loss)
    length = int(np.ceil(np.sqrt(n))) if block is None else block
    if n and not 1 <= length <= n:
        msg = f"block is between 1 and the number of periods, {n}; got {block}. Leave it out for its default."
        raise RiskError(msg)
    found = _compare(loss, first, length, replications, random_seed)
    variables = {name: (MODEL, values) for name, values in found.items()}
    attrs = {
        "level": float(level),
        "reference": str(data[MODEL].values[first]),
        "block": length,
        "replications": replications,
        "random_seed": random_seed,
        "portfolios": portfolios,
    }
    return xr.Dataset({**variables, "days": n}, coords={MODEL: data[MODEL].values}, attrs=attrs)


def _mean_over_portfolios(data: xr.Dataset) -> tuple[np.ndarray, int]:
    """Return the mean loss of the days that count (day, model), and over how many portfolios it is."""
    data = data.isel({PORTFOLIO: s.canonical_order(data[PORTFOLIO])})
    fz0 = fz0_loss(data[REALISED], data[VAR], data[ES], data[s.LEVEL])
    values = fz0.transpose(s.TIME, MODEL, PORTFOLIO).values
    finite = np.isfinite(values)
    models, portfolios = finite.any(axis=(0, 2)), finite.any(axis=(0, 1))
    if not models.any():
        return np.empty((0, len(models))), 0
    days = finite[:, models][:, :, portfolios].all(axis=(1, 2))
    return values[days][:, :, portfolios].mean(axis=2), int(portfolios.sum())


def _compare(
    loss: np.ndarray, reference: int, block: int, replications: int, random_seed: int
) -> dict[str, np.ndarray]:
    found = {name: np.full(loss.shape[1], np.nan) for name in _COMPARED}
    if len(loss) < MIN_DAYS:
        return found
    found["mean_loss"] = loss.mean(axis=0)
    difference = loss - loss[:, [reference]]
    found["difference"] = difference.mean(axis=0)
    found["diebold_mariano"], found["diebold_mariano_p"] = diebold_mariano(loss, loss[:, [reference]])
    tested = np.isfinite(found["diebold_mariano"])
    mean = found["difference"][tested]
    rng = np.random.default_rng(random_seed)
    null = _resampled_means(difference[:, tested] - mean, block, replications, rng)
    for name, as_extreme in (
        ("bootstrap_p", np.abs(null) >= np.abs(mean)),
        ("bootstrap_p_better", null <= mean),
        ("bootstrap_p_worse", null >= mean),
    ):
        found[name][tested] = (1 + as_extreme.sum(axis=0)) / (replications + 1)
    return found


def _resampled_means(x: np.ndarray, block: int, replications: int, rng: np.random.Generator) -> np.ndarray:
    """Return means of circular block resamples of `x` (time, series): (replication, series).

    Sums of blocks are differences of one cumulative sum; the last block is cut to fit.
    """
    n = len(x)
    count, rest = divmod(n, block)
    starts = rng.integers(n, size=(replications, count + (rest > 0)))
    lengths = np.full(starts.shape[1], block)
    lengths[count:] = rest
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(np.concatenate([x, x]), axis=0)])
    rows = max(1, _CHUNK // max(1, starts.shape[1] * x.shape[1]))
    parts = [starts[i : i + rows] for i in range(0, replications, rows)]
    return np.concatenate([(sums[p + lengths] - sums[p]).sum(axis=1) for p in parts]) / n


def check_replications(replications: int) -> None:
    """Raise `RiskError` unless there is something to resample."""
    remedy = "Some 1000 give p-values of two digits."
    check_count("replications", replications, most=10**6, error=RiskError, remedy=remedy)


def holm[V: (np.ndarray, xr.DataArray)](p: V) -> V:
    """Adjust p-values of many tests so that the chance of any false rejection is held.

    Parameters
    ----------
    p : ndarray or DataArray
        p-values of all tests of one family, any dims. NaN is no test, and stays.

    Returns
    -------
    ndarray or DataArray
        Reject where it is at most the size: the chance of any false rejection is then at most the
        size, however the tests depend on each other.

    Raises
    ------
    RiskError
        If something is not between 0 and 1.

    References
    ----------
    .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian
       Journal of Statistics 6(2).
    """
    return xr.apply_ufunc(_holm, p)


def _holm(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, dtype="float64")
    known = p[np.isfinite(p)]
    if ((p < 0.0) | (p > 1.0)).any():
        msg = f"p-values lie between 0 and 1; got {np.nanmin(p):g} to {np.nanmax(p):g}. Give p-values."
        raise RiskError(msg)
    order = np.argsort(known, kind="stable")
    steps = known[order] * np.arange(len(known), 0, -1)
    known[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    adjusted = p.copy()
    adjusted[np.isfinite(p)] = known
    return adjusted
