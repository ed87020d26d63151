"""A file of text becomes rows of cells: encoding, delimiter, comments and ragged rows are settled here."""

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bayesfactor.errors import MissingFileError, warn
from bayesfactor.keep import unescaped_text
from bayesfactor.tables.names import Door, few
from bayesfactor.tables.numbers import check_decimal

__all__ = ["Sheet", "check_exists", "read_sheet"]

_DELIMITERS: Final = (",", ";", "\t", "|")
_NAMES: Final = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
_ENCODINGS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_URL: Final = re.compile(r"\W*(?:https?://|www\.)\S+", re.IGNORECASE)
_RULE: Final = re.compile(r"\s*(?::?-{3,}:?\s*)?")
"""A cell of a row without content: nothing, or the line under the header of a printed table."""
_SAMPLE: Final = 200
_TITLES: Final = 5
"""Lines of words that stand above a header at most."""
_OTHERS: Final = (
    (
        re.compile(rb"PK\x03\x04"),
        "a workbook or a zip archive, not text",
        "Unpack it, or save the sheet as CSV",
    ),
    (re.compile(rb"PAR1"), "Parquet", "Rename it to end in .parquet"),
    (re.compile(rb"%PDF"), "a PDF", "Save its table as CSV"),
    (re.compile(rb"CDF|\x89HDF"), "netCDF or HDF5", "Open it, and give what it holds"),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE),
        "a web page, as servers answer instead of a file",
        "Open it to see what went wrong, and download it again",
    ),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*\"|\[\s*[\[{])"),
        "JSON, such as the answer of a server",
        "Open it: if it is a table, read it by pd.read_json",
    ),
)
"""How files begin that are no tables of text, what they are, and what to do."""


@dataclass
class Sheet:
    """The rows of a file of text, the first of them a header."""

    path: Path
    rows: list[list[str]]
    lines: list[int]
    """Of each row, the line of the file on which it ends."""
    delimiter: str
    encoding: str
    skipped: list[int] = field(default_factory=list)
    """Lines before the header that are no rows."""
    above: str = ""
    """The first line, where it is a comment."""
    padded: bool = False
    """Whether names of columns have blanks around them in the file."""

    def options(self, decimal: str = ".", *, thousands: bool = False, words: str | None = None) -> str:
        """Return what `pd.read_csv` has to be told to find the same cells."""
        told = ""
        if decimal == ",":
            told += ", decimal=','"
        if thousands:
            told += f", thousands={'.' if decimal == ',' else ','!r}"
        if words is not None:
            # a separator of thousands would be taken out of dates, too
            told += f", dtype={{{words!r}: str}}"
        if self.padded:
            told += ", skipinitialspace=True"
        if self.delimiter != ",":
            told += f", sep={self.delimiter!r}"
        if self.encoding not in {"utf-8", "utf-8-sig"}:
            told += f", encoding={self.encoding!r}"
        if self.skipped:
            told += f", skiprows={[n - 1 for n in self.skipped]}"
        return told


def check_exists(path: Path, door: Door) -> None:
    """Raise unless a path names a file.

    Raises
    ------
    MissingFileError
    """
    if not path.exists():
        msg = f"{door.what}: the file {str(path)!r} does not exist (seen from {str(Path.cwd())!r}). Check it."
        raise MissingFileError(msg)


