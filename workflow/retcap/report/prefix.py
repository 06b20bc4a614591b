"""The section of the prefix captioning study: the summary in tables, plots and words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retcap import metric_titles
from retcap.report import differences, prefix_plots, wording
from retcap.report.inputs import read_json
from retcap.report.prefix_plots import Length

BLEU = "bleu4_coco"
SHOWN = ("bleu1_coco", "bleu2_coco", "bleu3_coco", BLEU, "meteor", "rougeL", "cider", "spice")
SHORT = {"bleu1_coco": "BLEU-1", "bleu2_coco": "BLEU-2", "bleu3_coco": "BLEU-3", BLEU: "BLEU-4"}
FEW = 50  # pictures below which an interval may be too narrow; see retcap.analysis.bootstrap
BASELINES = {"blind": "one training caption for every picture", "human": "a reference, judged by the others"}


@dataclass(frozen=True)
class PrefixInputs:
    """Files of the study."""

    summary: Path
    differences: Path
    features: Path  # folder
    models: Sequence[Path]  # folders of the jobs, with one for every cell
    failed: Sequence[tuple[str, str]]  # what a job was to make, reason


def section(inputs: PrefixInputs) -> dict[str, Any]:
    """Values of the template."""
    found, about = read_json(inputs.summary), read_json(inputs.features / "about.json")
    conditions = found["conditions"]
    keys = [key for key in SHOWN if any(key in one["scores"] for one in conditions)]
    others = [key for one in conditions[:1] for key in one["scores"] if key not in SHOWN and key != "bleu4"]
    gains = differences.read(inputs.differences)
    return {
        "failed": [{"name": name, "on": "", "reason": why} for name, why in inputs.failed],
        "missing": found["missing"],
        "pictures": found["pictures"],
        "data": about["pictures"],
        "rejected": sum(about["rejected"].values()),
        "captions": found["captions"],
        "few": found["pictures"] < FEW,
        "seeds": max((len(one["seeds"]) for one in conditions), default=0),
        "titles": [title(key) for key in [*keys, *others]],
        "conditions": [_row(one, [*keys, *others]) for one in conditions],
        "baselines": [_baseline(name, one, [*keys, *others]) for name, one in found["baselines"].items()],
        "reasons": _reasons(conditions),
        "plots": plots(conditions, found["baselines"]),
        "legend": prefix_plots.legend(_systems(conditions)),
        "visible": wording.number(found["visible_difference"], 1),
        "compared": found["compared"],
        "questions": [_question(one) for one in found["questions"]],
        "differences": [_difference(one) for one in gains],
        "curves": _curves(inputs.models),
        "said": said(found, gains),
    }


def title(key: str) -> str:
    """Heading of a column."""
    return SHORT.get(key) or metric_titles.title(key)


def said(found: Mapping[str, Any], gains: Sequence[Any]) -> list[str]:
    """The study in sentences: the best condition against the blind caption, then the question of the prefix length."""
    scored = [one for one in found["conditions"] if one["scores"].get(BLEU, {"value": None})["value"] is not None]
    if not scored:
        return []
    best = max(scored, key=lambda one: one["scores"][BLEU]["value"])
    text = f"Prefix captions reach BLEU-4 {wording.percent(best['scores'][BLEU]['value'])} ({best['name']})"
    against = next((one for one in gains if (one.first, one.second, one.metric) == (best["name"], "blind", BLEU)), None)
    if against is not None and against.ci_low is not None:
        gain = wording.signed(100 * against.difference, 1)
        interval = wording.interval(against.ci_low, against.ci_high, digits=1, scale=100)
        text += f", {gain} points above one caption for every picture (95 % interval over pictures {interval})"
    return [f"{text}.", *(_answer(one, found["visible_difference"]) for one in found["questions"][:1])]


def _answer(one: Mapping[str, Any], visible: float) -> str:
    """The question in a sentence."""
    seeds = one["over_seeds"]
    told = seeds["p"] is not None and seeds["p"] < 0.05
    lengths = " and ".join(map(str, one["lengths"]))
    about = f"{one['mapper']} {one['tuning']}, {one['decoding']}"
    first = f"Prefix lengths {lengths} ({about}) {'differ' if told else 'cannot be told apart'} over seeds"
    gain = f"{wording.signed(seeds['difference'], 1)} BLEU-4 points, p {wording.p_value(seeds['p'])}"
    needed = one["seeds_needed"]
    shown = f"; {needed} seeds would show a difference of {wording.number(visible, 1)} in 8 of 10 cases"
    return f"{first} ({gain}){shown if needed else ''}."


def _row(one: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    few = one["parameters"] or {}
    return {
        **{name: one[name] for name in ("mapper", "tuning", "prefix_length", "decoding", "runs", "stopped")},
        "seeds": len(one["seeds"]),
        "cells": [_score(one["scores"].get(key)) for key in keys],
        "mapper_parameters": wording.count(few.get("mapper")),
        "trained_parameters": wording.count(few.get("trained")),
        "seconds": wording.duration(one["train_seconds"]),
        "steps": wording.count(sum(one["steps"]) / len(one["steps"])) if one["steps"] else wording.NOTHING,
    }


def _score(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Mean over seeds, interval over pictures, standard deviation over seeds."""
    if found is None or found["value"] is None:
        return {"text": wording.NOTHING, "interval": "", "deviation": "", "value": None}
    spread = found.get("seed_deviation")
    return {
        "text": wording.percent(found["value"]),
        "value": found["value"],
        "interval": wording.interval(found["low"], found["high"], digits=1, scale=100),
        "deviation": "" if spread is None else f"± {wording.percent(spread)}",
    }


