"""Differences between captioning systems on the same items: gains over baselines, and which models can be told apart.

Both sides are always judged on the same pairs against the same references: beside a human caption these are the ones
without it. Whole images are resampled, because the captions of one image are not independent. Baselines take part in
differences but not in the family of tests between models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from retcap.analysis import stats
from retcap.captions.item_tables import HELD_OUT, table_and_statistic, values_column
from retcap.report import wording
from retcap.report.scores import BASELINES, HEADLINE, HEADLINES, System, by_headline, title

DRAWS = 1000  # enough for the signs of differences of this size (Efron & Tibshirani 1993, section 13.3)
ROUNDS = 10_000  # of the randomisation test: the smallest p is 1/10,001
ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """First minus second in one metric, on the items that both were judged on."""

    first: str
    second: str
    value: float | int | None
    low: float | int | None = None
    high: float | int | None = None

    @property
    def text(self) -> str:
        return wording.signed(self.value)

    @property
    def interval(self) -> str:
        return wording.interval(self.low, self.high)

    @property
    def verdict(self) -> str:
        """ "good" or "bad" when the interval leaves out zero, else nothing: a sign alone proves little."""
        if self.low is None or self.high is None:
            return ""
        return "good" if self.low > 0 else "bad" if self.high < 0 else ""


def sight_table(systems: Sequence[System], tables: Mapping[str, pd.DataFrame], seed: int = 0) -> dict[str, Any] | None:
    """Each model against every baseline, per metric; None without models or baselines. The human one stands apart."""
    models, against = _finished(systems)
    against = [baseline for baseline in against if not baseline.stands_apart]
    keys = [key for key in HEADLINES if any(b.value(key) is not None for b in against)]
    if not models or not keys:
        return None
    compare = _comparer(tables, seed)
    blocks = {
        baseline.name: {model.name: {key: compare(model, baseline, key) for key in keys} for model in models}
        for baseline in against
    }
    return {
        "metrics": [title(key) for key in keys],
        "blocks": blocks,
        "explanations": {one.name: one.explanation for one in against},
    }


def human_table(systems: Sequence[System], tables: Mapping[str, pd.DataFrame], seed: int = 0) -> dict[str, Any] | None:
    """Every system beside the human one, all on the references without the one that is held out; None without a human.

    Rows: the human one, models by the headline metric, other baselines; a cell has the score and the difference.
    """
    models, baselines = _finished(systems)
    human = next((system for system in baselines if system.stands_apart), None)
    if human is None:
        return None
    keys, compare = [key for key in HEADLINES if human.held_out(key) is not None], _comparer(tables, seed)
    models.sort(key=lambda system: -(system.held_out(HEADLINE) or 0.0))

    def cells(system: System) -> list[dict[str, Any]]:
        differences = {key: None if system is human else compare(system, human, key, HELD_OUT) for key in keys}
        return [
            {"value": system.held_out(key), "text": wording.number(system.held_out(key)), "difference": difference}
            for key, difference in differences.items()
        ]

    order = [human, *models, *(system for system in baselines if system is not human)]
    return {
        "metrics": {key: title(key) for key in keys},
        "rows": [{"system": system, "cells": dict(zip(keys, cells(system), strict=True))} for system in order],
        "draws": human.record["held_out"]["draws"],
        "pairs": human.record["held_out"]["num_samples"],
        "alone": (human.record.get("counts") or {}).get("excluded", 0),
    }


def model_tests(systems: Sequence[System], tables: Mapping[str, pd.DataFrame], seed: int = 0) -> dict[str, Any] | None:
    """All pairs of models in the headline metric: difference, p, Holm's p, and letters; None below two models.

    Models with a common letter are not told apart. p: approximate randomisation, captions swapped image by image.
    """
    models = [m for m in _finished(systems)[0] if m.value(HEADLINE) is not None and HEADLINE in tables.get(m.name, ())]
    if len(models) < 2:
        return None
    compare, pairs = _comparer(tables, seed), list(combinations(range(len(models)), 2))
    differences = [compare(models[i], models[j], HEADLINE) for i, j in pairs]
    raw = [_p_value(models[i], models[j], tables, np.random.default_rng(seed)) for i, j in pairs]
    adjusted = stats.holm(raw)
    separated = np.zeros((len(models), len(models)), dtype=bool)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        separated[i, j] = separated[j, i] = p < ALPHA
    names = [model.name for model in models]
    rows = [
        {"difference": difference, "p": wording.p_value(p), "adjusted": wording.p_value(q), "holds": q < ALPHA}
        for difference, p, q in zip(differences, raw, adjusted, strict=True)
    ]
    letters = dict(zip(names, stats.letters(separated), strict=True))
    return {"metric": title(HEADLINE), "rows": rows, "letters": letters, "rounds": ROUNDS, "alpha": ALPHA}


def _finished(systems: Sequence[System]) -> tuple[list[System], list[System]]:
    baselines = [system for system in systems if system.baseline and not system.failed]
    order = list(BASELINES)
    baselines.sort(key=lambda b: order.index(b.name) if b.name in order else len(order))
    return by_headline([system for system in systems if not system.baseline]), baselines


def _comparer(tables: Mapping[str, pd.DataFrame], seed: int) -> Callable[..., Difference]:
    drawn: dict[int, np.ndarray] = {}  # one set of draws per number of images: differences stay paired

    def compare(first: System, second: System, key: str, mark: str = "") -> Difference:
        one, other = (system.held_out(key) if mark else system.value(key) for system in (first, second))
        if one is None or other is None:
            return Difference(first.name, second.name, None)
        paired = _paired(first, second, key, tables, mark)
        if paired is None:
            return Difference(first.name, second.name, one - other)
        a, b, statistic, codes, count = paired
        if count not in drawn:
            drawn[count] = stats.draw_weights(count, DRAWS, np.random.default_rng(seed))
        found = stats.paired_difference(a, b, codes, drawn[count], statistic)
        bounds = (None, None) if np.isnan(found.low) else (found.low, found.high)
        return Difference(first.name, second.name, found.value, *bounds)

    return compare


def _paired(
    first: System, second: System, key: str, tables: Mapping[str, pd.DataFrame], mark: str = ""
) -> tuple | None:
    """Rows to resample of both systems on their common items, in one order; None where the item scores are missing.

    `mark`: HELD_OUT for the values without the held-out reference.
    """
    if first.name not in tables or second.name not in tables:
        return None
    one, other = (tables[system.name].set_index("item_id", drop=False) for system in (first, second))
    column = values_column(one, f"{key}{mark}")
    if column is None or column not in other or "image" not in one:
        return None
    if mark:  # a pair with a single reference has no such values
        one, other = (table[table[column].notna()] for table in (one, other))
    common = one.index.intersection(other.index, sort=True)
    plugin, held_out = first.detail(key).get("metric") or "", bool(mark)
    a, statistic = table_and_statistic(one.loc[common], key, plugin, held_out=held_out)
    b, _ = table_and_statistic(other.loc[common], key, plugin, held_out=held_out)
    codes, count = stats.cluster_codes(one.loc[common, "image"])
    return (a, b, statistic, codes, count) if count else None


def _p_value(first: System, second: System, tables: Mapping[str, pd.DataFrame], rng: np.random.Generator) -> float:
    paired = _paired(first, second, HEADLINE, tables)
    if paired is None:
        return 1.0  # nothing in common to compare on: nothing is claimed
    a, b, statistic, codes, _ = paired
    return stats.randomisation_p(a, b, codes, ROUNDS, rng, statistic)
