"""CLIPScore and RefCLIPScore: how near caption, picture and references lie in the space of a CLIP encoder.

    CLIPScore(c, v)       = w * max(cos(c, v), 0),  w = 2.5
    RefCLIPScore(c, R, v) = harmonic mean of CLIPScore(c, v) and max over r in R of max(cos(c, r), 0)
    (Hessel et al. 2021, "CLIPScore", EMNLP, section 3, equations 1 and 2)

The encoder is the one of `captioning.encoder`, and it stands in the signature: values of two encoders do not compare,
and only ViT-B/32 of OpenAI is that of published values. Captions and references follow the words "A photo depicts".
A panorama is squashed to the encoder's square, which published values do not know. 0 to 2.5 and 0 to 1.43.

>>> harmonic(1.0, 0.5), harmonic(0.0, 0.0)
(0.6666666666666666, 0.0)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

if TYPE_CHECKING:
    from retcap.captions.clip_features import ClipFeatures

CARD = MetricCard(
    name="clipscore",
    title="CLIPScore",
    task="captioning",
    unit="score",
    low=0.0,
    high=2.5,
    source="Hessel et al. 2021, arXiv 2104.08718",
    shown=(),
)
KEYS = ("clipscore", "refclipscore")
SCORE_RAW = False  # not among the values of raw captions
NEEDS_IMAGES = True
W = 2.5  # stretches the cosines, which are seldom above .4 (section 3)


def score(
    candidates: list[str], references: list[list[str]], context: Context, images: Sequence[str] | None
) -> dict[str, Result]:
    """Means over items. `images`: key of each item's picture; None where there are none."""
    import numpy as np

    features = context.clip
    if (reason := _missing(features, context, images)) is not None:
        return {key: Result(None, len(candidates), "clipscore", reason=reason, excused=True) for key in KEYS}
    assert features is not None
    assert images is not None
    pairs = np.array(
        [_item(features, *one) for one in zip(candidates, references, images, strict=True)], dtype=np.float64
    )
    signature = f"clipscore|encoder:{features.encoder}|w:{W}|prompt:a-photo-depicts|image:squash"
    return {
        key: Result(float(items.mean()), len(items), signature, items=items)
        for key, items in zip(KEYS, pairs.T, strict=True)
    }


def _missing(features: "ClipFeatures | None", context: Context, images: Sequence[str] | None) -> str | None:
    if images is None:
        return "It needs the pictures, and there are none here."
    if features is None:
        return context.no_clip
    lost = sum(image not in features.images for image in images)
    return f"{lost} of {len(images)} pairs have no picture." if lost else None


def _item(features: "ClipFeatures", candidate: str, references: list[str], image: str) -> tuple[float, float]:
    """Both values of one item; a caption without a word scores 0."""
    if not candidate.strip():
        return 0.0, 0.0
    said = features.texts[candidate]
    picture = W * max(float(said @ features.images[image]), 0.0)
    text = max(max(float(said @ features.texts[one]) for one in references), 0.0)
    return picture, harmonic(picture, text)


def harmonic(one: float, other: float) -> float:
    """Harmonic mean of two numbers that are not negative; 0 where one of them is."""
    return 2 * one * other / (one + other) if one and other else 0.0
