"""What came of a walk-forward of allocations, and how much of it is chance."""

import math
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, SchemaError, unknown_names
from bayesfactor.shortfall import tail_of

__all__ = ["summarise_allocation"]

_NEEDED: Final = ("returns_gross", "returns_net", "turnover")
_ENDS: Final = (0.05, 0.95)


@verb
def summarise_allocation(
    result: xr.Dataset,
    reference: str | None = None,
    *,
    level: float = 0.975,
    block: int | None = None,
    replications: int = 2_000,
    random_seed: int = 0,
) -> xr.Dataset:
    """Say what each strategy earned, risked and paid, and whether it differs from one of them.

    Parameters
    ----------
    result : Dataset
        From `bf.backtest_allocation`; a part of its days is fine.
    reference : str, optional
        Strategy to compare with; "equal" where there is one, else the first.
    level : float
        Confidence level of ES.
    block : int, optional
        Days in a block of the bootstrap; the square root of the number of days by default.
    replications : int
    random_seed : int

    Returns
    -------
    Dataset
        By strategy, after costs but where said: `annual_return` (compounded), `annual_return_gross`,
        `volatility` (a year), `es` (a day, of the days there were), `max_drawdown`, `turnover` and `cost` (a
        year), `sharpe` (mean over volatility, a year, no rate taken off), with `_low` and `_high`, its
        interval of 90 %; `volatility_difference`, `es_difference` and `sharpe_difference` to the reference,
        with `volatility_p`, `es_p` and `sharpe_p`, two-sided. Fractions.

    Raises
    ------
    SchemaError
        If `result` is no such Dataset.
    RiskError
        If an option is out of range.

    Notes
    -----
    Interval and p come from one circular block bootstrap [1]_ of all strategies' days together, so that
    differences keep what strategies have in common; p is that of the recentred differences [2]_, without
    correction for how many are compared.

    References
    ----------
    .. [1] Politis, D. N. and Romano, J. P. (1992). A circular block-resampling procedure for stationary data.
    .. [2] Ledoit, O. and Wolf, M. (2008). Robust performance hypothesis testing with the Sharpe ratio.
       Journal of Empirical Finance 15(5).
    """
    net, gross, turnover, names = _read(result)
    n = len(net)
    length = math.ceil(math.sqrt(n)) if block is None else block
    against = _position(names, reference)
    _check(n, level, length, replications)
    year = float(result.attrs["periods_per_year"])
    found = _figures(net, level, year)
    wealth = np.cumprod(1.0 + net, axis=0)
    peak = np.maximum(np.maximum.accumulate(wealth, axis=0), 1.0)
    drawn = np.stack(
        [
            _stack(_figures(net[rows], level, year))
            for rows in _resamples(n, length, replications, random_seed)
        ]
    )
    own = _stack(found)
    difference, null = own - own[:, [against]], drawn - drawn[:, :, [against]]
    extreme = np.abs(null - difference) >= np.abs(difference) - 1e-15
    p = np.where(np.ptp(null, axis=0) > 0.0, (1.0 + extreme.sum(axis=0)) / (replications + 1.0), np.nan)
    low, high = np.quantile(drawn[:, list(found).index("sharpe")], _ENDS, axis=0)
    variables = {
        "annual_return": wealth[-1] ** (year / n) - 1.0,
        "annual_return_gross": np.exp(np.log1p(gross).sum(axis=0) * year / n) - 1.0,
        **found,
        "max_drawdown": (1.0 - wealth / peak).max(axis=0),
        "turnover": turnover.sum(axis=0) * year / n,
        "cost": (gross - net).sum(axis=0) * year / n,
        "sharpe_low": low,
        "sharpe_high": high,
        **{f"{k}_difference": difference[i] for i, k in enumerate(found)},
        **{f"{k}_p": p[i] for i, k in enumerate(found)},
    }
    attrs = {
        "reference": names[against],
        "level": float(level),
        "block": length,
        "replications": replications,
        "random_seed": random_seed,
        "days": n,
        "cost_per_unit": float(result.attrs["cost"]),
    }
    return xr.Dataset({k: (s.STRATEGY, v) for k, v in variables.items()}, {s.STRATEGY: names}, attrs)


def _figures(net: np.ndarray, level: float, year: float) -> dict[str, np.ndarray]:
    """Return what the bootstrap is of (strategy), of returns (time, strategy)."""
    deviation = net.std(axis=0, ddof=1)
    es = tail_of(-net, level)[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = net.mean(axis=0) / deviation * math.sqrt(year)
    return {"volatility": deviation * math.sqrt(year), "es": es, "sharpe": sharpe}


def _stack(figures: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(figures.values()))


def _resamples(n: int, block: int, replications: int, random_seed: int) -> list[np.ndarray]:
    """Return the days of each resample: circular blocks, the last cut to fit."""
    rng = np.random.default_rng(random_seed)
    starts = rng.integers(n, size=(replications, -(-n // block)))
    return [((row[:, None] + np.arange(block)) % n).ravel()[:n] for row in starts]


def _read(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    absent = [v for v in _NEEDED if not isinstance(result, xr.Dataset) or v not in result]
    if absent or not {"periods_per_year", "cost"} <= set(result.attrs):
        lost = ", ".join(absent) or "its attributes periods_per_year and cost"
        msg = f"summarise_allocation reads the Dataset of bf.backtest_allocation, whole; it lacks {lost}."
        raise SchemaError(msg)
    tables = [result[v].transpose(s.TIME, s.STRATEGY) for v in ("returns_net", "returns_gross", "turnover")]
    net, gross, turnover = (t.values.astype("float64") for t in tables)
    return net, gross, turnover, [str(x) for x in result[s.STRATEGY].values]


def _position(names: list[str], reference: str | None) -> int:
    if reference is None:
        return names.index("equal") if "equal" in names else 0
    if reference not in names:
        msg = f"reference is a strategy of the walk-forward; got {unknown_names([reference], names)}."
        raise RiskError(msg)
    return names.index(reference)


def _check(n: int, level: float, block: int, replications: int) -> None:
    if n < 20:
        msg = f"a summary needs at least 20 periods; got {n}."
        raise RiskError(msg)
    if not 0.5 < level < 1.0:
        msg = f"level is a confidence level above 0.5 and below 1, such as 0.975; got {level!r}."
        raise RiskError(msg)
    if isinstance(block, bool) or not 1 <= block <= n or replications < 1:
        msg = (
            f"block is between 1 and the {n} periods, replications at least 1; got {block} and "
            f"{replications}."
        )
        raise RiskError(msg)
