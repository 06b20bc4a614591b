"""One ranking, scored by the rules of several published programs: how far the rules alone move a number."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.report import wording

METRICS = ("R@5", "PR@5", "PR word@5")


def table(results: Sequence[Mapping[str, Any]], system: str | None) -> dict[str, Any] | None:
    """Rows of a table for one system: data set, dialect, scores in percent or why the program would stop."""
    chosen = [result for result in results if result["system"] == system and len(result.get("dialects") or {}) > 1]
    rows = [
        {"dataset": result["dataset"], "dialect": name, "stopped": way.get("stopped")} | _scores(way)
        for result in chosen
        for name, way in result["dialects"].items()
    ]
    return {"system": system, "metrics": METRICS, "rows": rows} if rows else None


def _scores(way: Mapping[str, Any]) -> dict[str, Any]:
    found = [(way.get("metrics") or {}).get(metric) or {} for metric in METRICS]
    cells = [
        {
            "text": wording.percent(one.get("value")),
            "interval": wording.interval(one.get("ci_low"), one.get("ci_high"), digits=1, scale=100),
        }
        for one in found
    ]
    return {"cells": cells, "counted": way.get("n_pr_queries")}
