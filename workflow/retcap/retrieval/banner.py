"""The retrieval study in a few lines for the terminal, from its table `results.csv`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from retcap import plugins
from retcap.metric_titles import short_measures
from retcap.retrieval.headline import headline_k
from retcap.text_table import NOTHING, text_table


def banner(table: Path, trained: Sequence[str]) -> list[str]:
    """Every short measure at the headline cut-off in percent, by the rules of the first dialect; trained systems first.

    The last line is chance, the value of a random ranking, where the measure knows it.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "measured"]
    rows = [row for row in rows if row["dialect"] == rows[0]["dialect"]]
    k = headline_k({int(row["metric"].rpartition("@")[2]) for row in rows})
    lines = []
    for measure in short_measures():
        values = {(row["system"], row["dataset"]): row for row in rows if row["metric"] == f"{measure}@{k}"}
        if values:
            lines += [f"Retrieval: {measure}@{k} in percent of the queries", *_table(values, trained)]
    return lines


def _table(values: Mapping[tuple[str, str], Mapping[str, str]], trained: Sequence[str]) -> list[str]:
    datasets = list(dict.fromkeys(dataset for _, dataset in values))
    systems = sorted(dict.fromkeys(system for system, _ in values), key=lambda name: name not in trained)
    shown = [[name, *(_percent(values.get((name, dataset)), "value") for dataset in datasets)] for name in systems]
    chance = ["chance", *(_percent(values.get((systems[0], dataset)), "floor") for dataset in datasets)]
    titles = [plugins.load("datasets", name).CARD.title for name in datasets]
    return text_table(["", *titles], [*shown, chance] if set(chance[1:]) != {NOTHING} else shown)


def _percent(row: Mapping[str, str] | None, column: str) -> str:
    return f"{100 * float(row[column]):.1f}" if row and row[column] else NOTHING
