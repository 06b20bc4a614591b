"""The folders of one data set in the retrieval study: its splits, and which gold passages training has seen.

<folder>/train, valid, test     queries.parquet, passages.parquet, quarantine.jsonl, card.json
<folder>/published_valid        the published validation split, where another one was held out: for the audit only
<folder>/gold_seen.parquet      row, query_id, gold_seen, entity_seen of the test queries
"""

import logging
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retcap.retrieval.holdout import gold_slices, hold_out, sample
from retcap.retrieval.normalise import normalise
from retcap.retrieval.roots import Roots

log = logging.getLogger(__name__)


def normalise_set(plugin: ModuleType, folder: Path, settings: dict[str, Any], seed: int) -> None:
    """Write all splits of one data set. `settings` are those of `retrieval.datasets.<name>`."""
    name, kinds = plugin.CARD.name, plugin.ANSWER_KINDS
    corpora = {"train": settings["train_passages"], "test": settings["passages"]}
    corpora["valid"] = settings["valid_passages"] or settings["passages"]
    folder.mkdir(parents=True)

    def read(split: str, out: str) -> Path:
        normalise(
            name,
            split,
            queries=settings[split],
            passages=corpora[split],
            roots=settings["roots"],
            out=folder / out,
            answer_kinds=kinds,
        )
        return folder / out

    holdout, limit = settings["holdout"], settings["valid_limit"]
    read("test", "test")
    if holdout is None:
        read("train", "train")
        valid = read("valid", "valid_whole")
    else:
        valid = folder / "valid_whole"
        whole = read("train", "train_whole")
        parts = {"out_train": folder / "train", "out_valid": valid}
        made = hold_out(whole, rows=holdout["rows"], by=holdout["by"], seed=seed, **parts)
        log.info("%s: %s", name, made)
        shutil.rmtree(whole)
        if settings["valid"]:
            read("valid", "published_valid")
    if limit is None:
        valid.rename(folder / "valid")
    else:
        sample(valid, rows=limit, seed=seed, out=folder / "valid")
        shutil.rmtree(valid)
    queries = {split: folder / split / "queries.parquet" for split in ("train", "test")}
    entity = getattr(plugin, "entity", None)
    counts = gold_slices(queries["test"], queries["train"], folder / "gold_seen.parquet", entity)
    log.info("%s: gold passages of test queries, and their entities, in training: %s", name, counts)


def test_queries(folder: Path) -> pa.Table:
    """The test queries with the columns `gold_seen` and, where passages are about entities, `entity_seen`."""
    queries = pq.read_table(folder / "test" / "queries.parquet")
    seen = pq.read_table(folder / "gold_seen.parquet", columns=["gold_seen", "entity_seen"])
    for name in seen.column_names:
        if seen[name].null_count < max(1, len(seen)):
            queries = queries.append_column(name, seen[name])
    return queries


def picture_files(folder: Path, roots: Any) -> dict[str, Path]:
    """Every picture that any split names, queries and passages alike: path in the data -> file (it may be missing)."""
    from retcap.retrieval.tables import batches

    named: set[str] = set()
    for split in ("train", "valid", "test"):
        for table in ("queries", "passages"):
            for batch in batches(folder / split / f"{table}.parquet", ["image"]):
                named.update(path for path in batch.column(0).to_pylist() if path is not None)
    resolver = Roots(roots)
    found = {path: resolver.resolve(path) for path in sorted(named)}
    return {path: file for path, file in found.items() if file is not None}


def split_folders(folder: Path) -> dict[str, Path]:
    """The splits that an audit compares; with a hold-out the published one is `valid` and ours `held_out`."""
    published = folder / "published_valid"
    ours = {"held_out": folder / "valid", "valid": published} if published.is_dir() else {"valid": folder / "valid"}
    return {"train": folder / "train", **ours, "test": folder / "test"}
