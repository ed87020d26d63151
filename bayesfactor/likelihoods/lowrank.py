"""`LowRankStudentT` and `LowRankNormal`: rows whose latent factors are integrated out."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.lowrank_kernel import lowrank_kernel

__all__ = ["LowRankLogLikelihood", "LowRankNormal", "LowRankStudentT"]


class LowRankLogLikelihood(FusedLogLikelihood):
    """(returns, seen, factors, pattern), (alpha, loadings, latent, sigma, nu) -> value and gradients."""

    kernel = lowrank_kernel
    n_data = 4
    ranks = (1, 2, 2, 1, 0)


_log_likelihood = LowRankLogLikelihood()


def _logp(value, alpha, loadings, latent, sigma, nu, factors, pattern, seen):
    return _log_likelihood(value, seen, factors, pattern, alpha, loadings, latent, sigma, nu)


def _random(alpha, loadings, latent, sigma, nu, factors, pattern, seen, rng=None, size=None):
    days = factors.shape[-1]
    mixing = 1.0 if np.isinf(nu) else np.sqrt(0.5 * nu / rng.standard_gamma(0.5 * nu, size=days))
    common = latent @ rng.standard_normal((latent.shape[-1], days))
    own = sigma[..., None] * rng.standard_normal((len(sigma), days))
    return alpha[..., None] + loadings @ factors + mixing * (common + own)


def LowRankStudentT(  # noqa: N802
    name, alpha, loadings, latent, sigma, nu, factors, pattern, seen, *, observed=None, dims=None
):
    """Add returns (asset, time) whose columns are multivariate t(nu), cells not `seen` left out.

    A column has the centre alpha + loadings @ factors and the scale matrix latent @ latent' + diag sigma^2
    of the assets seen.

    Parameters
    ----------
    name : str
    alpha, sigma : tensor (asset)
    loadings : tensor (asset, factor)
    latent : tensor (asset, latent)
    nu : tensor ()
    factors : tensor (factor, time)
    pattern : tensor (time)
        See `bayesfactor.laws.woodbury.patterns`.
    seen : tensor (asset, time)
        1.0 where there is a return, else 0.0.
    observed : tensor (asset, time), optional
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        alpha,
        loadings,
        latent,
        sigma,
        nu,
        factors,
        pattern,
        seen,
        logp=_logp,
        random=_random,
        signature="(n),(n,k),(n,l),(n),(),(k,t),(t),(n,t)->(n,t)",
        class_name="LowRankStudentT",
        observed=observed,
        dims=dims,
    )


def LowRankNormal(  # noqa: N802
    name, alpha, loadings, latent, sigma, factors, pattern, seen, *, observed=None, dims=None
):
    """Add the same with normal columns: `LowRankStudentT` at nu = inf."""
    args = (alpha, loadings, latent, sigma, pt.constant(np.inf), factors, pattern, seen)
    return LowRankStudentT(name, *args, observed=observed, dims=dims)
