"""The captioning summary as tables: scores with intervals, what cleaning changed, signatures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retcap.metric_titles import HEADLINE, HEADLINES, look_keys, short_keys, title
from retcap.report import wording
from retcap.report.inputs import require

BASELINES = {
    "blind": "one fixed caption per query, never sees the image",
    "shuffled": "its own captions, each given to another image with the same query",
    "random": "a random training caption, same query",
    "human": "each reference of a pair in turn, scored against the others",
}
GENERATED = "one generated reference, scored against the others; no person wrote it"


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    value: float | int | None
    text: str
    interval: str = ""
    note: str = ""  # mark of the footnote that says why the number is absent
    best: bool = False


@dataclass(frozen=True)
class System:
    """One model or baseline of the summary."""

    name: str
    record: Mapping[str, Any]
    baseline: bool
    generated: bool = False  # the row `human` of captions that no person wrote

    @property
    def failed(self) -> bool:
        return self.record.get("status", "completed") != "completed"

    @property
    def reason(self) -> str:
        return self.record.get("reason") or "no reason recorded"

    @property
    def explanation(self) -> str:
        if self.baseline:
            return GENERATED if self.generated else BASELINES.get(self.name, "baseline")
        if self.elsewhere:
            return "captions made elsewhere"
        return "tiny checkpoint of this architecture" if self.tiny else self.record.get("model_id") or ""

    @property
    def unpublished(self) -> bool:
        """Whether other weights ran than those that the model's name stands for: of a folder or another repository."""
        published, own = self.record.get("architecture_of"), self.record.get("model_id")
        return not self.tiny and None not in (published, own) and own != published

    @property
    def tiny(self) -> bool:
        """Whether a small stand-in of the same architecture ran, not the published weights."""
        return self.record.get("checkpoint") == "tiny"

    @property
    def elsewhere(self) -> bool:
        """Whether its captions came from a file of the user's own."""
        return self.record.get("kind") == "elsewhere"

    @property
    def stands_apart(self) -> bool:
        """Whether its values are against fewer references than the others': they must not stand in one table."""
        return self.record.get("references", "all") != "all"

    def detail(self, metric: str) -> Mapping[str, Any]:
        return (self.record.get("details") or {}).get(metric) or {}

    def value(self, metric: str) -> float | int | None:
        value = (self.record.get("metrics") or {}).get(metric)
        return self.detail(metric).get("value") if value is None else value

    def held_out(self, metric: str) -> float | int | None:
        """The value on the references without one: what compares with a human caption."""
        return ((self.record.get("held_out") or {}).get("metrics") or {}).get(metric)


@dataclass
class Notes:
    """Footnotes, each reason once, marked a, b, c in order of appearance."""

    reasons: list[str] = field(default_factory=list)

    def mark(self, reason: str) -> str:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return _letter(self.reasons.index(reason))

    def lines(self) -> list[tuple[str, str]]:
        return [(_letter(index), reason) for index, reason in enumerate(self.reasons)]


def read_systems(summary: Mapping[str, Any], path: Path, generated: bool = False) -> list[System]:
    """Models in the order of the config, then baselines. `generated`: the references are the pipeline's own."""
    groups = [(require(summary, "models", path), False), (summary.get("baselines") or [], True)]
    return [
        System(name := require(record, "model_name", path), record, baseline, generated and name == "human")
        for group, baseline in groups
        for record in group
    ]


def shown_keys(systems: Sequence[System]) -> list[str]:
    """Metrics of the first table: the five of the field, and those of one's own that were computed."""
    return [*HEADLINES, *(key for key in short_keys() if key not in HEADLINES and key in _computed(systems))]


def other_keys(systems: Sequence[System]) -> list[str]:
    """Metrics that were computed beside those of the first table and of the one on looks."""
    return sorted(_computed(systems) - set(shown_keys(systems)) - set(look_keys()))


