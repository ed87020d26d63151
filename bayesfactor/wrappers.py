"""Refits for ArviZ: what PSIS cannot reach by reweighting is had by fitting again without those days.

A refit differs from the fit in the days it saw and in nothing else: the units, and with them the
priors, stay those of the fit, and its seed follows from the data it is given.
"""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats import SamplingWrapper  # type: ignore[attr-defined]

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import ModelError, PanelError
from bayesfactor.fit import fit
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.laws.rows import row_log_likelihood
from bayesfactor.laws.whole import whole_fit
from bayesfactor.model import FactorModel
from bayesfactor.panel import check_panel, panel_digests
from bayesfactor.panel.words import few
from bayesfactor.registry import get_model

__all__ = ["FactorModelWrapper"]

_OPTIONS = ("draws", "tune", "chains", "target_accept", "method")


@verb
class FactorModelWrapper(SamplingWrapper):
    """A fit that ArviZ can repeat without some days: for `az.reloo`, `az.loo_kfold` and `az.lfo_cv`.

    Days in the middle are left out by emptying their returns; the calendar, and what is known of the
    factors' own law, stays. A run of days up to the last is cut off, factors and all, so that a
    refit of `az.lfo_cv` knows nothing of the future but the units, which are those of all days.
    Left-out days are scored as in `log_likelihood` of the tree, by their density given the factors of
    the day or given nothing (see its attribute `given`), or as the argument `given` asks. Where rows
    are given the past, only a run of days up to the last can be left out: `az.lfo_cv`.

    Parameters
    ----------
    model : str, Path or FactorModel
        The model of the fit.
    panel : Dataset
        The panel of the fit.
    tree : DataTree
        The fit, from `bf.fit` or `bf.load`.
    draws, tune, chains : int, optional
        Of each refit; those of the fit where not given.
    target_accept : float, optional
        That of the fit where not given.
    method : {"nuts", "pathfinder", "numpyro"}, optional
        That of the fit where not given.
    given : {"nothing"}, optional
        "nothing" scores left-out days with observed factors integrated over their own law, so that
        models with and without observed factors can be compared by what they foresee. For
        `az.lfo_cv` and `az.loo_kfold`; `az.reloo` mixes refits with the tree's own rows.
    cores : int, optional
        Chains sampled at the same time; all cores where not given.
    random_seed : int, Generator or SeedSequence, optional
        Every refit has a seed of its own, made of this one and the data it is fitted to: the same
        days left out give the same draws, whatever was refitted before.
    progressbar : bool

    Attributes
    ----------
    model : FactorModel
    panel : Dataset
        What the model reads of the panel, with the units of the fit (`returns_unit`, `factor_unit`).
    idata_orig : DataTree
        The fit.

    Raises
    ------
    CardError
        If the model is unknown.
    ModelError
        If the tree was fitted with another model, or, its rows being conditional on the past, `given` is
        not left out or days in the middle are.
    PanelError
        If the panel is not the one that was fitted: other assets, factors, groups, days or values.
    SchemaError
        If `tree` did not come from `bf.fit`.

    References
    ----------
    .. [1] Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
       leave-one-out cross-validation and WAIC. Statistics and Computing 27.
    .. [2] Bürkner, P.-C., Gabry, J. and Vehtari, A. (2020). Approximate leave-future-out
       cross-validation for Bayesian time series models. J. Statistical Computation and Simulation 90(14).

    Examples
    --------
    >>> import arviz as az
    >>> wrapper = bf.FactorModelWrapper("hierarchical-t", panel, tree)  # doctest: +SKIP
    >>> az.reloo(wrapper, az.loo(tree, pointwise=True))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | FactorModel,
        panel: xr.Dataset,
        tree: xr.DataTree,
        *,
        draws: int | None = None,
        tune: int | None = None,
        chains: int | None = None,
        target_accept: float | None = None,
        method: str | None = None,
        given: str | None = None,
        cores: int | None = None,
        random_seed: Seed = None,
        progressbar: bool = False,
    ) -> None:
        model = get_model(model)
        needed = (s.POSTERIOR, s.LOG_LIKELIHOOD, s.OBSERVED_DATA, s.CONSTANT_DATA)
        s.check_tree(tree, *needed, verb="FactorModelWrapper")
        tree = whole_fit(tree)
        _check_model(model, tree)
        check_panel(panel)
        panel = model.sees(panel)
        _check_same_panel(panel, tree)
        asked = dict(zip(_OPTIONS, (draws, tune, chains, target_accept, method), strict=True))
        options = {k: tree.attrs[k] if v is None else v for k, v in asked.items()}
        options |= {"cores": cores, "progressbar": progressbar}
        if given not in (None, "nothing"):
            msg = f"given is 'nothing' or left out for the tree's own footing; got {given!r}."
            raise ModelError(msg)
        self.given = given
        self.past = tree[s.LOG_LIKELIHOOD].attrs.get("given") == "past"
        if self.past and given is not None:
            msg = "rows of this model are conditional on the past, never given nothing. Leave given= out."
            raise ModelError(msg)
        super().__init__(model, idata_orig=tree, sample_kwargs=options)
        const = tree[s.CONSTANT_DATA]
        units = const[s.FACTOR_UNIT].sel({s.FACTOR: panel[s.FACTOR].values}).values
        self.panel = panel.assign(
            {s.RETURNS_UNIT: ((), float(const[s.RETURNS_UNIT])), s.FACTOR_UNIT: (s.FACTOR, units)}
        )
        self.entropy = root_entropy(random_seed)

    def sel_observations(self, idx: Any) -> tuple[xr.Dataset, xr.Dataset]:
        """Return the panel without some days, and those days.

        Parameters
        ----------
        idx : int or array of int
            Positions of the days to leave out.

        Returns
        -------
        kept : Dataset
            A panel: the left-out days empty, or cut off where they run up to the last.
        excluded : Dataset
            The rows left out, in the order of `idx`; no panel, for its days need not be regular.

        Raises
        ------
        PanelError
            If a position is no day of the panel, or no day is left.
        """
        left_out, n_times = np.atleast_1d(np.asarray(idx)), self.panel.sizes[s.TIME]
        whole = left_out.ndim == 1 and left_out.dtype.kind in "iu" and left_out.size > 0
        if not whole or left_out.min() < 0 or left_out.max() >= n_times:
            msg = f"rows are left out by position, 0 to {n_times - 1}; got {idx!r}. Give whole numbers."
            raise PanelError(msg)
        kept = np.ones(n_times, dtype=bool)
        kept[left_out] = False
        if not kept.any():
            msg = f"a refit needs rows to see; all {n_times} are left out. Leave out fewer at a time."
            raise PanelError(msg)
        n_kept = int(kept.sum())
        if kept[:n_kept].all():
            remaining = self.panel.isel({s.TIME: slice(0, n_kept)})
        elif self.past:
            msg = (
                "rows are conditional on the past, so what is left out runs up to the last; got some in "
                "the middle, which would stay in the filter. Use az.lfo_cv, or bf.backtest."
            )
            raise ModelError(msg)
        else:
            returns = self.panel[s.RETURNS]
            remaining = self.panel.assign({s.RETURNS: returns.where(xr.DataArray(kept, dims=s.TIME))})
        return remaining, self.panel.isel({s.TIME: left_out})

    def sample(self, modified_observed_data: xr.Dataset) -> xr.DataTree:
        """Return the fit of the model to what `sel_observations` kept."""
        # Draws that follow from the data alone: errors of refits are independent, and none depends
        # on the order in which ArviZ asks for them.
        own = int(panel_digests(modified_observed_data)["returns_digest"], 16)
        seed = np.random.SeedSequence(self.entropy, spawn_key=(own,))
        return fit(self.model, modified_observed_data, random_seed=seed, **self.sample_kwargs)

    def get_inference_data(self, fitted_model: xr.DataTree) -> xr.DataTree:
        """Return the refit as it is: ArviZ reads the tree."""
        return fitted_model

    def log_likelihood__i(self, excluded_obs: xr.Dataset, idata__i: xr.DataTree) -> xr.DataArray:
        """Return the log density of the left-out days under a refit, (chain, draw, time), nats."""
        if not self.past:
            return row_log_likelihood(idata__i, excluded_obs, given=self.given)
        # The filter runs through the days of the refit and on.
        days = excluded_obs[s.TIME].values
        through = self.panel.sel({s.TIME: slice(None, days.max())})
        return row_log_likelihood(idata__i, through, given=self.given).sel({s.TIME: days})


def _check_model(model: FactorModel, tree: xr.DataTree) -> None:
    fitted, digest = tree.attrs.get("model"), tree.attrs.get("card_digest")
    if digest != model.digest:
        msg = (
            f"a refit is of the model that made the fit, {fitted!r} with card_digest {digest}; "
            f"got {model.name!r} with {model.digest}. Pass the model given to bf.fit, overrides included."
        )
        raise ModelError(msg)


def _check_same_panel(panel: xr.Dataset, tree: xr.DataTree) -> None:
    """Raise unless the panel is what the tree was fitted to, the order of its labels apart."""
    observed, const = tree[s.OBSERVED_DATA].to_dataset(), tree[s.CONSTANT_DATA].to_dataset()
    digests = panel_digests(panel)
    checks = {
        "assets": [set(d[s.ASSET].values.tolist()) for d in (panel, observed)],
        "factors": [set(d[s.FACTOR].values.tolist()) for d in (panel, const)],
        "groups": [_groups(d) for d in (panel, observed)],
        "stamps": [_span(d) for d in (panel, observed)],
        "returns": [{f"returns_digest {d.get('returns_digest')}"} for d in (digests, tree.attrs)],
        "factor returns": [{f"factors_digest {d.get('factors_digest')}"} for d in (digests, tree.attrs)],
    }
    for what, (got, want) in checks.items():
        if got != want:
            ours, theirs = (few(sorted(x)) or "none" for x in (got - want, want - got))
            msg = (
                f"a refit sees the panel of the fit less some rows; the {what} differ: "
                f"in the panel alone {ours}, in the fit alone {theirs}. Pass the panel given to bf.fit."
            )
            raise PanelError(msg)


def _groups(data: xr.Dataset) -> set[str]:
    return {f"{a} in {g}" for a, g in zip(data[s.ASSET].values, data[s.GROUP].values, strict=True)}


def _span(data: xr.Dataset) -> set[str]:
    stamps = data.indexes[s.TIME]
    return {f"{len(stamps)} rows from {stamps[0]} to {stamps[-1]}"}
