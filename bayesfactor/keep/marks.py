"""How a file of this package is known again: by a mark that its readers do not see.

A netCDF file and a Zarr store have a group of ours, pages a comment at their end, a Parquet file a word in
its footer; of a CSV the first cell below the header stands in quotation marks without need.
"""

import csv
import io
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

__all__ = ["BY", "SEAL", "foreign", "marked_csv", "marked_page", "signed"]

BY: Final = "written_by"
"""Attribute of what this package writes: its name and version."""
SEAL: Final = "seal"
"""Group of a saved file that says who wrote it, and what its other groups hold."""

_PLACEHOLDER: Final = 8
_HEAD: Final = 1 << 20
_PAGES: Final = (".html", ".htm", ".md", ".markdown")
_TABLES: Final = (".csv", ".tsv")
_ARRAYS: Final = (".nc", ".zarr")
_SAID: Final = "ritten by bayesfactor"
_DOWNLOAD: Final = "# from "
_OURS: Final = ("schema_version", "returns_digest")
_CHUNK: Final = re.compile(r"c(/\d+)*$")


def signed() -> str:
    """Return the name of this package and its version."""
    return f"bayesfactor {version('bayesfactor')}"


def marked_page(text: str) -> str:
    """Return HTML or Markdown with a comment at its end that says who wrote it."""
    return f"{text.rstrip()}\n<!-- w{_SAID} {version('bayesfactor')} -->\n"


def marked_csv(text: str) -> str:
    """Return a CSV whose first cell below the header stands in quotation marks; it reads as before."""
    below = _below_header(text)
    at = below if below < len(text) else 0  # no rows: the header itself
    cell = re.match(r'[^",\r\n]*', text[at:])
    if cell is None or text[at : at + 1] == '"':
        return text
    return f'{text[:at]}"{cell.group()}"{text[at + cell.end() :]}'


def _below_header(text: str) -> int:
    """Return where the first row begins; a header may have line ends in its names."""
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines)
    next(reader, None)
    return sum(map(len, lines[: reader.line_num]))


def foreign(place: Path) -> str:
    """Return why what stands at `place` is not to be replaced, nothing where it may be."""
    suffix = place.suffix.lower()
    if not place.exists():
        return ""
    if place.is_dir():
        if not any(place.iterdir()):
            return "" if suffix == ".zarr" else "is a folder"
        return _foreign_store(place) if suffix == ".zarr" else "is a folder"
    if not place.is_file():
        return "is no regular file"
    if place.stat().st_size <= _PLACEHOLDER:
        return ""  # made by touch or as a temporary name: there is nothing to lose
    if suffix == ".zarr":
        return "is a file, where a Zarr store is a folder"
    try:
        ours = _known(place, suffix)
    except Exception:  # noqa: BLE001 - what cannot be read as ours is not ours
        ours = False
    return "" if ours else "is not of this package"


def _known(place: Path, suffix: str) -> bool:
    if suffix in _PAGES:
        return _SAID.encode() in _tail(place, 4096)
    if suffix in _TABLES:
        with place.open(encoding="utf-8", newline="") as lines:
            return _marked(lines.read(_HEAD))
    if suffix == ".parquet":
        footer = int.from_bytes(_tail(place, 8)[:4], "little") + 8
        return BY.encode() in _tail(place, footer)
    if suffix in _ARRAYS:
        import h5py

        with h5py.File(place) as file:
            return SEAL in file or any(name in file.attrs for name in _OURS)
    return False


def _tail(place: Path, size: int) -> bytes:
    with place.open("rb") as file:
        file.seek(max(0, place.stat().st_size - size))
        return file.read()


def _marked(text: str) -> bool:
    """Whether the header begins without needless quotation marks, and the first row with some."""
    if text.startswith(_DOWNLOAD):
        return True
    below = _below_header(text)
    head = re.match(r'"[^",\r\n]*"', text)
    return (head is None) == (below < len(text)) and (head is not None or text[below:].startswith('"'))


def _foreign_store(place: Path) -> str:
    try:
        attrs: dict[str, Any] = json.loads((place / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        attrs = {}
    if "signature" in attrs:
        return "is the store of a backtest"
    if not (place / SEAL / "zarr.json").is_file() and not any(name in attrs for name in _OURS):
        return "is a folder that is not of this package"
    for one in place.rglob("*"):
        inside = one.relative_to(place).as_posix()
        if not one.is_dir() and one.name != "zarr.json" and not _CHUNK.search(inside):
            return f"is a Zarr store that holds {inside!r} besides"
    return ""
