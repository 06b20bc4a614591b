"""The retrieval section: everything its template shows, as plain values. Scores are shown in percent of queries."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.analysis.bootstrap import FEW_CLUSTERS
from retcap.report import (
    checks,
    dialects,
    differences,
    learning,
    literature,
    passages,
    ranking_plots,
    seeds,
    splits,
    wording,
)
from retcap.report.inputs import RetrievalInputs, read_json, require
from retcap.report.learning import metric_order
from retcap.report.ranking_plots import cell, few, value_of
from retcap.retrieval.headline import headline_k


def section(inputs: RetrievalInputs, experiment: str = "") -> dict[str, Any]:
    """Values for `retrieval.html`; `results` and `failed` alone where no system has any result."""
    results = read_results(inputs.results)
    failed = failures(inputs, {result["system"] for result in results})
    if not results:
        return {"results": [], "failed": failed, "images": [], "differences": []}
    order = list(inputs.titles)  # of the configuration; the first system may lack a set that another one has
    datasets = list(dict.fromkeys(result["dataset"] for result in results))
    datasets.sort(key=lambda name: order.index(name) if name in order else len(order))
    systems = ordered(results, inputs.trained)
    titles = dict(inputs.titles) | {name: inputs.titles.get(name, name) for name in datasets}
    k = headline_k(cutoffs(results))
    metrics = [f"R@{k}", f"PR@{k}"]
    once = [name for name in systems if name not in inputs.trainings or inputs.trainings[name].retriever == name]
    data = splits.data_table(inputs.splits, results, inputs.weights)
    return {
        "k": k,
        "results": results,
        "failed": failed,
        "datasets": datasets,
        "titles": titles,
        "systems": systems,
        "once": once,
        "trained": [name for name in systems if name in inputs.trained],
        "main": next(iter(inputs.trained), wording.NOTHING),  # shown in examples, scored or not
        "explanations": inputs.explanations,
        "generated": [name for name in datasets if name in inputs.generated],
        "dialect": results[0].get("dialect") or "strict",
        "experiment": experiment,
        "data": data,
        "data_total": splits.total(data),
        "weighted": len(set(inputs.weights.values())) > 1,
        "set_aside": splits.set_aside(inputs.splits),
        "set_aside_given": bool(inputs.splits),
        "images": [row for name, path in inputs.images.items() for row in splits.missing_images(name, read_json(path))],
        "packs": splits.packs(inputs.image_packs, inputs.sides, titles),
        "indexes": checks.index_rows(
            {name: read_json(path) for name, path in inputs.indexes.items()}, inputs.indexes_failed
        ),
        "overlaps": checks.overlap_table({name: read_json(path) for name, path in inputs.audits.items()}),
        "leaks": splits.leaks(inputs.audits) if inputs.audits else None,
        "training": {name: learning.curves(read_json(path), path, titles) for name, path in inputs.curves.items()},
        "overview": overview(results, datasets, systems, inputs, metrics),
        "pilot": literature.pilot() if inputs.show_published else None,
        "caveats": literature.published.CAVEATS if inputs.show_published else [],
        "metrics": {name: metric_table(results, name, systems) for name in datasets},
        "curves": ranking_plots.recall_plots(results, datasets, once, titles),
        "gaps": ranking_plots.gap_plots(results, once, titles, k),
        "bounds": ranking_plots.bounds_table(results, k),
        "differences": differences.matrix(differences.read(inputs.differences), datasets, inputs.trained, metrics),
        "seeds": seeds.table(results, inputs.trainings, datasets, metrics),
        "few_clusters": FEW_CLUSTERS,
        "few_scores": any(few(entry) for result in results for entry in entries_of(result["metrics"])),
        "few_slices": any(few(entry) for result in results for part in slices_of(result) for entry in entries_of(part)),
        "dialects": dialects.table(results, next(iter(inputs.trained), None), datasets, titles, metrics),
        "slices": slice_tables(results, systems, metrics),
        "parameters": parameter_table({} if inputs.parameters is None else read_json(inputs.parameters)),
        "examples": passages.build(inputs),
    }


def failures(inputs: RetrievalInputs, scored: Collection[str]) -> list[dict[str, Any]]:
    """Systems that failed on some data set, with the reason. `whole`: not in `scored`, so there is no row of it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for (system, dataset), reason in inputs.failed.items():
        groups.setdefault((system, reason), []).append(inputs.titles.get(dataset, dataset))
    return [
        {"name": system, "reason": reason, "on": wording.listing(sets), "whole": system not in scored}
        for (system, reason), sets in groups.items()
    ]


