"""Holds a validation set out of the training questions, draws samples, and tells which golds training has seen.

InfoSeek publishes no validation set, and OKVQA's is its test set. `hold_out` takes whole groups of training rows:

    "passage"   all rows of a drawn passage, so validation asks about entities that training never sees
    "image"     all rows of a drawn picture
    "row"       single rows (rows of one id stay together)

Groups are ranked by a hash of seed and group, so the choice depends on neither file order nor the other groups. Rows
that ask a held-out question again (same id, or same picture and words: M2KR repeats a question for each passage) are
dropped from training, so that `audit` finds no leak between the two parts.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.retrieval.m2kr.tables import QUERIES, ROW_GROUP, TableWriter, batches, rows_of
from retcap.retrieval.splits.hashing import hashes
from retcap.retrieval.splits.values import all_hashes, values_of

GROUPS = ("passage", "image", "row")


def hold_out(
    train: str | Path, *, rows: int, by: str, seed: int, out_train: str | Path, out_valid: str | Path
) -> dict[str, Any]:
    """Split the folder `train` into two folders of the same form; returns what was done.

    At least `rows` rows go to validation (whole groups; at most half of all rows are allowed), with "passage" every row
    that has a drawn passage among its positives. Both parts keep the whole passage table: it is the corpus.
    """
    if by not in GROUPS:
        raise ValueError(f"Rows can be held out by {', '.join(GROUPS)}. Got {by!r} instead.")
    source = Path(train)
    total = rows_of(source / "queries.parquet")
    held = choose(source / "queries.parquet", rows, by, seed)
    if not 0 < held.sum() <= total / 2:
        raise ValueError(
            f"holding out {rows} training rows by {by} would take {held.sum()} of {total}, and at most half may go. "
            "Ask for fewer `rows`, or hold out by row."
        )
    again = asked_again(source / "queries.parquet", held)
    kept = ~held & ~again
    counts = {"train": int(kept.sum()), "valid": int(held.sum()), "dropped": int(again.sum())}
    made = {"by": by, "seed": seed, "asked": rows, **counts}
    for folder, mask, split in ((Path(out_train), kept, "train"), (Path(out_valid), held, "valid")):
        copy_part(source, folder, mask, split, {"held_out": made})
    return made


def choose(queries: Path, rows: int, by: str, seed: int) -> np.ndarray:
    """Which rows are held out, bool (rows,)."""
    groups = [group_hashes(batch, by, seed) for batch in batches(queries, ["query_id", "image", "positives"])]
    first = np.concatenate([keys for keys, _, _ in groups]) if groups else np.zeros(0, np.uint64)
    ranked, counts = np.unique(first, return_counts=True)  # sorted by hash: a random but fixed order
    drawn = ranked[: int(np.searchsorted(np.cumsum(counts), rows)) + 1] if rows > 0 else ranked[:0]
    held = []
    for _, every, starts in groups:
        hits = np.isin(every, drawn)
        held.append(np.logical_or.reduceat(hits, starts) if len(starts) else np.zeros(0, bool))
    return np.concatenate(held) if held else np.zeros(0, bool)


def asked_again(queries: Path, held: np.ndarray) -> np.ndarray:
    """Rows outside `held` with the id, or with picture and question, of a row inside; bool (rows,)."""
    again = np.zeros(len(held), bool)
    for keys in (all_hashes(values_of(queries.parent, "query_ids")), all_hashes(question_keys(queries))):
        again |= np.isin(keys, keys[held])
    return again & ~held


def question_keys(queries: Path) -> Iterator[list[str]]:
    """Picture and question of every row; a row without a picture shares its key with no other row."""
    for batch in batches(queries, ["row", "image", "question"]):
        rows, questions, images = (batch.column(name).to_pylist() for name in ("row", "question", "image"))
        yield [
            f"row {row}" if image is None else f"{image}\0{question}"
            for row, image, question in zip(rows, images, questions, strict=True)
        ]


def group_hashes(batch: pa.RecordBatch, by: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First group of every row, all groups of all rows, and where each row's groups start in the latter."""
    if by == "passage":
        names, starts = golds(batch)
        every = hashes([f"{seed} {name}" for name in names])
        return every[starts], every, starts
    names = batch.column("query_id").to_pylist()
    if by == "image":  # a query without a picture is its own group
        images = batch.column("image").to_pylist()
        names = [name if image is None else image for name, image in zip(names, images, strict=True)]
    every = hashes([f"{seed} {name}" for name in names])
    return every, every, np.arange(batch.num_rows)


