"""`EllipticalColumns`: independent multivariate Student-t columns, the law of the factors."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.kernels import elliptical_kernel

__all__ = ["EllipticalColumns", "EllipticalLogLikelihood", "correlation_cholesky"]


class EllipticalLogLikelihood(FusedLogLikelihood):
    """(values, seen), (location, chol, nu) -> value and three gradients."""

    kernel = elliptical_kernel
    n_data = 2
    ranks = (1, 2, 0)


_log_likelihood = EllipticalLogLikelihood()


def _logp(value, location, chol, nu, seen):
    return _log_likelihood(value, seen, location, chol, nu)


def _random(location, chol, nu, seen, rng=None, size=None):
    n = seen.shape[-1]
    normal = rng.standard_normal((*np.shape(location), n))
    mixing = 1.0 if np.all(np.isinf(nu)) else np.sqrt(0.5 * nu / rng.standard_gamma(0.5 * nu, size=n))
    return location[..., None] + mixing * (chol @ normal)


def EllipticalColumns(name, location, chol, nu, seen, *, observed=None, dims=None):  # noqa: N802
    """Values (factor, time) whose columns are independent t(nu, location, chol chol').

    Parameters
    ----------
    name : str
    location : tensor (factor)
    chol : tensor (factor, factor)
        Lower Cholesky factor of the scale matrix.
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
        chol,
        nu,
        seen,
        logp=_logp,
        random=_random,
        signature="(k),(k,k),(),(t)->(k,t)",
        class_name="EllipticalColumns",
        observed=observed,
        dims=dims,
    )


def correlation_cholesky(name: str, n: int, eta: float):
    """Return the lower Cholesky factor (n, n) of an LKJ(eta) correlation matrix.

    Partial correlations of the vine are independent scaled Betas (Lewandowski, Kurowicka and Joe
    2009, sec. 2.4), so no factorisation stands in the graph: it compiles in seconds.
    """
    rows, columns = np.tril_indices(n, k=-1)
    shape = eta + 0.5 * (n - 2 - columns)
    partial = 2.0 * pm.Beta(f"{name}_partial", alpha=shape, beta=shape, shape=len(rows)) - 1.0
    square = pt.zeros((n, n))[rows, columns].set(partial)
    logs = pt.log1p(-(square**2))
    left = pt.cumsum(logs, axis=1) - logs  # log of what the columns to the left leave unexplained
    return pt.tril((square + pt.eye(n)) * pt.exp(0.5 * left))
