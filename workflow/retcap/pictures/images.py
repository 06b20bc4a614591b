"""The image pack: every distinct image decoded and resized once, addressed by content, read through a memory map.

A pack is a folder:

    pixels.bin      the images one after another (raw RGB bytes, or JPEG/PNG files)
    index.parquet   key, offset, length (bytes), height, width, source_height, source_width (px); in order of appearance
    paths.parquet   path, key or null, reason, detail: one row per path asked for, in the order asked

`key` is the SHA-256 of the file's bytes, so two paths with equal bytes share one entry. A missing or broken file is
no entry: its path has no key, but a reason. The same files in the same order give the same bytes, for any `workers`.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.jobs.scratch import locked
from retcap.parallel import in_order
from retcap.pictures import pixels
from retcap.pictures.journal import INDEX, Item, Journal, Read, Row, state_of

log = logging.getLogger(__name__)
Encoding = str  # raw, jpeg or png
Check = Callable[[Path], None]


def build(
    folder: Path,
    files: Iterable[Item],
    resize: pixels.Resize,
    *,
    encoding: Encoding = "raw",
    workers: int = 2,
    check: Check | None = None,
    scratch: Path | None = None,
) -> dict[str, int]:
    """Write a pack and return its counts: images asked for, stored, duplicate, bytes, and one count per reason.

    `files` gives (path as the data names it, file to read) and may be a generator of millions: at most 4 x `workers`
    decoded images are in memory. Decoding runs in threads, since Pillow and hashlib release the interpreter lock.
    `check` looks at every file before it is read and raises BadImage where it must not be. The folder appears only when
    it is complete; an older one is replaced. With `scratch`, a folder on the same disk, what a killed build has packed
    stays there, and the next one goes on from it.
    """
    folder, started = Path(folder), time.perf_counter()
    # the name is fixed: what a killed build without scratch left is cleared, not piled up
    working, whole = (folder.with_name(f".{folder.name}.{state}") for state in ("building", "whole"))
    settings = {"encoding": encoding, "resize": asdict(resize)}
    for old in (working, whole):
        shutil.rmtree(old, ignore_errors=True)
    try:
        with locked(scratch or working, "packs pictures"), Journal(scratch or working, settings) as journal:
            reader = _Reader(resize, encoding, check, journal.stored)
            with ThreadPoolExecutor(workers) as pool:
                left = journal.resume(files, partial(pool.map, reader.gives_again))
                for outcome in in_order(pool, reader.read, left, window=4 * workers):
                    journal.add(outcome)
            journal.finish(whole)
            shutil.rmtree(folder, ignore_errors=True)
            whole.rename(folder)
        shutil.rmtree(scratch or working)
    finally:
        for unfinished in (working, whole):
            shutil.rmtree(unfinished, ignore_errors=True)
    counts = dict(sorted(journal.counts.items()))
    log.info("packed %s into %s in %.1f s", counts, folder, time.perf_counter() - started)
    return counts


@dataclass(frozen=True)
class _Reader:
    """How one file becomes an entry of the pack; several threads read at once."""

    resize: pixels.Resize
    encoding: Encoding
    check: Check | None
    stored: set[str]  # keys of the pictures that are in the pack

    def read(self, item: Item) -> Read:
        path, file = item
        state = state_of(file)
        try:
            if self.check is not None:
                self.check(file)
            data = pixels.file_bytes(file)
            key = hashlib.sha256(data).hexdigest()
            if key in self.stored:  # a race with a twin in flight only costs a second decode; the first one is kept
                return Read(path, key, state=state)
            image, source = pixels.decode(data, self.resize)
        except pixels.BadImage as error:
            return Read(path, reason=error.reason, detail=error.detail, state=state)
        return Read(path, key, pixels.encode(image, self.encoding), image.shape[:2], source, state=state)

    def gives_again(self, row: Row, item: Item) -> bool:
        """Whether reading the item now would give what was recorded; what was missing or broken is read again."""
        if row["path"] != item[0]:
            return False
        if row["key"] is None:
            return self.read(item).reason == row["reason"]
        return state_of(item[1]) == (row["file_bytes"], row["file_mtime_ns"])


class ImagePack:
    """A pack opened for reading: `pack[key]` is uint8, height x width x 3, RGB, read-only (copy it to write to it).

    Opening maps the pixels and keeps 64 bytes per key. It pickles as its folder name, so data-loader workers reopen it.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if not (self.folder / "index.parquet").is_file():
            raise FileNotFoundError(
                f"No image pack at {self.folder}: index.parquet is missing. images.build writes it."
            )
        table = pq.read_table(self.folder / "index.parquet", memory_map=True)
        self.encoding: Encoding = json.loads(table.schema.metadata[b"retcap.pack"])["encoding"]
        keys = np.array(table["key"].to_pylist(), dtype="S64")
        self._by_key = np.argsort(keys, kind="stable")  # sorted keys: far smaller than a dict at a million images
        self._sorted = keys[self._by_key]
        self._place = np.stack([table[name].to_numpy().astype(np.int64) for name in INDEX.names[1:]], axis=1)
        self._bytes = self._map()

    def _map(self) -> np.ndarray:
        file = self.folder / "pixels.bin"
        expected = int(self._place[:, 1].sum())
        if (found := file.stat().st_size) != expected:
            raise ValueError(
                f"{file} has {found} bytes, its index says {expected}. Delete {self.folder} and build it again."
            )
        return np.memmap(file, dtype=np.uint8, mode="r") if expected else np.empty(0, np.uint8)

    def _row(self, key: str) -> int | None:
        try:
            wanted = key.encode("ascii")
        except (AttributeError, UnicodeEncodeError):
            return None
        at = int(np.searchsorted(self._sorted, wanted))
        return int(self._by_key[at]) if at < len(self._sorted) and self._sorted[at] == wanted else None

    def __getitem__(self, key: str) -> np.ndarray:
        row = self._row(key)
        if row is None:
            raise KeyError(
                f"{key!r} is not in the image pack {self.folder} ({len(self)} images). Keys are SHA-256 of files."
            )
        offset, length, height, width = (int(number) for number in self._place[row, :4])
        data = np.asarray(self._bytes[offset : offset + length])
        return data.reshape(height, width, 3) if self.encoding == "raw" else pixels.decode_stored(data.tobytes())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._row(key) is not None

    def __len__(self) -> int:
        return len(self._sorted)

    def keys(self) -> list[str]:
        """All keys in the order in which the images were packed."""
        in_order = np.empty_like(self._sorted)
        in_order[self._by_key] = self._sorted
        return [key.decode() for key in in_order]

    def __reduce__(self) -> tuple[Any, ...]:
        return ImagePack, (self.folder,)


def settings_of(folder: Path) -> dict[str, Any]:
    """How the pictures of a pack were made: encoding, and the fields of `pixels.Resize`."""
    return json.loads(pq.read_schema(Path(folder) / "index.parquet").metadata[b"retcap.pack"])


def read_paths(folder: Path) -> pa.Table:
    """The pack's `paths.parquet`: path, key (null if not packed), reason, detail."""
    return pq.read_table(Path(folder) / "paths.parquet")
