"""Rows whose picture is missing or broken: counted for every split, and treated by one declared policy.

    mask    the row stays and counts as one without a picture (its mask is 0 in the model)
    drop    a query is left out of its split, so it is in no training batch, vector, hit, score or count

Either way a passage loses only its picture, and stays even if it has no text: the corpus a result is measured on keeps
its published size, on which chance depends. (Training leaves empty passages out by itself.) A row that names no picture
is no missing one. Every row concerned stands in `missing_images.jsonl` with its id and the reason:

    the pack's reasons (`image_missing`, `image_broken`, ...), or `image_without_root`: no folder is configured for it
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from retcap.files import jsonl
from retcap.retrieval.m2kr.tables import PASSAGES, TableWriter, batches
from retcap.retrieval.splits.hashing import hashes
from retcap.retrieval.splits.holdout import copy_part, gold_slices

log = logging.getLogger(__name__)
Policy = Literal["mask", "drop"]
SPLITS = ("train", "valid", "test")
ROLES = {"query": ("queries", "query_id"), "passage": ("passages", "passage_id")}
NO_ROOT = "image_without_root"
WARN_SHARE = 0.02  # of a split's pictures on one side; below it lies what published sets lack anyway


class MissingImages(ValueError):
    """More pictures are missing than the configuration allows."""


class Verdicts(NamedTuple):
    """What became of every path that was to be packed: sorted hashes of the paths, and places in `reasons`."""

    paths: np.ndarray
    codes: np.ndarray
    reasons: list[str]  # the first is "" (packed), the last NO_ROOT

    @classmethod
    def of(cls, pack: Path) -> "Verdicts":
        """Read them from a pack."""
        found = batches(pack / "paths.parquet", ["path", "reason"])
        return cls.collect((batch.column("path").to_pylist(), batch.column("reason").to_pylist()) for batch in found)

    @classmethod
    def collect(cls, found: Iterable[tuple[list[str], list[str | None]]]) -> "Verdicts":
        """From lists of paths and what is wrong with each (None: nothing); 9 bytes per path stay in memory."""
        reasons, paths, codes = [""], [np.zeros(0, np.uint64)], [np.zeros(0, np.uint8)]
        for some, wrong in found:
            said = [reason or "" for reason in wrong]
            reasons += sorted(set(said) - set(reasons))
            paths.append(hashes(some))
            codes.append(np.array([reasons.index(reason) for reason in said], np.uint8))
        together = np.concatenate(paths)
        order = np.argsort(together)
        return cls(together[order], np.concatenate(codes)[order], [*reasons, NO_ROOT])

    def of_column(self, images: pa.Array) -> np.ndarray:
        """Place in `reasons` for every row of a column of paths, uint8; 0 also where no path is named."""
        found = np.zeros(len(images), np.uint8)
        named = np.flatnonzero(~images.is_null().to_numpy(zero_copy_only=False))
        if len(named) and len(self.paths):
            wanted = hashes(images.take(pa.array(named)).to_pylist())
            at = np.minimum(np.searchsorted(self.paths, wanted), len(self.paths) - 1)
            found[named] = np.where(self.paths[at] == wanted, self.codes[at], len(self.reasons) - 1)
        else:
            found[named] = len(self.reasons) - 1
        return found


def screen(
    source: Path,
    pack: Path,
    out: Path,
    *,
    policy: Policy,
    max_share: float,
    dataset: str,
    entity: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """Write the splits of `source` as the policy wants them, with `gold_seen.parquet`, and return the counts.

        {"dataset", "policy", "max_share", "splits": {split: {role: {"rows", "with_image", "missing", "share",
         "reasons": {reason: rows}, "dropped", "kept", "left_empty"}}}}

    `entity` tells by its id what a passage is about, for the slice of entities that training has seen. `share` is
    `missing` / `with_image`; `left_empty` counts passages whose picture was all they had. Raises MissingImages, before
    anything is written, where some share is above `max_share`.
    """
    verdicts = Verdicts.of(pack)
    missing, splits = count_splits(source, verdicts, policy)
    report = {"dataset": dataset, "policy": policy, "max_share": max_share, "splits": splits}
    check(report, pack)
    for split, role, found in above(splits, WARN_SHARE):
        log.warning("%s %s, %s: the picture is missing or broken in %s", dataset, split, role, in_words(found))
    out.mkdir(parents=True)
    with jsonl.writing(out / "missing_images.jsonl") as write:
        for split in SPLITS:
            codes = {role: missing[split, role] for role in ROLES}
            for role in ROLES:
                write_rejected(write, source / split, split, role, codes[role], verdicts, policy)
            write_split(source / split, out / split, codes, policy)
            log.info("%s %s: %s", dataset, split, splits[split])
    queries = {split: out / split / "queries.parquet" for split in ("train", "test")}
    seen = gold_slices(queries["test"], queries["train"], out / "gold_seen.parquet", entity)
    log.info("%s: gold passages of test queries, and their entities, in training: %s", dataset, seen)
    return report


def count_splits(
    source: Path, verdicts: Verdicts, policy: Policy
) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, dict[str, Any]]]:
    """What is missing in every table, as `read_missing` gives it by (split, role), and the counts, see `screen`."""
    missing = {(split, role): read_missing(source / split, role, verdicts) for split in SPLITS for role in ROLES}
    splits = {
        split: {role: count(source / split, role, missing[split, role], verdicts, policy) for role in ROLES}
        for split in SPLITS
    }
    return missing, splits


def read_missing(folder: Path, role: str, verdicts: Verdicts) -> np.ndarray:
    """Place in `verdicts.reasons` of every row of one table, uint8; 0: nothing is missing."""
    codes = [verdicts.of_column(batch.column(0)) for batch in batches(folder / f"{ROLES[role][0]}.parquet", ["image"])]
    return np.concatenate(codes) if codes else np.zeros(0, np.uint8)


def count(folder: Path, role: str, codes: np.ndarray, verdicts: Verdicts, policy: Policy) -> dict[str, Any]:
    """The counts of one table, see `screen`."""
    missing = int((codes > 0).sum())
    table = folder / f"{ROLES[role][0]}.parquet"
    named = len(codes) - sum(batch.column(0).null_count for batch in batches(table, ["image"]))
    reasons = np.bincount(codes, minlength=len(verdicts.reasons))
    dropped = missing if policy == "drop" and role == "query" else 0
    found = {
        "rows": len(codes),
        "with_image": named,
        "missing": missing,
        "share": missing / named if named else 0.0,
        "reasons": {verdicts.reasons[at]: int(reasons[at]) for at in range(1, len(reasons)) if reasons[at]},
        "dropped": dropped,
        "kept": len(codes) - dropped,
    }
    return found | ({"left_empty": count_empty(table, codes)} if role == "passage" else {})


def count_empty(table: Path, codes: np.ndarray) -> int:
    """Passages without a text whose picture is missing."""
    start, empty = 0, 0
    for batch in batches(table, ["text"]):
        here = np.flatnonzero(codes[start : start + batch.num_rows])
        start += batch.num_rows
        empty += sum(not (text or "").strip() for text in batch.column(0).take(pa.array(here)).to_pylist())
    return empty


def check(report: Mapping[str, Any], pack: Path) -> None:
    """Raise MissingImages where too much is missing, or where nothing would be left."""
    limit = report["max_share"]
    wrong = [f"  {split}, {role}: {in_words(found)}" for split, role, found in above(report["splits"], limit)]
    if wrong:
        raise MissingImages(
            f"{report['dataset']}: more pictures are missing than retrieval.missing_images.max_share = {limit:g} "
            "allows:\n" + "\n".join(wrong) + f"\nTheir paths stand in {pack / 'paths.parquet'}. Repair the files or "
            "`roots`, or raise max_share."
        )
    empty = [
        split for split, roles in report["splits"].items() if roles["query"]["rows"] and not roles["query"]["kept"]
    ]
    if empty:
        raise MissingImages(
            f"{report['dataset']}: with retrieval.missing_images.policy = drop no query is left in {', '.join(empty)}: "
            "the picture of every one is missing. Check `roots`, or use policy `mask`."
        )


def above(splits: Mapping[str, Any], share: float) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(split, role, counts) wherever a larger share of the pictures is missing."""
    for split, roles in splits.items():
        for role, found in roles.items():
            if found["share"] > share:
                yield split, role, found


