"""The image pack: every distinct image decoded and resized once, addressed by content, read through a memory map.

A pack is a folder:

    pixels.bin      the images one after another (raw RGB bytes, or JPEG/PNG files)
    index.parquet   key, offset, length (bytes), height, width, source_height, source_width (px); in order of appearance
    paths.parquet   path, key or null, reason, detail: one row per path asked for, in the order asked

`key` is the SHA-256 of the file's bytes, so two paths with equal bytes share one entry. A missing or broken file is
no entry: its path has no key, but a reason. The same files in the same order give the same bytes, for any `workers`.
"""

import hashlib
import itertools
import json
import logging
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap import pixels

log = logging.getLogger(__name__)
Encoding = Literal["raw", "jpeg", "png"]
INDEX = pa.schema(
    [("key", pa.string()), ("offset", pa.int64()), ("length", pa.int64())]
    + [(name, pa.int32()) for name in ("height", "width", "source_height", "source_width")]
)
PATHS = pa.schema([(name, pa.string()) for name in ("path", "key", "reason", "detail")])
ROW_GROUP = 65_536  # rows kept in memory before they are written
LOG_EVERY = 50_000  # images


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


def build(
    folder: Path,
    files: Iterable[tuple[str, Path]],
    resize: pixels.Resize,
    *,
    encoding: Encoding = "raw",
    workers: int = 2,
) -> dict[str, int]:
    """Write a pack and return its counts: images asked for, stored, duplicate, bytes, and one count per reason.

    `files` gives (path as the data names it, file to read) and may be a generator of millions: at most 4 x `workers`
    decoded images are in memory. Decoding runs in threads, since Pillow and hashlib release the interpreter lock.
    The folder appears only when it is complete; an older one is replaced.
    """
    folder = Path(folder)
    partial = folder.with_name(
        f".{folder.name}.building"
    )  # fixed name: what a killed run left is cleared, not piled up
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    started = time.perf_counter()
    try:
        with _Writer(partial, resize, encoding) as writer, ThreadPoolExecutor(workers) as pool:

            def read(item: tuple[str, Path]) -> Read:
                return _read(*item, resize, encoding, writer.stored)

            for outcome in _in_order(pool, read, files, window=4 * workers):
                writer.add(outcome)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    counts = dict(sorted(writer.counts.items()))
    log.info("packed %s into %s in %.1f s", counts, folder, time.perf_counter() - started)
    return counts


def _in_order(pool: ThreadPoolExecutor, function: Callable, items: Iterable, window: int) -> Iterator:
    """`pool.map` that never runs more than `window` items ahead of its consumer."""
    source = iter(items)
    pending = deque(pool.submit(function, item) for item in itertools.islice(source, window))
    while pending:
        yield pending.popleft().result()
        pending.extend(pool.submit(function, item) for item in itertools.islice(source, 1))


def _read(path: str, file: Path, resize: pixels.Resize, encoding: Encoding, stored: set[str]) -> Read:
    try:
        data = pixels.file_bytes(file)
        key = hashlib.sha256(data).hexdigest()
        if key in stored:  # a race with a twin in flight only costs a second decode; the writer keeps the first
            return Read(path, key)
        image, source = pixels.decode(data, resize)
    except pixels.BadImage as error:
        return Read(path, reason=error.reason, detail=error.detail)
    return Read(path, key, pixels.encode(image, encoding), image.shape[:2], source)


class _Writer:
    """Appends what was read to the three files of a pack; memory stays bounded by one row group and the set of keys."""

    def __init__(self, folder: Path, resize: pixels.Resize, encoding: Encoding):
        about = json.dumps({"encoding": encoding, "resize": asdict(resize)}).encode()
        self.stored: set[str] = set()
        self.counts: Counter[str] = Counter(images=0, stored=0, duplicates=0, bytes=0)
        self._pixels = open(folder / "pixels.bin", "wb")  # noqa: SIM115  closed in __exit__
        self._index = _Table(folder / "index.parquet", INDEX.with_metadata({"retcap.pack": about}))
        self._paths = _Table(folder / "paths.parquet", PATHS)

    def add(self, read: Read) -> None:
        self.counts["images"] += 1
        if self.counts["images"] % LOG_EVERY == 0:
            log.info("%s", dict(self.counts))
        self._paths.add((read.path, read.key, read.reason, read.detail))
        if read.key is None:
            assert read.reason is not None
            self.counts[read.reason] += 1
        elif read.key in self.stored:
            self.counts["duplicates"] += 1
        else:
            assert read.payload is not None
            self._index.add((read.key, self.counts["bytes"], len(read.payload), *read.shape, *read.source))
            self._pixels.write(read.payload)
            self.stored.add(read.key)
            self.counts.update(stored=1, bytes=len(read.payload))

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self._pixels, self._index, self._paths):
            part.close()


class _Table:
    """A Parquet file written row by row."""

    def __init__(self, path: Path, schema: pa.Schema):
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._rows: list[tuple] = []

    def add(self, row: tuple) -> None:
        self._rows.append(row)
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()


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


def read_paths(folder: Path) -> pa.Table:
    """The pack's `paths.parquet`: path, key (null if not packed), reason, detail."""
    return pq.read_table(Path(folder) / "paths.parquet")
