"""Ranked lists and gold passages as TREC run and qrels files: for trec_eval, ranx, ir_measures and others.

    run:    query Q0 passage rank score tag          qrels:    query 0 passage 1

Blanks separate the fields, and ids may hold blanks (E-VQA titles), so white space and the percent sign in ids are
written as %xx of their UTF-8 bytes (urllib.parse.unquote turns them back). A query id that several rows share gets
%%<row> behind it, which no escaped id has.

>>> escape("WikiWeb_Prunus laurocerasus_1"), escape("100 %")
('WikiWeb_Prunus%20laurocerasus_1', '100%20%25')
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from retcap.retrieval.judging.collapse import collapsed

BREAKING = re.compile(r"[%\s\x00-\x20\x7f\x85]")  # what some reader may split at: Python's white space and the controls
LINES_PER_WRITE = 100_000


def escape(name: str) -> str:
    """An id without white space, for a TREC file."""
    if not name:
        raise ValueError("An empty id cannot be written to a TREC file. Give the query or passage an id.")
    return BREAKING.sub(lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode()), name)


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


def _escaped(names: Sequence[str]) -> list[str]:
    known = {name: escape(name) for name in set(names)}
    return [known[name] for name in names]


def _write(path: Path | str, lines: Sequence[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for start in range(0, len(lines), LINES_PER_WRITE):
            stream.write("\n".join(lines[start : start + LINES_PER_WRITE]) + "\n")
