"""A backtest in short: the headline, losses, coverage, and value at risk against what came."""

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.report import backtest_words
from bayesfactor.report.backtest_figures import var_pictures
from bayesfactor.report.backtest_tables import Grid, coverage_grids, loss_grid
from bayesfactor.report.content import Block, Card, Cards, Cell, Drawing, Row, Section, Table, Words
from bayesfactor.report.contest import contest
from bayesfactor.scoring import score_backtest
from bayesfactor.scoring.contract import check_backtest

__all__ = ["backtest_section"]

_LEVEL: Final = 0.975
"""The section is about the level nearest to it: that of the Basel rules."""
_PICTURES: Final = 1


def backtest_section(backtest: xr.Dataset) -> Section:
    """Return the panel.

    Raises
    ------
    SchemaError
        If it is not the Dataset of `bf.backtest`.
    """
    data = check_backtest(backtest, "report")
    levels = data[s.LEVEL].values
    position = int(np.abs(levels - _LEVEL).argmin())
    level = float(levels[position])
    scores = score_backtest(data.isel({s.LEVEL: [position]}), confidence=None).isel({s.LEVEL: 0})
    found = contest(backtest, level, None)
    first, last = w.stamps(data[s.TIME].values)
    cards = tuple(
        Card(card.label, card.value, tuple(card.lines)) for card in backtest_words.cards(found, scores, level)
    )
    numbers = pd.DataFrame([(c.label, c.value) for c in cards], columns=["figure", "text"])
    blocks: list[Block] = [
        Words(f"{backtest_words.headline(found)}. {backtest_words.verdict(found, level)}"),
        Words(f"{first} to {last}, value at risk {w.plain_percent(level)}.", quiet=True),
        Cards("backtest_figures", cards, numbers),
        _table("backtest_losses", loss_grid(scores, found), "Mean FZ0; small is good, the lowest is bold."),
        _table(
            "backtest_coverage",
            coverage_grids(scores, found, level)[0],
            "Is value at risk exceeded as often as it should be? A cross marks a model that a test rejects.",
        ),
    ]
    blocks += [Drawing("Value at risk", p) for p in var_pictures(data, found, level)[:_PICTURES]]
    return Section("backtest", "Backtest: did such forecasts hold?", tuple(blocks), "Backtest")


def _table(name: str, grid: Grid, note: str) -> Table:
    lines = [line for _, part in grid.parts for line in part]
    rows = tuple(Row(line.label, tuple(Cell(c.text, c.css) for c in line.cells)) for line in lines)
    foot = None
    if grid.foot is not None:
        foot = Row(grid.foot.label, tuple(Cell(c.text, c.css) for c in grid.foot.cells))
    frame = pd.DataFrame(
        [[r.label, *(c.text for c in r.cells)] for r in rows], columns=[grid.corner, *grid.heads]
    )
    return Table(name, grid.name, (grid.corner, *grid.heads), rows, frame, note, foot)
