"""Priors of a card become variables of a graph, under the names of the schema; `beliefs` has checked them.

A card's slot holds the dictionary form of `pymc_extras.prior.Prior`; nesting is hierarchy. The
location of a nested prior is named `<slot>_mean` and its scale `<slot>_sd` (`_log_mean` and
`_log_sd` under a LogNormal, `_logit_mean` and `_logit_sd` under a LogitNormal). A slot `group_<x>`
centres `<x>` on the value of the asset's group. A slot `<x>_scale` is the one
scale of `<x>`, of its groups' values and of their mean, which `<x>_slab` regularises.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc_extras.prior import Prior, register_tensor_transform

from bayesfactor.errors import CardError
from bayesfactor.laws.yearly import PER_YEAR
from bayesfactor.likelihoods.regularised import RegularisedNormal

__all__ = ["PriorSet", "parse_prior"]

_SUFFIX = {"mu": "mean", "sigma": "sd"}
_SCALE = {"LogNormal": "log_", "LogitNormal": "logit_"}


def _above_two(x: Any) -> Any:
    """Shift a positive variable to (2, inf), where a Student-t has a variance."""
    return 2.0 + x


def _either_sign(x: Any) -> Any:
    """Stretch a variable in (0, 1) to (-1, 1): a skew, a leverage."""
    return 2.0 * x - 1.0


def _per_year(_: Any) -> Any:
    """Refuse: where this belongs, the prior was scaled before the graph is built (`laws.yearly`)."""
    msg = f'transform = "{PER_YEAR}" stands on the slot of a mean and not on a hyperprior. Move it there.'
    raise CardError(msg)


_OWN = {"above_two": _above_two, "either_sign": _either_sign, PER_YEAR: _per_year}
for _name, _transform in _OWN.items():
    register_tensor_transform(_name, _transform)
_TRANSFORMS = _OWN | {"exp": pt.exp, "sigmoid": pt.sigmoid}


def parse_prior(slot: str, spec: Mapping[str, Any]) -> Prior:
    """Return the `Prior` a slot describes, or raise `CardError` naming the slot."""
    try:
        return Prior.from_dict(_plain(spec))
    except Exception as error:
        msg = (
            f"the prior of slot {slot!r} is not valid: {error}. Give it the dictionary form of "
            "pymc_extras.prior.Prior: dist, kwargs, dims, centered, transform."
        )
        raise CardError(msg) from error


def _plain(spec: Any) -> Any:
    if isinstance(spec, Mapping):
        return {k: _plain(v) for k, v in spec.items()}
    return list(spec) if isinstance(spec, tuple) else spec


class PriorSet:
    """The slots of one card on one panel; create variables inside a `pm.Model` context.

    Parameters
    ----------
    specs : mapping of str to mapping
        Slot name to the dictionary form of a prior.
    group_index : ndarray (asset)
        Position of each asset's group.
    """

    def __init__(self, specs: Mapping[str, Mapping[str, Any]], group_index: np.ndarray) -> None:
        self.specs = specs
        self.group_index = group_index

    def __contains__(self, slot: str) -> bool:
        return slot in self.specs

    def create(self, slot: str, dims: tuple[str, ...]) -> Any:
        """Add the slot's variable (and those it is built on) and return it with dims `dims`.

        A prior with fewer dims is one value shared along the others: complete pooling.
        """
        group = f"group_{slot}"
        if f"{slot}_scale" in self.specs:
            return self._sparse(slot, dims)
        if group in self.specs:
            # Prior wants a mu before it believes in an offset; here the group provides it.
            spec = {k: v for k, v in self.specs[slot].items() if k != "centered"}
            centered = self.specs[slot].get("centered", True)
            return self._in_groups(slot, parse_prior(slot, spec), group, dims, centered=centered)
        prior = parse_prior(slot, self.specs[slot])
        own = tuple(prior.dims or ())
        if own == dims:
            return _create(prior, slot, slot)
        shared = _create(prior, f"{slot}_mean", f"{slot}_mean")
        shared = pt.expand_dims(shared, [i for i, d in enumerate(dims) if d not in own])
        sizes = [pm.modelcontext(None).dim_lengths[d] for d in dims]
        return pm.Deterministic(slot, pt.broadcast_to(shared, sizes), dims=dims)

    def _in_groups(
        self, slot: str, prior: Prior, group: str, dims: tuple[str, ...], *, centered: bool
    ) -> Any:
        centre = _create(parse_prior(group, self.specs[group]), group, slot)
        spread = _parameter(prior, slot, "sigma", slot)
        at = centre[self.group_index]
        if centered:
            return pm.Normal(slot, mu=at, sigma=spread, dims=dims)
        return pm.Deterministic(slot, at + spread * pm.Normal(f"{slot}_offset", dims=dims), dims=dims)

    def _sparse(self, slot: str, dims: tuple[str, ...]) -> Any:
        """Create a slot all of whose levels share one scale per factor: where it is small, all is small.

        With a scale of its own for each level, a factor that matters could be told in two ways, by its
        mean or by deviations from none, and chains got stuck in one of them.
        """
        slab_slot, scale_slot = f"{slot}_slab", f"{slot}_scale"
        slab, spread = (parse_prior(x, self.specs[x]) for x in (slab_slot, scale_slot))
        scale = _create(spread, scale_slot, scale_slot)
        mean = RegularisedNormal(f"{slot}_mean", _create(slab, slab_slot, slab_slot), scale, dims=dims[1:])
        group = pm.Normal(f"group_{slot}", mean, scale, dims=("group", *dims[1:]))
        return pm.Normal(slot, group[self.group_index], scale, dims=dims)


def _create(prior: Prior, name: str, root: str) -> Any:
    """Create `name` and what stands above it; hyperparameters are named after `root`."""
    parameters = {p: _parameter(prior, name, p, root) for p in prior.parameters}
    if prior.distribution == "LogitNormal":
        return _logit_normal(prior, name, parameters)
    flat = Prior(prior.distribution, centered=prior.centered, transform=prior.transform, **parameters)
    flat.dims = prior.dims
    return flat.create_variable(name)


def _logit_normal(prior: Prior, name: str, parameters: Mapping[str, Any]) -> Any:
    """Create a logit-normal that is sampled as its log odds: PyMC's own has no transform."""
    odds = pm.distributions.transforms.logodds
    if prior.transform is None:
        return pm.LogitNormal(name, **parameters, dims=prior.dims, default_transform=odds)
    raw = pm.LogitNormal(f"{name}_raw", **parameters, dims=prior.dims, default_transform=odds)
    return pm.Deterministic(name, _TRANSFORMS[prior.transform](raw), dims=prior.dims)


