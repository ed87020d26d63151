"""The fused likelihoods for JAX: with these a graph runs under numpyro or blackjax, and on a GPU.

Importing this module teaches PyTensor's JAX backend the operations of `FusedLogLikelihood`. The
arithmetic is that of the kernels, written for arrays; derivatives are JAX's own.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from pytensor.link.jax.dispatch import jax_funcify

from bayesfactor.likelihoods.elliptical import BlocksLogLikelihood, EllipticalLogLikelihood
from bayesfactor.likelihoods.garch import GarchLogLikelihood
from bayesfactor.likelihoods.lowrank import LowRankLogLikelihood
from bayesfactor.likelihoods.scores import ScoresLogLikelihood, SphericalLogDensity
from bayesfactor.likelihoods.scores_kernel import TINY
from bayesfactor.likelihoods.static import StaticLogLikelihood

__all__ = [
    "blocks_log_likelihood",
    "elliptical_log_likelihood",
    "garch_log_likelihood",
    "lowrank_log_likelihood",
    "scores_log_likelihood",
    "spherical_log_density",
    "static_log_likelihood",
]

_LOG_2PI = math.log(2.0 * math.pi)


def _log_student(squares, nu, dim, log_scale):
    """Return the log density of `dim`-variate t's with squared distances; normal where nu is inf.

    Each branch is given a harmless nu where the other one counts, or its derivative would be NaN.
    """
    normal = jnp.isinf(nu)
    v = jnp.where(normal, 1.0, nu)
    const = gammaln(0.5 * (v + dim)) - gammaln(0.5 * v) - 0.5 * dim * jnp.log(v * jnp.pi)
    student = const - 0.5 * (v + dim) * jnp.log1p(squares / v)
    return jnp.where(normal, -0.5 * (squares + dim * _LOG_2PI), student) - log_scale


def static_log_likelihood(returns, seen, factors, alpha, loadings, sigma, nu):
    """Return the log-likelihood of `kernels.static_kernel`."""
    z = (returns - alpha[:, None] - loadings @ factors) / sigma[:, None]
    cells = _log_student(z * z, nu[:, None], 1, jnp.log(sigma)[:, None])
    return jnp.where(seen > 0, cells, 0.0).sum()


def elliptical_log_likelihood(values, seen, location, scale, partial, nu):
    """Return the log-likelihood of `kernels.elliptical_kernel`."""
    chol = scale[:, None] * _partial_cholesky(partial, len(values))
    u = jax.scipy.linalg.solve_triangular(chol, values - location[:, None], lower=True)
    log_scale = jnp.log(jnp.diag(chol)).sum()
    rows = _log_student((u * u).sum(axis=0), nu, len(values), log_scale)
    return jnp.where(seen > 0, rows, 0.0).sum()


def blocks_log_likelihood(values, pattern, block, seen, location, scale, partial, nu):
    """Return the log-likelihood of `blocks_kernel.blocks_kernel`, one small matrix for every day."""
    del pattern
    # Blocks are told apart by masks: which factor is in which may be known only when this runs.
    order = jnp.argsort(block, stable=True)
    label, here = block[order], (seen > 0)[order]
    chol = _partial_cholesky(partial, len(values))
    y = jnp.where(here, ((values - location[:, None]) / scale[:, None])[order], 0.0)
    own = label[:, None] == label[None, :]
    # f = G f + u over earlier blocks: with A = I - G and B the blocks of L on its diagonal, A L = B.
    inside = jnp.where(own, chol, 0.0)
    g = jnp.eye(len(values)) - inside @ jnp.linalg.inv(chol)
    e = jnp.where(here, y - g @ y, 0.0)
    matrix = inside @ inside.T
    both = here.T[:, :, None] & here.T[:, None, :]
    roots = jnp.linalg.cholesky(jnp.where(both, matrix, jnp.eye(len(values))))
    u = jax.scipy.linalg.solve_triangular(roots, e.T[:, :, None], lower=True)[:, :, 0]
    logs = jnp.where(here.T, jnp.log(jnp.diagonal(roots, axis1=1, axis2=2)) + jnp.log(scale[order]), 0.0)
    total = 0.0
    for b in range(len(nu)):
        mine = label == b
        count = (here & mine[:, None]).sum(axis=0)
        log_scale = jnp.where(mine, logs, 0.0).sum(axis=1)
        rows = _log_student(jnp.where(mine, u * u, 0.0).sum(axis=1), nu[b], count, log_scale)
        total += jnp.where(count > 0, rows, 0.0).sum()
    return total


def lowrank_log_likelihood(returns, seen, factors, pattern, alpha, loadings, latent, sigma, nu):
    """Return the log-likelihood of `lowrank_kernel.lowrank_kernel`, one small matrix for every day."""
    del pattern
    here = (seen > 0) / (sigma**2)[:, None]
    e = jnp.where(seen > 0, returns - alpha[:, None] - loadings @ factors, 0.0)
    v = latent.T @ (here * e)
    m = jnp.eye(latent.shape[1]) + jnp.einsum("ik,it,il->tkl", latent, here, latent)
    chol = jnp.linalg.cholesky(m)
    u = jax.scipy.linalg.solve_triangular(chol, v.T[:, :, None], lower=True)[:, :, 0]
    squares = (here * e * e).sum(axis=0) - (u * u).sum(axis=1)
    log_scale = jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
    log_scale += jnp.where(seen > 0, jnp.log(sigma)[:, None], 0.0).sum(axis=0)
    count = (seen > 0).sum(axis=0)
    return jnp.where(count > 0, _log_student(squares, nu, count, log_scale), 0.0).sum()


def scores_log_likelihood(returns, seen, factors, alpha, loadings, latent, sigma, nu, scores):
    """Return the log-likelihood of `scores_kernel.scores_kernel`."""
    stacked = jnp.concatenate([factors, scores / _norms(latent)[:, None]])
    both = jnp.concatenate([loadings, latent], axis=1)
    return static_log_likelihood(returns, seen, stacked, alpha, both, sigma, nu)


def spherical_log_density(scores, latent, nu):
    """Return the log density of `scores_kernel.spherical_kernel`."""
    norm = _norms(latent)
    squares = ((scores / norm[:, None]) ** 2).sum(axis=0)
    return _log_student(squares, nu, len(scores), jnp.log(norm).sum()).sum()


def garch_log_likelihood(
    returns, seen, factors, initial, scored, alpha, loadings, sigma, persistence, news_share, leverage, nu,
    skew,
):  # fmt: skip
    """Return the log-likelihood of `garch_kernel.garch_kernel`, a scan over days."""
    log_centre = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * jnp.log(jnp.pi * (nu - 2.0))
    a = 4.0 * skew * jnp.exp(log_centre) * (nu - 2.0) / (nu - 1.0)
    b = jnp.sqrt(1.0 + 3.0 * skew**2 - a**2)
    innovations = jnp.where(seen > 0, returns - alpha[:, None] - loadings @ factors, 0.0)

    def day(before, today):
        (begun, h), (e, here) = before, today
        z = e / jnp.sqrt(h)
        side = jnp.where(b * z + a < 0.0, 1.0 - skew, 1.0 + skew)
        y = (b * z + a) / side
        cell = jnp.log(b) + log_centre - 0.5 * (nu + 1.0) * jnp.log1p(y * y / (nu - 2.0)) - 0.5 * jnp.log(h)
        score = b * z * y * (nu + 1.0) / (side * (nu - 2.0 + y * y))
        lean = jnp.where(e < 0.0, 1.0 + leverage, 1.0 - leverage)
        news = jnp.where(here > 0, h * lean * jnp.where(scored > 0, score, z * z), h)
        after = sigma**2 * (1.0 - persistence) + persistence * ((1.0 - news_share) * h + news_share * news)
        begun = jnp.maximum(begun, here)
        return (begun, jnp.where(begun > 0, after, h)), jnp.where(here > 0, cell, 0.0)

    start = (jnp.zeros_like(sigma), initial + 0.0 * sigma)
    return jax.lax.scan(day, start, (innovations.T, seen.T))[1].sum()


def _norms(latent):
    return jnp.sqrt((latent**2).sum(axis=0) + TINY)


def _partial_cholesky(partial, n):
    rows, at = [], 0
    for i in range(n):
        p = partial[at : at + i]
        left = jnp.concatenate([jnp.ones(1), jnp.cumprod(jnp.sqrt(1.0 - p * p))])
        rows.append(jnp.concatenate([p * left[:-1], left[-1:], jnp.zeros(n - i - 1)]))
        at += i
    return jnp.stack(rows)


_LOG_LIKELIHOODS = {
    StaticLogLikelihood: static_log_likelihood,
    EllipticalLogLikelihood: elliptical_log_likelihood,
    BlocksLogLikelihood: blocks_log_likelihood,
    LowRankLogLikelihood: lowrank_log_likelihood,
    ScoresLogLikelihood: scores_log_likelihood,
    SphericalLogDensity: spherical_log_density,
    GarchLogLikelihood: garch_log_likelihood,
}


def _register(kind):
    @jax_funcify.register(kind)
    def _funcify(op, **kwargs):
        parameters = tuple(range(op.n_data, op.n_data + len(op.ranks)))
        value_and_gradients = jax.value_and_grad(_LOG_LIKELIHOODS[kind], argnums=parameters)

        def run(*inputs):
            value, gradients = value_and_gradients(*inputs)
            return (value, *gradients)

        return run


for _kind in _LOG_LIKELIHOODS:
    _register(_kind)
