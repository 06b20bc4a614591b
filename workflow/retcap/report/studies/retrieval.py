"""The retrieval study on the page."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap.report.studies import named
from retcap.retrieval.plan import RetrievalPlan
from retcap.retrieval.system_names import RANDOM, UNTRAINED, ZERO_SHOT
from retcap.retrieval.trainings import Training

if TYPE_CHECKING:
    from retcap.report.inputs import RetrievalInputs


def params(plan: RetrievalPlan) -> dict[str, Any]:
    """Systems, data sets with their weights, which of them are generated, retrievers and trainings."""
    retrievers = plan.own["retrievers"]
    return {
        "encoders": plan.systems,
        "weights": plan.weights(),
        "generated": plan.generated(),
        "retrievers": {
            name: {key: one[key] for key in ("backbone", "layer_strategy")} for name, one in retrievers.items()
        },
        "trainings": {name: list(training) for name, training in plan.trainings.items()},
        "published": plan.own["published"],
        "sides": {name: plan.side_px(name) for name in plan.systems},
        "packs": plan.sides_px(),
    }


def inputs(found: Any, params: Any, failed: Mapping[str, Any]) -> "RetrievalInputs":
    """The retrieval study's files; results come ordered by system, then data set. `failed`: failures by path."""
    from retcap import plugins
    from retcap.report.inputs import RetrievalInputs

    sets = list(params.weights)
    data = named(sets, found.data)
    places = zip(product(params.encoders, sets), found.results, strict=True)
    made = {name: Training(*one) for name, one in params.trainings.items()}
    return RetrievalInputs(
        results=[Path(path) for path in found.results if path not in failed],
        failed={place: failed[path].why for place, path in places if path in failed},
        trained=list(made),
        trainings=made,
        generated=params.generated,
        explanations=explanations(params.retrievers, made),
        titles={name: plugins.load("datasets", name).CARD.title for name in sets},
        curves=named(list(made), found.curves, failed),
        splits=data,
        weights=params.weights,
        audits=named(sets, found.audits),
        images=named(sets, found.images),
        indexes=named(sets, found.indexes, failed),
        indexes_failed=_own_failures(sets, found.indexes, failed),
        differences=Path(found.differences),
        parameters=Path(found.parameters),
        queries={name: folder / "test" / "queries.parquet" for name, folder in data.items()},
        passages={name: folder / "test" / "passages.parquet" for name, folder in data.items()},
        hits=named(sets, found.hits, failed),
        image_packs=_by_side(params.packs, sets, found.packs),
        sides=params.sides,
        show_published=params.published,
    )


def section(inputs: "RetrievalInputs", experiment: str) -> dict[str, Any]:
    """Values of the template."""
    from retcap.report import retrieval

    return retrieval.section(inputs, experiment)


def opening(section: Mapping[str, Any]) -> list[str]:
    """Sentences for the top of the page."""
    from retcap.report import retrieval_opening

    return retrieval_opening.opening(section)


def contents(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Anchors and titles of what is there; none where no system has a result."""
    if not section["results"]:
        return []
    parts = [
        ("retrieval-scores", "Scores", True),
        ("retrieval-curves", "Recall over K", True),
        ("retrieval-gap", "PR and its bounds", section["gaps"]["figures"]),
        ("retrieval-differences", "Differences", section["differences"]),
        ("retrieval-dialects", "Other rules", section["dialects"]),
        ("retrieval-slices", "Slices", section["slices"]),
        ("retrieval-training", "Training", section["training"]),
        ("retrieval-examples", "Examples", section["examples"]),
        ("retrieval-indexes", "Approximate search", section["indexes"]),
        ("retrieval-data", "Data", True),
    ]
    return [(anchor, title) for anchor, title, shown in parts if shown]


def explanations(retrievers: Mapping[str, Mapping[str, Any]], made: Mapping[str, Training]) -> dict[str, str]:
    """System -> what it is, in a few words. `retrievers`: settings by name; `made`: the trainings by name."""
    said = {RANDOM: "random vectors"}
    for name, training in made.items():
        settings = retrievers[training.retriever]
        several = len(made) > len(retrievers)
        said[name] = f"ReT-2 on {settings['backbone']}, layers {settings['layer_strategy']}"
        said[name] += f", seed {training.seed}" if several else ""
    for name, settings in retrievers.items():
        backbone = settings["backbone"]
        said[f"{UNTRAINED}{name}"] = "the same before any training"
        said[f"{ZERO_SHOT}{backbone}"] = f"text and image vectors of {backbone}, summed"
    return said


def _by_side(sides: list[int], sets: list[str], paths: Any) -> dict[int, dict[str, Path]]:
    """Side in pixels -> data set -> pack; `paths` come side by side, all sets of one before those of the next."""
    files = iter(paths)
    return {side: {name: Path(next(files)) for name in sets} for side in sides}


def _own_failures(names: list[str], paths: Any, failed: Mapping[str, Any]) -> dict[str, str]:
    """Name -> reason, where the job itself failed, and not one before it, which the page shows already."""
    records = {name: failed[path] for name, path in zip(names, paths, strict=True) if path in failed}
    return {name: record.why for name, record in records.items() if record.kind != "upstream"}
