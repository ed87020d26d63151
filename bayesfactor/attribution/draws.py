"""What this room reads off a tree: draws, flat over chains, and the data they were conditioned on."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError
from bayesfactor.laws import law_of, means_of
from bayesfactor.laws.whole import whole_fit

__all__ = ["Draws", "answer_for", "expected_means", "read_draws", "spread_over", "with_interval"]

INTERVAL = (0.05, 0.95)
"""Ends of the intervals this room reports."""


@dataclass(frozen=True)
class Draws:
    """Draws in original units.

    Parameters
    ----------
    alpha : ndarray (draw, asset)
    loadings : ndarray (draw, asset, factor)
    returns : ndarray (time, asset)
        NaN where there is none.
    factors : ndarray (time, factor)
    assets, names, families, groups : ndarray of str
        `names` and `families` are those of the factors, `groups` those of the assets.
    time : ndarray of datetime64
    """

    alpha: np.ndarray
    loadings: np.ndarray
    returns: np.ndarray
    factors: np.ndarray
    assets: np.ndarray
    names: np.ndarray
    families: np.ndarray
    groups: np.ndarray
    time: np.ndarray


def read_draws(tree: xr.DataTree, *, verb: str, part: bool = False) -> Draws:
    """Read a fit, all of its assets, or those alone that a part of it is about.

    Raises
    ------
    SchemaError
        If `tree` is not a fit.
    """
    s.check_tree(tree, s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb=verb)
    tree = tree if part else whole_fit(tree)
    post, obs, const = (tree[g].to_dataset() for g in (s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA))
    missing = [v for v in (s.ALPHA, s.LOADINGS) if v not in post]
    if missing:
        msg = (
            f"{verb} reads {' and '.join(missing)} of the posterior; this model has none. "
            "Fit a model with observed factors, such as 'hierarchical-t' or 'hybrid-t'."
        )
        raise RiskError(msg)
    alpha = post[s.ALPHA].transpose(s.CHAIN, s.DRAW, s.ASSET).values
    loadings = post[s.LOADINGS].transpose(s.CHAIN, s.DRAW, s.ASSET, s.FACTOR).values
    return Draws(
        alpha=alpha.reshape(-1, alpha.shape[-1]),
        loadings=loadings.reshape(-1, *loadings.shape[-2:]),
        returns=obs[s.RETURNS].transpose(s.TIME, s.ASSET).values,
        factors=const[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values,
        assets=post[s.ASSET].values.astype(str),
        names=post[s.FACTOR].values.astype(str),
        families=const[s.FAMILY].values.astype(str),
        groups=const[s.GROUP].values.astype(str),
        time=obs[s.TIME].values,
    )


def expected_means(tree: xr.DataTree, assets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a fit expects: means proper, as with drift="posterior", not centres of robust laws.

    Parameters
    ----------
    tree : DataTree
    assets : ndarray of str (asset)
        In the order wanted.

    Returns
    -------
    alpha : ndarray (draw, asset)
        Mean of what factors leave.
    factors : ndarray (draw, factor)
        Mean of the observed factors.
    expected : ndarray (draw, asset)
        Mean return, which adds up where factors are portfolios of the assets.
    """
    tree = whole_fit(tree)
    law = law_of(tree)
    means = means_of(law, tree, "posterior")
    alpha, loadings, _ = law.with_means(means.alpha, means.factors).ahead
    observed = loadings[:, :, : means.factors.shape[1]]
    expected = alpha + np.einsum("dik,dk->di", observed, means.factors)
    names = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str)
    held = names[s.canonical_order(names)].tolist()
    at = [held.index(a) for a in assets]
    return means.alpha[:, at], means.factors, expected[:, at]


def answer_for(tree: xr.DataTree, found: xr.Dataset) -> xr.Dataset:
    """Return what was found of a whole fit for the assets that a part of it is about."""
    if s.OTHERS not in tree.children:
        return found
    return found.sel({s.ASSET: tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values})


def spread_over(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and both ends of the 90 % interval over the first axis."""
    low, high = np.quantile(values, INTERVAL, axis=0)
    return values.mean(axis=0), low, high


def with_interval(
    name: str, dims: str | tuple[str, ...], values: np.ndarray
) -> dict[str, tuple[str | tuple[str, ...], np.ndarray]]:
    """Return the variables `name`, `name_low` and `name_high` of draws (draw, *dims)."""
    parts = zip(("", "_low", "_high"), spread_over(values), strict=True)
    return {name + suffix: (dims, part) for suffix, part in parts}
