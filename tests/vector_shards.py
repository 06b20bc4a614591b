"""Shards of vectors as the embedding rule leaves them: `shard-<i>.npy` with `shard-<i>.ids.parquet`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_shard(folder: Path, number: int, vectors: np.ndarray, rows: Sequence[int], ids: Sequence[str]) -> None:
    """Write one shard; nothing is checked."""
    np.save(folder / f"shard-{number}.npy", vectors)
    table = pa.table({"row": pa.array(rows, pa.int64()), "id": pa.array(ids, pa.string())})
    pq.write_table(table, folder / f"shard-{number}.ids.parquet")
