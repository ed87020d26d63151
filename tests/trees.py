"""Small trees of the full schema, made with numpy alone: nothing is sampled, no PyMC is imported.

The "posterior" is the truth plus independent normal jitter, so chains mix perfectly unless a test
spoils them.
"""

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.laws import law_of, means_of
from bayesfactor.laws.rows import own_rows
from bayesfactor.panel import panel_digests

CARD = """name = "hierarchical-t"
title = "made by hand"
structure = "static"
[priors.alpha]
dist = "Normal"
dims = ["asset"]
transform = "per_year"
kwargs = { mu = 0.0, sigma = 1.9 }
[priors.factor_location]
dist = "Normal"
dims = ["factor"]
transform = "per_year"
kwargs = { mu = 0.0, sigma = 3.8 }
"""


def with_means(tree: xr.DataTree, drift: str) -> xr.DataTree:
    """Return the tree with the means of a drift for `alpha` and `factor_location`: what an oracle reads."""
    means = means_of(law_of(tree), tree, drift)
    post = tree[s.POSTERIOR].to_dataset()
    shape = (post.sizes[s.CHAIN], post.sizes[s.DRAW])
    back = np.argsort(s.canonical_order(post[s.ASSET]))
    found = {s.ALPHA: ((s.CHAIN, s.DRAW, s.ASSET), means.alpha[:, back].reshape(*shape, -1))}
    if s.FACTOR_LOCATION in post:
        found[s.FACTOR_LOCATION] = ((s.CHAIN, s.DRAW, s.FACTOR), means.factors.reshape(*shape, -1))
    out = tree.copy()
    out[s.POSTERIOR] = xr.DataTree(post.assign(found))
    return out


def make_tree(
    n_assets: int = 3,
    n_factors: int = 2,
    n_times: int = 60,
    chains: int = 4,
    draws: int = 100,
    *,
    normal: bool = False,
    seed: int = 0,
    own_market: bool = False,
    n_groups: int = 2,
    missing: float = 0.05,
    data_seed: int = 0,
    data_nu: float = 4.0,
    jitter: float = 0.05,
    method: str = "nuts",
) -> xr.DataTree:
    """Return a tree as `bf.fit` would: `seed` moves the draws, `data_seed` and `data_nu` the data.

    `normal=True` leaves out `nu` and `factor_nu` and takes the sd of the data for `sigma`.
    `own_market=True` makes the first factor the equal-weight mean of the assets, with its weights.
    """
    truth = _truth(n_assets, n_factors, n_groups, np.random.default_rng(data_seed), data_nu)
    panel = _panel(truth, n_times, missing, own_market, np.random.default_rng(data_seed + 1))
    if normal:
        truth = _as_normal(truth)
    posterior = _posterior(truth, chains, draws, jitter, np.random.default_rng(seed))
    return _assemble(panel, posterior, np.random.default_rng(seed + 1), method, normal, seed)


def _truth(n_assets: int, n_factors: int, n_groups: int, rng: np.random.Generator, nu: float) -> xr.Dataset:
    n_groups = min(n_groups, n_assets)
    index = np.arange(n_assets) % n_groups
    mean = np.array([1.0] + [0.0] * n_factors)[:n_factors]
    group_loadings = mean + 0.3 * rng.standard_normal((n_groups, n_factors))
    correlation = np.full((n_factors, n_factors), 0.3)
    np.fill_diagonal(correlation, 1.0)
    scale = np.array([0.03] + [0.015] * n_factors)[:n_factors]
    return xr.Dataset(
        {
            s.ALPHA: (s.ASSET, 0.001 * rng.standard_normal(n_assets)),
            s.LOADINGS: (
                (s.ASSET, s.FACTOR),
                group_loadings[index] + 0.2 * rng.standard_normal((n_assets, n_factors)),
            ),
            s.GROUP_LOADINGS: ((s.GROUP, s.FACTOR), group_loadings),
            "loadings_mean": (s.FACTOR, mean),
            "loadings_sd": (s.FACTOR, np.full(n_factors, 0.2)),
            "group_loadings_sd": (s.FACTOR, np.full(n_factors, 0.3)),
            s.SIGMA: (s.ASSET, rng.uniform(0.02, 0.04, n_assets)),
            s.NU: (s.ASSET, np.full(n_assets, nu)),
            s.FACTOR_LOCATION: (s.FACTOR, np.full(n_factors, 0.0005)),
            s.FACTOR_SCALE: (s.FACTOR, scale),
            s.FACTOR_CORRELATION: ((s.FACTOR, s.FACTOR_OTHER), correlation),
            s.FACTOR_NU: ((), nu),
        },
        coords={
            s.ASSET: [f"COIN{i + 1:02d}" for i in range(n_assets)],
            s.FACTOR: [["market", "size", "momentum"][k] if k < 3 else f"f{k}" for k in range(n_factors)],
            s.FACTOR_OTHER: [
                ["market", "size", "momentum"][k] if k < 3 else f"f{k}" for k in range(n_factors)
            ],
            s.GROUP: [f"group{g + 1}" for g in range(n_groups)],
        },
        attrs={"index": index},
    )


