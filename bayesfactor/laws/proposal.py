"""The kernels of importance sampling: proposals for the factors of one day, densities at many places."""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.woodbury import invert

__all__ = [
    "PROPOSAL_NU",
    "add_cells",
    "add_priors",
    "averaged",
    "locate",
    "normal_weights",
    "propose",
    "spherical_constants",
]

PROPOSAL_NU = 5.0
_ROUNDS = 40
_CLOSE = 1e-4
"""Steps below this share of the proposal's own width end the search for its place."""
_LOG_2, _ROOT_2 = math.log(2.0), math.sqrt(2.0)
_FRACTION, _ONE = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000
_C3, _C5, _C7, _C9, _C11, _C13 = (1.0 / n for n in (3, 5, 7, 9, 11, 13))
_vectorised = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz"}
)


@njit(cache=True, nogil=True, error_model="numpy")
def _squares(x, block, n_blocks):
    out = np.zeros(n_blocks)
    for k in range(x.shape[0]):
        out[block[k]] += x[k] * x[k]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def locate(e, c, sigma, nu, block, sizes, block_nu, x, precision):
    """Move x to the centre of its law given the day, and fill the precision there; return if it settled."""
    n, m = c.shape
    right, step = np.empty(m), np.empty(m)
    h = np.empty((m, m))
    for _ in range(_ROUNDS):
        q = _squares(x, block, sizes.shape[0])
        precision[:] = 0.0
        right[:] = 0.0
        for k in range(m):
            b, v = block[k], block_nu[block[k]]
            precision[k, k] = 1.0 if math.isinf(v) else (v + sizes[b]) / (v + q[b])
        for i in range(n):
            gap = e[i]
            for k in range(m):
                gap -= c[i, k] * x[k]
            shrink = 1.0 / (sigma[i] * sigma[i])
            weight = shrink
            if not math.isinf(nu[i]):
                weight *= (nu[i] + 1.0) / (nu[i] + gap * gap * shrink)
            for k in range(m):
                a = weight * c[i, k]
                right[k] += a * e[i]
                for j in range(m):
                    precision[k, j] += a * c[i, j]
        h[:] = precision
        invert(h)
        moved = 0.0
        for k in range(m):
            step[k] = -x[k]
            for j in range(m):
                step[k] += h[k, j] * right[j]
        for k in range(m):
            for j in range(m):
                moved += step[k] * precision[k, j] * step[j]
            x[k] += step[k]
        if moved < _CLOSE * m:
            break
    # Weights of outliers understate how wide the law is, Fisher's information overstates what they know.
    for i in range(n):
        if math.isinf(nu[i]):
            continue
        gap = e[i]
        for k in range(m):
            gap -= c[i, k] * x[k]
        shrink = 1.0 / (sigma[i] * sigma[i])
        weight = (nu[i] + 1.0) / (nu[i] + gap * gap * shrink)
        excess = shrink * max(weight - (nu[i] + 1.0) / (nu[i] + 3.0), 0.0)
        for k in range(m):
            for j in range(m):
                precision[k, j] -= excess * c[i, k] * c[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _cholesky(a):
    """Replace `a` by its lower Cholesky factor (the upper triangle is left as it is)."""
    n = a.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = math.sqrt(total) if i == j else total / a[j, j]


@_vectorised
def _add_logs(q, slope, mantissa, out):
    """Add slope log q to `out`, for q of at least 1: exponents from their bits, the rest by a series.

    With f in [0.7, 1.4], log f = 2 artanh s for s = (f - 1) / (f + 1); what is left out is below 1e-11.
    """
    bits, fraction = q.view(np.int64), mantissa.view(np.int64)
    for p in range(q.shape[0]):
        fraction[p] = (bits[p] & _FRACTION) | _ONE
    for p in range(q.shape[0]):
        f, exponent = mantissa[p], float((bits[p] >> 52) - 1023)
        large = 1.0 if f > _ROOT_2 else 0.0
        f *= 1.0 - 0.5 * large
        s = (f - 1.0) / (f + 1.0)
        x = s * s
        series = 1.0 + x * (_C3 + x * (_C5 + x * (_C7 + x * (_C9 + x * (_C11 + x * _C13)))))
        out[p] += slope * ((exponent + large) * _LOG_2 + 2.0 * s * series)


@_vectorised
def add_cells(gap, c, sigma, nu, const, places, q, mantissa, out):
    """Add the log density of one cell at each place to `out`."""
    q[:] = gap
    for k in range(c.shape[0]):
        b, x = c[k], places[k]
        for p in range(q.shape[0]):
            q[p] -= b * x[p]
    inv = 1.0 / (sigma * sigma)
    if math.isinf(nu):
        for p in range(q.shape[0]):
            out[p] += const - 0.5 * inv * q[p] * q[p]
        return
    inv /= nu
    for p in range(q.shape[0]):
        q[p] = 1.0 + inv * q[p] * q[p]
        out[p] += const
    _add_logs(q, -0.5 * (nu + 1.0), mantissa, out)


@_vectorised
def add_priors(places, block, sizes, block_nu, prior_const, q, mantissa, out):
    """Add the log density of the random factors at each place to `out`."""
    for b in range(sizes.shape[0]):
        v = block_nu[b]
        q[:] = 0.0
        for k in range(places.shape[0]):
            if block[k] == b:
                x = places[k]
                for p in range(q.shape[0]):
                    q[p] += x[p] * x[p]
        for p in range(q.shape[0]):
            out[p] += prior_const[b] - (0.5 * q[p] if math.isinf(v) else 0.0)
        if not math.isinf(v):
            for p in range(q.shape[0]):
                q[p] = 1.0 + q[p] / v
            _add_logs(q, -0.5 * (v + sizes[b]), mantissa, out)


@njit(cache=True, nogil=True, error_model="numpy")
def spherical_constants(sizes, block_nu):
    """Return the log density of each block's t at its centre."""
    out = np.empty(sizes.shape[0])
    for b in range(sizes.shape[0]):
        v, k = block_nu[b], sizes[b]
        if math.isinf(v):
            out[b] = -0.5 * k * math.log(2.0 * math.pi)
        else:
            out[b] = math.lgamma(0.5 * (v + k)) - math.lgamma(0.5 * v) - 0.5 * k * math.log(v * math.pi)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def normal_weights(normal, scale):
    """Return the normal density over the proposal's at the points of each rule (rule, point)."""
    rules, points, m = normal.shape
    half = 0.5 * (PROPOSAL_NU + m)
    const = math.lgamma(0.5 * PROPOSAL_NU) - math.lgamma(half) + 0.5 * m * math.log(0.5 * PROPOSAL_NU)
    out = np.empty((rules, points))
    for r in range(rules):
        for p in range(points):
            squares = 0.0
            for k in range(m):
                squares += (normal[r, p, k] * scale[r, p]) ** 2
            out[r, p] = math.exp(const - 0.5 * squares + half * math.log1p(squares / PROPOSAL_NU))
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def propose(normal, scale, precision, x, places, log_weight):
    """Fill places (random, point) around x and minus the log density of proposing them."""
    m, half = x.shape[0], 0.5 * (PROPOSAL_NU + x.shape[0])
    _cholesky(precision)
    base = math.lgamma(half) - math.lgamma(0.5 * PROPOSAL_NU) - 0.5 * m * math.log(PROPOSAL_NU * math.pi)
    for k in range(m):
        base += math.log(precision[k, k])
    for p in range(normal.shape[0]):
        squares = 0.0
        for k in range(m - 1, -1, -1):
            z = normal[p, k] * scale[p]
            squares += z * z
            for j in range(k + 1, m):
                z -= precision[j, k] * places[j, p]
            places[k, p] = z / precision[k, k]
        log_weight[p] = half * math.log1p(squares / PROPOSAL_NU) - base
    for k in range(m):
        for p in range(normal.shape[0]):
            places[k, p] += x[k]


@njit(cache=True, nogil=True, error_model="numpy")
def averaged(log_weight, like_normal):
    """Return the log of the mean weight and its standard error.

    Points stand in pairs, and the rule is scaled to be right for the normal.
    """
    half, top = log_weight.shape[0] // 2, log_weight.max()
    q = np.empty(half)
    total, left = 0.0, 0.0
    for p in range(half):
        q[p] = 0.5 * (math.exp(log_weight[p] - top) + math.exp(log_weight[p + half] - top))
        total += q[p]
    known = like_normal[:half].sum()
    for p in range(half):
        left += (q[p] - total / known * like_normal[p]) ** 2
    return top + math.log(total / known), math.sqrt(left) / total
