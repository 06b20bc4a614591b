"""A CSV, TSV or semicolon file record by record: encoding, delimiter, header, and where each record begins.

Light: data set plugins import it while the Snakefile is read.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from retcap import spelling

# UTF-32 first: its little-endian mark begins with that of UTF-16.
MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32"}
MARKS |= {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
NO_LIMIT = 2**31 - 1


class Record(NamedTuple):
    """One record. Where `problem` says what is wrong with it, there are no cells."""

    line: int  # first line of the record in the file, from 1; a quoted cell may span several
    cells: dict[str, str]  # by key; an absent cell at the end of the record is ""
    problem: str | None
    text: str  # as in the file


def read(file: Path, columns: Mapping[str, str], setting: str = "captioning.columns") -> Iterator[Record]:
    """Every record of a file in UTF-8; blank lines are none, a line of delimiters alone is one.

    `columns`: key -> name of its column, at any place; `setting`: where the configuration names them. Comma, tab or
    semicolon: whichever splits the header into most of them. ValueError, with file, line and remedy: another encoding,
    no header, a column that is missing, doubled or named twice, a quote that never closes.
    """
    _refuse_shared(file, columns, setting)
    text = _text(file)
    csv.field_size_limit(
        NO_LIMIT
    )  # of the whole process; under Python's own one, a long cell looks like a broken quote
    lines = _Lines(text)
    delimiter = _delimiter(text, set(columns.values()))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(file, reader)
    places = {key: _place(file, header, f"{setting}.{key}", name) for key, name in columns.items()}
    while True:
        line = reader.line_num + 1
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):  # it swallowed the rest of the file
                raise ValueError(
                    f"{file}, line {line}: a quote is opened here and never closed. Close it, or double the quotes "
                    f'inside the caption ("").'
                ) from None
            yield Record(line, {}, str(error), lines.text())
            continue
        if len(cells) > len(header):
            problem = (
                f"{len(cells)} cells, the header has {len(header)}: a caption with the delimiter in it needs quotes"
            )
            yield Record(line, {}, problem, lines.text())
        elif len(cells) > 1 or any(cell.strip() for cell in cells):
            found = {key: cells[place] if place < len(cells) else "" for key, place in places.items()}
            yield Record(line, found, None, lines.text())


class _Lines:
    """The lines of a text one by one; `taken` keeps them until it is cleared."""

    def __init__(self, text: str):
        self._source = io.StringIO(text, newline="")
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.taken.append(line := next(self._source))
        return line

    def text(self) -> str:
        return "".join(self.taken).rstrip("\r\n")


def _refuse_shared(file: Path, columns: Mapping[str, str], setting: str) -> None:
    """A column that is query and reference at once would score every model against its own question."""
    for name in columns.values():
        if len(keys := [key for key, given in columns.items() if given == name]) > 1:
            raise ValueError(
                f"{file}: `{setting}` names the column `{name}` for {' and '.join(keys)}. Each needs a column "
                "of its own."
            )


def _text(file: Path) -> str:
    data = file.read_bytes()
    if other := _other_encoding(data):
        raise ValueError(
            f"{file} is {other}, not UTF-8. Save it as UTF-8, for example with `iconv -f {other} -t UTF-8`."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8, for example "
            f"with `iconv -f WINDOWS-1252 -t UTF-8`."
        ) from None
    if not text.strip(' ,;\t\r\n"'):
        raise ValueError(
            f"{file} is empty. It needs a header line such as url,query,annotation and one row per caption."
        )
    return text


def _other_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark or by the zero bytes between the letters of the header."""
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return name
    for half, name in ((data[1:64:2], "UTF-16LE"), (data[0:64:2], "UTF-16BE")):
        if half.count(0) > len(half) / 2:
            return name
    return None


def _header(file: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        return next([cell.strip() for cell in cells] for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        raise ValueError(f"{file}: the header cannot be read ({error}). Check the quotes in its first line.") from None


def _delimiter(text: str, names: set[str]) -> str:
    def named(delimiter: str) -> int:
        cells = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        first = next((found for found in cells if any(cell.strip() for cell in found)), [])
        return len({cell.strip() for cell in first} & names)

    return max(",\t;", key=named)  # the comma where nothing fits: the message then shows the header as it is


def _place(file: Path, header: list[str], setting: str, name: str) -> int:
    if (times := header.count(name)) > 1:
        raise ValueError(
            f"{file} has {times} columns `{name}`; which of them is meant? Rename all but one, or set "
            f"`{setting}` to a column that occurs once. Columns found: {', '.join(header)}."
        )
    if times:
        return header.index(name)
    raise ValueError(
        f"{file} has no column `{name}`.{spelling.did_you_mean(name, header)} Columns found: {', '.join(header)}. "
        f"Set `{setting}` to the right one."
    )
