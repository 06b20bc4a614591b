"""Grey pictures with more than 8 bits per pixel as 8-bit ones; Pillow's own conversion clips nearly all to white.

Which value is white follows from the file's format, never from the values: a dark picture stays dark.

    I;16   16-bit integers (PNG, TIFF, JPEG 2000): 65,535 is white
    I      16 bits in PNG and PGM; elsewhere integers of 32 bits, and no convention says which is white
    F      32-bit floats: 1.0 is white, as every common writer has it; for another range there is no convention
"""

import numpy as np
from PIL import Image

WHITE_16 = 65_535
SIXTEEN_IN_32 = ("PNG", "PPM")  # formats whose 16-bit pixels Pillow keeps in mode I
STRIP_PX = 4_000_000  # converted at a time: a whole panorama as floats would take gigabytes
REMEDY = "Nothing says which value is white. Save the picture with 8 or 16 bits per channel"


class UnknownScale(ValueError):
    """Nothing says which pixel value is white."""


def to_8_bits(image: Image.Image) -> Image.Image:
    """The picture in mode L; one of 8 bits per channel comes back as it is. UnknownScale where white is undefined."""
    if not image.mode.startswith(("I", "F")):
        return image
    white = _white(image)
    result = Image.new("L", image.size)
    rows = max(1, STRIP_PX // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        values = np.asarray(image.crop(box)).astype(np.float64)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= white):  # NaN too
            raise UnknownScale(f"pixel values from {low:g} to {high:g} instead of 0 to {white:g}. {REMEDY}")
        result.paste(Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8)), box)
    return result


def _white(image: Image.Image) -> float:
    if image.mode == "F":
        return 1.0
    if image.mode == "I" and image.format not in SIXTEEN_IN_32:
        raise UnknownScale(f"integers of 32 bits. {REMEDY}")
    return WHITE_16
