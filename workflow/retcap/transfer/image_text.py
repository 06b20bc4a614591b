"""Image-text retrieval by counting: how many candidates score at least as well as the right one.

    image to text: place of the best of an image's own captions among all captions of others
    text to image: place of a caption's own picture among all pictures

R@k is the share of places below k: "at least one right among the first k", as CLIP-like papers and CLIP_benchmark have
it. No list is sorted, and no table of k times all candidates is made. Equal scores of others stand before the right
one: two images with one caption text cannot be told apart by it.
"""

import numpy as np
from jaxtyping import Float, Int

BLOCK_BYTES = 256 * 2**20  # of similarities in memory at once
# Equal vectors must have equal scores although a product of matrices sums in another order than one of vectors. Unit
# vectors of E numbers differ by at most E * 2.2e-16 in that way; different vectors in float32 by some 1e-8.
ROUNDING = 1e-12


def places(
    images: Float[np.ndarray, "N E"], texts: Float[np.ndarray, "M E"], owner: Int[np.ndarray, " M"]
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " M"]]:
    """(place of the best own caption per image, place of the own image per caption); `owner`: image of each caption.

    ValueError where an image has no caption, or a caption no image.
    """
    _check(len(images), len(texts), owner)
    pictures = images.astype(np.float64)
    own = np.einsum("me,me->m", texts, pictures[owner], dtype=np.float64)
    best = np.full(len(images), -np.inf)
    np.maximum.at(best, owner, own)
    image_places, text_places = np.zeros(len(images), np.int64), np.zeros(len(texts), np.int64)
    rows = max(1, BLOCK_BYTES // (8 * max(len(images), 1)))
    for start in range(0, len(texts), rows):
        here = slice(start, min(start + rows, len(texts)))
        scores = texts[here].astype(np.float64) @ pictures.T + ROUNDING
        scores[np.arange(len(scores)), owner[here]] = -np.inf  # what is right competes with nothing that is
        text_places[here] = (scores >= own[here, None]).sum(axis=1)
        image_places += (scores >= best).sum(axis=0)
    return image_places, text_places


def _check(images: int, texts: int, owner: Int[np.ndarray, " M"]) -> None:
    if len(owner) != texts:
        raise ValueError(f"{texts} captions but owners of {len(owner)}.")
    if len(owner) and (owner.min() < 0 or owner.max() >= images):
        raise ValueError(f"A caption names image {int(owner.max())}, and there are {images} images.")
    without = np.flatnonzero(np.bincount(owner, minlength=images) == 0)
    if len(without):
        raise ValueError(f"{len(without)} of {images} images have no caption, the first is image {without[0]}.")
