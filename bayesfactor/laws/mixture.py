"""Row densities with observed factors integrated over their own law, where rows are elliptical given them.

Given mixing variables u of the row and u_f of the factors everything is normal,
r ~ N(mu, S / u + C C' / u_f), and u can be integrated by hand. What is left is one integral over the
log of rho = u_f / u, whose integrand is analytic and falls off exponentially, so that the
trapezoidal rule is exact to many digits; where one of the two laws is normal it runs over the mixing
variable of the other, and where both are there is nothing to integrate. Factors of several blocks have a
log rho each, whose integral is by importance sampling around its peak.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.proposal import averaged, normal_weights, propose
from bayesfactor.laws.woodbury import factorise, invert

__all__ = ["marginal_rows", "marginal_rows_of_blocks"]

_LOG_2PI = math.log(2.0 * math.pi)
_REACH = 18.0
_DEEP = 45.0
"""The sum stops where terms have fallen by this much in the log."""
_FINEST = 0.02
_TURNS = 12
_LEAST = 0.05
"""Curvature of a log density in log rho below which it is not taken for."""


@njit(cache=True, nogil=True, error_model="numpy")
def _log_constant(nu, factor_nu, d):
    a, b = 0.5 * nu, 0.5 * factor_nu
    total = -0.5 * d * _LOG_2PI
    if not math.isinf(nu):
        total += a * math.log(a) - math.lgamma(a)
    if not math.isinf(factor_nu):
        total += b * math.log(b) - math.lgamma(b)
    if not (math.isinf(nu) or math.isinf(factor_nu)):
        total += math.lgamma(a + b + 0.5 * d)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _log_integrand(x, square, c2, eigen, nu, factor_nu, d):
    """Log of the integrand at x = log rho (or 0 where both laws are normal), but for constants."""
    rho = math.exp(x)
    q, log_det = square, 0.0
    for k in range(eigen.shape[0]):
        q -= c2[k] / (rho + eigen[k])
        log_det += math.log1p(eigen[k] / rho)
    a, b = 0.5 * nu, 0.5 * factor_nu
    if math.isinf(nu) and math.isinf(factor_nu):
        return -0.5 * (log_det + q)
    if math.isinf(nu):
        return b * x - b * rho - 0.5 * (log_det + q)
    if math.isinf(factor_nu):
        return -(a + 0.5 * d) * x - (a + 0.5 * q) / rho - 0.5 * log_det
    return b * x - 0.5 * log_det - (a + b + 0.5 * d) * math.log(a + b * rho + 0.5 * q)


@njit(cache=True, nogil=True, error_model="numpy")
def _log_integral(square, c2, eigen, nu, factor_nu, d):
    """Return the log of the integral over x by the trapezoidal rule, outwards from the largest term."""
    if math.isinf(nu) and math.isinf(factor_nu):
        return _log_integrand(0.0, square, c2, eigen, nu, factor_nu, d)
    sharp = eigen.shape[0] + 1.0
    sharp += 0.5 * factor_nu if not math.isinf(factor_nu) else 0.5 * (nu + d)
    step = max(_FINEST, 0.4 / math.sqrt(sharp))
    peak, top = 0.0, _log_integrand(0.0, square, c2, eigen, nu, factor_nu, d)
    for turn in range(2):
        coarse = 0.5 if turn == 0 else step
        begin = peak
        for side in (-1.0, 1.0):
            x, fallen = begin + side * coarse, 0.0
            while abs(x) < _REACH and fallen < 10.0:
                value = _log_integrand(x, square, c2, eigen, nu, factor_nu, d)
                if value > top:
                    peak, top = x, value
                fallen = top - value
                x += side * coarse
    total = 1.0
    for side in (-1.0, 1.0):
        x = peak + side * step
        while abs(x - peak) < 2.0 * _REACH:
            value = _log_integrand(x, square, c2, eigen, nu, factor_nu, d) - top
            if value < -_DEEP:
                break
            total += math.exp(value)
            x += side * step
    return top + math.log(total * step)


@njit(cache=True, nogil=True, error_model="numpy")
def _through(c, latent, shrink, inverse, seen, t):
    """Return S^-1 C for the assets seen on day t (asset, factor)."""
    n, k, m = c.shape[0], c.shape[1], latent.shape[1]
    out, inner, solved = np.zeros((n, k)), np.zeros((m, k)), np.zeros((m, k))
    for i in range(n):
        if seen[i, t] > 0.0:
            for j in range(m):
                for f in range(k):
                    inner[j, f] += latent[i, j] * shrink[i] * c[i, f]
    for j in range(m):
        for a in range(m):
            for f in range(k):
                solved[j, f] += inverse[j, a] * inner[a, f]
    for i in range(n):
        if seen[i, t] > 0.0:
            for f in range(k):
                out[i, f] = c[i, f]
                for j in range(m):
                    out[i, f] -= latent[i, j] * solved[j, f]
                out[i, f] *= shrink[i]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _known(c, latent, sigma, seen, first, inverse, solved, gram):
    """Fill S^-1 C (pattern, asset, factor) and C' S^-1 C (pattern, factor, factor); return 1 / sigma^2."""
    shrink = 1.0 / (sigma * sigma)
    gram[:] = 0.0
    for p in range(first.shape[0]):
        solved[p] = _through(c, latent, shrink, inverse[p], seen, first[p])
        for i in range(c.shape[0]):
            for k in range(c.shape[1]):
                for j in range(c.shape[1]):
                    gram[p, k, j] += c[i, k] * solved[p, i, j]
    return shrink


