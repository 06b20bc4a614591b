"""Differences between systems as the page shows them. What holds was decided before: this only reads and words it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from retcap.analysis.bootstrap import FEW_CLUSTERS
from retcap.records import Difference
from retcap.report import wording
from retcap.report.inputs import read_json


@dataclass(frozen=True)
class Cell:
    """One difference in words. `verdict`: "good" or "bad" when the interval leaves out zero; a sign proves little."""

    value: float | None
    low: float | None
    high: float | None
    text: str
    interval: str
    verdict: str
    p: str
    few: bool  # the interval comes from fewer clusters than it needs to be trusted


NOTHING = Cell(None, None, None, wording.NOTHING, "", "", "", few=False)


def read(path: Path | None) -> list[Difference]:
    """The records of a `differences.json`; none without a file."""
    try:
        return [] if path is None else msgspec.convert(read_json(path), list[Difference])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}. Delete it and run the rule that writes it again.") from error


def cell(one: Difference | None, digits: int = 3, scale: float = 1.0) -> Cell:
    """A difference in `scale` times its unit, with interval and p."""
    if one is None or one.difference is None:
        return NOTHING
    low, high, verdict = one.ci_low, one.ci_high, ""
    if low is not None and high is not None:
        verdict = "good" if low > 0 else "bad" if high < 0 else ""
    return Cell(
        value=one.difference,
        low=low,
        high=high,
        text=wording.signed(scale * one.difference, digits),
        interval=wording.interval(low, high, digits=digits, scale=scale),
        verdict=verdict,
        p=_p(one),
        few=low is not None and one.clusters < FEW_CLUSTERS,
    )


def matrix(
    records: Sequence[Difference], datasets: Sequence[str], trained: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Per metric one row per pair of systems, "first minus second", and one cell per data set in percent points."""
    tables = []
    for metric in metrics:
        found = {(one.first, one.second, one.dataset): one for one in records if one.metric == metric}
        pairs = dict.fromkeys((first, second) for first, second, _ in found)
        rows = [
            {
                "first": first,
                "second": second,
                "cells": [cell(found.get((first, second, name)), digits=1, scale=100) for name in datasets],
            }
            for first, second in sorted(pairs, key=lambda pair: pair[1] in trained)  # baselines first; else in order
        ]
        if rows:
            tables.append({"metric": metric, "rows": rows})
    return tables


def won(tables: Sequence[Mapping[str, Any]], system: str) -> tuple[int, int]:
    """Differences of a system by the first metric: in how many the interval speaks for it, and how many there are."""
    if not tables:
        return 0, 0
    sides = [("good", row["cells"]) for row in tables[0]["rows"] if row["first"] == system]
    sides += [("bad", row["cells"]) for row in tables[0]["rows"] if row["second"] == system]
    verdicts = [(cell.verdict, wanted) for wanted, cells in sides for cell in cells]
    return sum(verdict == wanted for verdict, wanted in verdicts), len(verdicts)


def _p(one: Difference) -> str:
    if one.p_holm is not None:
        return f"p {wording.p_value(one.p_holm)}, Holm"
    return "" if one.p is None else f"p {wording.p_value(one.p)}"
