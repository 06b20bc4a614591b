"""Approximate indexes measured against exact search: IVF-Flat, IVF-PQ and HNSW, with recall, time and size.

For batch evaluation exact search is the right tool (faiss guidance: below some 10,000 searches an index does not pay
for its building). These numbers say what an on-line service would give up, and gain. An index that a corpus is too
small for, or the memory, is left out with the reason.
"""

import logging
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from retcap.features.vectors import Vectors
from retcap.search.exact import SPARE, Hits

log = logging.getLogger(__name__)
KINDS = ("flat", "ivf_flat", "ivf_pq", "hnsw")
LEAST_PER_CELL = 39  # k-means training points per cell below which faiss warns
PQ_CODES = 256  # per sub-vector, learned by k-means
PQ_BYTES = 16  # per vector, or the next smaller number that divides the width
COPIES = 4  # of the vectors in memory: as read, in the index, in its serialised form, and while it is built
EFFORT = {"flat": (1,), "ivf_flat": (1, 4, 16, 64), "ivf_pq": (1, 4, 16, 64), "hnsw": (16, 64, 256)}


class IndexSettings(NamedTuple):
    """One index. `effort` holds the values to sweep: cells probed (IVF) or the candidate list `efSearch` (HNSW)."""

    kind: str
    effort: tuple[int, ...] | None = None  # by default EFFORT
    cells: int | None = None  # IVF; by default 4 * sqrt(N), the lower end of the faiss rule of thumb
    code_bytes: int | None = None  # PQ: one byte per sub-vector; must divide the width; by default PQ_BYTES or less
    links: int = 32  # HNSW: M, neighbours per node
    build_effort: int = 80  # HNSW: efConstruction


def compare_indexes(
    queries: Vectors,
    passages: Vectors,
    exact: Hits,
    k: int,
    settings: Iterable[IndexSettings],
    threads: int = 1,
    memory_mb: float | int | None = None,
) -> list[dict[str, Any]]:
    """One record per (index, effort): recall of the exact top k, build and search time, size.

    Recall is the mean over queries of |found ∩ exact| / |exact| among the first k distinct passage ids. The vectors are
    held in memory in fp32; embeddings beyond memory are for exact_search. Keys: kind, effort, options, k, recall,
    build_s, search_s (all queries as one batch), queries, queries_per_s, index_mb, corpus_size, threads. An index that
    cannot be built has one record: kind, options, corpus_size, threads, skipped (the reason).
    """
    import faiss

    if len(exact.query) and exact.rank.max() < min(k, passages.distinct):
        raise ValueError(
            f"The exact hits reach rank {exact.rank.max()}, but k = {k}. Search exactly to depth {k} first."
        )
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        records = []
        for one in settings:
            name = options(one, len(passages), passages.width)
            reason = why_not(one, len(passages), len(queries), passages.width, memory_mb)
            if reason is None:
                found = _measure(one, queries.block(0, len(queries)), passages, exact, k)
            else:
                log.info("%s is left out: %s", one.kind, reason)
                found = [{"kind": one.kind, "options": name, "skipped": reason}]
            records += [record | {"corpus_size": len(passages), "threads": threads} for record in found]
        return records
    finally:
        faiss.omp_set_num_threads(before)


def why_not(
    settings: IndexSettings, passages: int, queries: int, width: int, memory_mb: float | int | None
) -> str | None:
    """Why an index cannot be built over so many passages, in words; None if it can."""
    least = {"ivf_flat": LEAST_PER_CELL, "ivf_pq": LEAST_PER_CELL * PQ_CODES}.get(settings.kind, 1)
    if passages < least:
        what = f"{PQ_CODES} codes" if settings.kind == "ivf_pq" else "its cells"
        return f"it learns {what} and needs at least {least} passages for that; there are {passages}"
    needed = (COPIES * passages + queries) * width * 4 / 2**20
    if memory_mb is not None and needed > memory_mb:
        return f"it needs about {needed:.1f} MB, more than search.memory_mb = {memory_mb:g}"
    return None


