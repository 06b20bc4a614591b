"""Exact nearest-passage search: blocked inner products over memory-mapped shards, within a stated memory budget.

The order of the hits is defined, so that it depends on no block size, thread count or device:

    score(q, p) = fp32( sum over channels of q * p in fp64 ),      then lower corpus row first

faiss proposes candidates by fp32 products, whose last bits vary with the block shape; the candidates are then scored
again as above. A query is settled when its K-th hit beats the worst candidate by more than the error that fp32 products
can have (|error| <= d * 2**-24 * |q| * |p|, Higham 2002, section 3.1): no passage outside the candidates can belong to
its K hits then. Queries that are not settled (ties in masses, ids on many rows) get more candidates, and at last all.
"""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, Int, Int64

from retcap.features.vectors import Vectors
from retcap.search.blocks import Budget, Engine, check_lengths, proposals, scan

log = logging.getLogger(__name__)
SPARE = 32  # candidates beyond 1.25 K: nearly every query is then settled in the first pass
GROWTH = 4  # candidates of the second pass, as a multiple of the first
FP32_STEP = 2.0**-24  # unit roundoff of fp32
ROW_GROUP = 65_536
SEARCHED = "retcap_searched"  # key of the metadata of a hits file


class Hits(NamedTuple):
    """Hits as one long table ordered by query and rank. `query` and `passage` are positions in the searched vectors."""

    query: Int64[np.ndarray, " M"]
    rank: Int64[np.ndarray, " M"]  # from 1
    passage: Int64[np.ndarray, " M"]
    score: Float32[np.ndarray, " M"]