def looks(systems: Sequence[System]) -> list[str]:
    """What was computed of how captions look."""
    return [key for key in look_keys() if key in _computed(systems)]


def _computed(systems: Sequence[System]) -> set[str]:
    return {key for system in systems for part in ("metrics", "details") for key in (system.record.get(part) or {})}


def by_headline(systems: Sequence[System]) -> list[System]:
    """Finished systems, highest headline metric first; equal values keep the order of the config."""
    done = [system for system in systems if not system.failed]
    return sorted(done, key=lambda system: -(system.value(HEADLINE) or 0.0))


def score_table(systems: Sequence[System], keys: Sequence[str], *, ranked: bool = True) -> dict[str, Any]:
    """Score cells of models and baselines, and the footnotes of what was not computed.

    A system that stands apart is left out, unless the values are such as hang on no reference (not `ranked`).
    """
    systems, notes = [system for system in systems if not (ranked and system.stands_apart)], Notes()
    models = by_headline([system for system in systems if not system.baseline])
    best = {key: _best(models, key) if ranked else None for key in keys}
    baselines = by_headline([system for system in systems if system.baseline])

    def row(system: System) -> dict[str, Any]:
        cells = [_score(system, key, notes, None if system.baseline else best[key]) for key in keys]
        counts = system.record.get("counts") or {}
        return {"system": system, "cells": cells, "n": system.record.get("num_samples"), "counts": counts}

    table = {
        "metrics": [title(key) for key in keys],
        "models": [row(m) for m in models],
        "baselines": [row(b) for b in baselines],
    }
    table["failed"] = [system for system in systems if system.failed]
    table["notes"] = notes.lines()
    return table


def cleaning_table(systems: Sequence[System]) -> dict[str, Any] | None:
    """Scores of the raw text beside the scores of the cleaned text; None when no raw score was recorded."""
    keys = list(HEADLINES)
    rows = []
    for system in [s for s in systems if not s.failed and s.record.get("raw_metrics")]:
        raw = [system.record["raw_metrics"].get(key) for key in keys]
        clean = [system.value(key) for key in keys]
        shift = [None if a is None or b is None else b - a for a, b in zip(raw, clean, strict=True)]
        texts = zip(raw, clean, shift, strict=True)
        cells = [
            {"raw": wording.number(a), "clean": wording.number(b), "shift": wording.signed(c)} for a, b, c in texts
        ]
        rows.append({"system": system, "cells": cells})
    return {"metrics": [title(key) for key in keys], "rows": rows} if rows else None


def signatures(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Signature and unit of every metric; where systems differ, each variant with the systems that have it."""
    rows = []
    for key in [*shown_keys(systems), *other_keys(systems), *looks(systems)]:
        variants: dict[tuple[str, str], list[str]] = {}
        for system in systems:
            detail = system.detail(key)
            if detail.get("signature"):
                variants.setdefault((str(detail["signature"]), str(detail.get("unit") or "")), []).append(system.name)
        for (signature, unit), names in variants.items():
            of = "" if len(variants) == 1 else ", ".join(names)
            rows.append({"metric": title(key), "unit": unit, "signature": signature, "systems": of})
    return rows


def _score(system: System, key: str, notes: Notes, best: float | int | None) -> Cell:
    value, detail = system.value(key), system.detail(key)
    if value is None:
        mark = notes.mark(f"{title(key)}: {detail.get('reason') or 'no reason recorded'}")
        return Cell(None, "not computed", note=mark)
    span = wording.interval(detail.get("ci_low"), detail.get("ci_high"))
    return Cell(value, wording.number(value), span, best=best is not None and value == best)


def _best(models: Sequence[System], key: str) -> float | int | None:
    """The highest value, or the lowest of a metric that says that lower is better."""
    known = [(value, model) for model in models if (value := model.value(key)) is not None]
    lower = any(model.detail(key).get("higher_is_better") is False for _, model in known)
    return (min if lower else max)((value for value, _ in known), default=None)


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"a{index - 25}"
