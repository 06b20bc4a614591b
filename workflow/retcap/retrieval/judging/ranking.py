"""The ranked lists of a hits file as a matrix of passages, after the rules of a dialect for repeated ids."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from retcap.retrieval.judging.dialects import Dialect, DialectError
from retcap.search.exact import SEARCHED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """The passages searched. A position counts the rows of the table; `codes` numbers the distinct passage ids."""

    rows: Int[np.ndarray, " N"]  # the column `row`
    codes: Int[np.ndarray, " N"]
    names: list[str]  # distinct passage ids, by code
    texts: list[str | None]
    counts: dict[str, int]

    @classmethod
    def of(cls, passages: pa.Table) -> "Corpus":
        """From a table with row, passage_id, text."""
        encoded = passages["passage_id"].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        names, texts = encoded.dictionary.to_pylist(), passages["text"].to_pylist()
        counts = {
            "corpus_size": len(names),
            "corpus_rows": len(codes),
            "duplicate_passages": len(codes) - len(names),
            "null_texts": sum(text is None for text in texts),
        }
        return cls(passages["row"].to_numpy(), codes, names, texts, counts)


@dataclass(frozen=True)
class Lists:
    """Per query the positions of its hits in the corpus, best first, -1 beyond the end; with counts for the report."""

    rows: Int[np.ndarray, "Q D"]
    counts: dict[str, int]


def name_of(queries: pa.Table, position: int) -> str:
    """A query in messages."""
    row, name = queries["row"][int(position)].as_py(), queries["query_id"][int(position)].as_py()
    return f"query row {row} (id {name!r})"


def read_lists(queries: pa.Table, corpus: Corpus, hits: pa.Table, depth: int, rules: Dialect) -> Lists:
    """The first `depth` places of every query, in the order of the rows of `queries`."""
    _check_searched(hits, len(queries), len(corpus.rows))
    query = _positions(hits["query_row"].to_numpy(), queries["row"].to_numpy(), "query_row", "queries")
    passage = _positions(hits["passage_row"].to_numpy(), corpus.rows, "passage_row", "passages")
    _check_ids(hits, queries, query, corpus, passage)
    rank = hits["rank"].to_numpy()
    order = np.lexsort((rank, query))
    query, passage, rank = query[order], passage[order], rank[order]
    _check_ranks(query, rank, queries)
    collapsed = 0
    if rules.collapses:
        _, first = np.unique(query * len(corpus.names) + corpus.codes[passage], return_index=True)
        kept = np.sort(first)
        collapsed = len(query) - len(kept)
        query, passage = query[kept], passage[kept]
    lengths = np.bincount(query, minlength=len(queries))
    place = np.arange(len(query)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    inside = place < depth
    rows = np.full((len(queries), depth), -1, dtype=np.int64)
    rows[query[inside], place[inside]] = passage[inside]
    source, repeated = _sources(queries["query_id"].to_pylist(), rules)
    counts = {
        "duplicates_collapsed": collapsed,
        "repeated_query_ids": repeated,
        "short_lists": int((lengths < min(depth, len(corpus.names))).sum()),
        "empty_lists": int((lengths == 0).sum()),
    }
    _refuse_empty(lengths[source], queries, rules)
    if counts["short_lists"]:
        log.warning("%d of %d queries have fewer than %d hits", counts["short_lists"], len(queries), depth)
    return Lists(rows[source], counts)


def _check_searched(hits: pa.Table, queries: int, passages: int) -> None:
    """What was searched must be all that is scored; hits from elsewhere do not say what was searched."""
    note = (hits.schema.metadata or {}).get(SEARCHED.encode())
    searched = json.loads(note) if note else {"queries": queries, "passages": passages}
    if searched != {"queries": queries, "passages": passages}:
        raise ValueError(
            f"hits: {searched['queries']} queries were searched in {searched['passages']} passages, but the tables "
            f"hold {queries} and {passages}. A shard is missing or stale; embed and search again."
        )


def _positions(wanted: np.ndarray, rows: np.ndarray, column: str, table: str) -> Int[np.ndarray, " M"]:
    """Where the row numbers of a hits column are in another table."""
    order = np.argsort(rows, kind="stable")
    place = np.minimum(np.searchsorted(rows[order], wanted), len(rows) - 1)
    if len(wanted) and (not len(rows) or (rows[order][place] != wanted).any()):
        stray = wanted[0] if not len(rows) else wanted[rows[order][place] != wanted][0]
        raise ValueError(
            f"hits: {column} {stray} is not a row of {table}. The files belong to different runs; search again."
        )
    return order[place].astype(np.int64)


def _check_ids(hits: pa.Table, queries: pa.Table, query: np.ndarray, corpus: Corpus, passage: np.ndarray) -> None:
    """Rows and ids must agree, else the hits were made from other files."""
    names = pa.array(corpus.names, type=pa.string()).take(pa.array(corpus.codes[passage]))
    expected = {"query_id": queries["query_id"].take(pa.array(query)), "passage_id": pa.chunked_array([names])}
    for column, values in expected.items():
        found = hits[column].cast(pa.string())
        if not found.equals(values.cast(pa.string())):
            differ = next(
                i for i, (a, b) in enumerate(zip(found.to_pylist(), values.to_pylist(), strict=True)) if a != b
            )
            raise ValueError(
                f"hits: line {differ} has {column} {found[differ].as_py()!r}, but that row is now "
                f"{values[differ].as_py()!r}. The files belong to different runs; search again."
            )


def _check_ranks(query: np.ndarray, rank: np.ndarray, queries: pa.Table) -> None:
    same = np.flatnonzero((np.diff(query) == 0) & (np.diff(rank) == 0))
    if len(same):
        raise ValueError(f"hits: {name_of(queries, int(query[same[0]]))} has rank {rank[same[0]]} twice. Search again.")


def _sources(ids: Sequence[str], rules: Dialect) -> tuple[Int[np.ndarray, " Q"], int]:
    """Whose ranking each query is judged by, and how many rows repeat an id that came before."""
    last = {name: position for position, name in enumerate(ids)}
    repeated = len(ids) - len(last)
    if repeated and rules.repeated_ids == "crash":
        raise DialectError(f"{repeated} query ids are repeated; {rules.name} stops at its report.")
    own = rules.repeated_ids != "last"
    return np.array([position if own else last[name] for position, name in enumerate(ids)], dtype=np.int64), repeated


def _refuse_empty(lengths: np.ndarray, queries: pa.Table, rules: Dialect) -> None:
    if not rules.tolerant and (lengths == 0).any():
        name = name_of(queries, int(np.flatnonzero(lengths == 0)[0]))
        raise DialectError(f"{name} has no hits; {rules.name} takes the maximum of nothing and stops.")
