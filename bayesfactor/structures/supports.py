"""What the priors of a card may say, as data: laws, their parameters and where they lie, and slots.

A prior is checked against this table before a graph exists: its parameters lie in their range, what stands
above them does too, and what it says lies in the support of its slot. Ranges are in model units, where a
usual value is about 1: they are so wide that what lies outside overflows or is a misprint.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from bayesfactor import schema as s
from bayesfactor.laws.yearly import PER_YEAR

__all__ = ["ABOVE_TWO", "CORRELATION", "LAWS", "SHAPE", "SLOTS", "TRANSFORMS", "Law", "Range", "Slot"]


@dataclass(frozen=True)
class Range:
    """Where a number lies: the support (open), and what is typical of it (closed)."""

    low: float
    high: float
    least: float
    most: float
    words: str

    def holds(self, low: float, high: float) -> bool:
        """Whether all between `low` and `high` lies in the support."""
        return self.low <= low and high <= self.high


_INF: Final = math.inf
REAL: Final = Range(-_INF, _INF, -1e6, 1e6, "a finite number within 1e6 of 0")
POSITIVE: Final = Range(0.0, _INF, 1e-6, 1e6, "a positive number between 1e-6 and 1e6")
LOG: Final = Range(-_INF, _INF, -30.0, 30.0, "the logarithm of a number, between -30 and 30")
LOG_SPREAD: Final = Range(
    0.0, _INF, 1e-6, 10.0, "a positive number between 1e-6 and 10, a spread of logarithms"
)
SHAPE: Final = Range(0.0, _INF, 1e-3, 1e6, "a positive number between 0.001 and 1e6")
UNIT: Final = Range(0.0, 1.0, 1e-9, 1.0 - 1e-9, "a number between 0 and 1")
SIGNED_UNIT: Final = Range(-1.0, 1.0, -1.0 + 1e-9, 1.0 - 1e-9, "a number between -1 and 1")
ABOVE_TWO: Final = Range(2.0, _INF, 2.0 + 1e-6, 1e6, "a number above 2")


@dataclass(frozen=True)
class Law:
    """One law a prior may have.

    Parameters
    ----------
    parameters : mapping of str to Range
    forms : tuple of frozenset
        Which of them may be given together.
    low, high : float
        Its support.
    typical : callable
        Of the parameters given, a value near its middle: where sampling would start.
    offsets : bool
        Whether it may be sampled as offsets from its location (`centered = false`).
    """

    parameters: Mapping[str, Range]
    forms: tuple[frozenset[str], ...]
    low: float
    high: float
    typical: Callable[[Mapping[str, float]], float]
    offsets: bool = False


def _any_of(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(c) for k in range(len(names) + 1) for c in combinations(names, k))


def _either(*forms: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(f.split()) for f in forms)


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(x, 700.0), -700.0)))


def _mean_of_beta(p: Mapping[str, float]) -> float:
    return p["mu"] if "mu" in p else p["alpha"] / (p["alpha"] + p["beta"])


_LOCATED: Final = {"mu": REAL, "sigma": POSITIVE}

LAWS: Final[dict[str, Law]] = {
    "Normal": Law(
        _LOCATED, _any_of("mu", "sigma"), -_INF, _INF, lambda p: p.get("mu", 0.0), offsets=True
    ),
    "StudentT": Law(
        _LOCATED | {"nu": SHAPE}, _either("nu", "nu mu", "nu sigma", "nu mu sigma"), -_INF, _INF,
        lambda p: p.get("mu", 0.0), offsets=True,
    ),
    "Cauchy": Law(
        {"alpha": REAL, "beta": POSITIVE}, _either("alpha beta"), -_INF, _INF, lambda p: p["alpha"]
    ),
    "Laplace": Law({"mu": REAL, "b": POSITIVE}, _either("mu b"), -_INF, _INF, lambda p: p["mu"]),
    "Logistic": Law({"mu": REAL, "s": POSITIVE}, _any_of("mu", "s"), -_INF, _INF, lambda p: p.get("mu", 0.0)),
    "Gumbel": Law({"mu": REAL, "beta": POSITIVE}, _either("mu beta"), -_INF, _INF, lambda p: p["mu"]),
    "LogNormal": Law(
        {"mu": LOG, "sigma": LOG_SPREAD}, _any_of("mu", "sigma"), 0.0, _INF,
        lambda p: math.exp(min(p.get("mu", 0.0) + 0.5 * p.get("sigma", 1.0) ** 2, 700.0)),
    ),
    "HalfNormal": Law({"sigma": POSITIVE}, _any_of("sigma"), 0.0, _INF, lambda p: p.get("sigma", 1.0)),
    "HalfCauchy": Law({"beta": POSITIVE}, _either("beta"), 0.0, _INF, lambda p: p["beta"]),
    "HalfStudentT": Law(
        {"nu": SHAPE, "sigma": POSITIVE}, _either("nu", "nu sigma"), 0.0, _INF, lambda p: p.get("sigma", 1.0)
    ),
    "Exponential": Law(
        {"lam": POSITIVE, "scale": POSITIVE}, _either("lam", "scale"), 0.0, _INF,
        lambda p: p["scale"] if "scale" in p else 1.0 / p["lam"],
    ),
    "Gamma": Law(
        {"alpha": SHAPE, "beta": SHAPE, "mu": POSITIVE, "sigma": POSITIVE}, _either("alpha beta", "mu sigma"),
        0.0, _INF, lambda p: p["mu"] if "mu" in p else p["alpha"] / p["beta"],
    ),
    "InverseGamma": Law(
        {"alpha": SHAPE, "beta": SHAPE, "mu": POSITIVE, "sigma": POSITIVE},
        _either("alpha", "alpha beta", "mu sigma"), 0.0, _INF,
        lambda p: p["mu"] if "mu" in p else p.get("beta", 1.0) / (p["alpha"] + 1.0),
    ),
    "Weibull": Law({"alpha": SHAPE, "beta": POSITIVE}, _either("alpha beta"), 0.0, _INF, lambda p: p["beta"]),
    "Beta": Law(
        {"alpha": SHAPE, "beta": SHAPE, "mu": UNIT, "nu": SHAPE}, _either("alpha beta", "mu nu"), 0.0, 1.0,
        _mean_of_beta,
    ),
    "LogitNormal": Law(
        {"mu": LOG, "sigma": LOG_SPREAD}, _any_of("mu", "sigma"), 0.0, 1.0,
        lambda p: _logistic(p.get("mu", 0.0)),
    ),
}  # fmt: skip
"""All continuous and of one number: what NUTS can move and a scale can be."""

CORRELATION: Final = "LKJCorr"
"""The one law of the slot of the factors' correlations, with one parameter `eta`."""