def read_results(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Result objects of all files, in the order given; a file may hold one or a list."""
    results = []
    for path in paths:
        content = read_json(path)
        for result in content if isinstance(content, list) else [content]:
            for key in ("system", "dataset", "metrics"):
                require(result, key, path)
            results.append(result)
    return results


def ordered(results: Sequence[Mapping[str, Any]], trained: Sequence[str]) -> list[str]:
    """Names of all systems: trained ones first, baselines after them, both in the order given."""
    names = list(dict.fromkeys(result["system"] for result in results))
    return sorted(names, key=lambda name: name not in trained)


def find(results: Sequence[Mapping[str, Any]], system: str, dataset: str) -> Mapping[str, Any] | None:
    """The result of one system on one data set."""
    return next((r for r in results if r["system"] == system and r["dataset"] == dataset), None)


def cutoffs(results: Sequence[Mapping[str, Any]]) -> list[int]:
    """The K of all metrics R@K there are."""
    names = {metric for result in results for metric in result["metrics"] if re.fullmatch(r"R@\d+", metric)}
    return sorted(int(name[2:]) for name in names)


def overview(
    results: Sequence[Mapping[str, Any]],
    datasets: Sequence[str],
    systems: Sequence[str],
    inputs: RetrievalInputs,
    metrics: Sequence[str],
) -> dict[str, Any]:
    """R@k and PR@k of every system on every data set, macro means, chance, and published rows."""
    rows = []
    for system in systems:
        found = [find(results, system, name) for name in datasets]
        cells = [cell(result, metric) for result in found for metric in metrics]
        means = [macro_mean(found, metric) for metric in metrics]
        kind = "trained" if system in inputs.trained else "baseline"
        rows.append({"system": system, "kind": kind, "cells": cells, "means": means})
    floors = [_floor(results, name, metric) for name in datasets for metric in metrics]
    sizes = [next(one for one in results if one["dataset"] == name).get("n_queries") for name in datasets]
    return {
        "metrics": metrics,
        "sizes": dict(zip(datasets, sizes, strict=True)),
        "rows": rows,
        "floors": [wording.percent(floor, 2) for floor in floors] if any(f is not None for f in floors) else [],
        "published": literature.rows(datasets, metrics) if inputs.show_published else None,
    }


def entries_of(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Metrics with an interval; a plain number or a count beside them is none."""
    return [entry for entry in metrics.values() if isinstance(entry, Mapping)]


def slices_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics of every part of a test set."""
    return [part for values in (result.get("slices") or {}).values() for part in values.values()]


def macro_mean(results: Sequence[Mapping[str, Any] | None], metric: str) -> dict[str, Any]:
    """Unweighted mean over the data sets in percent, with the interval that follows from theirs.

    The sets share no queries, so the half widths w of n sets add up as sqrt(sum w^2) / n.
    """
    mean = mean_of_all([value_of(result, metric) for result in results])
    entries = [((result or {}).get("metrics") or {}).get(metric) for result in results]
    widths = [_width(entry) for entry in entries if isinstance(entry, Mapping)]
    known = [width for width in widths if width is not None]
    if mean is None or len(known) < len(results):
        return {"text": wording.percent(mean), "interval": "", "few": False}
    half = math.sqrt(sum((width / 2) ** 2 for width in known)) / len(known)
    low, high = max(mean - half, 0.0), min(mean + half, 1.0)
    interval = wording.interval(low, high, digits=1, scale=100)
    return {"text": wording.percent(mean), "interval": interval, "few": any(few(one) for one in entries if one)}


def _width(entry: Mapping[str, Any]) -> float | None:
    low, high = entry.get("ci_low"), entry.get("ci_high")
    return None if low is None or high is None else high - low


def metric_table(results: Sequence[Mapping[str, Any]], dataset: str, systems: Sequence[str]) -> dict[str, Any]:
    """Every metric of every system on one data set, in percent."""
    chosen = [result for name in systems if (result := find(results, name, dataset)) is not None]
    metrics = sorted({metric for result in chosen for metric in result["metrics"]}, key=metric_order)
    rows = [{"system": r["system"], "cells": [cell(r, metric) for metric in metrics], "result": r} for r in chosen]
    return {"metrics": metrics, "rows": rows}


def slice_tables(
    results: Sequence[Mapping[str, Any]], systems: Sequence[str], metrics: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """R@k and PR@k of every system by slice of the queries, per data set that has slices."""
    tables: dict[str, dict[str, Any]] = {}
    for result in results:
        for name, values in (result.get("slices") or {}).items():
            for value, entry in values.items():
                table = tables.setdefault(result["dataset"], {"systems": systems, "rows": {}})
                row = table["rows"].setdefault((name, value), {"n": entry.get("n"), "cells": {}})
                row["cells"][result["system"]] = [cell({"metrics": entry}, metric) for metric in metrics]
    return tables


def parameter_table(parameters: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Number of parameters per part of each system, in millions; what training changes stands behind the total."""
    if not parameters:
        return None
    sums = ("total", "trainable")
    parts = list(dict.fromkeys(part for counts in parameters.values() for part in counts if part not in sums))
    parts = [part for part in parts if any(counts.get(part) for counts in parameters.values())]
    rows = []
    for system, counts in parameters.items():
        total = counts.get("total", sum(counts.get(part, 0) for part in parts))
        cells = [millions(counts.get(part)) for part in parts]
        rows.append(
            {"system": system, "cells": cells, "total": millions(total), "trainable": millions(counts.get("trainable"))}
        )
    return {"parts": parts, "rows": rows}


def millions(amount: int | None) -> str:
    """A number of parameters in millions; nothing for a part that is not there."""
    return wording.number(amount / 1e6, 2) if amount else wording.NOTHING


def _floor(results: Sequence[Mapping[str, Any]], dataset: str, metric: str) -> float | int | None:
    floors = [(r.get("floors") or {}).get(metric) for r in results if r["dataset"] == dataset]
    return next((floor for floor in floors if floor is not None), None)


def mean_of_all(values: Sequence[float | int | None]) -> float | int | None:
    """Unweighted mean; None as soon as one value is missing, because a mean over fewer data sets misleads."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
