"""Trees with latent factors made by hand, without sampling: what `bf.fit` would return, in a millisecond."""

import numpy as np
import pandas as pd
import xarray as xr
from trees import make_tree

from bayesfactor import schema as s
from bayesfactor.laws.alignment import aligned
from bayesfactor.laws.rows import own_rows

__all__ = ["latent_panel", "latent_tree"]


def latent_tree(
    structure: str = "lowrank",
    *,
    n_assets: int = 5,
    n_factors: int = 0,
    n_latent: int = 2,
    n_times: int = 60,
    chains: int = 2,
    draws: int = 20,
    nu: float = 4.0,
    own_market: bool = False,
    missing: float = 0.1,
    seed: int = 0,
) -> xr.DataTree:
    """Return a tree of a latent (or, with `n_factors`, hybrid) model; `nu = inf` is the normal."""
    tree = make_tree(
        n_assets=n_assets,
        n_factors=n_factors,
        n_times=n_times,
        chains=chains,
        draws=draws,
        own_market=own_market,
        missing=missing,
        seed=seed,
    )
    rng = np.random.default_rng(seed + 7)
    post = tree[s.POSTERIOR].to_dataset().drop_vars(s.NU)
    dims, shape = (s.CHAIN, s.DRAW), (chains, draws)
    if n_latent:
        centre = rng.normal(0.0, 0.02, (n_assets, n_latent))
        loadings = centre + 0.002 * rng.standard_normal((*shape, n_assets, n_latent))
        post[s.LATENT_LOADINGS] = ((*dims, s.ASSET, s.LATENT), loadings)
    tails = nu * np.exp(0.05 * rng.standard_normal((*shape, n_assets)))
    if structure == "scores":
        post[s.NU] = ((*dims, s.ASSET), tails)
        post[s.LATENT_NU] = (dims, 1.0 + tails[..., 0])
        scores = rng.standard_normal((*shape, n_times, n_latent))
        post[s.FACTOR_SCORES] = ((*dims, s.TIME, s.LATENT), scores)
    elif np.isfinite(nu):
        post[s.NU] = (dims, tails[..., 0])
    elif n_factors:
        post = post.drop_vars(s.FACTOR_NU)
    post = post.assign_coords({s.TIME: tree[s.OBSERVED_DATA][s.TIME]} if structure == "scores" else {})
    tree[s.POSTERIOR] = xr.DataTree(aligned(post))
    tree.attrs |= {"structure": structure, "model": "latent, made by hand"}
    rows = own_rows(tree)
    tree[s.LOG_LIKELIHOOD] = xr.DataTree(xr.Dataset({s.RETURNS: rows.drop_attrs()}, attrs=rows.attrs))
    return tree


def latent_panel(
    n_assets: int = 12,
    n_days: int = 300,
    strengths: tuple[float, ...] = (0.8, 0.4),
    *,
    nu: float = 4.0,
    missing: bool = True,
    seed: int = 0,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a panel drawn from the latent law and its truth, in fractions per day; the first factor is a market."""
    rng = np.random.default_rng(seed)
    import bayesfactor as bf

    loadings = rng.standard_normal((n_assets, len(strengths))) * np.array(strengths)
    if strengths:
        loadings[:, 0] = strengths[0] * (1.0 + 0.3 * rng.standard_normal(n_assets))
    sigma = np.exp(rng.normal(-0.5, 0.3, n_assets))
    mixing = np.sqrt(nu / rng.chisquare(nu, n_days)) if np.isfinite(nu) else np.ones(n_days)
    noise = rng.standard_normal((n_days, n_assets)) * sigma
    returns = rng.standard_normal((n_days, len(strengths))) @ loadings.T + noise
    returns = 0.02 * returns * mixing[:, None]
    if missing:
        returns[: n_days // 3, :2] = np.nan
        returns[n_days // 2, 3] = np.nan
    names = [f"COIN{i:02d}" for i in range(n_assets)]
    days = pd.date_range("2022-01-01", periods=n_days, freq="D")
    panel = bf.panel_from_returns(pd.DataFrame(np.maximum(returns, -0.99), days, names))
    truth = xr.Dataset(
        {
            s.LATENT_LOADINGS: ((s.ASSET, s.LATENT), 0.02 * loadings),
            s.SIGMA: (s.ASSET, 0.02 * sigma),
            s.COMMUNALITY: (s.ASSET, (loadings**2).sum(1) / ((loadings**2).sum(1) + sigma**2)),
            s.NU: ((), nu),
        },
        coords={s.ASSET: names},
    )
    return panel, truth
