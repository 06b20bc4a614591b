"""Training curves of a retriever as plots, and its best evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.report import plots, wording
from retcap.report.inputs import require

MACRO = "macro"  # name of the unweighted mean over the validation sets, drawn last
ORDER = ("R", "PR")  # metrics in this order, all others after them by name


def curves(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Loss and per-set evaluation curves of one training run, and its best evaluation."""
    train = require(content, "train", path)
    losses = [(point["step"], point["loss"]) for point in train if point.get("loss") is not None]
    series = evaluation_series(content.get("eval") or [])
    figures = []
    if losses:
        said = f"Training loss, from {wording.number(losses[0][1])} to {wording.number(losses[-1][1])}"
        figures.append(plots.training_curve(losses, "training loss", said))
    for metric, lines in series.items():
        ends = "; ".join(f"{name} ends at {wording.number(points[-1][1], 1)}" for name, points in lines.items())
        figures.append(plots.evaluation_curves(lines, f"{metric}, percent", f"{metric} per evaluation: {ends}"))
    headline = next((metric for metric, lines in series.items() if metric.startswith("R@") and MACRO in lines), None)
    best = max(series[headline][MACRO], key=lambda point: point[1]) if headline else None
    return {
        "figures": figures,
        "headline": headline,
        "best": best,  # step and percent
        "steps": train[-1]["step"] if train else None,
        "seconds": content.get("seconds"),
        "stopped": content.get("stopped"),
    }


def evaluation_series(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Metric -> validation set -> (step, percent), from log entries with keys such as `eval_<set>_R@10`.

    >>> evaluation_series([{"step": 5, "eval_macro_R@10": 0.5, "eval_oven_R@10": 0.25}])
    {'R@10': {'oven': [(5, 25.0)], 'macro': [(5, 50.0)]}}
    """
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for point in evaluations:
        for key in sorted(key for key in point if "@" in key and point[key] is not None):
            name, _, metric = key.removeprefix("eval_").rpartition("_")
            found.setdefault(metric, {}).setdefault(name, []).append((point["step"], 100 * point[key]))
    return {
        metric: dict(sorted(found[metric].items(), key=lambda line: (line[0] == MACRO, line[0])))
        for metric in sorted(found, key=metric_order)
    }


def metric_order(metric: str) -> tuple[int, str, int]:
    """Sort key of metric names: R before PR before others, then K as a number.

    >>> sorted(["MRR@10", "PR@5", "R@10", "R@5"], key=metric_order)
    ['R@5', 'R@10', 'PR@5', 'MRR@10']
    """
    name, _, k = metric.partition("@")
    return (ORDER.index(name) if name in ORDER else len(ORDER), name, int(k) if k.isdigit() else 0)
