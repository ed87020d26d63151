"""Variances day by day: filtering what happened and drawing what may, one day after the other.

A variance h follows h' = sigma^2 (1 - p) + p ((1 - s) h + s news); see `GarchSkewT`. Going on from a
variance gives bit by bit what starting from the first day gives.
"""

import math

import numpy as np
from numba import njit

from bayesfactor.laws.skewed import draw, log_centre

__all__ = ["days_after", "draw_days", "filter_days", "next_variance", "simulate_days"]


_LEAST = 1e-6
"""No variance falls below this share of the day before's."""


@njit(cache=True, nogil=True, error_model="numpy")
def next_variance(e, variance, scored, sigma, persistence, news_share, leverage, nu, skew, a, b):
    """Return the variance of the day after an innovation e, NaN where there was none."""
    omega = sigma * sigma * (1.0 - persistence)
    keep, react = persistence * (1.0 - news_share), persistence * news_share
    if math.isnan(e):
        return omega + (keep + react) * variance
    news = e * e
    if scored > 0.0:
        z = e / math.sqrt(variance)
        side = 1.0 - skew if b * z + a < 0.0 else 1.0 + skew
        y = (b * z + a) / side
        news = variance * b * z * y * (nu + 1.0) / (side * (nu - 2.0 + y * y))
    after = omega + keep * variance + react * (1.0 + leverage if e < 0.0 else 1.0 - leverage) * news
    # A score may be a little below 0 where the law's joint is not at 0.
    return max(after, _LEAST * variance)


@njit(cache=True, nogil=True, error_model="numpy")
def draw_days(rng, own, initial, scored, out):
    """Fill `out (series, time)` with innovations of series that start from `initial`, and return it."""
    for i in range(out.shape[0]):
        p, h = own[:, i], initial[i]
        for t in range(out.shape[1]):
            out[i, t] = math.sqrt(h) * draw(rng, p[4], p[5], p[6], p[7])
            h = next_variance(out[i, t], h, scored[i], p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def filter_days(returns, factors, location, response, scored, own, started, variance, cells, residuals, path):
    """Move variances through some days, for every draw.

    Parameters
    ----------
    returns : ndarray (asset, time)
        NaN where there is none.
    factors : ndarray (factor, time)
    location : ndarray (draw, asset)
    response : ndarray (draw, asset, factor)
    scored : ndarray (asset)
    own : ndarray (draw, 8, asset)
        sigma, persistence, news share, leverage, nu, skew, and a and b of `skewed.shape`.
    started : ndarray (asset)
        Whether there was a return before: until there is one, the variance waits. Updated.
    variance : ndarray (draw, asset)
        Of the first day; afterwards that of the day after the last.
    cells : ndarray (draw, asset, time) or (draw, 1, time)
        Log densities are added, 0 where there is no return; with one row, those of all assets.
    residuals, path : ndarray (draw, asset, time) or (0, 0, 0)
        Out, where wanted: innovations and the variance of each day.
    """
    n_draws, n_assets = location.shape
    n_factors, n_times = factors.shape
    wanted, rows = path.shape[0] > 0, cells.shape[1]
    for d in range(n_draws):
        for i in range(n_assets):
            sigma, persistence, news_share, leverage, nu, skew, a, b = own[d, :, i]
            const = math.log(b) + log_centre(nu)
            row = i if rows == n_assets else 0
            begun, h = started[i], variance[d, i]
            for t in range(n_times):
                r = returns[i, t]
                e = math.nan
                if not math.isnan(r):
                    begun = True
                    e = r - location[d, i]
                    for k in range(n_factors):
                        e -= response[d, i, k] * factors[k, t]
                    x = b * e / math.sqrt(h) + a
                    y = x / (1.0 - skew if x < 0.0 else 1.0 + skew)
                    tail = 0.5 * (nu + 1.0) * math.log1p(y * y / (nu - 2.0))
                    cells[d, row, t] += const - tail - 0.5 * math.log(h)
                if wanted:
                    path[d, i, t] = h
                    residuals[d, i, t] = e
                if begun:
                    h = next_variance(
                        e, h, scored[i], sigma, persistence, news_share, leverage, nu, skew, a, b
                    )
            variance[d, i] = h
    for i in range(n_assets):
        for t in range(n_times):
            started[i] = started[i] or not math.isnan(returns[i, t])


@njit(cache=True, nogil=True, error_model="numpy")
def simulate_days(
    rng, alpha, loadings, location, response, scored, factor_scored, own, factor_own, variance,
    factor_variance, opened, weights, back, floor, f_out, e_out,
):  # fmt: skip
    """Fill futures and return how many asset returns were floored at -1.

    Parameters
    ----------
    rng : Generator
    alpha : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
    location : ndarray (draw, factor)
    response : ndarray (draw, factor, factor)
    scored, factor_scored : ndarray (asset), (factor)
    own, factor_own : ndarray (draw, 8, asset), (draw, 8, factor)
    variance, factor_variance : ndarray (draw, asset), (draw, factor)
        Of the first day; not changed.
    opened : ndarray of bool (horizon, factor)
        A factor that is closed does not move, and its variance goes on as on a day not seen.
    weights, back : ndarray
        W and G, see `Moments`.
    floor : bool
    f_out : ndarray (draw, horizon, factor)
    e_out : ndarray (draw, horizon, asset)
    """
    n_draws, horizon, n_factors = f_out.shape
    n_assets = e_out.shape[2]
    h, hf, gap = np.empty(n_assets), np.empty(n_factors), np.empty(n_factors)
    floored = 0
    for d in range(n_draws):
        h[:], hf[:] = variance[d], factor_variance[d]
        for step in range(horizon):
            f, e = f_out[d, step], e_out[d, step]
            for k in range(n_factors):
                p = factor_own[d, :, k]
                u = math.nan
                f[k] = 0.0
                if opened[step, k]:
                    u = math.sqrt(hf[k]) * draw(rng, p[4], p[5], p[6], p[7])
                    f[k] = location[d, k] + u
                    for j in range(k):
                        f[k] += response[d, k, j] * f[j]
                hf[k] = next_variance(
                    u, hf[k], factor_scored[k], p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
                )
            for i in range(n_assets):
                p = own[d, :, i]
                e[i] = math.sqrt(h[i]) * draw(rng, p[4], p[5], p[6], p[7])
                # News is the innovation before own factors take their part out of it: its variance is h, as
                # that of the residuals a variance was fitted to.
                h[i] = next_variance(e[i], h[i], scored[i], p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7])
            for k in range(weights.shape[0]):
                gap[k] = 0.0
                for i in range(n_assets):
                    gap[k] += weights[k, i] * e[i]
            for i in range(n_assets):
                for k in range(weights.shape[0]):
                    e[i] -= back[d, i, k] * gap[k]
                if floor:
                    r = alpha[d, i] + e[i]
                    for k in range(n_factors):
                        r += loadings[d, i, k] * f[k]
                    if r < -1.0:
                        e[i] -= r + 1.0
                        floored += 1
    return floored


@njit(cache=True, nogil=True, error_model="numpy")
def days_after(variance, z, scored, own, out):
    """Fill `out (series, state, node)` with what follows variances (series, state) and z (series, node)."""
    for i in range(z.shape[0]):
        p = own[:, i]
        for g in range(variance.shape[1]):
            h = variance[i, g]
            for q in range(z.shape[1]):
                e = math.sqrt(h) * z[i, q]
                out[i, g, q] = next_variance(e, h, scored[i], p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7])
