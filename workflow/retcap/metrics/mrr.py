"""Mean reciprocal rank within the first k hits.

    MRR@k = mean over queries of 1 / (rank of the first gold passage), 0 if none is among the first k
                                                                    (Voorhees 1999, TREC-8 QA track report, section 4)

>>> mrr_at_k(["d1", "d2", "d3"], {"d3", "d2"}, k=3)
0.5
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

    from retcap.retrieval.judging.judging import Judged

CARD = MetricCard(
    name="mrr",
    title="MRR@k",
    task="retrieval",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Voorhees 1999, The TREC-8 Question Answering Track Report, section 4",
    shown=(),
)


def mrr_at_k(hits: Sequence[str], gold: Collection[str], k: int) -> float:
    """Reciprocal rank of one query; hits are distinct, best first."""
    return next((1 / rank for rank, hit in enumerate(hits[:k], start=1) if hit in gold), 0.0)


def per_query(judged: "Judged", k: int) -> "np.ndarray":
    """Reciprocal rank for every query."""
    import numpy as np

    marks = judged.gold[:, :k]
    return np.where(marks.any(axis=1), 1.0 / (marks.argmax(axis=1) + 1), 0.0)


MEASURES = {"MRR": per_query}
