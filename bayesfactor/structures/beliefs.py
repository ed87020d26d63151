"""Priors of a card, checked before a graph exists and without PyMC: shapes, laws, supports, sizes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bayesfactor import schema as s
from bayesfactor.errors import CardError, unknown_names
from bayesfactor.laws.yearly import PER_YEAR, per_period
from bayesfactor.limits import check_number, said
from bayesfactor.structures.supports import CORRELATION, LAWS, SHAPE, SLOTS, TRANSFORMS, Law, Range, Slot

__all__ = ["checked_priors"]

PRIOR_KEYS: Final = ("dist", "kwargs", "dims", "centered", "transform")
_DEEPEST: Final = 4


@dataclass(frozen=True)
class _Read:
    """What a checked prior says: its plain form, its support and a typical value."""

    spec: dict[str, Any]
    low: float
    high: float
    typical: float


def checked_priors(card: str, priors: Any, slots: Mapping[str, Slot]) -> dict[str, dict[str, Any]]:
    """Return the priors of a card as plain data, each of them possible.

    Parameters
    ----------
    card : str
        Its name, for messages.
    priors : mapping of str to mapping
        By slot, the dictionary form of a prior.
    slots : mapping of str to Slot
        Where a structure's slots differ from `SLOTS`.

    Raises
    ------
    CardError
        Naming the slot, the rule and the value got.
    """
    found = {}
    for slot, spec in priors.items():
        where = f"card {card!r}: the prior of {slot!r}"
        if slot == s.FACTOR_CORRELATION:
            found[slot] = _correlation(where, spec)
            continue
        rule = slots.get(slot, SLOTS[slot])
        read = _prior(where, spec, rule.dims, depth=1, located=f"group_{slot}" in priors)
        _within(where, read, rule.range, whole=rule)
        if rule.whole and tuple(read.spec.get("dims", ())) != rule.dims:
            msg = f"{where} has dims {list(rule.dims)}; got {read.spec.get('dims', [])}."
            raise CardError(msg)
        found[slot] = read.spec
    for slot in [x for x in found if f"group_{x}" in found]:
        _centred(f"card {card!r}: the prior of {slot!r}", found[slot], SLOTS[slot].dims, f"group_{slot}")
    _one_scale(card, found)
    per_period(found, 1.0)  # raises what cannot be turned into a prior of a period
    return found


def _prior(where: str, spec: Any, dims: tuple[str, ...], *, depth: int, located: bool = False) -> _Read:
    """Read one prior and those above it; `located`: its group provides its location."""
    spec = _table(where, spec, depth)
    law = _law(where, spec["dist"])
    own = _dims(where, spec.get("dims"), dims)
    given = spec.get("kwargs", {})
    if not isinstance(given, Mapping):
        msg = f"{where}: kwargs is a table of parameters; got {said(given)}."
        raise CardError(msg)
    _form(where, spec["dist"], law, given)
    plain, typical = {}, {}
    for name, value in given.items():
        at, rule = f"{where}: {name} of {spec['dist']}", law.parameters[name]
        if isinstance(value, Mapping) or hasattr(value, "to_dict"):
            above = _prior(at, value, own, depth=depth + 1)
            _within(at, above, rule)
            plain[name], typical[name] = above.spec, above.typical
        else:
            plain[name], typical[name] = _constant(at, value, own, rule)
    transform = spec.get("transform")
    if transform is not None and (not isinstance(transform, str) or transform not in TRANSFORMS):
        got = unknown_names([transform], TRANSFORMS) if isinstance(transform, str) else said(transform)
        msg = f"{where}: transform is one of {', '.join(TRANSFORMS)}; got {got}."
        raise CardError(msg)
    if transform == PER_YEAR and depth > 1:
        msg = f'{where}: transform = "{PER_YEAR}" stands on the slot of a mean, not on a hyperprior. Move it.'
        raise CardError(msg)
    turn = TRANSFORMS[transform] if transform else float
    _centered(where, spec, law, plain, located=located)
    read = {"kwargs": plain, "dims": list(own)}
    out = {k: read.get(k, v) for k, v in spec.items() if v is not None}
    return _Read(out, turn(law.low), turn(law.high), turn(law.typical(typical)))


def _table(where: str, spec: Any, depth: int) -> Mapping[str, Any]:
    if depth > _DEEPEST:
        msg = f"{where}: priors stand at most {_DEEPEST} deep, one above the other. Give a number here."
        raise CardError(msg)
    if hasattr(spec, "to_dict") and not isinstance(spec, Mapping):
        spec = spec.to_dict()
    if not isinstance(spec, Mapping) or "dist" not in spec:
        msg = (
            f"{where} is a table with at least 'dist', as pymc_extras.prior.Prior.to_dict() gives it; "
            f"got {said(spec)}."
        )
        raise CardError(msg)
    unknown = [k for k in spec if k not in PRIOR_KEYS]
    if unknown:
        msg = f"{where}: unknown key {unknown_names(unknown, PRIOR_KEYS)}; known: {', '.join(PRIOR_KEYS)}."
        raise CardError(msg)
    return spec


def _law(where: str, name: Any) -> Law:
    if not isinstance(name, str) or name not in LAWS:
        got = unknown_names([name], LAWS) if isinstance(name, str) else said(name)
        msg = f"{where}: dist {got} is not known; choose from {', '.join(LAWS)}."
        raise CardError(msg)
    return LAWS[name]


def _dims(where: str, got: Any, dims: tuple[str, ...]) -> tuple[str, ...]:
    names = (got,) if isinstance(got, str) else got if got is not None else ()
    good = isinstance(names, list | tuple) and all(isinstance(d, str) for d in names)
    if not good or tuple(names) != tuple(d for d in dims if d in names):
        msg = f"{where} takes dims out of {list(dims)}, in that order; got {said(got)}."
        raise CardError(msg)
    return tuple(names)


def _form(where: str, dist: str, law: Law, given: Mapping[str, Any]) -> None:
    unknown = [k for k in given if k not in law.parameters]
    if unknown:
        names = unknown_names(unknown, law.parameters)
        msg = f"{where}: {dist} has no parameter {names}; it has {', '.join(law.parameters)}."
        raise CardError(msg)
    if frozenset(given) not in law.forms:
        forms = "; ".join(" and ".join(sorted(f)) or "none" for f in law.forms)
        msg = f"{where}: {dist} takes, together, {forms}; got {' and '.join(sorted(given)) or 'none'}."
        raise CardError(msg)


def _constant(where: str, value: Any, dims: tuple[str, ...], rule: Range) -> tuple[Any, float]:
    """Return a parameter that is a number, or numbers along the one dim of its prior, and its middle."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple) and value and len(dims) == 1:
        numbers = [_number(where, x, rule) for x in value]
        return numbers, float(np.median(numbers))
    number = _number(where, value, rule)
    return number, number


