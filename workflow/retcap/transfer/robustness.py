"""Accuracy under distribution shift, and effective robustness: how far a classifier stands above what its accuracy on
the base set would let one expect (Taori et al. 2020, section 3; Radford et al. 2021, section 3.3).

    expected(a) = logistic( s + t logit(a) ),  s and t by least squares over the reference classifiers
    effective robustness = accuracy under shift - expected(accuracy on the base set)

The reference classifiers are those that learned from labels of the base set. Its interval resamples images and fits the
line again each time, so it holds what the images leave open, not what other reference classifiers would change.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt16

LEAST = 3  # reference classifiers: any two points lie on a line


class Line(NamedTuple):
    """In logit space: intercept and slope."""

    intercept: float
    slope: float


def logit(share: Float[np.ndarray, "*N"], n: int) -> Float[np.ndarray, "*N"]:
    """Log odds of a share of n, half an item away from 0 and 1 at least, where there would be none.

    >>> logit(np.array([0.5, 1.0]), n=4).round(3).tolist()  # 1.0 counts as 3.5 of 4
    [0.0, 1.946]
    """
    inside = np.clip(share, 0.5 / n, 1 - 0.5 / n)
    return np.log(inside / (1 - inside))


def logistic(value: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
    """The inverse of the logit."""
    return 1 / (1 + np.exp(-value))


def fitted(
    base: Float[np.ndarray, "R M"], shifted: Float[np.ndarray, "R M"], n_base: int, n_shifted: int
) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " R"]]:
    """Intercept and slope of the line of each row. NaN where all M classifiers have one accuracy on the base set."""
    x, y = logit(base, n_base), logit(shifted, n_shifted)
    x_mean, y_mean = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    spread = ((x - x_mean) ** 2).sum(axis=1)
    covariance = ((x - x_mean) * (y - y_mean)).sum(axis=1)
    slope = np.divide(covariance, spread, out=np.full_like(spread, np.nan), where=spread > 1e-12)
    return y_mean[:, 0] - slope * x_mean[:, 0], slope


class Shifted(NamedTuple):
    """A classifier under one shift: accuracies, effective robustness and its bounds (None where no line is fitted)."""

    base: float
    shifted: float
    expected: float | None
    effective: float | None
    low: float | None
    high: float | None


def effective(
    base: Float[np.ndarray, "M N"],
    shifted: Float[np.ndarray, "M K"],
    reference: Bool[np.ndarray, " M"],
    weights: tuple[UInt16[np.ndarray, "R N"], UInt16[np.ndarray, "R K"]],
    level: float = 0.95,
) -> tuple[list[Shifted], Line | None]:
    """Of every classifier, from its hits on the base set and under the shift (shares, where seeds were averaged).

    `weights`: how often each item is drawn in each resample; the same for both where the pictures are paired.
    """
    n_base, n_shifted = base.shape[1], shifted.shape[1]
    points = base.mean(axis=1), shifted.mean(axis=1)
    if reference.sum() < LEAST:
        return [Shifted(float(a), float(b), None, None, None, None) for a, b in zip(*points, strict=True)], None
    drawn = _shares(base, weights[0]), _shares(shifted, weights[1])
    stacked = [np.concatenate([point[None], draws]) for point, draws in zip(points, drawn, strict=True)]
    intercept, slope = fitted(stacked[0][:, reference], stacked[1][:, reference], n_base, n_shifted)
    if np.isnan(slope[0]):
        return [Shifted(float(a), float(b), None, None, None, None) for a, b in zip(*points, strict=True)], None
    expected = logistic(intercept[:, None] + slope[:, None] * logit(stacked[0], n_base))
    gain = stacked[1] - expected
    tail = (1 - level) / 2
    low, high = np.nanquantile(gain[1:], [tail, 1 - tail], axis=0)
    rows = zip(*points, expected[0], gain[0], low, high, strict=True)
    return [Shifted(*map(float, row)) for row in rows], Line(float(intercept[0]), float(slope[0]))


def _shares(hits: Float[np.ndarray, "M N"], weights: UInt16[np.ndarray, "R N"]) -> Float[np.ndarray, "R M"]:
    totals = weights.sum(axis=1, dtype=np.float64)[:, None]
    parts = [weights[start : start + 256].astype(np.float64) @ hits.T for start in range(0, len(weights), 256)]
    return np.concatenate(parts) / totals
