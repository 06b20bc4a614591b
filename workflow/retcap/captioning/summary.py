"""Sums up the captioning study: one object per model in run order, baselines apart, true counts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retcap.captioning import outcome
from retcap.captioning.cost import cost
from retcap.captions import scoring


def summarise(
    paths: Mapping[str, Path],
    models: list[str],
    baselines: list[str],
    failed: Mapping[str, str],
    split: str,
    first_look: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Content of `all_models_summary.json` from the `<system>_metrics.json` files.

    `paths`: system -> its file; `failed`: system -> reason, for those whose scoring failed, so that they have no file.
    A model counts as completed when its status is "completed", else as failed; so do captions made elsewhere, which
    stand among the models. Baselines are not counted. `first_look`: how many pairs of how many `captioning.limit` left.
    """
    by_name = {name: failed_entry(name, reason) for name, reason in failed.items()}
    for name, path in paths.items():
        by_name[name] = json.loads(path.read_text(encoding="utf-8"))
    entries = [by_name[name] | {"cost": cost(by_name[name])} for name in models]
    completed = sum(entry["status"] == "completed" for entry in entries)
    return {
        "split": split,
        "first_look": first_look,
        "total": len(entries),
        "completed": completed,
        "failed": len(entries) - completed,
        "failures": {name: one["reason"] for name, one in by_name.items() if one["status"] != "completed"},
        "not_computed": not_computed(by_name),
        "models": entries,
        "baselines": [by_name[name] for name in baselines],
    }


def failed_entry(name: str, reason: str) -> dict[str, Any]:
    """The entry of a system without a metrics file."""
    return outcome.failed(name, reason) | scoring.not_scored(0, reason)


def not_computed(by_name: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Metrics without a value and why, with the systems concerned; `failed`: a further run may well have the value."""
    found: dict[tuple[str, str, bool], list[str]] = {}
    for name, entry in by_name.items():
        for key, detail in entry["details"].items():
            if entry["status"] == "completed" and detail["value"] is None and detail["metric"] is not None:
                found.setdefault((key, detail["reason"], detail["failed"]), []).append(name)
    return [
        {"metric": metric, "reason": reason, "failed": failed, "systems": systems}
        for (metric, reason, failed), systems in found.items()
    ]


def write(result: dict[str, Any], path: Path) -> None:
    """Write the summary as JSON."""
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
