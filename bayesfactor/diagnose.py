"""`diagnose`: can the draws be trusted, and does the model look like the data? Two verdicts, apart.

The verdict on computation follows fixed thresholds; whatever it says, it names the parameters
and a remedy. A model that is wrong but well sampled is `ok` here and `warn` under adequacy.
"""

import warnings
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.adequacy import judge_adequacy, predictive_checks
from bayesfactor.calls import verb
from bayesfactor.errors import SchemaError
from bayesfactor.laws.whole import whole_fit
from bayesfactor.periods import count_periods, stamp_text, step_in, year_in
from bayesfactor.psis import psis_loo, relative_efficiency

__all__ = ["computation", "diagnose", "verdict_lines"]

R_HAT_FAIL: Final = 1.05
R_HAT_WARN: Final = 1.01
ESS_FAIL: Final = 100
ESS_WARN: Final = 400
DIVERGENCES_FAIL: Final = 0.05
BFMI_WARN: Final = 0.3
TREE_DEPTH_WARN: Final = 0.01
COLLINEAR: Final = 0.9
NAMED: Final = 5
LAW: Final = "factor_law_"
FINGERPRINTS: Final = ("card_digest", "returns_digest", "factors_digest", "random_seed")
"""What says which fit a diagnosis is of."""
_MEASURES: Final = ("r_hat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd")


@dataclass
class _Findings:
    """What was found so far; the worst finding is the verdict."""

    verdict: str = "ok"
    reasons: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)

    def add(self, verdict: str, reason: str, remedy: str) -> None:
        self.verdict = "fail" if "fail" in (verdict, self.verdict) else "warn"
        self.reasons.append(reason)
        if remedy and remedy not in self.remedies:
            self.remedies.append(remedy)


@verb
def diagnose(tree: xr.DataTree, *, check_adequacy: bool = True) -> xr.Dataset:
    """Judge whether the draws can be trusted, and whether the model looks like the data.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    check_adequacy : bool
        Whether to replicate the data and compare; the part that takes seconds on a large panel.

    Returns
    -------
    Dataset
        - `r_hat`, `ess_bulk`, `ess_tail`, `mcse_mean`, `mcse_sd` (parameter): not rounded; NaN where
          they cannot be had (R-hat of a single chain). Constant parameters and the mirror half of
          the factor correlation are left out.
        - `divergences`, and `divergence_share`, the larger of the two graphs'; `e_bfmi` and
          `factor_law_e_bfmi` (chain); `max_tree_depth` (0 where unknown) and
          `tree_depth_saturated`, the share of draws at the sampler's limit.
        - `pareto_k` (time): of PSIS-LOO by row; NaN on days without a return.
        - what `bayesfactor.adequacy.predictive_checks` returns, if checked.

        attrs: `verdict` ("ok", "warn" or "fail", about computation only), `reasons`, `remedies`;
        `adequacy` ("ok", "warn" or "not checked"), `adequacy_reasons` (texts, one line each);
        `method`.

    Raises
    ------
    SchemaError
        If `tree` is not from `bf.fit`, or lacks a group.

    References
    ----------
    .. [1] Vehtari, A. et al. (2021). Rank-normalization, folding, and localization: an improved
       R-hat. Bayesian Analysis 16(2), eqs. 4 and 14 and section 4.3.
    .. [2] Betancourt, M. (2016). Diagnosing suboptimal cotangent disintegrations in Hamiltonian
       Monte Carlo. arXiv:1604.00695 (E-BFMI).
    .. [3] Vehtari, A. et al. (2024). Pareto smoothed importance sampling. JMLR 25(72).
    """
    needed = (s.POSTERIOR, s.SAMPLE_STATS, s.LOG_LIKELIHOOD, s.OBSERVED_DATA, s.CONSTANT_DATA)
    s.check_tree(tree, *needed, verb="diagnose", nan=True)
    tree = whole_fit(tree)
    judged = computation(tree)
    data = xr.merge([judged, _pareto_k(tree)], join="exact", combine_attrs="override")
    if not check_adequacy:
        return data
    if _not_finite(tree):
        data.attrs["adequacy_reasons"] = "not checked, since some draws are not finite."
        return data
    checks = predictive_checks(tree)
    adequacy, reasons = judge_adequacy(
        checks, data["pareto_k"].values, step_in(tree), skewed=s.SKEW in tree[s.POSTERIOR].data_vars
    )
    data = xr.merge([data, checks], join="exact", combine_attrs="override")
    data.attrs |= {"adequacy": adequacy, "adequacy_reasons": "\n".join(reasons)}
    return data


