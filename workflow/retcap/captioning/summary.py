"""Sums up the captioning study: one object per model in run order, baselines apart, true counts."""

import json
from pathlib import Path
from typing import Any

RULE = "=" * 60


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


def banner(result: dict[str, Any]) -> str:
    """The closing lines of the study for the terminal: one per model, then the counts."""
    lines = [RULE, "Captioning study", RULE]
    for number, entry in enumerate(result["models"], start=1):
        head = f"[{number}/{result['total']}] {entry['model_name']}"
        if entry["status"] == "completed":
            lines.append(f"✓ {head}  {_scores(entry)}")
        else:
            lines.append(f"✗ {head}  failed: {entry['reason']}")
    lines += [f"  baseline {entry['model_name']}  {_scores(entry)}" for entry in result["baselines"]]
    lines += [f"completed: {result['completed']}/{result['total']}", f"failed: {result['failed']}/{result['total']}"]
    return "\n".join(lines)


def _scores(entry: dict[str, Any]) -> str:
    shown = {name: "–" if value is None else f"{value:.4f}" for name, value in entry["metrics"].items()}
    return "  ".join(f"{name} {value}" for name, value in shown.items())
