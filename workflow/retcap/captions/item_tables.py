"""Per-item values of one system as a table that outlives the run, and what resampling needs of it.

item_id, image, status      one row per judged pair
<key>                       its value against all its references
<key>_statistics            their sum over items determines the corpus value; only where it is no mean of items
<key>_held_out, <key>_held_out_statistics
                            the same per draw of the held-out reference, flat; null where a pair has but one
<key>_shuffled, ...         the same for the captions of other pictures with the same query; null where there are none
draws_held_out, draws_shuffled
                            numbers of those draws
"""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from retcap import plugins
from retcap.analysis import bootstrap
from retcap.captions.held_out import mean_over_draws

if TYPE_CHECKING:
    from retcap.captions.context import Result
    from retcap.captions.scoring import Scores

LEVEL = 0.95  # of the intervals
HELD_OUT, SHUFFLED = "_held_out", "_shuffled"  # marks of columns
STATISTICS = "_statistics"


def item_table(scores: "Scores") -> pd.DataFrame:
    """One row per judged pair, with the columns above. The human baseline has no values against all references."""
    pairs = scores.pairs
    columns: dict[str, object] = {"item_id": pairs.item_ids, "image": pairs.images, "status": pairs.statuses}
    columns |= _columns(scores.results, "")
    table = pd.DataFrame(columns)
    for found, mark in ((scores.held_out, HELD_OUT), (scores.shuffled, SHUFFLED)):
        if found is not None:
            own = {"item_id": list(dict.fromkeys(found.pairs.item_ids)), f"draws{mark}": found.draws}
            table = table.merge(pd.DataFrame(own | _columns(found.results, mark)), how="left", on="item_id")
    return table


def empty_table() -> pd.DataFrame:
    """The item table of a system that was not scored: the columns every table has, without rows."""
    return pd.DataFrame({"item_id": [], "image": [], "status": []}, dtype=object)


def _columns(results: "dict[str, Result]", mark: str) -> dict[str, object]:
    columns: dict[str, object] = {}
    for key, result in results.items():
        if result.items is not None:
            columns[f"{key}{mark}"] = list(result.items) if result.items.ndim > 1 else result.items
        if result.statistics is not None:
            columns[f"{key}{mark}{STATISTICS}"] = list(result.statistics.reshape(len(result.statistics), -1))
    return columns


def values_column(frame: pd.DataFrame, key: str) -> str | None:
    """The column that a key's values are resampled from: those of the items, or what they add up to."""
    return next((column for column in (key, f"{key}{STATISTICS}") if column in frame), None)


def intervals(
    scores: "Scores", *, rng: np.random.Generator, draws: int = 1000, mark: str = ""
) -> dict[str, bootstrap.Interval]:
    """The value of every key with its interval over images; all keys share the draws. `mark`: as in the columns."""
    found = {"": scores, HELD_OUT: scores.held_out, SHUFFLED: scores.shuffled}[mark]
    frame = item_table(scores)
    if found is None or not found.pairs.item_ids:
        return {}
    if mark:
        frame = frame.loc[frame["item_id"].isin(found.pairs.item_ids)]
    codes, count = bootstrap.cluster_codes(frame["image"])
    weights = bootstrap.draw_weights(count, draws, rng)
    bounds = {}
    for key, result in found.results.items():
        if result.value is not None and (result.items is not None or result.statistics is not None):
            table, statistic = table_and_statistic(frame, key, found.plugin_of[key], mark)
            bounds[key] = bootstrap.interval(table, codes, weights, statistic, LEVEL)
    return bounds


def table_and_statistic(
    frame: pd.DataFrame, key: str, metric: str, mark: str = ""
) -> tuple[np.ndarray, bootstrap.Statistic]:
    """From an item table, what a bootstrap needs to resample one key: rows to add up, and sums to score.

    `metric` is the plugin that gave the key (`details[key]["metric"]` of the metrics file). The table may come back
    from a Parquet file: paired tests between systems need no metric tool and no captions. With a `mark`, of the
    values of several draws that have it in their columns; all rows must have them.
    """
    column = f"{key}{mark}"
    if f"{column}{STATISTICS}" not in frame:
        values = np.array(frame[column].tolist(), dtype=np.float64)
        return bootstrap.mean_table(values.mean(axis=1) if mark else values), bootstrap.mean
    table = np.array(frame[f"{column}{STATISTICS}"].tolist(), dtype=np.float64)
    module = plugins.load("metrics", metric)
    if mark:
        return table, mean_over_draws(key, module, int(frame[f"draws{mark}"].iloc[0]))
    return table, partial(module.from_statistics, key)
