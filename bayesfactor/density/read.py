"""Reading a PyMC graph into a `Density`: finding out what stands where, instead of compiling it.

Graphs of cards are made of few parts. A parameter of a prior, or an argument of the likelihood,
is a constant or one other variable: shifted, scaled, indexed or repeated. Which element goes where
is read off by evaluating the expression at zeros, at ones and at the numbers of the elements.
"""

from itertools import chain
from math import prod
from typing import Any, Final

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import clone_replace

from bayesfactor.density import kernels
from bayesfactor.density.flat import LIKELIHOODS, Affine, Density, Element

__all__ = ["UnreadableGraphError", "read_density"]


class UnreadableGraphError(Exception):
    """The graph has a part that only a compiler understands; the message says which."""


_DENSITIES: Final = {
    "NormalRV": (kernels.NORMAL, kernels.IDENTITY),
    "LogNormalRV": (kernels.LOG_NORMAL, kernels.LOG),
    "LogitNormal": (kernels.LOGIT_NORMAL, kernels.LOG_ODDS),
    "HalfNormalRV": (kernels.HALF_NORMAL, kernels.LOG),
    "ExponentialRV": (kernels.EXPONENTIAL, kernels.LOG),
    "GammaRV": (kernels.GAMMA, kernels.LOG),
    "BetaRV": (kernels.BETA, kernels.LOG_ODDS),
    "HalfCauchyRV": (kernels.HALF_CAUCHY, kernels.LOG),
    "RegularisedNormal": (kernels.REGULARISED, kernels.IDENTITY),
    "LatentScores": (kernels.JOINT, kernels.IDENTITY),
}
_TRANSFORMS: Final = {
    "NoneType": kernels.IDENTITY,
    "LogTransform": kernels.LOG,
    "LogOddsTransform": kernels.LOG_ODDS,
}
_MOVES: Final = {
    "AdvancedSubtensor": 0,
    "AdvancedSubtensor1": 0,
    "Alloc": 0,
    "DimShuffle": 0,
    "ExpandDims": 0,
    "Reshape": 0,
    "Second": 1,
    "SpecifyShape": 0,
    "Subtensor": 0,
    "ViewOp": 0,
}
"""Ops that move or repeat elements without changing them, and which input is moved."""
_JOINT: Final = "LatentScores"
"""Elements whose joint density the likelihood counts, and hence wants the parameter of."""
_POSITIVE: Final = (
    kernels.HALF_NORMAL,
    kernels.EXPONENTIAL,
    kernels.GAMMA,
    kernels.BETA,
    kernels.HALF_CAUCHY,
)
_PLAIN: Final = (kernels.NORMAL, kernels.REGULARISED, kernels.JOINT)
_MODE: Final = "FAST_COMPILE"
"""What is evaluated once is not worth compiling."""
_LINEAR: Final = {"Add", "Cast", "Identity", "Mul", "Neg", "Sub"}


def read_density(model: pm.Model) -> Density:
    """Return the density of a graph with one observed variable.

    Raises
    ------
    UnreadableGraphError
        If a part is not known; compile the graph instead.
    """
    if len(model.observed_RVs) != 1 or model.potentials:
        msg = "anything but one observed variable"
        raise UnreadableGraphError(msg)
    observed = model.observed_RVs[0]
    likelihood = _kind(observed)
    if likelihood not in LIKELIHOODS:
        raise UnreadableGraphError(likelihood)
    elements = _elements(model)
    codes = [_codes(model, rv) for rv in model.free_RVs]
    inputs = list(observed.owner.op.dist_params(observed.owner))
    names = LIKELIHOODS[likelihood].data
    inputs[-len(names) : -len(names)] = [
        rv.owner.op.dist_params(rv.owner)[0] for rv in model.free_RVs if _kind(rv) == _JOINT
    ]
    arguments, known = inputs[: -len(names)], dict(zip(names, inputs[-len(names) :], strict=True))
    priors = [_parameters(rv) for rv in model.free_RVs]
    pool = _Pool(model, elements, [*chain(*priors), *arguments, *model.deterministics])
    stand = [pool.places(e.shape) for e in elements for _ in range(2)]
    affine = [pool.affine() for _ in arguments]
    sizes = [e.where.stop - e.begin for e in elements]
    data = _numbers(model.rvs_to_values[observed])
    kinds = np.repeat([code for code, _ in codes], sizes)
    first, second, constants = (
        np.concatenate(stand[::2]),
        np.concatenate(stand[1::2]),
        np.array(pool.constants),
    )
    start = _start(elements, kinds, first, second, constants)
    density = Density(
        elements=tuple(elements),
        start=start,
        jitter=np.ones_like(start),
        transform=np.repeat([transform for _, transform in codes], sizes),
        density=kinds,
        first=first,
        second=second,
        weight=np.ones_like(start),
        constants=constants,
        likelihood=likelihood,
        arguments=Affine(*(np.concatenate([getattr(a, x).ravel() for a in affine]) for x in Affine.parts)),
        data=data,
        seen=_numbers(known["seen"]),
        design=_numbers(known["design"]) if "design" in known else np.empty((0, data.shape[1])),
        pattern=_numbers(known["pattern"]) if "pattern" in known else np.empty(0),
        block=_numbers(known["block"]) if "block" in known else np.empty(0),
        initial=_numbers(known["initial"]) if "initial" in known else np.empty(0),
        scored=_numbers(known["scored"]) if "scored" in known else np.empty(0),
        n_latent=affine[2].source.shape[1] if LIKELIHOODS[likelihood].has_latent else 0,
        derived={d.name: pool.affine() for d in model.deterministics},
    )
    _check_scales(density)
    _check_order(density)
    return density


