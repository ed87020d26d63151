"""Row densities with observed factors integrated over their own law, where rows are elliptical given them.

Given mixing variables u of the row and u_f of the factors everything is normal,
r ~ N(mu, S / u + C C' / u_f), and u can be integrated by hand. What is left is one integral over the
log of rho = u_f / u, whose integrand is analytic and falls off exponentially, so that the
trapezoidal rule is exact to many digits; where one of the two laws is normal it runs over the mixing
variable of the other, and where both are there is nothing to integrate.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.woodbury import factorise

__all__ = ["marginal_rows"]

_LOG_2PI = math.log(2.0 * math.pi)
_REACH = 18.0
_DEEP = 45.0
"""The sum stops where terms have fallen by this much in the log."""
_FINEST = 0.02


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
    for d in range(mean.shape[0]):
        place, first, inverse, log_det, assets, _ = factorise(seen, pattern, latent[d], sigma[d])
        shrink = 1.0 / (sigma[d] * sigma[d])
        n_patterns = first.shape[0]
        solved = np.empty((n_patterns, n_assets, n_factors))
        eigen = np.empty((n_patterns, n_factors))
        axes = np.empty((n_patterns, n_factors, n_factors))
        for p in range(n_patterns):
            solved[p] = _through(c[d], latent[d], shrink, inverse[p], seen, first[p])
            gram = np.zeros((n_factors, n_factors))
            for i in range(n_assets):
                for k in range(n_factors):
                    for j in range(n_factors):
                        gram[k, j] += c[d, i, k] * solved[p, i, j]
            eigen[p], axes[p] = np.linalg.eigh(gram)
        v, x, c2 = np.empty(n_latent), np.empty(n_factors), np.empty(n_factors)
        for t in range(n_times):
            p = place[t]
            out[d, t] = 0.0
            if assets[p] == 0.0:
                continue
            square = 0.0
            v[:], x[:] = 0.0, 0.0
            for i in range(n_assets):
                if seen[i, t] == 0.0:
                    continue
                e = returns[i, t] - mean[d, i]
                square += shrink[i] * e * e
                for k in range(n_latent):
                    v[k] += shrink[i] * latent[d, i, k] * e
                for k in range(n_factors):
                    x[k] += solved[p, i, k] * e
            for k in range(n_latent):
                for j in range(n_latent):
                    square -= v[k] * inverse[p, k, j] * v[j]
            for k in range(n_factors):
                along = 0.0
                for j in range(n_factors):
                    along += axes[p, j, k] * x[j]
                c2[k] = along * along
            value = _log_integral(square, c2, eigen[p], nu[d], factor_nu[d], assets[p])
            out[d, t] = value + _log_constant(nu[d], factor_nu[d], assets[p]) - 0.5 * log_det[p]
