"""chrF and chrF++ as sacrebleu computes them: character (and word) n-grams of the text as written, 0 to 1.

    chrF = (1 + b^2) P R / (b^2 P + R),  b = 2;  P, R: mean precision and recall over n-grams of 1-6 characters
    chrF++: the same over these and words and pairs of words        (Popović 2015, section 2; Popović 2017)

Orders without n-grams on one side do not count (sacrebleu's `eff:yes`). Blanks are no characters. Of several references
the one with the best score counts; the corpus value adds the counts of all items and applies the formula once.
"""

from typing import TYPE_CHECKING

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np
    import sacrebleu

CARD = MetricCard(
    name="chrf",
    title="chrF",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Popović 2015 and 2017; Post 2018, https://github.com/mjpost/sacrebleu",
    shown=(),
)
KEYS = ("chrf", "chrf_pp")
SCORE_RAW = False  # not among the values of raw captions
WORD_ORDER = {"chrf": 0, "chrf_pp": 2}
CHARACTER_ORDER = 6
BETA = 2
KEPT_TEXTS = 4096  # whose n-grams stay in memory, some 50 KB each
COMPARED = 20  # items of which sacrebleu computes the value as well


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Corpus values; items by the same formula on their own counts."""
    import numpy as np
    import sacrebleu

    metrics = {key: sacrebleu.CHRF(CHARACTER_ORDER, WORD_ORDER[key], BETA) for key in KEYS}
    ngrams = context.keep("chrF n-grams", NGrams)
    counts = [_counts(ngrams, said, texts) for said, texts in zip(candidates, references, strict=True)]
    results = {}
    for key, metric in metrics.items():
        statistics = np.array([_best(metric, of_references) for of_references in counts], dtype=np.float64)
        _compare(key, metric, candidates[:COMPARED], references[:COMPARED], statistics[:COMPARED])
        value = float(from_statistics(key, statistics.sum(axis=0)))
        signature = metric.get_signature().format()
        results[key] = Result(value, len(candidates), signature, from_statistics(key, statistics), statistics)
    return results


class NGrams:
    """sacrebleu's n-grams of a text: characters of order 1 to 6, then words of order 1 and 2, each with their number.

    They are the costly part, and a reference is met again: by both keys, by the draws of held-out references and by
    the captions of other pictures.
    """

    def __init__(self):
        from functools import lru_cache

        import sacrebleu
        from sacrebleu.metrics.helpers import extract_all_char_ngrams, extract_word_ngrams

        words = sacrebleu.CHRF(word_order=max(WORD_ORDER.values()))._remove_punctuation

        def of(text: str) -> list[tuple[dict[str, int], int]]:
            found = extract_all_char_ngrams(text, CHARACTER_ORDER)
            found += [extract_word_ngrams(words(text), order + 1) for order in range(max(WORD_ORDER.values()))]
            return [(ngrams, ngrams.total()) for ngrams in found]

        self.of = lru_cache(KEPT_TEXTS)(of)

    def close(self) -> None:
        """Nothing to end."""


def _counts(ngrams: NGrams, said: str, references: list[str]) -> list[list[int]]:
    """Per reference and order: n-grams of the caption (0 where the reference has none), of the reference, common."""
    ours = ngrams.of(said)
    found = []
    for text in references:
        counts = []
        for (mine, total), (theirs, wanted) in zip(ours, ngrams.of(text), strict=True):
            common = sum(min(mine[ngram], theirs[ngram]) for ngram in mine.keys() & theirs.keys())
            counts += [total if wanted else 0, wanted, common]
        found.append(counts)
    return found


def _best(metric: "sacrebleu.CHRF", of_references: list[list[int]]) -> list[int]:
    """The counts of the reference with the highest score, the first of equal ones, as sacrebleu chooses."""
    orders = 3 * metric.order
    return max((counts[:orders] for counts in of_references), key=metric._compute_f_score)


def _compare(
    key: str, metric: "sacrebleu.CHRF", candidates: list[str], references: list[list[str]], ours: "np.ndarray"
) -> None:
    """That sacrebleu itself gives the same value for these items."""
    most = max(len(texts) for texts in references)
    # one stream per reference position; None marks an item with fewer references
    streams = [[texts[k] if k < len(texts) else None for texts in references] for k in range(most)]
    value = metric.corpus_score(candidates, streams).score / 100  # pyright: ignore[reportArgumentType]
    own = float(from_statistics(key, ours.sum(axis=0)))
    if abs(own - value) > 1e-9:
        raise ArithmeticError(f"Our counts give {own}, sacrebleu {value}: the value would be wrong.")


def from_statistics(key: str, sums: "np.ndarray") -> "np.ndarray":
    """chrF of summed counts [..., 3 * orders] -> [...]: n-grams of candidate, of reference and common ones."""
    import numpy as np

    sums = np.asarray(sums, dtype=np.float64)
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    said, wanted, common = counts[..., 0], counts[..., 1], counts[..., 2]
    there = (said > 0) & (wanted > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision = np.divide(common, said, out=np.zeros_like(said), where=there).sum(axis=-1) / orders
    recall = np.divide(common, wanted, out=np.zeros_like(said), where=there).sum(axis=-1) / orders
    norm = BETA**2 * precision + recall
    return np.divide((1 + BETA**2) * precision * recall, norm, out=np.zeros_like(norm), where=norm > 0)
