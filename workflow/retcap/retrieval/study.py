"""The folders of one data set in the retrieval study, as the files give it and as the study uses it.

normalised/<set>/train, valid, test     queries.parquet, passages.parquet, quarantine.jsonl, card.json
normalised/<set>/published_valid        the published validation split, where another one was held out: for the audit
data/<set>/train, valid, test           the same after the policy for missing pictures (retcap.retrieval.screening)
data/<set>/gold_seen.parquet            row, query_id, gold_seen, entity_seen of the test queries
data/<set>/missing_images.jsonl         rows whose picture is missing or broken
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from itertools import compress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.retrieval.hashing import hashes
from retcap.retrieval.holdout import hold_out, sample
from retcap.retrieval.normalise import check_usable, normalise
from retcap.retrieval.roots import Roots
from retcap.retrieval.tables import batches

log = logging.getLogger(__name__)


def normalise_set(
    plugin: ModuleType, folder: Path, settings: dict[str, Any], seed: int, rejects: Path | None = None
) -> None:
    """Write all splits of one data set. `settings` are those of `retrieval.datasets.<name>`.

    Where a split cannot be used its quarantine is copied to `rejects`, as a failed job's `folder` is removed.
    """
    name, kinds = plugin.CARD.name, plugin.ANSWER_KINDS
    check_roots(name, settings["roots"])
    corpora = {"train": settings["train_passages"], "test": settings["passages"]}
    corpora["valid"] = settings["valid_passages"] or settings["passages"]
    folder.mkdir(parents=True)

    # Without a corpus of its own, validation searches the test corpus. A gold passage that only its lines bring is
    # added: it could never be found otherwise, and would drag the score down that selects the model.
    inline = {"valid": not settings["valid_passages"]}

    def read(split: str, out: str) -> Path:
        files = {"queries": settings[split], "passages": corpora[split]}
        card = normalise(
            name,
            split,
            **files,
            roots=settings["roots"],
            out=folder / out,
            answer_kinds=kinds,
            collect_inline=inline.get(split),
        )
        quarantine = folder / out / "quarantine.jsonl"
        try:
            check_usable(card, files, rejects or quarantine)
        except ValueError:
            if rejects is not None:
                shutil.copy(quarantine, rejects)
            raise
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
        try:
            made = hold_out(whole, rows=holdout["rows"], by=holdout["by"], seed=seed, **parts)
        except ValueError as error:
            raise ValueError(f"retrieval.datasets.{name}.holdout: {error}") from error
        log.info("%s: %s", name, made)
        shutil.rmtree(whole)
        if settings["valid"]:
            read("valid", "published_valid")
    if limit is None:
        valid.rename(folder / "valid")
    else:
        sample(valid, rows=limit, seed=seed, out=folder / "valid")
        shutil.rmtree(valid)


def check_roots(dataset: str, roots: str | Mapping[str, str]) -> None:
    """Raise where no folder of pictures is named or one is not there: all of its pictures would count as missing."""
    key = f"retrieval.datasets.{dataset}.roots"
    folders = dict(roots) if isinstance(roots, Mapping) else {"": roots}
    if not folders or not all(folders.values()):
        raise ValueError(f"{key} names no folder of pictures. Got {roots!r}. Give one folder, or path prefix → folder.")
    gone = [str(Path(folder).absolute()) for folder in folders.values() if not Path(folder).is_dir()]
    if gone:
        raise FileNotFoundError(
            f"{key}: no folder at {', '.join(gone)}. Unpack the pictures of {dataset} there, or point `roots` at your "
            "copy (the comment at the head of config/m2kr.yaml says where those of M2KR come from)."
        )


def test_queries(folder: Path) -> pa.Table:
    """The test queries with the columns `gold_seen` and, where passages are about entities, `entity_seen`."""
    queries = pq.read_table(folder / "test" / "queries.parquet")
    seen = pq.read_table(folder / "gold_seen.parquet", columns=["gold_seen", "entity_seen"])
    for name in seen.column_names:
        if seen[name].null_count < max(1, len(seen)):
            queries = queries.append_column(name, seen[name])
    return queries


def picture_files(folder: Path, roots: Any) -> Iterator[tuple[str, Path]]:
    """Every distinct picture that any split names, by first appearance: path in the data, file (it may be missing).

    The published validation split counts too: the audit compares its pictures. The tables are read twice, first for
    hashes of eight bytes that tell repeated paths: a set of a million paths would take some hundred megabytes.
    """
    splits = [folder / split for split in ("train", "valid", "test", "published_valid")]
    named = [split / f"{table}.parquet" for split in splits for table in ("queries", "passages")]
    tables = [table for table in named if table.is_file()]
    every = np.concatenate([hashes(paths) for table in tables for paths in named_images(table)])
    first = np.zeros(len(every), bool)
    first[np.unique(every, return_index=True)[1]] = True
    resolver, start = Roots(roots), 0
    for table in tables:
        for paths in named_images(table):
            here = first[start : start + len(paths)]
            start += len(paths)
            for path in compress(paths, here.tolist()):
                if (file := resolver.resolve(path)) is not None:
                    yield path, file


def named_images(table: Path) -> Iterator[list[str]]:
    """Paths in the column `image` of a table, a batch at a time, nulls left out."""
    for batch in batches(table, ["image"]):
        yield batch.column(0).drop_null().to_pylist()


def split_folders(folder: Path) -> dict[str, Path]:
    """The splits that an audit compares. `valid` chooses the model; the published split it may replace is beside it."""
    names = ["train", "valid", "published_valid", "test"]
    return {name: folder / name for name in names if name != "published_valid" or (folder / name).is_dir()}