def _check_length(prior: Prior, name: str, parameter: str, value: Any) -> None:
    """Refuse numbers along a dim that are not as many as it has labels."""
    if np.ndim(value) == 0:
        return
    (dim,) = prior.dims
    labels = pm.modelcontext(None).dim_lengths[dim].eval()
    if len(value) != labels:
        msg = (
            f"{parameter} of the prior of {name!r} is given as {len(value)} numbers along {dim!r}, which has "
            f"{labels} labels here. Give one number, or as many as there are labels."
        )
        raise CardError(msg)


def _parameter(prior: Prior, name: str, parameter: str, root: str) -> Any:
    if parameter not in prior.parameters:
        return 1.0
    value = prior.parameters[parameter]
    if not isinstance(value, Prior):
        _check_length(prior, name, parameter, value)
        return value
    suffix = _SUFFIX.get(parameter, parameter)
    log = _SCALE.get(prior.distribution, "")
    # A group's spread belongs to the group; its centre is the centre of everything.
    owner = root if parameter == "mu" else name
    variable = _create(value, f"{owner}_{log}{suffix}", f"{owner}_{log}{suffix}")
    dims, own = tuple(prior.dims or ()), tuple(value.dims or ())
    if own and own != dims:
        variable = pt.expand_dims(variable, [i for i, d in enumerate(dims) if d not in own])
    return variable
