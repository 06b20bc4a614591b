"""Few-shot probes, and how many labelled images per class zero-shot classification is worth.

k images per class are drawn for every seed, those of a smaller k among those of a larger one, and a probe is fitted at
one fixed C: with one image per class there is nothing to choose it on, and a large validation split holds labels that a
few-shot learner does not have. The worth of zero-shot is where its accuracy crosses the mean curve, by linear
interpolation over log2 k, as in Radford et al. 2021.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16

from retcap.analysis.bootstrap import cluster_sums, resample

BELOW, BEYOND = 0.0, np.inf  # crossings outside of the curve: before its first point, after its last


class Crossing(NamedTuple):
    """Labelled images per class that zero-shot is worth, with bounds; BELOW and BEYOND where the curve ends before."""

    value: float
    low: float
    high: float


def draw(labels: Int[np.ndarray, " N"], classes: int, k: int, rng: np.random.Generator) -> Int[np.ndarray, " M"]:
    """Places of k items of each class; the same generator state gives nested draws for growing k.

    ValueError where a class has fewer items.
    """
    order = rng.permutation(len(labels))
    counts = np.bincount(labels, minlength=classes)
    if (counts < k).any():
        short = int(np.flatnonzero(counts < k)[0])
        raise ValueError(f"Class {short} has {counts[short]} training images, fewer than the {k} to draw.")
    return np.sort(np.concatenate([order[labels[order] == label][:k] for label in range(classes)]))


def possible(labels: Int[np.ndarray, " N"], classes: int, ks: Sequence[int]) -> list[int]:
    """The k for which every class has enough items."""
    fewest = int(np.bincount(labels, minlength=classes).min()) if len(labels) else 0
    return [k for k in sorted(ks) if k <= fewest]


def crossing(ks: Sequence[int], curve: Sequence[float] | Float[np.ndarray, " K"], level: float) -> float:
    """Smallest k, interpolated, at which the curve reaches the level.

    >>> crossing([1, 2, 4], [0.2, 0.4, 0.6], level=0.5)  # half-way between 2 and 4 on a logarithmic axis
    2.8284271247461903
    >>> crossing([1, 2], [0.2, 0.4], level=0.1), crossing([1, 2], [0.2, 0.4], level=0.5)
    (0.0, inf)
    """
    if level < curve[0]:
        return BELOW
    for (k, reached), (next_k, following) in pairwise(zip(ks, curve, strict=True)):
        if reached == level:
            return float(k)
        if reached < level <= following:
            share = (level - reached) / (following - reached)
            return float(2 ** (np.log2(k) + share * (np.log2(next_k) - np.log2(k))))
    return float(ks[-1]) if curve[-1] == level else BEYOND


class Curve(NamedTuple):
    """Accuracy at every k, mean over the draws of training images, and the same in every resample."""

    value: Float[np.ndarray, " K"]
    resampled: Float[np.ndarray, "R K"]

    def bounds(self, level: float = 0.95) -> Float[np.ndarray, "2 K"]:
        """Percentile interval at every k: over test items, and over the draws of training images."""
        tail = (1 - level) / 2
        return np.quantile(self.resampled, [tail, 1 - tail], axis=0)


def curve(
    hits: Bool[np.ndarray, "S K N"],
    codes: Int[np.ndarray, " N"],
    weights: UInt16[np.ndarray, "R G"],
    rng: np.random.Generator,
) -> Curve:
    """The mean curve over S draws of training images; each resample takes S of the draws as well, with replacement."""
    draws, ks, _ = hits.shape
    whole, drawn = _shares(hits.reshape(draws * ks, -1), codes, weights)
    picked = rng.integers(draws, size=(len(drawn), draws))
    parts = np.take_along_axis(drawn.reshape(-1, draws, ks), picked[:, :, None], axis=1)
    return Curve(whole.reshape(draws, ks).mean(axis=0), parts.mean(axis=1))


def crossing_interval(
    ks: Sequence[int],
    found: Curve,
    level_hits: Bool[np.ndarray, " N"],
    codes: Int[np.ndarray, " N"],
    weights: UInt16[np.ndarray, "R G"],
    level: float = 0.95,
) -> Crossing:
    """Where the curve reaches another classifier's accuracy; `weights` are those that the curve was resampled with.

    The bounds are values of the resamples themselves, never between two: BELOW and BEYOND have no mean.
    """
    whole, drawn = _shares(level_hits[None], codes, weights)
    value = crossing(ks, found.value, float(whole[0]))
    each = sorted(crossing(ks, row, float(reached)) for row, reached in zip(found.resampled, drawn[:, 0], strict=True))
    tail = (1 - level) / 2
    low, high = (each[round(share * (len(each) - 1))] for share in (tail, 1 - tail))
    return Crossing(value, low, high)


def _shares(
    hits: Bool[np.ndarray, "M N"], codes: Int[np.ndarray, " N"], weights: UInt16[np.ndarray, "R G"]
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, "R M"]]:
    """Share of hits in every row, of all items and in every resample."""
    sums = cluster_sums(np.vstack([hits, np.ones((1, len(codes)), bool)]).T.astype(np.float64), codes, weights.shape[1])
    whole, drawn = sums.sum(axis=0), resample(sums, weights)
    return whole[:-1] / whole[-1], drawn[:, :-1] / drawn[:, -1:]
