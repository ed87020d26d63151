"""Stress scenarios, priors' influence and a backtest: what others computed, as sections of the page."""

from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.errors import RiskError, SchemaError
from bayesfactor.report.content import (
    INTERVAL_HEAD,
    Block,
    Cell,
    Column,
    Drawing,
    Facts,
    Row,
    Section,
    Table,
    Words,
    bars,
    cells,
    lines,
    quantiles,
)
from bayesfactor.report.figures_risk import stress_picture
from bayesfactor.report.tables_contributions import fewer
from bayesfactor.risk.held import moving

__all__ = ["DIGESTS", "check_stress", "sensitivity_section", "stress_section"]

SCENARIO: Final = "scenario"
DIGESTS: Final = ("card_digest", "returns_digest", "factors_digest")
_NEEDED: Final = ("loss", "loss_posterior", "loss_contribution", "var", "es")
_KINDS: Final = {
    "episode": "replay",
    "shock": "factor shock",
    "regime": "regime shift",
    "reverse": "reverse stress",
    "liquidation": "liquidation",
}


def check_stress(stress: Any, tree: xr.DataTree) -> xr.Dataset:
    """Return the Dataset in fractions of value, or refuse what `bf.stress` did not make of this fit.

    Raises
    ------
    SchemaError
        If it is no such Dataset.
    RiskError
        If it belongs to another fit.
    """
    if not isinstance(stress, xr.Dataset) or not set(_NEEDED) <= set(stress.data_vars):
        msg = f"stress is the Dataset that bf.stress returns; got {type(stress).__name__}."
        raise SchemaError(msg)
    other = [d for d in DIGESTS if d in stress.attrs and stress.attrs[d] != tree.attrs.get(d)]
    if other or not np.array_equal(
        stress[s.ASSET].values, tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values
    ):
        what = ", ".join(other) or "the assets"
        msg = f"stress was computed from another fit: {what} differ. Call bf.stress on this tree."
        raise RiskError(msg)
    worth = float(stress.attrs.get("value", 1.0))
    money = {n: stress[n] / worth for n in _NEEDED}
    return moving(stress.assign(money).assign_attrs(stress.attrs))


def stress_section(stress: xr.Dataset, value: float | None) -> Section:
    """Return the table of scenarios, their picture and where each loss comes from; in fractions."""
    words = (
        "What the portfolio would lose if a scenario came true, and how sure that is. Value at risk and "
        "expected shortfall are those of the loss under the scenario: what it leaves open is drawn from the "
        "model. The plausibility is the chance of a factor move at least as far, of a reverse stress that of "
        "such a loss, whatever brings it."
    )
    table = _scenarios(stress, value)
    blocks: list[Block] = [
        Words(words),
        table,
        Drawing("Stress scenarios", stress_picture(stress)),
        _parts(stress),
    ]
    moves = _moves(stress)
    if moves is not None:
        blocks.append(moves)
    own = _own_moves(stress)
    if own is not None:
        blocks.append(own)
    notes = _notes(stress)
    if notes:
        blocks.append(Facts("stress_notes", notes))
    return Section("stress", "Stress: what if?", tuple(blocks), "Stress")


def _coord(stress: xr.Dataset, name: str) -> np.ndarray:
    if name not in stress.coords and name not in stress:
        return np.full(stress.sizes[SCENARIO], "")
    return stress[name].values.astype(str)


def _scenarios(stress: xr.Dataset, value: float | None) -> Table:
    names, loss = stress[SCENARIO].values.astype(str), stress["loss"].values
    draws = stress["loss_posterior"].transpose(..., SCENARIO).values.reshape(-1, len(loss))
    _, low, high = quantiles(draws)
    i = int(stress[s.LEVEL].values.argmax())
    level = w.plain_percent(float(stress[s.LEVEL][i]))
    var, es = (stress[k].isel({s.LEVEL: i}).values for k in ("var", "es"))
    kinds = [_KINDS.get(k, k) for k in _coord(stress, "kind")]
    periods = _coord(stress, "horizon")
    chance = stress["plausibility"].values if "plausibility" in stress else np.full(len(loss), np.nan)
    drawn = bars(loss, low, high)
    rows = []
    for j in np.argsort(-loss, kind="stable"):
        texts = (
            *((w.money(loss[j] * value, value),) if value is not None else ()),
            w.percent(loss[j]),
            w.interval(low[j], high[j]),
            w.percent(var[j]),
            w.percent(es[j]),
            w.chance(chance[j]),
        )
        words = (Cell(kinds[j], "word"), Cell(periods[j]))
        rows.append(Row(names[j], (*words, *cells(*texts)), drawn[j]))
    frame = pd.DataFrame(
        {
            SCENARIO: names,
            "kind": _coord(stress, "kind"),
            "horizon": periods,
            "loss": loss,
            "loss_low": low,
            "loss_high": high,
            "var": var,
            "es": es,
            s.LEVEL: float(stress[s.LEVEL][i]),
            "plausibility": chance,
        }
    )
    money = ("Loss, money",) if value is not None else ()
    heads = ("Scenario", "Kind", "Periods", *money, "Loss", INTERVAL_HEAD, f"VaR {level}", f"ES {level}")
    return Table(
        "stress", "Scenarios", (*heads, "Plausibility"), tuple(rows), frame, bar_head="Loss", wide=True
    )


