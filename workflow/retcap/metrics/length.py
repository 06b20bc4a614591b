"""Words per caption: runs of characters between blanks, mean over items. No score: it says how the captions look.

Verbosity decides much of BLEU and CIDEr, so length stands beside them. Compare with the row of the human captions.

>>> words("A red bus, on a  street.")
6
"""

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

CARD = MetricCard(
    name="length",
    title="words",
    task="captioning",
    unit="words per caption",
    low=0.0,
    high=None,
    source="a count",
    kind="look",
)
KEYS = ("words",)


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Mean over items; a failed or empty caption has 0 words."""
    import numpy as np

    items = np.array([words(text) for text in candidates], dtype=np.float64)
    return {"words": Result(float(items.mean()), len(items), "words between blanks", items=items)}


def words(text: str) -> int:
    """Number of words."""
    return len(text.split())
