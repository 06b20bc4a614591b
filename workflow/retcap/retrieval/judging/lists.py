"""Ranked hits as a matrix of passages, a row per query."""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from retcap.retrieval.judging.files import Corpus, Ranked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lists:
    """Per query the positions of its hits in the corpus, best first, -1 beyond the end."""

    rows: Int[np.ndarray, "Q D"]
    lengths: Int[np.ndarray, " Q"]  # hits of each query, also those beyond the depth
    short: int  # queries with fewer hits than there are places, or passages

    @classmethod
    def of(cls, ranked: Ranked, corpus: Corpus, queries: int, depth: int) -> "Lists":
        """The first `depth` places of every query."""
        lengths = np.bincount(ranked.query, minlength=queries)
        place = np.arange(len(ranked.query)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        inside = place < depth
        rows = np.full((queries, depth), -1, dtype=np.int64)
        rows[ranked.query[inside], place[inside]] = ranked.passage[inside]
        short = int((lengths < min(depth, len(corpus.names))).sum())
        if short:
            log.warning("%d of %d queries have fewer than %d hits", short, queries, depth)
        return cls(rows, lengths, short)
