"""QuIC-360: query-based captions of 360° panoramas, and every CSV or TSV in its format (`url,query,annotation`).

A captioning data set plugin has a CARD and

    rows(file, image, query, annotation)   yields one Row or one Rejected per record of the file
    locate(url, root)                      the image file of a row

Nothing is downloaded unless `download` is called: captions and pictures may not be redistributed.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from retcap.captions import csv_file
from retcap.captions.whitespace import collapse, is_blank
from retcap.files.whole import replacing
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
LONGEST_CELL = 131_072  # characters; the longest caption of QuIC-360 has under 1,000


class Row(NamedTuple):
    """One row that names an image and a query."""

    line: int  # first line of the row in the file, from 1; a quoted caption may span several
    url: str  # as in the file, outer blanks removed
    query: str  # blanks collapsed; spelling kept, also `arthitecture`
    annotation: str  # the cell as in the file, untouched

    @property
    def caption(self) -> str | None:
        """The annotation, or None where the cell is empty or says that it is missing: the row still has its pair."""
        return None if _is_missing(self.annotation) else self.annotation


class OutsideRoot(ValueError):
    """An image path that leads out of the folder that images may come from."""


def rows(
    file: Path, *, image: str = "url", query: str = "query", annotation: str = "annotation"
) -> Iterator[Row | Rejected]:
    """Read the file record by record: each gives one Row, or one Rejected with its reason.

    The three names are column names.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(
            f"No caption file at {file}. Set `captioning.csv` (or `captioning.train_csv`) to a CSV or TSV with the "
            f"columns url,query,annotation; QuIC-360 has them at {CARD.source}."
        )
    found = 0
    for record in csv_file.read(file, {"image": image, "query": query, "annotation": annotation}):
        found += 1
        yield _row(str(file), record)
    if not found:
        raise ValueError(f"{file}: the file has a header but no rows. It needs one row per reference caption.")


def _row(file: str, record: csv_file.Record) -> Row | Rejected:
    if record.problem is not None:
        return Rejected(file, record.line, "malformed_row", record.problem, record.text[:SHOWN])
    cells = record.cells
    row = Row(record.line, cells["image"].strip(), collapse(cells["query"]), cells["annotation"])
    shown = ",".join(cells.values())[:SHOWN]
    for key, cell in cells.items():
        if len(cell) > LONGEST_CELL:
            detail = f"the {key} has {len(cell)} characters, more than {LONGEST_CELL}: is a closing quote missing?"
            return Rejected(file, record.line, "cell_too_long", detail, shown)
    for name, cell in (("url", row.url), ("query", row.query)):
        if _is_missing(cell):
            return Rejected(file, record.line, f"missing_{name}", f"the cell holds {cell!r}", shown)
    return row


def _is_missing(cell: str) -> bool:
    return collapse(cell) in MISSING or is_blank(cell)


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
    with replacing(target) as partial:
        partial.write_bytes(data)
