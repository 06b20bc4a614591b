"""Vectors of one shard of a queries or passages file: `shard-<i>.npy` with `shard-<i>.ids.parquet`, in row order.

Shards are made by separate jobs. All rows of a picture fall into one shard, so that over all shards every distinct
picture is encoded once; the ids file says which rows a shard holds. The array can be memory-mapped; both files appear
only when they are complete. What made them stands in the metadata of the ids file.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int

from retcap.features import tokens
from retcap.features.encoding import Encoder, Precision
from retcap.files.whole import replacing
from retcap.pictures.images import ImagePack

log = logging.getLogger(__name__)
Storage = Literal["float32", "float16"]
METADATA_KEY = b"retcap.embedding"


def shard_rows(images: Int[np.ndarray, " N"], shard: int, shards: int) -> Int[np.ndarray, " M"]:
    """Rows of shard number `shard` of `shards`, ascending, where row i shows the picture numbered images[i] (-1: none).

    Rows go to the shard of the first row with their picture; without shared pictures shards are ranges of rows. Shard
    sizes differ by no more than the rows of one picture, unless one picture has more rows than a shard.

    >>> [shard_rows(np.array([0, -1, 1, -1, 0, 2, 2]), shard, 3).tolist() for shard in range(3)]
    [[0, 1, 4], [2, 3], [5, 6]]
    """
    if not 0 <= shard < shards:
        raise ValueError(f"shard {shard} of {shards}: shards are numbered from 0 to {shards - 1}.")
    rows = np.arange(len(images))
    _, first, number = np.unique(
        np.where(images < 0, len(images) + rows, images), return_index=True, return_inverse=True
    )
    starting, sizes = np.unique(first[number], return_counts=True)  # first row and rows of every picture, in row order
    if len(starting) < shards:
        raise ValueError(
            f"{len(images)} rows with {len(starting)} distinct pictures do not fill {shards} shards. Use fewer shards."
        )
    before = np.cumsum(sizes) - sizes
    cuts = [0]
    for part in range(1, shards):
        wanted = int(np.searchsorted(before, len(images) * part / shards))
        cuts.append(min(max(wanted, cuts[-1] + 1), len(starting) - (shards - part)))  # no shard is empty
    group = np.searchsorted(starting, first[number])
    return np.flatnonzero((group >= cuts[shard]) & (group < [*cuts, len(starting)][shard + 1]))


def embed(
    model: Any,
    side: tokens.Side,
    parquet: Path | str,
    pack: Path | str | None,
    out_npy: Path | str,
    out_ids: Path | str | None = None,
    *,
    shard: int = 0,
    shards: int = 1,
    batch_size: int = 256,
    dtype: Precision = "fp32",
    storage: Storage = "float32",
    threads: int = 2,
    about: dict[str, Any] | None = None,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> dict[str, Any]:
    """Encode one shard with a RetrieverModel (or ZeroShot) and return its counts and seconds.

    `dtype` is what the model computes in, `storage` what is written: unit vectors lose about 5e-4 per component in
    float16, and bfloat16 is no NumPy type. `about` (model hash, data hash) goes into the metadata of the ids file.
    `threads` processes tokenise, then as many threads prepare batches.
    """
    started = time.perf_counter()
    keys = tokens.image_keys(pack)
    rows = shard_rows(tokens.image_numbers(parquet, keys), shard, shards)
    ids: list[str] = []

    def batches() -> Iterator[tokens.Batch]:
        for batch in tokens.read(parquet, side, keys, rows):
            ids.extend(batch.ids)
            yield batch

    table = tokens.TokenTable.from_chunks(tokens.tokenise(batches(), model.tokenizer, threads))
    prepared = time.perf_counter() - started
    encoder = Encoder(
        model, side, ImagePack(pack) if pack else None, batch_size=batch_size, precision=dtype, threads=threads
    )
    images = 0
    with VectorFile(Path(out_npy), len(rows), storage) as file:
        for encoded in progress(encoder.run(table), total=-(-len(rows) // batch_size)):
            file.write(encoded.rows, encoded.vectors, ids)
            images += encoded.images
        seconds = time.perf_counter() - started
        counts = {
            "rows": len(rows),
            "images": int((table.keys != tokens.NO_KEY).sum()),
            "images_encoded": images,
            "without_text": int((~table.has_text).sum()),
            "seconds": seconds,
            "seconds_tokenising": prepared,
            "batch_size": encoder.batch_size,
        }
        metadata = {**(about or {}), **counts, "dtype": dtype, "storage": storage, "normalised": True, "side": side}
        write_ids(Path(out_ids or ids_path(out_npy)), rows, ids, metadata)
    log.info("%s shard %d of %d: %s", side, shard, shards, counts)
    return counts


def ids_path(out_npy: Path | str) -> Path:
    """The ids file beside a vector file: `shard-3.npy` -> `shard-3.ids.parquet`."""
    return Path(out_npy).with_suffix(".ids.parquet")


def write_ids(path: Path, rows: np.ndarray, ids: list[str], metadata: dict[str, Any]) -> None:
    """Write (row, id) in the order of the vectors."""
    schema = pa.schema([("row", pa.int64()), ("id", pa.string())]).with_metadata({METADATA_KEY: json.dumps(metadata)})
    with replacing(path) as partial:
        pq.write_table(pa.table([pa.array(rows, pa.int64()), pa.array(ids, pa.string())], schema=schema), partial)


class VectorFile:
    """An .npy file of unit vectors that is written in any order of rows and appears when it is complete."""

    def __init__(self, path: Path, rows: int, storage: Storage):
        self.path, self.rows, self.storage = path, rows, storage
        self._partial = path.with_name(f".{path.name}.partial")
        self._array: np.memmap | None = None
        self._written = 0

    def write(self, rows: np.ndarray, vectors: np.ndarray, ids: list[str]) -> None:
        """Put unit vectors to their rows. A vector with NaN or infinity is an error that names its id."""
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise FloatingPointError(
                f"The vector of {ids[rows[bad[0]]]!r} is not finite ({len(bad)} of {len(rows)} in this batch). "
                "Check the checkpoint, or compute in fp32."
            )
        if self._array is None:
            shape = (self.rows, vectors.shape[1])
            self._array = np.lib.format.open_memmap(self._partial, "w+", np.dtype(self.storage), shape)
        self._array[rows] = vectors
        self._written += len(rows)

    def __enter__(self) -> "VectorFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            if self._array is None:
                raise ValueError(f"{self.path}: the shard has no rows. Use fewer shards than rows.")
            assert self._written == self.rows, f"{self._written} of {self.rows} rows written"
            self._array.flush()
            self._array = None
            os.replace(self._partial, self.path)
        self._array = None
        self._partial.unlink(missing_ok=True)