def _number(where: str, value: Any, rule: Range) -> float:
    number = check_number(where, value, error=CardError)
    if not rule.least <= number <= rule.most:
        msg = f"{where} is {rule.words}; got {number:g}."
        raise CardError(msg)
    return int(value) if isinstance(value, int | np.integer) else number


def _within(where: str, read: _Read, rule: Range, whole: Slot | None = None) -> None:
    """Refuse a prior that says what its place cannot hold, or whose middle is absurd there."""
    law = f"{read.spec['dist']}" + (f" under {read.spec['transform']}" if "transform" in read.spec else "")
    if not rule.holds(read.low, read.high):
        msg = (
            f"{where} is {rule.words}, and {law} gives anything from {read.low:g} to {read.high:g}. "
            f"{_remedy(rule)}"
        )
        raise CardError(msg)
    if not (math.isfinite(read.typical) and rule.least <= read.typical <= rule.most):
        what = "" if whole is None else " Priors are in units of usual returns and factors."
        msg = f"{where} is {rule.words}, and {law} is typically {read.typical:.3g}.{what}"
        raise CardError(msg)


def _remedy(rule: Range) -> str:
    if rule.low == 2.0:
        return 'Write transform = "above_two" and a positive law.'
    if (rule.low, rule.high) == (-1.0, 1.0):
        return 'Write transform = "either_sign" and a law in (0, 1), such as LogitNormal or Beta.'
    if (rule.low, rule.high) == (0.0, 1.0):
        return "Choose a law in (0, 1), such as LogitNormal or Beta."
    return "Choose a positive law, such as LogNormal or HalfNormal."


