"""The provenance section: one line per job, the distinct software environments, the totals."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.report import wording
from retcap.report.inputs import read_json


def section(folder: Path | None, config: Path | None) -> dict[str, Any]:
    """Values for `provenance.html`; jobs in the order they started."""
    records = sorted(read_records(folder), key=lambda record: (str(record.get("started")), str(record.get("rule"))))
    environments = distinct([record.get("versions") or {} for record in records])
    slowest = max((record.get("seconds") or 0.0 for record in records), default=0.0)
    return {
        "jobs": [_job(record, environments, slowest) for record in records],
        "failed": [record for record in records if record.get("status") == "failed"],
        "seconds": wording.duration(sum(record.get("seconds") or 0.0 for record in records)),
        "peak": wording.memory(max((record.get("peak_memory_mb") or 0.0 for record in records), default=None)),
        "commits": sorted({record["commit"] for record in records if record.get("commit")}),
        "dirty": any(record.get("dirty") for record in records),
        "environments": [letter(index) for index in range(len(environments))],
        "packages": packages(environments),
        "config": None if config is None else config_text(config),
    }


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


def _job(record: Mapping[str, Any], environments: Sequence[Mapping[str, str]], slowest: float | int) -> dict[str, Any]:
    versions = record.get("versions") or {}
    seconds = record.get("seconds")
    return {
        "rule": record["rule"],
        "wildcards": ", ".join(f"{name}={value}" for name, value in (record.get("wildcards") or {}).items()),
        "started": str(record.get("started") or "")[:19].replace("T", " "),
        "seconds": seconds,
        "duration": wording.duration(seconds),
        "share": round((seconds or 0.0) / slowest, 3) if slowest else 0.0,
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
