"""The provenance section: one line per rule, one per job, the distinct software environments, the totals."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.report import wording
from retcap.report.inputs import read_json

PEAKS = ("peak_memory_mb", "gpu_peak_memory_mb")


def section(
    folder: Path | None, config: Path | None, known: Mapping[str, Collection[str]] | None = None
) -> dict[str, Any]:
    """Values for `provenance.html`; jobs in the order they started.

    `known`: wildcard -> values that the configuration has now. Records of other values or of another number of shards,
    left from an earlier configuration, are counted and not shown: their outputs are no part of this page.
    """
    found = sorted(read_records(folder), key=lambda record: (str(record.get("started")), str(record.get("rule"))))
    records = as_divided_now([record for record in found if is_current(record, known or {})])
    environments = distinct([record.get("versions") or {} for record in records])
    return {
        "jobs": [_job(record, environments) for record in records],
        "rules": by_rule(records),
        "older": len(found) - len(records),
        "failed": [record for record in records if record.get("status") == "failed"],
        "seconds": wording.duration(sum(record.get("seconds") or 0.0 for record in records)),
        "peak": wording.memory(max((record.get("peak_memory_mb") or 0.0 for record in records), default=None)),
        "commits": sorted({record["commit"] for record in records if record.get("commit")}),
        "dirty": any(record.get("dirty") for record in records),
        "environments": [letter(index) for index in range(len(environments))],
        "packages": packages(environments),
        "config": None if config is None else config_text(config),
    }


def is_current(record: Mapping[str, Any], known: Mapping[str, Collection[str]]) -> bool:
    """Whether all wildcards of a job have values that the configuration still has.

    >>> is_current({"wildcards": {"dataset": "a", "shard": "0"}}, {"dataset": ["b"]})
    False
    """
    wildcards = record.get("wildcards") or {}
    return all(value in known[name] for name, value in wildcards.items() if name in known)


def as_divided_now(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Records, the newest last, without those from before the work of their rule was divided among its jobs anew.

    >>> one = {"rule": "caption", "wildcards": {"captioner": "a"}, "params": {"shards": 1}}
    >>> two = {"rule": "caption", "wildcards": {"captioner": "a", "shard": "0"}, "params": {"shards": 2}}
    >>> as_divided_now([one, two]) == [two]
    True
    """
    newest = {record["rule"]: _division(record) for record in records}
    return [record for record in records if _division(record) == newest[record["rule"]]]


def _division(record: Mapping[str, Any]) -> tuple[list[str], Any]:
    return sorted(record.get("wildcards") or {}), (record.get("params") or {}).get("shards")


def by_rule(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per rule, in the order they first ran: jobs, time in all, largest memory."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(record["rule"], []).append(record)
    seconds = {rule: sum(record.get("seconds") or 0.0 for record in group) for rule, group in groups.items()}
    longest = max(seconds.values(), default=0.0)
    rows = []
    for rule, group in groups.items():
        peaks = {key: max((r[key] for r in group if r.get(key) is not None), default=None) for key in PEAKS}
        rows.append(
            {
                "rule": rule,
                "jobs": len(group),
                "seconds": seconds[rule],
                "duration": wording.duration(seconds[rule]),
                "share": seconds[rule] / longest if longest else 0.0,
                "memory_mb": peaks["peak_memory_mb"],
                "memory": wording.memory(peaks["peak_memory_mb"]),
                "gpu_memory": wording.memory(peaks["gpu_peak_memory_mb"]),
                "failed": sum(record.get("status") == "failed" for record in group),
            }
        )
    return rows


def read_records(folder: Path | None) -> list[dict[str, Any]]:
    """Every JSON file below the folder that is a provenance record (has a rule); others are left alone."""
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"No provenance folder at {folder}. Every job writes its record there beside its log.")
    contents = [read_json(path) for path in sorted(Path(folder).rglob("*.json"))]
    return [content for content in contents if isinstance(content, dict) and "rule" in content]


def distinct(environments: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The different sets of package versions, in order of first use."""
    found: list[Mapping[str, str]] = []
    for versions in environments:
        if versions and versions not in found:
            found.append(versions)
    return found


def packages(environments: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Version of every package in every environment."""
    names = sorted({name for versions in environments for name in versions})
    return [
        {"name": name, "versions": [versions.get(name, wording.NOTHING) for versions in environments]} for name in names
    ]


def letter(index: int) -> str:
    """Name of an environment: A, B, …, Z, A1, B1, …"""
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def config_text(path: Path) -> str:
    """The resolved config as it lies on disk."""
    if not Path(path).exists():
        raise FileNotFoundError(f"No resolved config at {path}. Leave `config` out of ReportInputs, or write it first.")
    return Path(path).read_text(encoding="utf-8")


def _job(record: Mapping[str, Any], environments: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    versions = record.get("versions") or {}
    seconds = record.get("seconds")
    return {
        "rule": record["rule"],
        "wildcards": ", ".join(f"{name}={value}" for name, value in (record.get("wildcards") or {}).items()),
        "started": str(record.get("started") or "")[:19].replace("T", " "),
        "seconds": seconds,
        "duration": wording.duration(seconds),
        "memory_mb": record.get("peak_memory_mb"),
        "memory": wording.memory(record.get("peak_memory_mb")),
        "gpu_memory": wording.memory(record.get("gpu_peak_memory_mb")),
        "device": record.get("device") or "",
        "devices": ", ".join(str(device) for device in record.get("devices") or []),
        "seed": record.get("seed"),
        "commit": str(record.get("commit") or "")[:10],
        "dirty": bool(record.get("dirty")),
        "code": _code(record.get("code")),
        "environment": letter(environments.index(versions)) if versions else wording.NOTHING,
        "params": json.dumps(record.get("params") or {}, indent=1, ensure_ascii=False, default=str),
        "failed": record.get("status") == "failed",
    }


def _code(code: Any) -> str:
    return code[:10] if isinstance(code, str) else wording.NOTHING
