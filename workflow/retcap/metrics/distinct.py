"""Distinct-1 and distinct-2: how many different words and word pairs there are among all that the system wrote, 0 to 1.

    distinct-n = different n-grams / n-grams, over all captions together      (after Li et al. 2016)

A system that says the same of every picture comes near 0. The value falls with the number of captions, so compare on
the same pairs only; it has no values of items, and no interval. Words as for COCO scores (PTB, without punctuation).
"""

from retcap.captions.context import Context, Result
from retcap.captions.ptb import VERSION
from retcap.records import MetricCard

CARD = MetricCard(
    name="distinct",
    title="different n-grams",
    task="captioning",
    unit="fraction of n-grams",
    low=0.0,
    high=1.0,
    source="Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models",
    kind="look",
)
KEYS = ("distinct1", "distinct2")


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Over all captions; 0 where there is no n-gram."""
    from retcap.captions.frequencies import ngrams

    sentences = [text.split() for text in context.ptb(candidates)]
    found = {}
    for key in KEYS:
        grams = [gram for words in sentences for gram in ngrams(words, int(key[-1]))]
        value = len(set(grams)) / len(grams) if grams else 0.0
        found[key] = Result(value, len(candidates), f"{key}|tok:ptb-{VERSION}|n:{len(candidates)}")
    return found
