"""A document becomes HTML, Markdown, or a folder of tables."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pandas as pd

from bayesfactor.keep import check_place, write_csv, write_parquet
from bayesfactor.report.content import (
    Block,
    Cards,
    Cell,
    Document,
    Drawing,
    Facts,
    Folded,
    Listing,
    Row,
    Table,
    Words,
)
from bayesfactor.report.inputs import INDEX

__all__ = ["export_tables", "html", "markdown"]

_HERE: Final = Path(__file__).parent
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|])")


def html(document: Document) -> str:
    """Return the page: one file, nothing loaded from elsewhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text: str = environment.get_template("template.html.j2").render(
        page=document, style=(_HERE / "style.css").read_text(encoding="utf-8")
    )
    return text


def markdown(document: Document) -> str:
    """Return the same in Markdown; a picture is its description."""
    lines = [f"# {_plain(document.title)}", "", _plain(document.subtitle), ""]
    for banner in document.banners:
        lines += [f"> **{banner.word.upper()}** {_plain(banner.headline)}"]
        lines += [f"> - {_plain(reason)}" for reason in banner.reasons]
        lines += [f"> - What to do: {_plain(remedy)}" for remedy in banner.remedies]
        lines.append("")
    lines += [f"- [{_plain(s.short or s.title)}](#{_anchor(s.title)})" for s in document.sections]
    for section in document.sections:
        lines += ["", f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += _block(block)
    lines += ["---", "", _plain(document.written), ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text in which no character is markup."""
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))


def _anchor(title: str) -> str:
    """Return the link that Markdown readers give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _block(block: Block) -> list[str]:
    match block:
        case Words():
            return [_plain(block.text), ""]
        case Cards():
            lines = []
            for card in block.cards:
                more = f" ({_plain('; '.join(card.lines))})" if card.lines else ""
                lines.append(f"- {_plain(card.label)}: **{_plain(card.value)}**{more}")
            return [*lines, ""]
        case Facts():
            return [*(f"- {_plain(name)}: {_plain(text)}" for name, text in block.pairs), ""]
        case Table():
            return _table(block)
        case Drawing():
            head = [f"### {_plain(block.title)}", ""] if block.title else []
            return [*head, f"*Picture: {_plain(block.picture.alt)}*", ""]
        case Listing():
            fence = "`" * max(3, 1 + max((len(m) for m in re.findall(r"`+", block.text)), default=0))
            return [f"{fence}{block.language}", block.text.rstrip(), fence, ""]
        case Folded():
            inside = [line for one in block.blocks for line in _block(one)]
            return [f"### {_plain(block.summary)}", "", *inside]


def _table(table: Table) -> list[str]:
    rows = table.folded or table.rows
    body = [*rows, *((table.foot,) if table.foot else ())]
    lines = [f"### {_plain(table.title)}", ""]
    lines += [_plain(table.note), ""] if table.note else []
    align = ["---", *("---" if c.css == "word" else "---:" for c in _first(rows))]
    lines += [_line(table.heads), _line(align)]
    return [*lines, *(_line([_plain(row.label), *(_plain(c.text) for c in row.cells)]) for row in body), ""]


def _first(rows: tuple[Row, ...]) -> tuple[Cell, ...]:
    return rows[0].cells if rows else ()


def _line(texts: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def export_tables(document: Document, folder: Path) -> None:
    """Write every table as CSV, and as Parquet where pyarrow is installed, and an index of them.

    Each file is written whole or not at all; files of other names are left alone, and one of a table's name
    that this package did not write is refused before any is written.
    """
    folder.mkdir(exist_ok=True)
    frames = {name: frame for name, (_, frame) in document.frames.items()}
    index = [(name, title, len(frame)) for name, (title, frame) in document.frames.items()]
    frames[INDEX] = pd.DataFrame(index, columns=["table", "title", "rows"])
    writers = {"csv": write_csv} | ({"parquet": write_parquet} if find_spec("pyarrow") else {})
    places = [
        (frame, folder / f"{re.sub(r'[^\w.-]+', '_', name)}.{suffix}", write)
        for name, frame in frames.items()
        for suffix, write in writers.items()
    ]
    for _, place, _ in places:
        check_place(place)
    for frame, place, write in places:
        write(frame, place, index=False)
