"""Which passages are gold for which query, and where they stand in the lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from retcap.retrieval.judging.files import Corpus


@dataclass(frozen=True)
class Gold:
    """(query, code) pairs of the gold passages in the corpus, sorted."""

    query: Int[np.ndarray, " G"]
    code: Int[np.ndarray, " G"]
    count: Int[np.ndarray, " Q"]  # distinct gold passages of each query, also those the corpus lacks
    missing: int  # (query, gold passage) pairs whose passage the corpus lacks

    @classmethod
    def of(cls, golds: Sequence[Sequence[str]], keys: Sequence[str]) -> "Gold":
        """From the keys of every query's gold passages, and those of the corpus by code."""
        codes = {key: code for code, key in enumerate(keys)}
        distinct = [list(dict.fromkeys(one)) for one in golds]
        pairs = [(query, codes[key]) for query, one in enumerate(distinct) for key in one if key in codes]
        query, code = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
        count = np.array([len(one) for one in distinct], dtype=np.int64)
        return cls(query, code, count, int(count.sum()) - len(pairs))

    def codes_of(self, query: int) -> Int[np.ndarray, " C"]:
        """Gold passages of one query."""
        low, high = np.searchsorted(self.query, [query, query + 1])
        return self.code[low:high]

    def first_places(self, rows: Int[np.ndarray, "Q D"], corpus: Corpus) -> Bool[np.ndarray, "Q D"]:
        """Marks the first place of each gold passage: a repeated row of it is no second find."""
        size = len(corpus.names) + 1
        code = np.where(rows >= 0, corpus.codes[rows], size - 1)  # the extra code belongs to no passage
        key = np.arange(len(rows))[:, None] * size + code
        marked = np.isin(key, self.query * size + self.code)
        flat, place = np.unique(np.where(marked, key, -1).ravel(), return_index=True)
        first = np.zeros(marked.size, dtype=bool)
        first[place[flat >= 0]] = True
        return first.reshape(marked.shape)

    def in_corpus(self, corpus: Corpus, passages: Int[np.ndarray, " N"]) -> Int[np.ndarray, " Q"]:
        """Gold passages of each query that the corpus holds. `passages`: what every row of it counts as."""
        _, row = np.unique(passages, return_index=True)
        sizes = np.bincount(corpus.codes[row], minlength=len(corpus.names))
        return np.bincount(self.query, weights=sizes[self.code], minlength=len(self.count)).astype(np.int64)
