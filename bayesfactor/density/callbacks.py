"""What the sampler calls: C functions of an unconstrained point, their data behind one address.

The table they are given is a row of int64: sizes, then the addresses of a `Density`'s arrays.
No exception can leave a C function, so divisions by zero give infinities, and what is not finite is
refused at the end.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bayesfactor.density.first import say_first_call
from bayesfactor.density.kernels import pool, prior
from bayesfactor.likelihoods.blocks_kernel import blocks_kernel
from bayesfactor.likelihoods.garch_kernel import garch_kernel
from bayesfactor.likelihoods.kernels import elliptical_kernel, static_kernel
from bayesfactor.likelihoods.lowrank_kernel import lowrank_kernel
from bayesfactor.likelihoods.scores_kernel import scores_kernel, spherical_kernel

__all__ = [
    "At",
    "blocks_logp",
    "elliptical_logp",
    "expand",
    "garch_logp",
    "lowrank_logp",
    "scores_logp",
    "static_logp",
]


class At(IntEnum):
    """Where things stand in the table."""

    N_CONSTANTS, N_ARGUMENTS, N_ROWS, N_TIMES, N_FACTORS, N_LATENT = range(6)
    TRANSFORM, DENSITY, FIRST, SECOND, WEIGHT = range(6, 11)
    CONSTANTS, LOG_CONSTANTS, SOURCE, FACTOR, SHIFT = range(11, 16)
    DATA, SEEN, DESIGN, PATTERN, INITIAL, SCORED, BLOCK = range(16, 23)


_SIZE: Final = len(At)
_GRADIENT_NOT_FINITE, _VALUE_NOT_FINITE = 3, 4  # the sampler rejects the point


# What follows is compiled as it is read.
say_first_call(pool.stats.cache_path)


@intrinsic
def _pointer(typingctx, address):
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(address), codegen


@njit(cache=True, nogil=True, error_model="numpy")
def _reals(at, which, n):
    return carray(_pointer(at[which]), (n,), np.float64)


@njit(cache=True, nogil=True, error_model="numpy")
def _whole(at, which, n):
    return carray(_pointer(at[which]), (n,), np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def _matrix(at, which, n, m):
    return carray(_pointer(at[which]), (n, m), np.float64)


@njit(cache=True, nogil=True, error_model="numpy")
def _opened(n, x, gradient, logp, table):
    """Return what the sampler points at as arrays."""
    return carray(x, (n,)), carray(gradient, (n,)), carray(logp, (1,)), carray(table, (_SIZE,))


@njit(cache=True, nogil=True, error_model="numpy")
def _values(x, at):
    """Return the pool of values, their logs, and an empty slope."""
    n, m = x.shape[0], at[At.N_CONSTANTS]
    value, log_value = np.empty(n + m), np.zeros(n + m)
    value[n:] = _reals(at, At.CONSTANTS, m)
    log_value[n:] = _reals(at, At.LOG_CONSTANTS, m)
    first, second = _whole(at, At.FIRST, n), _whole(at, At.SECOND, n)
    transform, density = _whole(at, At.TRANSFORM, n), _whole(at, At.DENSITY, n)
    pool(x, transform, density, first, second, _reals(at, At.WEIGHT, n), value, log_value)
    return value, log_value, np.zeros(n + m)


@njit(cache=True, nogil=True, error_model="numpy")
def _arguments(value, at):
    """Return the likelihood's arguments, each shift + factor * value[source], one behind the other."""
    n = at[At.N_ARGUMENTS]
    source, factor = _whole(at, At.SOURCE, n), _reals(at, At.FACTOR, n)
    shift = _reals(at, At.SHIFT, n)
    arguments = np.empty(n)
    for j in range(n):
        arguments[j] = shift[j] + factor[j] * value[source[j]]
    return arguments


