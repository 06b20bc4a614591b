"""Differences between retrieval systems on the same queries: one system against each of the others.

Queries with the same picture are not independent, so their whole cluster is resampled and swapped together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retcap import stats
from retcap.report import wording
from retcap.report.inputs import read_rows

DRAWS = 1000
ROUNDS = 2000  # of the randomisation test: the smallest p is 1/2,001, and two dozen tests stay within seconds


def differences(
    per_query: Mapping[str, Mapping[str, Path]], main: str | None, metrics: Sequence[str], seed: int = 0
) -> list[dict[str, Any]]:
    """Main system minus every other one, per data set and metric, in percent points; Holm's p per metric.

    `per_query`: system -> data set -> table with query_row, cluster and one column per metric (null: not counted).
    """
    if main is None or main not in per_query:
        return []
    rows = []
    for metric in metrics:
        family = []
        for dataset, path in per_query[main].items():
            for other in [name for name in per_query if name != main and dataset in per_query[name]]:
                found = _compare(path, per_query[other][dataset], metric, seed)
                if found is not None:
                    family.append({"dataset": dataset, "first": main, "second": other, "metric": metric} | found)
        adjusted = stats.holm([row["p"] for row in family]) if family else []
        rows += [
            row | {"p": wording.p_value(row["p"]), "p_holm": wording.p_value(q)}
            for row, q in zip(family, adjusted, strict=True)
        ]
    return rows


def _compare(first: Path, second: Path, metric: str, seed: int) -> dict[str, Any] | None:
    one, other = ({row["query_row"]: row for row in _rows(path, metric)} for path in (first, second))
    common = sorted(query for query in one.keys() & other.keys() if _counted(one[query], other[query], metric))
    if not common:
        return None
    tables = [
        stats.mean_table(np.array([side[query][metric] for query in common], dtype=np.float64)) for side in (one, other)
    ]
    codes, count = stats.cluster_codes(one[query]["cluster"] for query in common)
    weights = stats.draw_weights(count, DRAWS, np.random.default_rng(seed))
    found = stats.paired_difference(tables[0], tables[1], codes, weights)
    known = not np.isnan(found.low)
    return {
        "value": found.value,
        "text": wording.signed(100 * found.value, 1),
        "interval": wording.interval(found.low, found.high, digits=1, scale=100) if known else "",
        "verdict": "good" if known and found.low > 0 else "bad" if known and found.high < 0 else "",
        "p": stats.randomisation_p(tables[0], tables[1], codes, ROUNDS, np.random.default_rng(seed)),
    }


def _rows(path: Path, metric: str) -> list[dict[str, Any]]:
    needs = ["query_row", "cluster", metric]
    return read_rows(path, needs, columns=needs)


def _counted(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> bool:
    return one[metric] is not None and other[metric] is not None
