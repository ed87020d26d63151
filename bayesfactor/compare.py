"""`compare`: rank fits of the same returns by what they say about a return they have not seen.

Only like is compared with like: the same returns, the same rows, the same thing given. What is
compared is PSIS-LOO, by day or by single return; the table and the weights are ArviZ's.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import CompareError, unknown_names, warn
from bayesfactor.laws import law_class, law_of
from bayesfactor.laws.blocks import run_blocks, slices, thinned
from bayesfactor.laws.whole import whole_fit
from bayesfactor.periods import stamp_text
from bayesfactor.psis import MIN_DRAWS, Loo, good_k, psis_loo, relative_efficiency

__all__ = ["compare"]

BY: Final = ("time", "observation")
GIVEN: Final = ("factors", "nothing")
MOST_DRAWS: Final = 1000
"""So many draws are enough for PSIS; integrals for more would take minutes."""
MANY: Final = 2_000_000
"""From so many cells times draws on, a progress bar is worth its line."""
METHODS: Final = ("stacking", "bb-pseudo-bma", "pseudo-bma")


@verb
def compare(
    trees: Mapping[str, xr.DataTree],
    *,
    by: str = "time",
    given: str | None = None,
    method: str = "stacking",
    progressbar: bool = True,
) -> pd.DataFrame:
    """Rank models by their leave-one-out predictive density, and weight them.

    Parameters
    ----------
    trees : dict of str to DataTree
        At least two fits, from `bf.fit` or `bf.load`, of the same returns. Their factors, chains
        and draws may differ.
    by : {"time", "observation"}
        What is left out: a day, or one return of one asset. "observation" evaluates the law for
        every cell and draw, an asset at a time.
    given : {"factors", "nothing"}, optional
        What each row is conditional on. "factors": the observed factors of the day, the default where all
        models have them; it asks who explains. "nothing": observed factors are integrated over their
        own law, which asks who foresees, and is the only footing on which models with observed
        factors and those with latent ones alone can be ranked; at most 1000 draws of each are used.
        The default where no model has observed factors.
    method : {"stacking", "BB-pseudo-BMA", "pseudo-BMA"}
        How the weights are formed [2]_.
    progressbar : bool

    Returns
    -------
    DataFrame
        The table of `arviz.compare`, unrounded, best model first, index = names: `rank`,
        `elpd_diff`, `dse`, `p_worse`, `diag_diff`, `diag_elpd`, `p`, `elpd`, `se`, `weight`, and
        `warning`, True where a Pareto k is above what the number of draws allows. attrs: `by`,
        `given`, `method`, `n_observations`, `unit` ("nats"), and `approximate`, the names of the
        fits that are approximations (their elpd is one too); `integration_error`, the standard error in
        nats of each elpd that was integrated by importance sampling, by name; `own_factors`, the
        factors that are averages of the very assets they explain, by name.

    Warns
    -----
    UserWarning
        If rows are given factors, the models' factors differ, and some are made of the panel's assets.

    Raises
    ------
    CompareError
        If there are fewer than two models, if returns, rows or what is given differ, if `by` or
        `method` is unknown, or a fit has fewer than 25 draws.
    SchemaError
        If something is not a tree from `bf.fit`.

    References
    ----------
    .. [1] Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
       leave-one-out cross-validation and WAIC. Statistics and Computing 27, eqs. 10 and 24.
    .. [2] Yao, Y. et al. (2018). Using stacking to average Bayesian predictive distributions.
       Bayesian Analysis 13(3), eq. 4.
    """
    _check_options(by, given, method)
    given = _check_alike(trees, given, by)
    trees = {name: whole_fit(tree) for name, tree in trees.items()}
    errors: dict[str, float] = {}
    draws = {n: _n_draws(t) for n, t in trees.items()}
    if by == "observation":
        found = {n: _by_cell(n, t, quiet=not progressbar) for n, t in trees.items()}
    else:
        found = {}
        for name, tree in trees.items():
            rows, errors[name] = _rows(tree, given)
            _check_finite(name, tree, rows)
            found[name], draws[name] = _by_row(tree, rows), rows.shape[1]
    table = _table(found, draws, method)
    table.attrs = {
        "by": by,
        "given": given,
        "method": method.lower(),
        "n_observations": len(next(iter(found.values())).elpd),
        "unit": "nats",
        "approximate": ", ".join(n for n, t in trees.items() if int(t.attrs.get("approximate", 0))),
        "integration_error": {n: e for n, e in errors.items() if e > 0.0},
        "own_factors": own_factors(trees),
    }
    if given == "factors":
        _warn_of_own_factors(trees, table.attrs["own_factors"])
    return table


def own_factors(trees: Mapping[str, xr.DataTree]) -> dict[str, str]:
    """Return, by name of the model, its factors that are averages of the panel's own assets."""
    found = {}
    for name, tree in trees.items():
        constant = tree[s.CONSTANT_DATA].to_dataset()
        if s.FACTOR_WEIGHTS in constant:
            own = (constant[s.FACTOR_WEIGHTS] != 0.0).any(s.ASSET)
            found[name] = ", ".join(constant[s.FACTOR].values[own.values].astype(str))
    return {n: f for n, f in found.items() if f}


