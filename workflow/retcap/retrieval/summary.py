"""The study's one table: every system on every data set, published rows, parameter counts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from retcap.retrieval.m2kr import published

Place = tuple[str, str]  # system, data set


class Scored(NamedTuple):
    """What the scoring of all systems on all data sets left."""

    results: list[dict[str, Any]]
    per_query: dict[str, dict[str, Path]]  # system -> data set -> table
    failed: dict[Place, str]  # reason, where there is no result


def gather(
    places: Sequence[Place], results: Sequence[str], per_query: Sequence[str], failed: Mapping[str, Any]
) -> Scored:
    """Read the results of all places that have one. `failed`: failures by path of the result."""
    scored = Scored([], {system: {} for system, _ in places}, {})
    for (system, dataset), path, queries in zip(places, results, per_query, strict=True):
        if path in failed:
            scored.failed[system, dataset] = failed[path].why
        else:
            scored.results.append(json.loads(Path(path).read_text(encoding="utf-8")))
            scored.per_query[system][dataset] = Path(queries)
    return scored


def table(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per (dialect, system, data set, metric): value, interval, n, floor. The main dialect comes first."""
    rows = []
    for dialect in dict.fromkeys(name for result in results for name in result["dialects"]):
        for result in results:
            way = result["dialects"].get(dialect, {})
            about = {"unit": "fraction", "dialect": dialect, "corpus_size": result["corpus_size"], "source": "measured"}
            for metric, found in way.get("metrics", {}).items():  # none where the original program would stop
                place = {"system": result["system"], "dataset": result["dataset"], "metric": metric}
                rows.append(place | found | {"floor": way["floors"].get(metric)} | about)
    return pd.DataFrame(rows)


def failed_rows(failed: Mapping[Place, str]) -> pd.DataFrame:
    """One row without a value per (system, data set) that failed; its source says why."""
    rows = [
        {"system": system, "dataset": dataset, "source": f"failed: {reason}"}
        for (system, dataset), reason in failed.items()
    ]
    return pd.DataFrame(rows)


def published_rows(datasets: Sequence[str]) -> pd.DataFrame:
    """Rows of the literature on the real data, marked as published, with their caveats; our data sets by our names."""
    ours = {published.family(name): name for name in datasets}
    rows = [
        {
            "system": row.system,
            "dataset": ours.get(dataset, dataset),
            "metric": metric,
            "value": value,
            "unit": "fraction",
            "source": f"published: {row.source}",
            "caveat": row.caveat,
        }
        for row in published.ROWS
        for (dataset, metric), value in row.scores.items()
    ]
    return pd.DataFrame(rows)


def write(path: Path, content: Any) -> None:
    """JSON, NaN refused."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
