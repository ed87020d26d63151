"""What people use now: forecasts from a portfolio's own past returns, one fit per portfolio."""

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit

from bayesfactor.backtest.holdings import history
from bayesfactor.backtest.judged import Judged, judge_draws
from bayesfactor.errors import RiskError

__all__ = ["BASELINES", "MIN_HISTORY", "forecast_block"]

MIN_HISTORY: Final = 100
"""Days of its own past, or a whole window, that a portfolio needs for a baseline to speak of it."""
_DECAY: Final = 0.94
"""RiskMetrics' weight of yesterday's variance in today's."""


@njit(cache=True, nogil=True)
def _ewma(x, decay, out):
    """Fill `out (time + 1)` with exponentially weighted variances, each of the days before."""
    first = min(30, x.shape[0])
    out[0] = np.mean(x[:first] * x[:first])
    for t in range(x.shape[0]):
        out[t + 1] = decay * out[t] + (1.0 - decay) * x[t] * x[t]


@njit(cache=True, nogil=True)
def _garch_ahead(e, omega, alpha, beta):
    """Return the variance of the day after residuals e; it starts as arch's backcast does."""
    n = min(75, e.shape[0])
    total, weight, h = 0.0, 1.0, 0.0
    for t in range(n):
        h += weight * e[t] * e[t]
        total += weight
        weight *= 0.94
    h /= total
    h = omega + (alpha + beta) * h
    for t in range(e.shape[0]):
        h = omega + alpha * e[t] * e[t] + beta * h
    return h


def _historical(past: np.ndarray, _: Any, realised: float, levels: np.ndarray) -> Judged:
    return judge_draws(past, realised, levels)


def _filtered(past: np.ndarray) -> np.ndarray:
    """Return past returns at today's volatility."""
    variance = np.empty(len(past) + 1)
    _ewma(past, _DECAY, variance)
    floor = 1e-12
    shocks = past / np.sqrt(np.maximum(variance[:-1], floor))
    return np.asarray(shocks * np.sqrt(max(variance[-1], floor)))


def _ewma_fhs(past: np.ndarray, _: Any, realised: float, levels: np.ndarray) -> Judged:
    return judge_draws(_filtered(past), realised, levels)


def _normal(past: np.ndarray, _: Any, realised: float, levels: np.ndarray) -> Judged:
    from scipy.stats import norm

    mean, sd = past.mean(), past.std(ddof=1)
    q = norm.ppf(levels)
    z = (realised - mean) / sd
    crps = sd * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - 1.0 / np.sqrt(np.pi))
    es = sd * norm.pdf(q) / (1.0 - levels) - mean
    return Judged(sd * q - mean, es, norm.cdf(z), norm.logpdf(z) - np.log(sd), np.asarray(crps))


def _arch_fit(past: np.ndarray) -> np.ndarray:
    """Return mu, omega, alpha, beta and nu of a GARCH(1, 1) with t innovations, in per cent."""
    try:
        from arch import arch_model
    except ImportError as error:
        msg = "the baseline 'arch-t' needs the arch package: pip install 'bayesfactor[backtest]'."
        raise RiskError(msg) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = arch_model(100.0 * past, mean="Constant", vol="GARCH", dist="t", rescale=False)
        return model.fit(disp="off", show_warning=False).params.to_numpy()


def _arch_t(past: np.ndarray, fitted: np.ndarray, realised: float, levels: np.ndarray) -> Judged:
    from scipy.special import beta as beta_function
    from scipy.stats import t as student

    mu, omega, alpha, beta, nu = fitted
    nu = max(nu, 2.05)
    variance = _garch_ahead(100.0 * past - mu, omega, alpha, beta)
    mean, scale = mu / 100.0, 0.01 * np.sqrt(variance * (nu - 2.0) / nu)
    q = student.ppf(levels, nu)
    es = scale * student.pdf(q, nu) * (nu + q * q) / ((nu - 1.0) * (1.0 - levels)) - mean
    z = (realised - mean) / scale
    pdf, cdf = student.pdf(z, nu), student.cdf(z, nu)
    # CRPS of a t: Jordan, Krueger and Lerch (2019), appendix A.
    gap = 2.0 * np.sqrt(nu) / (nu - 1.0) * beta_function(0.5, nu - 0.5) / beta_function(0.5, 0.5 * nu) ** 2
    crps = scale * (z * (2.0 * cdf - 1.0) + 2.0 * pdf * (nu + z * z) / (nu - 1.0) - gap)
    return Judged(scale * q - mean, es, cdf, student.logpdf(z, nu) - np.log(scale), np.asarray(crps))


_NOTHING: Final[Callable[[np.ndarray], Any]] = lambda _: None  # noqa: E731
BASELINES: Final[dict[str, tuple[Callable[[np.ndarray], Any], Callable[..., Judged]]]] = {
    "historical": (_NOTHING, _historical),
    "ewma-fhs": (_NOTHING, _ewma_fhs),
    "arch-t": (_arch_fit, _arch_t),
    "normal": (_NOTHING, _normal),
}
"""Name to what is fitted when refitting, and what is said every day."""


def _mean(name: str, past: np.ndarray, fitted: Any) -> float:
    """Return the mean of the law that a baseline states."""
    if name == "arch-t":
        return float(fitted[0]) / 100.0
    return float((_filtered(past) if name == "ewma-fhs" else past).mean())


def _said(
    name: str, past: np.ndarray, fitted: Any, realised: float, levels: np.ndarray, drift: str
) -> Judged:
    """Return what a baseline says, its mean taken off where no estimated one is asked for."""
    say = BASELINES[name][1]
    if drift == "posterior":
        return say(past, fitted, realised, levels)
    mean = _mean(name, past, fitted)
    found = say(past, fitted, realised + mean, levels)
    return Judged(found.var + mean, found.es + mean, found.pit, found.log_score, found.crps)


def forecast_block(
    name: str,
    returns: np.ndarray,
    start: int,
    weights: np.ndarray,
    realised: np.ndarray,
    levels: np.ndarray,
    window: int,
    drift: str,
) -> Judged:
    """Return one baseline's forecasts of the days of one block.

    Parameters
    ----------
    name : str
        A key of `BASELINES`.
    returns : ndarray (time, asset)
        Up to the last day but one of the block.
    start : int
        Position of the first day that is forecast.
    weights : ndarray (day, portfolio, asset)
    realised : ndarray (day, portfolio)
    levels : ndarray (level)
    window : int
        Days that are looked back on, at most.
    drift : str
        With "posterior" a baseline's law has the mean that it finds in a portfolio's past; else none, as
        there is no prior of it.
    """
    fit = BASELINES[name][0]
    out = Judged.nothing(*realised.shape, levels=len(levels))
    fitted: dict[int, Any] = {}
    for day in range(len(weights)):
        past = returns[max(0, start + day - window) : start + day]
        for p, w in enumerate(weights[day]):
            if not w.any():
                continue
            own = history(w, past)
            if len(own) < min(MIN_HISTORY, window) or own.std() == 0.0:
                continue
            if p not in fitted:
                fitted[p] = fit(own)
            out.put((day, p), _said(name, own, fitted[p], float(realised[day, p]), levels, drift))
    return out
