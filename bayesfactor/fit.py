"""`fit`: a model and a panel become one DataTree that every later verb reads.

Two graphs are sampled, returns given factors and the factors' own law, and merged: given the
factors the posterior factorises. What leaves this room is in original units.
"""

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.laws.alignment import SCALED, aligned, with_scores
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.laws.correlation import correlation
from bayesfactor.laws.rows import keep_state, own_rows
from bayesfactor.limits import check_count, check_memory
from bayesfactor.model import FactorModel
from bayesfactor.panel import check_panel, open_factors, panel_digests
from bayesfactor.registry import get_model
from bayesfactor.sampling import Geometry, SampleOptions, draw_prior, log_prior, sample
from bayesfactor.structures import Units, blocks_of, to_original, units_of

__all__ = ["fit", "refit", "sample_prior_predictive"]

_FREE_FORMS = ("_raw", "_partial", "_offset", "_scaled")


@verb
def fit(
    model: str | Path | FactorModel,
    panel: xr.Dataset,
    *,
    draws: int | None = None,
    tune: int | None = None,
    chains: int | None = None,
    cores: int | None = None,
    target_accept: float | None = None,
    random_seed: Seed = None,
    method: str = "nuts",
    progressbar: bool = True,
) -> xr.DataTree:
    """Draw from the posterior of a model given a panel.

    Parameters
    ----------
    model : str, Path or FactorModel
        A name of `bf.list_models()`, a path to a card, or a model.
    panel : Dataset
        `returns (time, asset)` and `factor_returns (time, factor)`.
    draws, tune, chains : int, optional
        Kept draws and warm-up draws per chain, and chains; the card's values (1000, 1000, 4)
        where not given.
    cores : int, optional
        Chains sampled at the same time; all cores where not given.
    target_accept : float, optional
        Target acceptance of NUTS; the card's value (0.95) where not given.
    random_seed : int, Generator or SeedSequence, optional
    method : {"nuts", "pathfinder", "numpyro"}
        "pathfinder" is a fast approximation for a first look (Zhang et al. 2022); the result is
        marked as approximate and `bf.diagnose` never calls it `ok`. "numpyro" is NUTS on JAX, for a
        GPU; it needs the extra `bayesfactor[jax]` and is slower on a CPU.
    progressbar : bool

    Returns
    -------
    DataTree
        Groups `posterior`, `sample_stats`, `log_likelihood`, `log_prior`, `observed_data` and
        `constant_data`; everything in original units. See docs/schema.md.

    Raises
    ------
    PanelError
        If the panel is not well formed, or an asset lies in the span of the factors.
    CardError, ModelError
        If the model is unknown or cannot use this panel, or an option is out of range.

    References
    ----------
    .. [1] Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn Sampler. JMLR 15.
    .. [2] Zhang, L. et al. (2022). Pathfinder. JMLR 23(306).
    """
    model = get_model(model)
    check_panel(panel)
    panel = model.sees(panel)
    card = {"draws": 1000, "tune": 1000, "chains": 4, "target_accept": 0.95} | dict(model.sample)
    given = {"draws": draws, "tune": tune, "chains": chains, "target_accept": target_accept}
    card |= {k: v for k, v in given.items() if v is not None}
    options = SampleOptions(**card, cores=cores, progressbar=progressbar, method=method)
    entropy = root_entropy(random_seed)
    started = time.perf_counter()

    graphs, drawn = _drawn(model, panel, options, entropy, None)
    tree = _tree(model, panel, options, entropy, drawn)
    prior = [log_prior(graph, part) for graph, part in zip(graphs, drawn, strict=True)]
    tree[s.LOG_PRIOR] = xr.DataTree(_plain_labels(_without_axes(_merged(prior))))
    tree[s.LOG_LIKELIHOOD] = xr.DataTree(_log_likelihood(tree))
    keep_state(tree)
    tree.attrs["sampling_seconds"] = round(time.perf_counter() - started, 3)
    return tree


def refit(
    model: FactorModel,
    panel: xr.Dataset,
    options: SampleOptions,
    entropy: int,
    geometry: dict[str, Geometry] | None = None,
) -> xr.DataTree:
    """Return a fit without its log densities: what a walk-forward needs, many times over.

    Parameters
    ----------
    model : FactorModel
    panel : Dataset
        A window of a panel, checked by the caller.
    options : SampleOptions
    entropy : int
    geometry : dict, optional
        What an earlier fit of the same assets found out about its sampling; filled in if empty.
    """
    panel = model.sees(panel)
    return _tree(model, panel, options, entropy, _drawn(model, panel, options, entropy, geometry)[1])


def _drawn(
    model: FactorModel,
    panel: xr.Dataset,
    options: SampleOptions,
    entropy: int,
    geometry: dict[str, Geometry] | None,
) -> tuple[list[Any], list[xr.DataTree]]:
    """Return the graphs of a model and what was drawn from each, in model units."""
    # Priors of means are constants of a graph, and those depend on the length of a period.
    periods = float(panel.attrs["periods_per_year"])
    shape = (model.digest, tuple(panel.sizes.items()), tuple(_group_index(panel)), periods)
    graphs = {"loadings": model.build(panel)}
    if model.observes_factors:
        graphs["factor law"] = model.build_factor_law(panel)
    drawn = [
        sample(graph, options, (entropy, i), label=label, same_graph=(label, *shape), geometry=geometry)
        for i, (label, graph) in enumerate(graphs.items())
    ]
    return list(graphs.values()), drawn


