"""The folders of one data set in the retrieval study, as the files give it and as the study uses it.

normalised/<set>/train, valid, test     queries.parquet, passages.parquet, quarantine.jsonl, card.json
normalised/<set>/published_valid        the published validation split, where another one was held out: for the audit
data/<set>/train, valid, test           the same after the policy for missing pictures (retcap.retrieval.screening)
data/<set>/gold_seen.parquet            row, query_id, gold_seen, entity_seen of the test queries
data/<set>/missing_images.jsonl         rows whose picture is missing or broken
"""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retcap.retrieval.holdout import hold_out, sample
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


def test_queries(folder: Path) -> pa.Table:
    """The test queries with the columns `gold_seen` and, where passages are about entities, `entity_seen`."""
    queries = pq.read_table(folder / "test" / "queries.parquet")
    seen = pq.read_table(folder / "gold_seen.parquet", columns=["gold_seen", "entity_seen"])
    for name in seen.column_names:
        if seen[name].null_count < max(1, len(seen)):
            queries = queries.append_column(name, seen[name])
    return queries


def picture_files(folder: Path, roots: Any) -> Iterator[tuple[str, Path]]:
    """Every picture that any split names, queries and passages alike, sorted: path in the data, file (if it is there).

    The published validation split counts too: the audit compares its pictures. Paths are held as Arrow strings, about
    70 bytes each; a set of Python strings and Path objects would take six times that for a million pictures.
    """
    named = pa.array([], pa.string())
    for split in ("train", "valid", "test", "published_valid"):
        for table in ("queries", "passages"):
            file = folder / split / f"{table}.parquet"
            if file.is_file():
                column = pq.read_table(file, columns=["image"])["image"].combine_chunks()
                named = pa.concat_arrays([named, column.cast(pa.string()).drop_null()]).unique()
    resolver = Roots(roots)
    for path in named.sort():
        if (file := resolver.resolve(path.as_py())) is not None:
            yield path.as_py(), file


def split_folders(folder: Path) -> dict[str, Path]:
    """The splits that an audit compares; with a hold-out the published one is `valid` and ours `held_out`."""
    published = folder / "published_valid"
    ours = {"held_out": folder / "valid", "valid": published} if published.is_dir() else {"valid": folder / "valid"}
    return {"train": folder / "train", **ours, "test": folder / "test"}
