"""The fused kernel of the GARCH law: log-likelihood and all gradients in one pass forward, one backward.

Each asset's variance is a recursion through time, so assets follow each other and each takes a few
vectors as long as its history. Forward, everything that does not wait for the day before runs along
time in vector instructions; what does is one multiplication and one addition a day. Backward, the
adjoint of the variance is the same kind of recursion.
"""

import math

import numpy as np

from bayesfactor.laws.skewed import log_centre, shape
from bayesfactor.likelihoods.kernels import add_products, digamma, subtract, sum_of, sum_of_logs, vectorised

__all__ = ["garch_kernel"]


@vectorised
def _span(seen):
    """Return the first and one past the last day with a return."""
    first, last = 0, seen.shape[0]
    while first < last and seen[first] == 0.0:
        first += 1
    while last > first and seen[last - 1] == 0.0:
        last -= 1
    return first, last


@vectorised
def _recurse_squares(e, here, start, omega, keep, react, lean, h, slope):
    """Fill variances h and slope = dh[t+1]/dh[t] where news is e^2; a day not seen brings h itself."""
    for t in range(e.shape[0]):
        slope[t] = keep + react * (1.0 - here[t])
        side = 1.0 + lean if e[t] < 0.0 else 1.0 - lean
        h[t] = omega + react * side * e[t] * e[t] * here[t]  # what day t adds to the day after
    variance = start
    for t in range(e.shape[0]):
        push = h[t]
        h[t] = variance
        variance = push + slope[t] * variance


@vectorised
def _recurse_scores(e, here, start, omega, keep, react, lean, nu, skew, h, slope):
    """Fill the same where news is the score: of an outlier ever further out, it tends to (nu + 1) h."""
    a, b = shape(nu, skew)
    variance = start
    for t in range(e.shape[0]):
        h[t] = variance
        z = e[t] / math.sqrt(variance)
        side = 1.0 - skew if b * z + a < 0.0 else 1.0 + skew
        y, ratio = (b * z + a) / side, b / side
        weight = (nu + 1.0) / (nu - 2.0 + y * y)
        score = ratio * z * y * weight
        bend = weight - 2.0 * y * y * weight * weight / (nu + 1.0)
        by_z = ratio * (y * weight + z * ratio * bend)
        push = react * (1.0 + lean if z < 0.0 else 1.0 - lean)
        if here[t] > 0.0:
            slope[t] = keep + push * (score - 0.5 * z * by_z)
            variance = omega + (keep + push * score) * variance
        else:
            slope[t] = keep + react
            variance = omega + (keep + react) * variance


@vectorised
def _density(e, here, h, nu, skew, q, d_h, d_e):
    """Fill derivatives of each day's own density, and q = 1 + y^2 / (nu - 2); return their sums."""
    a, b = shape(nu, skew)
    by_a, by_b, by_side, by_nu = 0.0, 0.0, 0.0, 0.0
    left, right = 1.0 / (1.0 - skew), 1.0 / (1.0 + skew)
    for t in range(e.shape[0]):
        root = 1.0 / math.sqrt(h[t])
        z = e[t] * root
        x = b * z + a
        inverse = left if x < 0.0 else right
        sign = -1.0 if x < 0.0 else 1.0
        y = x * inverse
        share = here[t] / (nu - 2.0 + y * y)
        pull = (nu + 1.0) * share * y * inverse
        by_a -= pull
        by_b -= pull * z
        by_side += sign * pull * y
        by_nu += y * y * share
        q[t] = 1.0 + here[t] * y * y / (nu - 2.0)
        d_h[t] = 0.5 * (b * pull * z - here[t]) * root * root
        d_e[t] = -b * pull * root
    return by_a, by_b, by_side, by_nu


@vectorised
def _adjoint(d_h, slope):
    """Replace day t's own derivative in its variance by that of the whole in the next day's variance."""
    total = 0.0
    for j in range(d_h.shape[0]):
        t = d_h.shape[0] - 1 - j
        own = d_h[t]
        d_h[t] = total
        total = own + slope[t] * total


@vectorised
def _news_squares(e, here, h, later, react, lean, d_e):
    """Add the way through later variances to d_e; return sums of later times 1, h, news and its lean."""
    level, stay, news, leans, gone = 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(e.shape[0]):
        sign = 1.0 if e[t] < 0.0 else -1.0
        square = later[t] * e[t] * e[t] * here[t]
        level += later[t]
        stay += later[t] * h[t] * here[t]
        gone += later[t] * h[t] * (1.0 - here[t])
        news += square * (1.0 + sign * lean)
        leans += square * sign
        d_e[t] += 2.0 * react * (1.0 + sign * lean) * later[t] * e[t] * here[t]
    return level, stay, gone, news, leans


@vectorised
def _news_scores(e, here, h, later, react, lean, nu, skew, d_e):
    """Return the same where news is the score, and its own derivatives in a, b, side and nu."""
    a, b = shape(nu, skew)
    level, stay, news, leans, gone = 0.0, 0.0, 0.0, 0.0, 0.0
    by_a, by_b, by_side, by_nu = 0.0, 0.0, 0.0, 0.0
    for t in range(e.shape[0]):
        level += later[t]
        if here[t] == 0.0:
            gone += later[t] * h[t]
            continue
        root = math.sqrt(h[t])
        z = e[t] / root
        left = b * z + a < 0.0
        side = 1.0 - skew if left else 1.0 + skew
        y, ratio = (b * z + a) / side, b / side
        weight = (nu + 1.0) / (nu - 2.0 + y * y)
        bend = weight - 2.0 * y * y * weight * weight / (nu + 1.0)
        sign = 1.0 if z < 0.0 else -1.0
        score = ratio * z * y * weight
        size = later[t] * h[t]
        stay += size
        news += size * score * (1.0 + sign * lean)
        leans += size * score * sign
        k = react * (1.0 + sign * lean) * size
        d_e[t] += k * ratio * (y * weight + z * ratio * bend) / root
        by_a += k * ratio * z * bend / side
        by_b += k * z * (y * weight + ratio * z * bend) / side
        by_side -= (-1.0 if left else 1.0) * k * (score + ratio * z * y * bend) / side
        by_nu += k * ratio * z * y * weight * (1.0 - weight) / (nu + 1.0)
    return level, stay, gone, news, leans, by_a, by_b, by_side, by_nu


