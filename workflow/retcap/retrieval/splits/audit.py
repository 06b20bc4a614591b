"""Do the splits of a data set leak into each other? Exact by id and content; near-duplicate pictures on request.

    report = audit({"train": folder, "valid": folder, "test": folder}, fail_on=["queries", "questions"])
    check(report)      raises when a named check found something

Every folder is an output of `normalise` (or of `hold_out`). A pair of splits is checked for the same

    query_ids       ids of queries; a release may number them anew in each split, so alone they prove nothing
    queries         pairs of id and question
    questions       pairs of picture and question (the path is the picture's name)
    images          paths of query pictures, or their bytes when an image pack is given
    golds           ids of positives: expected, and the reason for the slices "gold seen / unseen in training"
    passages        ids of passages: expected where splits share a corpus
    texts           passage texts
    query_file, passage_file   SHA-256 of the published files
    near_images     near-duplicate query pictures, with `near_duplicate_bits` (see retcap.pictures.perceptual)

and every split for `duplicate_ids`, `dangling_golds` (positives without a passage), `null_texts` and `blank_queries`.
Known leaks, given as {"published_valid+test:query_file": "why"}, are reported with their reason and do not fail.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from retcap.retrieval.splits.audit_checks import FAIL_ON, PAIR_CHECKS, SPLIT_CHECKS
from retcap.retrieval.splits.contents import Contents, Prints, near_images, read_contents
from retcap.retrieval.splits.packed import PackedPictures

log = logging.getLogger(__name__)


class Leak(ValueError):
    """A check of `fail_on` found something that is no known leak."""


def audit(
    splits: Mapping[str, str | Path],
    *,
    dataset: str,
    fail_on: Sequence[str] = FAIL_ON,
    known_leaks: Mapping[str, str] | None = None,
    pack: str | Path | None = None,
    near_duplicate_bits: int | None = None,
) -> dict[str, Any]:
    """Report on all splits and all pairs of them; `report["failures"]` names what `fail_on` forbids.

    With `pack`, query pictures are compared by their bytes; `near_duplicate_bits` needs it.
    """
    unknown = sorted(set(fail_on) - set(PAIR_CHECKS) - set(SPLIT_CHECKS))
    if unknown:
        known = ", ".join((*PAIR_CHECKS, *SPLIT_CHECKS))
        raise ValueError(f"retrieval.fail_on names the unknown check {', '.join(unknown)}. Known checks: {known}.")
    if near_duplicate_bits is not None and pack is None:
        raise ValueError("near_duplicate_bits needs the image pack. Give `pack`, or leave it out.")
    pictures = None if pack is None else PackedPictures.open(Path(pack))
    contents = {name: read_contents(Path(folder), pictures) for name, folder in splits.items()}
    pairs = {f"{a}+{b}": overlaps(contents[a], contents[b]) for a, b in combinations(splits, 2)}
    if near_duplicate_bits is not None and pictures is not None:
        prints = Prints.of(contents.values(), pictures)
        for (a, b), found in zip(combinations(splits, 2), pairs.values(), strict=True):
            found["near_images"] = near_images(contents[a], contents[b], prints, near_duplicate_bits)
    report = {
        "dataset": dataset,
        "splits": {name: content.facts for name, content in contents.items()},
        "pairs": pairs,
        "compared_image_bytes": pack is not None,
        "near_duplicate_bits": near_duplicate_bits,
        "fail_on": list(fail_on),
    }
    findings = list(judge(report, known_leaks or {}))
    report["known_leaks"] = [finding for finding in findings if finding["reason"]]
    report["failures"] = [finding for finding in findings if not finding["reason"] and finding["check"] in fail_on]
    for finding in findings:
        log.info("%s %s: %s %s. %s", dataset, finding["place"], finding["count"], finding["check"], finding["reason"])
    return report


def overlaps(first: Contents, second: Contents) -> dict[str, dict[str, Any]]:
    """For every check: how many distinct values both splits have, and the share of the second split's."""
    found: dict[str, dict[str, Any]] = {}
    for name, values in first.hashes.items():
        both = np.intersect1d(values, second.hashes[name], assume_unique=True)
        total = len(second.hashes[name])
        found[name] = {
            "count": len(both),
            "share": len(both) / total if total else 0.0,
            "examples": second.names(name, both),
        }
    for name in ("query_file", "passage_file"):
        parts = name == "query_file" and first.part_of is not None and first.part_of == second.part_of
        same = [] if parts else sorted(first.files[name].keys() & second.files[name].keys())
        found[name] = {
            "count": len(same),
            "share": float(bool(same)),
            "examples": [second.files[name][key] for key in same],
        }
    return found


def judge(report: Mapping[str, Any], known_leaks: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Every check that found something: where, how many, and the reason if it is a known leak (else an empty one)."""
    for place, checks in report["pairs"].items():
        for check, found in checks.items():
            if found["count"]:
                reason = known_leaks.get(f"{place}:{check}", "")
                yield {"place": place, "check": check, "count": found["count"], "reason": reason}
    for place, facts in report["splits"].items():
        for check in SPLIT_CHECKS:
            if facts[check]:
                yield {
                    "place": place,
                    "check": check,
                    "count": facts[check],
                    "reason": known_leaks.get(f"{place}:{check}", ""),
                }


def check(report: Mapping[str, Any]) -> None:
    """Raise Leak if the report has failures; the message names all of them."""
    if not report["failures"]:
        return
    lines = [f"  {finding['place']}: {finding['count']} {finding['check']}" for finding in report["failures"]]
    raise Leak(
        f"The splits of {report['dataset']} leak into each other:\n"
        + "\n".join(lines)
        + "\nRepair the splits (see hold-out "
        "in config/README.md), or take the check out of `retrieval.fail_on` and say so where you report the result."
    )


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """The report as JSON."""
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
