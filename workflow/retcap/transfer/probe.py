"""Linear probe: multinomial logistic regression on frozen features, fitted by L-BFGS (Radford et al. 2021, A.3).

C, the inverse strength of the L2 penalty, is chosen on a validation split: first on a coarse grid of every second power
of ten, then by halving the distance to both neighbours of the best, down to `per_decade` values per power of ten. The
last fit is on training and validation images together. Features are the projected image vectors at unit length; the
paper takes those before the projection, so its values of C belong to longer vectors.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from retcap.transfer import hits

COARSE = 2.0  # powers of ten between the values of the first grid
Progress = Callable[[float, float], None]  # C and its accuracy on the validation split


class Sweep(NamedTuple):
    """Accuracy on the validation split of every C tried, in the order tried, and the C taken."""

    tried: dict[float, float]
    best: float
    at_edge: bool  # a C outside of the range may be better


class Probe(NamedTuple):
    """Weights and intercepts of a fitted probe. A class without a training image has a score below all others."""

    weights: Float[np.ndarray, "C E"]
    intercepts: Float[np.ndarray, " C"]
    iterations: int
    converged: bool

    def scores(self, images: Float[np.ndarray, "N E"]) -> Float[np.ndarray, "N C"]:
        """Logits."""
        return images.astype(np.float64) @ self.weights.T + self.intercepts


def fit(
    images: Float[np.ndarray, "N E"],
    labels: Int[np.ndarray, " N"],
    classes: int,
    c: float,
    *,
    max_iterations: int = 1000,
    start: Probe | None = None,
) -> Probe:
    """scikit-learn's `LogisticRegression` in double precision. `start`: where L-BFGS begins, to save iterations."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    seen = np.unique(labels)
    if len(seen) < 2:
        raise ValueError(f"A probe needs images of two classes or more. Got {len(labels)} of {len(seen)}.")
    model: Any = LogisticRegression(C=c, solver="lbfgs", max_iter=max_iterations, warm_start=start is not None)
    if start is not None:
        model.classes_, model.coef_, model.intercept_ = seen, *_rows(start, seen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # counted, and said by the caller
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few images are meant
        model.fit(images.astype(np.float64), labels)
    return _probe(model, seen, classes, max_iterations)


def sweep(
    train: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    classes: int,
    *,
    low: float = 1e-6,
    high: float = 1e6,
    per_decade: int = 8,
    max_iterations: int = 1000,
    progress: Progress | None = None,
) -> Sweep:
    """Choose C between `low` and `high`; of equally good ones the smallest, which is the strongest penalty."""
    tried: dict[float, float] = {}
    before: Probe | None = None

    def accuracy(power: float) -> float:
        nonlocal before
        c = float(10.0**power)
        if c not in tried:
            before = fit(*train, classes, c, max_iterations=max_iterations, start=before)
            tried[c] = float((hits.places(before.scores(valid[0]), valid[1]) == 0).mean())
            if progress is not None:
                progress(c, tried[c])
        return tried[c]

    grid = powers(low, high)
    best = _best(grid, accuracy)
    step = COARSE
    while step > 1 / per_decade * (1 + 1e-9):
        step /= 2
        near = [power for power in (best - step, best, best + step) if grid[0] <= power <= grid[-1]]
        best = _best(near, accuracy)
    return Sweep(tried, float(10.0**best), best in (grid[0], grid[-1]))


def powers(low: float, high: float) -> list[float]:
    """Powers of ten of the coarse grid, both ends among them.

    >>> powers(1e-2, 1e3)
    [-2.0, 0.0, 2.0, 3.0]
    """
    first, last = np.log10(low), np.log10(high)
    return sorted({*(round(float(power), 6) for power in np.arange(first, last, COARSE)), round(float(last), 6)})


def _best(choices: list[float], accuracy: Callable[[float], float]) -> float:
    return max(sorted(choices), key=accuracy)  # `max` keeps the first of equals


def _rows(start: Probe, seen: Int[np.ndarray, " S"]) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts as scikit-learn keeps them: of two classes one row, their half difference doubled."""
    weights, intercepts = start.weights[seen], start.intercepts[seen]
    if len(seen) == 2:
        return weights[1:] - weights[:1], intercepts[1:] - intercepts[:1]
    return weights.copy(), intercepts.copy()


def _probe(model: Any, seen: Int[np.ndarray, " S"], classes: int, max_iterations: int) -> Probe:
    coefficients, offsets = model.coef_, model.intercept_
    if len(seen) == 2:  # one row for both
        coefficients, offsets = np.concatenate([-coefficients, coefficients]) / 2, np.array([-1, 1]) * offsets / 2
    weights = np.zeros((classes, coefficients.shape[1]))
    intercepts = np.full(classes, np.finfo(np.float64).min / 2)  # of classes that training has not seen
    weights[seen], intercepts[seen] = coefficients, offsets
    iterations = int(np.max(model.n_iter_))
    return Probe(weights, intercepts, iterations, iterations < max_iterations)


def split_validation(
    labels: Int[np.ndarray, " N"], share: float, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " T"], Int[np.ndarray, " V"]]:
    """Places of training and validation items, for a set without a validation split: `share` of every class, rounded.

    A class keeps one training item at least.
    """
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        chosen[rng.permutation(own)[: min(round(share * len(own)), len(own) - 1)]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
