"""Training curves of a retriever as plots, and its best evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from retcap.report import plots, wording
from retcap.report.inputs import require

MACRO = "macro"  # name of the unweighted mean over the validation sets, drawn last
ORDER = ("R", "PR")  # metrics in this order, all others after them by name


def curves(content: Mapping[str, Any], path: Path, titles: Mapping[str, str]) -> dict[str, Any]:
    """Loss and per-set evaluation curves of one training run, and the evaluation that selected its weights.

    Shown at once: the loss, the metric that selects (its mean over the sets) and its PR twin; the rest folds.
    """
    train = require(content, "train", path)
    losses = [(point["step"], point["loss"]) for point in train if point.get("loss") is not None]
    series = {
        metric: {titles.get(name, name): points for name, points in lines.items()}
        for metric, lines in evaluation_series(content.get("eval") or []).items()
    }
    headline = selected_by(content, series)
    loud = (headline, None if headline is None else f"P{headline}")
    figures: dict[bool, list[Markup]] = {True: [], False: []}
    if losses:
        said = f"Training loss, from {wording.number(losses[0][1])} to {wording.number(losses[-1][1])}"
        figures[True].append(plots.training_curve(losses, "training loss", said))
    for metric, lines in series.items():
        ends = "; ".join(f"{name} ends at {wording.number(points[-1][1], 1)}" for name, points in lines.items())
        drawn = plots.evaluation_curves(lines, f"{metric}, percent", f"{metric} per evaluation: {ends}")
        figures[metric in loud].append(drawn)
    chosen = (content.get("best") or {}).get(MACRO)
    best = (chosen["step"], 100 * chosen["value"]) if chosen else None
    names = next(iter(series.values()), {})
    return {
        "figures": figures[True],
        "more": figures[False],
        "legend": plots.legend(list(names)),
        "headline": headline,
        "best": best,  # step and percent of the evaluation that chose the weights
        "best_per_set": best_per_set(content, titles),
        "steps": train[-1]["step"] if train else None,
        "seconds": content.get("seconds"),
        "stopped": content.get("stopped"),
    }


def selected_by(content: Mapping[str, Any], series: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The metric whose mean over the sets chose the weights; without a record of it the first R@K evaluated."""
    known = ((content.get("best") or {}).get(MACRO) or {}).get("metric", "").rpartition("_")[2]
    candidates = [metric for metric, lines in series.items() if MACRO in lines]
    if known in candidates:
        return known
    return next((metric for metric in candidates if metric.startswith("R@")), None)


def best_per_set(content: Mapping[str, Any], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Best evaluation of every single set: the weights for one set need not be those for the mean."""
    return [
        {"name": titles.get(name, name), "value": wording.percent(one["value"]), "step": one["step"]}
        for name, one in (content.get("best") or {}).items()
        if name != MACRO
    ]


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
