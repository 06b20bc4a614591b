"""Image policies: what is done to a panorama's aspect ratio before a model's own processor sees it.

Every captioner has those of SHARED. One of whose processor more must be set has a `prepare` of its own, and
`IMAGE_POLICIES` with its own words for what a policy does. Images are height x width x 3 arrays of uint8.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retcap.captioning import views

if TYPE_CHECKING:  # captioner plugins import this module while the Snakefile is read, where numpy is too heavy
    import numpy as np

SHARED = {
    "letterbox": "padded to a square with the mean colour, then the native resize: the whole panorama at half height",
    "squash": "stretched to a square with the same number of pixels, then native: twice too narrow",
    "views": "four perspective views of 90 degrees each (ahead, right, behind, left) in a square, then native",
}


def words(captioner: Any) -> dict[str, str]:
    """What each image policy of a captioner plugin does to a panorama, in words; `native` first."""
    return {"native": captioner.CARD.image_policy, **SHARED, **getattr(captioner, "IMAGE_POLICIES", {})}


def prepared(captioner: Any, processor: Any, policy: str) -> "Callable[[np.ndarray], np.ndarray]":
    """Set the processor for an image policy; returns the pixel operation that goes before it.

    ValueError for a policy that the captioner does not have.
    """
    known = words(captioner)
    if policy not in known:
        raise ValueError(f"{captioner.CARD.name} has no image policy {policy!r}. It has: {', '.join(known)}.")
    return getattr(captioner, "prepare", pixels)(processor, policy)


def pixels(processor: Any, policy: str) -> "Callable[[np.ndarray], np.ndarray]":
    """The pixel operation of a shared policy; the native one leaves everything to the processor."""
    if policy == "letterbox":
        fill = mean_colour(processor)
        return lambda image: letterbox(image, fill)
    return {"squash": squash, "views": views.mosaic}.get(policy, keep)


def keep(image: "np.ndarray") -> "np.ndarray":
    """The image as it is."""
    return image


def letterbox(image: "np.ndarray", fill: tuple[int, int, int]) -> "np.ndarray":
    """The image centred on a square of its longer side; `fill` is the colour of the bars.

    >>> import numpy as np
    >>> letterbox(np.full((2, 4, 3), 9, np.uint8), (1, 1, 1))[:, 0, 0].tolist()
    [1, 9, 9, 1]
    """
    import numpy as np

    height, width, _ = image.shape
    side = max(height, width)
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = fill
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def squash(image: "np.ndarray") -> "np.ndarray":
    """The whole image stretched to a square of about the same number of pixels (bicubic).

    >>> import numpy as np
    >>> squash(np.zeros((8, 18, 3), np.uint8)).shape
    (12, 12, 3)
    """
    import numpy as np
    from PIL import Image

    height, width, _ = image.shape
    side = round((height * width) ** 0.5)
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def mean_colour(processor) -> tuple[int, int, int]:
    """The colour that the processor's normalisation maps to about zero; bars of it carry no signal."""
    return tuple(round(255 * value) for value in processor.image_processor.image_mean)


SQUASHED_ANYWAY = {  # words for `IMAGE_POLICIES` of a model whose own processor squashes
    "letterbox": "padded to a square with the mean colour, then resized: the whole panorama at half height",
    "squash": "the same as native: the model squashes by itself",
}


def squashed_anyway(processor, policy: str):
    """`prepare` of such a model: `squash` leaves the squashing to the processor, once instead of twice."""
    return pixels(processor, "native" if policy == "squash" else policy)
