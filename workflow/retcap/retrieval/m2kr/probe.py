"""Looks for a sample of the pictures that raw files name, before any is read: a wrong folder shows after seconds."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from retcap.retrieval.m2kr.lines import PassageLine, QueryLine
from retcap.retrieval.m2kr.presence import Places, reason_of
from retcap.retrieval.m2kr.roots import LeavesRoot, Roots

PROBED = 1000  # lines per list of files
SURE = 1e-6  # chance that a probe stops a set whose missing share is just allowed


def probe(
    files: Mapping[str, Sequence[str | Path]], roots: Any, *, dataset: str, max_share: float
) -> dict[str, dict[str, Any]]:
    """Look for the pictures of up to PROBED lines per list of files; counts by "<key of the list>, <side>".

    Raises FileNotFoundError where more are missing than `max_share` and chance can explain.
    """
    resolver, wrong = Roots(roots), []
    counts: dict[str, dict[str, Any]] = {}
    for part, paths in files.items():
        for side, named in _drawn([Path(path) for path in paths], part).items():
            places = Places()
            for path, file in _resolved(named, resolver):
                places.add(path, file, file is None or reason_of(file, resolver) is not None)
            asked, missing = places.asked.total(), places.missing.total()
            counts[f"{part}, {side}"] = {"asked": asked, "missing": missing, "folders": places.in_words()}
            # Hoeffding 1963, theorem 1: a share is off by more than this with a chance below SURE
            if asked and missing / asked - math.sqrt(-math.log(SURE) / (2 * asked)) > max_share:
                wrong += [
                    f"  {part}, {side}: {missing} of {asked} pictures",
                    *(f"    {one}" for one in places.in_words()),
                ]
    if wrong:
        raise FileNotFoundError(
            f"{dataset}: of the pictures that its files name, more are missing in a sample than "
            f"retrieval.missing_images.max_share = {max_share:g} allows:\n" + "\n".join(wrong) + "\nCorrect "
            f"retrieval.datasets.{dataset}.roots, unpack the rest, or raise max_share."
        )
    return counts


def _resolved(named: Iterable[str], roots: Roots) -> Iterator[tuple[str, Path | None]]:
    for path in named:
        try:
            yield path, roots.resolve(path)
        except LeavesRoot:
            continue  # the reader sets the line aside


def _drawn(files: Sequence[Path], part: str) -> dict[str, list[str]]:
    """Image paths by side, from lines at random places of the files; the same in every run."""
    kind: type[msgspec.Struct] = PassageLine if part.endswith("passages") else QueryLine
    decoder, sides = msgspec.json.Decoder(kind), {"query": {}, "passage": {}}
    sizes = [file.stat().st_size for file in files]
    places = np.sort(np.random.default_rng(0).integers(max(sum(sizes), 1), size=PROBED)).tolist()
    for file, size, end in zip(files, sizes, np.cumsum(sizes).tolist(), strict=True):
        with file.open("rb") as stream:
            for place in [place - (end - size) for place in places if end - size <= place < end]:
                stream.seek(place)
                if place:
                    stream.readline()  # the rest of a line
                if not (line := stream.readline()):
                    stream.seek(0)
                    line = stream.readline()
                try:
                    found = decoder.decode(line)
                except (msgspec.DecodeError, RecursionError):
                    continue
                for side, path in _images(found):
                    sides[side][path] = None
    return {side: list(named) for side, named in sides.items() if named}


def _images(line: Any) -> Iterator[tuple[str, str]]:
    """(side, image path) of one line."""
    passage = line.passage_image_path
    for path in passage if isinstance(passage, list) else [passage]:
        if path and path.strip():
            yield "passage", path.strip()
    query = (getattr(line, "image_path", None) or getattr(line, "img_path", None) or "").strip()
    if query:
        yield "query", query
