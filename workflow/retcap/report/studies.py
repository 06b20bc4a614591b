"""From what the report rule is given (named input files, params) to what the page is built from."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from retcap import plugins
from retcap.report.inputs import CaptioningInputs, RetrievalInputs
from retcap.retrieval.system_names import RANDOM, UNTRAINED, ZERO_SHOT
from retcap.retrieval.trainings import Training


def captioning(found: Any, params: Any, failed: Mapping[str, Any]) -> CaptioningInputs:
    """The captioning study's files. `failed`: failures by path, in place of a file."""
    return CaptioningInputs(
        summary=Path(found.summary),
        scores=_named(params.systems, found.scores, failed),
        captions=_named(params.systems, found.captions, failed),
        items=Path(found.pairs),
        differences=Path(found.caption_differences),
        image_pack=Path(found.pack),
        coverage=Path(found.coverage),
        quarantine=Path(found.quarantine),
        max_new_tokens=params.max_new_tokens,
        examples=params.examples,
        generated=params.generated_captions,
    )


def retrieval(found: Any, params: Any, failed: Mapping[str, Any]) -> RetrievalInputs:
    """The retrieval study's files; results come ordered by system, then data set. `failed`: failures by path."""
    sets = list(params.weights)
    data = _named(sets, found.data)
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
        curves=_named(list(made), found.curves, failed),
        splits=data,
        weights=params.weights,
        audits=_named(sets, found.audits),
        images=_named(sets, found.images),
        indexes=_named(sets, found.indexes, failed),
        indexes_failed=_own_failures(sets, found.indexes, failed),
        differences=Path(found.differences),
        parameters=Path(found.parameters),
        queries={name: folder / "test" / "queries.parquet" for name, folder in data.items()},
        passages={name: folder / "test" / "passages.parquet" for name, folder in data.items()},
        hits=_named(sets, found.hits, failed),
        image_packs=_named(sets, found.packs),
        show_published=params.published,
    )


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


def known(params: Any) -> dict[str, list[str]]:
    """Wildcard -> the values it has in this configuration."""
    return {
        "system": list(params.systems),
        "captioner": list(params.systems),
        "encoder": list(params.encoders),
        "retriever": list(params.trainings),
        "dataset": list(params.weights),
    }


def _own_failures(names: list[str], paths: Any, failed: Mapping[str, Any]) -> dict[str, str]:
    """Name -> reason, where the job itself failed, and not one before it, which the page shows already."""
    records = {name: failed[path] for name, path in zip(names, paths, strict=True) if path in failed}
    return {name: record.why for name, record in records.items() if record.kind != "upstream"}


def _named(names: list[str], paths: Any, failed: Mapping[str, Any] | None = None) -> dict[str, Path]:
    """Name -> path, without those whose job failed."""
    return {name: Path(path) for name, path in zip(names, paths, strict=True) if path not in (failed or {})}
