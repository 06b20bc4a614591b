"""Differences between captioning systems as tables: models against baselines, all beside a human, models in pairs."""

from collections.abc import Sequence
from typing import Any

from retcap.analysis.compare import ROUNDS
from retcap.analysis.corrections import ALPHA
from retcap.analysis.ranks import Rank, holds
from retcap.captioning.differences import SHUFFLED_ROW
from retcap.records import Difference
from retcap.report import wording
from retcap.report.differences import cell
from retcap.report.scores import BASELINES, HEADLINE, System, by_headline, shown_keys, title


def sight_table(systems: Sequence[System], found: Sequence[Difference]) -> dict[str, Any] | None:
    """Each model against every baseline, per metric; None without models or baselines. The human one stands apart."""
    models, baselines = _finished(systems)
    known = _by_pair(found, "all")
    against = {baseline.name: baseline.explanation for baseline in baselines if not baseline.stands_apart}
    if any(second == SHUFFLED_ROW for _, second, _ in known):
        against[SHUFFLED_ROW] = BASELINES[SHUFFLED_ROW]
    keys = [key for key in shown_keys(systems) if any((m.name, name, key) in known for m in models for name in against)]
    if not keys:
        return None
    blocks = {
        name: {model.name: {key: cell(known.get((model.name, name, key))) for key in keys} for model in models}
        for name in against
    }
    return {"metrics": [title(key) for key in keys], "blocks": blocks, "explanations": against}


def human_table(systems: Sequence[System], found: Sequence[Difference]) -> dict[str, Any] | None:
    """Every system beside the human one, all on the references without the one that is held out; None without a human.

    Rows: the human one, models by the headline metric, other baselines; a cell has the score and the difference.
    """
    models, baselines = _finished(systems)
    human = next((system for system in baselines if system.stands_apart), None)
    if human is None:
        return None
    keys = [key for key in shown_keys(systems) if human.held_out(key) is not None]
    models.sort(key=lambda system: -(system.held_out(HEADLINE) or 0.0))
    known = _by_pair(found, "held out")

    def cells(system: System) -> dict[str, dict[str, Any]]:
        values = {key: system.held_out(key) for key in keys}
        beside = {key: None if system is human else cell(known.get((system.name, human.name, key))) for key in keys}
        return {
            key: {"value": value, "text": wording.number(value), "difference": beside[key]}
            for key, value in values.items()
        }

    order = [human, *models, *(system for system in baselines if system is not human)]
    return {
        "metrics": {key: title(key) for key in keys},
        "rows": [{"system": system, "cells": cells(system)} for system in order],
        "draws": human.record["held_out"]["draws"],
        "pairs": human.record["held_out"]["num_samples"],
        "alone": (human.record.get("counts") or {}).get("excluded", 0),
    }


def model_tests(
    systems: Sequence[System], found: Sequence[Difference], ranked: Sequence[Rank]
) -> dict[str, Any] | None:
    """All pairs of models in the headline metric: difference, p, Holm's p; ranks and letters in every metric.

    Models with a common letter are not told apart. None below two models.
    """
    models = [model.name for model in _finished(systems)[0] if model.value(HEADLINE) is not None]
    known = [one for one in found if one.metric == HEADLINE and one.references == "all"]
    known = [one for one in known if one.first in models and one.second in models]
    if not known:
        return None
    rows = [
        {
            "first": one.first,
            "second": one.second,
            "difference": cell(one),
            "p": wording.p_value(one.p),
            "adjusted": wording.p_value(one.p_holm),
            "holds": holds(one),
        }
        for one in known
    ]
    shown = {one.system: one.group for one in ranked if one.metric == HEADLINE}
    table = {"metric": title(HEADLINE), "rows": rows, "letters": shown, "rounds": ROUNDS, "alpha": ALPHA}
    return table | {"ranks": _ranks(models, ranked)}


def _ranks(models: Sequence[str], ranked: Sequence[Rank]) -> dict[str, Any]:
    """Per model and metric the interval of its rank and its letters."""
    known = {(one.system, one.metric): one for one in ranked}
    metrics = list(dict.fromkeys(one.metric for one in ranked))
    rows = {model: [known.get((model, metric)) for metric in metrics] for model in models}
    return {"metrics": [title(metric) for metric in metrics], "rows": rows}


def _by_pair(found: Sequence[Difference], references: str) -> dict[tuple[str, str, str], Difference]:
    return {(one.first, one.second, one.metric): one for one in found if one.references == references}


def _finished(systems: Sequence[System]) -> tuple[list[System], list[System]]:
    baselines = [system for system in systems if system.baseline and not system.failed]
    order = list(BASELINES)
    baselines.sort(key=lambda b: order.index(b.name) if b.name in order else len(order))
    return by_headline([system for system in systems if not system.baseline]), baselines