def _measure(
    settings: IndexSettings, queries: Float[np.ndarray, "Q H"], passages: Vectors, exact: Hits, k: int
) -> list[dict[str, Any]]:
    import faiss

    stored = passages.block(0, len(passages))
    started = time.perf_counter()
    index = build(settings, stored)
    built = time.perf_counter() - started
    size_mb = faiss.serialize_index(index).nbytes / 2**20
    records = []
    for effort in efforts(settings, index):
        _set_effort(index, settings.kind, effort)
        started = time.perf_counter()
        _, found = index.search(queries, min(len(stored), k + k // 4 + SPARE))
        spent = time.perf_counter() - started
        records.append(
            {
                "kind": settings.kind,
                "effort": effort,
                "options": options(settings, *stored.shape),
                "k": k,
                "recall": overlap(found, exact, passages, k),
                "build_s": built,
                "search_s": spent,
                "queries": len(queries),
                "queries_per_s": len(queries) / spent,
                "index_mb": size_mb,
            }
        )
        log.info("%s effort %d: recall@%d %.4f in %.3f s", settings.kind, effort, k, records[-1]["recall"], spent)
    return records


def options(settings: IndexSettings, count: int, width: int) -> str:
    """The faiss factory string of an index over `count` vectors of `width`, which is its signature in the report."""
    cells = settings.cells or max(1, min(round(4 * math.sqrt(count)), count // LEAST_PER_CELL))
    code_bytes = settings.code_bytes or max(size for size in range(1, PQ_BYTES + 1) if width % size == 0)
    if settings.kind == "ivf_pq" and width % code_bytes:
        raise ValueError(f"ivf_pq: code_bytes = {code_bytes} does not divide the width {width}.")
    names = {
        "flat": "Flat",
        "ivf_flat": f"IVF{cells},Flat",
        "ivf_pq": f"IVF{cells},PQ{code_bytes}x8np",  # np: no polysemous training, a minute for nothing here
        "hnsw": f"HNSW{settings.links},Flat",
    }
    if settings.kind not in names:
        raise ValueError(f"An index kind is one of {', '.join(KINDS)}. Got {settings.kind!r} instead.")
    return names[settings.kind]


def build(settings: IndexSettings, stored: Float[np.ndarray, "N H"]) -> Any:
    """Train and fill one index. faiss seeds its k-means itself (1234), so equal input gives an equal index."""
    import faiss

    index: Any = faiss.index_factory(stored.shape[1], options(settings, *stored.shape), faiss.METRIC_INNER_PRODUCT)
    if settings.kind == "hnsw":
        index.hnsw.efConstruction = settings.build_effort
    if not index.is_trained:
        index.train(stored)
    index.add(stored)
    return index


def efforts(settings: IndexSettings, index: Any) -> list[int]:
    """Values of the sweep, up to the number of cells an IVF index has: more than all of them changes nothing."""
    wanted = settings.effort or EFFORT[settings.kind]
    return sorted({min(effort, index.nlist) for effort in wanted}) if hasattr(index, "nlist") else list(wanted)


def _set_effort(index: Any, kind: str, effort: int) -> None:
    if kind == "hnsw":
        index.hnsw.efSearch = effort
    elif kind.startswith("ivf"):
        index.nprobe = effort


def overlap(found: np.ndarray, exact: Hits, passages: Vectors, k: int) -> float:
    """Mean share of the exact first k passage ids that are among the first k distinct ids found (-1 is no hit)."""
    shares = []
    starts = np.searchsorted(exact.query, np.arange(len(found) + 1))
    for query, row in enumerate(found):
        codes = passages.codes[row[row >= 0]]
        mine = set(list(dict.fromkeys(codes.tolist()))[:k])
        theirs = exact.passage[starts[query] : starts[query + 1]]
        wanted = set(list(dict.fromkeys(passages.codes[theirs].tolist()))[:k])
        shares.append(len(mine & wanted) / len(wanted))
    return float(np.mean(shares)) if shares else float("nan")
