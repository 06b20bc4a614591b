"""Which place the right answer takes: the table that every score of classification and retrieval is a mean of.

A place is 0 for the first. Competitors with an equal score stand before the right answer, so results depend on no
order of classes or items, and a model that says the same of everything scores 0, not by luck of the first place.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from retcap.analysis.bootstrap import Statistic


def places(scores: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Place of the right class of every item. ValueError where a score is not finite.

    >>> places(np.array([[0.1, 0.9, 0.3], [0.5, 0.5, 0.1]]), np.array([2, 0])).tolist()  # a tie counts against it
    [1, 1]
    """
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        raise ValueError(f"Item {row} has a score that is not finite. Check the checkpoint, or compute in fp32.")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    return (scores >= own).sum(axis=1) - 1  # without itself


def within(place: Int[np.ndarray, " N"], k: int) -> Bool[np.ndarray, " N"]:
    """Whether the right answer is among the first k."""
    return place < k


def by_class(hit: Bool[np.ndarray, " N"], labels: Int[np.ndarray, " N"], classes: int) -> Float[np.ndarray, "N W"]:
    """Columns (hits of class 0, 1, ..., items of class 0, 1, ...), as `mean_per_class` takes their sums."""
    table = np.zeros((len(hit), 2 * classes))
    rows = np.arange(len(hit))
    table[rows, labels] = hit
    table[rows, classes + labels] = 1
    return table


def mean_per_class(classes: int) -> Statistic:
    """Mean over the classes of the share of hits in each (torchvision's and DataComp's "mean per class").

    A class without an item is left out: in the whole set there is none, in a resample there may be.

    >>> table = by_class(np.array([True, False, True]), np.array([0, 0, 1]), classes=3)
    >>> float(mean_per_class(3)(table.sum(axis=0)))
    0.75
    """

    def statistic(sums: np.ndarray) -> np.ndarray:
        right, count = sums[..., :classes], sums[..., classes:]
        share = np.divide(right, count, out=np.zeros_like(right), where=count > 0)
        return np.asarray(share.sum(axis=-1) / (count > 0).sum(axis=-1))

    return statistic
