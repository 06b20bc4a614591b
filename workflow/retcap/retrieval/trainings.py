"""The trainings of a configuration: every retriever once per seed, and how far the seeds move its scores.

An interval covers the choice of test queries. What another draw of initial weights, batches and dropout would give is a
question of its own, which only further trainings answer.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

SPREAD = ("retriever", "dataset", "metric", "trainings", "seeds", "mean", "standard_deviation", "lowest", "highest")


class Training(NamedTuple):
    """One training: of which retriever, with which seed."""

    retriever: str
    seed: int


def trainings(retrievers: Iterable[str], seeds: Sequence[int] | None, seed: int) -> dict[str, Training]:
    """Trainings by name. The first seed's has the name of its retriever, so that further seeds leave it as it is.

    >>> list(trainings(["small", "large"], [0, 7], 0))
    ['small', 'small-seed7', 'large', 'large-seed7']
    >>> trainings(["small"], None, 3)
    {'small': Training(retriever='small', seed=3)}
    """
    every = [seed] if seeds is None else seeds
    return {
        name if own == every[0] else f"{name}-seed{own}": Training(name, own) for name in retrievers for own in every
    }


def spread(results: Sequence[Mapping[str, Any]], made: Mapping[str, Training]) -> list[dict[str, Any]]:
    """Per retriever, data set and metric: mean, standard deviation (n - 1), lowest and highest of its trainings.

    One row also where there is one training: it has no standard deviation.
    """
    values: dict[tuple[str, str, str], list[float]] = {}
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for result in results:
        if result["system"] in made:
            training = made[result["system"]]
            for metric, entry in result["metrics"].items():
                if entry["value"] is not None:
                    key = (training.retriever, result["dataset"], metric)
                    values.setdefault(key, []).append(entry["value"])
                    seeds.setdefault(key, []).append(training.seed)
    return [
        {
            "retriever": key[0],
            "dataset": key[1],
            "metric": key[2],
            "trainings": len(found),
            "seeds": " ".join(map(str, seeds[key])),
            "mean": statistics.fmean(found),
            "standard_deviation": statistics.stdev(found) if len(found) > 1 else None,
            "lowest": min(found),
            "highest": max(found),
        }
        for key, found in values.items()
    ]
