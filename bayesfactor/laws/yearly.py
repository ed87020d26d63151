"""Priors of means are stated per year, and what they say can be drawn without PyMC.

With P periods a year a mean per period m and a return's usual size u make a Sharpe ratio of sqrt(P) m / u a
year. A prior with `transform = "per_year"` is one of that ratio: in `m / u`, which graphs are built in, it is
narrower by sqrt(P), so that a card means the same for hourly, daily and weekly returns.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from bayesfactor import schema as s
from bayesfactor.errors import CardError

__all__ = ["PER_YEAR", "YEARLY_SLOTS", "draw_prior", "per_period", "plain_normal"]

PER_YEAR: Final = "per_year"
YEARLY_SLOTS: Final = (s.ALPHA, f"group_{s.ALPHA}", s.FACTOR_LOCATION)
"""Slots of means; every other slot has no year in it."""

_TIMES: Final[dict[str, tuple[str, ...]]] = {
    "Normal": ("mu", "sigma"),
    "StudentT": ("mu", "sigma"),
    "Cauchy": ("alpha", "beta"),
    "Laplace": ("mu", "b"),
    "Logistic": ("mu", "s"),
    "Gumbel": ("mu", "beta"),
    "HalfNormal": ("sigma",),
    "HalfStudentT": ("sigma",),
    "HalfCauchy": ("beta",),
    "Weibull": ("beta",),
    "InverseGamma": ("beta",),
}
"""Parameters that are multiplied where the variable is."""
_RATES: Final[dict[str, tuple[str, ...]]] = {"Gamma": ("beta",), "Exponential": ("lam",)}
"""Parameters that are divided."""
_BY_MEAN: Final = ("Gamma", "InverseGamma")
"""Laws that may be given by their mean and standard deviation instead."""
_ONE: Final = {
    "Normal": "sigma",
    "StudentT": "sigma",
    "Logistic": "s",
    "HalfNormal": "sigma",
    "HalfStudentT": "sigma",
    "InverseGamma": "beta",
}
"""Scales that are 1 where not given."""


def per_period(priors: Mapping[str, Mapping[str, Any]], periods_per_year: float) -> dict[str, Any]:
    """Return a card's priors with those that are per year turned into priors per period.

    Raises
    ------
    CardError
        If a slot that is no mean is said to be per year, `alpha` is and its group's value is not, or a prior
        cannot be scaled.
    """
    out = {}
    for slot, spec in priors.items():
        if spec.get("transform") != PER_YEAR:
            out[slot] = spec
            continue
        if slot not in YEARLY_SLOTS:
            means = ", ".join(YEARLY_SLOTS)
            msg = f'transform = "{PER_YEAR}" is for priors of means, {means}; got slot {slot!r}.'
            raise CardError(msg)
        plain = {k: v for k, v in spec.items() if k != "transform"}
        out[slot] = _scaled(slot, plain, 1.0 / math.sqrt(periods_per_year))
    pair = [x for x in (s.ALPHA, f"group_{s.ALPHA}") if x in priors]
    if len({priors[x].get("transform") for x in pair}) > 1:
        msg = (
            f'{pair[0]!r} and {pair[1]!r} are both per year or both not; give both transform = "{PER_YEAR}".'
        )
        raise CardError(msg)
    return out


def _scaled(slot: str, spec: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return the prior of `factor` times a variable."""
    dist, kwargs = spec["dist"], dict(spec.get("kwargs", {}))
    if spec.get("transform") is not None:
        _refuse(slot, f"a hyperprior with transform {spec['transform']!r}")
    if dist == "LogNormal":
        return {**spec, "kwargs": kwargs | {"mu": _moved(slot, kwargs.get("mu", 0.0), math.log(factor))}}
    names = _TIMES.get(dist, ())
    if dist in _BY_MEAN and "mu" in kwargs:
        names = ("mu", "sigma")
    elif dist == "Exponential" and "scale" in kwargs:
        names = ("scale",)
    elif dist in _RATES:
        names, factor = _RATES[dist], 1.0 / factor
    if not names:
        _refuse(slot, f"dist {dist!r}")
    if dist in _ONE and _ONE[dist] in names:
        kwargs.setdefault(_ONE[dist], 1.0)
    for name in names:
        if name in kwargs:
            value = kwargs[name]
            nested = isinstance(value, Mapping)
            kwargs[name] = _scaled(slot, value, factor) if nested else _times(value, factor)
    return {**spec, "kwargs": kwargs}


def _moved(slot: str, value: Any, by: float) -> Any:
    """Return a number, or the prior of a variable, with `by` added."""
    if not isinstance(value, Mapping):
        return [x + by for x in value] if isinstance(value, list) else value + by
    kwargs = dict(value.get("kwargs", {}))
    if value["dist"] not in ("Normal", "StudentT", "Laplace", "Logistic") or value.get("transform"):
        _refuse(slot, f"a mean on the log scale with dist {value['dist']!r}")
    return {**value, "kwargs": kwargs | {"mu": _moved(slot, kwargs.get("mu", 0.0), by)}}


