"""The fused likelihoods for JAX: with these a graph runs under numpyro or blackjax, and on a GPU.

Importing this module teaches PyTensor's JAX backend the operations of `FusedLogLikelihood`. The
arithmetic is that of the kernels, written for arrays; derivatives are JAX's own.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from pytensor.link.jax.dispatch import jax_funcify

from bayesfactor.likelihoods.elliptical import EllipticalLogLikelihood
from bayesfactor.likelihoods.static import StaticLogLikelihood

__all__ = ["elliptical_log_likelihood", "static_log_likelihood"]

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
