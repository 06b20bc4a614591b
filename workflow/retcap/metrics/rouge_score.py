"""ROUGE-L as the rouge-score package computes it: stemmed words, F1, best reference, mean over items, 0 to 1.

    F1 = 2 P R / (P + R),  P = LCS(c, r) / |c|,  R = LCS(c, r) / |r|,  the best F1 over the references r   (Lin 2004)

Words are runs of ASCII letters and digits in lower case; those of more than three letters lose their suffix (Porter).
Another number than `rougeL`, the COCO one: that has beta = 1.2, no stemming, and combines the best precision and the
best recall of different references. On the ratings of Flickr8k-Expert this one follows people better: .381 to .323.
"""

from retcap.captions.context import Context, Result
from retcap.captions.lcs import lcs_length
from retcap.records import MetricCard

CARD = MetricCard(
    name="rouge_score",
    title="ROUGE-L (rouge-score)",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Lin 2004; https://github.com/google-research/google-research/tree/master/rouge",
    shown=(),
)
KEYS = ("rougeL_f1",)
SCORE_RAW = False  # not among the values of raw captions


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Mean over items."""
    from importlib.metadata import version

    import numpy as np

    words = context.keep("rouge-score words", Words)
    items = np.array([_best(words, one, others) for one, others in zip(candidates, references, strict=True)])
    signature = f"rouge-score|version:{version('rouge-score')}|stem:porter|f1|refs:best"
    return {"rougeL_f1": Result(float(items.mean()), len(items), signature, items=items)}


class Words:
    """The package's own words of each text; every text and every word is looked at once."""

    def __init__(self):
        from functools import cache

        from nltk.stem import porter
        from rouge_score.tokenize import tokenize

        self._tokenize = tokenize
        self._known: dict[str, list[str]] = {}
        self.stem = cache(porter.PorterStemmer().stem)

    def __getitem__(self, text: str) -> list[str]:
        if text not in self._known:
            self._known[text] = self._tokenize(text, self)
        return self._known[text]

    def close(self) -> None:
        """Nothing to end."""


def _best(words: Words, candidate: str, references: list[str]) -> float:
    said = words[candidate]
    return max(_f1(said, words[text]) for text in references)


def _f1(candidate: list[str], reference: list[str]) -> float:
    if not candidate or not reference:
        return 0.0
    common = lcs_length(candidate, reference)
    return 2 * common / (len(candidate) + len(reference))  # what 2 P R / (P + R) comes to
