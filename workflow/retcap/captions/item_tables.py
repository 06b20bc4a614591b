"""Per-item values of one system as a table that outlives the run, and what resampling needs of it.

item_id, image, status      one row per judged pair
<key>                       its value against all its references
<key>_statistics            their sum over items determines the corpus value; only where it is no mean of items
<key>_held_out, <key>_held_out_statistics
                            the same per draw of the held-out reference, flat; null where a pair has but one
draws_held_out              number of those draws
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
HELD_OUT = "_held_out"
DRAWS_HELD_OUT = "draws_held_out"
STATISTICS = "_statistics"


def item_table(scores: "Scores") -> pd.DataFrame:
    """One row per judged pair, with the columns above. The human baseline has no values against all references."""
    pairs = scores.pairs
    columns: dict[str, object] = {"item_id": pairs.item_ids, "image": pairs.images, "status": pairs.statuses}
    columns |= _columns(scores.results, "")
    table = pd.DataFrame(columns)
    if scores.held_out is None:
        return table
    own = {"item_id": list(dict.fromkeys(scores.held_out.pairs.item_ids)), DRAWS_HELD_OUT: scores.held_out.draws}
    return table.merge(pd.DataFrame(own | _columns(scores.held_out.results, HELD_OUT)), how="left", on="item_id")


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
    scores: "Scores", *, rng: np.random.Generator, draws: int = 1000, held_out: bool = False
) -> dict[str, bootstrap.Interval]:
    """The value of every key with its interval over images; all keys share the draws."""
    found = scores.held_out if held_out else scores
    frame = item_table(scores)
    if found is None or not found.pairs.item_ids:
        return {}
    if held_out:
        frame = frame.loc[frame["item_id"].isin(found.pairs.item_ids)]
    codes, count = bootstrap.cluster_codes(frame["image"])
    weights = bootstrap.draw_weights(count, draws, rng)
    bounds = {}
    for key, result in found.results.items():
        if result.value is not None and (result.items is not None or result.statistics is not None):
            table, statistic = table_and_statistic(frame, key, found.plugin_of[key], held_out=held_out)
            bounds[key] = bootstrap.interval(table, codes, weights, statistic, LEVEL)
    return bounds


def table_and_statistic(
    frame: pd.DataFrame, key: str, metric: str, *, held_out: bool = False
) -> tuple[np.ndarray, bootstrap.Statistic]:
    """From an item table, what a bootstrap needs to resample one key: rows to add up, and sums to score.

    `metric` is the plugin that gave the key (`details[key]["metric"]` of the metrics file). The table may come back
    from a Parquet file: paired tests between systems need no metric tool and no captions. With `held_out`, of the
    values without the held-out reference; all rows must have them.
    """
    column = f"{key}{HELD_OUT}" if held_out else key
    if f"{column}{STATISTICS}" not in frame:
        values = np.array(frame[column].tolist(), dtype=np.float64)
        return bootstrap.mean_table(values.mean(axis=1) if held_out else values), bootstrap.mean
    table = np.array(frame[f"{column}{STATISTICS}"].tolist(), dtype=np.float64)
    module = plugins.load("metrics", metric)
    if held_out:
        return table, mean_over_draws(key, module, int(frame[DRAWS_HELD_OUT].iloc[0]))
    return table, partial(module.from_statistics, key)
