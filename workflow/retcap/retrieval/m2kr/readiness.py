"""Is a data set that was read fit for hours of packing and training? Lines set aside and pictures that are not there.

Both are judged here, apart from the reading and the packing, so that another limit reads and packs nothing again.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from retcap.retrieval.m2kr.presence import look_for_all
from retcap.retrieval.splits import screening

log = logging.getLogger(__name__)


class NotReady(ValueError):
    """Too many lines were rejected, or too many pictures are missing."""


def check(
    folder: Path, roots: Any, *, dataset: str, max_rejected: Mapping[str, float], max_share: float, threads: int
) -> dict[str, Any]:
    """Counts of rejected lines and missing pictures of the normalised splits in `folder`.

        {"dataset", "rejected": {split: {content: {"rows", "rejected", "share", "reasons"}}}, "missing": as `screen`}

    Raises NotReady with everything that lies above a limit: `max_rejected` by split, as a share of the lines of the
    query files and of the corpus files; `max_share` of the pictures of a split on one side.
    """
    rejected = {split: rejected_lines(card) for split, card in read_cards(folder)}
    verdicts, places = look_for_all(folder, roots, threads)
    _, missing = screening.count_splits(folder, verdicts, "mask")
    problems = [*too_many_rejected(rejected, max_rejected, folder)]
    wrong = [f"{split}, {role}: {screening.in_words(one)}" for split, role, one in screening.above(missing, max_share)]
    if wrong:
        head = f"more pictures are missing than retrieval.missing_images.max_share = {max_share:g} allows:"
        hint = f"Correct retrieval.datasets.{dataset}.roots, unpack the rest, or raise max_share."
        problems.append("\n      ".join([head, *wrong, *places.in_words(), hint]))
    if problems:
        raise NotReady("\n".join([f"{dataset} is not ready to be packed:", *(f"  - {one}" for one in problems)]))
    log.info("%s: rejected lines %s, missing pictures %s", dataset, rejected, missing)
    return {"dataset": dataset, "rejected": rejected, "missing": missing}


def read_cards(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Cards of the splits with files of their own: rows that were held out come from the files of the training."""
    for split in screening.SPLITS:
        card = json.loads((folder / split / "card.json").read_text(encoding="utf-8"))
        if not (split == "valid" and "held_out" in card):
            yield split, card


def rejected_lines(card: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Rejected lines by what the files hold; none where a world is generated, whose broken lines are planted."""
    whole = card.get("source", card)
    found = {}
    for content in ("queries", "passages"):
        files = [] if card["generated"] else [file for file in whole["files"] if file["content"] == content]
        rows, rejected = (sum(file[name] for file in files) for name in ("rows", "rejected"))
        share = rejected / (rows + rejected) if rejected else 0.0
        found[content] = {"rows": rows, "rejected": rejected, "share": share, "reasons": card["rejected"]["reasons"]}
    return found


def too_many_rejected(
    rejected: Mapping[str, Mapping[str, Any]], limits: Mapping[str, float], folder: Path
) -> Iterator[str]:
    """A sentence for every split and content above its limit."""
    for split, contents in rejected.items():
        for content, one in contents.items():
            if one["share"] > limits[split]:
                lines = one["rows"] + one["rejected"]
                reasons = ", ".join(f"{count} {reason}" for reason, count in one["reasons"].items())
                yield (
                    f"{split}: {one['rejected']} of {lines} lines of its {content} were rejected ({one['share']:.2%}), "
                    f"retrieval.max_rejected.{split} = {limits[split]:g} allows {int(limits[split] * lines)}. Reasons "
                    f"in this split: {reasons}. Read {folder / split / 'quarantine.jsonl'}, then repair the files or "
                    "raise the limit."
                )
