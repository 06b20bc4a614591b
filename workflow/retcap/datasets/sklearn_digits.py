"""scikit-learn's handwritten digits: 1,797 real pictures of 8 x 8 grey pixels that every installation has.

A small real set for a machine without data. A CLIP that was never shown handwriting has no reason to do well on it, and
raw pixels are enough for a probe: what it shows is what features are worth outside of what they were made for.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap.records import DatasetCard

if TYPE_CHECKING:
    from retcap.features.image_sets import Item, Labels

CARD = DatasetCard(
    name="sklearn_digits",
    title="Handwritten digits",
    task="classification",
    licence="CC-BY-4.0 (UCI Machine Learning Repository)",
    source="sklearn.datasets.load_digits: the test part of UCI's optical recognition of handwritten digits",
    citation="Alpaydin and Kaynak 1998, doi:10.24432/C50P49",
    notes="The split is ours: of every ten pictures of a digit, in the published order, six to train, one to validate, "
    "three to test. Writers are in all of them.",
)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "a photo of the number {}.",
    "the digit {} in handwriting.",
    "a small grey picture of the digit {}.",
    "somebody wrote the number {}.",
)
WHITE = 16  # value of a pixel that is all ink
LARGER = 8  # each pixel becomes a square of so many: a decoder has no reason to blur them


def labels(source: Path | None) -> "Labels":
    """Ten digits."""
    from retcap.features.image_sets import Labels

    return Labels(NAMES, TEMPLATES)


def splits(source: Path | None) -> list[str]:
    """All three."""
    return ["test", "train", "valid"]


def items(source: Path | None, split: str) -> "Iterator[Item]":
    """Pictures in the published order, white ink on black, as PNG files of 64 x 64 pixels."""
    import numpy as np
    from sklearn.datasets import load_digits

    from retcap.features.image_sets import Item
    from retcap.pictures import pixels

    found: Any = load_digits()
    seen: Counter[int] = Counter()
    for number, (image, label) in enumerate(zip(found.images, found.target, strict=True)):
        seen[int(label)] += 1
        if _split(seen[int(label)] - 1) != split:  # the published order repeats itself every ten pictures or so
            continue
        grey = np.kron(np.rint(image * (255 / WHITE)).astype(np.uint8), np.ones((LARGER, LARGER), np.uint8))
        name = f"{number:04d}"
        yield Item(name, name, int(label), (), pixels.encode(np.repeat(grey[:, :, None], 3, axis=2), "png"))


def _split(earlier: int) -> str:
    """Split of a picture with so many earlier ones of its digit."""
    tenth = earlier % 10
    return "train" if tenth < 6 else "valid" if tenth == 6 else "test"
