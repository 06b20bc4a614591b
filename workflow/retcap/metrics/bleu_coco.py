"""BLEU-1 to BLEU-4 as pycocoevalcap computes them: PTB tokens (lower case, no punctuation), no real smoothing, 0 to 1.

    BLEU-N = BP * (prod_{n<=N} (matches_n + 1e-15) / (ngrams_n + 1e-9))^(1/N)

BP uses (c + 1e-15) / (r + 1e-9). The two small numbers only keep the division defined; they are part of the published
scores, so they are kept. Not comparable with `bleu4`, which keeps case and punctuation and smooths.
"""

from typing import TYPE_CHECKING

from retcap.captions.context import Context, Result
from retcap.captions.ptb import VERSION
from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

CARD = MetricCard(
    name="bleu_coco",
    title="BLEU-1 to BLEU-4 (COCO)",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Papineni et al. 2002; Chen et al. 2015, https://github.com/salaniz/pycocoevalcap",
    shown=(),
)
KEYS = ("bleu1_coco", "bleu2_coco", "bleu3_coco", "bleu4_coco")
ORDERS = 4
SMALL, TINY = 1e-9, 1e-15


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Corpus and item BLEU of all four orders."""
    from retcap.captions import ngram_counts

    statistics = ngram_counts.count(*context.tokenised(candidates, references))
    total = statistics.sum(axis=0)
    signature = f"coco|tok:ptb-{VERSION}|case:lc|punct:no|len:closest|smooth:tiny"
    return {
        key: Result(
            value=float(from_statistics(key, total)),
            n=len(candidates),
            signature=f"{signature}|n:{key[4]}",
            items=from_statistics(key, statistics),
            statistics=statistics,
        )
        for key in KEYS
    }


def from_statistics(key: str, sums: "np.ndarray") -> "np.ndarray":
    """BLEU of summed counts [..., 10] -> [...]; the order N is the digit of the key."""
    import numpy as np

    orders = KEYS.index(key) + 1
    sums = np.asarray(sums, dtype=np.float64)
    matches, totals = sums[..., 2 : 2 + orders], sums[..., 2 + ORDERS : 2 + ORDERS + orders]
    ratio = (sums[..., 0] + TINY) / (sums[..., 1] + SMALL)
    precision = np.prod((matches + TINY) / (totals + SMALL), axis=-1) ** (1.0 / orders)
    # 1 / ratio is at most about 1e16 (empty candidate): exp underflows to 0, no overflow
    return precision * np.where(ratio < 1, np.exp(1.0 - 1.0 / ratio), 1.0)
