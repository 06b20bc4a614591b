"""The folders of one data set in the retrieval study, as the files give it and as the study uses it.

normalised/<set>/train, valid, test     queries.parquet, passages.parquet, quarantine.jsonl, card.json
normalised/<set>/published_valid        the published validation split, where another one was held out: for the audit
data/<set>/train, valid, test           the same after the policy for missing pictures (splits/screening.py)
data/<set>/gold_seen.parquet            row, query_id, gold_seen, entity_seen of the test queries
data/<set>/missing_images.jsonl         rows whose picture is missing or broken
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retcap.retrieval.m2kr.normalise import check_usable, normalise
from retcap.retrieval.splits.holdout import hold_out, sample

log = logging.getLogger(__name__)


def normalise_set(
    plugin: ModuleType, folder: Path, settings: dict[str, Any], seed: int, rejects: Path | None = None
) -> None:
    """Write all splits of one data set. `settings` are those of `retrieval.datasets.<name>`.

    Where a split cannot be used its quarantine is copied to `rejects`, as a failed job's `folder` is removed.
    """
    name, kinds = plugin.CARD.name, plugin.ANSWER_KINDS
    published = getattr(plugin, "PUBLISHED_ROWS", {})
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
            published=published_rows(published, split),
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


def published_rows(published: Mapping[str, int], split: str) -> dict[str, int]:
    """The published numbers of rows of one split, by what the files hold; corpora are published for the test alone.

    >>> published_rows({"train": 9, "test": 4, "test passages": 7}, "test")
    {'queries': 4, 'passages': 7}
    """
    names = {"queries": split, "passages": f"{split} passages"}
    return {content: published[name] for content, name in names.items() if name in published}


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


def split_folders(folder: Path) -> dict[str, Path]:
    """The splits that an audit compares. `valid` chooses the model; the published split it may replace is beside it."""
    names = ["train", "valid", "published_valid", "test"]
    return {name: folder / name for name in names if name != "published_valid" or (folder / name).is_dir()}
