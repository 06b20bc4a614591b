"""Which differences between systems hold? Interval, test and correction, in one place for all studies.

The interval is of a paired bootstrap, p of an approximate randomisation test; both draw or swap whole clusters. Holm's
correction runs over the pairs of a family: those of one data set, metric and kind of references that ask for it. Pairs
with a baseline do not, because nobody picks the best of them.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from jaxtyping import Float, Int

from retcap.analysis.bootstrap import (
    CHUNK,
    Span,
    Statistic,
    cluster_sums,
    draw_weights,
    mean,
    paired_difference,
    widened,
)
from retcap.analysis.corrections import holm
from retcap.records import Difference

ROUNDS = 10_000  # of the randomisation test: the smallest p is 1/10,001
ROUNDING = 1e-12  # relative; equal differences must count as equal although their sums ran in another order
Generators = Callable[[], np.random.Generator]  # one that goes on, or a new one each time


class Rows(NamedTuple):
    """What two systems scored on their common items, as `retcap.analysis.bootstrap` takes it."""

    first: Float[np.ndarray, "N C"]
    second: Float[np.ndarray, "N C"]
    codes: Int[np.ndarray, " N"]
    statistic: Statistic = mean
    values: Float[np.ndarray, " N"] | None = None  # differences of the items, where these are all there is to a mean
    span: Span = (-1.0, 1.0)  # in which they lie


class Pair(NamedTuple):
    """Two systems to compare in one metric."""

    about: Mapping[str, Any]  # dataset, first, second, metric, and references where there are several kinds
    n: int  # common items
    rows: Rows | None  # None where there is nothing to resample
    value: float | None = None  # the difference where there are no rows
    family: bool = False  # whether it is tested together with others, and p is adjusted for that


def compare(pairs: Iterable[Pair], generators: Generators, draws: int, rounds: int = ROUNDS) -> list[Difference]:
    """First minus second of every pair, with 95 % interval, p, and Holm's p over the pairs of each family.

    The pairs with as many clusters as one another share the bootstrap's draws. `generators` is called for these once,
    and for each test.
    """
    drawn: dict[int, np.ndarray] = {}
    found, families = [], {}
    for pair in pairs:
        one = _difference(pair, generators, draws, rounds, drawn)
        if pair.family and one.p is not None:
            families.setdefault((one.dataset, one.metric, one.references), []).append(len(found))
        found.append(one)
    for members in families.values():
        for at, adjusted in zip(members, holm([found[at].p for at in members]), strict=True):
            found[at] = msgspec.structs.replace(found[at], p_holm=float(adjusted))
    return found


def write(path: Path, found: Sequence[Difference]) -> None:
    """Write `differences.json`; a NaN is refused."""
    path.write_text(json.dumps(msgspec.to_builtins(found), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_table(path: Path, records: Sequence[msgspec.Struct]) -> None:
    """Write records of one kind as a CSV for spreadsheets: one column per field, what is not known empty."""
    fields = records[0].__struct_fields__ if records else ()
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(msgspec.structs.asdict(record) for record in records)


def _difference(
    pair: Pair, generators: Generators, draws: int, rounds: int, drawn: dict[int, np.ndarray]
) -> Difference:
    if pair.rows is None:
        empty = dict.fromkeys(("ci_low", "ci_high", "p", "p_holm"))
        return Difference(**pair.about, n=pair.n, clusters=0, difference=pair.value, **empty)
    first, second, codes, statistic, values, span = pair.rows
    count = int(codes.max()) + 1
    if count not in drawn:
        drawn[count] = draw_weights(count, draws, generators())
    gain = paired_difference(first, second, codes, drawn[count], statistic)
    if values is not None:
        gain = widened(gain, values, span)
    known = not np.isnan(gain.low)
    return Difference(
        **pair.about,
        n=pair.n,
        clusters=gain.clusters,
        difference=gain.value,
        ci_low=gain.low if known else None,
        ci_high=gain.high if known else None,
        p=randomisation_p(first, second, codes, rounds, generators(), statistic),
        p_holm=None,
    )


def randomisation_p(
    first: Float[np.ndarray, "N C"],
    second: Float[np.ndarray, "N C"],
    codes: Int[np.ndarray, " N"],
    rounds: int,
    rng: np.random.Generator,
    statistic: Statistic = mean,
) -> float:
    """Two-sided p of an approximate randomisation test: per cluster the two systems swap outputs with probability 1/2.

    p = (1 + rounds at least as extreme) / (1 + rounds)      (Noreen 1989; Riezler & Maxwell 2005)
    """
    count = int(codes.max()) + 1 if len(codes) else 0
    a, b = (cluster_sums(table, codes, count) for table in (first, second))
    total_a, total_b, gain = a.sum(axis=0), b.sum(axis=0), b - a
    seen = abs(float(statistic(total_a) - statistic(total_b)))
    scale = max(abs(float(statistic(total_a))), abs(float(statistic(total_b))), seen)
    extreme = 0
    for start in range(0, rounds, CHUNK):
        swapped = rng.integers(2, size=(min(CHUNK, rounds - start), count)).astype(np.float64) @ gain
        shuffled = np.abs(statistic(total_a + swapped) - statistic(total_b - swapped))
        extreme += int((shuffled >= seen - ROUNDING * scale).sum())
    return (1 + extreme) / (1 + rounds)
