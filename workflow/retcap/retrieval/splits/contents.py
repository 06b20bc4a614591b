"""What a normalised split holds, as sorted hashes: enough to compare millions of rows in little memory."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retcap.pictures.perceptual import NO_HASH, nearest
from retcap.retrieval.m2kr.tables import batches
from retcap.retrieval.splits.hashing import hash64
from retcap.retrieval.splits.packed import PackedPictures
from retcap.retrieval.splits.values import KINDS, all_hashes, values_of

EXAMPLES = 5  # values of each overlap that the report names


class Contents(NamedTuple):
    """One split: distinct hashes per kind (sorted uint64), hashes of its files, and counts."""

    folder: Path
    hashes: dict[str, np.ndarray]
    files: dict[str, dict[str, str]]  # "query_file" or "passage_file" -> sha256 -> file name
    facts: dict[str, Any]
    part_of: str | None = None  # hash of the whole whose rows a hold-out shared out: two parts have one file by design
    pictures: PackedPictures | None = None  # then `hashes["images"]` are contents, else paths

    def names(self, kind: str, wanted: np.ndarray) -> list[str]:
        """The first few values whose hashes are `wanted`, in file order; of a picture one of its paths."""
        if not len(wanted):
            return []
        wanted = wanted[:EXAMPLES]
        if kind == "images" and self.pictures is not None:
            wanted = self.pictures.paths_of(wanted)
        chosen = set(wanted.tolist())
        found: dict[str, None] = {}
        for values in values_of(self.folder, kind):
            found.update((text, None) for text in values if hash64(text) in chosen)
            if len(found) >= len(chosen):
                break
        return [text.replace("\0", " | ")[:200] for text in found][:EXAMPLES]


def read_contents(folder: Path, pictures: PackedPictures | None) -> Contents:
    """Read both tables once per kind; with `pictures`, query pictures are compared by their bytes."""
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
    if pictures is not None:
        facts["missing_image_files"] = len(distinct["images"]) - len(pictures.packed(distinct["images"]))
        distinct["images"] = pictures.of(distinct["images"])
    files: dict[str, dict[str, str]] = {"query_file": {}, "passage_file": {}}
    whole = card.get("source", card)  # a sample or a hold-out names the files it was taken from there
    for file in whole["files"]:
        files["query_file" if file["content"] == "queries" else "passage_file"][file["sha256"]] = file["name"]
    part_of = whole["hash"] if "held_out" in card else None
    return Contents(folder, distinct, files, facts, part_of, pictures)


class Prints(NamedTuple):
    """Perceptual hashes of the query pictures of all splits, by content (sorted)."""

    contents: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, splits: Iterable[Contents], pictures: PackedPictures) -> "Prints":
        """Hash every distinct picture once."""
        contents = np.unique(np.concatenate([split.hashes["images"] for split in splits]))
        return cls(contents, pictures.fingerprints(contents))

    def of_split(self, split: Contents) -> tuple[np.ndarray, np.ndarray]:
        """Contents and hashes of the pictures of a split that are not flat."""
        found = self.hashes[np.searchsorted(self.contents, split.hashes["images"])]
        return split.hashes["images"][found != NO_HASH], found[found != NO_HASH]


def near_images(first: Contents, second: Contents, prints: Prints, bits: int) -> dict[str, Any]:
    """Pictures of the second split that have a near duplicate in the first (a copy is one too)."""
    (pictures, left), (others, right) = prints.of_split(first), prints.of_split(second)
    place = nearest(left, right, bits=bits)
    near = np.flatnonzero(place >= 0)
    examples = [
        " | ".join([*first.names("images", pictures[place[[at]]])[:1], *second.names("images", others[[at]])[:1]])
        for at in near[:EXAMPLES]
    ]
    return {"count": len(near), "share": len(near) / len(right) if len(right) else 0.0, "examples": sorted(examples)}


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
