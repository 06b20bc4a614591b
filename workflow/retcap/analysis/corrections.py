"""Many tests at once: adjusted p values, and letters for the systems that no test tells apart."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

ALPHA = 0.05  # an adjusted p below it tells two systems apart


def holm(p_values: Sequence[float] | Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
    """Step-down adjusted p values (Holm 1979): the i-th smallest of M times M - i, made monotone, at most 1.

    >>> [round(float(p), 3) for p in holm([0.01, 0.04, 0.03])]  # 0.01 * 3, then 0.03 * 2, then max(0.04 * 1, 0.06)
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p_values, dtype=np.float64)
    if np.isnan(raw).any() or (raw < 0).any() or (raw > 1).any():
        raise ValueError(f"p values lie between 0 and 1. Got {raw.tolist()} instead.")
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def letters(separated: Bool[np.ndarray, "M M"]) -> list[str]:
    """Compact letter display: two systems share a letter exactly when no test separates them.

    Insert and absorb (Piepho 2004). Give the systems in order, best first: `a` then marks the group of the best.

    >>> letters(np.array([[False, False, True], [False, False, False], [True, False, False]]))
    ['a', 'ab', 'b']
    """
    systems = len(separated)
    groups = [frozenset(range(systems))]
    for one, other in zip(*np.nonzero(np.triu(separated | separated.T, 1)), strict=True):
        split = [group - {gone} for group in groups if {one, other} <= group for gone in (one, other)]
        groups = [group for group in groups if not {one, other} <= group]
        for group in sorted(split, key=lambda members: (-len(members), sorted(members))):
            if not any(group <= kept for kept in groups):
                groups.append(group)
    names = [chr(ord("a") + index) for index in range(len(groups))]
    ordered = sorted(groups, key=sorted)
    members = [
        [name for name, group in zip(names, ordered, strict=True) if system in group] for system in range(systems)
    ]
    return ["".join(found) for found in members]
