"""The retrieval section: everything its template shows, as plain values. Scores are shown in percent of queries."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.report import checks, learning, pairs, passages, plots, published, wording
from retcap.report.facts import facts
from retcap.report.inputs import RetrievalInputs, read_json, require
from retcap.report.learning import metric_order

K = 5  # the cut-off the field reports for these four data sets (Lin et al. 2024, section 4)


def section(inputs: RetrievalInputs) -> dict[str, Any]:
    """Values for `retrieval.html`."""
    results = read_results(inputs.results)
    datasets = list(dict.fromkeys(result["dataset"] for result in results))
    systems = list(dict.fromkeys(result["system"] for result in results))
    return {
        "k": K,
        "results": results,
        "datasets": datasets,
        "systems": systems,
        "data": data_table(results, datasets),
        "indexes": checks.index_rows({name: read_json(path) for name, path in inputs.indexes.items()}),
        "main": inputs.main or best_system(results),
        "images": {name: checks.missing_images(read_json(path)) for name, path in inputs.images.items()},
        "cards": {name: facts(read_json(path)) for name, path in inputs.cards.items()},
        "audits": {name: checks.audit(read_json(path)) for name, path in inputs.audits.items()},
        "overlaps": checks.overlap_table({name: read_json(path) for name, path in inputs.audits.items()}),
        "training": {name: learning.curves(read_json(path), path) for name, path in inputs.curves.items()},
        "overview": overview(results, datasets, systems, inputs.show_published),
        "caveats": published.CAVEATS if inputs.show_published else [],
        "metrics": {name: metric_table(results, name) for name in datasets},
        "curves": [recall_plot(results, name) for name in datasets],
        "gaps": gap_plots(results, systems),
        "bounds": bounds_table(results),
        "differences": pairs.differences(inputs.per_query, inputs.main or best_system(results), [f"R@{K}", f"PR@{K}"]),
        "slices": slice_tables(results),
        "parameters": parameter_table({} if inputs.parameters is None else read_json(inputs.parameters)),
        "examples": passages.build(inputs),
    }


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


def value_of(result: Mapping[str, Any] | None, metric: str) -> float | int | None:
    """One metric of a result as a fraction; None where it was not computed."""
    entry = ((result or {}).get("metrics") or {}).get(metric)
    return entry.get("value") if isinstance(entry, Mapping) else entry


def find(results: Sequence[Mapping[str, Any]], system: str, dataset: str) -> Mapping[str, Any] | None:
    """The result of one system on one data set."""
    return next((r for r in results if r["system"] == system and r["dataset"] == dataset), None)


def data_table(results: Sequence[dict[str, Any]], datasets: Sequence[str]) -> list[dict[str, Any]]:
    """Sizes of every test set and its share of all queries, with the counts that qualify the scores."""
    first = [next(r for r in results if r["dataset"] == name) for name in datasets]
    total = sum(result.get("n_queries") or 0 for result in first)
    return [
        result | {"share": wording.percent((result.get("n_queries") or 0) / total) if total else ""} for result in first
    ]


def overview(
    results: Sequence[Mapping[str, Any]], datasets: Sequence[str], systems: Sequence[str], show_published: bool
) -> dict[str, Any]:
    """R@5 and PR@5 of every system on every data set, macro means, chance, and published rows."""
    metrics = [f"R@{K}", f"PR@{K}"]
    rows = []
    for system in systems:
        found = [find(results, system, name) for name in datasets]
        cells = [_cell(result, metric) for result in found for metric in metrics]
        means = [mean_of_all([value_of(result, metric) for result in found]) for metric in metrics]
        rows.append({"system": system, "cells": cells, "means": [wording.percent(mean) for mean in means]})
    floors = [_floor(results, name, metric) for name in datasets for metric in metrics]
    outside = [_published(row, datasets, metrics) for row in published.ROWS] if show_published else []
    return {
        "metrics": metrics,
        "rows": rows,
        "floors": [wording.percent(floor, 2) for floor in floors] if any(f is not None for f in floors) else [],
        "published": [row for row in outside if any(cell != wording.NOTHING for cell in row["cells"])],
    }


def metric_table(results: Sequence[Mapping[str, Any]], dataset: str) -> dict[str, Any]:
    """Every metric of every system on one data set, in percent."""
    chosen = [result for result in results if result["dataset"] == dataset]
    metrics = sorted({metric for result in chosen for metric in result["metrics"]}, key=metric_order)
    rows = [{"system": r["system"], "cells": [_cell(r, metric) for metric in metrics], "result": r} for r in chosen]
    return {"metrics": metrics, "rows": rows}


def recall_plot(results: Sequence[Mapping[str, Any]], dataset: str) -> dict[str, Any]:
    """R@K over K of every system on one data set."""
    curves = {}
    for result in [r for r in results if r["dataset"] == dataset]:
        values = {int(m[2:]): value_of(result, m) for m in result["metrics"] if re.fullmatch(r"R@\d+", m)}
        curves[result["system"]] = {k: 100 * value for k, value in sorted(values.items()) if value is not None}
    curves = {name: curve for name, curve in curves.items() if curve}
    said = "; ".join(
        f"{name} {wording.number(curve[max(curve)], 1)} at K = {max(curve)}" for name, curve in curves.items()
    )
    drawn = plots.recall_curves(curves, "R@K, percent", f"Recall at K on {dataset}: {said}") if curves else None
    return {"dataset": dataset, "svg": drawn}


def gap_plots(results: Sequence[Mapping[str, Any]], systems: Sequence[str]) -> list[dict[str, Any]]:
    """One plot per system: R@5, PR@5, floor and ceiling of every data set."""
    drawn = []
    for system in systems:
        gaps = []
        for result in [r for r in results if r["system"] == system]:
            recall, pseudo = value_of(result, f"R@{K}"), value_of(result, f"PR@{K}")
            if recall is not None and pseudo is not None:
                floor, ceiling = (result.get("floors") or {}).get(f"PR@{K}"), result.get("pr_ceiling")
                scaled = [None if value is None else 100 * value for value in (floor, ceiling)]
                gaps.append(plots.Gap(result["dataset"], 100 * recall, 100 * pseudo, *scaled))
        if gaps:
            said = "; ".join(f"{gap.name} {wording.signed(gap.pseudo_recall - gap.recall, 1)} points" for gap in gaps)
            drawn.append({"system": system, "svg": plots.gap_plot(gaps, K, f"PR@{K} minus R@{K} of {system}: {said}")})
    return drawn


def bounds_table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """PR@5 with all that it needs to be read: R@5, the gap, whole words only, floor, gold passages alone, ceiling."""
    rows = []
    for result in results:
        gap = (result.get("gaps") or {}).get(f"PR-R@{K}") or {}
        if value_of(result, f"PR@{K}") is None:
            continue
        ends = (result.get("floors") or {}).get(f"PR@{K}"), result.get("pr_gold"), result.get("pr_ceiling")
        rows.append(
            {
                "dataset": result["dataset"],
                "system": result["system"],
                "scores": [_cell(result, metric) for metric in (f"R@{K}", f"PR@{K}", f"PR word@{K}")],
                "gap": wording.signed(None if gap.get("value") is None else 100 * gap["value"], 1),
                "gap_interval": wording.interval(gap.get("ci_low"), gap.get("ci_high"), digits=1, scale=100),
                "ends": [wording.percent(end) for end in ends],
            }
        )
    return rows


def best_system(results: Sequence[Mapping[str, Any]]) -> str | None:
    """The system with the highest mean R@5 over all data sets; None where no system has them all."""
    datasets = list(dict.fromkeys(result["dataset"] for result in results))
    means = {}
    for system in dict.fromkeys(result["system"] for result in results):
        mean = mean_of_all([value_of(find(results, system, name), f"R@{K}") for name in datasets])
        if mean is not None:
            means[system] = mean
    return max(means, key=lambda system: means[system], default=None)


def slice_tables(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """R@5 and PR@5 of every system by slice of the queries, per data set that has slices."""
    tables: dict[str, dict[str, Any]] = {}
    for result in results:
        for name, values in (result.get("slices") or {}).items():
            for value, entry in values.items():
                table = tables.setdefault(result["dataset"], {"systems": [], "rows": {}})
                if result["system"] not in table["systems"]:
                    table["systems"].append(result["system"])
                row = table["rows"].setdefault((name, value), {"n": entry.get("n"), "cells": {}})
                pair = [wording.percent(value_of({"metrics": entry}, metric)) for metric in (f"R@{K}", f"PR@{K}")]
                row["cells"][result["system"]] = pair
    return tables


def parameter_table(parameters: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Number of parameters per part of each system, in millions."""
    if not parameters:
        return None
    parts = list(dict.fromkeys(part for counts in parameters.values() for part in counts if part != "total"))
    rows = []
    for system, counts in parameters.items():
        total = counts.get("total", sum(counts.values()))
        cells = [wording.number(counts[part] / 1e6, 2) if part in counts else wording.NOTHING for part in parts]
        rows.append({"system": system, "cells": cells, "total": wording.number(total / 1e6, 2)})
    return {"parts": parts, "rows": rows}


def _cell(result: Mapping[str, Any] | None, metric: str) -> dict[str, str]:
    entry = ((result or {}).get("metrics") or {}).get(metric)
    bounds = (entry.get("ci_low"), entry.get("ci_high")) if isinstance(entry, Mapping) else (None, None)
    return {
        "text": wording.percent(value_of(result, metric)),
        "interval": wording.interval(*bounds, digits=1, scale=100),
    }


def _floor(results: Sequence[Mapping[str, Any]], dataset: str, metric: str) -> float | int | None:
    floors = [(r.get("floors") or {}).get(metric) for r in results if r["dataset"] == dataset]
    return next((floor for floor in floors if floor is not None), None)


def _published(row: published.Published, datasets: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    cells = [wording.percent(row.value(name, metric)) for name in datasets for metric in metrics]
    return {"system": row.system, "source": row.source, "cells": cells}


def mean_of_all(values: Sequence[float | int | None]) -> float | int | None:
    """Unweighted mean; None as soon as one value is missing, because a mean over fewer data sets misleads."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