def read_sheet(path: Path, door: Door, *, short_rows: bool = False) -> Sheet:
    """Return the rows of a file of text with fields between `,`, `;`, tabs or `|`.

    Blank rows are no rows, nor are lines that begin with `#`, a line `sep=;` and the address of a site above
    the header. Blanks around cells are stripped; columns that are empty, header and all, are left out.

    Parameters
    ----------
    short_rows : bool
        Whether a row may end early, its last cells being empty.

    Raises
    ------
    BayesFactorError
        The door's, if the file cannot be read, or a row is longer or shorter than the header.
    """
    text, encoding = _text(path, door)
    skipped, delimiter, lines = _without_comments(text)
    above = text.split("\n", 1)[0].strip() if skipped[:1] == [1] else ""
    if delimiter is None:
        delimiter = _delimiter_of(lines)
    reader = csv.reader(
        io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        raw = [(row, reader.line_num) for row in reader]
    except csv.Error as error:
        msg = (
            f"{door.what}: {path.name!r} cannot be read as CSV: line {reader.line_num}: {error}. Close the "
            "quotes there, or write the file again."
        )
        raise door.error(msg) from error
    found = [([_cell(c) for c in row], line) for row, line in raw if not all(map(_RULE.fullmatch, row))]
    if not found:
        msg = (
            f"{door.what}: {path.name!r} cannot be read as CSV: it holds no row. Write it again, with a "
            "header."
        )
        raise door.error(msg)
    rows, numbers = [r for r, _ in found], [n for _, n in found]
    header = next(row for row, line in raw if line == numbers[0])
    padded = any(c != c.strip() for c in header) or ", " in lines[numbers[0] - 1]
    skipped = [n for n in skipped if n < numbers[0]]
    sheet = Sheet(path, rows, numbers, delimiter, encoding, skipped, above, padded)
    _check_title(sheet, door)
    _check_blanks(sheet, door)
    _check_lengths(sheet, door, short_rows=short_rows)
    return _without_empty_columns(sheet)


def _cell(text: str) -> str:
    """Return a cell without blanks around it, and without the mark by which this package disarms formulas."""
    return unescaped_text(text.strip())


def _text(path: Path, door: Door) -> tuple[str, str]:
    check_exists(path, door)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{door.what}: {path.name!r} cannot be read: {error}. Write it again as CSV or Parquet."
        raise door.error(msg) from error
    other = next(((kind, remedy) for begin, kind, remedy in _OTHERS if begin.match(data)), None)
    if other is not None:
        msg = f"{door.what}: {path.name!r} is {other[0]}. {other[1]}."
        raise door.error(msg)
    encoding = next((name for mark, name in _ENCODINGS if data.startswith(mark)), None) or _unmarked(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
        text = _as_latin(data, path, door)
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        msg = f"{door.what}: text holds no NUL; {path.name!r} has one on line {line}. Write the file again."
        raise door.error(msg)
    return text, encoding


def _unmarked(data: bytes) -> str:
    """Return the encoding of text without a mark: every second byte of Latin letters in UTF-16 is NUL."""
    head = data[:200]
    if len(head) > 3 and len(head) % 2 == 0:
        for nul, name in ((head[1::2], "utf-16-le"), (head[0::2], "utf-16-be")):
            if nul.count(0) > 0.7 * len(nul):
                return name
    return "utf-8"


def _as_latin(data: bytes, path: Path, door: Door) -> str:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        msg = f"{door.what}: {path.name!r} cannot be read: {error}. Save it as UTF-8."
        raise door.error(msg) from error
    warn(
        f"{door.what}: {path.name!r} is not UTF-8 and is read as Latin-1 (cp1252). Look at its names, or "
        "save it as "
        "UTF-8.",
    )
    return text


def _without_comments(text: str) -> tuple[list[int], str | None, list[str]]:
    """Return the lines that are no rows, the delimiter if one tells it, and all lines with those blank."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    told, skipped, begun = None, [], False
    for i, line in enumerate(lines):
        bare = line.strip().strip('"')
        comment = bare.startswith("#") and bare[1:2] not in {*_DELIMITERS, '"'}
        if not begun and re.fullmatch(r"sep=.", bare, re.IGNORECASE) and bare[-1] in _DELIMITERS:
            told = bare[-1]
            comment = True
        if comment or (not begun and _URL.fullmatch(bare.strip(",;|\t"))):
            lines[i] = ""
            skipped.append(i + 1)
        elif bare:
            begun = True
    return skipped, told, lines


def _delimiter_of(lines: list[str]) -> str:
    """Return the delimiter that cuts most rows into as many cells as the header, or alike under a title."""
    sample = [line for line in lines if line.strip()][:_SAMPLE]
    best, most = "", (0.0, 1)
    for below in range(_TITLES + 1):
        for delimiter in _DELIMITERS if not below else _DELIMITERS[1:]:
            # not strict: here rows are counted, not read
            counts = [
                len(row) for row in csv.reader(sample, delimiter=delimiter, skipinitialspace=True) if row
            ]
            width = counts[min(below, len(counts) - 1)] if counts else 1
            alike = sum(n == width for n in counts) / max(len(counts), 1)
            if width > 1 and (alike, width) > most:
                best, most = delimiter, (alike, width)
        if best:
            return best
    return ","


def _check_title(sheet: Sheet, door: Door) -> None:
    """Refuse lines of words above the header."""
    filled = [[c for c in row if c] for row in sheet.rows[: _TITLES + 2]]
    count = next((i for i, row in enumerate(filled) if len(row) > 1), len(filled))
    alone = len(sheet.rows[0]) == 1 or (len(sheet.rows[0]) > 2 and sheet.rows[0][0] != "")
    if 0 < count < len(filled) - 1 and alone and len(filled[count + 1]) > 1:
        above = sheet.lines[:count]
        more = replace(sheet, skipped=[*sheet.skipped, *above])
        cells = [c for row in sheet.rows[count + 1 :] for c in row]
        try:
            decimal = check_decimal(cells, door)
        except door.error:
            decimal = "."
        where = f"line {few(above)} of {sheet.path.name!r} {'is' if count == 1 else 'are'}"
        msg = (
            f"{door.what}: the first row names the columns; {where} "
            f"{few(repr(r[0]) for r in filled[:count])}. Delete {'it' if count == 1 else 'them'}, or "
            "read the rest: "
            f"`{door.what} = pd.read_csv({str(sheet.path)!r}{more.options(decimal)})`."
        )
        raise door.error(msg)


def _check_blanks(sheet: Sheet, door: Door) -> None:
    """Refuse fields that are separated by blanks alone."""
    words = {len(row[0].split()) for row in sheet.rows}
    if max(map(len, sheet.rows)) == 1 and len(words) == 1 and words != {1}:
        msg = (
            f"{door.what}: fields are separated by ',', ';', tab or '|'; those of "
            f"{sheet.path.name!r} by blanks. "
            f"Read them so: `{door.what} = pd.read_csv({str(sheet.path)!r}, sep=r'\\s+')`."
        )
        raise door.error(msg)


def _check_lengths(sheet: Sheet, door: Door, *, short_rows: bool) -> None:
    width = len(sheet.rows[0])
    longer = [i for i, row in enumerate(sheet.rows) if len(row) > width]
    shorter = [i for i, row in enumerate(sheet.rows) if len(row) < width]
    if short_rows and not longer:
        sheet.rows = [row + [""] * (width - len(row)) for row in sheet.rows]
        return
    if not longer and not shorter:
        return
    at = (longer or shorter)[0]
    lines = few(sheet.lines[i] for i in (longer or shorter))
    remedy = "Mend or delete it: a comma inside a cell needs quotes around it"
    if len(longer) == len(sheet.rows) - 1 and all(len(r) == width + 1 for r in sheet.rows[1:]):
        last = not any(r[-1] for r in sheet.rows[1:])
        remedy = (
            "Every row ends in a delimiter that the header has not: delete them"
            if last
            else "The header has no name for the first column (row names of R?): add one, or leave it out"
        )
    elif shorter and not longer and at == len(sheet.rows) - 1:
        remedy = "The file was cut off there, or it is a note: mend or delete it"
    msg = (
        f"{door.what}: {sheet.path.name!r} cannot be read as CSV: a row is as long as the header, {width} "
        f"cells between {_NAMES[sheet.delimiter]}; line {sheet.lines[at]} has {len(sheet.rows[at])} (lines "
        f"alike: {lines}). {remedy}."
    )
    raise door.error(msg)


def _without_empty_columns(sheet: Sheet) -> Sheet:
    """Leave out columns without name and value, which a delimiter at the end of each line makes."""
    empty = {j for j, name in enumerate(sheet.rows[0]) if not name and not any(row[j] for row in sheet.rows)}
    if empty:
        sheet.rows = [[c for j, c in enumerate(row) if j not in empty] for row in sheet.rows]
    return sheet
