"""What a backtest has to hold, and which of its days count.

Models are judged on the same days: one counts when the realised return and every forecast of it are
finite. A model that has none at all is not compared, and takes no day from the others.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError, SchemaError, unknown_names

__all__ = [
    "CRPS",
    "ES",
    "LOG_SCORE",
    "MIN_DAYS",
    "MODEL",
    "PIT",
    "PORTFOLIO",
    "REALISED",
    "VAR",
    "check_backtest",
    "common_days",
    "level_position",
    "model_position",
]

MODEL: Final = "model"
"""Dim: what made the forecasts."""
PORTFOLIO: Final = "portfolio"
"""Dim: what they are about."""
VAR: Final = "var"
"""(time, model, portfolio, level) forecast of VaR, a fraction, positive for losses."""
ES: Final = "es"
"""(time, model, portfolio, level) forecast of expected shortfall, a fraction, positive for losses."""
PIT: Final = "pit"
"""(time, model, portfolio) forecast probability of a return up to the realised one."""
LOG_SCORE: Final = "log_score"
"""(time, model, portfolio) log predictive density of the realised return, nats."""
CRPS: Final = "crps"
"""(time, model, portfolio) continuous ranked probability score, in units of return."""
REALISED: Final = "realised"
"""(time, portfolio) simple return, a fraction."""
MIN_DAYS: Final = 20
"""With fewer common days no statistic is given."""

_DIMS: Final = {
    VAR: (s.TIME, MODEL, PORTFOLIO, s.LEVEL),
    ES: (s.TIME, MODEL, PORTFOLIO, s.LEVEL),
    PIT: (s.TIME, MODEL, PORTFOLIO),
    LOG_SCORE: (s.TIME, MODEL, PORTFOLIO),
    CRPS: (s.TIME, MODEL, PORTFOLIO),
    REALISED: (s.TIME, PORTFOLIO),
}


def check_backtest(backtest: xr.Dataset, verb: str) -> xr.Dataset:
    """Return the forecasts as float64, in order of time and with dims in the order of the contract."""
    if not isinstance(backtest, xr.Dataset):
        got = type(backtest).__name__
        msg = f"{verb} reads the Dataset that bf.backtest returns; got {got}. Call bf.backtest first."
        raise SchemaError(msg)
    missing = [name for name in _DIMS if name not in backtest]
    if missing:
        have = ", ".join(sorted(map(str, backtest.data_vars))) or "none"
        msg = f"{verb} needs the variable(s) {', '.join(missing)}; got: {have}. Use what bf.backtest returns."
        raise SchemaError(msg)
    for name, dims in _DIMS.items():
        if set(backtest[name].dims) != set(dims):
            got = ", ".join(map(str, backtest[name].dims))
            msg = f"{name} has dims {', '.join(dims)}; got {got}. Use what bf.backtest returns."
            raise SchemaError(msg)
    _check_labels(backtest, verb)
    data = {name: backtest[name].transpose(*dims).astype("float64") for name, dims in _DIMS.items()}
    return xr.Dataset(data).sortby(s.TIME)


def _check_labels(backtest: xr.Dataset, verb: str) -> None:
    dims = (s.TIME, MODEL, PORTFOLIO, s.LEVEL)
    if bare := [d for d in dims if d not in backtest.coords]:
        msg = f"{verb} needs labels on every dim; got none on {', '.join(bare)}. Assign them as coords."
        raise SchemaError(msg)
    for dim in dims:
        labels = backtest[dim].values
        if len(np.unique(labels)) < len(labels):
            msg = f"labels of {dim} are unique; got some twice. Drop or rename the repeated ones."
            raise SchemaError(msg)
    levels = backtest[s.LEVEL].values
    if not ((levels > 0.0) & (levels < 1.0)).all():
        msg = f"levels lie between 0 and 1; got {levels.tolist()}. Give confidence levels such as 0.99."
        raise RiskError(msg)


def model_position(backtest: xr.Dataset, name: str | None) -> int:
    """Return where the model `name` stands, the first if it is None."""
    known = [str(m) for m in backtest[MODEL].values]
    if name is None:
        return 0
    if name not in known:
        got = unknown_names([name], known)
        msg = f"the reference is a model of the backtest; got {got}. It has {', '.join(known)}."
        raise RiskError(msg)
    return known.index(name)


def level_position(backtest: xr.Dataset, level: float) -> int:
    """Return where `level` stands in the backtest, or refuse it by name."""
    levels = backtest[s.LEVEL].values.astype(float)
    found = np.flatnonzero(np.isclose(levels, level, rtol=0.0, atol=1e-9))
    if not len(found):
        have = ", ".join(f"{v:g}" for v in levels)
        msg = f"level {level:g} is not in this backtest; it has {have}. Ask bf.backtest for it in levels=."
        raise RiskError(msg)
    return int(found[0])


def common_days(finite: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which models have any value (model), and the days on which all of those do (time).

    Parameters
    ----------
    finite : ndarray of bool (time, model)
    """
    compared = finite.any(axis=0)
    days = finite[:, compared].all(axis=1) & bool(compared.any())
    return compared, days