def _not_finite(tree: xr.DataTree) -> bool:
    """Return whether `check_tree` would refuse the draws, now that it let NaN through."""
    try:
        s.check_tree(tree, verb="diagnose")
    except SchemaError:
        return True
    return False


def computation(tree: xr.DataTree) -> xr.Dataset:
    """Return convergence, the sampler's record and the verdict on them: the quick part of `diagnose`."""
    tree = whole_fit(tree)
    parameters = _parameters(tree[s.POSTERIOR].to_dataset())
    data = xr.merge([_convergence(parameters), _sampler(tree)], join="exact")
    found = _judge(data, tree, parameters)
    return data.assign_attrs(
        {
            "verdict": found.verdict,
            "reasons": "\n".join(found.reasons),
            "remedies": "\n".join(found.remedies),
            "adequacy": "not checked",
            "adequacy_reasons": "",
            "method": str(tree.attrs.get("method", "unknown")),
            "periods_per_year": year_in(tree),
            **{k: tree.attrs[k] for k in FINGERPRINTS if k in tree.attrs},
        }
    )


def verdict_lines(diagnosis: xr.Dataset) -> list[str]:
    """Return the verdicts of `diagnose` as lines of text: each verdict, its reasons, the remedies.

    Parameters
    ----------
    diagnosis : Dataset
        From `diagnose`.

    Returns
    -------
    list of str
    """
    attrs = diagnosis.attrs
    r_hat, ess = (diagnosis[v].values for v in ("r_hat", "ess_bulk"))
    numbers = [f"largest R-hat {np.nanmax(r_hat):.3f}"] if np.isfinite(r_hat).any() else []
    numbers += [f"smallest bulk ESS {np.nanmin(ess):.0f}"] if np.isfinite(ess).any() else []
    numbers.append(f"{int(diagnosis['divergences'])} divergences")
    lines = [f"Computation: {attrs['verdict'].upper()} ({', '.join(numbers)})"]
    lines += [f"  {r}" for r in attrs["reasons"].splitlines()]
    lines += [f"  Remedy: {r}" for r in attrs["remedies"].splitlines()]
    lines.append(f"Adequacy: {attrs['adequacy'].upper()}")
    return lines + [f"  {r}" for r in attrs["adequacy_reasons"].splitlines()]


def _parameters(posterior: xr.Dataset) -> xr.DataArray:
    """Return every parameter that varies, (parameter, chain, draw), labelled as `name[label, ...]`."""
    values, labels = [], []
    for name, variable in posterior.data_vars.items():
        others = [d for d in variable.dims if d not in (s.CHAIN, s.DRAW)]
        stacked = variable.transpose(*others, s.CHAIN, s.DRAW)
        for index in np.ndindex(*(stacked.sizes[d] for d in others)):
            if name == s.FACTOR_CORRELATION and index[0] <= index[1]:
                continue
            one = stacked.values[index]
            if one.min() == one.max():
                continue
            where = ", ".join(str(stacked[d].values[i]) for d, i in zip(others, index, strict=True))
            labels.append(f"{name}[{where}]" if others else str(name))
            values.append(one)
    shape = (len(values), posterior.sizes[s.CHAIN], posterior.sizes[s.DRAW])
    table = np.array(values, dtype="float64").reshape(shape)
    return xr.DataArray(table, dims=("parameter", s.CHAIN, s.DRAW), coords={"parameter": labels})


def _convergence(parameters: xr.DataArray) -> xr.Dataset:
    from arviz_stats.base.array import array_stats

    values = parameters.values
    n, chains, draws = values.shape
    table = {m: np.full(n, np.nan) for m in _MEASURES}
    finite = np.isfinite(values).all(axis=(1, 2))
    if draws >= 4 and finite.any():
        x = values[finite]
        axes = {"chain_axis": 1, "draw_axis": 2}
        if chains > 1:
            # A chain that never moved has no variance within it: R-hat is then infinite, not a warning.
            with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
                warnings.simplefilter("ignore", RuntimeWarning)
                table["r_hat"][finite] = array_stats.rhat(x, method="rank", **axes)
        table["ess_bulk"][finite] = array_stats.ess(x, method="bulk", **axes)
        table["ess_tail"][finite] = array_stats.ess(x, method="tail", prob=(0.05, 0.95), **axes)
        table["mcse_mean"][finite] = array_stats.mcse(x, method="mean", **axes)
        table["mcse_sd"][finite] = array_stats.mcse(x, method="sd", **axes)
    coords = {"parameter": parameters["parameter"].values}
    return xr.Dataset({m: ("parameter", v) for m, v in table.items()}, coords=coords)