def _warn_of_own_factors(trees: Mapping[str, xr.DataTree], own: Mapping[str, str]) -> None:
    if own and len({t.attrs.get("factors_digest") for t in trees.values()}) > 1:
        named = "; ".join(f"{factors} of {name!r}" for name, factors in own.items())
        msg = (
            f"factors averaged from the very assets they explain: {named}. Given such a factor, a row has "
            "been shown its own mean, and models without it have not. Rank them by given='nothing'."
        )
        warn(msg)


def _check_options(by: str, given: str | None, method: str) -> None:
    if given is not None and given not in GIVEN:
        msg = f"given is one of {', '.join(GIVEN)}; got {unknown_names([given], GIVEN)}."
        raise CompareError(msg)
    if given == "nothing" and by == "observation":
        msg = (
            "single returns given nothing would be rows without the rest of their period. "
            "Use by='time' with given='nothing'."
        )
        raise CompareError(msg)
    if by == "asset":
        msg = (
            "leaving out a whole asset cannot be had by reweighting: its loadings are pinned by its own "
            "returns alone, and in a trial 28 of 30 Pareto k were above 0.7. Refit without the asset "
            "instead, or use by='observation'."
        )
        raise CompareError(msg)
    if by not in BY:
        msg = f"by is one of {', '.join(BY)}; got {unknown_names([by], BY)}."
        raise CompareError(msg)
    if str(method).lower() not in METHODS:
        msg = f"method is one of {', '.join(METHODS)}; got {unknown_names([method], METHODS)}."
        raise CompareError(msg)


def _check_alike(trees: Mapping[str, xr.DataTree], given: str | None, by: str) -> str:
    """Return what rows are to be conditional on; raise unless all trees can be compared like that."""
    if not isinstance(trees, Mapping):
        msg = f"compare takes a dict of name to tree; got {type(trees).__name__}. Name the models."
        raise CompareError(msg)
    if len(trees) < 2:
        msg = f"a comparison needs at least two models; got {len(trees)}. Fit another one to the same panel."
        raise CompareError(msg)
    needed = (s.POSTERIOR, s.LOG_LIKELIHOOD, s.OBSERVED_DATA, s.CONSTANT_DATA)
    for name, tree in trees.items():
        s.check_tree(tree, *needed, verb=f"compare ({name!r})")
    (first, reference), *others = trees.items()
    for name, tree in others:
        _check_pair(first, reference, name, tree)
    for name, tree in trees.items():
        n_draws = _n_draws(tree)
        if n_draws < MIN_DRAWS:
            msg = f"PSIS-LOO needs at least {MIN_DRAWS} draws; {name!r} has {n_draws}. Fit with more draws."
            raise CompareError(msg)
    for name, tree in trees.items():
        if by == "observation" and law_class(tree).cells_are_dear:
            msg = (
                f"{name!r} has no closed form for one return given the rest of its period, and importance "
                "sampling for each would take hours. Use by='time'."
            )
            raise CompareError(msg)
    if (first_past := next((n for n, t in trees.items() if _given(t) == "past"), None)) is not None:
        msg = (
            f"{first_past!r} conditions each row on the past (given = 'past'): deleting a row leaves it in "
            "the filter, so leave-one-out is not out of sample, and no row is given nothing. Rank such "
            "models by the log scores of bf.backtest, or by az.lfo_cv through bf.FactorModelWrapper."
        )
        raise CompareError(msg)
    return _footing(trees, given)


def _footing(trees: Mapping[str, xr.DataTree], given: str | None) -> str:
    """Return the footing asked for, or the one all have; raise where a tree cannot stand on it."""
    own = {name: _given(tree) for name, tree in trees.items()}
    common = set(own.values())
    if given == "nothing" or (len(common) == 1 and given in (None, *common)):
        return given or common.pop()
    told = ", ".join(f"{name!r} has rows given {g!r}" for name, g in own.items())
    msg = (
        f"models are compared on the same footing: {told}. A density given the "
        "factors of the period explains, one without them forecasts. Pass given='nothing' to integrate "
        "observed factors over their own law."
    )
    raise CompareError(msg)


def _check_pair(first: str, reference: xr.DataTree, name: str, tree: xr.DataTree) -> None:
    def differ(what: str, got: object, want: object, remedy: str) -> None:
        msg = f"models are compared on the same {what}: {name!r} has {got}, {first!r} has {want}. {remedy}"
        raise CompareError(msg)

    times = [t[s.LOG_LIKELIHOOD].to_dataset()[s.TIME].values for t in (tree, reference)]
    if not np.array_equal(times[0], times[1]):
        spans = [f"{len(t)} rows, {t[0]} to {t[-1]}" if len(t) else "no rows" for t in times]
        differ("rows", spans[0], spans[1], "Fit both to the same window of the same panel.")
    digests = [t.attrs.get("returns_digest") for t in (tree, reference)]
    if digests[0] != digests[1]:
        remedy = "Fit both to the same panel; only the factors may differ."
        differ("returns", f"returns_digest {digests[0]}", digests[1], remedy)


