"""The ten counts per item from which BLEU follows, for any tokenisation.

Columns: candidate length, reference length, then clipped matches for n = 1-4, then candidate n-grams for n = 1-4
(Papineni et al. 2002, section 2). The reference length is the one closest to the candidate's, the shorter on a tie;
sacrebleu and pycocoevalcap (option "closest") agree on this.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from retcap.captions.frequencies import ORDERS

WIDTH = 2 + 2 * ORDERS


def count(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Counts of each item, int64 [items, 10]. Texts are tokens joined by whitespace."""
    rows = [_count_item(candidate, texts) for candidate, texts in zip(candidates, references, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), WIDTH)


def _count_item(candidate: str, references: Sequence[str]) -> list[int]:
    words = candidate.split()
    others = [text.split() for text in references]
    length = len(words)
    closest = min((abs(len(other) - length), len(other)) for other in others)[1]
    matches, totals = [], []
    for n in range(1, ORDERS + 1):
        own = Counter(_grams(words, n))
        most = dict.fromkeys(own, 0)  # the largest count in any one reference
        for other in others:
            for gram, times in Counter(gram for gram in _grams(other, n) if gram in own).items():
                if times > most[gram]:
                    most[gram] = times
        matches.append(sum(min(times, most[gram]) for gram, times in own.items()))
        totals.append(own.total())
    return [length, closest, *matches, *totals]


def _grams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[place:] for place in range(n)), strict=False)