@vectorised
def _through_shape(nu, skew, d_a, d_b):
    """Return derivatives in nu and skew, given those in a and b."""
    centre, (a, b) = math.exp(log_centre(nu)), shape(nu, skew)
    growth = 0.5 * (digamma(0.5 * (nu + 1.0)) - digamma(0.5 * nu) - 1.0 / (nu - 2.0))
    a_nu = 4.0 * skew * centre * (growth * (nu - 2.0) / (nu - 1.0) + 1.0 / ((nu - 1.0) * (nu - 1.0)))
    a_skew = 4.0 * centre * (nu - 2.0) / (nu - 1.0)
    d_a = d_a - d_b * a / b
    return growth, d_a * a_nu, d_a * a_skew + d_b * 3.0 * skew / b


@vectorised
def garch_kernel(
    returns, seen, factors, initial, scored, alpha, loadings, sigma, persistence, news_share, leverage, nu,
    skew,
):  # fmt: skip
    """Return the total log-likelihood and its gradients.

    Parameters
    ----------
    returns : ndarray (asset, time)
        Any finite number where there is none.
    seen : ndarray (asset, time)
        1.0 where there is a return, else 0.0.
    factors : ndarray (factor, time)
    initial : ndarray (asset)
        Variance on the first day seen.
    scored : ndarray (asset)
        1.0 where news is the score of the innovation's law, 0.0 where it is the square.
    alpha, sigma, persistence, news_share, leverage, nu, skew : ndarray (asset)
        `sigma` is the long-run standard deviation; see `bayesfactor.laws.garch`.
    loadings : ndarray (asset, factor)

    Returns
    -------
    tuple
        log-likelihood, then its gradients in the eight parameters, in order.
    """
    n_assets, n_times = returns.shape
    d_alpha, d_loadings = np.zeros(n_assets), np.zeros((n_assets, factors.shape[0]))
    d_sigma, d_persistence, d_news = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
    d_leverage, d_nu, d_skew = np.zeros(n_assets), np.zeros(n_assets), np.zeros(n_assets)
    buffers = np.empty((7, n_times))
    logp = 0.0
    for i in range(n_assets):
        first, last = _span(seen[i])
        n = last - first
        if n == 0:
            continue
        here, row, mean = seen[i, first:last], returns[i, first:last], alpha[i]
        e, h, slope = buffers[0, :n], buffers[1, :n], buffers[2, :n]
        q, d_h, d_e = buffers[3, :n], buffers[4, :n], buffers[5, :n]
        for t in range(n):
            e[t] = row[t] - mean
        subtract(e, factors, loadings[i], first)
        s2, p, share, lean = sigma[i] * sigma[i], persistence[i], news_share[i], leverage[i]
        omega, keep, react = s2 * (1.0 - p), p * (1.0 - share), p * share
        if scored[i] > 0.0:
            _recurse_scores(e, here, initial[i], omega, keep, react, lean, nu[i], skew[i], h, slope)
        else:
            _recurse_squares(e, here, initial[i], omega, keep, react, lean, h, slope)
        by_a, by_b, by_side, by_nu = _density(e, here, h, nu[i], skew[i], q, d_h, d_e)
        _adjoint(d_h, slope)
        if scored[i] > 0.0:
            level, stay, gone, news, leans, more_a, more_b, more_side, more_nu = _news_scores(
                e, here, h, d_h, react, lean, nu[i], skew[i], d_e
            )
        else:
            level, stay, gone, news, leans = _news_squares(e, here, h, d_h, react, lean, d_e)
            more_a, more_b, more_side, more_nu = 0.0, 0.0, 0.0, 0.0
        d_alpha[i] = -sum_of(d_e)
        add_products(d_e, factors, first, d_loadings[i])
        d_sigma[i] = 2.0 * sigma[i] * (1.0 - p) * level
        d_persistence[i] = (1.0 - share) * stay + share * news + gone - s2 * level
        d_news[i] = p * (news - stay)
        d_leverage[i] = react * leans
        count, b = sum_of(here), shape(nu[i], skew[i])[1]
        growth, in_nu, in_skew = _through_shape(nu[i], skew[i], by_a + more_a, count / b + by_b + more_b)
        tails = sum_of_logs(q, buffers[6])
        for t in range(n):
            q[t] = h[t] if here[t] > 0.0 else 1.0
        logp += count * (math.log(b) + log_centre(nu[i])) - 0.5 * (nu[i] + 1.0) * tails
        logp -= 0.5 * sum_of_logs(q, buffers[6])
        d_nu[i] = count * growth - 0.5 * tails + 0.5 * (nu[i] + 1.0) / (nu[i] - 2.0) * by_nu + in_nu + more_nu
        d_skew[i] = by_side + in_skew + more_side
    d_loadings *= -1.0
    return logp, d_alpha, d_loadings, d_sigma, d_persistence, d_news, d_leverage, d_nu, d_skew