def _parts(stress: xr.Dataset) -> Table:
    parts = stress["loss_contribution"].transpose(SCENARIO, s.ASSET, s.COMPONENT)
    names, components = (parts[c].values.astype(str) for c in (SCENARIO, s.COMPONENT))
    heads, table = fewer(components, parts.values.sum(axis=1))
    largest = np.nanmax(np.abs(table), initial=0.0)
    shade = np.nan_to_num(table / largest) if largest > 0.0 else np.zeros_like(table)
    loss = stress["loss"].values
    rows = []
    for j in np.argsort(-loss, kind="stable"):
        heated = (
            Cell(w.percent(v), "heat", round(float(a), 3)) for v, a in zip(table[j], shade[j], strict=True)
        )
        rows.append(Row(names[j], (*heated, Cell(w.percent(loss[j]), "sum"))))
    frame = parts.to_series().rename("loss_contribution").reset_index()
    note = "The parts of each row add up to its loss."
    return Table(
        "stress_contributions",
        "Where each loss comes from",
        ("Scenario", *heads, "Loss"),
        tuple(rows),
        frame,
        note,
        wide=True,
    )


def _moves(stress: xr.Dataset) -> Table | None:
    """Return the moves, a line a scenario, or a line a factor where there are more of those."""
    if "factor_move" not in stress or not stress.sizes.get(s.FACTOR, 0):
        return None
    down, across = sorted((SCENARIO, s.FACTOR), key=lambda dim: -stress.sizes[dim])
    moves = stress["factor_move"].transpose(down, across)
    heads = moves[across].values.astype(str)
    columns = [Column(head, [w.number(v) for v in x]) for head, x in zip(heads, moves.values.T, strict=True)]
    rows = lines(moves[down].values, columns)
    frame = (
        stress["factor_move"].transpose(SCENARIO, s.FACTOR).to_series().rename("factor_move").reset_index()
    )
    note = "The mean move of each factor over the scenario: a fraction, of drivers standard deviations."
    return Table(
        "stress_factor_moves",
        "What the factors do",
        (down.capitalize(), *heads),
        rows,
        frame,
        note,
        wide=True,
    )


def _own_moves(stress: xr.Dataset) -> Table | None:
    """Return what coins do of their own in reverse stresses, those that are held."""
    reverse = _coord(stress, "kind") == "reverse"
    if "specific_move" not in stress or not reverse.any():
        return None
    lost = stress["loss_contribution"].sel({s.COMPONENT: s.SPECIFIC})
    some = stress[["specific_move"]].assign(loss=lost).isel({SCENARIO: reverse})
    table = some.transpose(SCENARIO, s.ASSET).to_dataframe()[["specific_move", "loss"]].reset_index()
    table = table[table["loss"] != 0.0].sort_values([SCENARIO, "loss"], ascending=[True, False])
    if table.empty:
        return None
    rows = tuple(
        Row(str(scenario), (Cell(str(asset), "word"), *cells(w.percent(move), w.percent(loss))))
        for scenario, asset, move, loss in table.itertuples(index=False, name=None)
    )
    heads = ("Scenario", "Asset", "Moves of its own", "Part of the loss")
    note = "On top of what factors make it do; the parts are those under specific above."
    return Table("stress_own_moves", "What coins do of their own", heads, rows, table, note)


def _notes(stress: xr.Dataset) -> tuple[tuple[str, str], ...]:
    names = stress[SCENARIO].values.astype(str)
    return tuple((n, t) for n, t in zip(names, _coord(stress, "note"), strict=True) if t and t != "nan")


def sensitivity_section(sensitivity: Any) -> Section:
    """Return how much the prior and the data each move the risk numbers.

    Raises
    ------
    SchemaError
        If it is no table.
    """
    if isinstance(sensitivity, xr.Dataset):
        sensitivity = sensitivity.to_dataframe()
    wanted = {"prior", "likelihood"}
    if not isinstance(sensitivity, pd.DataFrame) or sensitivity.empty or not wanted <= set(sensitivity):
        got = type(sensitivity).__name__
        if isinstance(sensitivity, pd.DataFrame):
            got += f" with the columns {', '.join(map(str, sensitivity))}"
        msg = f"sensitivity is the table that bf.prior_sensitivity returns (prior, likelihood); got {got}."
        raise SchemaError(msg)
    table = sensitivity
    if not isinstance(table.index, pd.RangeIndex):
        name = "risk number" if table.index.name is None else str(table.index.name)
        table = table.rename_axis(index=name).reset_index()
    rows = tuple(
        Row(str(record[0]), tuple(_sensitivity_cell(v) for v in record[1:]))
        for record in table.itertuples(index=False, name=None)
    )
    heads = tuple(str(c).replace("_", " ").capitalize() for c in table.columns)
    words = (
        "How far a risk number moves when the prior, or the data, count for a little more or less; above "
        "0.05 it is sensitive. A number that the prior moves as much as the data do is one that the prior "
        "decides. Risk numbers are fractions of value."
    )
    found = Table("sensitivity", "Power-scaling sensitivity", heads, rows, table)
    return Section("sensitivity", "Does the prior set the risk?", (Words(words), found), "Sensitivity")


def _sensitivity_cell(value: Any) -> Cell:
    if isinstance(value, float | np.floating):
        return Cell(w.significant(float(value)))
    return Cell(str(value), "word")
