"""Pixel operations that change a panorama's aspect ratio before a model's own processor sees it.

Images are height x width x 3 arrays of uint8. `keep` is the native policy: the processor decides alone.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # captioner plugins import this module while the Snakefile is read, where numpy is too heavy
    import numpy as np


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
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def mean_colour(processor) -> tuple[int, int, int]:
    """The colour that the processor's normalisation maps to about zero; bars of it carry no signal."""
    return tuple(round(255 * value) for value in processor.image_processor.image_mean)


def check(policy: str, known: dict[str, str], captioner: str) -> None:
    """Raise unless the captioner declares the policy."""
    if policy not in known:
        raise ValueError(f"{captioner} has no image policy {policy!r}. It has: {', '.join(known)}.")
