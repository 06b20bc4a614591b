"""Sums up the grid: scores of every condition over its seeds, differences, and what the design can see.

A condition is what all seeds of a run have in common. Its score is the mean over seeds. Two kinds of uncertainty stand
beside it and are never mixed: the interval over pictures, from a bootstrap in which all seeds share the drawn pictures
(other pictures, these trainings), and the standard deviation over seeds (other trainings, these pictures).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap
from retcap.analysis.bootstrap import Statistic
from retcap.analysis.compare import Pair, Rows, compare
from retcap.captions.item_tables import HELD_OUT, table_and_statistic, values_column
from retcap.prefix.power import power, seed_test, seeds_needed, visible_over_pictures
from retcap.prefix.scoring import BLIND, HUMAN
from retcap.records import Difference

BLEU, TESTED = "bleu4_coco", ("bleu4_coco", "cider")  # the study's question; the metrics of the paired tests
CONDITION = ("mapper", "tuning", "prefix_length", "decoding")


class Scored(NamedTuple):
    """A run or a baseline with its metrics file and its values per picture."""

    about: Mapping[str, Any]  # row of runs.json
    entry: Mapping[str, Any]
    items: Any  # a frame in the order of the item ids

    @property
    def details(self) -> Mapping[str, Any]:
        """Every value in detail, of the metrics that were asked for."""
        return {key: detail for key, detail in self.entry["details"].items() if detail["metric"] is not None}


class Grid(NamedTuple):
    """Everything that was made. `missing`: words for every run without scores."""

    runs: list[Scored]
    baselines: dict[str, Scored]
    cells: dict[str, Mapping[str, Any]]  # id -> what its folder says
    missing: list[str]


def read(listed: str | Path, scores: Sequence[Path], models: Sequence[Path]) -> Grid:
    """The runs that are listed, in that order, and the baselines, from the folders that hold their scores."""
    folders = {path.stem: path.parent for folder in scores for path in folder.glob("*.json")}
    rows = json.loads(Path(listed).read_text(encoding="utf-8"))
    runs = [_scored(row, folders[row["run"]], row["run"]) for row in rows if row["run"] in folders]
    baselines = {name: _scored({"run": name}, folders[name], name) for name in (BLIND, HUMAN)}
    wanted = {row["cell"] for row in rows}
    found = {path.parent.name: path for folder in models for path in folder.glob("*/config.json")}
    cells = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if name in wanted}
    return Grid(runs, baselines, cells, [_words(row, seed=True) for row in rows if row["run"] not in folders])


def _scored(about: Mapping[str, Any], folder: Path, name: str) -> Scored:
    entry = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Scored(about, entry, pd.read_parquet(folder / f"{name}.parquet").sort_values("item_id", ignore_index=True))


def summarise(
    grid: Grid, dataset: str, compared: Sequence[int], visible: float, *, draws: int, seed: int
) -> tuple[dict[str, Any], list[Difference]]:
    """What `summary.json` says, and the differences. `visible`: in BLEU-4 points of 100."""
    groups = conditions(grid.runs)
    own = [_condition(group, grid, draws, seed) for group in groups.values()]
    pairs = list(_pairs(grid, groups, dataset))
    found = {
        "conditions": own,
        "baselines": {name: _baseline(one) for name, one in grid.baselines.items()},
        "missing": grid.missing,
        "compared": list(compared),
        "visible_difference": visible,
        "questions": [
            question(first, second, visible, draws=draws, seed=seed) for first, second in _asked(groups, compared)
        ],
        "pictures": grid.baselines[BLIND].items["image"].nunique(),
        "bootstrap_draws": draws,
        "captions": next((dict(one["captions"]) for one in grid.cells.values()), {}),
    }
    return found, compare(pairs, lambda: np.random.default_rng(seed), draws)


def conditions(runs: Sequence[Scored]) -> dict[tuple[Any, ...], list[Scored]]:
    """Runs by their condition, seeds in order."""
    found: dict[tuple[Any, ...], list[Scored]] = {}
    for run in runs:
        found.setdefault(tuple(run.about[name] for name in CONDITION), []).append(run)
    return found


def name_of(group: Sequence[Scored]) -> str:
    """A condition in words."""
    return _words(group[0].about, seed=False)


def over_seeds(group: Sequence[Scored], key: str) -> tuple[np.ndarray, Statistic] | None:
    """Rows of all seeds side by side, and the mean of their scores; None where a seed has no values to resample."""
    if any(run.details.get(key, {"value": None})["value"] is None for run in group):
        return None
    if values_column(group[0].items, key) is None:
        return None
    parts = [table_and_statistic(run.items, key, run.details[key]["metric"]) for run in group]
    return np.hstack([rows for rows, _ in parts]), partial(_mean, parts[0][1], len(parts))


def _mean(statistic: Statistic, seeds: int, sums: np.ndarray) -> np.ndarray:
    return statistic(sums.reshape(*sums.shape[:-1], seeds, -1)).mean(axis=-1)


def _condition(group: Sequence[Scored], grid: Grid, draws: int, seed: int) -> dict[str, Any]:
    about = {name: group[0].about[name] for name in CONDITION}
    cells = [grid.cells[run.about["cell"]] for run in group if run.about["cell"] in grid.cells]
    codes, count = bootstrap.cluster_codes(group[0].items["image"])
    weights = bootstrap.draw_weights(count, draws, np.random.default_rng(seed))
    scores = {}
    for key in group[0].details:
        values = [run.details.get(key, {"value": None})["value"] for run in group]
        if any(value is None for value in values):
            reason = next(run.details[key]["reason"] for run in group if run.details[key]["value"] is None)
            scores[key] = {"value": None, "reason": reason}
            continue
        resampled = over_seeds(group, key)
        found = None if resampled is None else bootstrap.interval(resampled[0], codes, weights, resampled[1])
        scores[key] = {
            "value": float(np.mean(values)),
            "low": None if found is None or np.isnan(found.low) else found.low,
            "high": None if found is None or np.isnan(found.high) else found.high,
            "seed_values": values,
            "seed_deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
    return about | {
        "name": name_of(group),
        "seeds": [run.about["seed"] for run in group],
        "runs": [run.about["run"] for run in group],
        "scores": scores,
        "parameters": cells[0]["parameters"] if cells else None,
        "train_seconds": float(np.mean([cell["curves"]["seconds"] for cell in cells])) if cells else None,
        "steps": [cell["curves"]["steps"] for cell in cells],
        "stopped": sorted({cell["curves"]["stopped"] for cell in cells}),
    }


def _baseline(one: Scored) -> dict[str, Any]:
    return {
        key: {name: detail[name] for name in ("value", "reason")} | {"low": detail["ci_low"], "high": detail["ci_high"]}
        for key, detail in one.details.items()
    }


def question(
    first: Sequence[Scored], second: Sequence[Scored], visible: float, *, draws: int, seed: int
) -> dict[str, Any]:
    """Is the first condition better than the second in BLEU-4? Over seeds and over pictures, with power; in points.

    Seeds that both have are paired: they share the order of the captions.
    """
    by_seed = [{run.about["seed"]: run for run in group} for group in (first, second)]
    shared = [number for number in by_seed[0] if number in by_seed[1]]
    values = [[100 * own[number].details[BLEU]["value"] for number in shared] for own in by_seed]
    seeds = seed_test(*values)
    codes, count = bootstrap.cluster_codes(first[0].items["image"])
    weights = bootstrap.draw_weights(count, draws, np.random.default_rng(seed))
    tables = [over_seeds([own[number] for number in shared], BLEU) for own in by_seed]
    assert tables[0] is not None
    assert tables[1] is not None
    pictures = bootstrap.paired_difference(tables[0][0], tables[1][0], codes, weights, tables[0][1])
    spread = seeds.deviation
    return {
        "first": name_of(first),
        "second": name_of(second),
        "lengths": [own[0].about["prefix_length"] for own in (first, second)],
        "mapper": first[0].about["mapper"],
        "tuning": first[0].about["tuning"],
        "decoding": first[0].about["decoding"],
        "over_seeds": seeds._asdict(),
        "over_pictures": {"low": 100 * pictures.low, "high": 100 * pictures.high, "pictures": pictures.clusters},
        "power": None if spread is None else power(visible, spread, seeds.seeds),
        "seeds_needed": None if spread is None else seeds_needed(visible, spread),
        "visible_over_pictures": visible_over_pictures(100 * pictures.standard_error),
    }


def _asked(
    groups: Mapping[tuple[Any, ...], list[Scored]], compared: Sequence[int]
) -> Iterator[tuple[list[Scored], list[Scored]]]:
    """Both prefix lengths of every mapper, tuning and decoding that has both, and at least one seed with scores."""
    for (mapper, tuning, length, decoding), group in groups.items():
        other = groups.get((mapper, tuning, compared[1], decoding))
        if length == compared[0] and other is not None:
            shared = {run.about["seed"] for run in group} & {run.about["seed"] for run in other}
            if shared and all(run.details[BLEU]["value"] is not None for run in (*group, *other)):
                yield group, other


def _pairs(grid: Grid, groups: Mapping[tuple[Any, ...], list[Scored]], dataset: str) -> Iterator[Pair]:
    """Every condition minus blind and, on the references that are not held out, minus human; then the lengths of one
    mapper, tuning and decoding against one another, which are the family of Holm's correction."""
    for key in TESTED:
        for group in groups.values():
            for baseline, mark in ((BLIND, ""), (HUMAN, HELD_OUT)):
                rows = _against(group, grid.baselines[baseline], key, mark)
                if rows is not None:
                    about = {"references": "held out" if mark else "all"}
                    yield _pair(dataset, name_of(group), baseline, key, rows, about, family=False)
        for place, group in groups.items():
            for other_place, other in groups.items():
                same = (*place[:2], place[3]) == (*other_place[:2], other_place[3])
                if same and place[2] < other_place[2] and (rows := _between(group, other, key)) is not None:
                    yield _pair(dataset, name_of(group), name_of(other), key, rows, {"references": "all"}, family=True)


