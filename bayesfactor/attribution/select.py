"""Which factors move a coin at all, and how much of its variance all of them explain."""

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.attribution.draws import Draws, answer_for, read_draws, with_interval
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError

__all__ = ["select_factors", "systematic_share"]


@verb
def select_factors(tree: xr.DataTree, threshold: float = 0.05) -> xr.Dataset:
    """Say how probable it is that a factor matters, by asset, by group and over all.

    The effect of factor k on asset i is abs(beta_ik) sd(f_k) / sd(r_i): what a usual move of the factor does,
    in usual moves of the asset. Shrinkage never makes it zero, so what counts is a threshold.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`; the card `horseshoe-t` is made for many candidates.
    threshold : float
        Effects above it matter.

    Returns
    -------
    Dataset
        `probability` (asset, factor): P(effect > threshold); `group_probability` (group, factor) and
        `factor_probability` (factor): the same of the mean effect over the group's or all assets; `effect`
        (asset, factor) and `factor_effect` (factor): posterior means; `selected` (factor): whether
        `factor_probability` is above 1/2 (the median probability model); coord `family` (factor).

    Raises
    ------
    SchemaError, RiskError
        If `tree` is not a fit, or the threshold is not a positive number.

    References
    ----------
    .. [1] Barbieri, M. M. and Berger, J. O. (2004). Optimal predictive model selection. Annals of
       Statistics 32(3), sec. 1: the median probability model.
    """
    number = isinstance(threshold, int | float | np.number) and not isinstance(threshold, bool)
    if not number or not (np.isfinite(threshold) and threshold > 0):
        msg = f"threshold is a number above zero, such as 0.05; got {threshold!r}."
        raise RiskError(msg)
    d = read_draws(tree, verb="select_factors")
    effect = _effects(d)
    kinds = np.unique(d.groups)
    by_group = np.stack([effect[:, d.groups == g].mean(axis=1) for g in kinds], axis=1)
    over_all = effect.mean(axis=1)
    chance = (over_all > threshold).mean(axis=0)
    found = xr.Dataset(
        {
            "probability": ((s.ASSET, s.FACTOR), (effect > threshold).mean(axis=0)),
            "group_probability": ((s.GROUP, s.FACTOR), (by_group > threshold).mean(axis=0)),
            "factor_probability": (s.FACTOR, chance),
            "effect": ((s.ASSET, s.FACTOR), effect.mean(axis=0)),
            "factor_effect": (s.FACTOR, over_all.mean(axis=0)),
            "selected": (s.FACTOR, chance > 0.5),
        },
        coords={s.ASSET: d.assets, s.FACTOR: d.names, s.GROUP: kinds, s.FAMILY: (s.FACTOR, d.families)},
        attrs={"threshold": float(threshold), "n_draws": len(effect)},
    )
    return answer_for(tree, found)


def _effects(d: Draws) -> np.ndarray:
    """Return |beta| sd(f) / sd(r) per draw (draw, asset, factor)."""
    return np.abs(d.loadings) * d.factors.std(axis=0) / np.nanstd(d.returns, axis=0)[:, None]


@verb
def systematic_share(tree: xr.DataTree) -> xr.Dataset:
    """Return how much of each asset's variance the factors explain: the posterior of R2.

    For each draw, var(B f) / (var(B f) + var(r - alpha - B f)) over the days on which the asset has a return.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.

    Returns
    -------
    Dataset
        `systematic_share` (asset) with `_low` and `_high` (90 % interval), and `group_share` (group), the
        mean over the group's assets, likewise; coord `group_of` (asset) is each asset's group.

    References
    ----------
    .. [1] Gelman, A., Goodrich, B., Gabry, J. and Vehtari, A. (2019). R-squared for Bayesian regression
       models. American Statistician 73(3), eq. 3.
    """
    d = read_draws(tree, verb="systematic_share")
    share = np.empty((len(d.alpha), len(d.assets)))
    for i in range(len(d.assets)):
        rows = np.isfinite(d.returns[:, i])
        f, r = d.factors[rows], d.returns[rows, i]
        centred, gap = f - f.mean(axis=0), r - r.mean()
        beta = d.loadings[:, i]
        # Quadratic forms in second moments: no (draw, time) array is made.
        explained = np.einsum("dk,kl,dl->d", beta, centred.T @ centred, beta)
        cross = beta @ (centred.T @ gap)
        left = gap @ gap - 2.0 * cross + explained
        total = explained + left
        share[:, i] = np.divide(explained, total, out=np.zeros_like(total), where=total > 0)
    kinds = np.unique(d.groups)
    by_group = np.stack([share[:, d.groups == g].mean(axis=1) for g in kinds], axis=1)
    out = with_interval("systematic_share", s.ASSET, share) | with_interval("group_share", s.GROUP, by_group)
    coords = {s.ASSET: d.assets, s.GROUP: kinds, "group_of": (s.ASSET, d.groups)}
    return answer_for(tree, xr.Dataset(out, coords=coords))
