"""Which differences between retrieval systems hold? Paired on the same queries; whole query images are drawn."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from retcap.analysis import stats

DRAWS = 1000
ROUNDS = 10_000  # the smallest p is 1/10,001


def compare(
    per_query: Mapping[str, pa.Table],
    dataset: str,
    rng: np.random.Generator,
    metrics: Sequence[str] = ("R@5", "PR@5"),
    baselines: Collection[str] = (),
    draws: int = DRAWS,
    rounds: int = ROUNDS,
) -> list[dict[str, Any]]:
    """First minus second for every pair of systems and metric, as a fraction, with interval and p.

    `per_query` holds the per-query tables of the systems on one data set, best system first. p is of an approximate
    randomisation test; p_holm is adjusted over the pairs of one metric. Pairs with a baseline get an interval and p,
    but are no part of that family (p_holm is None). Two baselines are not compared.
    """
    codes, clusters = _clusters(per_query, dataset)
    weights = stats.draw_weights(clusters, draws, rng) if clusters else np.zeros((0, 0), dtype=np.uint16)
    records = []
    for metric in metrics:
        found = [
            _difference(per_query, dataset, pair, metric, codes, weights, rng, rounds)
            for pair in combinations(per_query, 2)
            if not set(pair) <= set(baselines)
        ]
        family = [one for one in found if not {one["first"], one["second"]} & set(baselines) and one["p"] is not None]
        for one, adjusted in zip(family, stats.holm([one["p"] for one in family]), strict=True):
            one["p_holm"] = float(adjusted)
        records += found
    return records


def _clusters(per_query: Mapping[str, pa.Table], dataset: str) -> tuple[np.ndarray, int]:
    """Clusters of the queries; all tables must hold the same queries in the same order."""
    names, tables = list(per_query), list(per_query.values())
    for name, table in zip(names[1:], tables[1:], strict=True):
        for column in ("query_row", "query_id"):
            if not table[column].equals(tables[0][column]):
                raise ValueError(
                    f"{dataset}: {name} and {names[0]} were scored on different queries ({column} differs). "
                    "Score both again from the same queries file."
                )
    return stats.cluster_codes(tables[0]["cluster"].to_pylist()) if tables else (np.zeros(0, dtype=np.int64), 0)


def _difference(
    per_query: Mapping[str, pa.Table],
    dataset: str,
    pair: tuple[str, str],
    metric: str,
    codes: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
    rounds: int,
) -> dict[str, Any]:
    first, second = (per_query[name][metric].to_numpy().astype(np.float64) for name in pair)
    both = ~(np.isnan(first) | np.isnan(second))
    record = {"dataset": dataset, "first": pair[0], "second": pair[1], "metric": metric, "n": int(both.sum())}
    if not both.any():
        return record | dict.fromkeys(("difference", "ci_low", "ci_high", "p", "p_holm")) | {"clusters": 0}
    first, second = (np.where(both, values, np.nan) for values in (first, second))
    a, b = stats.mean_table(first), stats.mean_table(second)
    gain = stats.widened(stats.paired_difference(a, b, codes, weights), first - second, (-1.0, 1.0))
    known = not np.isnan(gain.low)
    return record | {
        "clusters": gain.clusters,
        "difference": gain.value,
        "ci_low": gain.low if known else None,
        "ci_high": gain.high if known else None,
        "p": stats.randomisation_p(a, b, codes, rounds, rng),
        "p_holm": None,
    }
