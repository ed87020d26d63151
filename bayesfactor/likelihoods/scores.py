"""`LatentScores` and `ScoresStudentT`: latent factors that are sampled, and returns given them."""

import numpy as np
import pymc as pm

from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.scores_kernel import TINY, scores_kernel, spherical_kernel

__all__ = ["LatentScores", "ScoresLogLikelihood", "ScoresStudentT", "SphericalLogDensity"]


class ScoresLogLikelihood(FusedLogLikelihood):
    """(returns, seen, factors), (alpha, loadings, latent, sigma, nu, scores) -> value and gradients."""

    kernel = scores_kernel
    n_data = 3
    ranks = (1, 2, 2, 1, 1, 2)


class SphericalLogDensity(FusedLogLikelihood):
    """(), (scores, latent, nu) -> value and gradients."""

    kernel = spherical_kernel
    n_data = 0
    ranks = (2, 2, 0)


_log_likelihood, _log_density = ScoresLogLikelihood(), SphericalLogDensity()


def _logp(value, alpha, loadings, latent, sigma, nu, scores, factors, seen):
    return _log_likelihood(value, seen, factors, alpha, loadings, latent, sigma, nu, scores)


def _random(alpha, loadings, latent, sigma, nu, scores, factors, seen, rng=None, size=None):
    mean = alpha[..., None] + loadings @ factors + latent / _norm(latent) @ scores
    mixing = np.sqrt(0.5 * nu[..., None] / rng.standard_gamma(0.5 * nu[..., None], size=mean.shape))
    return mean + sigma[..., None] * mixing * rng.standard_normal(mean.shape)


def _norm(latent):
    return np.sqrt((latent**2).sum(axis=-2, keepdims=True) + TINY)


def _draw_scores(nu, latent, days, rng=None, size=None):
    shape = (latent.shape[-1], len(days))
    mixing = 1.0 if np.isinf(nu) else np.sqrt(0.5 * nu / rng.standard_gamma(0.5 * nu, size=len(days)))
    return mixing * _norm(latent).T * rng.standard_normal(shape)


def LatentScores(name, nu, latent, days, *, dims=None):  # noqa: N802
    """Add latent factors (latent, time) times the norms of their loadings.

    Without the norms, columns are independent t(nu) with scale I.

    Parameters
    ----------
    name : str
    nu : tensor ()
        `inf` is the normal.
    latent : tensor (asset, latent)
    days : tensor (time)
        Its length is how many there are; nothing else of it is used.
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        nu,
        latent,
        days,
        logp=lambda value, nu, latent, days: _log_density(value, latent, nu),  # noqa: ARG005
        random=_draw_scores,
        signature="(),(n,l),(t)->(l,t)",
        class_name="LatentScores",
        dims=dims,
    )


def ScoresStudentT(  # noqa: N802
    name, alpha, loadings, latent, sigma, nu, scores, factors, seen, *, observed=None, dims=None
):
    """Add returns (asset, time) = alpha + loadings @ factors + latent / |latent| @ scores + sigma t(nu).

    Parameters
    ----------
    name : str
    alpha, sigma, nu : tensor (asset)
    loadings : tensor (asset, factor)
    latent : tensor (asset, latent)
    scores : tensor (latent, time)
        See `LatentScores`.
    factors : tensor (factor, time)
    seen : tensor (asset, time)
        1.0 where there is a return, else 0.0; cells without one do not count.
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
        scores,
        factors,
        seen,
        logp=_logp,
        random=_random,
        signature="(n),(n,k),(n,l),(n),(n),(l,t),(k,t),(n,t)->(n,t)",
        class_name="ScoresStudentT",
        observed=observed,
        dims=dims,
    )