@njit(cache=True, nogil=True, error_model="numpy")
def _on_day(returns, seen, mean, shrink, latent, inverse, solved, t, v, x):
    """Fill C' S^-1 e of one day into `x`; return e' S^-1 e."""
    n_factors, n_latent = x.shape[0], v.shape[0]
    square = 0.0
    v[:], x[:] = 0.0, 0.0
    for i in range(returns.shape[0]):
        if seen[i, t] == 0.0:
            continue
        e = returns[i, t] - mean[i]
        square += shrink[i] * e * e
        for k in range(n_latent):
            v[k] += shrink[i] * latent[i, k] * e
        for k in range(n_factors):
            x[k] += solved[i, k] * e
    for k in range(n_latent):
        for j in range(n_latent):
            square -= v[k] * inverse[k, j] * v[j]
    return square


@njit(cache=True, nogil=True, error_model="numpy")
def marginal_rows(returns, seen, pattern, mean, c, latent, sigma, nu, factor_nu, out):
    """Fill log p(r_t) (draw, time), latent and observed factors integrated out.

    Parameters
    ----------
    returns, seen : ndarray (asset, time)
    pattern : ndarray (time)
        See `bayesfactor.laws.woodbury.patterns`.
    mean : ndarray (draw, asset)
        alpha + loadings factor_location.
    c : ndarray (draw, asset, factor)
        loadings times the Cholesky factor of the factors' scale matrix.
    latent : ndarray (draw, asset, latent)
    sigma : ndarray (draw, asset)
    nu, factor_nu : ndarray (draw)
        Of rows given the factors, and of the factors.
    out : ndarray (draw, time)
    """
    n_assets, n_times = returns.shape
    n_factors, n_latent = c.shape[2], latent.shape[2]
    v, x, c2 = np.empty(n_latent), np.empty(n_factors), np.empty(n_factors)
    for d in range(mean.shape[0]):
        place, first, inverse, log_det, assets, _ = factorise(seen, pattern, latent[d], sigma[d])
        n_patterns = first.shape[0]
        solved = np.empty((n_patterns, n_assets, n_factors))
        axes, eigen = np.empty((n_patterns, n_factors, n_factors)), np.empty((n_patterns, n_factors))
        shrink = _known(c[d], latent[d], sigma[d], seen, first, inverse, solved, axes)
        for p in range(n_patterns):
            eigen[p], axes[p] = np.linalg.eigh(axes[p])
        for t in range(n_times):
            p = place[t]
            out[d, t] = 0.0
            if assets[p] == 0.0:
                continue
            square = _on_day(returns, seen, mean[d], shrink, latent[d], inverse[p], solved[p], t, v, x)
            for k in range(n_factors):
                along = 0.0
                for j in range(n_factors):
                    along += axes[p, j, k] * x[j]
                c2[k] = along * along
            value = _log_integral(square, c2, eigen[p], nu[d], factor_nu[d], assets[p])
            out[d, t] = value + _log_constant(nu[d], factor_nu[d], assets[p]) - 0.5 * log_det[p]


@njit(cache=True, nogil=True, error_model="numpy")
def _log_integrand_of_blocks(x, block, gram, along, square, half_nu, half, d, m):
    """Log of the integrand at the logs `x (block)` of rho, but for constants; `m` is space."""
    m[:] = gram
    total = 0.0
    pull = 0.0
    for b in range(x.shape[0]):
        total += half[b] * x[b]
        pull += half[b] * math.exp(x[b])
    for k in range(block.shape[0]):
        m[k, k] += math.exp(x[block[k]])
        total += 0.5 * x[block[k]]
    total -= 0.5 * invert(m)
    q = square
    for k in range(block.shape[0]):
        for j in range(block.shape[0]):
            q -= along[k] * m[k, j] * along[j]
    if math.isinf(half_nu):
        return total - pull - 0.5 * q
    return total - (half_nu + half.sum() + 0.5 * d) * math.log(half_nu + pull + 0.5 * q)


