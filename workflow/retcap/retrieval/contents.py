"""What a normalised split holds, as sorted hashes: enough to compare millions of rows in little memory."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retcap.retrieval.hashing import file_sha256, hash64, hashes
from retcap.retrieval.perceptual import dhash_file, near_pairs
from retcap.retrieval.roots import LeavesRoot, Roots
from retcap.retrieval.tables import batches

EXAMPLES = 5  # values of each overlap that the report names
KINDS = ("query_ids", "questions", "images", "golds", "passages", "texts")


class Contents(NamedTuple):
    """One split: distinct hashes per kind (sorted uint64), hashes of its files, and counts."""

    folder: Path
    hashes: dict[str, np.ndarray]
    files: dict[str, dict[str, str]]  # "query_file" or "passage_file" -> sha256 -> file name
    facts: dict[str, Any]

    def names(self, kind: str, wanted: np.ndarray) -> list[str]:
        """The first few values whose hashes are `wanted`, in file order; pictures compared by bytes have no names."""
        if not len(wanted):
            return []
        chosen = set(wanted[:EXAMPLES].tolist())
        found: dict[str, None] = {}
        for values in values_of(self.folder, kind):
            found.update((text, None) for text in values if hash64(text) in chosen)
            if len(found) >= len(chosen):
                break
        return [text.replace("\0", " | ")[:200] for text in found][:EXAMPLES]


def read_contents(folder: Path, roots: Roots | None) -> Contents:
    """Read both tables once per kind; with `roots`, pictures are hashed by their bytes."""
    every = {kind: all_hashes(values_of(folder, kind)) for kind in KINDS}
    distinct = {kind: np.unique(values) for kind, values in every.items()}
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    facts = {
        "queries": len(every["query_ids"]),
        "passages": len(every["passages"]),
        "duplicate_ids": len(every["query_ids"]) - len(distinct["query_ids"]),
        "duplicate_passage_ids": len(every["passages"]) - len(distinct["passages"]),
        "dangling_golds": int((~np.isin(distinct["golds"], distinct["passages"])).sum()),
        "null_texts": count_nulls(folder / "passages.parquet", "text"),
        "null_passage_images": count_nulls(folder / "passages.parquet", "image"),
        "null_query_images": count_nulls(folder / "queries.parquet", "image"),
        "blank_queries": count_blank(folder),
        "answer_kinds": count_values(folder / "queries.parquet", "answer_kind"),
        "rejected": card["rejected"]["reasons"],
        "data_hash": card["hash"],
    }
    if roots is not None:
        found, missing = image_hashes(folder, roots)
        distinct["images"] = np.unique(found)
        facts["missing_image_files"] = missing
    files: dict[str, dict[str, str]] = {"query_file": {}, "passage_file": {}}
    for file in card["files"]:
        files["query_file" if file["content"] == "queries" else "passage_file"][file["sha256"]] = file["name"]
    return Contents(folder, distinct, files, facts)


def values_of(folder: Path, kind: str) -> Iterable[list[str]]:
    """Values of one kind, a batch at a time, nulls left out."""
    table, columns = {
        "query_ids": ("queries", ["query_id"]),
        "questions": ("queries", ["image", "question"]),
        "images": ("queries", ["image"]),
        "golds": ("queries", ["positives"]),
        "passages": ("passages", ["passage_id"]),
        "texts": ("passages", ["text"]),
    }[kind]
    for batch in batches(folder / f"{table}.parquet", columns):
        column = batch.column(columns[0])
        values = (column.flatten() if kind == "golds" else column).to_pylist()
        if kind == "questions":
            pairs = zip(values, batch.column("question").to_pylist(), strict=True)
            values = [None if image is None else f"{image}\0{question}" for image, question in pairs]
        yield [value for value in values if value is not None]


def all_hashes(values: Iterable[list[str]]) -> np.ndarray:
    """Hashes of all values in order, uint64."""
    parts = [hashes(batch) for batch in values]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def distinct_images(folder: Path) -> list[str]:
    """Sorted distinct picture paths of the queries."""
    return sorted({path for batch in values_of(folder, "images") for path in batch})


def image_files(folder: Path, roots: Roots) -> dict[str, Path]:
    """Path in the data -> existing file."""
    files = {}
    for path in distinct_images(folder):
        try:
            file = roots.resolve(path)
        except LeavesRoot:
            continue
        if file is not None and file.is_file():
            files[path] = file
    return files


def image_hashes(folder: Path, roots: Roots) -> tuple[np.ndarray, int]:
    """Hashes of the bytes of all query pictures, and how many paths have no file."""
    files = image_files(folder, roots)
    return hashes([file_sha256(file) for file in files.values()]), len(distinct_images(folder)) - len(files)


def near_images(first: Contents, second: Contents, roots: Roots, bits: int) -> dict[str, Any]:
    """Pictures of the second split that have a near duplicate in the first."""
    named = []
    for content in (first, second):
        found = {path: dhash_file(file) for path, file in image_files(content.folder, roots).items()}
        named.append({path: value for path, value in found.items() if value is not None})
    left, right = (np.array(list(values.values()), np.uint64) for values in named)
    pairs = near_pairs(left, right, bits=bits)
    count = len(np.unique(pairs[:, 1]))
    paths = [list(values) for values in named]
    examples = [f"{paths[0][i]} | {paths[1][j]}" for i, j in pairs[:EXAMPLES]]
    return {"count": count, "share": count / len(right) if len(right) else 0.0, "examples": examples}


def count_nulls(path: Path, column: str) -> int:
    """Rows without a value."""
    return sum(batch.column(0).null_count for batch in batches(path, [column]))


def count_values(path: Path, column: str) -> dict[str, int]:
    """Rows per value of a column with few values."""
    counts: Counter[str] = Counter()
    for batch in batches(path, [column]):
        counts.update(batch.column(0).to_pylist())
    return dict(sorted(counts.items()))


def count_blank(folder: Path) -> int:
    """Queries without a question (their picture is all they have)."""
    return sum(batch.column(0).to_pylist().count("") for batch in batches(folder / "queries.parquet", ["question"]))
