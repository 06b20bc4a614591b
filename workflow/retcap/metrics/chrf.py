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


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Corpus values; items by the same formula on their own counts."""
    return {key: _score(key, candidates, references) for key in KEYS}


def _score(key: str, candidates: list[str], references: list[list[str]]) -> Result:
    import numpy as np
    import sacrebleu

    metric = sacrebleu.CHRF(CHARACTER_ORDER, WORD_ORDER[key], BETA)
    most = max(len(texts) for texts in references)
    # one stream per reference position; None marks an item with fewer references
    streams = [[texts[k] if k < len(texts) else None for texts in references] for k in range(most)]
    value = metric.corpus_score(candidates, streams).score / 100  # pyright: ignore[reportArgumentType]
    # sacrebleu gives the counts of items by this method alone; the corpus value is compared with them below
    statistics = np.array(metric._extract_corpus_statistics(candidates, streams), dtype=np.float64)  # pyright: ignore[reportArgumentType]
    own = float(from_statistics(key, statistics.sum(axis=0)))
    if abs(own - value) > 1e-9:
        raise ArithmeticError(f"Our counts give {own}, sacrebleu {value}: the intervals would be wrong.")
    signature = metric.get_signature().format()
    return Result(own, len(candidates), signature, from_statistics(key, statistics), statistics)


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
