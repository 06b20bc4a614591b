"""Perspective views of a panorama: what a camera in its middle would see, without the bent lines of the 2:1 picture.

A pixel (x, y) of a view, both from -1 to 1, right and down, looks along the ray (x t, y t, 1), with t the tangent of
half the field of view, turned by the view's yaw. On the sphere that ray meets

    longitude = yaw + atan(x t)        latitude = -atan(y t / sqrt(1 + (x t)^2))

and an equirectangular picture of W x H pixels has it at column (longitude / 2 pi + 1/2) W and row
(1/2 - latitude / pi) H: the gnomonic projection (Snyder 1987, Map Projections, section 22, with the centre on the
equator). The picture's middle is yaw 0.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # captioner plugins import this package while the Snakefile is read, where numpy is too heavy
    import numpy as np

YAWS_DEG = (0, 90, 180, 270)  # ahead, right, behind, left: with 90 degrees each, the whole horizon once
FIELD_OF_VIEW_DEG = 90.0


def mosaic(image: "np.ndarray") -> "np.ndarray":
    """Four views in one square of about as many pixels as the panorama: ahead and right above, behind and left below.

    >>> import numpy as np
    >>> mosaic(np.zeros((8, 18, 3), np.uint8)).shape
    (12, 12, 3)
    """
    import numpy as np

    height, width, _ = image.shape
    side = max(1, round((height * width) ** 0.5 / 2))
    ahead, right, behind, left = (view(image, yaw, side) for yaw in YAWS_DEG)
    return np.vstack([np.hstack([ahead, right]), np.hstack([behind, left])])


def view(image: "np.ndarray", yaw_deg: float, side: int, fov_deg: float = FIELD_OF_VIEW_DEG) -> "np.ndarray":
    """One square view of side x side pixels, bilinear; columns go on around the panorama, rows end at its edges."""
    import numpy as np

    height, width, _ = image.shape
    column, row = _places(height, width, yaw_deg, side, fov_deg)
    left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    across, down = (column - left)[..., None], (row - top)[..., None]
    columns = left % width, (left + 1) % width
    rows = np.clip(top, 0, height - 1), np.clip(top + 1, 0, height - 1)
    above = image[rows[0], columns[0]] * (1 - across) + image[rows[0], columns[1]] * across
    below = image[rows[1], columns[0]] * (1 - across) + image[rows[1], columns[1]] * across
    return np.rint(above * (1 - down) + below * down).astype(np.uint8)


@lru_cache(maxsize=8)
def _places(height: int, width: int, yaw_deg: float, side: int, fov_deg: float):
    """Column and row of the panorama at the centre of every pixel of a view, pixel centres at whole numbers."""
    import numpy as np

    ends = (2 * np.arange(side) + 1) / side - 1  # -1 to 1, at pixel centres
    x, y = np.meshgrid(ends, ends)
    reach = np.tan(np.radians(fov_deg) / 2)
    longitude = np.radians(yaw_deg) + np.arctan(x * reach)
    latitude = -np.arctan(y * reach / np.hypot(1, x * reach))
    return (longitude / (2 * np.pi) + 0.5) * width - 0.5, (0.5 - latitude / np.pi) * height - 0.5


def roll(image: "np.ndarray", yaw_deg: float) -> "np.ndarray":
    """The panorama of a camera that was turned to the right by an angle: what was at that angle is in the middle.

    >>> import numpy as np
    >>> roll(np.arange(8, dtype=np.uint8).reshape(1, 8, 1), 90).ravel().tolist()
    [2, 3, 4, 5, 6, 7, 0, 1]
    """
    import numpy as np

    return np.roll(image, -round(image.shape[1] * yaw_deg / 360), axis=1)
