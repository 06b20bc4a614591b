"""The retrieval study in a few lines for the terminal, from its table `results.csv`."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from retcap import plugins
from retcap.metric_titles import short_measures
from retcap.retrieval.headline import headline_k
from retcap.terminal.text_table import NOTHING, text_table

FAILED = "failed: "  # how the source of a row without a value begins


def banner(table: Path, trained: Sequence[str], trainings: Path | None = None) -> list[str]:
    """Every short measure at the headline cut-off in percent, by the rules of the first dialect; trained systems first.

    `trainings`: the table of retrievers that were trained several times; each of them has a line with mean and standard
    deviation. The last line of a table is chance, the value of a random ranking, where the measure knows it. Below are
    systems without a result, with the reason.
    """
    every = _read(table)
    rows = [row for row in every if row["source"] == "measured"]
    failed = [row for row in every if row["source"].startswith(FAILED)]
    return [*(_tables(rows, trained, _read(trainings) if trainings else []) if rows else []), *_failures(failed)]


def _read(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _tables(
    rows: list[dict[str, str]], trained: Sequence[str], trainings: Sequence[Mapping[str, str]]
) -> Iterator[str]:
    rows = [row for row in rows if row["dialect"] == rows[0]["dialect"]]
    k = headline_k({int(row["metric"].rpartition("@")[2]) for row in rows})
    for measure in short_measures():
        values = {(row["system"], row["dataset"]): row for row in rows if row["metric"] == f"{measure}@{k}"}
        if values:
            yield f"Retrieval: {measure}@{k} in percent of the queries"
            several = [one for one in trainings if one["metric"] == f"{measure}@{k}" and int(one["trainings"]) > 1]
            yield from _table(values, trained, several)


def _failures(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """One line per reason, with the systems that have it."""
    systems: dict[str, list[str]] = {}
    for row in rows:
        systems.setdefault(row["source"].removeprefix(FAILED), []).append(row["system"])
    for reason, names in systems.items():
        yield f"{', '.join(dict.fromkeys(names))} failed: {reason}"


def _table(
    values: Mapping[tuple[str, str], Mapping[str, str]], trained: Sequence[str], several: Sequence[Mapping[str, str]]
) -> list[str]:
    datasets = list(dict.fromkeys(dataset for _, dataset in values))
    systems = sorted(dict.fromkeys(system for system, _ in values), key=lambda name: name not in trained)
    shown = [[name, *(_percent(values.get((name, dataset)), "value") for dataset in datasets)] for name in systems]
    for retriever in dict.fromkeys(one["retriever"] for one in several):
        means = {one["dataset"]: one for one in several if one["retriever"] == retriever}
        count = max(int(one["trainings"]) for one in means.values())
        shown.append([f"{retriever}, {count} trainings", *(_mean(means.get(dataset)) for dataset in datasets)])
    floors = {dataset: row for (_, dataset), row in values.items() if row["floor"]}
    chance = ["chance", *(_percent(floors.get(dataset), "floor") for dataset in datasets)]
    titles = [plugins.load("datasets", name).CARD.title for name in datasets]
    return text_table(["", *titles], [*shown, chance] if set(chance[1:]) != {NOTHING} else shown)


def _percent(row: Mapping[str, str] | None, column: str) -> str:
    return f"{100 * float(row[column]):.1f}" if row and row[column] else NOTHING


def _mean(row: Mapping[str, str] | None) -> str:
    return f"{100 * float(row['mean']):.1f} ± {100 * float(row['standard_deviation']):.1f}" if row else NOTHING
