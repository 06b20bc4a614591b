"""The section of the transfer study: what the records and the summary say, in percent and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retcap.records import Difference
from retcap.report import differences, transfer_plots, wording
from retcap.report.inputs import read_json
from retcap.report.transfer_plots import Place, Shots
from retcap.report.transfer_sentences import beside_pixels, no_better_than_chance, worth
from retcap.transfer.robustness import Line

PROBE, TEST = "probe", "test"
FEW = 50  # pictures below which an interval may be too narrow; see retcap.analysis.bootstrap


@dataclass(frozen=True)
class TransferInputs:
    """Files of the study: records by set and encoder, in order."""

    records: Mapping[str, Mapping[str, Path]]
    failed: Sequence[tuple[str, str, str]]  # encoder, set, reason
    summary: Path
    differences: Path
    metrics: Mapping[str, str]  # set -> the accuracy that its authors use


@dataclass(frozen=True)
class Cell:
    """A score as `macros.scored` shows it."""

    text: str
    interval: str = ""
    few: bool = False


def section(inputs: TransferInputs) -> dict[str, Any]:
    """Values of the template."""
    records = {name: {e: read_json(path) for e, path in own.items()} for name, own in inputs.records.items()}
    records = {name: own for name, own in records.items() if own}
    robust = read_json(inputs.summary)["robustness"]
    compared = differences.read(inputs.differences)
    encoders = list(dict.fromkeys(encoder for own in records.values() for encoder in own))
    return {
        "failed": [{"name": encoder, "on": name, "reason": why} for encoder, name, why in inputs.failed],
        "warnings": sorted({text for own in records.values() for one in own.values() for text in one["warnings"]}),
        "sets": [_set(name, own, inputs.metrics[name]) for name, own in records.items()],
        "shots": [found for name, own in records.items() if (found := _shots(name, own, compared))],
        "shots_legend": transfer_plots.few_shot_legend(encoders, _with_words(records)),
        "robustness": [_robustness(name, own) for name, own in robust.items() if own],
        "robustness_legend": transfer_plots.robustness_legend(encoders),
        "retrieval": [row for name, own in records.items() for row in _retrieval(name, own)],
        "overlap": [row for name, own in records.items() for row in _overlap(name, own)],
        "costs": [_cost(encoder, records) for encoder in encoders],
        "differences": _differences(compared),
    }


def score(found: Mapping[str, Any] | None) -> Cell:
    """A share in percent with its interval."""
    if found is None:
        return Cell(wording.NOTHING)
    interval = wording.interval(found["low"], found["high"], digits=1, scale=100)
    few = found["low"] is not None and found.get("n", FEW) < FEW
    return Cell(wording.percent(found["value"]), interval, few)


def zero_shots(scores: Mapping[str, Any]) -> list[str]:
    """Zero-shot classifiers, from the bare name to the ensemble."""
    return [name for name in scores if name != PROBE]


def _set(name: str, records: Mapping[str, Any], metric: str) -> dict[str, Any]:
    columns = list(
        dict.fromkeys(c for one in records.values() for c in one["evaluations"].get(TEST, {"scores": ()})["scores"])
    )
    rows = []
    for encoder, record in records.items():
        scores = record["evaluations"].get(TEST, {"scores": {}})["scores"]
        cells = [score(scores.get(column, {}).get(metric)) for column in columns]
        others = [score(scores.get(column, {}).get("top-5")) for column in columns]
        rows.append({"encoder": encoder, "cells": cells, "top_5": others})
    first = next(iter(records.values()))
    probes = {encoder: record["probe"] for encoder, record in records.items() if record["probe"]}
    return {
        "name": name,
        "metric": metric,
        "classes": len(first["classes"]),
        "chance": wording.percent(1 / len(first["classes"])) if first["classes"] else wording.NOTHING,
        "templates": first["templates"],
        "pictures": first["pictures"],
        "rejected": sum(first["rejected"].values()),
        "n": first["evaluations"].get(TEST, {"n": 0})["n"],
        "columns": columns,
        "rows": rows,
        "top_5": any(cell.text != wording.NOTHING for row in rows for cell in row["top_5"]),
        "probes": [f"{encoder}: C = {one['c']:.3g}{_edge(one)}" for encoder, one in probes.items()],
    }


def _edge(found: Mapping[str, Any]) -> str:
    edge = " at the edge of the range" if found["at_edge"] else ""
    return edge + ("" if found["converged"] else ", not converged")


def _shots(name: str, records: Mapping[str, Any], compared: Sequence[Difference]) -> dict[str, Any] | None:
    curves, said, shots = [], [], []
    for encoder, record in records.items():
        few = record.get("few_shot")
        if not few:
            continue
        points = [(p["k"], *(100 * p[key] for key in ("value", "low", "high"))) for p in few["points"]]
        scores = record["evaluations"][TEST]["scores"]
        names = zero_shots(scores)
        best = names[-1] if names else None
        zero_shot = 100 * scores[best]["top-1"]["value"] if best else None
        curves.append(Shots(encoder, points, zero_shot))
        shots = [point[0] for point in points]
        if best:
            said.append(worth(encoder, few["crossings"][best], shots))
            low = no_better_than_chance(encoder, scores[best]["top-1"], len(record["classes"]))
            said += [low] if low else []
    if not curves:
        return None
    ends = "; ".join(f"{one.encoder} from {one.points[0][1]:.1f} to {one.points[-1][1]:.1f}" for one in curves)
    first = next(record["few_shot"] for record in records.values() if record.get("few_shot"))
    said += beside_pixels(compared, name)
    figure = transfer_plots.few_shot(curves, f"Few-shot accuracy on {name}: {ends} percent")
    return {"set": name, "figure": figure, "worth": said, "n": first["n"], "draws": first["draws"]}


def _robustness(name: str, shifts: Mapping[str, Any]) -> dict[str, Any]:
    figures, rows = [], []
    for shift, found in shifts.items():
        places = [
            Place(one["encoder"], one["classifier"], 100 * one["base"], 100 * one["shifted"], one["learned"])
            for one in found["classifiers"]
        ]
        line = None if found["line"] is None else Line(**found["line"])
        said = f"{len(places)} classifiers on {name} and under {shift}"
        drawn = transfer_plots.robustness(places, line, (found["n_base"], found["n"]), said)
        title = shift.removeprefix("test-")
        figures.append({"shift": title, "svg": drawn})
        rows += [_robust_row(title, found, one) for one in _shown(found["classifiers"])]
    first = next(iter(shifts.values()))
    return {"set": name, "figures": figures, "rows": rows, "references": first["references"], "n": first["n"]}


def _shown(classifiers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of every encoder the last zero-shot classifier, which is the ensemble, and the probe."""
    kept: dict[tuple[str, bool], Mapping[str, Any]] = {}
    for one in classifiers:
        if not one["learned"] or one["classifier"] == PROBE:
            kept[one["encoder"], one["learned"]] = one
    return list(kept.values())


