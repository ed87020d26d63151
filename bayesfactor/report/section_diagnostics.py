"""The appendix on computation: what converged worst, and the pictures that show it."""

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import words as w
from bayesfactor.periods import step_in
from bayesfactor.report.content import Block, Drawing, Facts, Row, Section, Table, Words, cells
from bayesfactor.report.figures_diagnostics import pareto_picture, pit_picture, rank_picture

__all__ = ["diagnostics_section", "worst_numbers"]

_WORST: Final = 12
_DRAWN: Final = 4
_GOOD_K: Final = 0.7
_COLUMNS: Final = {
    "r_hat": "R-hat",
    "ess_bulk": "Bulk ESS",
    "ess_tail": "Tail ESS",
    "mcse_mean": "MCSE of mean",
    "mcse_sd": "MCSE of sd",
}


def worst_numbers(diagnosis: xr.Dataset) -> list[tuple[str, str]]:
    """Return the summary of convergence as names and texts, as far as the diagnosis has it."""

    def last(name: str, *, largest: bool) -> float:
        values = diagnosis[name].values if name in diagnosis else np.array([])
        values = values[np.isfinite(values)]
        return float(values.max() if largest else values.min()) if values.size else np.nan

    energies = [last(name, largest=False) for name in ("e_bfmi", "factor_law_e_bfmi")]
    k = diagnosis["pareto_k"].values if "pareto_k" in diagnosis else np.array([])
    k = k[np.isfinite(k)]
    share = float(diagnosis["divergence_share"]) if "divergence_share" in diagnosis else np.nan
    divergences = int(diagnosis["divergences"]) if "divergences" in diagnosis else 0
    facts = [
        ("Parameters judged", str(diagnosis.sizes.get("parameter", 0))),
        ("Largest R-hat", w.number(last("r_hat", largest=True))),
        ("Smallest bulk ESS", w.number(last("ess_bulk", largest=False), 0)),
        ("Smallest tail ESS", w.number(last("ess_tail", largest=False), 0)),
        ("Divergences", f"{divergences} ({w.percent(share)} of draws)"),
        ("Smallest E-BFMI", w.number(float(np.nanmin([*energies, np.inf])), 2)),
        ("Draws at the largest tree depth", w.percent(last("tree_depth_saturated", largest=True))),
        (
            f"{step_in(diagnosis).capitalize()}s with Pareto k above 0.7",
            f"{int((k > _GOOD_K).sum())} of {k.size}" if k.size else "",
        ),
    ]
    return [(name, text) for name, text in facts if text and text != w.NONE]


def diagnostics_section(tree: xr.DataTree, diagnosis: xr.Dataset) -> Section | None:
    """Return the appendix; None where the diagnosis holds no numbers."""
    if "r_hat" not in diagnosis:
        return None
    order = _worst(diagnosis)
    labels = diagnosis["parameter"].values.astype(str)
    blocks: list[Block] = [
        Words(
            "R-hat compares chains with each other and is 1 where they agree; an effective sample size (ESS) "
            "says how many independent draws the draws are worth, MCSE how far simulation may have moved an "
            "estimate, in the unit of the parameter."
        ),
        Facts("convergence", tuple(worst_numbers(diagnosis))),
        _table(diagnosis, order[:_WORST]),
    ]
    ranks = rank_picture(tree, [labels[i] for i in order[:_DRAWN]])
    if ranks is not None:
        note = "Do chains agree? A line a chain; those of a sound fit wander inside the band."
        blocks.append(Drawing("Ranks", ranks, "The parameters that mixed worst", note))
    pit = pit_picture(diagnosis)
    if pit is not None:
        note = (
            "Is each return as probable as the model thinks, when it has not seen it? A line inside the band "
            f"is calibrated; a rise at the left means more bad {step_in(diagnosis)}s than foreseen."
        )
        blocks.append(Drawing("Leave-one-out probabilities", pit, "Calibration", note))
    pareto = pareto_picture(diagnosis)
    if pareto is not None:
        step = step_in(diagnosis)
        note = f"{step.capitalize()}s above the line sway it more than leave-one-out weights can undo."
        blocks.append(Drawing("Pareto k", pareto, f"Influence of single {step}s", note))
    return Section("diagnostics", "Appendix: diagnostics", tuple(blocks), "Diagnostics")


def _worst(diagnosis: xr.Dataset) -> np.ndarray:
    """Return positions of parameters, the worst R-hat first, of equal ones the smaller sample."""
    r_hat, ess = (np.nan_to_num(diagnosis[v].values, nan=-np.inf) for v in ("r_hat", "ess_bulk"))
    return np.lexsort((ess, -np.round(r_hat, 3)))


def _table(diagnosis: xr.Dataset, order: np.ndarray) -> Table:
    names = [n for n in _COLUMNS if n in diagnosis]
    labels = diagnosis["parameter"].values.astype(str)
    rows = tuple(
        Row(labels[i], cells(*(_number(n, float(diagnosis[n].values[i])) for n in names))) for i in order
    )
    frame = pd.DataFrame({"parameter": labels} | {n: diagnosis[n].values for n in names})
    heads = ("Parameter", *(_COLUMNS[n] for n in names))
    note = f"The {len(order)} of {len(labels)} that mixed worst."
    return Table("parameters", "Convergence by parameter", heads, rows, frame, note)


def _number(name: str, x: float) -> str:
    if name.startswith("ess"):
        return w.number(x, 0)
    return w.number(x, 4) if name == "r_hat" else f"{x:.2g}" if np.isfinite(x) else w.NONE
