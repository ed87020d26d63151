"""`stack`: several models as one prediction, weighted by how well each has foreseen."""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import CompareError, unknown_names
from bayesfactor.forecast import forecast
from bayesfactor.laws.blocks import Seed, block_rng, root_entropy, thinned
from bayesfactor.laws.whole import part_of, whole_fit
from bayesfactor.periods import between, stamp_text

__all__ = ["stack", "stacking_weights"]

_SCENARIOS: Final = 40_000


@verb
def stacking_weights(log_scores: xr.Dataset | pd.DataFrame, *, until: object = None) -> pd.Series:
    """Return the weights of the mixture that would have foreseen best.

    Parameters
    ----------
    log_scores : Dataset or DataFrame
        From `bf.backtest` (portfolios count alike), or log predictive densities (day x model), nats.
    until : date-like, optional
        Last day that counts, or last moment: weights for tomorrow know nothing of tomorrow.

    Returns
    -------
    Series (model)
        Not negative, sum 1.

    Raises
    ------
    CompareError
        If fewer than two models have log scores on common days.

    References
    ----------
    .. [1] Yao, Y., Vehtari, A., Simpson, D. and Gelman, A. (2018). Using stacking to average Bayesian
       predictive distributions. Bayesian Analysis 13(3), eq. 4.
    """
    if isinstance(log_scores, xr.Dataset):
        till = log_scores["log_score"]
        till = till.isel({s.TIME: np.flatnonzero(_until(till.indexes[s.TIME], until))})
        values = till.transpose(s.TIME, "portfolio", "model")
        names = log_scores["model"].values.tolist()
        table = pd.DataFrame(values.values.reshape(-1, len(names)), columns=names)
    else:
        table = log_scores.loc[_until(log_scores.index, until)]
    table = table.dropna(axis=1, how="all").dropna()
    if table.shape[1] < 2 or not len(table):
        msg = (
            f"stacking weighs at least two models by log scores of the same periods; got {table.shape[1]} "
            f"models and {len(table)} common ones. Baselines without a density have none."
        )
        raise CompareError(msg)
    scores = table.to_numpy(dtype=float)
    density = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = np.full(density.shape[1], 1.0 / density.shape[1])
    # The log score is concave in the weights; each step of EM raises it.
    for _ in range(20_000):
        new = weights * (density / (density @ weights)[:, None]).mean(axis=0)
        done = np.abs(new - weights).max() < 1e-10
        weights = new
        if done:
            break
    return pd.Series(weights / weights.sum(), index=table.columns, name="weight")


def _until(labels: pd.Index, until: object) -> np.ndarray:
    """Return which rows lie up to a moment, a date being its whole day."""
    if until is None:
        return np.ones(len(labels), dtype=bool)
    if isinstance(labels, pd.DatetimeIndex):
        return between(labels, None, until, names=("start", "until"))
    return np.asarray(labels <= until)


