"""A risk number as the sum of its parts: rolled up, with posterior draws, ready to be shown.

Parts are sums of the contributions in the risk Dataset and add up to its totals.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError, SchemaError, unknown_names

__all__ = ["BY", "MEASURES", "Breakdown", "By", "Measure", "breakdown", "level_position", "measure_name"]

type Measure = Literal["es", "var", "volatility"]
type By = Literal["component", "asset", "group", "family"]

BY: Final = ("component", "asset", "group", "family")
"""What a part can be."""
MEASURES: Final = ("es", "var", "volatility")
"""Risk numbers that have parts."""


@dataclass(frozen=True)
class Breakdown:
    """The parts of one risk number and their posterior draws.

    Parameters
    ----------
    labels : ndarray (part)
    value : ndarray (part)
        Contributions; they add up to `total`.
    draws : ndarray (draw, part)
        Posterior draws of the contributions.
    total : float
    total_draws : ndarray (draw)
    """

    labels: np.ndarray
    value: np.ndarray
    draws: np.ndarray
    total: float
    total_draws: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Parts over total, (part); NaN where the total is zero."""
        return _ratio(self.value, self.total)

    def share_draws(self) -> np.ndarray:
        """Return posterior draws of the shares, (draw, part)."""
        return _ratio(self.draws, self.total_draws[:, None])

    def take(self, positions: np.ndarray) -> "Breakdown":
        """Return the same totals with only some of the parts."""
        return Breakdown(
            self.labels[positions],
            self.value[positions],
            self.draws[:, positions],
            self.total,
            self.total_draws,
        )

    def ordered(self) -> np.ndarray:
        """Return the positions of the parts from the largest absolute value down."""
        return np.argsort(-np.abs(self.value), kind="stable")

    def head(self, n: int, what: str = "parts") -> "Breakdown":
        """Return the first `n` parts, and the others summed into one more."""
        rest = len(self.labels) - n
        if rest <= 0:
            return self
        return Breakdown(
            np.append(self.labels[:n].astype(object), f"other {rest} {what}"),
            np.append(self.value[:n], self.value[n:].sum()),
            np.column_stack([self.draws[:, :n], self.draws[:, n:].sum(axis=1)]),
            self.total,
            self.total_draws,
        )


def breakdown(
    risk: xr.Dataset, *, measure: Measure = "es", level: float = 0.99, by: By = "component"
) -> Breakdown:
    """Return the parts of one risk number, rolled up by component, family, group or asset.

    Parameters
    ----------
    risk : Dataset
        From `bf.decompose_risk`.
    measure : {"es", "var", "volatility"}
    level : float
        One of the levels in `risk`; not used for volatility.
    by : {"component", "asset", "group", "family"}

    Returns
    -------
    Breakdown

    Raises
    ------
    SchemaError
        If `risk` is not such a Dataset.
    RiskError
        If `measure`, `level` or `by` is none of those there.
    """
    if measure not in MEASURES:
        msg = f"measure is one of {', '.join(MEASURES)}; got {unknown_names([measure], MEASURES)}."
        raise RiskError(msg)
    if by not in BY:
        msg = f"by is one of {', '.join(BY)}; got {unknown_names([by], BY)}."
        raise RiskError(msg)
    part, posterior = f"{measure}_contribution", f"{measure}_contribution_posterior"
    if isinstance(risk, xr.Dataset) and part in risk and posterior not in risk:
        msg = (
            f"this risk has no {posterior}: with compounding=True only volatility has a posterior. "
            'Take measure="volatility", or decompose without compounding.'
        )
        raise SchemaError(msg)
    if not isinstance(risk, xr.Dataset) or part not in risk:
        msg = (
            f"this needs the Dataset that bf.decompose_risk returns, with {part}; got {type(risk).__name__}."
        )
        raise SchemaError(msg)
    where = {} if measure == "volatility" else {s.LEVEL: level_position(risk, level)}
    order = s.canonical_order(risk[s.ASSET])
    point = risk[part].isel(where).transpose(s.ASSET, s.COMPONENT).values[None, order]
    draws = risk[posterior].isel(where).transpose(s.CHAIN, s.DRAW, s.ASSET, s.COMPONENT).values
    draws = draws.reshape(-1, *draws.shape[2:])[:, order]
    over, key = (2, s.ASSET) if by in {s.ASSET, s.GROUP} else (1, s.COMPONENT)
    name = by if by in risk.coords else key
    labels, index = np.unique(risk[name].values.astype(str), return_inverse=True)
    if name == key:  # keep the order given
        labels, index = risk[key].values.astype(str), np.arange(risk.sizes[key])
    index = index[order] if key == s.ASSET else index
    member = np.equal.outer(index, np.arange(len(labels))).astype(float)
    total = float(risk[measure].isel(where))
    return Breakdown(
        labels,
        (point.sum(axis=over) @ member)[0],
        draws.sum(axis=over) @ member,
        total,
        draws.sum(axis=(1, 2)),
    )


def level_position(risk: xr.Dataset, level: float) -> int:
    """Return where `level` stands in the risk Dataset, or refuse it by name."""
    levels = risk[s.LEVEL].values.astype(float)
    found = np.flatnonzero(np.isclose(levels, level, rtol=0.0, atol=1e-9))
    if len(found) == 0:
        have = ", ".join(f"{v:g}" for v in levels)
        msg = f"level {level:g} is not in this risk; it has {have}. Ask bf.decompose_risk for it in levels=."
        raise RiskError(msg)
    return int(found[0])


def measure_name(measure: Measure, level: float) -> str:
    """Return what people call it: `ES 99 %`, `VaR 95 %` or `volatility`."""
    if measure == "volatility":
        return "volatility"
    return f"{'ES' if measure == 'es' else 'VaR'} {round(100 * level, 6):g}\N{NO-BREAK SPACE}%"


def _ratio(part: np.ndarray, total: np.ndarray | float) -> np.ndarray:
    total = np.asarray(total)
    return np.divide(part, total, out=np.full(np.shape(part), np.nan), where=total != 0.0)
