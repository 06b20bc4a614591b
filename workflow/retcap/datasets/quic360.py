"""QuIC-360: query-based captions of 360° panoramas, and every CSV or TSV in its format (`url,query,annotation`).

A captioning data set plugin has a CARD and

    rows(file, image, query, annotation)   yields Row or Rejected
    locate(url, root)                      the image file of a row
    captions(file, ...)                    (query, caption) of every row that has a caption

Nothing is downloaded unless `download` is called: captions and pictures may not be redistributed.
"""

import csv
import difflib
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from retcap.records import DatasetCard, Rejected

CARD = DatasetCard(
    name="quic360",
    title="QuIC-360",
    task="captioning",
    licence="none stated by the authors; the pictures have their own Flickr licences. Do not redistribute",
    source="https://github.com/Silviase/QuIC-360 (dataset/raw/*.tsv)",
    citation="Maeda, Kurita, Miyanishi, Okazaki: Query-based Image Captioning from Multi-context 360-degree Images, "
    "Findings of EMNLP 2023, pp. 6940-6954",
    notes="test: 6,246 rows, 393 images, 1,211 (image, query) pairs, 5.2 references per pair; "
    "3 rows without annotation. Pictures disappear from Flickr over time: name the surviving set (coverage.json) with "
    "every score.",
)

# What pandas and spreadsheets write or read for a missing cell. The whole cell counts: "None of them" is a caption.
MISSING = frozenset({"", "None", "NaN", "nan", "NULL", "null", "<NA>", "NA", "N/A", "n/a", "#N/A"})
SHOWN = 500  # characters of a rejected record kept


class Row(NamedTuple):
    """One usable row. `annotation` is None where the cell was empty: the row still belongs to its pair."""

    line: int  # first line of the row in the file, from 1; a quoted caption may span several
    url: str  # as in the file, outer blanks removed
    query: str  # blanks collapsed; spelling kept, also `arthitecture`
    annotation: str | None  # as in the file, untouched


class OutsideRoot(ValueError):
    """An image path that leads out of the folder that images may come from."""


def rows(
    file: Path, *, image: str = "url", query: str = "query", annotation: str = "annotation"
) -> Iterator[Row | Rejected]:
    """Read the file row by row. A row without an annotation gives a Rejected and then the Row with annotation None.

    The three names are column names. Comma, tab or semicolon: whichever splits the header into most of them.
    """
    file = Path(file)
    text = _text(file)
    wanted = {"image": image, "query": query, "annotation": annotation}
    delimiter = _delimiter(text, list(wanted.values()))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = _header(reader)
    places = [_place(file, header, key, name) for key, name in wanted.items()]
    found = 0
    for line, cells, problem in _records(file, reader):
        found += 1
        problem = problem or _too_long(cells, header)
        if problem:
            yield Rejected(str(file), line, "malformed_row", problem, delimiter.join(cells)[:SHOWN])
            continue
        values = [cells[place] if place < len(cells) else "" for place in places]
        yield from _checked(file, line, values)
    if not found:
        raise ValueError(f"{file}: the file has a header but no rows. It needs one row per reference caption.")


def _text(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(
            f"No caption file at {file}. Set `captioning.csv` (or `captioning.train_csv`) to a CSV or TSV with the "
            f"columns url,query,annotation; QuIC-360 has them at {CARD.source}."
        )
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8, for example "
            f"with `iconv -f WINDOWS-1252 -t UTF-8`."
        ) from None
    if not text.strip():
        raise ValueError(
            f"{file} is empty. It needs a header line such as url,query,annotation and one row per caption."
        )
    return text


def _header(reader) -> list[str]:
    return next([cell.strip() for cell in cells] for cells in reader if any(cell.strip() for cell in cells))


def _delimiter(text: str, names: list[str]) -> str:
    def named(delimiter: str) -> int:
        return len(set(_header(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))) & set(names))

    return max(",\t;", key=named)  # the comma where nothing fits: the message then shows the header as it is


