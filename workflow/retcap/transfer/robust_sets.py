"""Robustness of all encoders on one set: one line per shift over all classifiers that learned from its labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap
from retcap.transfer import results, robustness, scoring


class Judged(NamedTuple):
    """One encoder's places on a set, and what `score_transfer` says of its classifiers."""

    places: pd.DataFrame
    about: Mapping[str, Any]


def robust(judged: Mapping[str, Judged], draws: int, seed: int) -> dict[str, Any]:
    """By shift: the line, and for every classifier of every encoder its accuracies and effective robustness.

    Pictures of the base and of the shift are resampled together where they are versions of one another.
    """
    evaluations = list(dict.fromkeys(name for own in judged.values() for name in own.places["evaluation"].unique()))
    shifts = [name for name in evaluations if name != scoring.TEST and not name.startswith(f"{scoring.TEST} of ")]
    found = {}
    for shift in shifts:
        base = scoring.base_of(shift) if scoring.base_of(shift) in evaluations else scoring.TEST
        found[shift] = _shift(judged, base, shift, draws, seed)
    return found


def _shift(judged: Mapping[str, Judged], base: str, shift: str, draws: int, seed: int) -> dict[str, Any]:
    names: list[tuple[str, str]] = []
    hits: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for encoder, own in judged.items():
        parts = [results.part(own.places, name, draws, seed) for name in (base, shift)]
        columns = classifiers(own)
        for name in columns:
            names.append((encoder, name))
            for kept, part in zip(hits, parts, strict=True):
                kept.append(share(part.places, columns[name]))
    first = [results.part(next(iter(judged.values())).places, name, draws, seed) for name in (base, shift)]
    paired = set(first[0].places["group"]) == set(first[1].places["group"])
    weights = [part.weights for part in first]
    if not paired:
        rng = np.random.default_rng([seed, 6])
        weights[1] = bootstrap.draw_weights(weights[1].shape[1], draws, rng)
    items = weights[0][:, first[0].codes], weights[1][:, first[1].codes]
    learned = np.array([name == scoring.PROBE or name.endswith("-shot") for _, name in names])
    rows, line = robustness.effective(np.stack(hits[0]), np.stack(hits[1]), learned, items)
    return {
        "base": base,
        "n": len(first[1].places),
        "n_base": len(first[0].places),
        "paired": paired,
        "line": None if line is None else line._asdict(),
        "references": int(learned.sum()),
        "classifiers": [
            {"encoder": encoder, "classifier": name, "learned": bool(own), **row._asdict()}
            for (encoder, name), own, row in zip(names, learned, rows, strict=True)
        ],
    }


def classifiers(own: Judged) -> dict[str, list[str]]:
    """Name of every classifier with its columns: a few-shot probe has one per draw of its training images."""
    found = {name: [name] for name in results.single(list(own.places.columns))}
    few = own.about.get("few_shot") or {}
    for k in few.get("shots", []):
        found[f"{k}-shot"] = [results.SHOTS[1].format(k=k, draw=draw + 1) for draw in range(few["draws"])]
    return found


def share(places: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Share of the columns that are hits, for every picture."""
    return (places[list(columns)] == 0).to_numpy().mean(axis=1)
