"""Ranked lists and gold passages as TREC run and qrels files, and back: for trec_eval, ranx, ir_measures and others.

    run:    query Q0 passage rank score tag          qrels:    query 0 passage 1

Blanks separate the fields, and ids may hold blanks (E-VQA titles), so white space and the percent sign in ids are
written as %xx of their UTF-8 bytes. A query id that several rows share gets %%<row> behind it, which no escaped id has.

>>> escape("WikiWeb_Prunus laurocerasus_1"), unescape(escape("100 %\\t°"))
('WikiWeb_Prunus%20laurocerasus_1', '100 %\\t°')
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from retcap.retrieval.collapse import collapsed

BREAKING = re.compile(r"[%\s\x00-\x20\x7f\x85]")  # what some reader may split at: Python's white space and the controls
LINES_PER_WRITE = 100_000


def escape(name: str) -> str:
    """An id without white space, for a TREC file."""
    if not name:
        raise ValueError("An empty id cannot be written to a TREC file. Give the query or passage an id.")
    return BREAKING.sub(lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode()), name)


def unescape(field: str) -> str:
    """The id of a field; the row behind %% is dropped."""
    return unquote(field.partition("%%")[0], errors="strict")


def write_run(path: Path | str, queries: pa.Table, hits: pa.Table, tag: str, *, tie_safe: bool = False) -> None:
    """Write hits as a run, each passage once per query.

    Most tools sort by score and break ties in their own way, whatever the rank column says; tie_safe=True writes 1/rank
    instead of the score, which makes them keep our order.
    """
    fields, hits = query_fields(queries), collapsed(hits)
    names = [fields[row] for row in hits["query_row"].to_pylist()]
    passages = _escaped(hits["passage_id"].to_pylist())
    ranks, scores = hits["rank"].to_pylist(), hits["score"].to_numpy().astype(np.float32)
    shown = [repr(1 / rank) for rank in ranks] if tie_safe else [str(score) for score in scores]
    rows = zip(names, passages, ranks, shown, strict=True)
    _write(path, [f"{query} Q0 {passage} {rank} {score} {escape(tag)}" for query, passage, rank, score in rows])


def write_qrels(path: Path | str, queries: pa.Table) -> None:
    """Write the gold passages of every query, each once, with relevance 1."""
    fields = query_fields(queries)
    rows = zip(queries["row"].to_pylist(), queries["positives"].to_pylist(), strict=True)
    _write(path, [f"{fields[row]} 0 {escape(name)} 1" for row, golds in rows for name in dict.fromkeys(golds or ())])


def query_fields(queries: pa.Table) -> dict[int, str]:
    """The TREC name of every query row: distinct also where query ids are not."""
    ids, rows = queries["query_id"].to_pylist(), queries["row"].to_pylist()
    seen = Counter(ids)
    return {row: escape(name) + (f"%%{row}" if seen[name] > 1 else "") for row, name in zip(rows, ids, strict=True)}


def read_run(path: Path | str, queries: pa.Table, passages: pa.Table) -> pa.Table:
    """A run as a hits table. Ranks are counted anew by score, ties in the order of the rank column.

    Passage ids on several rows lead to the first of them: a run file does not say which row was meant.
    """
    rows_of_query = {field: row for row, field in query_fields(queries).items()}
    names = dict(zip(queries["row"].to_pylist(), queries["query_id"].to_pylist(), strict=True))
    rows_of_passage: dict[str, int] = {}
    for row, name in zip(passages["row"].to_pylist(), passages["passage_id"].to_pylist(), strict=True):
        rows_of_passage.setdefault(name, row)
    records = []
    for line, (query, _, passage, rank, score, _) in _fields(path, 6):
        if query not in rows_of_query or unescape(passage) not in rows_of_passage:
            unknown = f"query {query!r}" if query not in rows_of_query else f"passage {unescape(passage)!r}"
            raise ValueError(f"{path}:{line}: {unknown} is not in the data. The run belongs to another data set.")
        records.append((rows_of_query[query], -float(score), int(rank), unescape(passage)))
    return _hits(sorted(records), names, rows_of_passage)


def read_qrels(path: Path | str) -> dict[str, list[str]]:
    """Relevant passage ids by query field (see `query_fields`); lines with relevance 0 are left out."""
    found: dict[str, list[str]] = {}
    for _, (query, _, passage, relevance) in _fields(path, 4):
        if float(relevance) > 0:
            found.setdefault(query, []).append(unescape(passage))
    return found


def _hits(records: Sequence[tuple[int, float, int, str]], names: dict[int, str], rows: dict[str, int]) -> pa.Table:
    ranks, previous = [], None
    for query, *_ in records:
        ranks.append(ranks[-1] + 1 if query == previous else 1)
        previous = query
    columns: dict[str, Any] = {
        "query_row": pa.array([query for query, *_ in records], type=pa.int64()),
        "query_id": pa.array([names[query] for query, *_ in records], type=pa.string()),
        "rank": pa.array(ranks, type=pa.int32()),
        "passage_row": pa.array([rows[name] for *_, name in records], type=pa.int64()),
        "passage_id": pa.array([name for *_, name in records], type=pa.string()),
        "score": pa.array([-score for _, score, *_ in records], type=pa.float32()),
    }
    return pa.table(columns)


def _fields(path: Path | str, count: int) -> Iterator[tuple[int, list[str]]]:
    with open(path, encoding="utf-8", newline="\n") as stream:
        for line, text in enumerate(stream, start=1):
            fields = text.split()
            if fields and len(fields) != count:
                raise ValueError(f"{path}:{line}: {len(fields)} fields where {count} are expected: {text.rstrip()!r}")
            if fields:
                yield line, fields


def _escaped(names: Sequence[str]) -> list[str]:
    known = {name: escape(name) for name in set(names)}
    return [known[name] for name in names]


def _write(path: Path | str, lines: Sequence[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for start in range(0, len(lines), LINES_PER_WRITE):
            stream.write("\n".join(lines[start : start + LINES_PER_WRITE]) + "\n")