def _place(file: Path, header: list[str], key: str, name: str) -> int:
    if name in header:
        return header.index(name)
    near = difflib.get_close_matches(name.lower(), [found.lower() for found in header], n=1, cutoff=0.6)
    hint = next((f" Did you mean `{found}`?" for found in header if [found.lower()] == near), "")
    raise ValueError(
        f"{file} has no column `{name}`.{hint} Columns found: {', '.join(header)}. "
        f"Set `captioning.columns.{key}` to the right one."
    )


def _records(file: Path, reader) -> Iterator[tuple[int, list[str], str | None]]:
    """(first line, cells, what is wrong with it) per record; blank lines are passed over."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):  # it swallowed the rest of the file
                raise ValueError(
                    f"{file}, line {line}: a quote is opened here and never closed. Close it, or double the quotes "
                    f'inside the caption ("").'
                ) from None
            yield line, [], str(error)
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells, None


def _too_long(cells: list[str], header: list[str]) -> str | None:
    if len(cells) <= len(header):
        return None
    return f"{len(cells)} cells, the header has {len(header)}: a caption with the delimiter in it needs quotes"


def _checked(file: Path, line: int, values: list[str]) -> Iterator[Row | Rejected]:
    url, query, annotation = values[0].strip(), " ".join(values[1].split()), values[2]
    record = ",".join(values)[:SHOWN]
    for name, value in (("url", url), ("query", query)):
        if value in MISSING:
            yield Rejected(str(file), line, f"missing_{name}", f"the cell holds {value!r}", record)
            return
    if annotation.strip() in MISSING:
        yield Rejected(str(file), line, "empty_annotation", f"the cell holds {annotation!r}", record)
        yield Row(line, url, query, None)
    else:
        yield Row(line, url, query, annotation)


def captions(
    file: Path, *, image: str = "url", query: str = "query", annotation: str = "annotation"
) -> Iterator[tuple[str, str]]:
    """(query, caption) of every row that has a caption; images are not looked at."""
    for row in rows(file, image=image, query=query, annotation=annotation):
        if isinstance(row, Row) and row.annotation is not None:
            yield row.query, row.annotation


def is_address(url: str) -> bool:
    """Whether a cell of the image column is an http(s) address and not a path."""
    return url.lower().startswith(("http://", "https://"))


def locate(url: str, root: Path) -> Path:
    """File that belongs to a cell of the image column, whether or not it exists. OutsideRoot if it would leave `root`.

    A path starts from `root`; where it repeats the end of root's own path (`data/quic360/test/images/x.jpg` beside
    `data/quic360/test.csv`) the repetition is understood. Of an address only the file name counts: `root/x.jpg` or
    `root/images/x.jpg`. The check is on the words of the path: links inside `root` are the owner's own and followed.
    """
    root = Path(root).absolute()
    if is_address(url):
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        if name in ("", "..") or "\0" in name:
            raise OutsideRoot(f"the address {url!r} ends in no file name")
        return next((file for file in (root / name, root / "images" / name) if _is_file(file)), root / name)
    path = PurePosixPath(url.replace("\\", "/"))  # written on Windows
    if "\0" in url or ".." in path.parts or (path.is_absolute() and not path.is_relative_to(root)):
        raise OutsideRoot(f"the path {url!r} leads out of {root}")
    if _is_file(root / path):
        return root / path
    for count in range(min(len(path.parts), len(root.parts)), 0, -1):
        if path.parts[:count] == root.parts[-count:] and _is_file(tail := root.joinpath(*path.parts[count:])):
            return tail
    return root / path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False


def download(url: str, target: Path, *, timeout_s: float = 30.0, limit_bytes: int = 100_000_000) -> None:
    """Fetch one picture to `target`, which appears only when complete. OSError says why it failed."""
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "retcap (research; one request per picture)"})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # follows redirects to http, https and ftp only
        data = answer.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(f"{url}: more than {limit_bytes} bytes")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(data)
    partial.replace(target)
