"""Ranks of systems with what is known of them: an interval from the bootstrap, and groups that no test tells apart."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Float

from retcap.analysis.corrections import ALPHA, letters
from retcap.records import Difference


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one system among those compared in one metric, best first; 1 is the best."""

    metric: str
    system: str
    value: float
    rank_low: int  # the ranks of 95 % of the bootstrap's draws lie from this one
    rank_high: int  # to this one
    group: str  # letters; systems that share one are indistinguishable at 5 %


def read(path: Path | None) -> list[Rank]:
    """The rows of a `ranks.csv`; none without a file."""
    if path is None:
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return msgspec.convert(list(csv.DictReader(file)), list[Rank], strict=False)


def rank(
    metric: str,
    values: Mapping[str, float],
    draws: Mapping[str, Float[np.ndarray, " R"]],
    tests: Sequence[Difference],
    *,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> list[Rank]:
    """Ranks of all systems that have a value, best first.

    `draws`: the value of each system in the same resamples. `tests`: the differences between all pairs of them with
    Holm's p; a pair without one is not told apart. A bare order of values would say more than is known.
    """
    sign = 1.0 if higher_is_better else -1.0
    names = sorted(values, key=lambda name: -sign * values[name])
    drawn, tail = sign * np.array([draws[name] for name in names]), (1 - level) / 2
    better = (drawn[None, :, :] > drawn[:, None, :]).sum(axis=1)  # of equal systems, each may be the first or the last
    worse = (drawn[None, :, :] < drawn[:, None, :]).sum(axis=1)
    lows = np.quantile(1 + better, tail, axis=1, method="lower").astype(int)
    highs = np.quantile(len(names) - worse, 1 - tail, axis=1, method="higher").astype(int)
    groups = letters(separated(names, tests))
    return [
        Rank(metric=metric, system=name, value=values[name], rank_low=int(low), rank_high=int(high), group=group)
        for name, low, high, group in zip(names, lows, highs, groups, strict=True)
    ]


def separated(names: Sequence[str], tests: Sequence[Difference]) -> Any:
    """Which of these systems a test tells apart: bool, systems x systems."""
    told = np.zeros((len(names), len(names)), dtype=bool)
    for one in tests:
        if one.first in names and one.second in names:
            at = names.index(one.first), names.index(one.second)
            told[at] = told[at[::-1]] = holds(one)
    return told


def holds(one: Difference) -> bool:
    """Whether a difference holds at 5 % after Holm's correction."""
    return one.p_holm is not None and one.p_holm < ALPHA
