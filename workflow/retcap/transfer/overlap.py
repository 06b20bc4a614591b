"""Does an evaluation set hold pictures that were trained on? Near duplicates, and what they add to the accuracy.

A test picture overlaps where its perceptual hash differs from that of some training picture in at most so many bits
(see `retcap.pictures.perceptual`), or where the cosine of their feature vectors reaches a bound. As in Radford et al.
2021, section 5, three numbers stand side by side: accuracy on all test pictures, on clean and on overlapping ones; "all
minus clean" is what the overlap may have added. Its interval resamples pictures.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16

from retcap.analysis import bootstrap
from retcap.analysis.bootstrap import Interval
from retcap.pictures import perceptual

BLOCK = 4096  # test pictures whose similarities are in memory at once


class Overlap(NamedTuple):
    """Accuracies; None where one part has no picture."""

    pictures: int
    overlapping: int
    all: float
    clean: float | None
    overlap: float | None
    gain: Interval | None  # all minus clean


def by_hash(train: np.ndarray, test: np.ndarray, bits: int) -> Bool[np.ndarray, " N"]:
    """Which test pictures have a near duplicate among the training pictures; flat ones, without a hash, have none."""
    found = perceptual.nearest(train[train != perceptual.NO_HASH], test, bits=bits) >= 0
    return found & (test != perceptual.NO_HASH)


def by_vector(train: Float[np.ndarray, "M E"], test: Float[np.ndarray, "N E"], cosine: float) -> Bool[np.ndarray, " N"]:
    """Which test pictures have a training picture whose unit vector is as near as `cosine`."""
    found = np.zeros(len(test), bool)
    for start in range(0, len(test), BLOCK):
        for first in range(0, len(train), BLOCK):
            near = test[start : start + BLOCK] @ train[first : first + BLOCK].T >= cosine
            found[start : start + BLOCK] |= near.any(axis=1)
    return found


def accuracies(
    hit: Bool[np.ndarray, " N"],
    overlaps: Bool[np.ndarray, " N"],
    codes: Int[np.ndarray, " N"],
    weights: UInt16[np.ndarray, "R G"],
) -> Overlap:
    """Accuracy of all, clean and overlapping pictures, and the interval of "all minus clean"."""
    own, clean = hit.astype(np.float64), ~overlaps
    clean_share, overlap_share = (float(own[part].mean()) if part.any() else None for part in (clean, overlaps))
    gain = None
    if clean.any() and overlaps.any():
        tables = bootstrap.mean_table(own), bootstrap.mean_table(np.where(clean, own, np.nan))
        gain = bootstrap.paired_difference(*tables, codes, weights)
    return Overlap(len(hit), int(overlaps.sum()), float(own.mean()), clean_share, overlap_share, gain)
