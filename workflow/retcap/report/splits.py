"""The data of the retrieval study: rows per split and share of the training mix, records set aside, leaks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.pictures.images import settings_of
from retcap.report import wording
from retcap.report.facts import facts
from retcap.report.inputs import read_json, read_jsonl
from retcap.report.rejected import by_reason

SPLITS = ("train", "valid", "test")


def data_table(
    folders: Mapping[str, Path], results: Sequence[Mapping[str, Any]], weights: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Per data set: rows of every split, share of the training mix, corpus size, and what qualifies the scores."""
    cards = {
        name: {split: read_json(folder / split / "card.json") for split in SPLITS} for name, folder in folders.items()
    }
    mix = {name: own["train"]["queries"]["rows"] * weights.get(name, 1) for name, own in cards.items()}
    rows = []
    for name in list(dict.fromkeys(result["dataset"] for result in results)):
        result = next(one for one in results if one["dataset"] == name)
        row = {
            "dataset": name,
            "result": result,
            "share": "",
            "held_out": None,
            "warnings": [],
            "weight": weights.get(name, 1),
        }
        if name in cards:
            own = cards[name]
            held = own["train"].get("held_out")
            row |= {split: own[split]["queries"]["rows"] for split in SPLITS}
            row |= {
                "share": wording.percent(mix[name] / sum(mix.values())) if sum(mix.values()) else wording.NOTHING,
                "held_out": None if held is None else held["by"],
                "rejected": sum(own[split]["rejected"]["rows"] for split in _files_of(own)),
                "warnings": [sentence for split in SPLITS for sentence in own[split]["warnings"]],
            }
        rows.append(row)
    return rows


def _files_of(cards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Splits with files of their own: validation rows that were held out come from the training files."""
    return ["train", "test"] if "held_out" in cards["valid"] else list(SPLITS)


def total(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Training rows of all data sets; None when their cards are not given."""
    counts = [row["train"] for row in rows if "train" in row]
    return sum(counts) if counts and len(counts) == len(rows) else None


def set_aside(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Rejected lines of all files by reason, the most frequent first, with a few of each."""
    cards = {
        folder: {split: read_json(folder / split / "card.json") for split in SPLITS} for folder in folders.values()
    }
    files = [folder / split / "quarantine.jsonl" for folder, own in cards.items() for split in _files_of(own)]
    return by_reason([record for file in files for record in read_jsonl(file)])


def missing_images(dataset: str, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Missing or broken pictures of one data set, a row per split and side, and what became of them."""
    return [
        dict(counts) | {"dataset": dataset, "split": split, "side": side, "policy": report["policy"]}
        for split, sides in report["splits"].items()
        for side, counts in sides.items()
    ]


def packs(
    folders: Mapping[int, Mapping[str, Path]], sides: Mapping[str, int | None], titles: Mapping[str, str]
) -> list[dict[str, str]]:
    """How the pictures were brought to size, in words, and the data sets that it holds for.

    `folders`: packs by side in pixels and data set; `sides`: system -> side. Systems are named where sides differ.
    """
    found: dict[tuple[int, str], list[str]] = {}
    for side, packed in folders.items():
        for name, folder in packed.items():
            found.setdefault((side, pack_in_words(settings_of(folder))), []).append(titles.get(name, name))
    takers = {side: [system for system, own in sides.items() if own == side] for side in folders}
    return [
        {
            "sets": wording.listing(sets),
            "words": words,
            "systems": wording.listing(takers[side]) if len(folders) > 1 else "",
        }
        for (side, words), sets in found.items()
    ]


def pack_in_words(pack: Mapping[str, Any]) -> str:
    """The settings of an image pack.

    >>> resize = {"mode": "cover", "width": 224, "height": 224, "shrink_on_load": True}
    >>> pack_in_words({"encoding": "jpeg", "resize": resize})
    '224 × 224 px (cover), stored as JPEG; large JPEGs were shrunk while they were decoded'
    """
    resize = pack["resize"]
    stored = {"raw": "stored exactly", "png": "stored exactly", "jpeg": "stored as JPEG"}[pack["encoding"]]
    shrunk = "; large JPEGs were shrunk while they were decoded" if resize["shrink_on_load"] else ""
    return f"{resize['width']} × {resize['height']} px ({resize['mode']}), {stored}{shrunk}"


def leaks(paths: Mapping[str, Path]) -> dict[str, Any]:
    """Findings of all leak audits, failures before leaks that are known, and the other figures of every audit."""
    reports = {name: read_json(path) for name, path in paths.items()}
    findings = []
    for kind in ("failures", "known_leaks"):
        for name, report in reports.items():
            for finding in report.get(kind) or []:
                findings.append(dict(finding) | {"dataset": name, "bad": kind == "failures"})
    clean = [name for name, report in reports.items() if not report.get("failures") and not report.get("known_leaks")]
    left_out = ("failures", "known_leaks", "pairs")
    figures = {
        name: facts({key: value for key, value in report.items() if key not in left_out})
        for name, report in reports.items()
    }
    return {"findings": findings, "clean": clean, "figures": figures}