def exact_search(
    queries: Vectors,
    passages: Vectors,
    depth: int,
    memory_mb: float | int = 1024,
    threads: int = 1,
    collapse: bool = True,
    gpu: bool | None = None,
) -> Hits:
    """The `depth` best distinct passages of every query.

    Rows that share a passage id are collapsed to the best-scoring one before `depth` is counted. With collapse=False
    every row takes a place, and the list goes on until `depth` distinct ids are in it: such hits serve all dialects.
    gpu=None uses a GPU where faiss finds one. The budget holds for all working memory besides the result; faiss adds a
    tile of scores (16 MB on CPUs).
    """
    _check(queries, passages, depth)
    started = time.perf_counter()
    target = min(depth, passages.distinct) if collapse else depth
    fetch = min(len(passages), depth + depth // 4 + SPARE)
    budget = Budget.of(memory_mb, passages.width, fetch, threads)
    found: list[_List] = []
    with Engine(threads, memory_mb, gpu) as engine:
        log.info("search: %d queries, %d passages, depth %d, %s", len(queries), len(passages), depth, engine.name)
        needed = budget.needed_mb(len(queries), len(passages), passages.width, fetch, threads)
        log.info("search: about %.0f MB of working memory, of %g MB allowed", needed, memory_mb)
        for start in range(0, len(queries), budget.queries):
            block = queries.block(start, start + budget.queries)
            check_lengths(queries, start, block)
            found += _search_block(block, passages, target, fetch, memory_mb, collapse, engine)
    log.info("search: %d hits in %.2f s", sum(len(one.passage) for one in found), time.perf_counter() - started)
    return _joined(found)


class _List(NamedTuple):
    passage: Int64[np.ndarray, " K"]
    score: Float32[np.ndarray, " K"]


def _search_block(
    block: Float32[np.ndarray, "Q H"],
    passages: Vectors,
    target: int,
    fetch: int,
    memory_mb: float | int,
    collapse: bool,
    engine: Engine,
) -> list[_List]:
    """Hits of one block of queries: proposals, more proposals for the unsettled, a full scan for what still is."""
    found: dict[int, _List] = {}
    remaining = np.arange(len(block))
    most = max(fetch, Budget.most_candidates(memory_mb, passages.width))
    for size in sorted({fetch, min(len(passages), GROWTH * fetch, most)}):
        step = Budget.of(memory_mb, passages.width, size, engine.threads).queries
        for start in range(0, len(remaining), step):
            some = remaining[start : start + step]
            lists = _settle(block[some], passages, target, size, memory_mb, collapse, engine)
            found |= {int(query): one for query, one in zip(some, lists, strict=True) if one is not None}
        remaining = np.array([query for query in remaining if query not in found], dtype=np.int64)
    if len(remaining):
        log.info("search: %d queries tie in masses and are compared with every passage", len(remaining))
    scanned = scan(block[remaining], passages, target, memory_mb, partial(_cut, collapse=collapse))
    found |= {int(query): _List(*one) for query, one in zip(remaining, scanned, strict=True)}
    return [found[query] for query in range(len(block))]


def _settle(
    block: Float32[np.ndarray, "Q H"],
    passages: Vectors,
    target: int,
    size: int,
    memory_mb: float | int,
    collapse: bool,
    engine: Engine,
) -> list[_List | None]:
    """Hits of every query that `size` candidates suffice for; None for the others."""
    scores, positions, longest = proposals(block, passages, size, memory_mb, engine)
    budget = Budget.of(memory_mb, passages.width, size, engine.threads)

    def one(query: int) -> _List | None:
        vector, candidates = block[query].astype(np.float64), positions[query]
        exact = rescore(vector, passages, candidates, budget.gathered)
        error = FP32_STEP * (len(vector) + 2) * float(np.linalg.norm(vector)) * longest
        error = max(error, 4 * float(np.abs(exact - scores[query]).max()))  # should a device round more than fp32 does
        kept = _cut(candidates, exact, passages, target, collapse=collapse)
        complete = size == len(passages)
        full = len(np.unique(passages.codes[candidates[kept]])) == target
        if complete or (full and exact[kept[-1]] > scores[query].min() + error):
            return _List(candidates[kept], exact[kept])
        return None

    with ThreadPoolExecutor(engine.threads) as pool:
        return list(pool.map(one, range(len(block))))


def rescore(
    vector: Float64[np.ndarray, " H"], passages: Vectors, positions: Int[np.ndarray, " N"], at_once: int = 1024
) -> Float32[np.ndarray, " N"]:
    """The defined score: fp64 products added up row by row in one fixed order, rounded once to fp32."""
    out = np.empty(len(positions), dtype=np.float32)
    for start in range(0, len(positions), at_once):
        gathered = passages.take(positions[start : start + at_once])
        out[start : start + at_once] = np.multiply(gathered, vector).sum(axis=1)
    assert np.isfinite(out).all(), "vectors of the lengths that are allowed have finite products"
    return out


def _cut(
    positions: Int[np.ndarray, " N"],
    scores: Float32[np.ndarray, " N"],
    passages: Vectors,
    target: int,
    *,
    collapse: bool,
) -> Int[np.ndarray, " K"]:
    """Indices of the hits in order: score descending, row ascending, up to the row with the target-th distinct id."""
    order = np.lexsort((passages.rows[positions], -scores))
    _, first = np.unique(passages.codes[positions[order]], return_index=True)  # where each id comes first
    first.sort()
    if collapse:
        return order[first[:target]]
    return order if len(first) < target else order[: first[target - 1] + 1]


def _joined(found: list[_List]) -> Hits:
    lengths = np.array([len(one.passage) for one in found], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    return Hits(
        query=np.repeat(np.arange(len(found)), lengths),
        rank=np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1,
        passage=np.concatenate([one.passage for one in found]) if found else np.zeros(0, dtype=np.int64),
        score=np.concatenate([one.score for one in found]) if found else np.zeros(0, dtype=np.float32),
    )


def write_hits(path: Path | str, hits: Hits, queries: Vectors, passages: Vectors) -> None:
    """Write hits.parquet: query_row, query_id, rank (from 1), passage_row, passage_id, score; ordered by query row.

    Its metadata say how many queries and passages were searched, so that scoring notices a missing shard.
    """
    order = np.argsort(queries.rows[hits.query], kind="stable")  # shards hold rows out of order
    hits = Hits(*(column[order] for column in hits))
    columns = {
        "query_row": pa.array(queries.rows[hits.query]),
        "query_id": queries.ids.take(pa.array(hits.query)),
        "rank": pa.array(hits.rank.astype(np.int32)),
        "passage_row": pa.array(passages.rows[hits.passage]),
        "passage_id": passages.ids.take(pa.array(hits.passage)),
        "score": pa.array(hits.score.astype(np.float32)),
    }
    searched = {SEARCHED: json.dumps({"queries": len(queries), "passages": len(passages)})}
    pq.write_table(pa.table(columns).replace_schema_metadata(searched), path, row_group_size=ROW_GROUP)


def read_hits(path: Path | str, queries: Vectors, passages: Vectors) -> Hits:
    """What `write_hits` wrote for the same vectors, as positions in them again, ordered by query position and rank."""
    table = pq.read_table(path, columns=["query_row", "rank", "passage_row", "score"])
    query = _positions(path, queries, table["query_row"].to_numpy())
    order = np.lexsort((table["rank"].to_numpy(), query))
    passage = _positions(path, passages, table["passage_row"].to_numpy())
    rank = table["rank"].to_numpy().astype(np.int64)
    return Hits(*(column[order] for column in (query, rank, passage, table["score"].to_numpy())))


def _positions(path: Path | str, vectors: Vectors, rows: Int[np.ndarray, " M"]) -> Int64[np.ndarray, " M"]:
    order = np.argsort(vectors.rows)
    found = np.searchsorted(vectors.rows, rows, sorter=order)
    positions = order[np.minimum(found, len(order) - 1)]
    unknown = rows[vectors.rows[positions] != rows]
    if len(unknown):
        place = Path(vectors.places[0]).parent
        raise ValueError(f"{path}: row {unknown[0]} is not in {place}. The vectors have changed; search them again.")
    return positions


def _check(queries: Vectors, passages: Vectors, depth: int) -> None:
    if depth < 1:
        raise ValueError(f"A search returns at least one hit per query: depth must be 1 or more. Got {depth} instead.")
    if queries.width != passages.width:
        raise ValueError(
            f"Queries have width {queries.width} ({queries.places[0]}), passages {passages.width} "
            f"({passages.places[0]}). Embed both with the same checkpoint."
        )
    if not len(passages):
        raise ValueError(f"{passages.places[0]}: there are no passages to search.")
