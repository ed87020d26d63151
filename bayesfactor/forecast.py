"""Draws of the next periods: made in blocks, each reproducible from its own seed.

`predict` is what risk, stress and allocation read; `forecast` puts the same draws on the tree.
Assets stand in canonical order inside, in the order of the panel on the tree.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError
from bayesfactor.laws import Law, Moments, Scenarios, checked_drift, drifting, law_of
from bayesfactor.laws.blocks import Seed, block_rng, root_entropy, run_blocks, slices
from bayesfactor.laws.whole import every_asset, part_of, whole_fit
from bayesfactor.limits import check_count, check_memory

__all__ = ["Labels", "Predictions", "asset_returns", "forecast", "labels_of", "predict"]

_BLOCK_CELLS = 500_000
MOST_PERIODS = 10**6
"""A horizon of more is a misprint: a century of hours has fewer."""


@dataclass(frozen=True)
class Labels:
    """What the axes of the arrays mean.

    Parameters
    ----------
    assets, groups : ndarray of str (asset)
        Of the tree, in its order.
    canonical, canonical_groups : ndarray of str
        Of all assets of the law, in canonical order: more than `assets` where the tree is a part of a fit.
    places : ndarray of int (asset)
        Where the tree's assets stand among the canonical ones.
    factors, families, chains, draws : ndarray
    """

    assets: np.ndarray
    groups: np.ndarray
    canonical: np.ndarray
    canonical_groups: np.ndarray
    places: np.ndarray
    factors: np.ndarray
    families: np.ndarray
    chains: np.ndarray
    draws: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Positions that take the tree's assets to canonical order."""
        return np.argsort(self.places)

    def to_panel_order(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Return canonical values of the tree's assets, in its order."""
        return np.take(values, self.places, axis=axis)

    def to_canonical(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., asset) in the tree's order in canonical order, 0 for the law's other assets."""
        out = np.zeros((*values.shape[:-1], len(self.canonical)), dtype=values.dtype)
        out[..., self.places] = values
        return out


@dataclass(frozen=True)
class Predictions:
    """The law of the next periods given each draw, and as many simulated paths as are asked for.

    Parameters
    ----------
    moments : Moments
    labels : Labels
    entropy : int
        Reproduces every path.
    law : Law, optional
        Simulates paths; without it the `stored` ones are all there are.
    stored : tuple of Scenarios
    drift : str
        Which expected returns it has, one of `laws.DRIFTS`.
    """

    moments: Moments
    labels: Labels
    entropy: int
    law: Law | None = None
    stored: tuple[Scenarios, ...] = field(default=())
    drift: str = "zero"

    def scenarios(self, paths: range) -> Iterator[Scenarios]:
        """Yield blocks of scenarios: for each path every draw, in order, whatever is asked besides."""
        if self.law is None:
            yield from (self.stored[p] for p in paths)
            return
        law, moments = self.law, self.moments
        size = max(1, _BLOCK_CELLS // (moments.horizon * max(1, moments.alpha.shape[1])))
        blocks = slices(moments.n_draws, size)
        # Where draws are few, one job takes many paths; seeds belong to a path and a block, not to a job.
        together = max(1, size // moments.n_draws)
        jobs = (
            (paths[i : i + together], c, block)
            for i in range(0, len(paths), together)
            for c, block in enumerate(blocks)
        )

        def work(job: tuple[range, int, slice]) -> list[Scenarios]:
            some, c, block = job
            return [law.simulate(block_rng(self.entropy, p, c), moments.horizon, block) for p in some]

        for done in run_blocks(work, jobs):
            yield from done


def predict(
    tree: xr.DataTree, horizon: int = 1, *, drift: str = "zero", random_seed: Seed = None
) -> Predictions:
    """Return what later rooms read: the `predictions` of the tree if they are of this kind, else streamed.

    Raises
    ------
    RiskError
        If the tree holds nothing but predictions, with other expected returns than those asked for.
    """
    _check_horizon(horizon)
    checked_drift(drift)
    if s.PREDICTIONS in tree.children and tree[s.PREDICTIONS].sizes[s.HORIZON] == horizon:
        s.check_tree(tree, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="this verb")
        kept = tree[s.PREDICTIONS].attrs.get(s.DRIFT, "not recorded")
        if kept == drift:
            return _stored(tree)
        if s.POSTERIOR not in tree.children:
            msg = (
                f"these predictions have the expected returns drift={kept!r}, and drift={drift!r} is asked "
                f"for. Ask for drift={kept!r}, or make them (bf.forecast, bf.stack) with drift={drift!r}."
            )
            raise RiskError(msg)
    return _streamed(tree, horizon, drift, random_seed)


@verb
def forecast(
    tree: xr.DataTree,
    horizon: int = 1,
    *,
    paths: int = 1,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.DataTree:
    """Simulate the next periods for every posterior draw.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    horizon : int
        Periods ahead.
    paths : int
        Futures per posterior draw.
    drift : {"zero", "posterior", "prior"}
        Expected returns: none; what the data and the prior say; what the prior says, which is mostly that
        they are not known. See docs/concepts.md.
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    DataTree
        The tree with the group `predictions`: `loadings (chain, draw, asset, factor)`,
        `alpha (chain, draw, asset)`, `factor_returns (chain, draw, path, horizon, factor)`,
        `specific_returns (chain, draw, path, horizon, asset)`, and the exact law given the draw:
        `factor_mean`, `factor_covariance`, `factor_nu`, `specific_variance`, `specific_nu`, and where
        the model has them `factor_shocks`, `factor_skew` and `specific_skew`; attrs: `drift`, and `chained`
        is 1 where what happens in a period changes the variances of later ones.
        A factor whose market is closed in a period, as its calendar has it, is 0 there in every path.
        Latent factors, where the model has any, follow the observed ones in `factor`.
        An asset's return is alpha + loadings . factor_returns + specific_returns. Simulated
        simple returns below -1 are floored, the correction booked in `specific_returns`.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`.
    RiskError
        If `horizon` or `paths` is below 1, `drift` is none of its words, or the draws would not fit in
        memory.
    """
    s.check_tree(tree, s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="forecast")
    _check_horizon(horizon)
    if s.OTHERS in tree.children:
        kept = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str).tolist()
        options: dict[str, Any] = {"paths": paths, "drift": drift, "random_seed": random_seed}
        return part_of(forecast(whole_fit(tree), horizon, **options), kept)
    paths = check_count("paths", paths, error=RiskError)
    found = _streamed(tree, horizon, checked_drift(drift), random_seed)
    m, labels = found.moments, found.labels
    shape = (m.n_draws, paths, horizon)
    what = f"{m.n_draws} draws x {paths:,} paths x {horizon:,} periods x {m.alpha.shape[1]} assets"
    remedy = "Ask for fewer paths; risk verbs stream their own and need none here."
    check_memory(what, 2 * math.prod(shape) * sum(m.loadings.shape[1:]), remedy, error=RiskError)
    factor_returns = np.empty((*shape, m.loadings.shape[2]))
    specific = np.empty((*shape, m.alpha.shape[1]))
    position, floored = 0, 0
    for block in found.scenarios(range(paths)):
        path, rows = position // m.n_draws, block.draws
        factor_returns[rows, path] = block.factor_returns
        specific[rows, path] = labels.to_panel_order(block.specific_returns, axis=2)
        position += len(block.factor_returns)
        floored += block.floored
    new = tree.copy()
    new[s.PREDICTIONS] = xr.DataTree(_dataset(found, factor_returns, specific, floored))
    return new


def asset_returns(tree: xr.DataTree) -> xr.DataArray:
    """Return what each asset returns in the simulated futures of a tree.

    Parameters
    ----------
    tree : DataTree
        From `bf.forecast`.

    Returns
    -------
    DataArray (chain, draw, path, horizon, asset)
        alpha + loadings . factor_returns + specific_returns, per period as fractions.

    Raises
    ------
    SchemaError
        If the tree holds no `predictions`.
    """
    s.check_tree(tree, s.PREDICTIONS, verb="asset_returns")
    p = tree[s.PREDICTIONS].to_dataset()
    systematic = xr.dot(p[s.LOADINGS], p[s.FACTOR_RETURNS], dim=s.FACTOR)
    dims = (s.CHAIN, s.DRAW, s.PATH, s.HORIZON, s.ASSET)
    return (p[s.ALPHA] + systematic + p[s.SPECIFIC_RETURNS]).transpose(*dims).rename(s.RETURNS)


def _dataset(
    found: Predictions, factor_returns: np.ndarray, specific: np.ndarray, floored: int
) -> xr.Dataset:
    m, labels = found.moments, found.labels
    sample = (s.CHAIN, s.DRAW)
    sizes = (len(labels.chains), len(labels.draws))

    def shaped(
        values: np.ndarray, *dims: str, assets: int | None = None
    ) -> tuple[tuple[str, ...], np.ndarray]:
        if assets is not None:
            values = labels.to_panel_order(values, axis=assets)
        return (*sample, *dims), np.ascontiguousarray(values).reshape(*sizes, *values.shape[1:])

    ahead = s.HORIZON
    variables = {
        s.LOADINGS: shaped(m.loadings, s.ASSET, s.FACTOR, assets=1),
        s.ALPHA: shaped(m.alpha, s.ASSET, assets=1),
        s.FACTOR_RETURNS: shaped(factor_returns, s.PATH, ahead, s.FACTOR),
        s.SPECIFIC_RETURNS: shaped(specific, s.PATH, ahead, s.ASSET),
        s.FACTOR_MEAN: shaped(m.factor_mean, ahead, s.FACTOR),
        s.FACTOR_COVARIANCE: shaped(m.factor_covariance, ahead, s.FACTOR, s.FACTOR_OTHER),
        s.FACTOR_NU: shaped(m.factor_nu, ahead, s.BLOCK),
        s.SPECIFIC_VARIANCE: shaped(m.specific_variance, ahead, s.ASSET, assets=2),
        s.SPECIFIC_NU: shaped(m.specific_nu, ahead, s.ASSET, assets=2),
    }
    if len(m.own_weights):
        # Latent factors are nobody's portfolio: rows and columns of zeros behind the observed ones.
        latent = m.loadings.shape[2] - len(m.own_weights)
        own = np.pad(labels.to_panel_order(m.own_weights, axis=1), ((0, latent), (0, 0)))
        variables[s.FACTOR_WEIGHTS] = ((s.FACTOR, s.ASSET), own)
        response = np.pad(m.own_response, ((0, 0), (0, 0), (0, latent)))
        variables[s.OWN_RESPONSE] = shaped(response, s.ASSET, s.FACTOR, assets=1)
    if m.shocks is not None:
        variables[s.FACTOR_SHOCKS] = shaped(m.shocks, ahead, s.FACTOR, s.FACTOR_OTHER)
    if m.factor_skew is not None:
        variables[s.FACTOR_SKEW] = shaped(m.factor_skew, ahead, s.BLOCK)
    if m.specific_skew is not None:
        variables[s.SPECIFIC_SKEW] = shaped(m.specific_skew, ahead, s.ASSET, assets=2)
    coords = {
        s.CHAIN: labels.chains,
        s.DRAW: labels.draws,
        s.HORIZON: np.arange(1, m.horizon + 1),
        s.ASSET: labels.assets,
        s.FACTOR: labels.factors,
        s.FACTOR_OTHER: labels.factors,
        s.GROUP: (s.ASSET, labels.groups),
        s.FAMILY: (s.FACTOR, labels.families),
        s.FACTOR_BLOCK: (s.FACTOR, m.block),
    }
    attrs: dict[str, object] = {
        "random_seed": str(found.entropy),
        "floored_share": floored / max(1, specific.size),
    }
    attrs |= {"joint_block": m.joint, "chained": int(m.chained), s.DRIFT: found.drift}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _streamed(tree: xr.DataTree, horizon: int, drift: str, random_seed: Seed) -> Predictions:
    """Let the law of the tree simulate paths when they are asked for."""
    _check_room(tree, horizon)
    law = drifting(law_of(tree), tree, drift)
    entropy = root_entropy(random_seed)
    return Predictions(law.moments(horizon), labels_of(tree, s.POSTERIOR), entropy, law, drift=drift)


def _check_room(tree: xr.DataTree, horizon: int) -> None:
    """Refuse a horizon whose moments memory cannot hold."""
    sizes = tree[s.POSTERIOR].sizes
    draws = sizes[s.CHAIN] * sizes[s.DRAW]
    assets, factors = sizes[s.ASSET], sizes.get(s.FACTOR, 0) + sizes.get(s.LATENT, 0)
    what = f"the law of {draws:,} draws over {horizon:,} periods"
    cells = draws * horizon * (assets + factors + factors**2)
    check_memory(what, 3 * cells, "Ask for a shorter horizon.", error=RiskError)


def _stored(tree: xr.DataTree) -> Predictions:
    """Read predictions off the tree."""
    data = whole_fit(tree)[s.PREDICTIONS].to_dataset()
    labels = labels_of(tree, s.PREDICTIONS)
    order = s.canonical_order(data[s.ASSET])

    def flat(name: str, *dims: str) -> np.ndarray:
        values = data[name].transpose(s.CHAIN, s.DRAW, *dims).values
        values = values.reshape(-1, *values.shape[2:])
        if s.ASSET in dims:
            values = np.take(values, order, axis=1 + dims.index(s.ASSET))
        return np.ascontiguousarray(values)

    def optional(name: str, *dims: str) -> np.ndarray | None:
        return flat(name, *dims) if name in data else None

    ahead = s.HORIZON
    own, response = np.zeros((0, len(order))), flat(s.LOADINGS, s.ASSET, s.FACTOR)[:, :, :0]
    if s.FACTOR_WEIGHTS in data:
        response = flat(s.OWN_RESPONSE, s.ASSET, s.FACTOR)
        own = np.ascontiguousarray(data[s.FACTOR_WEIGHTS].transpose(s.FACTOR, s.ASSET).values[:, order])
    moments = Moments(
        alpha=flat(s.ALPHA, s.ASSET),
        loadings=flat(s.LOADINGS, s.ASSET, s.FACTOR),
        factor_mean=flat(s.FACTOR_MEAN, ahead, s.FACTOR),
        factor_covariance=flat(s.FACTOR_COVARIANCE, ahead, s.FACTOR, s.FACTOR_OTHER),
        factor_nu=flat(s.FACTOR_NU, ahead, s.BLOCK),
        specific_variance=flat(s.SPECIFIC_VARIANCE, ahead, s.ASSET),
        specific_nu=flat(s.SPECIFIC_NU, ahead, s.ASSET),
        own_weights=own,
        own_response=response,
        block=data[s.FACTOR_BLOCK].values,
        joint=int(data.attrs["joint_block"]),
        shocks=optional(s.FACTOR_SHOCKS, ahead, s.FACTOR, s.FACTOR_OTHER),
        factor_skew=optional(s.FACTOR_SKEW, ahead, s.BLOCK),
        specific_skew=optional(s.SPECIFIC_SKEW, ahead, s.ASSET),
        chained=bool(data.attrs.get("chained", 0)),
    )
    factors = flat(s.FACTOR_RETURNS, s.PATH, ahead, s.FACTOR)
    specific = flat(s.SPECIFIC_RETURNS, s.PATH, ahead, s.ASSET)
    everyone = slice(0, moments.n_draws)
    stored = tuple(
        Scenarios(everyone, np.ascontiguousarray(factors[:, p]), np.ascontiguousarray(specific[:, p]))
        for p in range(factors.shape[1])
    )
    entropy, drift = int(data.attrs["random_seed"]), str(data.attrs[s.DRIFT])
    return Predictions(moments, labels, entropy, None, stored, drift)


def labels_of(tree: xr.DataTree, group: str = s.POSTERIOR) -> Labels:
    """Return what the axes of a tree's posterior, or of its predictions, mean."""
    obs, const, draws = (tree[g].to_dataset() for g in (s.OBSERVED_DATA, s.CONSTANT_DATA, group))
    assets = obs[s.ASSET].values
    named = draws if group == s.PREDICTIONS else const
    factors, families = named[s.FACTOR].values, named[s.FAMILY].values
    if group == s.POSTERIOR and s.LATENT in draws.coords:
        latent = draws[s.LATENT].values
        factors = np.concatenate([factors.astype(str), latent.astype(str)])
        families = np.concatenate([families.astype(str), np.full(len(latent), s.LATENT)])
    every, groups = every_asset(tree)
    order = s.canonical_order(every)
    return Labels(
        assets=assets,
        groups=obs[s.GROUP].values,
        canonical=every[order],
        canonical_groups=groups[order],
        places=np.argsort(order)[: len(assets)],
        factors=factors,
        families=families,
        chains=draws[s.CHAIN].values,
        draws=draws[s.DRAW].values,
    )


def _check_horizon(horizon: int) -> None:
    check_count("horizon, in periods,", horizon, most=MOST_PERIODS, error=RiskError)
