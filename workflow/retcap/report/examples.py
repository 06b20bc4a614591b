"""Which captions are shown, and what is shown of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retcap.pictures.images import ImagePack
from retcap.report import pictures, wording

PICTURE_WIDTH_PX = 880
CAPTION_CHARACTERS = 600  # a run-away generation must not push everything else off the page
GROUPS = {
    "good": "Highest mean score over the models",
    "middle": "Around the median",
    "bad": "Lowest mean score over the models",
    "disagreement": "Largest spread between the models",
}
Scores = Mapping[str, Mapping[str, float | int]]  # system -> item id -> score


def choose(scores: Scores, images: Mapping[str, Any], amount: int) -> dict[str, list[str]]:
    """`amount` item ids in groups, picked by mean item score over the models; every image is shown once at most.

    `images`: image by item id. An item that a model has no score for counts as zero there. Ties go by item id, so that
    equal results give equal pages. What does not divide evenly goes to the bad first: failures teach more.

    >>> choose({"m": {"a": 0.9, "b": 0.1, "c": 0.5}}, {"a": "x", "b": "y", "c": "z"}, amount=3)
    {'good': ['a'], 'middle': ['c'], 'bad': ['b']}
    """
    values = {item: [table.get(item) or 0.0 for table in scores.values()] for item in sorted(images)}
    mean = {item: statistics.fmean(row) for item, row in values.items()}
    spread = {item: max(row) - min(row) for item, row in values.items()}
    median = statistics.median(mean.values())
    keys: dict[str, Callable[[str], float]] = {
        "bad": lambda item: mean[item],
        "good": lambda item: -mean[item],
        "middle": lambda item: abs(mean[item] - median),
    }
    if any(spread.values()):
        keys["disagreement"] = lambda item: -spread[item]
    shown: set[Any] = set()
    chosen: dict[str, list[str]] = {}
    for place, (group, key) in enumerate(keys.items()):
        share = amount // len(keys) + (place < amount % len(keys))
        chosen[group] = []
        for item in sorted(values, key=key):
            if len(chosen[group]) < share and images[item] not in shown:
                chosen[group].append(item)
                shown.add(images[item])
    return {group: chosen[group] for group in GROUPS if chosen.get(group)}


def build(
    items: Sequence[Mapping[str, Any]],
    captions: Mapping[str, Mapping[str, Mapping[str, Any]]],
    scores: Scores,
    models: Sequence[str],
    amount: int,
    pack: ImagePack | None,
) -> list[dict[str, Any]]:
    """Groups of examples for the page: picture, query, references and every system's caption with its item score.

    `captions`: system -> item id -> row of the captions table. `models`: the systems that are no baselines, in order.
    """
    ranked = {name: scores[name] for name in models if name in scores}
    if not ranked or not items:
        return []
    by_id = {item["item_id"]: item for item in items}
    groups = choose(ranked, {item: row["image"] for item, row in by_id.items()}, amount)
    order = [*models, *(name for name in captions if name not in models)]

    def example(item: str) -> dict[str, Any]:
        top = max((table[item] for table in ranked.values() if item in table), default=None)
        said = [(name, captions[name][item]) for name in order if item in captions.get(name, {})]
        lines = [_line(name, row, scores.get(name, {}).get(item), top, name not in models) for name, row in said]
        return _item(by_id[item], pack) | {"lines": lines}

    return [
        {"explanation": GROUPS[name], "items": [example(item) for item in chosen]} for name, chosen in groups.items()
    ]


def _item(row: Mapping[str, Any], pack: ImagePack | None) -> dict[str, Any]:
    references = [str(reference) for reference in row["references"]]
    said = f"Panorama. One annotator wrote: {wording.cut(references[0], 160)}" if references else "Panorama"
    return {
        "picture": pictures.thumbnail(pack, row.get("image_key"), PICTURE_WIDTH_PX),
        "alt": said,
        "image": str(row["image"]).rsplit("/", 1)[-1],
        "query": row["query"],
        "references": references,
    }


def _line(
    name: str, row: Mapping[str, Any], score: float | int | None, top: float | int | None, baseline: bool
) -> dict[str, Any]:
    raw = row["raw"] if isinstance(row["raw"], str) else ""
    cleaned = row.get("cleaned")
    text = cleaned if isinstance(cleaned, str) else raw
    reason = row.get("reason")
    return {
        "system": name,
        "baseline": baseline,
        "text": wording.cut(text, CAPTION_CHARACTERS),
        "raw": "" if raw.split() == text.split() else wording.cut(raw, CAPTION_CHARACTERS),
        "status": str(row["status"]),
        "reason": reason if isinstance(reason, str) else "",
        "score": wording.number(score),
        "best": not baseline and score is not None and score == top and score > 0,
    }