def _sampler(tree: xr.DataTree) -> xr.Dataset:
    stats = tree[s.SAMPLE_STATS].to_dataset()
    n_draws = stats.sizes[s.CHAIN] * stats.sizes[s.DRAW]

    def both(name: str) -> list[np.ndarray]:
        return [stats[p + name].values for p in ("", LAW) if p + name in stats]

    counts = [int(v.sum()) for v in both("diverging")]
    saturated = [float(v.mean()) for v in both("reached_max_treedepth")]
    depths = [int(v.max()) for v in both("tree_depth")]
    return xr.Dataset(
        {
            "divergences": sum(counts),
            "divergence_share": max(counts, default=0) / n_draws,
            "e_bfmi": (s.CHAIN, _bfmi(stats, "energy")),
            f"{LAW}e_bfmi": (s.CHAIN, _bfmi(stats, f"{LAW}energy")),
            "max_tree_depth": max(depths, default=0),
            "tree_depth_saturated": max(saturated, default=np.nan),
        },
        coords={s.CHAIN: stats[s.CHAIN].values},
    )


def _bfmi(stats: xr.Dataset, name: str) -> np.ndarray:
    """Return E-BFMI per chain, NaN where the sampler recorded no energy that moves."""
    if name not in stats or stats.sizes[s.DRAW] < 2:
        return np.full(stats.sizes[s.CHAIN], np.nan)
    energy = stats[name].transpose(s.CHAIN, s.DRAW).values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1, ddof=1)


def _pareto_k(tree: xr.DataTree) -> xr.Dataset:
    rows = tree[s.LOG_LIKELIHOOD][s.RETURNS].transpose(s.TIME, s.CHAIN, s.DRAW)
    seen = tree[s.OBSERVED_DATA][s.RETURNS].notnull().any(s.ASSET).values
    seen &= _finite_rows(rows)
    k = np.full(len(seen), np.nan)
    r_eff = relative_efficiency(tree[s.POSTERIOR].to_dataset())
    k[seen] = psis_loo(rows.values[seen].reshape(int(seen.sum()), -1), r_eff).pareto_k
    return xr.Dataset({"pareto_k": (s.TIME, k)}, coords={s.TIME: rows[s.TIME].values})


def _judge(data: xr.Dataset, tree: xr.DataTree, parameters: xr.DataArray) -> _Findings:
    found = _Findings()
    if int(tree.attrs.get("approximate", 0)):
        method = tree.attrs.get("method", "this method")
        found.add(
            "warn",
            f"{method} is an approximation for a first look, not draws from the posterior; R-hat and ESS "
            "say nothing about its error, and Pareto k is about leaving rows out.",
            "use method='nuts' for numbers to rely on.",
        )
    elif parameters.sizes[s.CHAIN] < 2:
        found.add("warn", "one chain only: R-hat across chains is not available.", "sample with chains=4.")
    _judge_parameters(found, data, parameters)
    _judge_sampler(found, data)
    _judge_densities(found, tree)
    pair = _collinear(tree) if found.remedies else None
    if pair:
        found.remedies.append(f"drop or merge the nearly collinear factors {pair}.")
    return found


