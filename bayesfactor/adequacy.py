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
from bayesfactor.laws.drift import centre_gaps
from bayesfactor.laws.whole import whole_fit
from bayesfactor.psis import psis_weights
from bayesfactor.together import judge_together, specific_correlation

__all__ = ["STATISTICS", "judge_adequacy", "predictive_checks"]

SKEW: Final = "skew"
STATISTICS: Final = ("kurtosis", "tail_weight", "quantile_01", "quantile_99", "minimum", "maximum", SKEW)
"""What is compared per asset: sample excess kurtosis; (q99 - q01) / (q75 - q25); the rest by name; and skew
of the return less its mean given the factors, (U + L - 2 M) / (U - L), U and L the means of its highest and
lowest 5 %, M its median."""

REPLICATES: Final = 200
PIT_DRAWS: Final = 400
PIT_CELLS: Final = 10_000
MIN_CELLS: Final = 20
TAIL: Final = 0.01
P_OUTSIDE: Final = 0.005
SKEW_FAR: Final = 3.5
"""Standard deviations of replicates from which on skew is not chance (1 % for one of thirty coins)."""
FAR_CENTRE: Final = 4.0
"""Errors by which a sample mean lies off the centre of a law, from which on that is not chance."""
CHANCE: Final = 0.0027
"""Two-sided probability under the model at which a LOO-PIT tail is called off: three standard errors."""
CHANCE_ASSETS: Final = 0.005
"""The same for the number of assets with an extreme statistic; there are seven statistics."""
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
          T(observed)) over 200 thinned draws, and `tail_distance`, T(observed) less the mean of T(rep) over
          its standard deviation; NaN for assets with fewer than 20 returns.
        - `loo_pit` (cell), with coords `cell_asset` and `cell_time`: P(r_it <= observed | all other
          cells, factors of the day), for at most 10 000 evenly spaced cells and 400 thinned draws.
        - `loo_pit_below`, `loo_pit_above`: shares of cells below 1 % and above 99 %;
          `loo_pit_ks`: largest distance of the distribution of `loo_pit` from the uniform.
        - `centre_gap`, `centre_gap_error` (asset): how far the sample mean lies above `alpha`, and its error.
        - what `bayesfactor.together.specific_correlation` returns.

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
    parts = [_tails(tree), _centres(tree), _loo_pit(tree), specific_correlation(tree)]
    return xr.merge(parts, join="exact", compat="no_conflicts")


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


def _skew(left: np.ndarray) -> np.ndarray:
    """Return the skew of each series (series, cell), see `STATISTICS`."""
    x = np.sort(left, axis=1)
    few = max(1, round(0.05 * x.shape[1]))
    low, high, middle = x[:, :few].mean(axis=1), x[:, -few:].mean(axis=1), np.median(x, axis=1)
    return np.asarray((high + low - 2.0 * middle) / (high - low))


def _tails(tree: xr.DataTree) -> xr.Dataset:
    returns = _in_canonical_order(tree)
    law = law_of(tree, thinned(_n_draws(tree), REPLICATES))
    entropy = int(tree.attrs.get("random_seed", 0))
    values = returns.values

    def work(i: int) -> np.ndarray:
        observed = values[i][np.isfinite(values[i])]
        if len(observed) < MIN_CELLS:
            return np.full((4, len(STATISTICS)), np.nan)
        replicated = law.replicate(block_rng(entropy, _STREAM, i), slice(i, i + 1))
        # Skew is that of what the model leaves: what factors did on those days has its own.
        centre = replicated.mean(axis=1)
        there = np.append(_tail_statistics(observed[None])[:, 0], _skew((observed - centre)[None]))
        anew = _tail_statistics(np.ascontiguousarray(replicated.T))
        anew = np.concatenate([anew, _skew((replicated - centre[:, None]).T)[None]])
        spread = anew.std(axis=1)
        far = (there - anew.mean(axis=1)) / np.where(spread > 0.0, spread, np.nan)
        return np.stack([there, np.median(anew, axis=1), (anew >= there[:, None]).mean(axis=1), far])

    table = np.stack(list(run_blocks(work, range(len(values)))), axis=-1)
    coords = {"statistic": list(STATISTICS), s.ASSET: returns[s.ASSET].values}
    names = ("tail_observed", "tail_replicated", "tail_p", "tail_distance")
    found = xr.Dataset({n: (("statistic", s.ASSET), table[j]) for j, n in enumerate(names)}, coords=coords)
    return found.sel({s.ASSET: tree[s.OBSERVED_DATA][s.ASSET].values})


def _centres(tree: xr.DataTree) -> xr.Dataset:
    """Return how far sample means lie above `alpha`, and the error of that."""
    law, names = law_of(tree), _in_canonical_order(tree)[s.ASSET].values
    alpha = tree[s.POSTERIOR][s.ALPHA].transpose(s.CHAIN, s.DRAW, s.ASSET).sel({s.ASSET: names})
    gap, error = centre_gaps(law, alpha.values.reshape(law.n_draws, -1))
    found = xr.Dataset({"centre_gap": (s.ASSET, gap), "centre_gap_error": (s.ASSET, error)}, {s.ASSET: names})
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


