"""What was checked about the retrieval study's data and search: overlaps of the splits, approximate indexes."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.report import wording


def overlap_table(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What every two splits share: one row per data set and pair, one column per check, each with its verdict.

    `verdict` is "bad" for a failure, "known" for a known leak, else "": an overlap that is allowed, or none.
    """
    checks = list(dict.fromkeys(check for one in reports.values() for pair in _pairs(one).values() for check in pair))
    if "near_images" in checks and "images" in checks:  # the two belong together
        checks.remove("near_images")
        checks.insert(checks.index("images") + 1, "near_images")
    rows = []
    for name, report in reports.items():
        verdicts = {(one["place"], one["check"]): "known" for one in report.get("known_leaks") or []}
        verdicts |= {(one["place"], one["check"]): "bad" for one in report.get("failures") or []}
        for place, found in _pairs(report).items():
            cells = [
                {
                    "text": wording.count(found[check]["count"]) if check in found else wording.NOTHING,
                    "verdict": verdicts.get((place, check), ""),
                }
                for check in checks
            ]
            rows.append({"dataset": name, "place": place, "cells": cells})
    return {"checks": checks, "rows": rows}


def _pairs(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return report.get("pairs") or {}


def index_rows(
    indexes: Mapping[str, Sequence[Mapping[str, Any]]], failed: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """One row per data set, index and effort: recall of the exact first k, time for all queries at once, size.

    `failed`: data set -> why nothing was measured on it.
    """
    shown = dict(indexes)
    shown |= {name: [{"kind": "all", "options": "", "skipped": reason}] for name, reason in (failed or {}).items()}
    rows = []
    for name, records in shown.items():
        for record in records:
            times = {key: None if record.get(key) is None else 1000 * record[key] for key in ("search_s", "build_s")}
            rows.append(
                {
                    "dataset": name,
                    "kind": record["kind"].replace("_", " "),
                    "options": record["options"],
                    "effort": record.get("effort"),
                    "skipped": record.get("skipped"),
                    "k": record.get("k"),
                    "recall": wording.percent(record.get("recall")),
                    "queries": record.get("queries"),
                    "search_ms": wording.number(times["search_s"], 1),
                    "build_ms": wording.number(times["build_s"], 1),
                    "size": wording.number(record.get("index_mb"), 2),
                }
            )
    return rows
