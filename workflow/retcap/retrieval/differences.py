"""Differences between retrieval systems on the same queries; whole query images are drawn."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.analysis import bootstrap, compare
from retcap.analysis.compare import Pair, Rows
from retcap.records import Difference


def differences(
    per_query: Mapping[str, Mapping[str, Path]], main: Sequence[str], k: int, *, draws: int, seed: int
) -> list[Difference]:
    """R@k and PR@k of each trained system minus every other one on the same queries, with paired interval and p.

    `per_query`: system -> data set -> per-query table. The trained systems `main` form the family of Holm's correction.
    A system that has no table for a data set, because it failed there, is left out of that data set's differences.
    """
    order = [*main, *(name for name in per_query if name not in main)]
    found = []
    for dataset in dict.fromkeys(dataset for own in per_query.values() for dataset in own):
        present = [name for name in order if dataset in per_query.get(name, {})]
        tables = {name: pq.read_table(per_query[name][dataset]) for name in present}
        metrics = [name for name in (f"R@{k}", f"PR@{k}") if name in tables[present[0]].column_names]
        rng, baselines = np.random.default_rng(seed), [name for name in present if name not in main]
        found += compare.compare(pairs(tables, dataset, metrics, baselines), lambda rng=rng: rng, draws)
    return found


def pairs(
    per_query: Mapping[str, pa.Table], dataset: str, metrics: Sequence[str], baselines: Collection[str] = ()
) -> Iterator[Pair]:
    """Every pair of systems in every metric on one data set, but for two baselines; without one: the family.

    `per_query` holds the per-query tables of the systems, best system first.
    """
    codes = _clusters(per_query, dataset)
    for metric in metrics:
        for first, second in combinations(per_query, 2):
            if not {first, second} <= set(baselines):
                about = {"dataset": dataset, "first": first, "second": second, "metric": metric}
                a, b = (per_query[name][metric].to_numpy().astype(np.float64) for name in (first, second))
                both = ~(np.isnan(a) | np.isnan(b))
                rows = _rows(np.where(both, a, np.nan), np.where(both, b, np.nan), codes) if both.any() else None
                yield Pair(about, int(both.sum()), rows, family=not {first, second} & set(baselines))


def _rows(first: np.ndarray, second: np.ndarray, codes: np.ndarray) -> Rows:
    return Rows(bootstrap.mean_table(first), bootstrap.mean_table(second), codes, values=first - second)


def _clusters(per_query: Mapping[str, pa.Table], dataset: str) -> np.ndarray:
    """Clusters of the queries; all tables must hold the same queries in the same order."""
    names, tables = list(per_query), list(per_query.values())
    for name, table in zip(names[1:], tables[1:], strict=True):
        for column in ("query_row", "query_id"):
            if not table[column].equals(tables[0][column]):
                raise ValueError(
                    f"{dataset}: {name} and {names[0]} were scored on different queries ({column} differs). "
                    "Score both again from the same queries file."
                )
    return bootstrap.cluster_codes(tables[0]["cluster"].to_pylist())[0] if tables else np.zeros(0, dtype=np.int64)
