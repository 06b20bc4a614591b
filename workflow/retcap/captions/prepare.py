"""From a caption CSV to what is captioned and scored: (image, query) pairs with all their references, and their images.

The pair, not the CSV row, is the item: QuIC-360 repeats each pair about five times, once per reference, so scoring rows
would generate the same caption five times and compare it with one reference at a time.
Nothing is lost silently: every row gives one reference or stands in the quarantine, once, with file, line and reason,
and the coverage says which part of the data set the scores stand for.
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from retcap import plugins
from retcap.captions import files, reading
from retcap.captions.clean import clean_reference
from retcap.captions.located import Lost, locate, no_images
from retcap.captions.reading import Reading, counts
from retcap.files import jsonl
from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.records import Rejected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """Where `prepare` writes."""

    items: Path
    requests: Path
    rows: Path
    images: Path  # a folder
    quarantine: Path
    coverage: Path


class _Line(NamedTuple):
    """A row and the file it stands in."""

    csv: Path
    row: Any  # the plugin's Row


@dataclass(frozen=True)
class _Pair:
    image: str
    query: str
    lines: list[_Line]  # in the order of the files

    def with_caption(self) -> list[_Line]:
        """The rows that give a reference each. Repeated captions stay: published figures count them, and dropping them
        would change every score slightly."""
        return [line for line in self.lines if line.row.caption is not None]


def item_id(image: str, query: str) -> str:
    """Stable id of a pair: the same in every copy of the data set, however many of its images survive.

    >>> item_id("images/a.jpg", "people")
    '25896e292841c732'
    """
    return hashlib.sha1(f"{image}\0{query}".encode()).hexdigest()[:16]


def prepare(
    csv: str | Path | Sequence[str | Path],
    out: Outputs,
    *,
    dataset: str = "quic360",
    columns: dict[str, str] | None = None,
    images_root: Path | None = None,
    max_width_px: int = 2048,
    max_height_px: int = 1024,
    require_images: bool = True,
    encoding: images.Encoding = "raw",
    download_to: Path | None = None,
    limit: int | None = None,
    workers: int = 2,
) -> dict:
    """Write the outputs and return the coverage.

    `csv`: one file or several, read as if they were one. `columns` maps image, query, annotation to column names.
    `images_root` None is the folder of each CSV. `require_images` False keeps pairs without an image (image_key null):
    for baselines and metrics, not for models. `download_to` is a folder for pictures given by http address; None never
    touches the network. `limit`: only the first pairs of the files, for a first look; the others count as neither used
    nor set aside.
    """
    csvs, started = reading.paths(csv), time.perf_counter()
    plugin = plugins.load("datasets", dataset)
    readings = [reading.read(plugin, path, columns) for path in csvs]
    known = _pairs(readings)
    pairs, beyond = known[:limit], known[limit:] if limit else []
    folders = _folders(pairs, images_root)
    located, lost = locate(plugin, folders, download_to)
    resize = Resize("fit", max_width_px, max_height_px)
    pack = images.build(Path(out.images), located, resize, encoding=encoding, workers=workers)
    keys = _keys(Path(out.images), lost)
    name = ", ".join(map(str, csvs))
    if require_images and not keys:
        raise no_images(name, list(dict.fromkeys(root for roots in folders.values() for root in roots)), lost)
    items, left_out, why = _items(pairs, keys, lost if require_images else {})
    rejected = [record for found in readings for record in found.rejected] + left_out
    rejected.sort(key=lambda record: ([str(path) for path in csvs].index(record.file), record.line))
    check_balance(readings, items, rejected, sum(len(pair.with_caption()) for pair in beyond))
    jsonl.write(out.quarantine, rejected)
    if not items:
        reasons = counts(record.reason for record in rejected)
        raise ValueError(f"{name}: none of {len(pairs)} pairs can be used. Rows set aside: {reasons}.")
    files.write_items(out.items, items)
    files.write_requests(out.requests, items)
    files.write_rows(out.rows, _rows(readings, items, beyond))
    about: dict[str, Any] = {"csv": ", ".join(path.name for path in csvs), "dataset": dataset}
    about |= {"rows": sum(found.records for found in readings)}
    about |= {"first_look": {"first_pairs": len(pairs), "of": len(known)}} if beyond else {}
    coverage = about | _coverage(readings, pairs, items, keys, lost, rejected)
    coverage |= {"pairs_lost": counts(why), "pack": pack}
    files.write_json(out.coverage, coverage)
    reading.warn(name, rejected, about["rows"], "quarantine.jsonl")
    log.info("prepared %s in %.1f s: %s", name, time.perf_counter() - started, coverage)
    return coverage


def check_balance(readings: Sequence[Reading], items: list[dict], rejected: list[Rejected], beyond: int = 0) -> None:
    """Every record of the files is a reference of one pair, or stands in the quarantine, or lies beyond the limit."""
    used, records = sum(len(item["references"]) for item in items), sum(found.records for found in readings)
    assert records == used + len(rejected) + beyond, (records, used, len(rejected), beyond)
    assert len({(record.file, record.line) for record in rejected}) == len(rejected)


def _pairs(readings: Sequence[Reading]) -> list[_Pair]:
    pairs: dict[tuple[str, str], _Pair] = {}
    for line in (_Line(found.csv, row) for found in readings for row in found.rows):
        pairs.setdefault((line.row.url, line.row.query), _Pair(line.row.url, line.row.query, [])).lines.append(line)
    return list(pairs.values())


def _folders(pairs: Sequence[_Pair], images_root: Path | None) -> dict[str, list[Path]]:
    """Image -> the folders that its path may start from: the given one, or that of every CSV that names it."""
    found: dict[str, dict[Path, None]] = {}
    for pair in pairs:
        roots = [line.csv.parent if images_root is None else Path(images_root) for line in pair.lines]
        found.setdefault(pair.image, {}).update(dict.fromkeys(roots))
    return {image: list(roots) for image, roots in found.items()}


def _keys(pack: Path, lost: Lost) -> dict[str, str]:
    """Content key per image; images that the pack could not read are added to `lost`."""
    keys = {}
    for entry in images.read_paths(pack).to_pylist():
        if entry["key"]:
            keys[entry["path"]] = entry["key"]
        else:
            lost[entry["path"]] = (entry["reason"], entry["detail"])
    return keys


def _items(pairs: list[_Pair], keys: dict[str, str], lost: Lost) -> tuple[list[dict], list[Rejected], list[str]]:
    """The pairs that can be used, the rows of the others that have a caption, and per lost pair its reason."""
    items, rejected, why = [], [], []
    for pair in pairs:
        lines = pair.with_caption()
        if not lines:  # each of its rows is set aside already, for its own empty cell
            why.append("no_reference")
        elif pair.image in lost:
            why.append(lost[pair.image][0])
            rejected += [reading.reject(line.csv, line.row, *lost[pair.image]) for line in lines]
        else:
            names = {"item_id": item_id(pair.image, pair.query), "image": pair.image, "image_key": keys.get(pair.image)}
            references = [clean_reference(line.row.caption) for line in lines]
            numbers = [line.row.line for line in pair.lines]
            items.append(names | {"query": pair.query, "references": references, "rows": numbers})
    return items, rejected, why


def _rows(readings: Sequence[Reading], items: list[dict], beyond: Sequence[_Pair]) -> list[dict]:
    known = {(item["image"], item["query"]): item["item_id"] for item in items}
    later = {(pair.image, pair.query) for pair in beyond}
    return [
        {
            "csv": found.csv.name,
            "line": row.line,
            "image": row.url,
            "query": row.query,
            "reference": row.caption,
            "item_id": known.get((row.url, row.query)),
            "beyond_limit": (row.url, row.query) in later,
        }
        for found in readings
        for row in found.rows
    ]


def _coverage(
    readings: Sequence[Reading],
    pairs: Sequence[_Pair],
    items: list[dict],
    keys: dict[str, str],
    lost: Lost,
    rejected: list[Rejected],
) -> dict:
    """What part of the data set the scores stand for. Shares are fractions of the kept pairs."""
    histogram = Counter(len(item["references"]) for item in items)
    rows = [row for found in readings for row in found.rows]
    texts = Counter((row.url, row.query, row.caption) for row in rows if row.caption is not None)
    return {
        "rows_kept": sum(len(item["references"]) for item in items),
        "rows_quarantined": len(rejected),
        "duplicate_rows": texts.total() - len(texts),
        "images": len(keys) + len(lost),
        "images_there": len(keys),
        "images_lost": counts(reason for reason, _ in lost.values()),
        "pairs": len(pairs),
        "pairs_kept": len(items),
        "references": sum(len(item["references"]) for item in items),
        "references_per_pair": {str(number): histogram[number] for number in sorted(histogram)},
        "single_reference_share": histogram[1] / len(items),
        "quarantined": counts(record.reason for record in rejected),
        "manifest_sha256": manifest_sha256(items),
    }


def manifest_sha256(items: list[dict]) -> str:
    """Fingerprint of what was scored: SHA-256 over the sorted lines "image, SHA-256 of its file, query"."""
    lines = sorted("\t".join((item["image"], item["image_key"] or "", item["query"])) for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
