"""Small retrieval files for the scoring tests: queries and passages as in the data, rankings as row numbers."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.retrieval.judging import dialects, plain
from retcap.retrieval.judging.answers import parse_answers
from retcap.retrieval.judging.files import Files
from retcap.retrieval.m2kr.normalise import normalise
from retcap.retrieval.scoring import score_hits

ABOUT = {"system": "test", "dataset": "okvqa_mm", "revision": "main", "checkpoint": None}
RANGES = pa.list_(pa.struct([("low", pa.float64()), ("high", pa.float64())]))


def query_table(records: Sequence[dict[str, Any]]) -> pa.Table:
    """Normalised queries from raw records: `answer` and `passage_id` in any form of the data files."""
    parsed = [parse_answers(record.get("answer")) for record in records]
    gold = [record.get("passage_id") for record in records]
    listed = [one if isinstance(one, list) else [] if one is None else [one] for one in gold]
    return pa.table(
        {
            "row": pa.array(range(len(records)), type=pa.int64()),
            "query_id": pa.array([str(record.get("data_id", f"q{i}")) for i, record in enumerate(records)]),
            "image": pa.array([record.get("image_path") for record in records], type=pa.string()),
            "answers": pa.array([one.texts for one in parsed], type=pa.list_(pa.string())),
            "numeric": pa.array([[{"low": a, "high": b} for a, b in one.ranges] for one in parsed], type=RANGES),
            "positives": pa.array([[str(value) for value in one] for one in listed], type=pa.list_(pa.string())),
            "answer_json": pa.array([json.dumps(record.get("answer")) for record in records]),
            "positives_json": pa.array([json.dumps(one) for one in gold]),
        }
    )


def passage_table(records: Sequence[tuple]) -> pa.Table:
    """Passages from (id, text) or (id, text, image)."""
    return pa.table(
        {
            "row": pa.array(range(len(records)), type=pa.int64()),
            "passage_id": pa.array([str(record[0]) for record in records], type=pa.string()),
            "text": pa.array([record[1] for record in records], type=pa.string()),
            "image": pa.array([record[2] if len(record) > 2 else None for record in records], type=pa.string()),
        }
    )


def tables_from_files(records: Sequence[dict[str, Any]], corpus: Sequence[tuple]) -> tuple[pa.Table, pa.Table]:
    """The same two tables from JSON lines, by the reader: what the pipeline scores. No line may be rejected."""
    lines = [{"data_id": f"q{i}", "question": "what?"} | record for i, record in enumerate(records)]
    names = ("passage_id", "passage_text", "passage_image_path")
    passages = [dict(zip(names, one, strict=False)) for one in corpus]
    for one in passages:
        if one["passage_text"] is None:
            one["passage_image_path"] = "a.jpg"  # a passage has a text or a picture
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in (("q", lines), ("p", passages)):
            (folder / file).write_text("".join(json.dumps(line) + "\n" for line in content), encoding="utf-8")
        card = normalise("any", "test", queries=[folder / "q"], passages=[folder / "p"], roots="/i", out=folder / "out")
        assert card["rejected"]["rows"] == 0, (folder / "out/quarantine.jsonl").read_text()
        return pq.read_table(folder / "out/queries.parquet"), pq.read_table(folder / "out/passages.parquet")


def score_files(records, corpus, rankings, dialect="strict", ks=(1, 2, 3), **options) -> dict[str, Any]:
    """`score` of the tables that the reader makes of the records."""
    queries, passages = tables_from_files(records, corpus)
    hits = hit_table(rankings, queries, passages)
    return score_hits(Files.of(queries, passages, hits), ks, dialect, about=ABOUT, **options).result


def hit_table(rankings: Sequence[Sequence[int]], queries: pa.Table, passages: pa.Table) -> pa.Table:
    """Hits from corpus rows per query, best first."""
    flat = [(query, rank, row) for query, rows in enumerate(rankings) for rank, row in enumerate(rows, start=1)]
    query, rank, row = (np.array([one[i] for one in flat], dtype=np.int64) for i in range(3))
    return pa.table(
        {
            "query_row": query,
            "query_id": queries["query_id"].take(pa.array(query)),
            "rank": rank.astype(np.int32),
            "passage_row": row,
            "passage_id": passages["passage_id"].take(pa.array(row)),
            "score": pa.array((1 / rank).astype(np.float32)) if len(rank) else pa.array([], type=pa.float32()),
        }
    )


def score(records, corpus, rankings, dialect="strict", ks=(1, 2, 3), **options) -> dict[str, Any]:
    """The result of scoring such a world, without intervals."""
    queries, passages = query_table(records), passage_table(corpus)
    hits = hit_table(rankings, queries, passages)
    return score_hits(Files.of(queries, passages, hits), ks, dialect, about=ABOUT, **options).result


def value(result: dict[str, Any], metric: str) -> float | None:
    return result["metrics"][metric]["value"]


def plain_scores(records, corpus, rankings, dialect, k) -> tuple[float, float | None]:
    """(R@K, PR@K) of the file by the plain functions, query by query."""
    recalls, pseudo, rules = [], [], dialects.load(dialect)
    for number, (record, rows) in enumerate(zip(records, rankings, strict=True)):
        keys = [rules.passage_key(corpus[row][0]) for row in rows]
        recalls.append(plain.recall(rules.gold_keys(record.get("passage_id"), f"q{number}"), keys, k, dialect))
        patterns = rules.answer_patterns(record.get("answer"), f"q{number}")
        pseudo.append(plain.pseudo_recall(patterns, [(corpus[row][0], corpus[row][1]) for row in rows], k, dialect))
    counted = [one for one in pseudo if one is not None]
    return float(np.mean(recalls)), float(np.mean(counted)) if counted else None
