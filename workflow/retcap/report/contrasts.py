"""Differences between retrieval systems as a matrix: one row per pair of systems, one column per data set."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.report import wording
from retcap.report.ranking_plots import few


def matrix(
    records: Sequence[Mapping[str, Any]], datasets: Sequence[str], trained: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Per metric the rows "first minus second", a trained system always first; cells in percent points.

    `records`: as `retcap.retrieval.comparison.differences` gives them, as fractions with paired intervals.
    """
    tables = []
    for metric in metrics:
        found = {(one["first"], one["second"], one["dataset"]): one for one in records if one["metric"] == metric}
        pairs = dict.fromkeys((first, second) for first, second, _ in found)
        rows = [
            {"first": first, "second": second, "cells": [cell(found.get((first, second, name))) for name in datasets]}
            for first, second in sorted(pairs, key=lambda pair: pair[1] in trained)  # baselines first; else in order
        ]
        if rows:
            tables.append({"metric": metric, "rows": rows})
    return tables


def cell(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """One difference: text, interval, p, and whether the interval lies on one side of zero."""
    if record is None or record["difference"] is None:
        return {"value": None, "text": wording.NOTHING, "interval": "", "verdict": "", "p": "", "few": False}
    low, high = record["ci_low"], record["ci_high"]
    sides = [] if low is None or high is None else [low > 0, high < 0]
    corrected = record["p_holm"] is not None
    p = wording.p_value(record["p_holm"] if corrected else record["p"])
    return {
        "value": record["difference"],
        "text": wording.signed(100 * record["difference"], 1),
        "interval": wording.interval(low, high, digits=1, scale=100),
        "verdict": {(True, False): "good", (False, True): "bad"}.get(tuple(sides), ""),
        "p": f"p {p}, Holm" if corrected else f"p {p}",
        "few": few(record),
    }


def won(tables: Sequence[Mapping[str, Any]], system: str) -> tuple[int, int]:
    """Comparisons of a system by the first metric: in how many the interval speaks for it, and how many there are."""
    if not tables:
        return 0, 0
    sides = [("good", row["cells"]) for row in tables[0]["rows"] if row["first"] == system]
    sides += [("bad", row["cells"]) for row in tables[0]["rows"] if row["second"] == system]
    verdicts = [(cell["verdict"], wanted) for wanted, cells in sides for cell in cells]
    return sum(verdict == wanted for verdict, wanted in verdicts), len(verdicts)
