"""Values of one kind in a normalised split (ids, questions, pictures, texts), streamed, and their hashes.

duckdb counts distinct and common ones in a quarter of the time and more memory (1.2 million and 5,000 rows, five kinds:
17.1 CPU s and 161 MB here, 4.3 s and 272 MB there; tests/benchmarks/other_libraries.py). That is 13 s of a job that
runs once per experiment, for which every environment would carry one more library.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from retcap.retrieval.m2kr.tables import batches
from retcap.retrieval.splits.hashing import hashes

KINDS = ("query_ids", "queries", "questions", "images", "golds", "passages", "texts")


def values_of(folder: Path, kind: str) -> Iterable[list[str]]:
    """Values of one kind, a batch at a time, nulls and empty texts left out."""
    table, columns = {
        "query_ids": ("queries", ["query_id"]),
        "queries": ("queries", ["query_id", "question"]),
        "questions": ("queries", ["image", "question"]),
        "images": ("queries", ["image"]),
        "golds": ("queries", ["positives"]),
        "passages": ("passages", ["passage_id"]),
        "texts": ("passages", ["text"]),
    }[kind]
    for batch in batches(folder / f"{table}.parquet", columns):
        column = batch.column(columns[0])
        values = (column.flatten() if kind == "golds" else column).to_pylist()
        if len(columns) > 1:
            pairs = zip(values, batch.column("question").to_pylist(), strict=True)
            values = [None if first is None else f"{first}\0{question}" for first, question in pairs]
        yield [value for value in values if value]


def all_hashes(values: Iterable[list[str]]) -> np.ndarray:
    """Hashes of all values in order, uint64."""
    parts = [hashes(batch) for batch in values]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
