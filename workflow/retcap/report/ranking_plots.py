"""Plots of the retrieval study: recall over K, and PR@K between its bounds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from retcap.analysis.bootstrap import FEW_CLUSTERS
from retcap.report import plots, wording


def recall_plots(
    results: Sequence[Mapping[str, Any]], datasets: Sequence[str], systems: Sequence[str], titles: Mapping[str, str]
) -> dict[str, Any]:
    """R@K over K, one plot per data set, and the legend that all of them share."""
    drawn = []
    for name in datasets:
        curves = {system: _curve(results, system, name) for system in systems}
        known = {system: curve for system, curve in curves.items() if curve}
        said = "; ".join(
            f"{system} {wording.number(curve[max(curve)], 1)} at K = {max(curve)}" for system, curve in known.items()
        )
        title = titles.get(name, name)
        alt_text = f"Recall at K on {title}: {said}"
        drawn.append(
            {"dataset": title, "svg": plots.recall_curves(curves, "R@K, percent", alt_text) if known else None}
        )
    return {"figures": drawn, "legend": plots.legend(systems)}


def _curve(results: Sequence[Mapping[str, Any]], system: str, dataset: str) -> dict[int, float]:
    for result in results:
        if result["system"] == system and result["dataset"] == dataset:
            found = {int(m[2:]): value_of(result, m) for m in result["metrics"] if re.fullmatch(r"R@\d+", m)}
            return {k: 100 * value for k, value in sorted(found.items()) if value is not None}
    return {}


def gap_plots(
    results: Sequence[Mapping[str, Any]], systems: Sequence[str], titles: Mapping[str, str], k: int
) -> dict[str, Any]:
    """One plot per system: R@k, PR@k, floor and ceiling of every data set."""
    drawn = []
    for system in systems:
        gaps = []
        for result in [r for r in results if r["system"] == system]:
            recall, pseudo = value_of(result, f"R@{k}"), value_of(result, f"PR@{k}")
            if recall is not None and pseudo is not None:
                floor, ceiling = (result.get("floors") or {}).get(f"PR@{k}"), result.get("pr_ceiling")
                scaled = [None if value is None else 100 * value for value in (floor, ceiling)]
                title = titles.get(result["dataset"], result["dataset"])
                gaps.append(plots.Gap(title, 100 * recall, 100 * pseudo, *scaled))
        if gaps:
            said = "; ".join(f"{gap.name} {wording.signed(gap.pseudo_recall - gap.recall, 1)} points" for gap in gaps)
            drawn.append({"system": system, "svg": plots.gap_plot(gaps, k, f"PR@{k} minus R@{k} of {system}: {said}")})
    return {"figures": drawn, "legend": plots.gap_legend(k)}


def bounds_table(results: Sequence[Mapping[str, Any]], k: int) -> list[dict[str, Any]]:
    """PR@k with all that it needs to be read: R@k, the gap, whole words only, floor, gold passages alone, ceiling."""
    rows = []
    for result in results:
        gap = (result.get("gaps") or {}).get(f"PR-R@{k}") or {}
        if value_of(result, f"PR@{k}") is None:
            continue
        ends = (result.get("floors") or {}).get(f"PR@{k}"), result.get("pr_gold"), result.get("pr_ceiling")
        rows.append(
            {
                "dataset": result["dataset"],
                "system": result["system"],
                "scores": [cell(result, metric) for metric in (f"R@{k}", f"PR@{k}", f"PR word@{k}")],
                "gap": wording.signed(None if gap.get("value") is None else 100 * gap["value"], 1),
                "gap_interval": wording.interval(gap.get("ci_low"), gap.get("ci_high"), digits=1, scale=100),
                "gap_few": few(gap),
                "ends": [wording.percent(end) for end in ends],
            }
        )
    return rows


def value_of(result: Mapping[str, Any] | None, metric: str) -> float | int | None:
    """One metric of a result as a fraction; None where it was not computed."""
    entry = ((result or {}).get("metrics") or {}).get(metric)
    return entry.get("value") if isinstance(entry, Mapping) else entry


def cell(result: Mapping[str, Any] | None, metric: str) -> dict[str, Any]:
    """One score in percent with its interval, and whether so few clusters carry it that the interval needs a mark."""
    entry = ((result or {}).get("metrics") or {}).get(metric)
    bounds = (entry.get("ci_low"), entry.get("ci_high")) if isinstance(entry, Mapping) else (None, None)
    return {
        "text": wording.percent(value_of(result, metric)),
        "interval": wording.interval(*bounds, digits=1, scale=100),
        "few": isinstance(entry, Mapping) and few(entry),
    }


def few(entry: Mapping[str, Any]) -> bool:
    """Whether an interval comes from fewer clusters than it needs to be trusted; False where none is recorded."""
    return entry.get("ci_low") is not None and entry.get("clusters", FEW_CLUSTERS) < FEW_CLUSTERS