def _pair(
    dataset: str, first: str, second: str, key: str, rows: Rows, about: Mapping[str, Any], *, family: bool
) -> Pair:
    names = {"dataset": dataset, "first": first, "second": second, "metric": key}
    return Pair({**names, **about}, len(rows.codes), rows, family=family)


def _against(group: Sequence[Scored], other: Scored, key: str, mark: str) -> Rows | None:
    """Mean over seeds against a baseline, which stands as often beside itself. With a mark, on held-out references."""
    section = other.entry["held_out"] if mark else other.entry
    if section is None or (section["details"].get(key) or {"value": None})["value"] is None:
        return None
    column = values_column(other.items, f"{key}{mark}")
    tables = [run.items for run in group]
    if column is None or any(column not in table for table in tables):
        return None
    known = other.items[column].notna().to_numpy()
    common = other.items["item_id"][known]
    tables = [table[table["item_id"].isin(common)] for table in tables]
    own = other.items[known]
    metric = group[0].details[key]["metric"]
    parts = [table_and_statistic(table, key, metric, mark) for table in tables]
    beside, statistic = table_and_statistic(own, key, metric, mark)
    codes = bootstrap.cluster_codes(own["image"])[0]
    first, second = np.hstack([rows for rows, _ in parts]), np.tile(beside, len(parts))
    return Rows(first, second, codes, partial(_mean, statistic, len(parts)))


