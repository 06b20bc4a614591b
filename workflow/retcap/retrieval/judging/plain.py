"""The plain definition of R@K and PR@K, query by query, with which the pipeline for whole files is compared.

>>> [dialects.load(name).answer_patterns("Nationals Park", "q1").are_in("a zoo in Boston") for name in dialects.names()]
[True, True, False]
"""

from collections.abc import Sequence

from retcap.retrieval.judging import dialects
from retcap.retrieval.judging.patterns import Patterns


def recall(gold: Sequence[str], ranked: Sequence[str], k: int, dialect: str) -> float:
    """R@K of one query. `ranked`: passage keys, best first, possibly with repeats."""
    places = dialects.load(dialect).places([(key, None) for key in ranked])
    return float(any(key in gold for key, _ in places[:k]))


def pseudo_recall(patterns: Patterns, ranked: Sequence[tuple[str, str | None]], k: int, dialect: str) -> float | None:
    """PR@K of one query; None where the dialect leaves the query out. `ranked`: (key, text) pairs."""
    rules = dialects.load(dialect)
    if not rules.counts(patterns):
        return None
    found = [rules.contains_answer(patterns, text) for _, text in rules.places(ranked)[:k]]
    return float(any(found))  # looked at all of them first, as the originals do: a null after a hit stops them too