@njit(cache=True, nogil=True, error_model="numpy")
def _collect(slope, at, begin, derivative):
    """Add a likelihood's derivative in some of its arguments to the slope of their sources."""
    n = at[At.N_ARGUMENTS]
    source, factor = _whole(at, At.SOURCE, n), _reals(at, At.FACTOR, n)
    for j in range(derivative.shape[0]):
        slope[source[begin + j]] += factor[begin + j] * derivative[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(likelihood, x, value, log_value, slope, gradient, at, logp):
    n = x.shape[0]
    transform, density = _whole(at, At.TRANSFORM, n), _whole(at, At.DENSITY, n)
    first, second = _whole(at, At.FIRST, n), _whole(at, At.SECOND, n)
    weight = _reals(at, At.WEIGHT, n)
    total = likelihood + prior(
        x, value, log_value, transform, density, first, second, weight, slope, gradient
    )
    logp[0] = total
    for j in range(n):
        if not np.isfinite(gradient[j]):
            return _GRADIENT_NOT_FINITE
    return 0 if np.isfinite(total) else _VALUE_NOT_FINITE


_LOGP = types.int64(
    types.uint64,
    types.CPointer(types.float64),
    types.CPointer(types.float64),
    types.CPointer(types.float64),
    types.CPointer(types.int64),
)


@cfunc(_LOGP, cache=True, error_model="numpy")
def static_logp(dim, x_, gradient_, logp_, table):
    """Log posterior density of the static law and its gradient."""
    x, gradient, logp, at = _opened(np.int64(dim), x_, gradient_, logp_, table)
    value, log_value, slope = _values(x, at)
    arguments = _arguments(value, at)
    rows, times, factors = at[At.N_ROWS], at[At.N_TIMES], at[At.N_FACTORS]
    a, b = rows, rows + rows * factors
    likelihood, d_alpha, d_loadings, d_sigma, d_nu = static_kernel(
        _matrix(at, At.DATA, rows, times),
        _matrix(at, At.SEEN, rows, times),
        _matrix(at, At.DESIGN, factors, times),
        arguments[:a],
        arguments[a:b].reshape((rows, factors)),
        arguments[b : b + rows],
        arguments[b + rows :],
    )
    _collect(slope, at, 0, d_alpha)
    _collect(slope, at, a, d_loadings.reshape(rows * factors))
    _collect(slope, at, b, d_sigma)
    _collect(slope, at, b + rows, d_nu)
    return _finish(likelihood, x, value, log_value, slope, gradient, at, logp)


@cfunc(_LOGP, cache=True, error_model="numpy")
def elliptical_logp(dim, x_, gradient_, logp_, table):
    """Log posterior density of elliptical columns and its gradient."""
    x, gradient, logp, at = _opened(np.int64(dim), x_, gradient_, logp_, table)
    value, log_value, slope = _values(x, at)
    arguments = _arguments(value, at)
    rows, times = at[At.N_ROWS], at[At.N_TIMES]
    last = arguments.shape[0] - 1
    likelihood, d_location, d_scale, d_partial, d_nu = elliptical_kernel(
        _matrix(at, At.DATA, rows, times),
        _reals(at, At.SEEN, times),
        arguments[:rows],
        arguments[rows : 2 * rows],
        arguments[2 * rows : last],
        arguments[last],
    )
    _collect(slope, at, 0, d_location)
    _collect(slope, at, rows, d_scale)
    _collect(slope, at, 2 * rows, d_partial)
    _collect(slope, at, last, np.array([d_nu]))
    return _finish(likelihood, x, value, log_value, slope, gradient, at, logp)


@cfunc(_LOGP, cache=True, error_model="numpy")
def blocks_logp(dim, x_, gradient_, logp_, table):
    """Log posterior density of factors in blocks and its gradient."""
    x, gradient, logp, at = _opened(np.int64(dim), x_, gradient_, logp_, table)
    value, log_value, slope = _values(x, at)
    arguments = _arguments(value, at)
    rows, times = at[At.N_ROWS], at[At.N_TIMES]
    last = 2 * rows + rows * (rows - 1) // 2
    likelihood, d_location, d_scale, d_partial, d_nu = blocks_kernel(
        _matrix(at, At.DATA, rows, times),
        _reals(at, At.PATTERN, times),
        _reals(at, At.BLOCK, rows),
        _matrix(at, At.SEEN, rows, times),
        arguments[:rows],
        arguments[rows : 2 * rows],
        arguments[2 * rows : last],
        arguments[last:],
    )
    _collect(slope, at, 0, d_location)
    _collect(slope, at, rows, d_scale)
    _collect(slope, at, 2 * rows, d_partial)
    _collect(slope, at, last, d_nu)
    return _finish(likelihood, x, value, log_value, slope, gradient, at, logp)


@cfunc(_LOGP, cache=True, error_model="numpy")
def lowrank_logp(dim, x_, gradient_, logp_, table):
    """Log posterior density of rows with latent factors integrated out, and its gradient."""
    x, gradient, logp, at = _opened(np.int64(dim), x_, gradient_, logp_, table)
    value, log_value, slope = _values(x, at)
    arguments = _arguments(value, at)
    rows, times, factors, latent = at[At.N_ROWS], at[At.N_TIMES], at[At.N_FACTORS], at[At.N_LATENT]
    a, b, c = rows, rows + rows * factors, rows + rows * (factors + latent)
    likelihood, d_alpha, d_loadings, d_latent, d_sigma, d_nu = lowrank_kernel(
        _matrix(at, At.DATA, rows, times),
        _matrix(at, At.SEEN, rows, times),
        _matrix(at, At.DESIGN, factors, times),
        _reals(at, At.PATTERN, times),
        arguments[:a],
        arguments[a:b].reshape((rows, factors)),
        arguments[b:c].reshape((rows, latent)),
        arguments[c : c + rows],
        arguments[c + rows],
    )
    _collect(slope, at, 0, d_alpha)
    _collect(slope, at, a, d_loadings.reshape(rows * factors))
    _collect(slope, at, b, d_latent.reshape(rows * latent))
    _collect(slope, at, c, d_sigma)
    _collect(slope, at, c + rows, np.array([d_nu]))
    return _finish(likelihood, x, value, log_value, slope, gradient, at, logp)


@cfunc(_LOGP, cache=True, error_model="numpy")
def garch_logp(dim, x_, gradient_, logp_, table):
    """Log posterior density of returns whose variances follow from the days before, and its gradient."""
    x, gradient, logp, at = _opened(np.int64(dim), x_, gradient_, logp_, table)
    value, log_value, slope = _values(x, at)
    arguments = _arguments(value, at)
    rows, times, factors = at[At.N_ROWS], at[At.N_TIMES], at[At.N_FACTORS]
    a, b = rows, rows + rows * factors
    own = arguments[b:].reshape((6, rows))
    likelihood, d_alpha, d_loadings, d_sigma, d_persistence, d_news, d_leverage, d_nu, d_skew = garch_kernel(
        _matrix(at, At.DATA, rows, times),
        _matrix(at, At.SEEN, rows, times),
        _matrix(at, At.DESIGN, factors, times),
        _reals(at, At.INITIAL, rows),
        _reals(at, At.SCORED, rows),
        arguments[:a],
        arguments[a:b].reshape((rows, factors)),
        own[0],
        own[1],
        own[2],
        own[3],
        own[4],
        own[5],
    )
    _collect(slope, at, 0, d_alpha)
    _collect(slope, at, a, d_loadings.reshape(rows * factors))
    _collect(slope, at, b, d_sigma)
    _collect(slope, at, b + rows, d_persistence)
    _collect(slope, at, b + 2 * rows, d_news)
    _collect(slope, at, b + 3 * rows, d_leverage)
    _collect(slope, at, b + 4 * rows, d_nu)
    _collect(slope, at, b + 5 * rows, d_skew)
    return _finish(likelihood, x, value, log_value, slope, gradient, at, logp)


@cfunc(_LOGP, cache=True, error_model="numpy")
def scores_logp(dim, x_, gradient_, logp_, table):
    """Log posterior density of returns and of the latent factors they are given, and its gradient."""
    x, gradient, logp, at = _opened(np.int64(dim), x_, gradient_, logp_, table)
    value, log_value, slope = _values(x, at)
    arguments = _arguments(value, at)
    rows, times, factors, latent = at[At.N_ROWS], at[At.N_TIMES], at[At.N_FACTORS], at[At.N_LATENT]
    a, b, c = rows, rows + rows * factors, rows + rows * (factors + latent)
    d, last = c + 2 * rows, arguments.shape[0] - 1
    scores = arguments[d:last].reshape((latent, times))
    likelihood, d_alpha, d_loadings, d_latent, d_sigma, d_nu, d_scores = scores_kernel(
        _matrix(at, At.DATA, rows, times),
        _matrix(at, At.SEEN, rows, times),
        _matrix(at, At.DESIGN, factors, times),
        arguments[:a],
        arguments[a:b].reshape((rows, factors)),
        arguments[b:c].reshape((rows, latent)),
        arguments[c : c + rows],
        arguments[c + rows : d],
        scores,
    )
    density, d_spherical, d_length, d_tail = spherical_kernel(
        scores, arguments[b:c].reshape((rows, latent)), arguments[last]
    )
    _collect(slope, at, 0, d_alpha)
    _collect(slope, at, a, d_loadings.reshape(rows * factors))
    _collect(slope, at, b, (d_latent + d_length).reshape(rows * latent))
    _collect(slope, at, c, d_sigma)
    _collect(slope, at, c + rows, d_nu)
    _collect(slope, at, d, (d_scores + d_spherical).reshape(latent * times))
    _collect(slope, at, last, np.array([d_tail]))
    return _finish(likelihood + density, x, value, log_value, slope, gradient, at, logp)


@cfunc(
    types.int64(
        types.uint64,
        types.uint64,
        types.CPointer(types.float64),
        types.CPointer(types.float64),
        types.CPointer(types.int64),
    ),
    cache=True,
)
def expand(dim, expanded, x_, out_, table):
    """Hand the unconstrained point back: values are made of all draws at once, afterwards."""
    for j in range(np.int64(dim)):
        out_[j] = x_[j]
    return 0
