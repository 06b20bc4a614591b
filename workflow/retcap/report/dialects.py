"""One ranking, scored by the rules of several published programs: how far the rules alone move a number."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from retcap.report import wording
from retcap.report.ranking_plots import cell
from retcap.retrieval.judging import dialects


def table(
    results: Sequence[Mapping[str, Any]],
    system: str | None,
    datasets: Sequence[str],
    titles: Mapping[str, str],
    metrics: Sequence[str],
) -> dict[str, Any] | None:
    """Scores of one system in percent: a row per dialect, two columns per data set; None with one dialect only.

    Where the original program would stop, the cells point to a note that says why.
    """
    found = {result["dataset"]: result.get("dialects") or {} for result in results if result["system"] == system}
    names = list(dict.fromkeys(name for ways in found.values() for name in ways))
    if len(names) < 2:
        return None
    notes: list[str] = []
    rows = []
    for name in names:
        cells = []
        for dataset in datasets:
            way = found.get(dataset, {}).get(name) or {}
            if stopped := way.get("stopped"):
                notes.append(f"{name} on {titles.get(dataset, dataset)}: {stopped}")
                mark = ascii_lowercase[(len(notes) - 1) % len(ascii_lowercase)]
                cells += [{"text": wording.NOTHING, "interval": "", "mark": mark}] * len(metrics)
            else:
                cells += [cell(way, metric) | {"mark": ""} for metric in metrics]
        rows.append({"dialect": name, "cells": cells})
    return {
        "system": system,
        "rules": [(name, dialects.load(name).in_words) for name in names],
        "metrics": metrics,
        "rows": rows,
        "notes": list(zip(ascii_lowercase, notes, strict=False)),
    }
