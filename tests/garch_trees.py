"""Trees of the factor GARCH made by hand, and its law once more in plain numpy: nothing is sampled."""

import numpy as np
import xarray as xr
from arch.univariate.distribution import SkewStudent
from scipy import stats
from trees import make_tree

from bayesfactor import schema as s
from bayesfactor.laws.rows import own_rows

__all__ = ["SERIES", "garch_tree", "log_density", "plain_news", "ppf", "simulate_series", "with_rows"]

SERIES = (s.SIGMA, s.PERSISTENCE, s.NEWS_SHARE, s.LEVERAGE, s.NU, s.SKEW)
"""What makes one series, in the order the kernel takes it."""


def log_density(z, nu, skew):
    """Log density of Hansen's skewed t by `arch`."""
    z = np.atleast_1d(np.asarray(z, dtype=float))
    return SkewStudent().loglikelihood([nu, skew], z, np.ones_like(z), individual=True)


def ppf(chance, nu, skew):
    """Return the z below which `chance` lies; `arch` has it only for nu above 2.05."""
    c = np.exp(log_density(0.0, nu, 0.0)[0])
    a = 4.0 * skew * c * (nu - 2.0) / (nu - 1.0)
    b = np.sqrt(1.0 + 3.0 * skew**2 - a**2)
    joint, left = 0.5 * (1.0 - skew), chance < 0.5 * (1.0 - skew)
    side = np.where(left, 1.0 - skew, 1.0 + skew)
    y = stats.t.ppf(0.5 + (chance - joint) / side, nu) * np.sqrt((nu - 2.0) / nu)
    return (side * y - a) / b


def plain_news(e, h, scored, leverage, nu, skew):
    """Return what day e brings to the variance; the score by differences of the log density in log h."""
    news = e * e
    if scored:
        step = 1e-5
        sides = [log_density(e / np.sqrt(h) * np.exp(-0.5 * d), nu, skew)[0] - 0.5 * d for d in (step, -step)]
        news = h * (1.0 + (sides[0] - sides[1]) / step)
    return (1.0 + leverage if e < 0.0 else 1.0 - leverage) * news


def simulate_series(rng, own, start, scored, n_times):
    """Return innovations (series, time) and the uniform numbers they were made from."""
    n = len(start)
    chance = rng.uniform(size=(n, n_times))
    out = np.empty_like(chance)
    for i in range(n):
        sigma, p, share, leverage, nu, skew = (x[i] for x in own)
        z, h = ppf(chance[i], nu, skew), start[i]
        for t in range(n_times):
            out[i, t] = np.sqrt(h) * z[t]
            news = plain_news(out[i, t], h, scored[i], leverage, nu, skew)
            h = sigma**2 * (1.0 - p) + p * ((1.0 - share) * h + share * news)
    return out, chance