def _baseline(name: str, scores: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {"name": name, "meaning": BASELINES[name], "cells": [_score(scores.get(key)) for key in keys]}


def _reasons(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why values are missing, each reason once."""
    found = {}
    for one in conditions:
        for key, score in one["scores"].items():
            if score["value"] is None and key in (*SHOWN,):
                found[f"{title(key)}: {score.get('reason')}"] = True
    return list(found)


def _systems(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(f"{one['mapper']} {one['tuning']}" for one in conditions))


def plots(conditions: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]) -> list[dict[str, Any]]:
    """BLEU-4 against prefix length, one plot for each way of decoding; not for a single prefix length."""
    found = []
    for kind in dict.fromkeys(one["decoding"] for one in conditions):
        own = [one for one in conditions if one["decoding"] == kind]
        scored = [one for one in own if one["scores"].get(BLEU, {"value": None})["value"] is not None]
        if len({one["prefix_length"] for one in scored}) < 2:
            continue
        points = [_length(one) for one in scored]
        blind = (baselines.get("blind", {}).get(BLEU) or {"value": None})["value"]
        ends = ", ".join(f"{point.system} at {point.length}: {point.value:.1f}" for point in points)
        figure = prefix_plots.lengths(points, None if blind is None else 100 * blind, f"BLEU-4 by {kind}: {ends}")
        found.append({"decoding": kind, "figure": figure})
    return found


def _length(one: Mapping[str, Any]) -> Length:
    score = one["scores"][BLEU]
    low, high = (score["value"] if score[side] is None else score[side] for side in ("low", "high"))
    values = [100 * value for value in score["seed_values"]]
    system = f"{one['mapper']} {one['tuning']}"
    return Length(system, one["prefix_length"], 100 * score["value"], 100 * low, 100 * high, values)


def _question(one: Mapping[str, Any]) -> dict[str, Any]:
    seeds, pictures = one["over_seeds"], one["over_pictures"]
    return {
        "name": f"{one['mapper']} {one['tuning']}, {one['decoding']}",
        "difference": wording.signed(seeds["difference"], 2),
        "over_seeds": wording.interval(seeds["low"], seeds["high"], digits=2),
        "over_pictures": wording.interval(pictures["low"], pictures["high"], digits=2),
        "p": wording.p_value(seeds["p"]),
        "seeds": seeds["seeds"],
        "deviation": wording.number(seeds["deviation"], 2),
        "power": wording.NOTHING if one["power"] is None else f"{100 * one['power']:.0f} %",
        "needed": wording.count(one["seeds_needed"]),
        "visible": wording.number(one["visible_over_pictures"], 2),
    }


def _difference(one: Any) -> dict[str, Any]:
    return {
        "first": one.first,
        "second": one.second,
        "metric": title(one.metric),
        "references": one.references,
        "n": one.n,
        "cell": differences.cell(one, 1, 100),
    }


def _curves(models: Sequence[Path]) -> list[dict[str, Any]]:
    """Loss of training and of validation of every cell."""
    found = []
    for file in sorted(path for folder in models for path in folder.glob("*/config.json")):
        about = json.loads(file.read_text(encoding="utf-8"))
        cell, curves = about["cell"], about["curves"]
        name = f"{cell['mapper']} {cell['tuning']}, prefix {cell['prefix_length']}"
        train = [(entry["step"], entry["loss"]) for entry in curves["train"]]
        valid = [(entry["step"], -entry["eval_log_likelihood"]) for entry in curves["eval"]]
        found.append({"name": name, "seed": cell["seed"], "train": train, "valid": valid})
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        groups.setdefault(one["name"], []).append(one)
    return [{"name": name, "figure": prefix_plots.losses(own, f"Loss of {name}")} for name, own in groups.items()]
