"""The parquet tables of the retrieval data: schemas, a streaming writer, and batch readers."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 65_536  # rows; also the number of rows that are held in memory at most
GROUP_BYTES = 64 * 2**20  # a group ends early when its texts reach this size: whole Wikipedia articles can be long
STEP = 4096  # rows that are held as Python objects
REPEATING = ("dataset", "split", "instruction", "question", "answer_kind")

QUERIES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("instruction", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("image", pa.string()),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("numeric", pa.list_(pa.struct([("low", pa.float64()), ("high", pa.float64())])), nullable=False),
        pa.field("answer_kind", pa.string(), nullable=False),  # the form in the file, see judging/answers.py
        pa.field("positives", pa.list_(pa.string()), nullable=False),
        # The values as they are in the file: what published programs make of them depends on their types.
        pa.field("answer_json", pa.string(), nullable=False),
        pa.field("positives_json", pa.string(), nullable=False),
    ]
)
PASSAGES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("image", pa.string()),
    ]
)


class TableWriter:
    """Writes rows one by one; holds at most one row group. The first column, `row`, is the row's number, set here."""

    def __init__(self, path: Path, schema: pa.Schema, *, rows_per_group: int = ROW_GROUP) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = 0
        self._schema = schema
        self._limit = rows_per_group
        self._step = min(STEP, rows_per_group)
        self._rows: list[Sequence[Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self._group_rows = self._group_bytes = 0
        # A dictionary for the columns that repeat only: for unique texts it costs time and memory and saves nothing.
        repeating = [name for name in REPEATING if name in schema.names]
        options: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_dictionary": repeating}
        self._writer = pq.ParquetWriter(path, schema, **options)

    def append(self, values: Sequence[Any], *, size: int = 0) -> None:
        """Add one row: the values of all columns after `row`, and the size of its texts in characters."""
        self._rows.append(values)
        self._group_bytes += size
        full = self._group_rows + len(self._rows) >= self._limit or self._group_bytes >= GROUP_BYTES
        if full or len(self._rows) >= self._step:
            self._pack()
        if full:
            self._flush()

    def append_batches(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add whole batches of the schema; their rows are numbered anew."""
        for batch in batches:
            self._pack()
            numbers = pa.array(range(self.rows, self.rows + batch.num_rows), pa.int64())
            self._batches.append(batch.set_column(0, self._schema.field(0), numbers))
            self.rows += batch.num_rows
            self._group_rows += batch.num_rows
            if self._group_rows >= self._limit:
                self._flush()

    def _pack(self) -> None:
        """Turn the held Python rows into arrow: less memory, and nothing for the garbage collector to walk."""
        if not self._rows:
            return
        count = len(self._rows)
        columns = [range(self.rows, self.rows + count), *zip(*self._rows, strict=True)]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self.rows += count
        self._group_rows += count
        self._rows.clear()

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=self._limit)
        self._batches.clear()
        self._group_rows = self._group_bytes = 0

    def close(self) -> None:
        """Write what is held and close the file."""
        self._pack()
        self._flush()
        self._writer.close()

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()


def batches(path: Path, columns: Sequence[str] | None = None, *, rows: int = 8192) -> Iterator[pa.RecordBatch]:
    """The table in record batches, in row order; never whole in memory."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=rows, columns=list(columns) if columns is not None else None)


def rows_of(path: Path) -> int:
    """Number of rows, read from the file's footer."""
    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows
