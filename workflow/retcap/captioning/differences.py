"""Differences between captioning systems on the same pairs: gains over baselines, and which models can be told apart.

Both sides are always judged against the same references: beside a human caption these are the ones without it. Whole
images are drawn, because the captions of one image are not independent.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap, ranks
from retcap.analysis.compare import Pair, Rows, compare
from retcap.captions.item_tables import HELD_OUT, SHUFFLED, table_and_statistic, values_column
from retcap.metric_titles import HEADLINE, short_keys
from retcap.records import Difference

SHUFFLED_ROW = "shuffled"  # in place of the second system: the first one's own captions, given to other pictures
Entries = Mapping[str, Mapping[str, Any]]  # system -> content of its metrics file


def read_tables(summary: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The item tables of all systems that were scored. `paths`: of every system."""
    return {name: pd.read_parquet(paths[name]) for part in ("models", "baselines") for name in _done(summary[part])}


def differences(
    summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], dataset: str, *, draws: int, seed: int
) -> list[Difference]:
    """Of all systems that were scored, in the metrics of the short tables, in the units of those.

    Models in pairs, the better one by the headline metric first: the family of Holm's correction. Then every model
    minus every baseline, every system minus the human one on the references that are not held out, and last every model
    minus its own captions on other pictures. Captions made elsewhere count among the models.
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
    sight = (pair for name in best_first for pair in _own_shuffled(name, models[name], tables[name], dataset))
    return compare([*pairs, *sight], lambda: np.random.default_rng(seed), draws)


def rank_groups(
    summary: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    found: Sequence[Difference],
    *,
    draws: int,
    seed: int,
) -> list[ranks.Rank]:
    """Rank and group of every model in the metrics of the short tables; `found`: what `differences` gave."""
    models, ranked = _done(summary["models"]), []
    for key in short_keys():
        details = {name: _detail(entry, key, "all") for name, entry in models.items()}
        known = {name: detail for name, detail in details.items() if detail["value"] is not None}
        columns = {name: values_column(tables[name], key) for name in known}
        if len(known) < 2 or None in columns.values():
            continue
        tests = [one for one in found if one.metric == key and one.references == "all" and one.p_holm is not None]
        resampled = {name: _draws(tables[name], key, one["metric"], draws, seed) for name, one in known.items()}
        values = {name: detail["value"] for name, detail in known.items()}
        higher = all(detail.get("higher_is_better") is not False for detail in known.values())
        ranked += ranks.rank(key, values, resampled, tests, higher_is_better=higher)
    return ranked


def _draws(table: pd.DataFrame, key: str, plugin: str, draws: int, seed: int) -> np.ndarray:
    """The value in every resample; systems with the same pairs get the same ones."""
    ordered = table.sort_values("item_id")
    rows, statistic = table_and_statistic(ordered, key, plugin)
    codes, count = bootstrap.cluster_codes(ordered["image"])
    weights = bootstrap.draw_weights(count, draws, np.random.default_rng(seed))
    return statistic(bootstrap.resample(bootstrap.cluster_sums(rows, codes, count), weights))


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


def _own_shuffled(name: str, entry: Mapping[str, Any], table: pd.DataFrame, dataset: str) -> Iterator[Pair]:
    """A model minus itself with the captions of other pictures, on the pairs that have such."""
    section = entry.get("shuffled") or {"details": {}}
    for key in short_keys():
        detail: Mapping[str, Any] = section["details"].get(key) or {"value": None}
        column = values_column(table, f"{key}{SHUFFLED}")
        if detail["value"] is None or column is None:
            continue
        own: Any = table[table[column].notna()]
        others, statistic = table_and_statistic(own, key, detail["metric"], SHUFFLED)
        rows, _ = table_and_statistic(own, key, detail["metric"])
        if others.shape != rows.shape:  # counts of every draw side by side: the model's own stand there as often
            rows = np.tile(rows, others.shape[1] // rows.shape[1])
        codes = bootstrap.cluster_codes(own["image"])[0]
        about = {"dataset": dataset, "first": name, "second": SHUFFLED_ROW, "metric": key, "references": "all"}
        yield Pair(about, len(own), Rows(rows, others, codes, statistic))


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
    mark = HELD_OUT if held_out else ""
    a, statistic = table_and_statistic(one.loc[common], key, plugin, mark)
    b, _ = table_and_statistic(other.loc[common], key, plugin, mark)
    return Rows(a, b, bootstrap.cluster_codes(one.loc[common, "image"])[0], statistic)
