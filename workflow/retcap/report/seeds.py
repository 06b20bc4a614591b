"""How far the seed of the training moves the scores: mean and spread of several trainings of one retriever."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.report import wording
from retcap.retrieval.trainings import Training, spread


def table(
    results: Sequence[Mapping[str, Any]],
    trainings: Mapping[str, Training],
    datasets: Sequence[str],
    metrics: Sequence[str],
) -> dict[str, Any]:
    """The seeds used, and where there are several a row per retriever with mean, deviation and range in percent."""
    seeds = list(dict.fromkeys(training.seed for training in trainings.values()))
    found = {(one["retriever"], one["dataset"], one["metric"]): one for one in spread(results, trainings)}
    retrievers = list(dict.fromkeys(training.retriever for training in trainings.values())) if len(seeds) > 1 else []
    rows = [
        {
            "retriever": name,
            "cells": [cell(found.get((name, dataset, metric))) for dataset in datasets for metric in metrics],
        }
        for name in retrievers
    ]
    return {"seeds": seeds, "rows": rows, "metrics": metrics}


def cell(one: Mapping[str, Any] | None) -> dict[str, str]:
    """Mean and standard deviation of the trainings in percent, and their range below."""
    if one is None or one["standard_deviation"] is None:
        return {"text": wording.percent(None if one is None else one["mean"]), "range": ""}
    text = f"{wording.percent(one['mean'])} ± {wording.percent(one['standard_deviation'])}"
    return {"text": text, "range": wording.interval(one["lowest"], one["highest"], digits=1, scale=100)}
