"""From what the report rule is given (named input files, params) to what the page is built from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retcap import plugins
from retcap.report.inputs import CaptioningInputs, RetrievalInputs
from retcap.retrieval.system_names import RANDOM, UNTRAINED, ZERO_SHOT


def captioning(found: Any, params: Any) -> CaptioningInputs:
    """The captioning study's files."""
    return CaptioningInputs(
        summary=Path(found.summary),
        scores=_named(params.systems, found.scores),
        captions=_named(params.systems, found.captions),
        items=Path(found.pairs),
        image_pack=Path(found.pack),
        coverage=Path(found.coverage),
        quarantine=Path(found.quarantine),
        max_new_tokens=params.max_new_tokens,
        examples=params.examples,
        generated=params.generated_captions,
    )


def retrieval(found: Any, params: Any) -> RetrievalInputs:
    """The retrieval study's files; results come ordered by system, then data set."""
    sets = list(params.weights)
    data = _named(sets, found.data)
    return RetrievalInputs(
        results=[Path(path) for path in found.results],
        trained=list(params.retrievers),
        generated=params.generated,
        explanations=explanations(params.retrievers),
        titles={name: plugins.load("datasets", name).CARD.title for name in sets},
        curves=_named(list(params.retrievers), found.curves),
        splits=data,
        weights=params.weights,
        audits=_named(sets, found.audits),
        images=_named(sets, found.images),
        indexes=_named(sets, found.indexes),
        differences=Path(found.differences),
        parameters=Path(found.parameters),
        queries={name: folder / "test" / "queries.parquet" for name, folder in data.items()},
        passages={name: folder / "test" / "passages.parquet" for name, folder in data.items()},
        hits=_named(sets, found.hits),
        image_packs=_named(sets, found.packs),
        show_published=params.published,
    )


def explanations(retrievers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """System -> what it is, in a few words. `retrievers`: settings by name."""
    said = {RANDOM: "random vectors"}
    for name, settings in retrievers.items():
        backbone = settings["backbone"]
        said[name] = f"ReT-2 on {backbone}, layers {settings['layer_strategy']}"
        said[f"{UNTRAINED}{name}"] = "the same before any training"
        said[f"{ZERO_SHOT}{backbone}"] = f"text and image vectors of {backbone}, summed"
    return said


def known(params: Any) -> dict[str, list[str]]:
    """Wildcard -> the values it has in this configuration."""
    return {
        "system": list(params.systems),
        "captioner": list(params.systems),
        "encoder": list(params.encoders),
        "retriever": list(params.retrievers),
        "dataset": list(params.weights),
    }


def _named(names: list[str], paths: Any) -> dict[str, Path]:
    return dict(zip(names, map(Path, paths), strict=True))
