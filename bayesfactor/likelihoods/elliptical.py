"""`EllipticalColumns`: independent multivariate Student-t columns, the law of the factors."""

import numpy as np
import pymc as pm

from bayesfactor.laws.correlation import partial_cholesky
from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.kernels import elliptical_kernel

__all__ = ["EllipticalColumns", "EllipticalLogLikelihood"]


class EllipticalLogLikelihood(FusedLogLikelihood):
    """(values, seen), (location, scale, partial, nu) -> value and four gradients."""

    kernel = elliptical_kernel
    n_data = 2
    ranks = (1, 1, 1, 0)


_log_likelihood = EllipticalLogLikelihood()


def _logp(value, location, scale, partial, nu, seen):
    return _log_likelihood(value, seen, location, scale, partial, nu)


def _random(location, scale, partial, nu, seen, rng=None, size=None):
    n = seen.shape[-1]
    chol = scale[:, None] * partial_cholesky(partial, len(location))
    mixing = 1.0 if np.isinf(nu) else np.sqrt(0.5 * nu / rng.standard_gamma(0.5 * nu, size=n))
    return location[:, None] + mixing * (chol @ rng.standard_normal((len(location), n)))


def EllipticalColumns(name, location, scale, partial, nu, seen, *, observed=None, dims=None):  # noqa: N802
    """Values (factor, time) whose columns are independent multivariate t.

    Parameters
    ----------
    name : str
    location, scale : tensor (factor)
    partial : tensor (pair)
        Partial correlations, see `bayesfactor.laws.correlation`; the matrix is built inside the
        kernel, so no linear algebra stands in the graph and it compiles in seconds.
    nu : tensor ()
        `inf` is the normal.
    seen : tensor (time)
        1.0 for the columns that count, else 0.0.
    observed : tensor (factor, time), optional
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        location,
        scale,
        partial,
        nu,
        seen,
        logp=_logp,
        random=_random,
        signature="(k),(k),(p),(),(t)->(k,t)",
        class_name="EllipticalColumns",
        observed=observed,
        dims=dims,
    )
