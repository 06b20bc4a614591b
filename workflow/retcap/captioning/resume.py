"""Finished captions on disk, found again by what they are captions of, in this run and in later ones.

A folder holds the captions of one captioner. `<hash>.json` says what decides captions (the model, its weights, its
settings) and `<hash>.jsonl`, named by the hash of just that, grows by the records of one batch at a time. A record is
known by its content: the query, and the pixels that the model was shown. So rows that are added to a data set cost what
is new, and nothing else does: no change of a reference, a file name or an order. Jobs that share one captioner's work
write to files of their own (`<hash>.<writer>.jsonl`) and read those of all, so another number of jobs costs nothing
either.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retcap.files import jsonl
from retcap.files.whole import replacing
from retcap.pictures.images import ImagePack

Item = tuple[str, str, str | float | None]  # item id, query, image key (None or NaN: the image could not be read)


class Finished:
    """Records by content id, kept in `folder` (in memory alone if None). Failed ones are not kept for the next run.

    writer: name of this job among those that write to the folder at the same time.
    """

    def __init__(self, folder: str | Path | None = None, settings: Mapping[str, Any] | None = None, writer: str = ""):
        self.done: dict[str, dict] = {}
        self.about: dict[str, Any] | None = None  # what `describe` was told, now or in an earlier run
        self._file: Path | None = None
        self._settings = dict(settings or {})
        if folder is not None:
            name = hashlib.sha256(json.dumps(self._settings, sort_keys=True).encode()).hexdigest()[:16]
            self._file = Path(folder) / (f"{name}.{writer}.jsonl" if writer else f"{name}.jsonl")
            self._file.parent.mkdir(parents=True, exist_ok=True)
            for file in sorted(self._file.parent.glob(f"{name}*.json*")):
                self._read(file)

    def describe(self, about: dict[str, Any]) -> None:
        """Keep what is known of a model only once it is loaded, for a run that need not load it."""
        self.about = about
        if self._file is not None:
            with replacing(self._file.with_suffix(".json")) as partial:
                partial.write_text(json.dumps({"settings": self._settings, "about": about}, indent=1), encoding="utf-8")

    def commit(self, records: list[dict]) -> None:
        """Keep the records of one batch; after the return not even a kill loses them."""
        self.done |= {record["content"]: record for record in records}
        if self._file is not None:
            jsonl.append(self._file, records)

    def records(self, items: Sequence[Item], contents: Sequence[str]) -> list[dict]:
        """One record per item, with its id in place of the content."""
        known = [self.done[content] for content in contents]
        return [
            {"item_id": item_id} | {name: value for name, value in record.items() if name != "content"}
            for (item_id, _, _), record in zip(items, known, strict=True)
        ]

    def _read(self, file: Path) -> None:
        if file.suffix == ".json":
            self.about = json.loads(file.read_text(encoding="utf-8"))["about"]
            return
        for record in jsonl.read(file, appended=True):
            if record["status"] != "failed":  # its cause may be gone: it is tried again
                self.done[record["content"]] = record


def content_ids(items: Sequence[Item], pack: Mapping[str, np.ndarray] | ImagePack) -> list[str]:
    """What each item is about: 32 hex digits over its query and the pixels of its image.

    An item whose image is not there has its own id in place of the pixels, so that it stands for itself.
    """
    pixels: dict[str, str] = {}
    contents = []
    for item_id, query, key in items:
        if isinstance(key, str) and key not in pixels:
            pixels[key] = _of_pixels(pack, key)
        shown = (pixels[key] if isinstance(key, str) else "") or f"item {item_id}"
        contents.append(hashlib.sha256(f"{shown}\0{query}".encode()).hexdigest()[:32])
    return contents


def _of_pixels(pack: Mapping[str, np.ndarray] | ImagePack, key: str) -> str:
    try:
        image = np.ascontiguousarray(pack[key])
    except KeyError:
        return ""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