def _elements(model: pm.Model) -> list[Element]:
    """Return the free variables and where each begins."""
    shapes = [_shape(model, rv) for rv in model.free_RVs]
    begins = np.cumsum([0, *(prod(shape) for shape in shapes)])
    return [
        Element(rv.name, shape, int(b)) for rv, shape, b in zip(model.free_RVs, shapes, begins, strict=False)
    ]


def _shape(model: pm.Model, rv: Any) -> tuple[int, ...]:
    """Return the shape that labels, or the type, say; only where neither does is the graph asked."""
    dims = model.named_vars_to_dims.get(rv.name)
    if dims is not None and all(model.coords.get(d) is not None for d in dims):
        return tuple(len(model.coords[d]) for d in dims)
    if None not in rv.type.shape:
        return tuple(rv.type.shape)
    return tuple(int(n) for n in rv.shape.eval(mode=_MODE))


def _start(
    elements: list[Element], density: np.ndarray, first: np.ndarray, second: np.ndarray, constants: np.ndarray
) -> np.ndarray:
    """Return the unconstrained point whose values are typical of their priors, given those before."""
    pool = np.concatenate([np.zeros(len(density)), constants])
    start = np.zeros(len(density))
    for e in elements:
        a, b, kind = pool[first[e.where]], pool[second[e.where]], density[e.where]
        normal = np.select(
            [np.isin(kind, (kernels.NORMAL, kernels.LOGIT_NORMAL)), kind == kernels.LOG_NORMAL],
            [a, a + 0.5 * b * b],
            0.0,
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(kind == kernels.GAMMA, a * b, np.where(kind == kernels.BETA, a / (a + b), b))
            bounded = np.where(kind == kernels.BETA, np.log(mean) - np.log1p(-mean), np.log(mean))
        x = np.where(np.isin(kind, _POSITIVE), bounded, normal)
        start[e.where] = x
        odds = np.isin(kind, (kernels.BETA, kernels.LOGIT_NORMAL))
        with np.errstate(over="ignore"):
            value = np.where(odds, 1.0 / (1.0 + np.exp(-x)), np.exp(x))
        pool[e.where] = np.where(np.isin(kind, _PLAIN), x, value)
    return start


def _codes(model: pm.Model, rv: Any) -> tuple[int, int]:
    name, transform = _kind(rv), type(model.rvs_to_transforms[rv]).__name__
    if name not in _DENSITIES or _DENSITIES[name][1] != _TRANSFORMS.get(transform):
        msg = f"{name} of {rv.name!r} under {transform}"
        raise UnreadableGraphError(msg)
    return _DENSITIES[name]


def _parameters(rv: Any) -> list[Any]:
    """Return the two parameters of a prior; a density that has one gets a first of no meaning."""
    parameters = list(rv.owner.op.dist_params(rv.owner))
    if _kind(rv) == _JOINT:
        return [pt.constant(0.0), pt.constant(1.0)]
    if _kind(rv) == "HalfNormalRV" and np.any(_numbers(parameters[0]) != 0.0):
        msg = f"a location of {rv.name!r}"
        raise UnreadableGraphError(msg)
    return [parameters[0], parameters[-1]]


def _kind(rv: Any) -> str:
    return type(rv.owner.op).__name__


def _numbers(variable: Any) -> np.ndarray:
    return np.asarray(variable.eval(mode=_MODE), dtype=float)


class _Pool:
    """Reads expressions, in their order, as places in the pool of values.

    Parameters
    ----------
    model : pm.Model
    elements : list of Element
    expressions : list of tensor
    """

    def __init__(self, model: pm.Model, elements: list[Element], expressions: list[Any]) -> None:
        self.n = elements[-1].where.stop
        self.constants: list[float] = []
        self._known: dict[float, int] = {}
        free = set(model.free_RVs)
        self._roots = [_root(x, free) is not None for x in expressions]
        stand_ins = [rv.type() for rv in model.free_RVs]
        replaced = clone_replace(
            expressions, dict(zip(model.free_RVs, stand_ins, strict=True)), rebuild_strict=False
        )
        evaluate = pytensor.function(stand_ins, replaced, mode=_MODE, on_unused_input="ignore")
        numbers = [np.arange(e.begin, e.where.stop, dtype=float).reshape(e.shape) for e in elements]
        at = [evaluate(*x) for x in ([0.0 * n for n in numbers], [1.0 + 0.0 * n for n in numbers], numbers)]
        self._at = iter(zip(self._roots, *at, strict=True))

    def affine(self) -> Affine:
        """Read the next expression as shift + factor * value[source]."""
        moves, zero, one, number = next(self._at)
        if not moves:
            shift = np.asarray(zero, dtype=float)
            # A source is needed to point at; a constant of 1 keeps inf out of the product.
            return Affine(np.full(shift.shape, self._constant(1.0)), np.zeros(shift.shape), shift)
        factor = one - zero
        with np.errstate(invalid="ignore"):
            source = np.rint((number - zero) / factor)
        # An element that is multiplied by 0 still points at something.
        source = np.where(factor != 0.0, source, self._constant(1.0)).astype(np.int64)
        return Affine(source, factor, zero)

    def places(self, shape: tuple[int, ...]) -> np.ndarray:
        """Read the next expression as places of plain values, repeated to `shape` and flat."""
        moves, zero, one, number = next(self._at)
        if not moves:
            flat = np.broadcast_to(zero, shape).ravel()
            return np.array([self._constant(float(x)) for x in flat], dtype=np.int64)
        if np.any(zero != 0.0) or np.any(one != 1.0):
            msg = "a prior's parameter that is computed from another variable"
            raise UnreadableGraphError(msg)
        return np.broadcast_to(np.rint(number).astype(np.int64), shape).ravel()

    def _constant(self, x: float) -> int:
        if x not in self._known:
            self._known[x] = self.n + len(self.constants)
            self.constants.append(x)
        return self._known[x]


def _root(x: Any, free: set[Any]) -> Any:
    """Return the one free variable that `x` moves, shifts or scales; None if `x` is constant."""
    if x in free:
        return x
    if x.owner is None:
        return None
    op = getattr(x.owner.op, "scalar_op", x.owner.op)
    name = type(op).__name__
    if name in _MOVES:
        return _root(x.owner.inputs[_MOVES[name]], free)
    roots = [r for r in (_root(i, free) for i in x.owner.inputs) if r is not None]
    if len(roots) > 1 or (roots and name not in _LINEAR and name not in ("Shape", "Shape_i")):
        msg = f"{name} of {', '.join(r.name for r in roots)}"
        raise UnreadableGraphError(msg)
    return roots[0] if roots and name in _LINEAR else None


def _check_scales(density: Density) -> None:
    """Second parameters are scales: their logarithm comes with their value, if they are positive."""
    second = density.second
    transform = np.append(density.transform, np.where(density.constants > 0.0, kernels.LOG, kernels.IDENTITY))
    if np.any(transform[second] == kernels.IDENTITY):
        names = [e.name for e in density.elements if np.any(transform[second[e.where]] == kernels.IDENTITY)]
        msg = f"a scale that need not be positive, of {', '.join(names)}"
        raise UnreadableGraphError(msg)


def _check_order(density: Density) -> None:
    """Values are made in order: a parameter has to stand before what it is the parameter of."""
    own = np.arange(density.n_dim)
    for places in (density.first, density.second):
        if np.any((places < density.n_dim) & (places >= own)):
            msg = "a variable that was made before its parameters"
            raise UnreadableGraphError(msg)
