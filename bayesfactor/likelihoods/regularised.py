"""`RegularisedNormal`: the prior of the regularised horseshoe, given its scales."""

import pymc as pm
import pytensor.tensor as pt

__all__ = ["RegularisedNormal"]


def _scale(slab, scale):
    return 1.0 / pt.sqrt(1.0 / pt.square(slab) + 1.0 / pt.square(scale))


def _logp(value, slab, scale):
    return pm.logp(pm.Normal.dist(0.0, _scale(slab, scale)), value)


def _random(slab, scale, rng=None, size=None):
    return rng.normal(0.0, (slab**-2.0 + scale**-2.0) ** -0.5, size=size)


def RegularisedNormal(name, slab, scale, *, dims=None):  # noqa: N802
    """Add a normal around 0 whose precision is the sum of those of two scales.

    A small `scale` shrinks as it would alone; a large one leaves a normal as wide as the slab.

    Parameters
    ----------
    name : str
    slab, scale : tensor
    dims : tuple of str, optional

    References
    ----------
    .. [1] Piironen, J. and Vehtari, A. (2017). Sparsity information and regularization in the horseshoe
       and other shrinkage priors. Electronic J. Statistics 11(2), eq. 2.8.
    """
    return pm.CustomDist(
        name, slab, scale, logp=_logp, random=_random, class_name="RegularisedNormal", dims=dims
    )
