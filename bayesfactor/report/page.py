"""The report on one fit and one portfolio: which sections it has, in which order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.forecast import Predictions
from bayesfactor.report.content import INTERVAL, Document, Drawing, Section, Words
from bayesfactor.report.figures import MOST_ASSETS, loadings_picture, tails_picture
from bayesfactor.report.section_active import Active, active_section
from bayesfactor.report.section_backtest import backtest_section
from bayesfactor.report.section_diagnostics import diagnostics_section
from bayesfactor.report.section_model import (
    banners,
    cadence_of,
    model_section,
    stamps,
    versions_section,
    years_of,
)
from bayesfactor.report.section_risk import contributions_section, exposures_section, risk_section
from bayesfactor.report.section_stress import sensitivity_section, stress_section
from bayesfactor.report.section_systematic import systematic_section
from bayesfactor.risk.held import held_of, held_weights, is_held, only_held

__all__ = ["Subject", "loadings_section", "page", "script", "written"]

_MOST_LISTED: Final = 200
"""Weights that the script of a report spells out."""


@dataclass(frozen=True)
class Subject:
    """A fit, the risk of a portfolio in fractions of its value, and what else is known about it."""

    tree: xr.DataTree
    found: Predictions
    risk: xr.Dataset
    diagnosis: xr.Dataset
    active: Active | None = None
    stress: xr.Dataset | None = None


def page(
    subject: Subject,
    *,
    value: float | None,
    title: str | None,
    entropy: int,
    backtest: xr.Dataset | None = None,
    sensitivity: Any = None,
) -> Document:
    """Return the report, section by section."""
    tree, risk, found = subject.tree, subject.risk, subject.found
    over = w.per_horizon(int(risk.attrs.get("horizon", 1)), years_of(tree))
    weights, level, shown = held_weights(risk), float(risk[s.LEVEL].max()), only_held(risk)
    itself = subject.active is not None and subject.active.risk is None
    none = ("Benchmark", "the portfolio itself: there is no active position, and no active risk")
    aside = (none,) if itself else ()
    with np.errstate(invalid="ignore"):  # shares of what is infinite: n/a
        risks = [
            risk_section(risk, found, weights, over, value, aside),
            contributions_section(shown, value),
            exposures_section(shown, found, weights),
        ]
    besides = {
        "benchmark": subject.active,
        "stress": subject.stress,
        "sensitivity": sensitivity,
        "backtest": backtest,
    }
    given = tuple(name for name, what in besides.items() if what is not None)
    sections = [
        model_section(tree),
        *risks,
        active_section(subject.active, level, value) if subject.active is not None else None,
        stress_section(subject.stress, value) if subject.stress is not None else None,
        sensitivity_section(sensitivity) if sensitivity is not None else None,
        loadings_section(tree, shown),
        systematic_section(tree, weights, cadence_of(tree), is_held(risk)),
        backtest_section(backtest) if backtest is not None else None,
        _tails(tree, entropy),
        diagnostics_section(tree, subject.diagnosis),
        versions_section({"": tree}, entropy, script("tree", risk, value, entropy, given)),
    ]
    held = held_of(risk).count
    name = str(tree.attrs.get("title") or tree.attrs.get("model", ""))
    return Document(
        title or "Portfolio risk report",
        f"{w.count(held, 'position')} · {name} · data to {stamps(tree)[-1]}",
        tuple(banners(subject.diagnosis)),
        tuple(section for section in sections if section is not None),
        written(),
    )


def written() -> str:
    """Return the last line of a page."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Written by bayesfactor on {now}. Estimates of a statistical model, not a promise and not advice."


def script(
    trees: str, risk: xr.Dataset, value: float | None, entropy: int, besides: tuple[str, ...] = ()
) -> str:
    """Return Python that writes the same numbers, given the fits; `besides` are further inputs, by name."""
    weight = {str(a): float(v) for a, v in zip(risk[s.ASSET].values, risk["weight"].values, strict=True)}
    listed: Mapping[str, float] = {k: v for k, v in weight.items() if v != 0.0}
    assets = "".join(f"    {k!r}: {v!r},\n" for k, v in list(listed.items())[:_MOST_LISTED])
    if len(listed) > _MOST_LISTED:
        assets += f"    # and {len(listed) - _MOST_LISTED} more: see the exported table\n"
    levels = ", ".join(f"{float(v):g}" for v in risk[s.LEVEL].values)
    money = f", value={value!r}" if value is not None else ""
    horizon = int(risk.attrs.get("horizon", 1))
    drift = str(risk.attrs[s.DRIFT])
    asked = f"levels=({levels},), horizon={horizon}, drift={drift!r}{money}, random_seed={entropy}"
    if "positions" in risk.attrs:
        worth = float(risk.attrs.get("value", 1.0))
        asked = (
            f"random_seed={entropy}, risk=bf.decompose_risk(\n    tree, weights, positions=positions, "
            f"levels=({levels},), horizon={horizon}, drift={drift!r}, value={worth!r}, "
            f"repricing={risk.attrs.get('repricing', 'taylor')!r}, "
            f"random_seed={risk.attrs.get('random_seed', entropy)}\n)"
        )
    names = ", ".join(f"{b}=..." for b in besides)
    more = f"# with what this page was given besides: {names}\n" if besides else ""
    load = 'tree = bf.load("fit.nc")' if trees == "tree" else f"trees = {trees}"
    return (
        f"import bayesfactor as bf\n\n{load}\n"
        f"weights = {{\n{assets}}}  # 0 for all other assets\n"
        'weights = {str(a): weights.get(str(a), 0.0) for a in tree["observed_data"]["asset"].values}\n'
        f'{more}bf.report({"tree" if trees == "tree" else "trees"}, weights, "report.html", {asked})\n'
    )


def loadings_section(tree: xr.DataTree, risk: xr.Dataset, name: str = "loadings") -> Section | None:
    """Return the forest of loadings; None for a model without factors. `name` is that of no other picture."""
    picture = loadings_picture(tree, risk["weight"].copy(data=held_weights(risk)), name)
    if picture is None:
        return None
    some = f" The {MOST_ASSETS} largest positions are drawn." if risk.sizes[s.ASSET] > MOST_ASSETS else ""
    words = (
        "A loading of 1.2 on a factor that is a portfolio means that the asset moves 1.2 % when the factor "
        "moves 1 %; for other drivers it is the move per standard deviation of surprise. Dots are medians, "
        f"thick lines hold half of the posterior, thin lines {w.plain_percent(INTERVAL)}, dashed lines are "
        "the mean of the group."
        f"{some}"
    )
    title = "Loadings: how strongly each asset follows each factor"
    return Section("loadings", title, (Words(words), Drawing("Loadings", picture)), "Loadings")


def _tails(tree: xr.DataTree, entropy: int) -> Section | None:
    """Return the tail check; None where there are too few returns to tell."""
    picture = tails_picture(tree, entropy)
    if picture is None:
        return None
    words = (
        "Marks are observed; the shaded band is where the model expects them. Marks to the right of the "
        "band mean more extreme returns than the model allows, so its tail risk is too small; marks to "
        f"the left mean that it is too cautious. The band holds {w.plain_percent(INTERVAL)}."
    )
    title = "Tail check: are extreme returns as frequent as the model says?"
    return Section("tails", title, (Words(words), Drawing("Tail check", picture)), "Tail check")