def _judge_parameters(found: _Findings, data: xr.Dataset, parameters: xr.DataArray) -> None:
    labels = data["parameter"].values.astype(str)
    broken = ~np.isfinite(parameters.values).all(axis=(1, 2))
    if broken.any():
        names = ", ".join(labels[broken][:NAMED])
        found.add(
            "fail", f"draws that are not finite: {names}.", "fit again; check the panel and the priors."
        )
    more = "run longer: tune=2000, draws=2000."
    r_hat, ess = data["r_hat"].values, data["ess_bulk"].values
    if (bad := r_hat > R_HAT_WARN).any():
        verdict = "fail" if (r_hat > R_HAT_FAIL).any() else "warn"
        limit = R_HAT_FAIL if verdict == "fail" else R_HAT_WARN
        reason = (
            f"R-hat above {limit}, the chains disagree: {_worst(labels, r_hat, bad, '.3f', largest=True)}."
        )
        found.add(verdict, reason, more)
    if (bad := ess < ESS_WARN).any():
        verdict = "fail" if (ess < ESS_FAIL).any() else "warn"
        limit = ESS_FAIL if verdict == "fail" else ESS_WARN
        reason = f"bulk ESS below {limit}: {_worst(labels, ess, bad, '.0f', largest=False)}."
        found.add(verdict, reason, more)
    # What cannot be had was not passed; an infinite R-hat has failed already.
    several = parameters.sizes[s.CHAIN] > 1
    unknown = ~broken & (np.isnan(ess) | (np.isnan(r_hat) & several))
    if unknown.any() or not len(labels):
        what = "ESS" if not several else "R-hat and ESS"
        told = ", ".join(labels[unknown][:NAMED]) or "no parameter moves"
        draws = parameters.sizes[s.DRAW]
        found.add(
            "fail",
            f"{what} cannot be had, so convergence is not known ({draws} draws a chain): {told}.",
            "sample at least 4 draws a chain to be judged, and 1000 to be relied on.",
        )


def _judge_sampler(found: _Findings, data: xr.Dataset) -> None:
    count, share = int(data["divergences"]), float(data["divergence_share"])
    if count:
        found.add(
            "fail" if share > DIVERGENCES_FAIL else "warn",
            f"{count} divergence{'s' if count > 1 else ''} ({share:.1%} of the draws of the graph that "
            "has most): part of the posterior was not reached.",
            "raise target_accept to 0.99; if that does not help, tighten the scale priors in the card "
            "or reparametrise them (centered = false for levels with few members).",
        )
    energies = np.concatenate([data["e_bfmi"].values, data[f"{LAW}e_bfmi"].values])
    low = energies[energies < BFMI_WARN]
    if len(low):
        found.add(
            "warn",
            f"E-BFMI down to {low.min():.2f} (below {BFMI_WARN}): the chains explore the tails slowly.",
            "run longer (tune=2000), or tighten the scale priors in the card.",
        )
    saturated = float(data["tree_depth_saturated"])
    if saturated > TREE_DEPTH_WARN:
        found.add(
            "warn",
            f"{saturated:.1%} of draws reached the largest tree depth ({int(data['max_tree_depth'])}): "
            "steps are too short for the posterior's shape.",
            "use fewer or less collinear factors, or more tuning (tune=2000).",
        )


def _finite_rows(rows: xr.DataArray) -> np.ndarray:
    return np.isfinite(rows.transpose(s.TIME, ...).values).all(axis=(1, 2))


def _judge_densities(found: _Findings, tree: xr.DataTree) -> None:
    if s.LOG_LIKELIHOOD not in tree.children:
        return
    rows = tree[s.LOG_LIKELIHOOD].to_dataset()[s.RETURNS]
    days = rows[s.TIME].values[~_finite_rows(rows)]
    if len(days):
        found.add(
            "fail",
            f"the log-likelihood is NaN or infinite in {count_periods(len(days), year_in(tree))}, the first "
            f"{stamp_text(days[0])}.",
            "look at the returns and factors there; fit again.",
        )


def _worst(labels: np.ndarray, values: np.ndarray, bad: np.ndarray, form: str, *, largest: bool) -> str:
    """Return up to five names with their numbers, the worst first, and how many more there are."""
    order = np.argsort(-values if largest else values, kind="stable")
    order = order[bad[order]]
    named = ", ".join(f"{labels[i]} {values[i]:{form}}" for i in order[:NAMED])
    return named + (f" and {len(order) - NAMED} more" if len(order) > NAMED else "")


def _collinear(tree: xr.DataTree) -> str:
    """Return the pair of factors with the largest absolute correlation, if it is above 0.9."""
    factors = tree[s.CONSTANT_DATA][s.FACTOR_RETURNS].transpose(s.FACTOR, s.TIME)
    if factors.sizes[s.FACTOR] < 2:
        return ""
    correlation = np.abs(np.tril(np.corrcoef(factors.values), -1))
    i, j = np.unravel_index(int(correlation.argmax()), correlation.shape)
    names = factors[s.FACTOR].values
    return f"{names[j]} and {names[i]}" if correlation[i, j] > COLLINEAR else ""
