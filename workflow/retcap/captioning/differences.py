"""Differences between captioning systems on the same pairs: gains over baselines, and which models can be told apart.

Both sides are always judged against the same references: beside a human caption these are the ones without it. Whole
images are drawn, because the captions of one image are not independent.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap
from retcap.analysis.compare import Pair, Rows, compare
from retcap.captions.item_tables import HELD_OUT, table_and_statistic, values_column
from retcap.metric_titles import HEADLINE, short_keys
from retcap.records import Difference

Entries = Mapping[str, Mapping[str, Any]]  # system -> content of its metrics file


def read_tables(summary: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The item tables of all systems that were scored. `paths`: of every system."""
    return {name: pd.read_parquet(paths[name]) for part in ("models", "baselines") for name in _done(summary[part])}


def differences(
    summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], dataset: str, *, draws: int, seed: int
) -> list[Difference]:
    """Of all systems that were scored, in the metrics of the short tables, in the units of those.

    Models in pairs, the better one by the headline metric first: the family of Holm's correction. Then every model
    minus every baseline, and last every system minus the human one on the references that are not held out.
    """
    models, baselines = _done(summary["models"]), _done(summary["baselines"])
    best_first = sorted(models, key=lambda name: -(models[name]["metrics"][HEADLINE] or 0.0))
    humans = [name for name, entry in baselines.items() if entry["references"] != "all"]
    others = [name for name in baselines if name not in humans]
    asked = [
        ("all", list(combinations(best_first, 2)), True),
        ("all", [(model, baseline) for baseline in others for model in best_first], False),
        ("held out", [(name, human) for human in humans for name in (*best_first, *others)], False),
    ]
    pairs = (
        pair
        for references, places, family in asked
        for pair in _pairs(models | baselines, tables, places, dataset, references, family)
    )
    return compare(pairs, lambda: np.random.default_rng(seed), draws)


def _done(entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {entry["model_name"]: entry for entry in entries if entry["status"] == "completed"}


def _pairs(
    entries: Entries,
    tables: Mapping[str, pd.DataFrame],
    places: Sequence[tuple[str, str]],
    dataset: str,
    references: str,
    family: bool,
) -> Iterator[Pair]:
    for key in short_keys():
        for first, second in places:
            one, other = (_detail(entries[name], key, references) for name in (first, second))
            if one["value"] is not None and other["value"] is not None:
                about = {"dataset": dataset, "first": first, "second": second, "metric": key, "references": references}
                held_out = references == "held out"
                rows = _rows(tables[first], tables[second], key, one["metric"], held_out=held_out)
                yield Pair(about, len(rows.codes) if rows else 0, rows, one["value"] - other["value"], family)


def _detail(entry: Mapping[str, Any], key: str, references: str) -> Mapping[str, Any]:
    section = entry if references == "all" else entry["held_out"] or {"details": {}}
    return section["details"].get(key) or {"value": None}


def _rows(first: pd.DataFrame, second: pd.DataFrame, key: str, plugin: str, *, held_out: bool) -> Rows | None:
    """Rows of both systems on their common pairs, in one order; None where a metric has values of the corpus alone."""
    one, other = (table.set_index("item_id", drop=False) for table in (first, second))
    column = values_column(one, f"{key}{HELD_OUT}" if held_out else key)
    if column is None or column not in other:
        return None
    if held_out:  # a pair with a single reference has no such values
        one, other = (table[table[column].notna()] for table in (one, other))
    common = one.index.intersection(other.index, sort=True)
    if not len(common):
        return None
    a, statistic = table_and_statistic(one.loc[common], key, plugin, held_out=held_out)
    b, _ = table_and_statistic(other.loc[common], key, plugin, held_out=held_out)
    return Rows(a, b, bootstrap.cluster_codes(one.loc[common, "image"])[0], statistic)