def sample(source: str | Path, *, rows: int, seed: int, out: str | Path) -> dict[str, Any]:
    """A folder with `rows` queries drawn without replacement (all, if there are fewer), in file order."""
    total = rows_of(Path(source) / "queries.parquet")
    keys = hashes([f"{seed} row {row}" for row in range(total)])
    mask = np.zeros(total, bool)
    mask[np.argsort(keys, kind="stable")[:rows]] = True
    made = {"seed": seed, "asked": rows, "rows": int(mask.sum())}
    copy_part(Path(source), Path(out), mask, None, {"sampled": made})
    return made


def copy_part(source: Path, out: Path, mask: np.ndarray, split: str | None, note: dict[str, Any]) -> None:
    """Write the rows of `mask` as a folder of their own, rows numbered anew; passages and quarantine are copied."""
    out.mkdir(parents=True, exist_ok=True)
    with TableWriter(out / "queries.parquet", QUERIES) as writer:
        writer.append_batches(masked(source / "queries.parquet", mask, split))
    for name in ("passages.parquet", "quarantine.jsonl"):
        shutil.copyfile(source / name, out / name)
    card = json.loads((source / "card.json").read_text(encoding="utf-8"))
    # The query files and their counts belong to the whole: a part of a file is not the file.
    whole = {"queries": card["queries"], "files": card["files"], "hash": card["hash"]}
    card.setdefault("source", whole)  # a sample of a part still comes from the whole
    card["queries"] = {"rows": int(mask.sum())}
    card["files"] = [file for file in card["files"] if file["content"] == "passages"]
    card |= note | ({} if split is None else {"split": split})
    card["hash"] = hashlib.sha256(json.dumps([note, split, card["hash"]], sort_keys=True).encode()).hexdigest()
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def masked(queries: Path, mask: np.ndarray, split: str | None) -> Iterator[pa.RecordBatch]:
    """Batches with the rows of `mask` only, under another split name if one is given."""
    start = 0
    for batch in batches(queries):
        part = batch.filter(pa.array(mask[start : start + batch.num_rows]))
        start += batch.num_rows
        if split is not None:
            names = pa.array([split] * part.num_rows, pa.string())
            part = part.set_column(QUERIES.get_field_index("split"), QUERIES.field("split"), names)
        yield part


def gold_slices(
    queries: Path, train_queries: Path, out: Path, entity: Callable[[str], str] | None = None
) -> dict[str, int]:
    """Write (row, query_id, gold_seen, entity_seen): is any positive, or its entity, one of training? Returns counts.

    `entity` tells by its id what a passage is about; without it `entity_seen` is null.
    """
    kinds: dict[str, Callable[[str], str] | None] = {"gold_seen": str, "entity_seen": entity}
    seen = {kind: _trained(train_queries, of) for kind, of in kinds.items() if of is not None}
    flags = [pa.field(kind, pa.bool_()) for kind in kinds]
    schema = pa.schema([("row", pa.int64()), ("query_id", pa.string()), *flags])
    counts: Counter[str] = Counter()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in batches(queries, ["row", "query_id", "positives"], rows=ROW_GROUP):
            names, starts = golds(batch)
            columns = [batch.column(0), batch.column(1)]
            for kind, of in kinds.items():
                if of is None:
                    columns.append(pa.nulls(batch.num_rows, pa.bool_()))
                    continue
                hit = np.logical_or.reduceat(np.isin(hashes([of(name) for name in names]), seen[kind]), starts)
                columns.append(pa.array(hit))
                counts.update({kind: int(hit.sum()), f"not {kind}": int((~hit).sum())})
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return dict(counts)


def _trained(train_queries: Path, of: Callable[[str], str]) -> np.ndarray:
    """Sorted distinct hashes of all positives of training, or of what they are about."""
    found = [hashes([of(name) for name in golds(batch)[0]]) for batch in batches(train_queries, ["positives"])]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)


def golds(batch: pa.RecordBatch) -> tuple[list[str], np.ndarray]:
    """All positives, and where each row's start. Every row has at least one: normalise rejects the others."""
    positives = batch.column("positives")
    ends = np.cumsum(positives.value_lengths().to_numpy(zero_copy_only=False), dtype=np.int64)
    return positives.flatten().to_pylist(), np.concatenate([[0], ends[:-1]]).astype(np.int64)