def judge_adequacy(
    checks: xr.Dataset, pareto_k: np.ndarray, step: str = "period", *, skewed: bool = False
) -> tuple[str, list[str]]:
    """Return `ok` or `warn`, and what is out of the ordinary in plain words.

    Parameters
    ----------
    checks : Dataset
        From `predictive_checks`.
    pareto_k : ndarray (time)
        Of the leave-one-out weights of each row; NaN where there is none.
    step : str
        What one period is called.
    skewed : bool
        Whether the model has skewed laws already.

    Returns
    -------
    verdict : {"ok", "warn"}
    reasons : list of str
    """
    reasons = [*_judge_tails(checks), *_judge_skew(checks, skewed=skewed), *judge_together(checks)]
    reasons += [*_judge_centres(checks), *_judge_pit(checks)]
    known = pareto_k[np.isfinite(pareto_k)]
    bad = int((known > 0.7).sum())
    if bad > 0.01 * len(known):
        reasons.append(
            f"{bad} of {len(known)} {step}s sway the posterior too much to be left out by reweighting "
            f"(Pareto k > 0.7): the model does not expect {step}s like these, and LOO is unreliable."
        )
    return ("warn" if reasons else "ok"), reasons


def _judge_tails(checks: xr.Dataset) -> list[str]:
    reasons = []
    for statistic in checks["statistic"].values:
        out, n = _far(checks, statistic)
        if statistic == SKEW or not out.sizes[s.ASSET]:
            continue
        observed, replicated = (float(out[v].median()) for v in ("tail_observed", "tail_replicated"))
        reasons.append(
            f"{statistic} of {out.sizes[s.ASSET]} of {n} assets is not what the model makes ({observed:.3g} "
            f"observed, {replicated:.3g} replicated, medians): {_few(out[s.ASSET].values)}."
        )
    return reasons


def _far(checks: xr.Dataset, statistic: str) -> tuple[xr.Dataset, int]:
    """Return assets whose statistic is not what the model makes, none if by chance; and of how many."""
    from scipy.stats import binom

    row = checks.sel(statistic=statistic)
    row = row.isel({s.ASSET: np.isfinite(row["tail_p"].values)})
    n = row.sizes[s.ASSET]
    far = ((row["tail_p"] < P_OUTSIDE) | (row["tail_p"] > 1 - P_OUTSIDE)).values
    by_chance = n == 0 or far.sum() <= binom.isf(CHANCE_ASSETS, n, 2 * P_OUTSIDE)
    return row.isel({s.ASSET: far & (not by_chance)}), n


def _few(names: np.ndarray) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names.astype(str)[:5]) + more


def _judge_skew(checks: xr.Dataset, *, skewed: bool) -> list[str]:
    """Return which side of which coins is wilder than the model says, who suffers, and what card cures it."""
    if SKEW not in checks["statistic"].values:
        return []
    row = checks.sel(statistic=SKEW)
    n = int(np.isfinite(row["tail_distance"]).sum())
    # By coin, not by count: one coin that is short in a book is enough.
    out = row.isel({s.ASSET: np.abs(row["tail_distance"].values) > SKEW_FAR})
    reasons = []
    for right, tail, side in ((True, "rises", "short"), (False, "falls", "long")):
        there = (out["tail_distance"].values > 0.0) == right
        one = out.isel({s.ASSET: there})
        if not one.sizes[s.ASSET]:
            continue
        observed, replicated = (float(one[v].median()) for v in ("tail_observed", "tail_replicated"))
        cure = (
            "the model's own skew is not enough; judge both sides by bf.backtest."
            if skewed
            else "a card with skewed laws cures it: gjr-skew-t or score-skew-t."
        )
        reasons.append(
            f"skew of {one.sizes[s.ASSET]} of {n} assets is not what the model makes ({observed:.2f} "
            f"observed, {replicated:.2f} replicated, medians), {tail} go further than it says: "
            f"{_few(one[s.ASSET].values)}. VaR and ES of {side} positions in them are too small, of the "
            f"other side too large; {cure}"
        )
    return reasons


def _judge_centres(checks: xr.Dataset) -> list[str]:
    """Say so where `alpha` is the centre of a law and no mean."""
    if "centre_gap" not in checks:
        return []
    z = checks["centre_gap"] / checks["centre_gap_error"]
    out = checks.isel({s.ASSET: (abs(z) > FAR_CENTRE).values})
    if not out.sizes[s.ASSET]:
        return []
    gap = float(out["centre_gap"].median())
    said = (
        f"alpha of {out.sizes[s.ASSET]} of {checks.sizes[s.ASSET]} assets is the centre of a law and not "
        f"their mean, which lies {gap:+.2%} a period from it (median): {_few(out[s.ASSET].values)}. For "
        'expected returns ask for drift="posterior", and do not read alpha.'
    )
    return [said]


def _judge_pit(checks: xr.Dataset) -> list[str]:
    pit = checks["loo_pit"].values
    days = np.unique(checks["cell_time"].values, return_inverse=True)[1]
    reasons = []
    for side, position, beyond in (("lower", "long", pit < TAIL), ("upper", "short", pit > 1 - TAIL)):
        share = float(beyond.mean())
        if _chance_of(beyond, days) < CHANCE:
            remedy = "fatter" if share > TAIL else "thinner"
            found = "small" if share > TAIL else "large"
            reasons.append(
                f"the model's {side} 1 % of returns given the factors happened {share:.1%} of the time "
                f"({len(pit)} cells, leave-one-out): the data have {remedy} tails than the model. "
                f"Far in the tail, the risk of {position} positions is too {found}."
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
