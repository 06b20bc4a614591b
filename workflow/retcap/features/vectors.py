"""Embeddings on disk: `shard-<i>.npy` (fp16 or fp32 rows) with `shard-<i>.ids.parquet` (row, id), memory-mapped."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from retcap.files.arrays import mapped

DTYPES = (np.dtype(np.float16), np.dtype(np.float32))


class Vectors:
    """The rows of one or more shards as if they were one matrix. A position counts the rows read; `rows` names them.

    `rows[position]` is the row in queries.parquet or passages.parquet, `ids[position]` its id; `codes` numbers the
    distinct ids, so that equal ids have equal codes.
    """

    def __init__(self, parts: Sequence[np.ndarray], rows: np.ndarray, ids: pa.Array, places: Sequence[str]) -> None:
        self.parts, self.rows, self.ids, self.places = list(parts), rows, ids, list(places)
        self.starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        self.width = int(parts[0].shape[1])
        encoded = ids.dictionary_encode()
        self.codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self.distinct = len(encoded.dictionary)

    @classmethod
    def of(cls, array: np.ndarray, ids: Sequence[str] | None = None, rows: np.ndarray | None = None) -> "Vectors":
        """Vectors held in memory; ids default to the row numbers."""
        numbers = np.arange(len(array), dtype=np.int64) if rows is None else rows
        names = pa.array([str(row) for row in numbers] if ids is None else ids, type=pa.string())
        _check_shard("array", array, numbers, names)
        return cls([array], numbers, names, ["array"])

    @classmethod
    def open(cls, source: Path | str | Sequence[Path | str]) -> "Vectors":
        """Memory-map all shards of a folder, or the ones named: those of an earlier run with more may lie beside them.

        They are read in the order of their numbers (shard-10 after shard-9); their rows may come in any order.
        """
        whole = isinstance(source, str | Path)
        folder = Path(source) if whole else Path(source[0]).parent
        files = sorted(folder.glob("shard-*.npy") if whole else map(Path, source), key=_number)
        if not files:
            raise FileNotFoundError(f"No shard-<i>.npy in {folder}. The embedding rule writes them; run it first.")
        if [_number(file) for file in files] != list(range(len(files))):
            missing = min(set(range(len(files))) - {_number(file) for file in files})
            raise FileNotFoundError(f"{folder}: shard-{missing}.npy is missing. Run the embedding rule again.")
        parts, rows, ids = [], [], []
        for file in files:
            part, table = mapped(file), _read_ids(file.with_suffix(".ids.parquet"))
            numbers, names = table["row"].to_numpy(), table["id"].combine_chunks()
            _check_shard(str(file), part, numbers, names)
            if parts and part.shape[1] != parts[0].shape[1]:
                raise ValueError(f"{file}: vectors of width {part.shape[1]}, but {files[0]} has {parts[0].shape[1]}.")
            parts.append(part)
            rows.append(numbers)
            ids.append(names)
        joined = np.concatenate(rows).astype(np.int64)
        _check_rows(folder, joined)
        return cls(parts, joined, pa.concat_arrays([names.cast(pa.string()) for names in ids]), [str(f) for f in files])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def block(self, start: int, stop: int, dtype: Any = np.float32) -> Float[np.ndarray, "N H"]:
        """A copy of the positions start to stop, also across shards."""
        out = np.empty((min(stop, len(self)) - start, self.width), dtype=dtype)
        for part, first in zip(self.parts, self.starts[:-1], strict=True):
            low, high = max(start, first), min(stop, first + len(part))
            if low < high:
                out[low - start : high - start] = part[low - first : high - first]
        return out

    def take(self, positions: Int[np.ndarray, " N"]) -> Float[np.ndarray, "N H"]:
        """A copy of single rows in fp32 (which holds every fp16 value exactly)."""
        if len(self.parts) == 1:
            return self.parts[0][positions].astype(np.float32, copy=False)
        shard = np.searchsorted(self.starts, positions, side="right") - 1
        out = np.empty((len(positions), self.width), dtype=np.float32)
        for number in np.unique(shard):
            here = shard == number
            out[here] = self.parts[number][positions[here] - self.starts[number]]
        return out

    def place(self, position: int) -> str:
        """Where a row lies, for messages."""
        shard = int(np.searchsorted(self.starts, position, side="right") - 1)
        line = position - int(self.starts[shard])
        return f"{self.places[shard]}, line {line} (row {self.rows[position]}, id {self.ids[position].as_py()!r})"


def _number(file: Path) -> int:
    found = re.fullmatch(r"shard-(\d+)\.npy", file.name)
    if found is None:
        raise ValueError(f"{file}: shards are named shard-<number>.npy. Remove or rename this file.")
    return int(found[1])


def _read_ids(file: Path) -> pa.Table:
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: every shard needs its id table. Run the embedding rule again.")
    return pq.read_table(file, columns=["row", "id"])


def _check_shard(place: str, part: np.ndarray, rows: np.ndarray, ids: pa.Array) -> None:
    if part.ndim != 2 or part.dtype not in DTYPES or not part.dtype.isnative:
        raise ValueError(f"{place}: a shard is a matrix of float16 or float32. Got {part.dtype} of shape {part.shape}.")
    if not len(part) == len(rows) == len(ids):
        raise ValueError(f"{place}: {len(part)} vectors, {len(rows)} rows and {len(ids)} ids; one each is needed.")
    if ids.null_count:
        raise ValueError(f"{place}: {ids.null_count} ids are null. Every vector needs the id of its query or passage.")


def _check_rows(folder: Path, rows: np.ndarray) -> None:
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        row = int(values[counts > 1][0])
        raise ValueError(f"{folder}: row {row} is in more than one place. Delete the folder and embed again.")
