"""Pseudo recall at k: 1 if the text of any of the first k passages contains an answer, gold passage or not.

    PR@k = mean over queries of 1[some answer is a substring of some text in top_k], both lower-cased

(Lin et al. 2024, PreFLMR, section 4; as code in `inference.py` of aimagelab/ReT.) Queries without a usable answer are
left out. A substring is no understanding: "bear" is in "bearing wall". So `PR word`, with word boundaries after NFKC
and case folding, is always printed beside it, and so are the score of a random ranking and the ceiling.

>>> texts = ["a bearing wall", "The Bear."]
>>> pseudo_recall_at_k(texts, ["bear"], k=1), pseudo_recall_at_k(texts, [" zoo"], k=2)
(1.0, 0.0)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

    from retcap.retrieval.judging.judging import Judged

CARD = MetricCard(
    name="pseudo_recall_at_k",
    title="PR@k",
    task="retrieval",
    unit="fraction of queries",
    low=0.0,
    high=1.0,
    source="Lin et al. 2024 (arXiv 2402.08327), section 4; aimagelab/ReT inference.py",
    shown=(),
)


def pseudo_recall_at_k(texts: Sequence[str | None], answers: Sequence[str], k: int) -> float:
    """PR@k of one query with text answers only; a null text contains nothing."""
    usable = [answer.strip().lower() for answer in answers if answer.strip()]
    return float(any(answer in text.lower() for text in texts[:k] if text is not None for answer in usable))


def per_query(judged: "Judged", k: int) -> "np.ndarray":
    """0 or 1 for every query, NaN for those that do not count."""
    return _counted(judged.answer[:, :k], judged)


def per_query_words(judged: "Judged", k: int) -> "np.ndarray":
    """The same with word boundaries."""
    return _counted(judged.words[:, :k], judged)


def _counted(marks: "np.ndarray", judged: "Judged") -> "np.ndarray":
    import numpy as np

    return np.where(judged.counted, marks.any(axis=1).astype(float), np.nan)


MEASURES = {"PR": per_query, "PR word": per_query_words}