def _tree(
    model: FactorModel, panel: xr.Dataset, options: SampleOptions, entropy: int, drawn: list[xr.DataTree]
) -> xr.DataTree:
    units = units_of(panel)
    data = _data_groups(model, panel, units)
    groups = {
        s.POSTERIOR: aligned(_posterior(drawn, units, data[s.CONSTANT_DATA][s.FACTOR_BLOCK].values)),
        s.SAMPLE_STATS: _sample_stats(drawn),
        **data,
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attrs(model, panel, options, entropy)
    tree.attrs["posterior_variables"] = " ".join(map(str, groups[s.POSTERIOR].data_vars))
    return tree


@verb
def sample_prior_predictive(
    model: str | Path | FactorModel, panel: xr.Dataset, *, draws: int = 500, random_seed: Seed = None
) -> xr.DataTree:
    """Draw parameters and returns from the prior: what the card says before it sees a return.

    Parameters
    ----------
    model : str, Path or FactorModel
    panel : Dataset
        Gives shapes, labels, units and the factors' days; its returns are not looked at beyond
        their unit and where they are missing.
    draws : int
    random_seed : int, Generator or SeedSequence, optional

    Returns
    -------
    DataTree
        `prior` and `prior_predictive` (`returns (chain, draw, time, asset)`, NaN where the panel
        has none, and `factor_returns (chain, draw, time, factor)`), beside `observed_data` and
        `constant_data`; original units.

    Raises
    ------
    PanelError, CardError, ModelError
        As `bf.fit`.
    """
    model = get_model(model)
    check_panel(panel)
    check_count("draws", draws)
    panel = model.sees(panel)
    cells = panel.sizes[s.TIME] * (panel.sizes[s.ASSET] + panel.sizes[s.FACTOR])
    check_memory(f"{draws:,} draws of a panel of {cells:,} cells", 3 * draws * cells, "Ask for fewer draws.")
    units, entropy = units_of(panel), root_entropy(random_seed)
    drawn = [draw_prior(model.build(panel), draws, (entropy, 0))]
    returns = drawn[0]["prior_predictive"].to_dataset()[s.RETURNS] * units.returns
    returns = returns.transpose(s.CHAIN, s.DRAW, s.TIME, s.ASSET).where(panel[s.RETURNS].notnull())
    predictive = {s.RETURNS: returns}
    if model.observes_factors:
        drawn.append(draw_prior(model.build_factor_law(panel), draws, (entropy, 1)))
        factors = drawn[1]["prior_predictive"].to_dataset()[s.FACTOR_RETURNS]
        factors = factors * xr.DataArray(units.factors, dims=s.FACTOR)
        predictive[s.FACTOR_RETURNS] = factors.transpose(s.CHAIN, s.DRAW, s.TIME, s.FACTOR)
    data = _data_groups(model, panel, units)
    block = data[s.CONSTANT_DATA][s.FACTOR_BLOCK].values
    groups = {
        s.PRIOR: _posterior([d["prior"].to_dataset() for d in drawn], units, block),
        s.PRIOR_PREDICTIVE: xr.Dataset(predictive).drop_vars([s.GROUP, s.FAMILY], errors="ignore"),
        **data,
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attrs(model, panel, None, entropy)
    return tree


def _merged(parts: list[xr.Dataset]) -> xr.Dataset:
    return xr.merge(parts, join="exact", compat="no_conflicts")


def _without_axes(prior: xr.Dataset) -> xr.Dataset:
    """Sum log priors over latent factors: after alignment no axis is the one it was sampled as."""
    prior = prior.drop_vars(SCALED, errors="ignore")  # part of the data's law, not of what was believed
    return prior.map(lambda v: v.sum(s.LATENT) if s.LATENT in v.dims else v)


def _posterior(drawn: list[Any], units: Units, block: np.ndarray) -> xr.Dataset:
    """Merge the sets of draws, in original units, without the sampler's own forms."""
    merged = _merged([d[s.POSTERIOR].to_dataset() if isinstance(d, xr.DataTree) else d for d in drawn])
    if s.FACTOR_LOCATION in merged:
        with_matrix = _with_response if s.FACTOR_PERSISTENCE in merged else _with_correlation
        merged = with_matrix(merged, block)
    merged = with_scores(merged)
    merged = merged.drop_vars([v for v in merged.data_vars if str(v).endswith(_FREE_FORMS)])
    unused = [d for d in merged.dims if not any(d in v.dims for v in merged.data_vars.values())]
    return _plain_labels(to_original(merged.drop_dims(unused), units))


def _with_correlation(draws: xr.Dataset, block: np.ndarray) -> xr.Dataset:
    """Turn partial correlations, in which the sampler moves block by block, into the matrix people read."""
    names, name = draws[s.FACTOR].values, f"{s.FACTOR_CORRELATION}_partial"
    shape = (draws.sizes[s.CHAIN], draws.sizes[s.DRAW])
    partial = 2.0 * draws[name].values - 1.0 if name in draws else np.zeros((*shape, 0))
    dims = (s.CHAIN, s.DRAW, s.FACTOR, s.FACTOR_OTHER)
    back = np.argsort(np.argsort(block, kind="stable"))
    matrix = correlation(partial, len(names))[..., back[:, None], back]
    return draws.assign({s.FACTOR_CORRELATION: (dims, matrix)}).assign_coords({s.FACTOR_OTHER: names})


def _with_response(draws: xr.Dataset, block: np.ndarray) -> xr.Dataset:  # noqa: ARG001 - in the panel's order
    """Set the responses of factors to those before them, sampled as pairs, into a matrix."""
    names = draws[s.FACTOR].values
    row, column = np.tril_indices(len(names), -1)
    matrix = np.zeros((draws.sizes[s.CHAIN], draws.sizes[s.DRAW], len(names), len(names)))
    if len(row):
        matrix[..., row, column] = draws[s.FACTOR_RESPONSE].values
        draws = draws.drop_vars(s.FACTOR_RESPONSE).drop_vars("pair", errors="ignore")
    dims = (s.CHAIN, s.DRAW, s.FACTOR, s.FACTOR_OTHER)
    return draws.assign({s.FACTOR_RESPONSE: (dims, matrix)}).assign_coords({s.FACTOR_OTHER: names})


def _plain_labels(data: xr.Dataset) -> xr.Dataset:
    """Give label coords a string dtype (samplers return objects) and drop the sampler's attrs."""
    labels = {c: v.astype(str) for c, v in data.coords.items() if v.dtype == object}
    data = data.assign_coords(labels)
    data.attrs = {}
    return data


def _sample_stats(drawn: list[xr.DataTree]) -> xr.Dataset:
    """Merge the records; the factor law's columns carry a prefix."""
    main, *others = [d[s.SAMPLE_STATS].to_dataset() for d in drawn]
    law = [own.rename({v: f"factor_law_{v}" for v in own.data_vars}) for own in others]
    return _plain_labels(_merged([main, *law]))


def _group_index(panel: xr.Dataset) -> np.ndarray:
    return np.unique(panel[s.GROUP].values.astype(str), return_inverse=True)[1]


def _data_groups(model: FactorModel, panel: xr.Dataset, units: Units) -> dict[str, xr.Dataset]:
    attrs = _panel_attrs(panel)
    constant = xr.Dataset(
        {
            s.FACTOR_RETURNS: panel[s.FACTOR_RETURNS],
            s.FACTOR_OPEN: ((s.TIME, s.FACTOR), open_factors(panel).T),
            s.FACTOR_BLOCK: (s.FACTOR, blocks_of(panel)[0]),
            s.RETURNS_UNIT: ((), units.returns),
            s.FACTOR_UNIT: (s.FACTOR, units.factors),
            "group_index": (s.ASSET, _group_index(panel)),
            **model.constants(panel),
        },
        coords={c: panel[c] for c in (s.ASSET, s.GROUP)},
    )
    if s.FACTOR_WEIGHTS in panel:
        constant[s.FACTOR_WEIGHTS] = panel[s.FACTOR_WEIGHTS].isel({s.TIME: -1}, drop=True)
    return {
        s.OBSERVED_DATA: panel[[s.RETURNS]].assign_attrs(attrs),
        s.CONSTANT_DATA: constant.assign_attrs(attrs),
    }


def _panel_attrs(panel: xr.Dataset) -> dict[str, Any]:
    """Return what a reader needs to know of the panel; digests are those of this very window."""
    names = ("returns_kind", "periods_per_year", "trimmed", "dropped", "skipped")
    kept = {k: panel.attrs[k] for k in names if k in panel.attrs}
    return kept | panel_digests(panel)


def _log_likelihood(tree: xr.DataTree) -> xr.Dataset:
    rows = own_rows(tree)
    return xr.Dataset({s.RETURNS: rows.drop_attrs()}, attrs=rows.attrs)


def _attrs(
    model: FactorModel, panel: xr.Dataset, options: SampleOptions | None, entropy: int
) -> dict[str, Any]:
    packages = ("bayesfactor", "pymc", "pymc-extras", "nutpie", "arviz", "xarray", "numpy")
    attrs: dict[str, Any] = {
        "schema_version": s.SCHEMA_VERSION,
        "model": model.name,
        "title": model.title,
        "structure": model.structure,
        "card": model.to_toml(),
        "card_digest": model.digest,
        "overrides": ", ".join(model.overrides),
        "random_seed": str(entropy),
        "versions": json.dumps({p: version(p) for p in packages}),
    }
    attrs |= _panel_attrs(panel) | s.label_digests(panel)
    if options is not None:
        attrs |= {"method": options.method, "approximate": int(options.method == "pathfinder")}
        attrs |= {k: getattr(options, k) for k in ("draws", "tune", "chains", "target_accept")}
    return attrs
