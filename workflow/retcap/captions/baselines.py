"""The two rows beside every model: `human`, a caption that a person wrote, and `blind`, a caption that saw no image.

On QuIC-360 one fixed caption per query, which never sees the image, beats a held-out human on BLEU-4 and ROUGE-L.
Scores of a model mean little without these two. Both are captions.parquet records, so that the same code scores them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pandas as pd

from retcap.captions import files
from retcap.captions.clean import clean_reference
from retcap.captions.places import order, places

CANDIDATES = 200  # training captions per query that the medoid is chosen from (as in the published blind row)
LENGTHS = range(8, 23)  # words: captions of 8 to 22 words stand for the others
POOL = 1000  # captions per query compared at all when the split is its own source: bounds the square of the comparisons
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def human(items: pd.DataFrame, *, seed: int, draws: int) -> pd.DataFrame:
    """One reference per pair as the caption, in each of the draws another one; the rest is what it is scored against.

    `raw` is the reference of the first draw, to be looked at; `held_out` has the places of all (captions/places.py).
    A pair with a single reference has none left to be scored against: status `excluded`, reason `single_reference`. It
    is left out of the human row (and counted), while the models are scored on it.
    """
    records = []
    for item in items.to_dict("records"):
        references = item["references"]
        if len(references) < 2:
            records.append(_record(item["item_id"], "", "held-out reference", reason="single_reference"))
            continue
        held = places(seed, item["item_id"], len(references), draws)
        said = _record(item["item_id"], references[held[0]], "held-out reference")
        records.append(said | {"held_out": held})
    return files.frame(records)


def blind(items: pd.DataFrame, training: Iterable[tuple[str, str]] | None, *, seed: int) -> pd.DataFrame:
    """One fixed caption per query: the training caption nearest to all others of its query.

    `training` gives (query, caption). A query without training captions, or all of them when `training` is None, takes
    the medoid over the references of the *other* images with that query, or of all other images if no other has it.
    The column `prompt` says which of these it is: "training medoid", "other-image medoid" or "any-query medoid".
    """
    pools: dict[str, set[str]] = defaultdict(set)
    for query, caption in training or ():
        pools[query].add(clean_reference(caption))
    fixed = {query: medoid(_sample(captions, seed, CANDIDATES)) for query, captions in pools.items()}
    others = _OtherImages(items, seed)
    records = []
    for item in items.to_dict("records"):
        if item["query"] in fixed:
            records.append(_record(item["item_id"], fixed[item["query"]], "training medoid"))
            continue
        said, label = others.caption(item["image_key"] or item["image"], item["query"])
        records.append(_record(item["item_id"], said, label, reason=None if said else "no_other_image"))
    return files.frame(records)


def _record(item_id: str, raw: str, prompt: str, reason: str | None = None) -> dict:
    return {
        "item_id": item_id,
        "raw": raw,
        "status": "excluded" if reason else "ok",
        "reason": reason,
        "seconds": 0.0,
        "tokens": len(raw.split()),
        "held_out": None,
        "prompt": prompt,
    }


def words(caption: str) -> frozenset[str]:
    """The distinct words of a caption in lower case."""
    return frozenset(_WORD.findall(caption.lower()))


def medoid(captions: list[str]) -> str:
    """The caption with the largest sum of Jaccard word overlaps with all captions; of equals, the first by alphabet.

    overlap(a, b) = |A ∩ B| / |A ∪ B| over the sets of words

    >>> medoid(["a red car", "a red bus", "the sea"])
    'a red bus'
    """
    return _most_central(captions, overlaps(captions))


def _most_central(captions: list[str], overlap: np.ndarray) -> str:
    sums = overlap.sum(axis=1).round(9)  # rounded: a tie must not hang on the last bit
    return min(caption for caption, value in zip(captions, sums, strict=True) if value == sums.max())


def overlaps(captions: list[str]) -> np.ndarray:
    """Jaccard overlap of every caption with every other: float64, captions x captions; without any words it is 0."""
    sets = [words(caption) for caption in captions]
    column = {word: place for place, word in enumerate(sorted(set().union(*sets)))}
    has = np.zeros((len(sets), len(column)))
    for row, found in enumerate(sets):
        has[row, [column[word] for word in found]] = 1
    shared, sizes = has @ has.T, has.sum(axis=1)
    return shared / np.maximum(sizes[:, None] + sizes[None, :] - shared, 1)


def _sample(captions: Iterable[str], seed: int, count: int) -> list[str]:
    """Up to `count` captions, drawn by seed whatever their order; those of usual length if there are any."""
    chosen = sorted(captions)
    usual = [caption for caption in chosen if len(caption.split()) in LENGTHS]
    return sorted(usual or chosen, key=lambda caption: order(seed, caption))[:count]


class _OtherImages:
    """Leave-one-image-out medoids within the split itself."""

    def __init__(self, items: pd.DataFrame, seed: int):
        self._images: dict[str | None, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for item in items.to_dict("records"):
            for query in (item["query"], None):  # None stands for every query
                for reference in item["references"]:
                    self._images[query][reference].add(item["image_key"] or item["image"])
        self._pools = {query: _sample(captions, seed, POOL) for query, captions in self._images.items()}
        self._overlaps: dict[str | None, np.ndarray] = {}

    def caption(self, image: str, query: str) -> tuple[str, str]:
        """(caption, label); the caption never stands beside this image, not even by chance of a repeated text."""
        for asked, label in ((query, "other-image medoid"), (None, "any-query medoid")):
            pool, shown = self._pools[asked], self._images[asked]
            others = [place for place, caption in enumerate(pool) if image not in shown[caption]][:CANDIDATES]
            if others:
                if asked not in self._overlaps:
                    self._overlaps[asked] = overlaps(pool)
                overlap = self._overlaps[asked][np.ix_(others, others)]
                return _most_central([pool[place] for place in others], overlap), label
        return "", "no other image"
