"""Perceptual hashes of the pictures that a backbone was trained on, to find them again in what it is judged on.

trained_on.npy      one hash per distinct picture that can be read, uint64; NO_HASH for a flat one
"""

import csv
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from retcap.features.encoders import Encoder
from retcap.pictures import perceptual, pixels

log = logging.getLogger(__name__)
FILE = "trained_on.npy"
COLUMN = "filepath"


def write(folder: Path, pairs: Path, encoder: Encoder, *, threads: int) -> int:
    """Hash the pictures that a CSV names, resized as the encoder takes them; gives how many could be read.

    Paths start from the CSV's folder. ValueError without the column, or where no picture can be read.
    """
    with open(pairs, encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        if COLUMN not in (rows.fieldnames or ()):
            raise ValueError(f"{pairs} has no column `{COLUMN}` (found: {', '.join(rows.fieldnames or ()) or 'none'}).")
        files = list(dict.fromkeys(row[COLUMN] for row in rows))
    mode: Any = encoder.resize
    resize = pixels.Resize(mode, encoder.side_px, encoder.side_px)
    with ThreadPoolExecutor(threads) as pool:
        hashes = list(pool.map(partial(_hash, folder=pairs.parent, resize=resize), files))
    read = [one for one in hashes if one is not None]
    if not read:
        raise ValueError(f"{pairs}: none of {len(files)} pictures can be read. Paths start from its folder.")
    if len(read) < len(files):
        log.warning("%s: %d of %d pictures cannot be read", pairs, len(files) - len(read), len(files))
    np.save(folder / FILE, np.array(read, np.uint64))
    return len(read)


def _hash(file: str, folder: Path, resize: pixels.Resize) -> int | None:
    try:
        return int(perceptual.phash_picture(pixels.decode((folder / file).read_bytes(), resize)[0]))
    except (OSError, pixels.BadImage):
        return None