@njit(cache=True, nogil=True, error_model="numpy")
def _is_positive(a):
    """Return whether a symmetric matrix is positive definite, by the pivots of its elimination."""
    left = a.copy()
    for j in range(left.shape[0]):
        if left[j, j] <= 1e-9 * a[j, j]:
            return False
        for i in range(j + 1, left.shape[0]):
            left[i, j:] -= left[i, j] / left[j, j] * left[j, j:]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _peak(x, block, gram, along, square, half_nu, half, d, m, precision):
    """Move x to the peak of the integrand by Newton's steps, and fill the curvature there."""
    n, h = x.shape[0], 0.02
    slope, at = np.empty(n), np.empty(n)
    for turn in range(_TURNS):
        top = _log_integrand_of_blocks(x, block, gram, along, square, half_nu, half, d, m)
        for b in range(n):
            for c in range(b + 1):
                at[:] = x
                at[b] += h
                at[c] += h
                value = _log_integrand_of_blocks(at, block, gram, along, square, half_nu, half, d, m)
                at[:] = x
                at[b] -= h
                at[c] -= h
                other = _log_integrand_of_blocks(at, block, gram, along, square, half_nu, half, d, m)
                if b == c:
                    slope[b] = (value - other) / (4.0 * h)
                precision[b, c] = (2.0 * top - value - other) / (4.0 * h * h)
        for b in range(n):
            for c in range(b):
                # The second difference along both is a_b + a_c + 2 a_bc in units of (2 h)^2.
                mixed = 2.0 * precision[b, c] - 0.5 * (precision[b, b] + precision[c, c])
                precision[b, c] = mixed
                precision[c, b] = mixed
        for b in range(n):
            precision[b, b] = max(precision[b, b], _LEAST)
        if not _is_positive(precision):
            for b in range(n):
                for c in range(n):
                    precision[b, c] *= 1.0 if b == c else 0.0
        if turn == _TURNS - 1:
            return
        m2 = precision.copy()
        invert(m2)
        moved = 0.0
        for b in range(n):
            step = 0.0
            for c in range(n):
                step += m2[b, c] * slope[c]
            step = min(max(step, -1.5), 1.5)
            x[b] += step
            moved = max(moved, abs(step))
        if moved < 0.02:
            return


@njit(cache=True, nogil=True, error_model="numpy")
def marginal_rows_of_blocks(
    returns, seen, pattern, mean, c, latent, sigma, nu, block, block_nu, normal, scale, out, error
):
    """Fill log p(r_t) and its standard error (draw, time) where factors are blocks with mixings of their own.

    Parameters
    ----------
    returns, seen, pattern, mean, c, latent, sigma, nu, out
        As in `marginal_rows`.
    block : ndarray (factor)
    block_nu : ndarray (draw, block)
        Finite.
    normal, scale : ndarray (rule, point, block), (rule, point)
        Points of the proposal.
    error : ndarray (draw, time)
    """
    n_assets, n_times = returns.shape
    n_factors, n_latent, n = c.shape[2], latent.shape[2], block_nu.shape[1]
    points = normal.shape[1]
    v, x, m = np.empty(n_latent), np.empty(n_factors), np.empty((n_factors, n_factors))
    peak, precision, places = np.zeros(n), np.empty((n, n)), np.empty((n, points))
    weight, at = np.empty(points), np.empty(n)
    like_normal = normal_weights(normal, scale)
    for d in range(mean.shape[0]):
        place, first, inverse, log_det, assets, _ = factorise(seen, pattern, latent[d], sigma[d])
        n_patterns = first.shape[0]
        solved = np.empty((n_patterns, n_assets, n_factors))
        gram = np.empty((n_patterns, n_factors, n_factors))
        shrink = _known(c[d], latent[d], sigma[d], seen, first, inverse, solved, gram)
        half, half_nu = 0.5 * block_nu[d], 0.5 * nu[d]
        const = 0.0
        for b in range(n):
            const += half[b] * math.log(half[b]) - math.lgamma(half[b])
        if not math.isinf(half_nu):
            const += half_nu * math.log(half_nu) - math.lgamma(half_nu)
        for t in range(n_times):
            p = place[t]
            out[d, t], error[d, t] = 0.0, 0.0
            size = assets[p]
            if size == 0.0:
                continue
            square = _on_day(returns, seen, mean[d], shrink, latent[d], inverse[p], solved[p], t, v, x)
            peak[:] = 0.0
            _peak(peak, block, gram[p], x, square, half_nu, half, size, m, precision)
            rule = t % normal.shape[0]
            propose(normal[rule], scale[rule], precision, peak, places, weight)
            for j in range(points):
                for b in range(n):
                    at[b] = places[b, j]
                weight[j] += _log_integrand_of_blocks(at, block, gram[p], x, square, half_nu, half, size, m)
            value, error[d, t] = averaged(weight, like_normal[rule])
            value += const - 0.5 * size * _LOG_2PI - 0.5 * log_det[p]
            if not math.isinf(half_nu):
                value += math.lgamma(half_nu + half.sum() + 0.5 * size)
            out[d, t] = value
