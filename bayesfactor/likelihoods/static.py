"""`FactorStudentT` and `FactorNormal`: the static law as matrix-variate PyMC distributions."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.kernels import static_kernel

__all__ = ["FactorNormal", "FactorStudentT", "StaticLogLikelihood", "reference_logp"]


class StaticLogLikelihood(FusedLogLikelihood):
    """(returns, seen, factors), (alpha, loadings, sigma, nu) -> value and four gradients."""

    kernel = static_kernel
    n_data = 3
    ranks = (1, 2, 1, 1)


_log_likelihood = StaticLogLikelihood()


def reference_logp(value, alpha, loadings, sigma, nu, factors, seen):
    """Return the same log-likelihood in plain PyTensor, for tests to hold the kernel against."""
    mean = alpha[:, None] + loadings @ factors
    cells = pm.logp(pm.StudentT.dist(nu=nu[:, None], mu=mean, sigma=sigma[:, None]), value)
    return pt.switch(seen > 0, cells, 0.0).sum()


def _logp(value, alpha, loadings, sigma, nu, factors, seen):
    return _log_likelihood(value, seen, factors, alpha, loadings, sigma, nu)


def _random(alpha, loadings, sigma, nu, factors, seen, rng=None, size=None):
    mean = alpha[..., None] + loadings @ factors
    shape = np.broadcast_to(0.5 * np.where(np.isinf(nu), 1.0, nu)[..., None], mean.shape)
    mixing = np.where(np.isinf(nu)[..., None], 1.0, np.sqrt(shape / rng.standard_gamma(shape)))
    return mean + sigma[..., None] * mixing * rng.standard_normal(mean.shape)


def FactorStudentT(name, alpha, loadings, sigma, nu, factors, seen, *, observed=None, dims=None):  # noqa: N802
    """Add returns (asset, time) = alpha + loadings @ factors + sigma t(nu), cells not `seen` ignored.

    Parameters
    ----------
    name : str
    alpha, sigma, nu : tensor (asset)
    loadings : tensor (asset, factor)
    factors : tensor (factor, time)
    seen : tensor (asset, time)
        1.0 where there is a return, else 0.0: PyMC would turn NaN into a parameter per cell.
    observed : tensor (asset, time), optional
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        alpha,
        loadings,
        sigma,
        nu,
        factors,
        seen,
        logp=_logp,
        random=_random,
        signature="(n),(n,k),(n),(n),(k,t),(n,t)->(n,t)",
        class_name="FactorStudentT",
        observed=observed,
        dims=dims,
    )


def FactorNormal(name, alpha, loadings, sigma, factors, seen, *, observed=None, dims=None):  # noqa: N802
    """Add the same with normal specific returns: `FactorStudentT` at nu = inf."""
    nu = pt.full_like(sigma, np.inf)
    return FactorStudentT(name, alpha, loadings, sigma, nu, factors, seen, observed=observed, dims=dims)
