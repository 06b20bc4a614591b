"""ROUGE-L as pycocoevalcap computes it: PTB tokens, F-measure with beta = 1.2, mean over items, 0 to 1.

    F = (1 + b^2) P R / (R + b^2 P),  P = max_r LCS(c, r) / |c|,  R = max_r LCS(c, r) / |r|     (Lin 2004, section 3.1)

Best precision and best recall may come from different references. Lin's text takes the best F of one reference, and
the rouge-score package does; we follow the COCO code, since every published caption score does. rouge-score also
stems and has beta = 1: its F1 is another number and must not stand under this name.
An item without candidate tokens scores 0, also against a reference without tokens (the COCO code says 1 there).
"""

from typing import TYPE_CHECKING

from retcap.captions.context import Context, Result
from retcap.captions.lcs import lcs_length
from retcap.captions.ptb import VERSION
from retcap.records import MetricCard

if TYPE_CHECKING:
    from collections.abc import Sequence

CARD = MetricCard(
    name="rouge_l",
    title="ROUGE-L (COCO)",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Lin 2004; Chen et al. 2015, https://github.com/salaniz/pycocoevalcap",
)
KEYS = ("rougeL",)
BETA = 1.2


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Mean over items."""
    import numpy as np

    words, others = context.tokenised(candidates, references)
    items = np.array([_score_item(c, r) for c, r in zip(words, others, strict=True)], dtype=np.float64)
    signature = f"coco|tok:ptb-{VERSION}|beta:{BETA}|refs:best-p-best-r"
    return {"rougeL": Result(float(items.mean()), len(items), signature, items=items)}


def _score_item(candidate: str, references: "Sequence[str]") -> float:
    words = candidate.split()
    if not words:
        return 0.0
    precision = recall = 0.0
    for text in references:
        other = text.split(" ")  # one empty token for an empty reference, as in the COCO code: divides by 1, not 0
        common = lcs_length(words, other)
        precision = max(precision, common / len(words))
        recall = max(recall, common / len(other))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
