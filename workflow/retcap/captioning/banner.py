"""The captioning study in a few lines for the terminal, from its summary."""

from collections.abc import Mapping
from typing import Any

from retcap.metric_titles import short_keys, title
from retcap.text_table import NOTHING, text_table


def banner(summary: Mapping[str, Any], generated: bool = False) -> list[str]:
    """One line per model, then one per baseline; models that failed stand below with their reason.

    `generated`: no person wrote the captions of the baseline `human`.
    """
    done = [entry for entry in summary["models"] if entry["status"] == "completed"]
    entries = [*done, *summary["baselines"]]
    keys = [key for key in short_keys() if any(_value(entry, key) is not None for entry in entries)]
    kinds = {"model": "", "baseline": " (baseline)"} | ({"human": " (baseline, generated)"} if generated else {})
    names = [entry["model_name"] + kinds.get(entry["model_name"], kinds[entry["kind"]]) for entry in entries]
    rows = [[name, *(_shown(entry, key) for key in keys)] for name, entry in zip(names, entries, strict=True)]
    lines = [f"Captioning: {summary['completed']} of {summary['total']} models completed"]
    lines += text_table(["", *(title(key) for key in keys)], rows) if rows else []
    lines += [f"{name} failed: {reason}" for name, reason in summary["failures"].items()]
    return lines + [line for key in short_keys() if (line := _missing(entries, key))]


def _value(entry: Mapping[str, Any], key: str) -> float | None:
    return (entry.get("details") or {}).get(key, {}).get("value")


def _shown(entry: Mapping[str, Any], key: str) -> str:
    value = _value(entry, key)
    return NOTHING if value is None else f"{value:.3f}"


def _missing(entries: list[Mapping[str, Any]], key: str) -> str:
    """That a metric was asked for and has no value, with the first reason; nothing where all is there."""
    details = {entry["model_name"]: (entry.get("details") or {}).get(key) or {} for entry in entries}
    reasons = {name: one["reason"] for name, one in details.items() if one.get("metric") and one["value"] is None}
    if not reasons:
        return ""
    of = "" if len(reasons) == len(entries) else f" of {', '.join(reasons)}"
    return f"{title(key)}{of} was not computed: {next(iter(reasons.values()))}"
