"""A posterior with latent factors, aligned: what `fit` stores and `align_loadings` does again."""

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.laws.rotation import rotations

__all__ = ["SCALED", "aligned", "with_scores"]

SCALED = f"{s.FACTOR_SCORES}_scaled"
"""What is sampled in place of latent factors: they times the norm of their loadings."""

_NAMED = 3


def with_scores(draws: xr.Dataset) -> xr.Dataset:
    """Return draws with latent factors beside the form they were sampled in, if they were sampled."""
    if SCALED not in draws:
        return draws
    length = np.sqrt((draws[s.LATENT_LOADINGS] ** 2).sum(s.ASSET))
    return draws.assign({s.FACTOR_SCORES: draws[SCALED] / length})


def aligned(posterior: xr.Dataset, method: str = "varimax") -> xr.Dataset:
    """Return the posterior with latent loadings (and scores) aligned and their invariants beside them.

    Scales of single columns mean nothing once columns are turned and are dropped.
    """
    if s.LATENT_LOADINGS not in posterior:
        return posterior
    order = s.canonical_order(posterior[s.ASSET])
    loadings = posterior[s.LATENT_LOADINGS].transpose(s.CHAIN, s.DRAW, s.ASSET, s.LATENT)
    sizes = (posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    flat = loadings.values.reshape(-1, *loadings.shape[2:])
    # In canonical order, so that permuting assets changes no bit.
    turn = rotations(np.ascontiguousarray(flat[:, order]), method)
    turned = flat @ turn
    names = [f"{s.LATENT}-{k + 1}" for k in range(turned.shape[2])]
    new = posterior.drop_vars(
        [v for v in posterior.data_vars if str(v).startswith(f"{s.LATENT_LOADINGS}_")]
    ).assign_coords({s.LATENT: names})
    attrs = loadings.attrs | {"aligned": method}
    new[s.LATENT_LOADINGS] = (loadings.dims, turned.reshape(loadings.shape), attrs)
    if s.FACTOR_SCORES in posterior:
        scores = posterior[s.FACTOR_SCORES].transpose(s.CHAIN, s.DRAW, s.TIME, s.LATENT)
        values = (scores.values.reshape(len(turn), -1, len(names)) @ turn).reshape(scores.shape)
        new[s.FACTOR_SCORES] = (scores.dims, values, scores.attrs)
    common = (turned**2).sum(axis=2).reshape(*sizes, -1)
    own = posterior[s.SIGMA].transpose(s.CHAIN, s.DRAW, s.ASSET).values ** 2
    new[s.COMMUNALITY] = ((s.CHAIN, s.DRAW, s.ASSET), common / (common + own), {"units": "1"})
    gram = np.linalg.eigvalsh(flat.swapaxes(1, 2) @ flat)[:, ::-1]
    new[s.LATENT_VARIANCE] = ((s.CHAIN, s.DRAW, s.RANK), gram.reshape(*sizes, -1))
    new[s.LATENT_VARIANCE].attrs["units"] = "squared fraction per period, summed over assets"
    mean = turned.mean(axis=0)
    labels = [_loads_on(mean[:, k], posterior[s.ASSET].values) for k in range(mean.shape[1])]
    return new.assign_coords({s.RANK: np.arange(1, len(names) + 1), "loads_on": (s.LATENT, labels)})


def _loads_on(loadings: np.ndarray, assets: np.ndarray) -> str:
    """Return what a factor is called after: its largest loadings, and how many more are half as large."""
    size = np.abs(loadings)
    order = np.argsort(-size, kind="stable")
    half = int((size >= 0.5 * size.max()).sum())
    named = [f"{'-' if loadings[i] < 0 else ''}{assets[i]}" for i in order[: min(_NAMED, half)]]
    return ", ".join(named) + (f" and {half - _NAMED} more" if half > _NAMED else "")
