"""What has been packed so far, on disk: an image pack that was killed goes on where it stopped, to the same bytes.

    pixels.bin             pixels of all stored images, one after another
    part-000000.parquet    outcomes of PART paths in order: what index and paths will say, and the file's size and mtime

A part appears only after its pixels are on the disk. Whatever a killed run wrote behind the last part is cut off. A new
run compares every path and file with what the parts say and takes over what is still true, up to the first difference;
a picture that was missing or broken is looked at again. So the pack is always that of the files as they are now.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.files.whole import replacing

log = logging.getLogger(__name__)
PART = 4096  # paths: what a killed run loses at most
ROW_GROUP = 65_536
SIZES = ("height", "width", "source_height", "source_width")
INDEX = pa.schema(
    [("key", pa.string()), ("offset", pa.int64()), ("length", pa.int64())] + [(name, pa.int32()) for name in SIZES]
)
PATHS = pa.schema([(name, pa.string()) for name in ("path", "key", "reason", "detail")])
OUTCOMES = pa.schema(
    [*PATHS, ("length", pa.int64())]
    + [(name, pa.int32()) for name in SIZES]
    + [(name, pa.int64()) for name in ("file_bytes", "file_mtime_ns")]
)  # length: null for what takes no place of its own in pixels.bin
State = tuple[int, int] | None  # bytes and mtime (ns) of a file; None if there is none
Item = tuple[str, Path]  # path as the data name it, file to read
Row = dict[str, Any]  # of OUTCOMES


@dataclass(frozen=True)
class Read:
    """What became of one path: pixels, or a reason, or neither when its bytes are in the pack already."""

    path: str
    key: str | None = None
    payload: bytes | None = None
    shape: tuple[int, int] = (0, 0)  # height, width as stored
    source: tuple[int, int] = (0, 0)  # height, width of the file
    reason: str | None = None
    detail: str | None = None
    state: State = None  # of the file, before it was read


def state_of(file: Path) -> State:
    """Size and mtime of a file, by which a changed one is noticed."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


class Journal:
    """The pack under construction in a folder; memory stays bounded by one part and the set of keys."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.folder, self.settings = folder, settings
        self.stored: set[str] = set()
        self.counts: Counter[str] = Counter(images=0, stored=0, duplicates=0, bytes=0)
        self._parts = 0
        self._rows: list[tuple] = []
        about = folder / "settings.json"
        if not about.is_file() or json.loads(about.read_text(encoding="utf-8")) != settings:
            for other in (folder / "pixels.bin", *folder.glob("part-*")):
                other.unlink(missing_ok=True)
            about.write_text(json.dumps(settings), encoding="utf-8")
        self._pixels = open(folder / "pixels.bin", "ab")  # noqa: SIM115  closed in __exit__

    def resume(self, items: Iterable[Item], still: Callable[[list[Row], list[Item]], Iterable[bool]]) -> Iterator[Item]:
        """Take over what an earlier run packed; returns the items that are left.

        `still` tells for recorded outcomes and the items in their places whether packing would give the same again.
        """
        source, written = iter(items), self._pixels.tell()
        for file in self._earlier():
            part = pq.read_table(file).to_pylist()
            here = list(islice(source, len(part)))
            kept = list(map(itemgetter(0), takewhile(itemgetter(1), zip(part, still(part, here), strict=False))))
            if self.counts["bytes"] + sum(row["length"] or 0 for row in kept) > written:
                kept = []  # their pixels did not reach the disk
            for row in kept:
                self._count(row["key"], row["reason"], row["length"])
            source = chain(here[len(kept) :], source)
            if len(kept) < len(part):
                self._rows = [tuple(row[name] for name in OUTCOMES.names) for row in kept]  # held as if just read
                break
            self._parts += 1
        if self.counts["images"]:
            log.info("going on after %d pictures that are packed already", self.counts["images"])
        for file in self._earlier()[self._parts :]:
            file.unlink()
        self._pixels.truncate(self.counts["bytes"])
        self._pixels.seek(0, os.SEEK_END)
        return source

    def add(self, read: Read) -> None:
        """Keep the outcome of the next path."""
        fresh = read.key is not None and read.key not in self.stored
        if fresh:
            assert read.payload is not None
            self._pixels.write(read.payload)
        length = len(read.payload or b"") if fresh else None
        self._count(read.key, read.reason, length)
        outcome = (read.path, read.key, read.reason, read.detail, length)
        self._rows.append((*outcome, *read.shape, *read.source, *(read.state or (None, None))))
        if len(self._rows) == PART:
            self._flush()

    def finish(self, folder: Path) -> None:
        """Move the pixels to a new folder, with index and paths beside them."""
        self._flush()
        self._pixels.close()
        folder.mkdir(parents=True)
        _write(folder / "paths.parquet", PATHS, (table.select(PATHS.names) for table in self._tables()))
        about = {"retcap.pack": json.dumps(self.settings).encode()}
        _write(folder / "index.parquet", INDEX.with_metadata(about), self._index())
        os.replace(self.folder / "pixels.bin", folder / "pixels.bin")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._pixels.close()

    def _count(self, key: str | None, reason: str | None, length: int | None) -> None:
        self.counts["images"] += 1
        if key is None:
            assert reason is not None
            self.counts[reason] += 1
        elif length is None:
            self.counts["duplicates"] += 1
        else:
            self.stored.add(key)
            self.counts.update(stored=1, bytes=length)

    def _earlier(self) -> list[Path]:
        """Parts without a gap."""
        files = sorted(self.folder.glob("part-*.parquet"))
        return [file for number, file in enumerate(files) if file == self._part(number)]

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"

    def _flush(self) -> None:
        """Write the outcomes held as a part, its pixels first."""
        if not self._rows:
            return
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, OUTCOMES, strict=True)]
        self._put(pa.Table.from_arrays(arrays, schema=OUTCOMES), self._part(self._parts))
        self._parts += 1
        self._rows.clear()

    def _put(self, table: pa.Table, file: Path) -> None:
        with replacing(file) as partial, partial.open("wb") as stream:
            pq.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())

    def _tables(self) -> Iterator[pa.Table]:
        return (pq.read_table(self._part(number)) for number in range(self._parts))

    def _index(self) -> Iterator[pa.Table]:
        """Rows of the index: the outcomes that take a place, each with its offset."""
        offset = 0
        for table in self._tables():
            stored = table.filter(table["length"].is_valid())
            lengths = stored["length"].to_numpy()
            ends = offset + np.cumsum(lengths)
            offset += int(lengths.sum())
            yield stored.append_column("offset", pa.array(ends - lengths, pa.int64())).select(INDEX.names)


def _write(file: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """The rows of all tables in row groups of one size, however the tables are cut."""
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        held = schema.empty_table()
        for table in tables:
            held = pa.concat_tables([held, table.cast(schema)])
            while len(held) >= ROW_GROUP:
                writer.write_table(held.slice(0, ROW_GROUP).combine_chunks())
                held = held.slice(ROW_GROUP)
        if len(held):
            writer.write_table(held.combine_chunks())
