"""Refusals: the share of captions that decline to describe the picture, or speak of the model itself, 0 to 1.

A caption counts where one of the phrases below stands in it, whatever the case. It is a list and no judgement: a
caption that quotes such a phrase counts, and one that refuses in other words does not. Look at those that it found.

>>> refuses("I'm sorry, but I cannot see the image."), refuses("A man cannot cross the road.")
(True, False)
"""

import re

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

CARD = MetricCard(
    name="refusals",
    title="refusals",
    task="captioning",
    unit="fraction of captions",
    low=0.0,
    high=1.0,
    source="a list of phrases, in the file",
    kind="look",
)
KEYS = ("refusals",)
LIST = 1  # version of the phrases, for the signature
PHRASES = (
    r"\bI(?:'m| am) (?:sorry|unable|not able|afraid)\b",
    r"\bI (?:can't|cannot|can not|don't|do not) (?:see|view|describe|provide|identify|help|answer|assist|have)\b",
    r"\bas an? (?:AI|language model|artificial intelligence)\b",
    r"\bno image (?:is|was|has been) (?:provided|attached|given|shown)\b",
    r"\b(?:unable|impossible) to (?:describe|see|determine|provide|answer)\b",
    r"\bplease (?:provide|upload|share) (?:an?|the|your|more)\b",
)
_PATTERN = re.compile("|".join(PHRASES), re.IGNORECASE)


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Share of items."""
    import numpy as np

    items = np.array([refuses(text) for text in candidates], dtype=np.float64)
    return {"refusals": Result(float(items.mean()), len(items), f"refusals|list:{LIST}", items=items)}


def refuses(text: str) -> bool:
    """Whether a caption has one of the phrases."""
    return _PATTERN.search(text.replace("\u2019", "'")) is not None