def _between(group: Sequence[Scored], other: Sequence[Scored], key: str) -> Rows | None:
    shared = {run.about["seed"] for run in group} & {run.about["seed"] for run in other}
    parts = [over_seeds([run for run in own if run.about["seed"] in shared], key) for own in (group, other)]
    if not shared or parts[0] is None or parts[1] is None:
        return None
    return Rows(parts[0][0], parts[1][0], bootstrap.cluster_codes(group[0].items["image"])[0], parts[0][1])


def table(grid: Grid) -> pd.DataFrame:
    """One row per run, then the baselines, with every value: `results.csv`."""
    columns = ("run", "cell", *CONDITION, "seed")
    rows = []
    for one in (*grid.runs, *grid.baselines.values()):
        about = {name: one.about.get(name) for name in columns}
        about["decoding"] = about["decoding"] or one.about["run"]  # the name of a baseline
        cell = grid.cells.get(one.about.get("cell", ""))
        counts = (cell or {"parameters": {}})["parameters"]
        cost = {"parameters_trained": counts.get("trained"), "parameters_mapper": counts.get("mapper")}
        cost["train_seconds"] = None if cell is None else round(cell["curves"]["seconds"], 2)
        rows.append(about | cost | {key: detail["value"] for key, detail in one.details.items()})
    found = pd.DataFrame(rows)
    whole = ("prefix_length", "seed", "parameters_trained", "parameters_mapper")
    return found.astype(dict.fromkeys(whole, "Int64"))


def _words(row: Mapping[str, Any], *, seed: bool) -> str:
    words = f"{row['mapper']} {row['tuning']}, prefix {row['prefix_length']}, {row['decoding']}"
    return f"{words}, seed {row['seed']}" if seed else words