def in_words(found: Mapping[str, Any]) -> str:
    reasons = ", ".join(f"{rows} {reason}" for reason, rows in found["reasons"].items())
    return f"{found['missing']} of {found['with_image']} rows with a picture ({found['share']:.1%}): {reasons}"


def write_split(source: Path, out: Path, codes: Mapping[str, np.ndarray], policy: Policy) -> None:
    """One split with its queries kept or dropped, and its passages without the pictures that are not there."""
    if policy == "drop" and codes["query"].any():
        kept = codes["query"] == 0
        copy_part(source, out, kept, None, {"missing_images": {"policy": policy, "dropped": int((~kept).sum())}})
    else:
        shutil.copytree(source, out)
    if codes["passage"].any():
        with TableWriter(out / "passages.parquet", PASSAGES) as writer:
            writer.append_batches(without_images(source / "passages.parquet", codes["passage"] > 0))


def without_images(passages: Path, gone: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The passages in batches, `image` null where it is gone."""
    start, at = 0, PASSAGES.get_field_index("image")
    for batch in batches(passages):
        here = gone[start : start + batch.num_rows]
        start += batch.num_rows
        images = pa.array(batch.column("image").to_pylist(), pa.string(), mask=here)
        yield batch.set_column(at, PASSAGES.field(at), images)


def write_rejected(
    write: Callable[[Any], object],
    folder: Path,
    split: str,
    role: str,
    codes: np.ndarray,
    verdicts: Verdicts,
    policy: Policy,
) -> None:
    """One line per row with a missing picture: split, role, row (in the normalised table), id, image, reason, fate."""
    name, identifier = ROLES[role]
    fate = "dropped" if policy == "drop" and role == "query" else "masked"
    start = 0
    for batch in batches(folder / f"{name}.parquet", [identifier, "image"]):
        for at in np.flatnonzero(codes[start : start + batch.num_rows]).tolist():
            row = {"split": split, "role": role, "row": start + at, "id": batch.column(0)[at].as_py()}
            reason = verdicts.reasons[codes[start + at]]
            write(row | {"image": batch.column(1)[at].as_py(), "reason": reason, "fate": fate})
        start += batch.num_rows
