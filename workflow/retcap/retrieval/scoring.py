"""Scores of one hits file: metrics with image-clustered intervals, floors, ceiling, slices, and a table per query."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from retcap import plugins
from retcap.analysis import bootstrap
from retcap.retrieval.judging import dialects, slices
from retcap.retrieval.judging.files import Files
from retcap.retrieval.judging.floors import random_hit
from retcap.retrieval.judging.judging import Evidence, Judged, judge

log = logging.getLogger(__name__)
KS = (1, 5, 10, 20, 50, 100)
ABOUT = ("system", "dataset", "revision", "checkpoint")
RANDOM = {"R": "gold_passages", "PR": "answer_passages", "PR word": "word_passages"}  # measures that have a floor
Measure = Callable[[Judged, int], np.ndarray]


class Scored(NamedTuple):
    """`result` for the JSON file, `per_query` for the parquet file."""

    result: dict[str, Any]
    per_query: pa.Table


def score_hits(
    files: Files,
    ks: Sequence[int] = KS,
    dialect: str = "strict",
    rng: np.random.Generator | None = None,
    *,
    about: Mapping[str, str | None],
    draws: int = 1000,
    level: float = 0.95,
    with_slices: bool = True,
) -> Scored:
    """Score hits by the rules of a dialect. All scores are fractions.

    `about` needs system, dataset, revision and checkpoint (None where there is none); it is copied into the result.
    Columns `gold_seen` and `entity_seen` in the queries (is it in training?) add slices. Intervals are percentile
    bootstrap over query images; a query without an image stands alone. rng=None leaves them out.
    """
    _check(ks, about)
    started = time.perf_counter()
    queries = files.queries
    judged, evidence = judge(files, max(ks), dialects.load(dialect))
    columns = {
        f"{label}@{k}": measure(judged, k).astype(np.float64)
        for label, measure in measures().items()
        for k in sorted(set(ks))
    }
    gaps = {f"PR-R@{k}": columns[f"PR@{k}"] - columns[f"R@{k}"] for k in sorted(set(ks))}  # NaN where PR is not counted
    keys = cluster_keys(queries)
    codes, clusters = bootstrap.cluster_codes(keys)
    weights = bootstrap.draw_weights(clusters, draws, rng) if rng is not None and clusters else None
    parts = slices.parts(queries, files.passages) if with_slices else {}
    spans = [(0.0, 1.0)] * len(columns) + [(-1.0, 1.0)] * len(gaps)
    estimates = _estimates(columns | gaps, spans, parts, codes, weights, level)
    result = dict(about) | {"dialect": dialect, "ks": sorted(set(ks)), "depth": max(ks)} | evidence.counts
    result |= _counts(judged, queries, clusters, ks)
    result |= {"metrics": {name: estimates[None][name] for name in columns}}
    result |= {"gaps": {name: estimates[None][name] for name in gaps}} | _bounds(judged, evidence, ks)
    result |= {"slices": _slice_records(parts, estimates, columns)}
    result |= {"bootstrap": {"draws": draws if weights is not None else 0, "level": level, "unit": "query image"}}
    log.info("scored %d queries (%s) in %.2f s", len(queries), dialect, time.perf_counter() - started)
    return Scored(result, _per_query(queries, keys, judged, evidence, columns))


def measures() -> dict[str, Measure]:
    """Every measure of every retrieval metric plugin, by its label."""
    found: dict[str, Measure] = {}
    for name in plugins.names("metrics"):
        module: ModuleType = plugins.load("metrics", name)
        if module.CARD.task == "retrieval":
            found |= module.MEASURES
    return found


def cluster_keys(queries: pa.Table) -> list[str]:
    """What is drawn together in the bootstrap: the query image, by content where known, else by path."""
    names = [name for name in ("image_key", "image") if name in queries.column_names]
    columns = [queries[name].to_pylist() for name in names]
    rows = queries["row"].to_pylist()
    keys = []
    for place, row in enumerate(rows):
        known = next((column[place] for column in columns if column[place]), None)
        keys.append(f"row {row}" if known is None else f"image {known}")
    return keys


def _check(ks: Sequence[int], about: Mapping[str, str | None]) -> None:
    if not ks or min(ks) < 1:
        raise ValueError(f"The cut-offs K are whole numbers from 1. Got {list(ks)} instead.")
    missing = [key for key in ABOUT if key not in about]
    if missing:
        raise ValueError(
            f"Every result says where it comes from: `about` lacks {', '.join(missing)} (None is allowed)."
        )


Part = tuple[str, str]
Estimates = dict[Part | None, dict[str, dict[str, Any]]]


def _estimates(
    columns: Mapping[str, Float[np.ndarray, " Q"]],
    spans: Sequence[bootstrap.Span],
    parts: Mapping[Part, Bool[np.ndarray, " Q"]],
    codes: Int[np.ndarray, " Q"],
    weights: np.ndarray | None,
    level: float,
) -> Estimates:
    """Value, interval, n and number of clusters of every column, over all queries (None) and over every part, all from
    the same draws. `spans`: between which values each column can lie.
    """
    everything: dict[Part | None, Bool[np.ndarray, " Q"]] = {None: np.ones(len(codes), dtype=bool), **parts}
    values = np.stack(list(columns.values()), axis=1)
    found: Estimates = {}
    for part, members in everything.items():
        mine = np.where(members[:, None], values, np.nan)
        if weights is None:
            sums = [bootstrap.mean(bootstrap.mean_table(column).sum(axis=0)) for column in mine.T]
            clusters = [len(np.unique(codes[~np.isnan(column)])) for column in mine.T]
            bare = (math.nan, math.nan, math.nan)
            intervals = [
                bootstrap.Interval(float(value), *bare, some) for value, some in zip(sums, clusters, strict=True)
            ]
        else:
            intervals = bootstrap.mean_intervals(mine, codes, weights, level, spans)
        counts = (~np.isnan(mine)).sum(axis=0)
        found[part] = {
            name: {
                "value": _number(one.value),
                "ci_low": _number(one.low),
                "ci_high": _number(one.high),
                "n": int(count),
                "clusters": one.clusters,
            }
            for name, one, count in zip(columns, intervals, counts, strict=True)
        }
    return found


def _slice_records(
    parts: Mapping[Part, Bool[np.ndarray, " Q"]], estimates: Estimates, columns: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for (name, value), members in parts.items():
        scores = {column: estimates[name, value][column] for column in columns}
        records.setdefault(name, {})[value] = {"n": int(members.sum()), **scores}
    return records


def _counts(judged: Judged, queries: pa.Table, clusters: int, ks: Sequence[int]) -> dict[str, Any]:
    numeric = {str(k): int((judged.numeric[:, :k].any(axis=1) & judged.counted).sum()) for k in sorted(set(ks))}
    return {
        "n_queries": len(queries),
        "n_pr_queries": int(judged.counted.sum()),
        "n_clusters": clusters,
        "numeric_hits": numeric,  # queries whose first K texts hold a number within an answer's range
    }


def _bounds(judged: Judged, evidence: Evidence, ks: Sequence[int]) -> dict[str, Any]:
    """Floors of a random ranking, the ceiling of any ranking, and what the gold passages alone would give."""
    counted = judged.counted

    def mean(values: np.ndarray) -> float | None:
        return _number(float(values.mean())) if len(values) else None

    floors = {}
    for label, facts in RANDOM.items():
        queries = np.ones_like(counted) if label == "R" else counted
        for k in sorted(set(ks)):
            floors[f"{label}@{k}"] = mean(random_hit(getattr(evidence, facts), evidence.total, k)[queries])
    return {
        "floors": floors,
        "r_ceiling": mean((evidence.gold_passages > 0).astype(float)),
        "pr_ceiling": mean((evidence.answer_passages > 0)[counted].astype(float)),
        "pr_gold": mean(evidence.gold_answers[counted].astype(float)),
        "pr_word_ceiling": mean((evidence.word_passages > 0)[counted].astype(float)),
        "pr_word_gold": mean(evidence.gold_words[counted].astype(float)),
    }


def _per_query(
    queries: pa.Table, keys: Sequence[str], judged: Judged, evidence: Evidence, columns: Mapping[str, np.ndarray]
) -> pa.Table:
    """One row per query: first ranks (null = not within the depth), facts, and the score of every metric."""
    table = {
        "query_row": queries["row"],
        "query_id": queries["query_id"],
        "cluster": pa.array(keys),
        "first_gold_rank": _first_rank(judged.gold),
        "first_answer_rank": _first_rank(judged.answer),
        "first_word_rank": _first_rank(judged.words),
        "counts_in_pr": pa.array(judged.counted),
        "n_gold": pa.array(judged.gold_count),
        "n_gold_passages": pa.array(evidence.gold_passages),
        "n_answer_passages": pa.array(evidence.answer_passages),
        "n_word_passages": pa.array(evidence.word_passages),
        "gold_has_answer": pa.array(evidence.gold_answers),
        "answers": pa.array(slices.answer_form(queries)),
    }
    return pa.table(table | {name: pa.array(values, from_pandas=True) for name, values in columns.items()})  # NaN: null


def _first_rank(marks: Bool[np.ndarray, "Q D"]) -> pa.Array:
    found = marks.any(axis=1)
    return pa.array(marks.argmax(axis=1) + 1, mask=~found, type=pa.int32())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value  # JSON has no NaN
