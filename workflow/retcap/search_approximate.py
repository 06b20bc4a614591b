"""Approximate indexes measured against exact search: IVF-Flat, IVF-PQ and HNSW, with recall, time and size.

For batch evaluation exact search is the right tool (faiss guidance: below some 10,000 searches an index does not pay
for its building). These numbers say what an on-line service would give up, and gain.
"""

import logging
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from retcap.search import SPARE, Hits
from retcap.shards import Vectors

log = logging.getLogger(__name__)
KINDS = ("flat", "ivf_flat", "ivf_pq", "hnsw")
LEAST_PER_CELL = 39  # k-means training points per cell below which faiss warns


class IndexSettings(NamedTuple):
    """One index. `effort` holds the values to sweep: cells probed (IVF) or the candidate list `efSearch` (HNSW)."""

    kind: str
    effort: tuple[int, ...] = (1,)
    cells: int | None = None  # IVF; by default 4 * sqrt(N), the lower end of the faiss rule of thumb
    code_bytes: int = 16  # PQ: one byte per sub-vector; must divide the width
    links: int = 32  # HNSW: M, neighbours per node
    build_effort: int = 80  # HNSW: efConstruction


def compare_indexes(
    queries: Vectors, passages: Vectors, exact: Hits, k: int, settings: Iterable[IndexSettings], threads: int = 1
) -> list[dict[str, Any]]:
    """One record per (index, effort): recall of the exact top k, build and search time, size.

    Recall is the mean over queries of |found ∩ exact| / |exact| among the first k distinct passage ids. The vectors are
    held in memory in fp32; embeddings beyond memory are for exact_search. Keys: kind, effort, options, k, recall,
    build_s, search_s, queries_per_s, index_mb, corpus_size, threads.
    """
    import faiss

    if len(exact.query) and exact.rank.max() < min(k, passages.distinct):
        raise ValueError(
            f"The exact hits reach rank {exact.rank.max()}, but k = {k}. Search exactly to depth {k} first."
        )
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        asked, stored = queries.block(0, len(queries)), passages.block(0, len(passages))
        return [
            record | {"corpus_size": len(passages), "threads": threads}
            for one in settings
            for record in _measure(one, asked, stored, passages, exact, k)
        ]
    finally:
        faiss.omp_set_num_threads(before)


def _measure(
    settings: IndexSettings,
    queries: Float[np.ndarray, "Q H"],
    stored: Float[np.ndarray, "N H"],
    passages: Vectors,
    exact: Hits,
    k: int,
) -> list[dict[str, Any]]:
    import faiss

    started = time.perf_counter()
    index = build(settings, stored)
    built = time.perf_counter() - started
    size_mb = faiss.serialize_index(index).nbytes / 2**20
    records = []
    for effort in settings.effort:
        _set_effort(index, settings.kind, effort)
        started = time.perf_counter()
        _, found = index.search(queries, min(len(stored), k + k // 4 + SPARE))
        spent = time.perf_counter() - started
        records.append(
            {
                "kind": settings.kind,
                "effort": effort,
                "options": options(settings, stored),
                "k": k,
                "recall": overlap(found, exact, passages, k),
                "build_s": built,
                "search_s": spent,
                "queries_per_s": len(queries) / spent,
                "index_mb": size_mb,
            }
        )
        log.info("%s effort %d: recall@%d %.4f in %.3f s", settings.kind, effort, k, records[-1]["recall"], spent)
    return records


def options(settings: IndexSettings, stored: Float[np.ndarray, "N H"]) -> str:
    """The faiss factory string of an index, which is its signature in the report."""
    count, width = stored.shape
    cells = settings.cells or max(
        1, min(round(4 * math.sqrt(count)), count // 39 or 1)
    )  # faiss warns below 39 per cell
    if settings.kind == "ivf_pq" and width % settings.code_bytes:
        raise ValueError(f"ivf_pq: code_bytes = {settings.code_bytes} does not divide the width {width}.")
    names = {
        "flat": "Flat",
        "ivf_flat": f"IVF{cells},Flat",
        "ivf_pq": f"IVF{cells},PQ{settings.code_bytes}x8np",  # np: no polysemous training, a minute for nothing here
        "hnsw": f"HNSW{settings.links},Flat",
    }
    if settings.kind not in names:
        raise ValueError(f"An index kind is one of {', '.join(KINDS)}. Got {settings.kind!r} instead.")
    return names[settings.kind]


def build(settings: IndexSettings, stored: Float[np.ndarray, "N H"]) -> Any:
    """Train and fill one index. faiss seeds its k-means itself (1234), so equal input gives an equal index."""
    import faiss

    index: Any = faiss.index_factory(stored.shape[1], options(settings, stored), faiss.METRIC_INNER_PRODUCT)
    if settings.kind == "hnsw":
        index.hnsw.efConstruction = settings.build_effort
    if not index.is_trained:
        if settings.kind == "ivf_pq" and len(stored) < 256:
            raise ValueError(
                f"ivf_pq learns 256 codes and needs at least 256 passages. Got {len(stored)}; use ivf_flat."
            )
        index.train(stored)
    index.add(stored)
    return index


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
