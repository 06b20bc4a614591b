"""Puts the retrieval world together: entities, four data sets, pre-training pairs, and a record of what was made."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retcap.retrieval.m2kr.normalise import WORLD_RECORD
from retcap.worlds.m2kr import sets, texts
from retcap.worlds.m2kr.album import Album
from retcap.worlds.m2kr.looks import Entity, all_looks, make_entities
from retcap.worlds.m2kr.sets import Files, Sizes

TWINS = 0.1  # share of entities that look like another one: only a lucky rank tells them apart
UNSEEN = 0.3  # share of entities that training never asks about
PICTURED = 0.85  # share of encyclopedia articles with a picture


class World(NamedTuple):
    """Sizes of a world."""

    train_queries: dict[str, int]
    valid_queries: int
    test_queries: int
    entities: int
    okvqa_passages: int
    pairs: int
    captions_per_pair: int


def write_world(folder: Path, world: World, seed: int) -> dict[str, Any]:
    """Write all files. Each part draws from its own stream: a changed size of one leaves the others as they are."""
    streams = iter(np.random.default_rng(seed).spawn(7))
    entities = make_entities(world.entities, twins=TWINS, unseen=UNSEEN, rng=next(streams))
    images = folder / "images"
    plates = draw_plates(entities, images, next(streams))

    def parts(dataset: str) -> tuple[Sizes, Album, np.random.Generator]:
        rng = next(streams)
        sizes = Sizes(world.train_queries[dataset], world.valid_queries, world.test_queries)
        return sizes, Album(images, rng), rng

    files: Files = {}
    sizes, album, rng = parts("m2kr_oven")
    files |= sets.oven(entities, sizes, album, plates, rng)
    sizes, album, rng = parts("m2kr_evqa")
    files |= sets.evqa(entities[: max(1, 2 * len(entities) // 3)], sizes, album, rng)
    sizes, album, rng = parts("m2kr_infoseek")
    files |= sets.infoseek(entities, sizes._replace(valid=0), album, plates, rng)
    sizes, album, rng = parts("m2kr_okvqa")
    files |= sets.okvqa(world.okvqa_passages, sizes, album, rng)
    for name, lines in files.items():
        write_lines(folder / name, lines)
    write_pairs(folder, world, next(streams))
    return write_record(folder, world, seed, entities, files)


def draw_plates(entities: list[Entity], images: Path, rng: np.random.Generator) -> dict[str, str | None]:
    """One encyclopedia picture per entity, or none; the first picture is a broken download."""
    album = Album(images, rng)
    plates: dict[str, str | None] = {}
    for number, entity in enumerate(entities):
        path = sets.wiki_path(entity.wikidata)
        if number == 0:
            plates[entity.wikidata] = album.damaged(path)
        else:
            plates[entity.wikidata] = album.plate(path, entity.look) if rng.random() < PICTURED else None
    return plates


def write_pairs(folder: Path, world: World, rng: np.random.Generator) -> None:
    """`pairs.csv` with `captions_per_pair` rows per picture, for open_clip's reader (`--csv-separator ,`)."""
    looks, album = all_looks(), Album(folder, rng)
    with (folder / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["filepath", "caption"])
        for number in range(world.pairs):
            look, second = looks[rng.integers(len(looks))], album.clutter()
            path, scene = album.scene_of(f"images/pairs/{number // 500:03d}/{number:06d}.jpg", look, second)
            for _ in range(world.captions_per_pair):
                rows.writerow([path, texts.caption(look, scene, second, rng)])


def write_lines(path: Path, lines: list[sets.Line]) -> None:
    """JSON lines; a broken line is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n")


def write_record(folder: Path, world: World, seed: int, entities: list[Entity], files: Files) -> dict[str, Any]:
    """`world.json`: sizes, seed, entities with their looks, lines per file."""
    record = {
        "seed": seed,
        "sizes": world._asdict(),
        "lines": {name: len(lines) for name, lines in sorted(files.items())},
        "entities": [{**entity._asdict(), "look": entity.look._asdict()} for entity in entities],
    }
    (folder / WORLD_RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record
