"""The study's one table: every system on every data set, paired differences, published rows, parameter counts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from retcap.retrieval import published
from retcap.retrieval.differences import compare


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


def differences(
    per_query: Mapping[str, Mapping[str, Path]], main: Sequence[str], k: int, *, draws: int, seed: int
) -> list[dict[str, Any]]:
    """R@k and PR@k of each trained system minus every other one on the same queries, with paired interval and p.

    `per_query`: system -> data set -> per-query table. The trained systems `main` form the family of Holm's correction.
    """
    order = [*main, *(name for name in per_query if name not in main)]
    found = []
    for dataset in per_query[order[0]]:
        tables = {name: pq.read_table(per_query[name][dataset]) for name in order}
        metrics = [name for name in (f"R@{k}", f"PR@{k}") if name in tables[order[0]].column_names]
        rng = np.random.default_rng(seed)
        found += compare(tables, dataset, rng, metrics, baselines=order[len(main) :], draws=draws)
    return found


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