@verb
def stack(
    trees: Mapping[str, xr.DataTree],
    weights: Mapping[str, float] | pd.Series,
    *,
    horizon: int = 1,
    paths: int | None = None,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.DataTree:
    """Return the predictions of a mixture of models, for every verb that reads predictions.

    Draws of each model are taken in proportion to its weight.

    Parameters
    ----------
    trees : mapping of str to DataTree
        Fits of the same assets, by name.
    weights : mapping or Series
        One for each tree: `bf.compare(trees)["weight"]`, `bf.stacking_weights(backtest)` or your own; not
        negative, scaled to sum 1.
    horizon : int
        Periods ahead; risk verbs then take this horizon.
    paths : int, optional
        Futures per draw; as many as make 40 000 scenarios where not given.
    drift : {"zero", "posterior", "prior"}
        Expected returns, as in `bf.forecast`; risk verbs are then asked for the same.
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    DataTree
        `predictions` of the mixture (one chain), `observed_data` and `constant_data` of the first tree;
        attrs `weights` (JSON).

    Raises
    ------
    CompareError
        If names, assets, factors or the last day differ, a weight is negative or none is positive, or the
        factors' laws cannot stand side by side.
    """
    share = _shares(trees, weights)
    used = {name: trees[name] for name in share.index[share > 0.0]}
    _check_alike(used)
    if any(s.OTHERS in tree.children for tree in used.values()):
        kept = next(iter(used.values()))[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str).tolist()
        every = {name: whole_fit(tree) for name, tree in trees.items()}
        options: dict[str, Any] = {
            "horizon": horizon,
            "paths": paths,
            "drift": drift,
            "random_seed": random_seed,
        }
        return part_of(stack(every, weights, **options), kept)
    entropy = root_entropy(random_seed)
    size = {n: t[s.POSTERIOR].sizes[s.CHAIN] * t[s.POSTERIOR].sizes[s.DRAW] for n, t in used.items()}
    # As many draws as there are without using one twice.
    total = min(size[n] / share[n] for n in used)
    paths = -(-_SCENARIOS // max(1, int(total))) if paths is None else paths
    parts = {}
    for i, (name, tree) in enumerate(used.items()):
        seeded = block_rng(entropy, i)
        ahead = forecast(tree, horizon, paths=paths, drift=drift, random_seed=seeded)
        parts[name] = ahead[s.PREDICTIONS].to_dataset()
    parts = _side_by_side(parts)
    picked = [_flat(p, thinned(size[n], max(1, round(share[n] * total)))) for n, p in parts.items()]
    joined = xr.concat(
        picked, s.DRAW, data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    order = block_rng(entropy, len(used)).permutation(joined.sizes[s.DRAW])
    joined = joined.isel({s.DRAW: order}).assign_coords({s.DRAW: np.arange(len(order))})
    joined = joined.expand_dims({s.CHAIN: [0]}).transpose(s.CHAIN, s.DRAW, ...)
    fixed = [v for v in (s.FACTOR_WEIGHTS,) if v in joined]
    joined = joined.assign({v: next(iter(parts.values()))[v] for v in fixed})
    first = next(iter(used.values()))
    joined.attrs = next(iter(parts.values())).attrs | {"random_seed": str(entropy)}
    groups = {g: first[g].to_dataset() for g in (s.OBSERVED_DATA, s.CONSTANT_DATA)}
    first_data = groups[s.CONSTANT_DATA]
    out = xr.DataTree.from_dict({s.PREDICTIONS: joined, **groups})
    told = {"model": "stack", "title": "Mixture of " + ", ".join(used), "structure": "stack"}
    kept = ("schema_version", "returns_kind", "periods_per_year", "returns_digest", "factors_digest")
    out.attrs = told | {k: first.attrs[k] for k in (*kept, *s.label_digests(first_data)) if k in first.attrs}
    out.attrs |= {
        "weights": json.dumps({str(n): float(w) for n, w in share.items()}),
        "random_seed": str(entropy),
    }
    return out


def _shares(trees: Mapping[str, xr.DataTree], weights: Mapping[str, float] | pd.Series) -> pd.Series:
    share = pd.Series(dict(weights), dtype=float)
    strange = [str(n) for n in share.index if n not in trees]
    absent = [str(n) for n in trees if n not in share.index]
    if strange or absent:
        said = f"unknown: {unknown_names(strange, trees)}; " if strange else ""
        said += f"without a weight: {', '.join(absent)}; " if absent else ""
        msg = f"every tree has one weight; {said}name them alike."
        raise CompareError(msg)
    if not np.isfinite(share).all() or (share < 0.0).any() or share.sum() <= 0.0:
        msg = f"weights are not negative and one is positive at least; got {share.to_dict()}."
        raise CompareError(msg)
    return share / share.sum()


def _check_alike(trees: Mapping[str, xr.DataTree]) -> None:
    names, first = list(trees), next(iter(trees.values()))
    for name in trees:
        s.check_tree(trees[name], s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="stack")
    for name in names[1:]:
        for what, group, dim in (
            ("assets", s.OBSERVED_DATA, s.ASSET),
            ("factors", s.CONSTANT_DATA, s.FACTOR),
        ):
            mine, other = (t[group].to_dataset()[dim].values.tolist() for t in (trees[name], first))
            if mine != other:
                msg = f"stacked models have the same {what}, in one order; {name!r} and {names[0]!r} differ."
                raise CompareError(msg)
        days = [t[s.OBSERVED_DATA].to_dataset()[s.TIME].values[-1] for t in (trees[name], first)]
        if days[0] != days[1]:
            msg = (
                f"stacked models forecast from the same moment; {name!r} from {stamp_text(days[0])}, "
                f"{names[0]!r} from {stamp_text(days[1])}. Use bf.update."
            )
            raise CompareError(msg)


def _side_by_side(parts: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return predictions with the same variables: laws without skew or shared shocks spelled out."""
    names = list(parts)
    for name, part in parts.items():
        first = parts[names[0]]
        blocks = [p[s.FACTOR_BLOCK].values.tolist() for p in (part, first)]
        joint = [int(p.attrs["joint_block"]) for p in (part, first)]
        shocks = [s.FACTOR_SHOCKS in p for p in (part, first)]
        alike = (
            blocks[0] == blocks[1] and joint[0] == joint[1] and part.sizes[s.FACTOR] == first.sizes[s.FACTOR]
        )
        if not alike or (shocks[0] != shocks[1] and part.sizes[s.FACTOR] > 1):
            msg = (
                f"the factors of {name!r} and {names[0]!r} follow laws of different kinds, whose draws "
                "cannot stand in one table; models with one factor, or of one structure, can be stacked."
            )
            raise CompareError(msg)
    every = {v for p in parts.values() for v in p.data_vars}
    out = {}
    for name, part in parts.items():
        more = {}
        if s.FACTOR_SHOCKS in every and s.FACTOR_SHOCKS not in part:
            more[s.FACTOR_SHOCKS] = xr.ones_like(part[s.FACTOR_COVARIANCE])
        for skew, like in ((s.FACTOR_SKEW, s.FACTOR_NU), (s.SPECIFIC_SKEW, s.SPECIFIC_NU)):
            if skew in every and skew not in part:
                more[skew] = xr.zeros_like(part[like])
        out[name] = part.assign(more)
    chained = max(int(p.attrs.get("chained", 0)) for p in parts.values())
    return {n: p.assign_attrs(chained=chained) for n, p in out.items()}


def _flat(part: xr.Dataset, draws: np.ndarray) -> xr.Dataset:
    """Return some draws of all chains in one."""
    n = part.sizes[s.DRAW]
    at = {s.CHAIN: xr.DataArray(draws // n, dims="flat"), s.DRAW: xr.DataArray(draws % n, dims="flat")}
    return part.isel(at).drop_vars((s.CHAIN, s.DRAW)).rename({"flat": s.DRAW})