def garch_tree(
    *,
    n_assets: int = 4,
    n_factors: int = 2,
    n_times: int = 60,
    chains: int = 2,
    draws: int = 5,
    scored: tuple[float, float] = (0.0, 1.0),
    skewed: bool = True,
    nu: float | None = None,
    start: float = 1.0,
    jitter: float = 0.05,
    missing: bool = True,
    own_market: bool = False,
    seed: int = 0,
) -> xr.DataTree:
    """Return a tree as `bf.fit` would; `scored` says so of assets and of factors, `start` scales first variances.

    `observed_data` holds the uniform numbers too that innovations were made from, as `chance`.
    """
    rng = np.random.default_rng(seed)
    tree = make_tree(
        n_assets, n_factors, n_times, chains, draws, own_market=own_market, missing=0.0, seed=seed
    )
    own = _own(rng, 0.03, n_assets, nu, skewed=skewed)
    shocks = _own(rng, 0.02, n_factors, nu, skewed=skewed)
    response = np.tril(rng.normal(0.3, 0.3, (n_factors, n_factors)), -1)
    truth = {
        s.ALPHA: ((s.ASSET,), rng.normal(0.0, 0.001, n_assets)),
        s.LOADINGS: ((s.ASSET, s.FACTOR), rng.normal(0.8, 0.3, (n_assets, n_factors))),
        s.FACTOR_LOCATION: ((s.FACTOR,), rng.normal(0.0, 0.001, n_factors)),
        s.FACTOR_RESPONSE: ((s.FACTOR, s.FACTOR_OTHER), response),
        **{name: ((s.ASSET,), x) for name, x in zip(SERIES, own, strict=True)},
        **{name: ((s.FACTOR,), x) for name, x in zip(_factor_names(), shocks, strict=True)},
    }
    if not skewed:
        truth = {k: v for k, v in truth.items() if k not in (s.SKEW, s.FACTOR_SKEW)}
    first, factor_first = start * own[0] ** 2, start * shocks[0] ** 2
    marks = [np.full(n, mark) for n, mark in zip((n_assets, n_factors), scored, strict=True)]
    u = simulate_series(rng, shocks, factor_first, marks[1], n_times)[0]
    e, chance = simulate_series(rng, own, first, marks[0], n_times)
    factors = np.linalg.solve(np.eye(n_factors) - response, truth[s.FACTOR_LOCATION][1][:, None] + u)
    returns = truth[s.ALPHA][1][:, None] + truth[s.LOADINGS][1] @ factors + e
    if missing:
        returns[0, : n_times // 4] = np.nan
        returns[1, -n_times // 5 :] = np.nan
        returns[-1, [n_times // 3, n_times // 3 + 1, n_times // 2]] = np.nan
    constant = {
        s.FACTOR_RETURNS: ((s.TIME, s.FACTOR), factors.T),
        s.INITIAL_VARIANCE: (s.ASSET, first),
        s.INITIAL_FACTOR_VARIANCE: (s.FACTOR, factor_first),
        s.SCORED: (s.ASSET, marks[0]),
        s.FACTOR_SCORED: (s.FACTOR, marks[1]),
    }
    seen = {s.RETURNS: ((s.TIME, s.ASSET), returns.T), "chance": ((s.TIME, s.ASSET), chance.T)}
    tree[s.OBSERVED_DATA] = xr.DataTree(tree[s.OBSERVED_DATA].to_dataset().assign(seen))
    tree[s.CONSTANT_DATA] = xr.DataTree(tree[s.CONSTANT_DATA].to_dataset().assign(constant))
    tree[s.POSTERIOR] = xr.DataTree(_posterior(tree, truth, chains, draws, jitter, rng))
    tree.attrs |= {"structure": "garch", "model": "garch, made by hand"}
    return with_rows(tree)


def with_rows(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree with the log-likelihood of its rows."""
    rows = own_rows(tree)
    tree[s.LOG_LIKELIHOOD] = xr.DataTree(xr.Dataset({s.RETURNS: rows.drop_attrs()}, attrs=rows.attrs))
    return tree


def _factor_names():
    return (s.FACTOR_SCALE, *(f"factor_{x}" for x in SERIES[1:]))


def _own(rng, size, n, nu, *, skewed):
    """Draw sigma, persistence, news share, leverage, nu and skew of n series."""
    return [
        size * rng.uniform(0.7, 1.4, n),
        rng.uniform(0.85, 0.97, n),
        rng.uniform(0.1, 0.35, n),
        rng.uniform(-0.6, 0.6, n),
        rng.uniform(3.5, 9.0, n) if nu is None else np.full(n, nu),
        rng.uniform(-0.4, 0.4, n) * skewed,
    ]


def _posterior(tree, truth, chains, draws, jitter, rng):
    """Return draws around the truth, each within its range."""
    unit = (s.PERSISTENCE, s.NEWS_SHARE, s.FACTOR_PERSISTENCE, s.FACTOR_NEWS_SHARE)
    sign = (s.LEVERAGE, s.SKEW, s.FACTOR_LEVERAGE, s.FACTOR_SKEW)
    found = {}
    for name, (dims, x) in truth.items():
        z = jitter * rng.standard_normal((chains, draws, *x.shape))
        if name in unit:
            drawn = x / (x + (1.0 - x) * np.exp(z))
        elif name in sign:
            drawn = np.tanh(np.arctanh(x) + z)
        elif name in (s.NU, s.FACTOR_NU):
            drawn = 2.0 + (x - 2.0) * np.exp(z)
        else:
            drawn = x * np.exp(z)
        found[name] = ((s.CHAIN, s.DRAW, *dims), drawn)
    coords = tree[s.POSTERIOR].to_dataset().coords
    return xr.Dataset(found, coords=coords)
