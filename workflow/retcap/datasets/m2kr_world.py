"""The retrieval world: drawn things with invented names, as the four M2KR sets in their real file formats.

    jsonl/m2kr/{train,valid,test}/*.jsonl   queries and passages, with the irregularities of each published set
    images/...                              64 x 64 px, in the published folder structure
    pairs.csv                               filepath,caption: other pictures of things, to pre-train CLIP on
    world.json                              which entities there are and which of them training never asks about

A thing is a colour, a shape and a pattern. Photos show it anywhere in one of six scenes, sometimes with a second thing;
encyclopedia pictures show it alone, some without colours; a third of the passages leave out its colour or its pattern.
So neither text nor picture is enough alone, the scene must be ignored, and three in ten things of the test are new. The
same sizes and seed give the same bytes (with the same Pillow).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.records import DatasetCard

CARD = DatasetCard(
    name="m2kr_world",
    title="Retrieval world (generated)",
    task="world",
    licence="CC0-1.0 (drawn by this program)",
    source="generated: retcap.datasets.m2kr_world.build",
    citation="none",
    notes="InfoSeek has no validation file and OKVQA's is a copy of its test file, as published.",
)

TEST = "jsonl/m2kr/test"
FILES = {  # data set -> split -> paths below the world's folder
    "m2kr_oven": {
        "train": {"queries": ["jsonl/m2kr/train/oven_train.jsonl"], "passages": []},
        "valid": {"queries": ["jsonl/m2kr/valid/oven_valid.jsonl"], "passages": [f"{TEST}/oven_passages_test.jsonl"]},
        "test": {"queries": [f"{TEST}/oven_test.jsonl"], "passages": [f"{TEST}/oven_passages_test.jsonl"]},
    },
    "m2kr_evqa": {
        "train": {"queries": ["jsonl/m2kr/train/evqa_train.jsonl"], "passages": []},
        "valid": {"queries": ["jsonl/m2kr/valid/evqa_valid.jsonl"], "passages": [f"{TEST}/evqa_passages_test.jsonl"]},
        "test": {"queries": [f"{TEST}/evqa_test_m2kr.jsonl"], "passages": [f"{TEST}/evqa_passages_test.jsonl"]},
    },
    "m2kr_infoseek": {
        "train": {
            "queries": ["jsonl/m2kr/train/infoseek_train.jsonl"],
            "passages": [f"{TEST}/infoseek_passages_test.jsonl"],
        },
        "test": {"queries": [f"{TEST}/infoseek_test.jsonl"], "passages": [f"{TEST}/infoseek_passages_test.jsonl"]},
    },
    "m2kr_okvqa": {
        "train": {
            "queries": ["jsonl/m2kr/train/okvqa_train.jsonl"],
            "passages": [f"{TEST}/okvqa_passages_test.jsonl"],
        },
        "valid": {
            "queries": ["jsonl/m2kr/valid/okvqa_valid.jsonl"],
            "passages": [f"{TEST}/okvqa_passages_test.jsonl"],
        },
        "test": {"queries": [f"{TEST}/okvqa_test.jsonl"], "passages": [f"{TEST}/okvqa_passages_test.jsonl"]},
    },
}
IMAGES = "images"  # root of all image paths, below the world's folder
TRAIN_SIZES = {"m2kr_oven": 1500, "m2kr_evqa": 1500, "m2kr_infoseek": 1700, "m2kr_okvqa": 800}


def build(
    folder: str | Path,
    *,
    seed: int,
    train_queries: Mapping[str, int] | None = None,
    valid_queries: int = 100,
    test_queries: int = 200,
    entities: int = 300,
    okvqa_passages: int = 400,
    pairs: int = 4000,
    captions_per_pair: int = 2,
) -> dict[str, Any]:
    """Write the world into `folder` and return what stands in `world.json`.

    `train_queries` gives rows per data set (default TRAIN_SIZES), `pairs` the number of pre-training pictures.
    """
    from retcap.worlds.m2kr.build import World, write_world

    counts = {**TRAIN_SIZES, **(train_queries or {})}
    unknown = sorted(set(counts) - set(TRAIN_SIZES))
    if unknown:
        raise ValueError(f"train_queries names {', '.join(unknown)}; the world has {', '.join(TRAIN_SIZES)}.")
    world = World(counts, valid_queries, test_queries, entities, okvqa_passages, pairs, captions_per_pair)
    return write_world(Path(folder), world, seed)


def files(folder: str | Path, dataset: str, split: str) -> dict[str, Sequence[Path]]:
    """Query and passage files of one split of one data set in a built world."""
    if dataset not in FILES or split not in FILES[dataset]:
        known = ", ".join(f"{name} {part}" for name, parts in FILES.items() for part in parts)
        raise ValueError(f"The retrieval world has no {dataset} {split}. It has: {known}.")
    return {content: [Path(folder) / name for name in names] for content, names in FILES[dataset][split].items()}
