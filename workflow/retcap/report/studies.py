"""From what the report rule is given (named input files, params) to what the page is built from."""

from pathlib import Path
from typing import Any

from retcap.report.inputs import CaptioningInputs, RetrievalInputs


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
    )


def retrieval(found: Any, params: Any) -> RetrievalInputs:
    """The retrieval study's files; results come ordered by system, then data set."""
    sets = params.datasets
    data = _named(sets, found.data)
    tables = [Path(path) for path in found.per_query]
    per_query = {
        system: dict(zip(sets, tables[place * len(sets) :], strict=False))
        for place, system in enumerate(params.encoders)
    }
    return RetrievalInputs(
        results=[Path(path) for path in found.results],
        curves=_named(params.retrievers, found.curves),
        cards={name: folder / "train" / "card.json" for name, folder in data.items()},
        audits=_named(sets, found.audits),
        images=_named(sets, found.images),
        indexes=_named(sets, found.indexes),
        per_query=per_query,
        main=params.retrievers[0],
        parameters=Path(found.parameters),
        queries={name: folder / "test" / "queries.parquet" for name, folder in data.items()},
        passages={name: folder / "test" / "passages.parquet" for name, folder in data.items()},
        hits=_named(sets, found.hits),
        image_packs=_named(sets, found.packs),
        show_published=params.published,
    )


def _named(names: list[str], paths: Any) -> dict[str, Path]:
    return dict(zip(names, map(Path, paths), strict=True))
