"""Do specific returns go their own ways? The largest correlation among them, and the largest eigenvalue.

Every law here draws specific returns that are independent given observed and latent factors. What is left
of the data is held against replicates of that, with the same holes and the same factors made of the coins.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.laws import Law, law_of
from bayesfactor.laws.blocks import block_rng, run_blocks, thinned
from bayesfactor.pairwise import pairwise_correlation

__all__ = ["judge_together", "specific_correlation"]

_DRAWS: Final = 10
_REPLICATES: Final = 100
_REPLICATES_MANY: Final = 40
_MANY: Final = 100
"""Assets from which on fewer replicates are drawn."""
_FEWEST_DAYS: Final = 30
_FAR: Final = 5.0
"""Standard deviations of replicates beyond which an extreme is not chance (0.1 % for a largest value)."""
_LEAST_CORRELATION: Final = 0.25
_LEAST_RATIO: Final = 1.25
"""Smaller than these, what is shared changes no risk number by much."""
_STREAM: Final = 7502
_FIGURES: Final = (
    "pair_correlation",
    "pair_distance",
    "specific_eigenvalue",
    "specific_eigenvalue_replicated",
    "specific_eigenvalue_distance",
)


def specific_correlation(tree: xr.DataTree) -> xr.Dataset:
    """Compare correlations of specific returns with those of replicates.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`, whole.

    Returns
    -------
    Dataset
        - `pair_correlation`, of the pair `correlated_pair` (side) that stands out most, over its common days,
          and `pair_distance`, how many standard deviations of the replicates' most outstanding pair it is
          beyond their mean;
        - `specific_eigenvalue`, the largest of the correlation matrix, `specific_eigenvalue_replicated` the
          mean over replicates, `specific_eigenvalue_distance` as above, and `specific_eigenvector (asset)`.

        NaN with fewer than two assets or 30 days. Each day is divided by its size and each asset's days are
        turned into normal scores, so that neither a wild day nor a fat tail is taken for a common cause.
    """
    observed = tree[s.OBSERVED_DATA].to_dataset()[s.RETURNS].transpose(s.ASSET, s.TIME)
    names = observed[s.ASSET].values[s.canonical_order(observed[s.ASSET])].astype(str)
    law = law_of(tree, thinned(int(np.prod([tree[s.POSTERIOR].sizes[d] for d in (s.CHAIN, s.DRAW)])), _DRAWS))
    entropy = int(tree.attrs.get("random_seed", 0))
    left, scale = law.specific(block_rng(entropy, _STREAM, 0))
    seen = np.isfinite(left[0])
    if len(names) < 2 or (seen.sum(axis=0) > 1).sum() < _FEWEST_DAYS:
        return _dataset(names, observed, ("", ""), np.full(5, np.nan), np.full(len(names), np.nan))
    matrices = [_correlation(x) for x in left]
    days = matrices[0][1]
    matrix = np.mean([m for m, _ in matrices], axis=0)
    project = _own_factors(law, scale.mean(axis=0))

    def replicate(i: int) -> tuple[float, float]:
        drawn = block_rng(entropy, _STREAM, 1 + i).standard_normal(seen.shape)
        found, _ = _correlation(np.where(seen, project @ drawn, np.nan))
        return float(_outstanding(found, days).max()), float(np.linalg.eigvalsh(found)[-1])

    count = _REPLICATES if len(names) <= _MANY else _REPLICATES_MANY
    null = np.array(list(run_blocks(replicate, range(count))))
    outstanding = _outstanding(matrix, days)
    i, j = np.unravel_index(int(outstanding.argmax()), outstanding.shape)
    values, vectors = np.linalg.eigh(matrix)
    there = np.array([outstanding[i, j], values[-1]])
    distance = (there - null.mean(axis=0)) / null.std(axis=0)
    figures = np.array([matrix[i, j], distance[0], there[1], null[:, 1].mean(), distance[1]])
    vector = vectors[:, -1] * np.sign(vectors[np.abs(vectors[:, -1]).argmax(), -1])
    return _dataset(names, observed, (names[i], names[j]), figures, vector)


def _dataset(
    names: np.ndarray, observed: xr.DataArray, pair: tuple[str, str], figures: np.ndarray, vector: np.ndarray
) -> xr.Dataset:
    found = {k: ((), float(v)) for k, v in zip(_FIGURES, figures, strict=True)}
    data = xr.Dataset(found | {"specific_eigenvector": (s.ASSET, vector)}, coords={s.ASSET: names})
    data = data.assign(correlated_pair=("side", np.array(pair, dtype=str)))
    return data.sel({s.ASSET: observed[s.ASSET].values.astype(str)})


def _correlation(left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return correlations of normal scores of specific returns (asset, time), and common days."""
    from scipy.special import ndtri

    seen = np.isfinite(left)
    square = (np.where(seen, left, 0.0) ** 2).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    left = left / np.sqrt(np.where(square > 0.0, square, 1.0))
    counts = seen.sum(axis=1, keepdims=True)
    ranks = left.argsort(axis=1).argsort(axis=1) + 1.0  # NaN stand last
    scores = ndtri(np.where(seen, ranks / (counts + 1.0), np.nan))
    return pairwise_correlation(scores)


def _outstanding(matrix: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return how far each pair is from none, in standard errors of its own days."""
    return np.triu(np.abs(matrix) * np.sqrt(days) * (days >= _FEWEST_DAYS), 1)


def _own_factors(law: Law, scale: np.ndarray) -> np.ndarray:
    """Return what factors made of the coins themselves do to independent innovations (asset, asset)."""
    weights, response = law.own_weights, law.ahead[2]
    if not len(weights):
        return np.eye(len(scale))
    return np.eye(len(scale)) - (response.mean(axis=0) @ weights) * scale / scale[:, None]


def judge_together(checks: xr.Dataset) -> list[str]:
    """Return what is out of the ordinary in `specific_correlation`, with the remedy, in plain words."""
    reasons = []
    one, other = (str(x) for x in checks["correlated_pair"].values)
    rho = float(checks["pair_correlation"])
    if float(checks["pair_distance"]) > _FAR and abs(rho) > _LEAST_CORRELATION:
        more, less = ("more", "less") if rho > 0.0 else ("less", "more")
        merge = "If they are one coin under two names, merge them (drop=); else add" if rho > 0.0 else "Add"
        reasons.append(
            f"specific returns of {one} and {other} have a correlation of {rho:.2f} and none in the model: "
            f"both together risk {more} than is said, a spread between them {less}. {merge} what they share "
            "as a latent factor (hybrid-t)."
        )
    value, usual = float(checks["specific_eigenvalue"]), float(checks["specific_eigenvalue_replicated"])
    if float(checks["specific_eigenvalue_distance"]) > _FAR and value > _LEAST_RATIO * usual:
        vector = np.abs(checks["specific_eigenvector"].values)
        names = checks[s.ASSET].values.astype(str)[np.argsort(-vector, kind="stable")]
        shown = ", ".join(names[: min(5, max(2, int((vector > 0.5 * vector.max()).sum())))])
        reasons.append(
            f"specific returns move together: the largest eigenvalue of their correlation is {value:.2f}, in "
            f"the model {usual:.2f}, most in {shown}. A book of them risks more than is said: add a latent "
            "factor (hybrid-t, latent-t)."
        )
    return reasons
