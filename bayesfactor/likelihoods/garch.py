"""`GarchSkewT`: returns whose variances follow from the days before, as a matrix-variate distribution."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from bayesfactor.laws.garch_days import draw_days
from bayesfactor.laws.skewed import shapes
from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.garch_kernel import garch_kernel

__all__ = ["GarchLogLikelihood", "GarchSkewT", "reference_logp"]


class GarchLogLikelihood(FusedLogLikelihood):
    """(returns, seen, factors, initial, scored), eight parameters -> value and eight gradients."""

    kernel = garch_kernel
    n_data = 5
    ranks = (1, 2, 1, 1, 1, 1, 1, 1)


_log_likelihood = GarchLogLikelihood()


def _logp(value, *parameters_and_data):
    *parameters, factors, initial, scored, seen = parameters_and_data
    return _log_likelihood(value, seen, factors, initial, scored, *parameters)


def _random(alpha, loadings, *rest, rng=None, size=None):
    *series, factors, initial, scored, _ = rest
    if size is not None or alpha.ndim > 1:
        shape_of = alpha.shape[:-1] if size is None else tuple(np.atleast_1d(size))
        ranks = GarchLogLikelihood.ranks
        parts = zip((alpha, loadings, *series), ranks, strict=True)
        whole = [np.broadcast_to(x, (*shape_of, *x.shape[x.ndim - r :])) for x, r in parts]
        each = [_random(*(x[at] for x in whole), *rest[6:], rng=rng) for at in np.ndindex(shape_of)]
        return np.reshape(each, (*shape_of, *each[0].shape))
    own = np.stack([*series, *shapes(series[4], series[5])])
    e = draw_days(rng, own, initial, scored, np.empty((len(alpha), factors.shape[-1])))
    return alpha[:, None] + loadings @ factors + e


def GarchSkewT(name, alpha, loadings, series, factors, initial, scored, seen, *, observed=None, dims=None):  # noqa: N802
    """Add returns (asset, time) = alpha + loadings @ factors + e with a GARCH variance for each asset.

    e = sqrt(h) z, z a standardised skewed t(nu, skew) of Hansen (1994), and

        h[t+1] = sigma^2 (1 - p) + p ((1 - s) h[t] + s news[t]),

    where news is (1 +/- leverage) e^2, plus after a fall (Glosten, Jagannathan and Runkle 1993), or, where
    `scored`, e^2 replaced by h times the score of the innovation's law, which tends to (nu + 1) h for ever
    larger e (Harvey 2013, Dynamic Models for Volatility and Heavy Tails, ch. 4). A day not seen has news h.

    Parameters
    ----------
    name : str
    alpha : tensor (asset)
    loadings : tensor (asset, factor)
    series : tuple of tensor (asset)
        sigma, persistence, news_share, leverage, nu and skew: `sigma` is the long-run standard deviation,
        `persistence` p and `news_share` s lie in (0, 1), `leverage` and `skew` in (-1, 1).
    factors : tensor (factor, time)
    initial, scored : tensor (asset)
        Variance on the first day seen; 1.0 where news is the score, else 0.0.
    seen : tensor (asset, time)
        1.0 where there is a return, else 0.0.
    observed : tensor (asset, time), optional
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        alpha,
        loadings,
        *series,
        factors,
        initial,
        scored,
        seen,
        logp=_logp,
        random=_random,
        signature="(n),(n,k),(n),(n),(n),(n),(n),(n),(k,t),(n),(n),(n,t)->(n,t)",
        class_name="GarchSkewT",
        observed=observed,
        dims=dims,
    )


def reference_logp(value, alpha, loadings, series, factors, initial, scored, seen):
    """Return the same log-likelihood in plain PyTensor, a scan over days, for tests and benchmarks."""
    sigma, _, _, _, nu, skew = series
    centre = pt.gammaln(0.5 * (nu + 1.0)) - pt.gammaln(0.5 * nu) - 0.5 * pt.log(np.pi * (nu - 2.0))
    a = 4.0 * skew * pt.exp(centre) * (nu - 2.0) / (nu - 1.0)
    b = pt.sqrt(1.0 + 3.0 * skew**2 - a**2)
    e = value - alpha[:, None] - loadings @ factors

    # Named to scan one by one: what it finds by itself it takes inside with its random numbers.
    fixed = [pt.as_tensor(x) for x in (a, b, centre, *series, scored)]

    def day(
        e_t, seen_t, started, h, a, b, centre, sigma, persistence, news_share, leverage, nu, skew, scored
    ):
        z = e_t / pt.sqrt(h)
        side = pt.switch(b * z + a < 0.0, 1.0 - skew, 1.0 + skew)
        y = (b * z + a) / side
        density = pt.log(b) + centre - 0.5 * (nu + 1.0) * pt.log1p(y**2 / (nu - 2.0)) - 0.5 * pt.log(h)
        score = b * z * y * (nu + 1.0) / (side * (nu - 2.0 + y**2))
        news = h * pt.switch(scored > 0.0, score, z**2) * (1.0 + leverage * pt.switch(e_t < 0.0, 1.0, -1.0))
        started = pt.maximum(started, seen_t)
        news = pt.switch(seen_t > 0.0, news, h)
        after = sigma**2 * (1.0 - persistence) + persistence * ((1.0 - news_share) * h + news_share * news)
        return started, pt.switch(started > 0.0, after, h), pt.switch(seen_t > 0.0, density, 0.0)

    _, _, cells = pytensor.scan(
        day,
        sequences=[e.T, pt.as_tensor(seen).T],
        outputs_info=[pt.zeros_like(sigma), pt.as_tensor(initial), None],
        non_sequences=fixed,
        strict=True,
        return_updates=False,
    )
    return cells.sum()
