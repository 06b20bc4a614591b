"""Captions that were made elsewhere: a CSV, TSV or JSON-lines file of pairs and captions, as one more system.

A record names its pair by image and query, as the caption CSV has them, or by the id in pairs.parquet. The image may
also have another folder or address before the same file name, where this name stands for one image on both sides.
Every record is used, a repetition of one that is, or stands in the quarantine with its reason. A pair without a record
failed: it keeps its place and scores 0.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from retcap.captions import csv_file, files
from retcap.captions.csv_file import Record
from retcap.captions.reading import counts
from retcap.captions.whitespace import collapse
from retcap.files import jsonl
from retcap.records import Rejected

SHOWN = 500  # characters of a rejected record kept


@dataclass(frozen=True)
class Taken:
    """What a file gave."""

    captions: pd.DataFrame  # captions.parquet
    rejected: list[Rejected]
    about: dict[str, Any]  # provenance and counts


def take(file: Path, columns: Mapping[str, str | None], name: str, items: pd.DataFrame, rows: pd.DataFrame) -> Taken:
    """The captions of a file for the pairs of pairs.parquet; `rows` (rows.parquet) tells pairs that were left out.

    `columns`: item, image, query, caption -> column; `name`: of the system, for messages. ValueError where not one
    record fits a pair, and for what makes a whole file unreadable.
    """
    records = list(_read(file, _wanted(columns), f"captioning.predictions.{name}.columns"))
    found = _Pairs(items, rows, records)
    said: dict[str, str] = {}
    rejected, repeated = [], 0
    for record in records:
        item, reason, detail = found.item(record)
        caption = record.cells.get("caption", "")
        if item is None:
            rejected.append(Rejected(str(file), record.line, reason, detail, record.text[:SHOWN]))
        elif item not in said:
            said[item] = caption
        elif said[item] == caption:
            repeated += 1
        else:
            detail = f"the pair has the caption {said[item][:80]!r} already; the first one counts"
            rejected.append(Rejected(str(file), record.line, "second_caption", detail, record.text[:SHOWN]))
    if not said:
        reasons = counts(record.reason for record in rejected)
        first = f" The first: {rejected[0].detail}." if rejected else ""
        raise ValueError(f"{file}: none of its {len(records)} records fits a pair that is scored: {reasons}.{first}")
    about = {
        "file": str(file),
        "sha256": sha256(file),
        "records": len(records),
        "captions": len(said),
        "repeated": repeated,
        "matched_by_file_name": len(found.by_name),
        "pairs": len(items),
        "pairs_without_caption": len(items) - len(said),
        "quarantined": counts(record.reason for record in rejected),
    }
    return Taken(_captions(items, said, file), rejected, about)


def sha256(file: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


class _Pairs:
    """Finds the pair of a record."""

    def __init__(self, items: pd.DataFrame, rows: pd.DataFrame, records: Iterable[Record]):
        self.by_name: set[str] = set()  # images of the file that were found by their file name
        self._ids = set(items["item_id"])
        self._pairs = dict(zip(zip(items["image"], items["query"], strict=True), items["item_id"], strict=True))
        self._left_out = set(zip(rows["image"], rows["query"], strict=True)) - set(self._pairs)
        ours, theirs = _by_name(rows["image"]), _by_name(record.cells.get("image", "").strip() for record in records)
        self._images = {
            image: next(iter(ours[name]))
            for name, images in theirs.items()
            for image in images
            if len(images) == len(ours.get(name, ())) == 1
        }

    def item(self, record: Record) -> tuple[str | None, str, str]:
        """Item id, or None with reason and detail."""
        if record.problem is not None:
            return None, "malformed_record", record.problem
        if "item" in record.cells:
            item = record.cells["item"].strip()
            return (item, "", "") if item in self._ids else (None, "unknown_pair", f"no pair has the id {item!r}")
        image, query = record.cells["image"].strip(), collapse(record.cells["query"])
        if not image or not query:
            return None, "missing_image" if not image else "missing_query", "the cell is empty"
        pair = (image, query)
        if pair not in self._pairs and pair not in self._left_out and image in self._images:
            pair = (self._images[image], query)
            self.by_name |= {image} if pair in self._pairs else set()
        if pair in self._pairs:
            return self._pairs[pair], "", ""
        if pair in self._left_out:
            return None, "pair_left_out", f"the pair of {image!r} and {query!r} is not scored in this run"
        return None, "unknown_pair", f"the caption CSV has no pair of {image!r} and {query!r}"


def _by_name(images: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for image in images:
        found[image.replace("\\", "/").partition("?")[0].rsplit("/", 1)[-1]].add(image)
    return found


def _wanted(columns: Mapping[str, str | None]) -> dict[str, str]:
    keys = ("item", "caption") if columns["item"] else ("image", "query", "caption")
    return {key: str(columns[key]) for key in keys}


def _read(file: Path, columns: Mapping[str, str], setting: str) -> Iterator[Record]:
    if not file.is_file():
        raise FileNotFoundError(f"No file of captions at {file}. Set `{setting.removesuffix('columns')}file`.")
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return _read_lines(file, columns, setting)
    return csv_file.read(file, columns, setting)


def _read_lines(file: Path, columns: Mapping[str, str], setting: str) -> Iterator[Record]:
    """The records of a JSON-lines file; one without a key is malformed, unless none has it: then the key is wrong."""
    found, met = [], set()
    for number, line in enumerate(jsonl.lines(file), start=1):
        if not line.isspace():
            found.append(_record(number, line, columns))
            met |= found[-1].cells.keys()
    if lacking := [key for key in columns if key not in met]:
        raise ValueError(
            f"{file}: no record has the key `{columns[lacking[0]]}`. Set `{setting}.{lacking[0]}` to the right one."
        )
    yield from found


def _record(number: int, line: bytes, columns: Mapping[str, str]) -> Record:
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Record(number, {}, f"not valid JSON ({error})", text)
    if not isinstance(value, dict):
        return Record(number, {}, "not a JSON object", text)
    cells = {key: value[name] for key, name in columns.items() if name in value}
    cells = {key: "" if cell is None else str(cell) for key, cell in cells.items()}
    lacking = [columns[key] for key in columns if key not in cells]
    return Record(number, cells, f"the key `{lacking[0]}` is missing" if lacking else None, text)


def _captions(items: pd.DataFrame, said: Mapping[str, str], file: Path) -> pd.DataFrame:
    records = []
    for item in items["item_id"]:
        caption = said.get(item)
        status = "failed" if caption is None else "ok" if collapse(caption) else "empty"
        reason = f"{file.name} has no caption of this pair" if caption is None else None
        record = {"item_id": item, "raw": caption or "", "status": status, "reason": reason}
        records.append(record | {"seconds": 0.0, "tokens": 0, "prompt": ""})
    return files.frame(records)