def _panel(
    truth: xr.Dataset, n_times: int, missing: float, own_market: bool, rng: np.random.Generator
) -> xr.Dataset:
    n_assets, n_factors = truth.sizes[s.ASSET], truth.sizes[s.FACTOR]
    nu = truth[s.NU].values
    chol = truth[s.FACTOR_SCALE].values[:, None] * np.linalg.cholesky(truth[s.FACTOR_CORRELATION].values)
    mixing = np.sqrt(nu[0] / rng.chisquare(nu[0], n_times))[:, None] if n_factors else np.ones((n_times, 1))
    factors = truth[s.FACTOR_LOCATION].values + mixing * (rng.standard_normal((n_times, n_factors)) @ chol.T)
    noise = truth[s.SIGMA].values * rng.standard_t(nu, (n_times, n_assets))
    returns = truth[s.ALPHA].values + factors @ truth[s.LOADINGS].values.T + noise
    returns = np.maximum(returns, -0.9)
    weights = np.zeros((n_times, n_factors, n_assets))
    if own_market:
        factors[:, 0] = returns.mean(axis=1)
        weights[:, 0] = 1 / n_assets
    returns[rng.uniform(size=returns.shape) < missing] = np.nan
    labels = truth.coords
    panel = xr.Dataset(
        {
            s.RETURNS: ((s.TIME, s.ASSET), returns),
            s.FACTOR_RETURNS: ((s.TIME, s.FACTOR), factors),
        },
        coords={
            s.TIME: pd.date_range("2024-01-01", periods=n_times).values.astype("datetime64[ns]"),
            s.ASSET: labels[s.ASSET].values,
            s.FACTOR: labels[s.FACTOR].values,
            s.GROUP: (s.ASSET, labels[s.GROUP].values[truth.attrs["index"]]),
            s.FAMILY: (s.FACTOR, np.array(["market", *["style"] * n_factors])[:n_factors]),
        },
    )
    if own_market:
        panel[s.FACTOR_WEIGHTS] = ((s.TIME, s.FACTOR, s.ASSET), weights)
    panel.attrs = {"periods_per_year": 365, "returns_kind": "simple", "trimmed": "nothing"}
    panel.attrs |= panel_digests(panel)
    return panel


def _as_normal(truth: xr.Dataset) -> xr.Dataset:
    ratio = np.sqrt(truth[s.NU] / (truth[s.NU] - 2))
    truth = truth.assign({s.SIGMA: truth[s.SIGMA] * ratio}).drop_vars(s.NU)
    factor_ratio = np.sqrt(truth[s.FACTOR_NU] / (truth[s.FACTOR_NU] - 2))
    return truth.assign({s.FACTOR_SCALE: truth[s.FACTOR_SCALE] * factor_ratio}).drop_vars(s.FACTOR_NU)


def _posterior(
    truth: xr.Dataset, chains: int, draws: int, jitter: float, rng: np.random.Generator
) -> xr.Dataset:
    """Jitter: relative for what is positive, absolute in the unit of the parameter elsewhere."""
    positive = (s.SIGMA, s.NU, s.FACTOR_NU, s.FACTOR_SCALE, "loadings_sd", "group_loadings_sd")
    small = (s.ALPHA, s.FACTOR_LOCATION)
    found = {}
    for name, variable in truth.data_vars.items():
        z = jitter * rng.standard_normal((chains, draws, *variable.shape))
        values = variable.values
        if name == s.FACTOR_CORRELATION:
            # a convex combination of correlation matrices is one
            share = 0.2 * rng.uniform(size=(chains, draws, 1, 1))
            drawn = (1 - share) * values + share * np.eye(len(values))
        elif name in positive:
            drawn = values * np.exp(z)
            drawn = 2 + (values - 2) * np.exp(z) if name in (s.NU, s.FACTOR_NU) else drawn
        else:
            drawn = values + z * (0.02 if name in small else 1.0)
        found[name] = ((s.CHAIN, s.DRAW, *variable.dims), drawn)
    coords = {s.CHAIN: np.arange(chains), s.DRAW: np.arange(draws), **truth.coords}
    return xr.Dataset(found, coords=coords)


