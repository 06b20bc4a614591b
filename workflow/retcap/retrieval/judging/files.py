"""The tables that are scored, read once for all dialects: queries, corpus, and hits in the order of their ranks."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from retcap.retrieval.judging.matching import Finder
from retcap.search.exact import SEARCHED


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
class Ranked:
    """Positions of queries and passages in their tables, one pair per hit: query by query, best first."""

    query: Int[np.ndarray, " M"]
    passage: Int[np.ndarray, " M"]

    @classmethod
    def of(cls, queries: pa.Table, corpus: Corpus, hits: pa.Table) -> "Ranked":
        """From a table of hits in any order. Raises ValueError where it belongs to other queries or passages."""
        _check_searched(hits, len(queries), len(corpus.rows))
        query = _positions(hits["query_row"].to_numpy(), queries["row"].to_numpy(), "query_row", "queries")
        passage = _positions(hits["passage_row"].to_numpy(), corpus.rows, "passage_row", "passages")
        _check_ids(hits, queries, query, corpus, passage)
        rank = hits["rank"].to_numpy()
        order = np.lexsort((rank, query))
        query, passage, rank = query[order], passage[order], rank[order]
        _check_ranks(query, rank, queries)
        return cls(query, passage)

    def once(self, corpus: Corpus) -> "Ranked":
        """The best row of each passage id of every query."""
        _, first = np.unique(self.query * len(corpus.names) + corpus.codes[self.passage], return_index=True)
        kept = np.sort(first)
        return Ranked(self.query[kept], self.passage[kept])


@dataclass(frozen=True)
class Files:
    """What is scored."""

    queries: pa.Table
    passages: pa.Table
    corpus: Corpus
    ranked: Ranked
    finder: Finder  # in the texts of the corpus

    @classmethod
    def of(cls, queries: pa.Table, passages: pa.Table, hits: pa.Table) -> "Files":
        """Reads and checks the tables of queries, passages and hits."""
        corpus = Corpus.of(passages)
        return cls(queries, passages, corpus, Ranked.of(queries, corpus, hits), Finder(corpus.texts))


def name_of(queries: pa.Table, position: int) -> str:
    """A query in messages."""
    row, name = queries["row"][int(position)].as_py(), queries["query_id"][int(position)].as_py()
    return f"query row {row} (id {name!r})"


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
