"""Normalised discounted cumulative gain within the first k hits, with binary relevance.

    nDCG@k = sum over gold passages at rank r <= k of 1 / log2(r + 1),  divided by the same sum for a perfect list
                                                                (Järvelin & Kekäläinen 2002, section 2, base 2)

A perfect list has all gold passages first, also those that the corpus lacks (as trec_eval has it): a missing gold
passage costs. The same passage found twice counts once, so nDCG never exceeds 1. No gold passage at all: 0.

>>> round(ndcg_at_k(["d1", "d2", "d3"], {"d1", "d3"}, k=3), 6)  # (1 + 1/2) / (1 + 1/log2(3))
0.919721
"""

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

    from retcap.retrieval.judging.judging import Judged

CARD = MetricCard(
    name="ndcg",
    title="nDCG@k",
    task="retrieval",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Järvelin & Kekäläinen 2002, Cumulated gain-based evaluation of IR techniques, section 2",
    shown=(),
)


def ndcg_at_k(hits: Sequence[str], gold: Collection[str], k: int) -> float:
    """nDCG@k of one query; hits are distinct, best first."""
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits[:k], start=1) if hit in gold)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(gold)) + 1))
    return gain / best if gold else 0.0


def per_query(judged: "Judged", k: int) -> "np.ndarray":
    """nDCG@k for every query."""
    import numpy as np

    discount = 1 / np.log2(np.arange(2, k + 2))
    marks = judged.gold[:, :k]
    gain = marks @ discount[: marks.shape[1]]
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(judged.gold_count, k)]
    return np.divide(gain, best, out=np.zeros_like(gain), where=best > 0)


MEASURES = {"nDCG": per_query}