def _sample_stats(posterior: xr.Dataset, method: str, rng: np.random.Generator) -> xr.Dataset:
    shape = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    found: dict[str, np.ndarray] = {}
    for prefix in ("", "factor_law_"):
        found[f"{prefix}diverging"] = np.zeros(shape, dtype=bool)
        if method == "nuts":
            found[f"{prefix}energy"] = rng.standard_normal(shape)
            found[f"{prefix}reached_max_treedepth"] = np.zeros(shape, dtype=bool)
            found[f"{prefix}tree_depth"] = np.full(shape, 5)
            found[f"{prefix}lp"] = rng.standard_normal(shape)
            found[f"{prefix}acceptance_rate"] = np.full(shape, 0.95)
            found[f"{prefix}n_steps"] = np.full(shape, 31)
            found[f"{prefix}step_size"] = np.full(shape, 0.3)
    coords = {d: posterior[d].values for d in (s.CHAIN, s.DRAW)}
    return xr.Dataset({n: ((s.CHAIN, s.DRAW), v) for n, v in found.items()}, coords=coords)


def _assemble(
    panel: xr.Dataset,
    posterior: xr.Dataset,
    rng: np.random.Generator,
    method: str,
    normal: bool,
    seed: int,
) -> xr.DataTree:
    groups, index = np.unique(panel[s.GROUP].values.astype(str), return_inverse=True)
    constant = xr.Dataset(
        {
            s.FACTOR_RETURNS: panel[s.FACTOR_RETURNS],
            s.RETURNS_UNIT: ((), 1.0),
            s.FACTOR_UNIT: (s.FACTOR, np.ones(panel.sizes[s.FACTOR])),
            "group_index": (s.ASSET, index),
        },
        coords={c: panel[c] for c in (s.ASSET, s.GROUP)},
        attrs=panel.attrs,
    )
    if s.FACTOR_WEIGHTS in panel:
        constant[s.FACTOR_WEIGHTS] = panel[s.FACTOR_WEIGHTS].isel({s.TIME: -1}, drop=True)
    assert list(groups) == sorted(posterior[s.GROUP].values.tolist())
    n_chains, n_draws = posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW]
    prior = {v: -0.5 * posterior[v] ** 2 for v in (s.ALPHA, s.LOADINGS, s.SIGMA)}
    tree = xr.DataTree.from_dict(
        {
            s.POSTERIOR: posterior,
            s.SAMPLE_STATS: _sample_stats(posterior, method, rng),
            s.LOG_PRIOR: xr.Dataset(prior),
            s.OBSERVED_DATA: panel[[s.RETURNS]].assign_attrs(panel.attrs),
            s.CONSTANT_DATA: constant,
        }
    )
    tree.attrs = {
        "schema_version": s.SCHEMA_VERSION,
        "model": "hierarchical-normal" if normal else "hierarchical-t",
        "title": "made by hand",
        "structure": "static",
        "card": CARD,
        "card_digest": "0" * 16,
        "overrides": "",
        "random_seed": str(seed),
        "versions": "{}",
        **panel.attrs,
        **s.label_digests(panel),
        "method": method,
        "approximate": int(method != "nuts"),
        "draws": n_draws,
        "tune": 0,
        "chains": n_chains,
        "target_accept": 0.95,
        "sampling_seconds": 0.0,
    }
    rows = own_rows(tree)
    tree[s.LOG_LIKELIHOOD] = xr.DataTree(xr.Dataset({s.RETURNS: rows.drop_attrs()}, attrs=rows.attrs))
    return tree


def replace(tree: xr.DataTree, group: str, **variables: object) -> xr.DataTree:
    """Return a copy of `tree` with variables of one group replaced or added."""
    changed = tree.copy(deep=True)
    changed[group] = xr.DataTree(tree[group].to_dataset().assign(variables))
    return changed


def without(tree: xr.DataTree, group: str) -> xr.DataTree:
    """Return a copy of `tree` that lacks a group."""
    changed = tree.copy(deep=True)
    del changed[group]
    return changed


def with_attrs(tree: xr.DataTree, **attrs: object) -> xr.DataTree:
    """Return a copy of `tree` with root attributes replaced or added."""
    changed = tree.copy(deep=True)
    changed.attrs = tree.attrs | attrs
    return changed
