"""Any JSON object as lines of label and value, for cards and audits whose keys the report need not know."""

from collections.abc import Mapping
from typing import Any

from retcap.report import wording


def facts(data: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Label and text of every scalar in nested objects, in the order of the file; lists of objects become their length.

    >>> facts({"rows": 6246, "null_texts": {"train": 3}, "share": 0.25})
    [('rows', '6\\u202f246'), ('null texts, train', '3'), ('share', '0.250')]
    """
    lines: list[tuple[str, str]] = []
    for key, value in data.items() if isinstance(data, Mapping) else enumerate(data, start=1):
        label = f"{prefix}, {key}" if prefix else str(key).replace("_", " ")
        if isinstance(value, Mapping):
            lines += facts(value, label)
        elif isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
            lines.append((label, wording.plural(len(value), "entry", "entries")))
        else:
            lines.append((label.replace("_", " "), scalar(value)))
    return lines


def scalar(value: Any) -> str:
    """One value as text."""
    if value is None:
        return wording.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return wording.count(value)
    if isinstance(value, float):
        return wording.number(value)
    if isinstance(value, list):
        return ", ".join(scalar(part) for part in value) or wording.NOTHING
    return str(value)
