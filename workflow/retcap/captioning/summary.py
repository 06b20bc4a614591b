"""Sums up the captioning study: one object per model in run order, baselines apart, true counts."""

import json
from pathlib import Path
from typing import Any


def summarise(paths: list[Path], models: list[str], baselines: list[str]) -> dict[str, Any]:
    """Content of `all_models_summary.json` from the `<system>_metrics.json` files.

    A model counts as completed when its status is "completed", else as failed; baselines are not counted.
    """
    by_name = {}
    for path in paths:
        entry = json.loads(path.read_text(encoding="utf-8"))
        by_name[entry["model_name"]] = entry
    entries = [by_name[name] for name in models]
    completed = sum(entry["status"] == "completed" for entry in entries)
    return {
        "total": len(entries),
        "completed": completed,
        "failed": len(entries) - completed,
        "failures": {entry["model_name"]: entry["reason"] for entry in entries if entry["status"] != "completed"},
        "models": entries,
        "baselines": [by_name[name] for name in baselines],
    }


def write(result: dict[str, Any], path: Path) -> None:
    """Write the summary as JSON."""
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
