"""`Density`: the joint density of one graph as plain arrays that compiled code runs over."""

from collections.abc import Mapping
from ctypes import POINTER, c_double, c_int64
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Final

import numpy as np

from bayesfactor.density import callbacks, kernels
from bayesfactor.density.callbacks import At

__all__ = ["LIKELIHOODS", "Affine", "Density", "Element", "Geometry"]


@dataclass(frozen=True)
class Likelihood:
    """The compiled log posterior that knows one distribution of what was observed.

    Parameters
    ----------
    logp : CFunc
    data : tuple of str
        What stands behind the distribution's parameters: fields of `Density`.
    has_latent : bool
        Whether its third parameter holds loadings on latent factors.
    """

    logp: Any
    data: tuple[str, ...]
    has_latent: bool = False


LIKELIHOODS: Final = {
    "FactorStudentT": Likelihood(callbacks.static_logp, ("design", "seen")),
    "EllipticalColumns": Likelihood(callbacks.elliptical_logp, ("seen",)),
    "EllipticalBlocks": Likelihood(callbacks.blocks_logp, ("pattern", "block", "seen")),
    "LowRankStudentT": Likelihood(callbacks.lowrank_logp, ("design", "pattern", "seen"), has_latent=True),
    "GarchSkewT": Likelihood(callbacks.garch_logp, ("design", "initial", "scored", "seen")),
    "ScoresStudentT": Likelihood(callbacks.scores_logp, ("design", "seen"), has_latent=True),
}

_LOW: Final = 0.25
"""Quantile of a scale at which its elements' form is chosen: they get on least where it is small."""


