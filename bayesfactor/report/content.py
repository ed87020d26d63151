"""What a report is made of, before it is HTML, Markdown or files: sections of plain blocks.

Numbers are already words in the cells of a table; `frame` holds the same numbers as numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from bayesfactor import words as w
from bayesfactor.report.figures import INTERVAL, Picture

__all__ = [
    "GIVEN",
    "INTERVAL",
    "INTERVAL_HEAD",
    "Banner",
    "Bar",
    "Block",
    "Card",
    "Cards",
    "Cell",
    "Column",
    "Document",
    "Drawing",
    "Facts",
    "Folded",
    "Listing",
    "Row",
    "Section",
    "Table",
    "Words",
    "bars",
    "cells",
    "foot",
    "lines",
    "quantiles",
]

INTERVAL_HEAD: Final = f"{w.plain_percent(INTERVAL)} interval"
GIVEN: Final = "parameters known"
"""What stands left of an interval: the middle of the same posterior, that of a number given the parameters. A
number that averages over them is another quantity, and may lie outside."""


@dataclass(frozen=True)
class Cell:
    """Text, the classes of style it has, and how strongly it is shaded: from -1 to 1, 0 for not at all."""

    text: str
    css: str = ""
    shade: float = 0.0


@dataclass(frozen=True)
class Bar:
    """A number and its interval as positions on a scale from 0 to 100."""

    zero: float
    start: float
    width: float
    low: float
    high: float
    negative: bool


@dataclass(frozen=True)
class Row:
    """One line of a table; `bar` is None where there is nothing to draw."""

    label: str
    cells: tuple[Cell, ...]
    bar: Bar | None = None


@dataclass(frozen=True)
class Column:
    """One column of a table before it is rows: its head, a text each line, and the text of the last line."""

    head: str
    texts: Sequence[str]
    total: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    `heads` are those of all columns, the first is the corner; `folded` are all rows where `rows` are only the
    largest; `name` is that of the file it is exported to.
    """

    kind: ClassVar[str] = "table"

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    frame: pd.DataFrame
    note: str = ""
    foot: Row | None = None
    bar_head: str = ""
    folded: tuple[Row, ...] = ()
    folded_title: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    kind: ClassVar[str] = "words"

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Card:
    """One key figure: `lines` are small print under it."""

    label: str
    value: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cards:
    """Key figures side by side."""

    kind: ClassVar[str] = "cards"

    name: str
    cards: tuple[Card, ...]
    frame: pd.DataFrame


@dataclass(frozen=True)
class Facts:
    """Names and texts."""

    kind: ClassVar[str] = "facts"

    name: str
    pairs: tuple[tuple[str, str], ...]
    code: bool = False

    @property
    def frame(self) -> pd.DataFrame:
        """The same as a table of two columns."""
        return pd.DataFrame(list(self.pairs), columns=["name", "text"])


@dataclass(frozen=True)
class Drawing:
    """A picture under a heading, with how to read it."""

    kind: ClassVar[str] = "drawing"

    label: str
    picture: Picture
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Listing:
    """Text to be read letter by letter: a card, a script."""

    kind: ClassVar[str] = "listing"

    label: str
    text: str
    language: str = ""


@dataclass(frozen=True)
class Folded:
    """Blocks that are opened on demand; on paper they are open, or left out where they are an `aside`."""

    kind: ClassVar[str] = "folded"

    summary: str
    blocks: tuple["Block", ...]
    aside: bool = False


type Block = Table | Words | Cards | Facts | Drawing | Listing | Folded


@dataclass(frozen=True)
class Section:
    """One part of the page; `short` is its name in the contents."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    short: str = ""

    def of(self, *kinds: type[Table | Cards | Facts]) -> Iterator[Table | Cards | Facts]:
        """Yield the blocks of these kinds, folded ones included."""
        waiting = list(self.blocks)
        while waiting:
            block = waiting.pop(0)
            if isinstance(block, Folded):
                waiting = [*block.blocks, *waiting]
            elif isinstance(block, kinds):
                yield block


@dataclass(frozen=True)
class Banner:
    """A coloured box at the top; `css` is ok, warn or fail."""

    name: str
    css: str
    word: str
    headline: str
    reasons: tuple[str, ...]
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    banners: tuple[Banner, ...]
    sections: tuple[Section, ...]
    written: str
    notes: tuple[str, ...] = field(default=())

    @property
    def frames(self) -> dict[str, tuple[str, pd.DataFrame]]:
        """Every table by the name of its file: title and numbers."""
        found: dict[str, tuple[str, pd.DataFrame]] = {}
        for section in self.sections:
            for block in section.of(Table, Cards, Facts):
                title = block.title if isinstance(block, Table) else section.title
                found[block.name] = (title, block.frame)
        return found


def cells(*texts: str) -> tuple[Cell, ...]:
    """Return plain cells; an interval reads quieter than what it is the interval of."""
    return tuple(Cell(t, "interval" if " to " in t else "") for t in texts)


def lines(
    labels: Iterable[object], columns: Sequence[Column], drawn: Sequence[Bar | None] | None = None
) -> tuple[Row, ...]:
    """Return the rows of a table, cell by cell from its columns."""
    names = [str(label) for label in labels]
    marks = [None] * len(names) if drawn is None else drawn
    return tuple(Row(name, cells(*(c.texts[i] for c in columns)), marks[i]) for i, name in enumerate(names))


def foot(label: str, columns: Sequence[Column]) -> Row:
    """Return the last row of a table."""
    return Row(label, cells(*(c.total for c in columns)))


def quantiles(draws: np.ndarray) -> np.ndarray:
    """Return the middle of draws and both ends of the report's interval, over the first axis.

    The three are of one quantity, so that the first lies between the others, NaN where a draw is.
    """
    tail = 0.5 - INTERVAL / 2
    with np.errstate(invalid="ignore"):  # between two infinite draws
        found: np.ndarray = np.quantile(draws, [0.5, tail, 1.0 - tail], axis=0)
    return found


def bars(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[Bar | None]:
    """Place numbers and their intervals on one scale from 0 to 100 that holds them all, and zero.

    A number without an interval has none drawn; where a number itself is unknown there is no bar.
    """
    low, high = np.where(np.isfinite(low), low, values), np.where(np.isfinite(high), high, values)
    everything = np.concatenate([values, low, high, [0.0]])
    everything = everything[np.isfinite(everything)]
    if np.ptp(everything) == 0.0:
        return [None] * len(values)
    least, span = everything.min(), np.ptp(everything)

    def at(x: float) -> float:
        return round(float(100.0 * (x - least) / span), 2)

    return [
        Bar(at(0.0), at(min(x, 0.0)), round(at(max(x, 0.0)) - at(min(x, 0.0)), 2), at(a), at(b), bool(x < 0))
        if np.isfinite([x, a, b]).all()
        else None
        for x, a, b in zip(values, low, high, strict=True)
    ]
