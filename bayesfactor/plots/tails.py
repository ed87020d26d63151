"""The tail check: specific returns against the model's own posterior predictive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import SchemaError
from bayesfactor.laws import law_of
from bayesfactor.laws.blocks import Seed, block_rng, root_entropy
from bayesfactor.laws.whole import whole_fit
from bayesfactor.plots.frame import PALETTE, chosen, open_frame, panels

__all__ = ["plot_tails"]

_REPLICATES: Final = 200
_FEWEST: Final = 20
_STREAM: Final = 7601


@verb
def plot_tails(
    tree: xr.DataTree,
    *,
    assets: Sequence[str] | None = None,
    ci_prob: float = 0.9,
    random_seed: Seed = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw how often specific returns exceed a size: observed dots against the model's own band.

    Specific returns, r - alpha - loadings f at the posterior mean, are divided by their sample
    standard deviation, asset by asset, and pooled. The band is what data sets of the same shape
    look like that are drawn from the posterior predictive. Dots right of it: the model's tails
    are too thin; left of it: too fat.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    assets : list of str, optional
        All assets where not given.
    ci_prob : float
        Probability of the band, at each frequency.
    random_seed : int, Generator or SeedSequence, optional
    ax : Axes, optional
    figsize : (float, float), optional
        In inches, where no `ax` is given.

    Returns
    -------
    Axes

    Raises
    ------
    SchemaError
        If an asset is not in the tree, or there are fewer than 20 returns.

    References
    ----------
    .. [1] Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd ed., ch. 6.
    """
    s.check_tree(tree, s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA, verb="plot_tails")
    if assets is None:
        assets = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str).tolist()
    tree = whole_fit(tree)
    if not 0.0 < ci_prob < 1.0:
        msg = f"ci_prob lies between 0 and 1; got {ci_prob}."
        raise SchemaError(msg)
    tails = _tails(tree, assets, ci_prob, root_entropy(random_seed))
    axes: Axes = panels(ax, 1, figsize or (6.4, 4.2))[0]
    name = f"model, {100 * ci_prob:g} % of simulated data sets"
    axes.fill_betweenx(tails.frequency, tails.low, tails.high, color=PALETTE[0], alpha=0.22, lw=0, label=name)
    for values, marker, colour, label in (
        (tails.losses, "o", PALETTE[7], "observed losses"),
        (tails.gains, "^", PALETTE[2], "observed gains"),
    ):
        axes.scatter(values, tails.frequency, s=15, marker=marker, color=colour, label=label, zorder=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    largest = max(tails.high.max(), tails.losses.max(), tails.gains.max())
    axes.set_xlim(0.5, largest * 1.15)
    steps = [0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500]
    axes.xaxis.set_major_locator(FixedLocator([v for v in steps if v <= largest * 1.15]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    axes.set_xlabel("size of the specific return, in standard deviations")
    axes.set_ylabel("share of returns beyond")
    # Above the axes: marks may lie anywhere in them.
    axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    open_frame(axes)
    return axes


@dataclass(frozen=True)
class _Tails:
    """Sizes at given frequencies: observed losses and gains, and the model's band."""

    frequency: np.ndarray
    losses: np.ndarray
    gains: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _tails(tree: xr.DataTree, assets: Sequence[str] | None, ci_prob: float, entropy: int) -> _Tails:
    post, const, obs = (tree[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
    known = obs[s.ASSET].values.astype(str)
    wanted = set(chosen(assets, known, "asset"))
    order = s.canonical_order(known)  # in which a law holds its assets
    returns = obs[s.RETURNS].transpose(s.ASSET, s.TIME).values[order]
    rows = [i for i, name in enumerate(known[order]) if name in wanted and np.isfinite(returns[i]).sum() > 1]
    mean = _mean(post, const, obs)[order]
    rng = block_rng(entropy, _STREAM)
    n_draws = post.sizes[s.CHAIN] * post.sizes[s.DRAW]
    picks = np.sort(rng.choice(n_draws, min(_REPLICATES, n_draws), replace=False))
    law = law_of(tree, picks)
    observed, replicated = [], []
    for i in rows:
        seen = np.isfinite(returns[i])
        residual = returns[i, seen] - mean[i, seen]
        scale = residual.std() or 1.0
        observed.append(residual / scale)
        drawn = law.replicate(rng, slice(i, i + 1))
        replicated.append(((drawn - mean[i, seen, None]) / scale).astype("float32"))
    n = sum(map(len, observed))
    if n < _FEWEST:
        msg = f"a tail check needs {_FEWEST} returns or more; the assets chosen have {n}."
        raise SchemaError(msg)
    rank = np.unique(np.geomspace(1, n // 4, 80).astype(int))
    ordered = np.sort(np.concatenate(observed))
    anew = np.sort(np.concatenate(replicated), axis=0)
    both = np.hstack([-anew[rank - 1], anew[n - rank]])
    low, high = np.quantile(both, [0.5 - ci_prob / 2, 0.5 + ci_prob / 2], axis=1)
    return _Tails(rank / n, -ordered[rank - 1], ordered[n - rank], low, high)


def _mean(post: xr.Dataset, const: xr.Dataset, obs: xr.Dataset) -> np.ndarray:
    """Return alpha + loadings f at the posterior mean, (asset, time), as far as the model has them."""
    mean = xr.zeros_like(obs[s.RETURNS])
    if s.ALPHA in post:
        mean = mean + post[s.ALPHA].mean((s.CHAIN, s.DRAW))
    if s.LOADINGS in post and post.sizes[s.FACTOR]:
        mean = mean + xr.dot(post[s.LOADINGS].mean((s.CHAIN, s.DRAW)), const[s.FACTOR_RETURNS], dim=s.FACTOR)
    return mean.sel({s.ASSET: obs[s.ASSET].values}).transpose(s.ASSET, s.TIME).values