def _times(value: Any, factor: float) -> Any:
    return [factor * x for x in value] if isinstance(value, list) else factor * value


def _refuse(slot: str, what: str) -> None:
    msg = (
        f'slot {slot!r} has transform = "{PER_YEAR}", which scales laws with a location and a scale, and '
        f"positive laws above them; got {what}. Write the prior per period, without the transform."
    )
    raise CardError(msg)


def plain_normal(spec: Mapping[str, Any], size: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation (size) of a Normal of numbers; None of any other prior."""
    kwargs = spec.get("kwargs", {})
    values = (kwargs.get("mu", 0.0), kwargs.get("sigma", 1.0))
    if spec["dist"] != "Normal" or not spec.get("dims") or any(isinstance(v, Mapping) for v in values):
        return None
    mean, sd = (np.broadcast_to(np.asarray(v, dtype=float), (size,)) for v in values)
    return mean, sd


_Draws = Mapping[str, Any]


def _shapes(p: _Draws) -> tuple[Any, Any]:
    return (p["mu"] * p["nu"], (1.0 - p["mu"]) * p["nu"]) if "mu" in p else (p["alpha"], p["beta"])


def _inverse_gamma(g: np.random.Generator, n: tuple[int, int], p: _Draws) -> np.ndarray:
    if "mu" not in p:
        return np.asarray(p.get("beta", 1.0) / g.standard_gamma(p["alpha"], n))
    alpha = 2.0 + (p["mu"] / p["sigma"]) ** 2
    return np.asarray(p["mu"] * (alpha - 1.0) / g.standard_gamma(alpha, n))


_DRAWN: Final[dict[str, Callable[[np.random.Generator, tuple[int, int], _Draws], np.ndarray]]] = {
    "Normal": lambda g, n, p: p.get("mu", 0.0) + p.get("sigma", 1.0) * g.standard_normal(n),
    "StudentT": lambda g, n, p: p.get("mu", 0.0) + p.get("sigma", 1.0) * g.standard_t(p["nu"], n),
    "Laplace": lambda g, n, p: p["mu"] + p["b"] * g.laplace(size=n),
    "Gumbel": lambda g, n, p: p["mu"] + p["beta"] * g.gumbel(size=n),
    "Logistic": lambda g, n, p: p.get("mu", 0.0) + p.get("s", 1.0) * g.logistic(size=n),
    "LogNormal": lambda g, n, p: np.exp(p.get("mu", 0.0) + p.get("sigma", 1.0) * g.standard_normal(n)),
    "HalfNormal": lambda g, n, p: np.abs(p.get("sigma", 1.0) * g.standard_normal(n)),
    "HalfStudentT": lambda g, n, p: np.abs(p.get("sigma", 1.0) * g.standard_t(p["nu"], n)),
    "HalfCauchy": lambda g, n, p: np.abs(p["beta"] * g.standard_cauchy(n)),
    "Weibull": lambda g, n, p: p["beta"] * g.weibull(p["alpha"], n),
    "Beta": lambda g, n, p: g.beta(*_shapes(p), n),
    "InverseGamma": _inverse_gamma,
    "Exponential": lambda g, n, p: p.get("scale", 1.0 / p.get("lam", 1.0)) * g.standard_exponential(n),
    "Gamma": lambda g, n, p: (
        p["sigma"] ** 2 / p["mu"] * g.standard_gamma((p["mu"] / p["sigma"]) ** 2, n)
        if "mu" in p
        else g.standard_gamma(p["alpha"], n) / p["beta"]
    ),
}


def draw_prior(rng: np.random.Generator, slot: str, spec: Mapping[str, Any], n: int, size: int) -> np.ndarray:
    """Draw a slot's prior from its own numbers, hyperpriors first.

    Parameters
    ----------
    rng : Generator
    slot : str
        Named in errors.
    spec : mapping
        As a card has it, per period.
    n, size : int

    Returns
    -------
    ndarray (n, size) or (n, 1)
        One value for all where the prior has no dims.

    Raises
    ------
    CardError
        If the distribution is none of those that can be drawn here.
    """
    if spec["dist"] not in _DRAWN or spec.get("transform") is not None:
        msg = (
            f"the prior of {slot!r} is read where there is no PyMC, as one of {', '.join(_DRAWN)}, without a "
            f'transform; got {spec["dist"]!r}. Use drift="zero", or fit with such a prior.'
        )
        raise CardError(msg)
    values: dict[str, Any] = {}
    for name, value in spec.get("kwargs", {}).items():
        nested = isinstance(value, Mapping)
        values[name] = draw_prior(rng, slot, value, n, size) if nested else np.asarray(value, dtype=float)
    shape = (n, size if spec.get("dims") else 1)
    return np.asarray(_DRAWN[spec["dist"]](rng, shape, values))