@dataclass(frozen=True)
class Affine:
    """Numbers shift + factor * pool[source], elementwise, in the shape they are wanted."""

    parts: ClassVar = ("source", "factor", "shift")

    source: np.ndarray
    factor: np.ndarray
    shift: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return them for each draw of the pool: (draw, pool) to (draw, *shape)."""
        return self.shift + self.factor * values[:, self.source]


@dataclass(frozen=True)
class Element:
    """One free variable of the graph and where it starts among the elements."""

    name: str
    shape: tuple[int, ...]
    begin: int

    @property
    def where(self) -> slice:
        """The elements of this variable."""
        return slice(self.begin, self.begin + prod(self.shape))


@dataclass(frozen=True)
class Geometry:
    """In which form each element is sampled and where from: what a pilot run finds out.

    Parameters
    ----------
    weight, start, jitter : ndarray (element)
    """

    weight: np.ndarray
    start: np.ndarray
    jitter: np.ndarray


@dataclass(frozen=True)
class Density:
    """Everything `prior` and a likelihood kernel need to know of a graph.

    Parameters
    ----------
    elements : tuple of Element
        Free variables in order.
    start, jitter : ndarray (element)
        Unconstrained point to start from, and how far at most to either side of it.
    transform, density, first, second, weight : ndarray (element)
        See `kernels.prior`.
    constants : ndarray
        The tail of the pool.
    likelihood : str
        A key of `LIKELIHOODS`.
    arguments : Affine
        Of the likelihood, one behind the other.
    data, seen, design, pattern, block, initial, scored : ndarray
        What the likelihood is of; the last five may be empty.
    n_latent : int
        Latent factors in the likelihood.
    derived : mapping of str to Affine
        Deterministic variables.
    """

    elements: tuple[Element, ...]
    start: np.ndarray
    jitter: np.ndarray
    transform: np.ndarray
    density: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    constants: np.ndarray
    likelihood: str
    arguments: Affine
    data: np.ndarray
    seen: np.ndarray
    design: np.ndarray
    pattern: np.ndarray
    block: np.ndarray
    initial: np.ndarray
    scored: np.ndarray
    n_latent: int
    derived: Mapping[str, Affine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Compiled code reads these by address: one type, one piece, and nobody writes to them.
        for name, dtype in _DTYPES.items():
            array = np.array(getattr(self, name), dtype=dtype, order="C")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def n_dim(self) -> int:
        """Number of free elements."""
        return len(self.transform)

    @cached_property
    def log_constants(self) -> np.ndarray:
        """Logarithms of the constants, NaN where there is none (and none is asked for)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(self.constants)

    @cached_property
    def table(self) -> np.ndarray:
        """Sizes and addresses for the callbacks; valid while this object lives."""
        rows, times = self.data.shape
        table = np.zeros(len(At), dtype=np.int64)
        table[At.N_CONSTANTS], table[At.N_ARGUMENTS] = len(self.constants), self.arguments.source.size
        table[At.N_ROWS], table[At.N_TIMES], table[At.N_FACTORS] = rows, times, len(self.design)
        table[At.N_LATENT] = self.n_latent
        for at, array in self._addressed.items():
            table[at] = array.ctypes.data
        return table

    @cached_property
    def _addressed(self) -> dict[At, np.ndarray]:
        arguments = self.arguments
        return {
            At.TRANSFORM: self.transform,
            At.DENSITY: self.density,
            At.FIRST: self.first,
            At.SECOND: self.second,
            At.WEIGHT: self.weight,
            At.CONSTANTS: self.constants,
            At.LOG_CONSTANTS: self.log_constants,
            At.SOURCE: np.ascontiguousarray(arguments.source, dtype=np.int64),
            At.FACTOR: np.ascontiguousarray(arguments.factor, dtype=np.float64),
            At.SHIFT: np.ascontiguousarray(arguments.shift, dtype=np.float64),
            At.DATA: self.data,
            At.SEEN: self.seen,
            At.DESIGN: self.design,
            At.PATTERN: self.pattern,
            At.BLOCK: self.block,
            At.INITIAL: self.initial,
            At.SCORED: self.scored,
        }

    def call(self, x: np.ndarray) -> tuple[int, float, np.ndarray]:
        """Return what the sampler sees at x: 0 or why the point is refused, log density, gradient."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        gradient, logp = np.full_like(x, np.nan), np.full(1, np.nan)
        real = [a.ctypes.data_as(POINTER(c_double)) for a in (x, gradient, logp)]
        table = self.table.ctypes.data_as(POINTER(c_int64))
        code = LIKELIHOODS[self.likelihood].logp.ctypes(len(x), *real, table)
        return code, float(logp[0]), gradient

    def logp_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density of an unconstrained point, Jacobian included, and its gradient."""
        return self.call(x)[1:]

    def draws(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Return free and derived variables (draw, *shape) of unconstrained points (draw, element)."""
        values = self._values(points)
        free = {e.name: values[:, e.where].reshape(-1, *e.shape) for e in self.elements}
        return free | {name: affine(values) for name, affine in self.derived.items()}

    def _values(self, points: np.ndarray) -> np.ndarray:
        points = np.ascontiguousarray(points, dtype=np.float64)
        form = (self.transform, self.density, self.first, self.second, self.weight)
        return kernels.pool_many(points, *form, self.constants, self.log_constants)

    def log_prior(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the log prior density of each element of the free variables (draw, *shape).

        Latent factors are left out: they are part of the data's law, not of what was believed of it.
        """
        n = len(draws[self.elements[0].name])
        free = [draws[e.name].reshape(n, -1) for e in self.elements]
        values = np.concatenate([*free, np.broadcast_to(self.constants, (n, len(self.constants)))], axis=1)
        each = kernels.prior_many(values, self.density, self.first, self.second)
        known = [e for e in self.elements if (self.density[e.where] != kernels.JOINT).all()]
        return {e.name: each[:, e.where].reshape(-1, *e.shape) for e in known}

    def _points(self, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the unconstrained points (draw, element) of pools (draw, pool) in the form `weight`."""
        return kernels.point_many(values, self.transform, self.density, self.first, self.second, weight)

    def _location_and_scale(self, values: np.ndarray, j: int) -> tuple[np.ndarray, np.ndarray]:
        first, second = values[:, self.first[j]], values[:, self.second[j]]
        if self.density[j] == kernels.REGULARISED:
            return np.zeros_like(first), 1.0 / np.hypot(1.0 / first, 1.0 / second)
        return first, second

    @property
    def geometry(self) -> Geometry:
        """The form and the place this density would be sampled in."""
        return Geometry(self.weight, self.start, self.jitter)

    def placed(self, geometry: Geometry) -> "Density":
        """Return the same density in the form and place that another of its shape was sampled in."""
        return replace(self, weight=geometry.weight, start=geometry.start, jitter=geometry.jitter)

    @property
    def hierarchical(self) -> np.ndarray:
        """Which elements are normal with a scale that is sampled: their form can be chosen."""
        kinds = (kernels.NORMAL, kernels.LOG_NORMAL, kernels.LOGIT_NORMAL, kernels.REGULARISED)
        normal = np.isin(self.density, kinds)
        return normal & (self.second < self.n_dim)

    def half_centred(self) -> "Density":
        """Return the same density half-way between the forms, where a pilot gets on whatever the data say.

        In the centred form it may not reach the small values of a scale that collapses, and then it
        misjudges how much the data say.
        """
        weight = np.where(self.hierarchical, 0.5, self.weight)
        values = self._values(self.start[None])
        start = self._points(values, weight)[0]
        return replace(self, weight=weight, start=start)

    @staticmethod
    def _unbounded(values: np.ndarray, density: int) -> np.ndarray:
        """Return what is normal of an element: itself, its logarithm or its log odds."""
        if density == kernels.LOGIT_NORMAL:
            return np.log(values) - np.log1p(-values)
        return np.log(values) if density == kernels.LOG_NORMAL else values

    def parametrised(self, points: np.ndarray) -> "Density":
        """Return the same density in the form that suits the data, as a pilot run of it saw them.

        Given m and s, a normal element of which the data say nothing has the variance s^2 of its prior,
        one of which they say everything 0. The centred form suits the latter, so the weight is 1 minus
        that share of variance, and the share is taken where the scale is small: with the form of its
        median, one fit in ten of scales that collapse had a divergence.

        Parameters
        ----------
        points : ndarray (chain, draw, element)
            Of the pilot, in this density's own form.
        """
        chains = np.repeat(np.eye(len(points)), points.shape[1], axis=0)
        values = self._values(points.reshape(-1, points.shape[2]))
        # Latent factors differ by signs and rotation between chains: what counts is spread within one,
        # and where to start is one chain's place.
        own = chains[:, 1:] if self.n_latent else chains[:, :0]
        weight = self.weight.copy()
        for j in np.flatnonzero(self.hierarchical):
            u = self._unbounded(values[:, j], int(self.density[j]))
            m, scale = self._location_and_scale(values, int(j))
            given = np.column_stack([np.ones_like(m), m, np.log(scale), own])
            left = (u - given @ np.linalg.lstsq(given, u)[0]).var()
            if left == 0.0:  # a pilot that never moved has nothing to say
                continue
            said = max(1.0 / left - 1.0 / np.median(scale) ** 2, 0.0)  # precision that is the data's
            weight[j] = 1.0 - 1.0 / (1.0 + said * np.quantile(scale, _LOW) ** 2)
        anew = self._points(values[: points.shape[1]] if self.n_latent else values, weight)
        return replace(self, weight=weight, start=anew.mean(axis=0), jitter=anew.std(axis=0))


_DTYPES: Final[dict[str, Any]] = {
    f.name: np.int64 if f.name in ("transform", "density", "first", "second") else np.float64
    for f in fields(Density)
    if f.type is np.ndarray
}