def _centered(
    where: str, spec: Mapping[str, Any], law: Law, plain: Mapping[str, Any], *, located: bool
) -> None:
    centered = spec.get("centered", True)
    if not isinstance(centered, bool):
        msg = f"{where}: centered is true or false; got {said(centered)}."
        raise CardError(msg)
    if not centered and not law.offsets:
        msg = f"{where}: only {', '.join(k for k, v in LAWS.items() if v.offsets)} can be centered = false."
        raise CardError(msg)
    if not centered and not located and not {"mu", "sigma"} <= set(plain):
        msg = f"{where}: centered = false takes mu and sigma; got {' and '.join(plain) or 'neither'}."
        raise CardError(msg)


def _correlation(where: str, spec: Any) -> dict[str, Any]:
    spec = _table(where, spec, 1)
    given = spec.get("kwargs", {})
    plain = (
        isinstance(given, Mapping) and set(given) == {"eta"} and set(spec) <= {"dist", "kwargs", "centered"}
    )
    if spec["dist"] != CORRELATION or not plain or spec.get("centered", True) is not True:
        msg = (
            f"{where} is {CORRELATION} with one positive eta; got {said(spec)}. "
            f'Write dist = "{CORRELATION}", kwargs = {{eta = 2.0}}.'
        )
        raise CardError(msg)
    return {
        "dist": CORRELATION,
        "kwargs": {"eta": _number(f"{where}: one positive eta,", given["eta"], SHAPE)},
    }


def _centred(where: str, spec: Mapping[str, Any], dims: tuple[str, ...], group: str) -> None:
    """Check a slot that is centred on its group's value, which stands for its mu."""
    turned = spec.get("transform") not in (None, PER_YEAR)
    plain = spec["dist"] == "Normal" and "mu" not in spec.get("kwargs", {}) and not turned
    if not plain or tuple(spec.get("dims", ())) != dims:
        msg = (
            f"{where} is centred on slot {group!r}, so it is a Normal with dims {list(dims)} and without mu; "
            f"got {said(dict(spec))}. Drop {group!r} to use another prior."
        )
        raise CardError(msg)


def _one_scale(card: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Check `loadings_scale`: the one scale of loadings, of their groups' values and of their mean."""
    if "loadings_scale" not in found and "loadings_slab" not in found:
        return
    loadings = found.get(s.LOADINGS, {})
    plain = loadings == {"dist": "Normal", "dims": list(SLOTS[s.LOADINGS].dims)}
    both = "loadings_scale" in found and "loadings_slab" in found
    if not plain or not both or s.GROUP_LOADINGS in found:
        got = ", ".join(x for x in found if "loadings" in x)
        msg = (
            f"card {card!r}: 'loadings_scale' is the one scale of Normal 'loadings', with dims "
            f"{list(SLOTS[s.LOADINGS].dims)} and no kwargs, beside one 'loadings_slab' and no "
            f"'group_loadings'; got {got} with {said(dict(loadings))}. "
            "Drop 'loadings_scale' and 'loadings_slab' to use other priors."
        )
        raise CardError(msg)
