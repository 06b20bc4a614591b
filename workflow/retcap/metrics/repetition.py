"""Repeated n-grams: the share of a caption's four-word runs that it had said before; mean over items, 0 to 1.

    rep-4 = 1 - different 4-grams / 4-grams of the caption        (Welleck et al. 2020, seq-rep-n)

A caption of fewer than four words repeats none. Words as for COCO scores (PTB, lower case, no punctuation).
"""

from retcap.captions.context import Context, Result
from retcap.captions.ptb import VERSION
from retcap.records import MetricCard

CARD = MetricCard(
    name="repetition",
    title="repeated 4-grams",
    task="captioning",
    unit="fraction of a caption's 4-grams",
    low=0.0,
    high=1.0,
    source="Welleck et al. 2020, Neural Text Generation with Unlikelihood Training",
    kind="look",
)
KEYS = ("repeated4",)
ORDER = 4


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Mean over items."""
    import numpy as np

    items = np.array([repeated(text.split()) for text in context.ptb(candidates)], dtype=np.float64)
    return {"repeated4": Result(float(items.mean()), len(items), f"rep-{ORDER}|tok:ptb-{VERSION}", items=items)}


def repeated(words: list[str]) -> float:
    """Share of repeated 4-grams of one caption.

    >>> repeated("a b c d a b c d".split())
    0.2
    """
    from retcap.captions.frequencies import ngrams

    grams = ngrams(words, ORDER)
    return round(1 - len(set(grams)) / len(grams), 12) if grams else 0.0
