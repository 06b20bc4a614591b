"""Recall at k as M2KR uses it: 1 if any gold passage is among the first k hits, else 0 (any-hit, "success at k").

    R@k = mean over queries of 1[gold ∩ top_k ≠ ∅]        (Lin et al. 2024, PreFLMR, section 4)

Not the fraction of the gold passages found: OKVQA has 7.4 of them per query. Equal scores are ordered by corpus row.

>>> recall_at_k(["d1", "d2", "d3"], {"d3", "d9"}, k=2), recall_at_k(["d1", "d2", "d3"], {"d3", "d9"}, k=3)
(0.0, 1.0)
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

    from retcap.retrieval.judging.judging import Judged

CARD = MetricCard(
    name="recall_at_k",
    title="R@k",
    task="retrieval",
    unit="fraction of queries",
    low=0.0,
    high=1.0,
    source="Lin et al. 2024 (arXiv 2402.08327), section 4",
)


def recall_at_k(hits: Sequence[str], gold: Collection[str], k: int) -> float:
    """R@k of one query; hits are distinct, best first."""
    return float(any(hit in gold for hit in hits[:k]))


def per_query(judged: "Judged", k: int) -> "np.ndarray":
    """0 or 1 for every query; a query without gold passages cannot be a hit."""
    return judged.gold[:, :k].any(axis=1).astype(float)


MEASURES = {"R": per_query}
