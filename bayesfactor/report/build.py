"""`report`: refusals first, then the numbers, then one file written whole or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import SchemaError
from bayesfactor.forecast import Predictions, predict
from bayesfactor.keep import write_page
from bayesfactor.laws import checked_drift
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.report import inputs, render
from bayesfactor.report.content import Document
from bayesfactor.report.page import Subject, page
from bayesfactor.report.section_active import active_risk
from bayesfactor.report.section_stress import check_stress, sensitivity_section
from bayesfactor.report.side_by_side import side_by_side
from bayesfactor.risk import decompose_risk
from bayesfactor.risk.held import held_weights
from bayesfactor.risk.weights import weights_for

__all__ = ["report"]

_LEVELS: Final = (0.95, 0.99)


@dataclass(frozen=True)
class _Asked:
    """How risk is computed where it is not given."""

    weights: Any
    fill_zero: bool
    levels: Sequence[float] | None
    horizon: int | None
    drift: str | None
    entropy: int
    allow_unconverged: bool


@verb
def report(
    tree: xr.DataTree | Mapping[str, xr.DataTree],
    weights: Any,
    path: str | Path,
    *,
    fill_zero: bool = False,
    levels: Sequence[float] | None = None,
    horizon: int | None = None,
    drift: str | None = None,
    value: float | None = None,
    title: str | None = None,
    benchmark: Any = None,
    stress: xr.Dataset | None = None,
    backtest: xr.Dataset | None = None,
    sensitivity: Any = None,
    risk: xr.Dataset | Mapping[str, xr.Dataset] | None = None,
    diagnosis: xr.Dataset | Mapping[str, xr.Dataset] | None = None,
    format: str | None = None,  # noqa: A002 - the word that everybody looks for
    export: str | Path | None = None,
    allow_unconverged: bool = False,
    random_seed: Seed = None,
) -> Path:
    """Write one file about a fit and the risk of a portfolio, for a reader who was not there.

    The verdict on the fit comes first, then the model, the risk and where it comes from, exposures, what
    else is given, the loadings, checks, and what is needed to compute it all again. The file is
    self-contained: nothing is loaded from elsewhere when it is opened. Several fits by name give a page
    that holds them side by side.

    Parameters
    ----------
    tree : DataTree, or mapping of str to DataTree
        From `bf.fit`; two or more fits of the same assets are compared, the first is what the others are
        held against.
    weights : mapping, Series, DataArray (asset), table or path of one, or "equal"
        Fractions of the portfolio's value, as `bf.decompose_risk` takes them. None takes those of `risk`,
        where it is given.
    fill_zero : bool
        Assets that are not named have weight 0; without it they are refused.
    path : str or Path
        Ends in `.html` or `.htm`, or in `.md` for Markdown. What stood there before is replaced once the new
        file is whole.
    levels : sequence of float, optional
        Confidence levels of VaR and ES, those of `risk` or (0.95, 0.99); contributions are shown at the
        highest.
    horizon : int, optional
        Periods ahead, as in `risk` or 1.
    drift : {"zero", "posterior", "prior"}, optional
        Expected returns, as in `risk` or "zero"; see `bf.decompose_risk`.
    value : float, optional
        Portfolio value; where given, risk is shown in money as well.
    title : str, optional
        Heading of the page.
    benchmark : mapping, Series or DataArray (asset), optional
        Weights of a benchmark: adds tracking error and where active risk comes from.
    stress : Dataset, optional
        From `bf.stress` on this tree: adds the scenarios.
    backtest : Dataset, optional
        From `bf.backtest`: adds its result in short; `bf.report_backtest` shows all of it.
    sensitivity : DataFrame or Dataset, optional
        From `bf.prior_sensitivity`: adds how far the prior sets the risk numbers.
    risk : Dataset, or mapping of str to Dataset, optional
        From `bf.decompose_risk` on this tree; computed where not given. Its levels, horizon and
        value are then those of the report; others beside it are refused.
    diagnosis : Dataset, or mapping of str to Dataset, optional
        From `bf.diagnose` on this tree; computed where not given.
    format : {"html", "markdown"}, optional
        What the suffix of `path` says where not given. Markdown describes pictures in words.
    export : str or Path, optional
        A folder: every table is written there too, with numbers and not words, as CSV and, where pyarrow is
        installed, as Parquet; `index.csv` names them. Risk is in fractions of value.
    allow_unconverged : bool
        Write the report of a fit whose verdict is `fail`, under a red banner.
    random_seed : int, Generator or SeedSequence, optional
        Reproduces the simulated scenarios.

    Returns
    -------
    Path

    Raises
    ------
    ConvergenceError
        If the verdict is `fail` and `allow_unconverged` is not set.
    MissingFileError
        If the folder does not exist.
    SchemaError
        If the tree, the risk, the diagnosis, the format or the suffix is not what is needed.
    RiskError
        If `value` is not positive, `risk` or `stress` belongs to another fit, or `bf.decompose_risk` refuses.
    WeightsError
        If the weights, or the benchmark's, do not match the assets.

    Examples
    --------
    >>> bf.report(tree, {"BTC": 0.6, "ETH": 0.4}, "risk.html", value=1e6)  # doctest: +SKIP
    >>> bf.report({"static": tree, "garch": other}, weights, "both.html", export="tables")  # doctest: +SKIP
    """
    kind = inputs.format_of(path, format)
    path = inputs.checked_path(path, markdown=True)
    folder = None if export is None else inputs.checked_folder(export)
    inputs.check_value(value)
    drift = None if drift is None else checked_drift(drift)
    asked = _Asked(weights, fill_zero, levels, horizon, drift, root_entropy(random_seed), allow_unconverged)
    if isinstance(tree, Mapping) and not isinstance(tree, xr.DataTree):
        _refuse_for_many(benchmark=benchmark, stress=stress, sensitivity=sensitivity)
        subjects = _subjects(tree, risk, diagnosis, asked)
        document = side_by_side(subjects, value=value, title=title, entropy=asked.entropy, backtest=backtest)
    else:
        document = _single(
            tree, asked, risk, diagnosis, benchmark, stress, sensitivity,
            {"value": value, "title": title, "backtest": backtest},
        )  # fmt: skip
    text = render.markdown(document) if kind == "markdown" else render.html(document)
    write_page(text, path)
    if folder is not None:
        render.export_tables(document, folder)
    return path


def _single(
    tree: xr.DataTree, asked: _Asked, risk: Any, diagnosis: Any, benchmark: Any, stress: Any,
    sensitivity: Any, options: dict[str, Any],
) -> Document:  # fmt: skip
    """Return the report on one fit."""
    s.check_tree(tree, s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="report")
    if risk is not None:
        inputs.check_risk(risk, tree)
        inputs.check_weights(asked.weights, risk, fill_zero=asked.fill_zero)
        inputs.check_asked(risk, tree, asked.levels, asked.horizon, asked.drift)
    scenarios = None if stress is None else check_stress(stress, tree)
    if sensitivity is not None:
        sensitivity_section(sensitivity)
    if benchmark is not None:
        assets = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values
        weighed = weights_for(benchmark, assets, fill_zero=asked.fill_zero)
        benchmark = dict(zip(assets.tolist(), weighed, strict=True))
    worth = float(risk.attrs.get("value", 1.0)) if risk is not None else 1.0
    subject = _subject(tree, asked, risk, diagnosis)
    if scenarios is not None:
        inputs.check_same_weights(scenarios, subject.risk)
    active = None
    if benchmark is not None:
        held = held_weights(subject.risk)
        active = active_risk(subject.found, held, benchmark, subject.risk)
    if options["value"] is None and worth != 1.0:
        options["value"] = worth
    subject = Subject(tree, subject.found, subject.risk, subject.diagnosis, active, scenarios)
    return page(subject, entropy=asked.entropy, sensitivity=sensitivity, **options)


def _subject(tree: xr.DataTree, asked: _Asked, risk: Any, diagnosis: Any, name: str = "") -> Subject:
    """Compute what was not given, the verdict before the risk."""
    diagnosis = diagnose(tree) if diagnosis is None else diagnosis
    inputs.check_diagnosis(diagnosis, tree)
    inputs.check_verdict(diagnosis, allow_unconverged=asked.allow_unconverged, name=name)
    if risk is None:
        levels = _LEVELS if asked.levels is None else asked.levels
        horizon = 1 if asked.horizon is None else asked.horizon
        ahead: dict[str, Any] = {
            "fill_zero": asked.fill_zero,
            "horizon": horizon,
            "drift": asked.drift or "zero",
        }
        risk = decompose_risk(tree, asked.weights, levels=levels, random_seed=asked.entropy, **ahead)
    fractions = (risk / float(risk.attrs.get("value", 1.0))).assign_attrs(risk.attrs)
    return Subject(tree, _predictions(tree, risk), fractions, diagnosis)


def _predictions(tree: xr.DataTree, risk: xr.Dataset) -> Predictions:
    """Return the law whose scenarios are those of the risk."""
    seed = int(risk.attrs.get("random_seed", 0))
    horizon, drift = int(risk.attrs.get("horizon", 1)), str(risk.attrs[s.DRIFT])
    return predict(tree, horizon, drift=drift, random_seed=seed)


def _subjects(
    trees: Mapping[str, xr.DataTree], risk: Any, diagnosis: Any, asked: _Asked
) -> dict[str, Subject]:
    """Return every fit by name."""
    if len(trees) < 2:
        msg = f"a comparison holds at least two fits by name; got {len(trees)}. Give the tree itself for one."
        raise SchemaError(msg)
    risk, diagnosis = risk or {}, diagnosis or {}
    for name, given in (("risk", risk), ("diagnosis", diagnosis)):
        if not isinstance(given, Mapping) or isinstance(given, xr.Dataset) or not set(given) <= set(trees):
            msg = f"with several fits, {name} is a mapping of their names, {', '.join(map(str, trees))}."
            raise SchemaError(msg)
    for name, tree in trees.items():
        s.check_tree(tree, s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="report")
        if name in risk:
            inputs.check_risk(risk[name], tree)
            inputs.check_weights(asked.weights, risk[name], fill_zero=asked.fill_zero)
            inputs.check_asked(risk[name], tree, asked.levels, asked.horizon, asked.drift)
    return {
        str(name): _subject(tree, asked, risk.get(name), diagnosis.get(name), str(name))
        for name, tree in trees.items()
    }


def _refuse_for_many(**given: Any) -> None:
    names = [name for name, what in given.items() if what is not None]
    if names:
        msg = (
            f"{' and '.join(names)} belong to one fit; a comparison of several shows none. "
            "Write a report of each fit for it."
        )
        raise SchemaError(msg)
