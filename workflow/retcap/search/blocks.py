"""The passes over the passages that a search makes: block sizes from a budget, fp32 proposals, the full fp64 scan."""

import logging
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from retcap.features.vectors import Vectors

log = logging.getLogger(__name__)
MB = 2**20
PER_CANDIDATE = 96  # bytes: (score, position) kept, found and joined, and the selection of the best
GPU_DEPTH = 2048  # most candidates that faiss selects on a GPU
LONGEST = 1e18  # of a vector: the product of two longer ones does not fit into fp32, nor do its parts
GPU_WORKSPACE_MB = 1536  # what faiss reserves on a GPU by default; never more


class Budget(NamedTuple):
    """Block sizes that keep a search inside its memory: half for queries, a quarter for passages, 1/8 gathered."""

    queries: int
    passages: int
    gathered: int  # candidates scored again at once, per thread

    @classmethod
    def of(cls, memory_mb: float | int, width: int, candidates: int, threads: int) -> "Budget":
        """Sizes for vectors of `width` channels and `candidates` per query; an error where not one of each fits."""
        per_query = 8 * width + PER_CANDIDATE * candidates
        per_passage = 8 * width + 16  # fp32 copy and its squares; the full scan holds the same in fp64
        per_gathered = threads * 16 * width  # fp32 copy and fp64 products
        least_mb = max(2 * per_query, 4 * per_passage, 8 * per_gathered) / MB
        if memory_mb < least_mb:
            raise ValueError(
                f"memory_mb = {memory_mb:g} is too little for vectors of width {width} with {candidates} candidates "
                f"per query: at least {np.ceil(10 * least_mb) / 10:g} MB are needed. Raise it or lower the largest K."
            )
        sizes = memory_mb * MB / np.array([2 * per_query, 4 * per_passage, 8 * per_gathered])
        return cls(*(int(size) for size in sizes))

    def needed_mb(self, queries: int, passages: int, width: int, candidates: int, threads: int) -> float:
        """Estimate of the working memory of a search over so many queries and passages, in MB."""
        blocks = min(queries, self.queries) * (8 * width + PER_CANDIDATE * candidates)
        blocks += min(passages, self.passages) * (8 * width + 16)
        return (blocks + min(candidates, self.gathered) * threads * 16 * width) / MB

    @staticmethod
    def most_candidates(memory_mb: float | int, width: int) -> int:
        """The most candidates that fit for one query."""
        return max(0, int((memory_mb * MB / 2 - 8 * width) // PER_CANDIDATE))


class Engine:
    """faiss on a GPU where there is one, else on CPU threads. The thread count is put back on leaving."""

    def __init__(self, threads: int, memory_mb: float | int, gpu: bool | None) -> None:
        import faiss

        self.faiss, self.threads, self.before = faiss, threads, faiss.omp_get_max_threads()
        self.resources: Any = None
        if use_gpu(gpu):
            self.resources = faiss.StandardGpuResources()
            self.resources.setTempMemory(int(min(memory_mb, GPU_WORKSPACE_MB) * MB))
        self.name = "faiss on GPU" if self.resources is not None else f"faiss on {threads} CPU threads"

    def __enter__(self) -> "Engine":
        self.faiss.omp_set_num_threads(self.threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faiss.omp_set_num_threads(self.before)

    def best(
        self, queries: Float32[np.ndarray, "Q H"], block: Float32[np.ndarray, "N H"], size: int
    ) -> tuple[Float32[np.ndarray, "Q K"], Int64[np.ndarray, "Q K"]]:
        """The `size` largest inner products of each query with one block; their order among equals is arbitrary."""
        if self.resources is not None and size <= GPU_DEPTH:
            return self.faiss.knn_gpu(self.resources, queries, block, size, metric=self.faiss.METRIC_INNER_PRODUCT)
        return self.faiss.knn(queries, block, size, metric=self.faiss.METRIC_INNER_PRODUCT)


def use_gpu(wanted: bool | None) -> bool:
    """Whether to search on a GPU: what is wanted, or else whether faiss sees one."""
    import faiss

    available = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    if wanted and not available:
        raise RuntimeError("A GPU search was asked for, but faiss finds no GPU. Leave gpu unset, or check the driver.")
    return available if wanted is None else wanted


def proposals(
    queries: Float32[np.ndarray, "Q H"], passages: Vectors, size: int, memory_mb: float | int, engine: Engine
) -> tuple[Float32[np.ndarray, "Q K"], Int64[np.ndarray, "Q K"], float]:
    """The `size` best candidates by fp32 score over all blocks, unordered, and the length of the longest passage."""
    step = Budget.of(memory_mb, passages.width, size, engine.threads).passages
    scores = np.empty((len(queries), 0), dtype=np.float32)
    positions = np.empty((len(queries), 0), dtype=np.int64)
    longest = 0.0
    for start in range(0, len(passages), step):
        block = passages.block(start, start + step)
        longest = max(longest, check_lengths(passages, start, block))
        found, where = engine.best(queries, block, min(size, len(block)))
        scores = np.concatenate([scores, found], axis=1)
        positions = np.concatenate([positions, where + start], axis=1)
        if scores.shape[1] > size:
            chosen = np.argpartition(-scores, size - 1, axis=1)[:, :size]
            scores = np.take_along_axis(scores, chosen, axis=1)
            positions = np.take_along_axis(positions, chosen, axis=1)
    return scores, positions, longest


def check_lengths(vectors: Vectors, start: int, block: Float32[np.ndarray, "N H"]) -> float:
    """Length of the longest vector of a block that begins at position `start`.

    Refuses NaN and infinity, which faiss would drop in silence, and lengths whose scores would be infinite.
    """
    squares = np.einsum("nh,nh->n", block, block, dtype=np.float64)
    bad = np.flatnonzero(~(squares <= LONGEST**2))
    if len(bad):
        square = squares[bad[0]]
        what = f"its length is {np.sqrt(square):.3g}" if np.isfinite(square) else "NaN or infinite values"
        raise ValueError(
            f"{vectors.place(start + int(bad[0]))}: {what}, so its scores would be no numbers. Check the model, and "
            "embed again with unit vectors."
        )
    return float(np.sqrt(squares.max(initial=0.0)))


Cut = Callable[[np.ndarray, np.ndarray, Vectors, int], np.ndarray]


def scan(
    queries: Float32[np.ndarray, "Q H"], passages: Vectors, target: int, memory_mb: float | int, cut: Cut
) -> Iterator[tuple[Int64[np.ndarray, " K"], Float32[np.ndarray, " K"]]]:
    """Compare queries with every passage in fp64; `cut` orders (position, score) pairs and says which to keep.

    For fp16 unit vectors fp64 sums are exact. For fp32 vectors the blocked product may differ from the row-by-row sum
    in the 53rd bit, which changes the rounded score with a chance of about 2**-28.
    """
    step = Budget.of(memory_mb, passages.width, 1, 1).passages // 2 or 1
    at_once = max(1, int(memory_mb * MB / 4 / (16 * step + 16 * passages.width)))
    for first in range(0, len(queries), at_once):
        some = queries[first : first + at_once].astype(np.float64)
        kept = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)) for _ in some]
        for start in range(0, len(passages), step):
            block = passages.block(start, start + step, np.float64)
            scores = (some @ block.T).astype(np.float32)
            for query, row in enumerate(scores):
                kept[query] = _merge(kept[query], start, row, passages, target, cut)
        yield from kept


def _merge(
    kept: tuple[np.ndarray, np.ndarray], start: int, scores: np.ndarray, passages: Vectors, target: int, cut: Cut
) -> tuple[np.ndarray, np.ndarray]:
    """Add the passages of one block that come before the last one kept (all of them while the list is not full)."""
    positions, values = kept
    here = np.arange(start, start + len(scores))
    if len(positions) and len(np.unique(passages.codes[positions])) >= target:
        earlier = passages.rows[here] < passages.rows[positions[-1]]
        better = (scores > values[-1]) | ((scores == values[-1]) & earlier)
        here, scores = here[better], scores[better]
    if not len(here):
        return kept
    positions, values = np.concatenate([positions, here]), np.concatenate([values, scores])
    chosen = cut(positions, values, passages, target)
    return positions[chosen], values[chosen]