def _robust_row(shift: str, found: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    effective = differences.NOTHING.text
    interval, verdict = "", ""
    if one["effective"] is not None:
        effective = wording.signed(100 * one["effective"], 1)
        interval = wording.interval(one["low"], one["high"], digits=1, scale=100)
        verdict = "good" if one["low"] > 0 else "bad" if one["high"] < 0 else ""
    return {
        "shift": shift,
        "encoder": one["encoder"],
        "classifier": one["classifier"],
        "base": wording.percent(one["base"]),
        "shifted": wording.percent(one["shifted"]),
        "expected": wording.percent(one["expected"]),
        "effective": {"text": effective, "value": one["effective"], "interval": interval, "verdict": verdict},
        "n": found["n"],
    }


def _retrieval(name: str, records: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for encoder, record in records.items():
        found = record["retrieval"]
        for way in ("image to text", "text to image") if found else ():
            cells = {metric: score(value) for metric, value in found[way].items()}
            rows.append({"set": name, "encoder": encoder, "way": way, "cells": cells, **_amounts(found)})
    return rows


def _amounts(found: Mapping[str, Any]) -> dict[str, int]:
    return {key: found[key] for key in ("images", "captions", "distinct")}


def _overlap(name: str, records: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for encoder, record in records.items():
        found = [(of, (record["overlap"] or {}).get(of)) for of in ("training", "training, by vector", "pre-training")]
        pairs = [(of, *pair) for of, own in found if own is not None for pair in own["classifiers"].items()]
        for of, classifier, one in pairs:
            gain = one["gain"] or {"value": None, "low": None, "high": None}
            value = gain["value"]
            points = None if value is None else 100 * value
            rows.append(
                {
                    "set": name,
                    "system": f"{encoder}: {classifier}",
                    "of": of,
                    "overlapping": one["overlapping"],
                    "n": one["pictures"],
                    "parts": [wording.percent(one[key]) for key in ("all", "clean", "overlap")],
                    "gain": Cell(
                        wording.signed(points, 1),
                        wording.interval(gain["low"], gain["high"], digits=1, scale=100),
                    ),
                }
            )
    return rows


def _cost(encoder: str, records: Mapping[str, Any]) -> dict[str, Any]:
    own = [one[encoder] for one in records.values() if encoder in one]
    cost = own[0]["cost"]
    speed = [one["cost"]["images_per_second"] for one in own if one["cost"]["images_per_second"]]
    parameters = cost["parameters"] or {}
    flops = cost["gflops"] or {}
    return {
        "encoder": encoder,
        "source": cost["source"] or wording.NOTHING,
        "side_px": cost["side_px"],
        "vision": wording.count(parameters.get("vision")),
        "text": wording.count(parameters.get("text")),
        "gflops": [wording.number(flops.get(side), 3) for side in ("image", "text")],
        "speed": wording.count(sorted(speed)[len(speed) // 2]) if speed else wording.NOTHING,
        "device": cost["device"] or "cpu",
        "quality": {name: score(_best(one[encoder])) for name, one in records.items() if encoder in one},
    }


def _best(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    scores = record["evaluations"].get(TEST, {"scores": {}})["scores"]
    return scores.get(PROBE, {}).get("top-1")


def _differences(found: Sequence[Difference]) -> list[dict[str, Any]]:
    return [
        {
            "set": one.dataset,
            "first": one.first,
            "second": one.second,
            "n": one.n,
            "cell": differences.cell(one, 1, 100),
        }
        for one in found
    ]


def _with_words(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Encoders that have zero-shot scores."""
    found = {}
    for own in records.values():
        for encoder, record in own.items():
            if zero_shots(record["evaluations"].get(TEST, {"scores": {}})["scores"]):
                found[encoder] = True
    return list(found)
