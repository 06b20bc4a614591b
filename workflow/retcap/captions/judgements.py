"""What people thought of captions: a file in the format of Flickr8k-Expert as caption-metric suites ship it.

    {"<image>": {"ground_truth": ["<reference>", ...],
                 "human_judgement": [{"caption": "<text>", "rating": 3.0}, ...]}, ...}

One entry of `human_judgement` is one rating by one person; a caption that several people rated stands there as often.
Further fields are ignored. A file that cannot be read as a whole is an error: a correlation over a part of the ratings
would not compare with a published one.
"""

import hashlib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np


class _Rating(msgspec.Struct):
    caption: str
    rating: float


class _Image(msgspec.Struct):
    ground_truth: list[str]
    human_judgement: list[_Rating]


class Judgements(NamedTuple):
    """Rated captions. A pair is a distinct caption of an image; `pair` says which one each rating is of."""

    images: list[str]  # of each pair
    candidates: list[str]  # of each pair
    references: list[list[str]]  # of each pair
    pair: np.ndarray  # int64 [ratings]
    rating: np.ndarray  # float64 [ratings]
    sha256: str

    @property
    def is_flickr8k_expert(self) -> bool:
        """Whether these are the ratings that published correlations are about: known by how often each was given."""
        given = Counter(self.rating.tolist())
        return (len(set(self.images)), len(self.candidates), dict(given)) == FLICKR8K_EXPERT


# Images, pairs, and how often the three experts gave each rating (Hodosh et al. 2013; 158 captions that are references
# of their own image are left out, as in all published tables).
FLICKR8K_EXPERT = (1000, 5664, {1.0: 9796, 2.0: 4997, 3.0: 1686, 4.0: 513})


def read(path: Path | str) -> Judgements:
    """Read such a file. ValueError names the image and what is wrong with it."""
    content = Path(path).read_bytes()
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}. {FORMAT}") from error
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path} has no images. {FORMAT}")
    pairs: dict[tuple[str, str], int] = {}
    numbers: list[int] = []
    ratings: list[float] = []
    references: list[list[str]] = []
    for name, entry in found.items():
        image = _image(path, name, entry)
        for one in image.human_judgement:
            if (name, one.caption) not in pairs:
                pairs[name, one.caption] = len(pairs)
                references.append(image.ground_truth)
            numbers.append(pairs[name, one.caption])
            ratings.append(one.rating)
    images, candidates = [image for image, _ in pairs], [caption for _, caption in pairs]
    if len(set(ratings)) < 2:
        raise ValueError(f"{path}: nothing to compare with, all {len(ratings)} ratings are the same.")
    digest = hashlib.sha256(content).hexdigest()
    return Judgements(images, candidates, references, np.array(numbers), np.array(ratings, dtype=np.float64), digest)


FORMAT = (
    'Expected is {"<image>": {"ground_truth": [text, …], "human_judgement": [{"caption": text, "rating": number}]}}.'
)


def _image(path: Path | str, name: str, entry: Any) -> _Image:
    try:
        image = msgspec.convert(entry, _Image)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}, image {name!r}: {error}. {FORMAT}") from error
    if not any(text.strip() for text in image.ground_truth):
        raise ValueError(f"{path}, image {name!r} has no reference in `ground_truth`, so nothing can be judged.")
    wrong = [one for one in image.human_judgement if not math.isfinite(one.rating)]
    if wrong:
        raise ValueError(f"{path}, image {name!r}: the rating of {wrong[0].caption!r} is {wrong[0].rating}, no number.")
    image.ground_truth = [text for text in image.ground_truth if text.strip()]
    return image
