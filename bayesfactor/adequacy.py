"""Does the model look like the data? Replicates against observations, given the factors of each day.

Two checks that a converged fit can still fail: the tails of each asset (posterior-predictive
p-values) and the leave-one-out probability of each return (LOO-PIT). Everything here goes through
the law, is thinned to a bounded size, and is reproducible from the tree's own seed.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.laws import law_of
from bayesfactor.laws.blocks import block_rng, run_blocks, thinned
from bayesfactor.laws.whole import whole_fit
from bayesfactor.psis import psis_weights

__all__ = ["STATISTICS", "judge_adequacy", "predictive_checks"]

STATISTICS: Final = ("kurtosis", "tail_weight", "quantile_01", "quantile_99", "minimum", "maximum")
"""What is compared per asset: sample excess kurtosis; (q99 - q01) / (q75 - q25); and the rest by name."""

REPLICATES: Final = 200
PIT_DRAWS: Final = 400
PIT_CELLS: Final = 10_000
MIN_CELLS: Final = 20
TAIL: Final = 0.01
P_OUTSIDE: Final = 0.005
CHANCE: Final = 0.0027
"""Two-sided probability under the model at which a LOO-PIT tail is called off: three standard errors."""
CHANCE_ASSETS: Final = 0.005
"""The same for the number of assets with an extreme statistic; there are six statistics."""
_STREAM: Final = 7501
"""Keeps these draws apart from those that other rooms derive from the same seed."""


def predictive_checks(tree: xr.DataTree) -> xr.Dataset:
    """Compare each asset with replicates of itself, and each return with its leave-one-out law.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.

    Returns
    -------
    Dataset
        - `tail_observed`, `tail_replicated` (the median), `tail_p` (statistic, asset): P(T(rep) >=
          T(observed)) over 200 thinned draws; NaN for assets with fewer than 20 returns.
        - `loo_pit` (cell), with coords `cell_asset` and `cell_time`: P(r_it <= observed | all other
          cells, factors of the day), for at most 10 000 evenly spaced cells and 400 thinned draws.
        - `loo_pit_below`, `loo_pit_above`: shares of cells below 1 % and above 99 %;
          `loo_pit_ks`: largest distance of the distribution of `loo_pit` from the uniform.

    Raises
    ------
    SchemaError
        If the tree lacks the groups of a fit.

    References
    ----------
    .. [1] Gelman, A., Meng, X.-L. and Stern, H. (1996). Posterior predictive assessment of model
       fitness via realized discrepancies. Statistica Sinica 6, section 2.
    .. [2] Gelfand, A. E. (1996). Model determination using sampling-based methods. In Markov Chain
       Monte Carlo in Practice, ch. 9.
    .. [3] Säilynoja, T., Bürkner, P.-C. and Vehtari, A. (2022). Graphical test for discrete
       uniformity and its applications. Statistics and Computing 32.
    """
    s.check_tree(tree, s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="diagnose")
    tree = whole_fit(tree)
    return xr.merge([_tails(tree), _loo_pit(tree)], join="exact", compat="no_conflicts")


def _n_draws(tree: xr.DataTree) -> int:
    sizes = tree[s.POSTERIOR].sizes
    return int(sizes[s.CHAIN] * sizes[s.DRAW])


def _in_canonical_order(tree: xr.DataTree) -> xr.DataArray:
    """Return observed returns (asset, time) in the order in which laws hold assets."""
    observed = tree[s.OBSERVED_DATA][s.RETURNS].transpose(s.ASSET, s.TIME)
    return observed.isel({s.ASSET: s.canonical_order(observed[s.ASSET])})


def _tail_statistics(returns: np.ndarray) -> np.ndarray:
    """Return (statistic, series) for returns (series, cell)."""
    x = np.sort(returns, axis=1)
    centred = x - x.mean(axis=1, keepdims=True)
    square = centred**2
    kurtosis = (square**2).mean(axis=1) / square.mean(axis=1) ** 2 - 3.0
    q01, q25, q75, q99 = np.quantile(x, [0.01, 0.25, 0.75, 0.99], axis=1)
    return np.stack([kurtosis, (q99 - q01) / (q75 - q25), q01, q99, x[:, 0], x[:, -1]])


def _tails(tree: xr.DataTree) -> xr.Dataset:
    returns = _in_canonical_order(tree)
    law = law_of(tree, thinned(_n_draws(tree), REPLICATES))
    entropy = int(tree.attrs.get("random_seed", 0))
    values = returns.values

    def work(i: int) -> np.ndarray:
        observed = values[i][np.isfinite(values[i])]
        if len(observed) < MIN_CELLS:
            return np.full((3, len(STATISTICS)), np.nan)
        replicated = law.replicate(block_rng(entropy, _STREAM, i), slice(i, i + 1))
        there = _tail_statistics(observed[None])[:, 0]
        anew = _tail_statistics(np.ascontiguousarray(replicated.T))
        return np.stack([there, np.median(anew, axis=1), (anew >= there[:, None]).mean(axis=1)])

    table = np.stack(list(run_blocks(work, range(len(values)))), axis=-1)
    coords = {"statistic": list(STATISTICS), s.ASSET: returns[s.ASSET].values}
    names = ("tail_observed", "tail_replicated", "tail_p")
    found = xr.Dataset({n: (("statistic", s.ASSET), table[j]) for j, n in enumerate(names)}, coords=coords)
    return found.sel({s.ASSET: tree[s.OBSERVED_DATA][s.ASSET].values})


def _loo_pit(tree: xr.DataTree) -> xr.Dataset:
    returns = _in_canonical_order(tree)
    seen = np.isfinite(returns.values)
    ends = np.cumsum(seen.sum(axis=1))
    chosen = thinned(int(ends[-1]), PIT_CELLS)
    asset_of = np.searchsorted(ends, chosen, side="right")
    law = law_of(tree, thinned(_n_draws(tree), PIT_DRAWS))

    def work(i: int) -> np.ndarray:
        here = chosen[asset_of == i] - (ends[i] - seen[i].sum())
        if not len(here):
            return np.empty(0)
        one = slice(i, i + 1)
        weights, _ = psis_weights(law.cell_log_likelihood(one, here))
        return (weights * law.pit(one, here)).sum(axis=1)

    pit = np.concatenate(list(run_blocks(work, range(len(seen)))))
    day_of = np.nonzero(seen)[1][chosen]
    ordered = np.sort(pit)
    steps = np.arange(len(pit) + 1) / len(pit)
    ks = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
    return xr.Dataset(
        {
            "loo_pit": ("cell", pit),
            "loo_pit_below": float((pit < TAIL).mean()),
            "loo_pit_above": float((pit > 1 - TAIL).mean()),
            "loo_pit_ks": float(ks),
        },
        coords={
            "cell_asset": ("cell", returns[s.ASSET].values[asset_of]),
            "cell_time": ("cell", returns[s.TIME].values[day_of]),
        },
    )


def judge_adequacy(checks: xr.Dataset, pareto_k: np.ndarray, step: str = "period") -> tuple[str, list[str]]:
    """Return `ok` or `warn`, and what is out of the ordinary in plain words.

    Parameters
    ----------
    checks : Dataset
        From `predictive_checks`.
    pareto_k : ndarray (time)
        Of the leave-one-out weights of each row; NaN where there is none.
    step : str
        What one period is called.

    Returns
    -------
    verdict : {"ok", "warn"}
    reasons : list of str
    """
    reasons = [*_judge_tails(checks), *_judge_pit(checks)]
    known = pareto_k[np.isfinite(pareto_k)]
    bad = int((known > 0.7).sum())
    if bad > 0.01 * len(known):
        reasons.append(
            f"{bad} of {len(known)} {step}s sway the posterior too much to be left out by reweighting "
            f"(Pareto k > 0.7): the model does not expect {step}s like these, and LOO is unreliable."
        )
    return ("warn" if reasons else "ok"), reasons


def _judge_tails(checks: xr.Dataset) -> list[str]:
    from scipy.stats import binom

    reasons = []
    for statistic in checks["statistic"].values:
        row = checks.sel(statistic=statistic)
        row = row.isel({s.ASSET: np.isfinite(row["tail_p"].values)})
        n = row.sizes[s.ASSET]
        far = (row["tail_p"] < P_OUTSIDE) | (row["tail_p"] > 1 - P_OUTSIDE)
        count = int(far.sum())
        if n == 0 or count <= binom.isf(CHANCE_ASSETS, n, 2 * P_OUTSIDE):
            continue
        out = row.isel({s.ASSET: far.values})
        names = ", ".join(out[s.ASSET].values.astype(str)[:5]) + (
            f" and {count - 5} more" if count > 5 else ""
        )
        observed, replicated = (float(out[v].median()) for v in ("tail_observed", "tail_replicated"))
        reasons.append(
            f"{statistic} of {count} of {n} assets is not what the model makes ({observed:.3g} observed, "
            f"{replicated:.3g} replicated, medians): {names}."
        )
    return reasons


def _judge_pit(checks: xr.Dataset) -> list[str]:
    pit = checks["loo_pit"].values
    days = np.unique(checks["cell_time"].values, return_inverse=True)[1]
    reasons = []
    for side, beyond in (("lower", pit < TAIL), ("upper", pit > 1 - TAIL)):
        share = float(beyond.mean())
        if _chance_of(beyond, days) < CHANCE:
            remedy = "fatter" if share > TAIL else "thinner"
            reasons.append(
                f"the model's {side} 1 % of returns given the factors happened {share:.1%} of the time "
                f"({len(pit)} cells, leave-one-out): the data have {remedy} tails than the model."
            )
    return reasons


def _chance_of(beyond: np.ndarray, days: np.ndarray) -> float:
    """Return the two-sided probability of so many or so few cells in a tail that should hold 1 %.

    Cells of one day go together in real markets, so the count of cells is divided by the design
    effect of clustering by day.
    """
    from scipy.stats import binom

    n, share = len(beyond), float(beyond.mean())
    clustered = np.sum(np.bincount(days, weights=beyond - share) ** 2)
    effect = max(1.0, clustered / (n * share * (1 - share))) if 0 < share < 1 else 1.0
    size = round(n / effect)
    count = round(share * size)
    return 2 * min(float(binom.sf(count - 1, size, TAIL)), float(binom.cdf(count, size, TAIL)))