def _given(tree: xr.DataTree) -> str:
    return str(tree[s.LOG_LIKELIHOOD].attrs.get("given", "unknown"))


def _n_draws(tree: xr.DataTree) -> int:
    sizes = tree[s.LOG_LIKELIHOOD].sizes
    return int(sizes[s.CHAIN] * sizes[s.DRAW])


def _rows(tree: xr.DataTree, given: str) -> tuple[np.ndarray, float]:
    """Return log densities of rows (time, draw) and the standard error of their sum from integration."""
    likelihood = tree[s.LOG_LIKELIHOOD]
    if _given(tree) == given:
        rows = likelihood[s.RETURNS].transpose(s.TIME, s.CHAIN, s.DRAW).values
        return rows.reshape(len(rows), -1), float(likelihood.attrs.get("integration_error", 0.0))
    some = thinned(_n_draws(tree), MOST_DRAWS)
    integral = law_of(tree, some).marginal_row_log_likelihood()
    return np.ascontiguousarray(integral.log_density.T), integral.total_error


def _by_row(tree: xr.DataTree, rows: np.ndarray) -> Loo:
    """Return PSIS-LOO of the days on which anything was observed."""
    rows = rows[tree[s.OBSERVED_DATA][s.RETURNS].notnull().any(s.ASSET).values]
    r_eff = relative_efficiency(tree[s.POSTERIOR].to_dataset())
    return _joined([psis_loo(rows[b], r_eff) for b in slices(len(rows), 256)])


def _check_finite(name: str, tree: xr.DataTree, density: np.ndarray, asset: str = "") -> None:
    """Raise unless log densities (day or cell of an asset, draw) are finite where anything was observed."""
    returns = tree[s.OBSERVED_DATA][s.RETURNS].notnull()
    there = returns.sel({s.ASSET: asset}) if asset else returns.any(s.ASSET)
    days = there[s.TIME].values[there.values]
    density = density if asset else density[there.values]
    bad = np.flatnonzero(~np.isfinite(density).all(axis=1))
    if len(bad):
        first = density[bad[0]]
        got = first[~np.isfinite(first)][0]
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        msg = (
            f"models are compared by finite log densities; {name!r} has {'NaN' if np.isnan(got) else got} "
            f"for {asset or 'the returns'} of {stamp_text(days[bad[0]])}{more}. Look there, or fit "
            f"{name!r} again."
        )
        raise CompareError(msg)


def _by_cell(name: str, tree: xr.DataTree, *, quiet: bool) -> Loo:
    """Return PSIS-LOO of every observed cell: assets in canonical order, days in order."""
    from rich.progress import track

    law = law_of(tree)
    r_eff = relative_efficiency(tree[s.POSTERIOR].to_dataset())

    returns = tree[s.OBSERVED_DATA].to_dataset()[s.RETURNS]
    names = returns[s.ASSET].values[s.canonical_order(returns[s.ASSET])]

    def work(block: slice) -> Loo:
        density = law.cell_log_likelihood(block)
        _check_finite(name, tree, density, str(names[block][0]))
        return psis_loo(density, r_eff)

    blocks = slices(returns.sizes[s.ASSET], 1)
    quiet = quiet or int(returns.notnull().sum()) * law.n_draws < MANY
    parts = run_blocks(work, blocks)
    return _joined(list(track(parts, name, len(blocks), disable=quiet, transient=True)))


def _joined(parts: list[Loo]) -> Loo:
    return Loo(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("elpd", "p", "pareto_k")))


def _table(found: dict[str, Loo], n_draws: dict[str, int], method: str) -> pd.DataFrame:
    import arviz_stats

    pointwise = np.stack([loo.elpd for loo in found.values()])
    # Stacking exponentiates densities; a day of 300 assets overflows. What all models share of an
    # observation changes neither the weights nor the differences, so it is taken out there.
    common = pointwise.max(axis=0) if method.lower() == "stacking" else 0.0
    data = {
        name: arviz_stats.ELPDData(
            elpd=float(loo.elpd.sum()),
            se=float(np.sqrt(len(loo.elpd) * loo.elpd.var(ddof=1))),
            p=float(loo.p.sum()),
            n_samples=n_draws[name],
            n_data_points=len(loo.elpd),
            scale="log",
            warning=bool((loo.pareto_k > good_k(n_draws[name])).any()),
            good_k=good_k(n_draws[name]),
            elpd_i=xr.DataArray(loo.elpd - common, dims="observation"),
            pareto_k=xr.DataArray(loo.pareto_k, dims="observation"),
        )
        for name, loo in found.items()
    }
    table: pd.DataFrame = arviz_stats.compare(  # type: ignore[attr-defined]
        data, method=method, round_to="none"
    )
    table["warning"] = [data[name].warning for name in table.index]
    return table
