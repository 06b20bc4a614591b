"""Near-duplicate pictures by difference hash: 64 bits that survive resizing, recompression and small changes of light.

dHash (Krawetz 2013): shrink to 9 x 8 grey pixels; bit = 1 where a pixel is darker than its right neighbour. Two
pictures are near duplicates when few bits differ (0 to 4 of 64 is usual). A flat picture has no bits at all and matches
every other flat one, so it gets no hash.
"""

import warnings
from pathlib import Path

import numpy as np

LARGEST_PIXELS = 2**27  # published passage pictures reach 51,200 px on a side; a decoder bomb is larger
NO_HASH = np.uint64(0)


def dhash(grey: np.ndarray) -> np.uint64:
    """Hash of a grey picture of shape (8, 9); 0 if it is flat.

    >>> int(dhash(np.tile(np.arange(9), (8, 1)))) == 2**64 - 1
    True
    """
    bits = grey[:, 1:] > grey[:, :-1]
    return np.packbits(bits).view(np.uint64)[0]


def dhash_file(path: Path) -> np.uint64 | None:
    """Hash of a picture file; None if it is missing, unreadable, too large or flat."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.width * picture.height > LARGEST_PIXELS:
                    return None
                picture.draft("L", (72, 64))  # JPEG decodes eight times smaller straight away
                grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError, Warning):
        return None
    found = dhash(grey)
    return None if found == NO_HASH else found


def near_pairs(first: np.ndarray, second: np.ndarray, *, bits: int, block: int = 1024) -> np.ndarray:
    """Index pairs (i, j) whose hashes differ in at most `bits` bits, int64 (n, 2), in order. Memory is one block."""
    found = []
    for start in range(0, len(first), block):
        different = np.bitwise_count(first[start : start + block, None] ^ second[None, :])
        found.append(np.argwhere(different <= bits) + np.array([start, 0]))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)