TRANSFORMS: Final[dict[str, Callable[[float], float]]] = {
    "above_two": lambda x: 2.0 + x,
    "either_sign": lambda x: 2.0 * x - 1.0,
    "exp": lambda x: math.exp(min(x, 700.0)) if x < _INF else _INF,
    "sigmoid": _logistic,
    PER_YEAR: float,
}
"""What a prior may be turned by, on numbers; all grow with their argument."""


@dataclass(frozen=True)
class Slot:
    """The dims a slot's value has, and where it lies; `whole`: its prior has all of them."""

    dims: tuple[str, ...]
    range: Range
    whole: bool = False


_ASSET, _FACTOR, _PAIR = (s.ASSET,), (s.FACTOR,), ("pair",)

SLOTS: Final[dict[str, Slot]] = {
    s.ALPHA: Slot(_ASSET, REAL),
    "group_alpha": Slot((s.GROUP,), REAL, whole=True),
    s.LOADINGS: Slot((s.ASSET, s.FACTOR), REAL),
    s.GROUP_LOADINGS: Slot((s.GROUP, s.FACTOR), REAL, whole=True),
    "loadings_scale": Slot(_FACTOR, POSITIVE, whole=True),
    "loadings_slab": Slot((), POSITIVE, whole=True),
    s.LATENT_LOADINGS: Slot((s.ASSET, s.LATENT), REAL),
    s.LATENT_NU: Slot((), SHAPE),
    s.SIGMA: Slot(_ASSET, POSITIVE),
    s.NU: Slot(_ASSET, SHAPE),
    s.PERSISTENCE: Slot(_ASSET, UNIT),
    s.NEWS_SHARE: Slot(_ASSET, UNIT),
    s.LEVERAGE: Slot(_ASSET, SIGNED_UNIT),
    s.SKEW: Slot(_ASSET, SIGNED_UNIT),
    s.FACTOR_LOCATION: Slot(_FACTOR, REAL),
    s.FACTOR_SCALE: Slot(_FACTOR, POSITIVE),
    s.FACTOR_NU: Slot((), SHAPE),
    s.FACTOR_RESPONSE: Slot(_PAIR, REAL),
    s.FACTOR_PERSISTENCE: Slot(_FACTOR, UNIT),
    s.FACTOR_NEWS_SHARE: Slot(_FACTOR, UNIT),
    s.FACTOR_LEVERAGE: Slot(_FACTOR, SIGNED_UNIT),
    s.FACTOR_SKEW: Slot(_FACTOR, SIGNED_UNIT),
}
"""As the structures create them; where one differs, its `slots` say so."""
