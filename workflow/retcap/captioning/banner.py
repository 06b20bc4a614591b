"""The captioning study in a few lines for the terminal, from its summary."""

from collections.abc import Mapping
from typing import Any

from retcap.jobs.failures import verdict
from retcap.metric_titles import short_keys, title
from retcap.terminal.text_table import NOTHING, text_table


def banner(summary: Mapping[str, Any], generated: bool = False) -> list[str]:
    """One line per model, then one per baseline; models that failed stand below with their reason.

    `generated`: no person wrote the captions of the baseline `human`.
    """
    done, baselines = (
        [entry for entry in summary[part] if entry["status"] == "completed"] for part in ("models", "baselines")
    )
    entries = [*done, *baselines]
    keys = [key for key in short_keys() if any(_value(entry, key) is not None for entry in entries)]
    kinds = {"model": "", "elsewhere": " (made elsewhere)", "baseline": " (baseline)"} | (
        {"human": " (baseline, generated)"} if generated else {}
    )
    names = [entry["model_name"] + kinds.get(entry["model_name"], kinds[entry["kind"]]) for entry in entries]
    rows = [[name, *(_shown(entry, key) for key in keys)] for name, entry in zip(names, entries, strict=True)]
    what = "systems" if any(entry["kind"] == "elsewhere" for entry in summary["models"]) else "models"
    lines = [f"Captioning: {summary['completed']} of {summary['total']} {what} completed"]
    if look := summary.get("first_look"):
        lines.append(f"A first look: the first {look['first_pairs']} of {look['of']} pairs (captioning.limit)")
    lines += text_table(["", *(title(key) for key in keys)], rows) if rows else []
    if apart := [entry["model_name"] for entry in entries if entry.get("references", "all") != "all"]:
        lines.append(f"({', '.join(apart)}: against one reference fewer; the report has all against the same ones)")
    lines += [f"{name} failed: {reason}" for name, reason in summary["failures"].items()]
    lines += [verdict.failed_pairs(entry) for entry in done if entry.get("failed_pairs", {}).get("failed")]
    return lines + [verdict.without_value(one) for one in summary["not_computed"]]


def _value(entry: Mapping[str, Any], key: str) -> float | None:
    return (entry.get("details") or {}).get(key, {}).get("value")


def _shown(entry: Mapping[str, Any], key: str) -> str:
    value = _value(entry, key)
    return NOTHING if value is None else f"{value:.3f}"
