"""A small retrieval world on disk for the tests of training and embedding: names, colours, images in real files."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from retcap.config.retrieval import RetrievalTraining
from retcap.contrastive.settings import TrainingJob
from retcap.pictures import images, pixels

SIDE = 16
WORDS = ["a", "ab", "b", "d", "disc", "e", "i", "k", "l", "ring", "square", "u"]
LIST = pa.list_(pa.string())


def write_world(folder: Path, *, entities: int = 11, queries: int = 37, seed: int = 0, name: str = "world") -> Path:
    """queries.parquet, passages.parquet and pack/ below `folder`.

    Every third passage has no image, every fifth no text, one path is missing on disk; every fourth query has no image
    and every seventh two positives; ids are digit strings with leading zeros.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    names = [" ".join(pair) for pair in itertools.islice(itertools.permutations(WORDS, 2), entities)]
    colours = rng.integers(0, 256, (entities, 3))
    files = []

    def picture(path: str, entity: int) -> str:
        noise = rng.integers(-20, 21, (SIDE + 4, SIDE, 3))
        Image.fromarray((colours[entity] + noise).clip(0, 255).astype(np.uint8)).save(folder / path)
        files.append((path, folder / path))
        return path

    passages = [
        {
            "row": entity,
            "passage_id": f"{entity:04d}",
            "dataset": name,
            "split": "train",
            "text": None if entity % 5 == 4 else f"the {names[entity]} is number {entity}.",
            "image": None if entity % 3 == 2 and entity % 5 != 4 else picture(f"images/p{entity}.png", entity),
        }
        for entity in range(entities)
    ]
    shown = [int(rng.integers(entities)) for _ in range(queries)]
    rows = [
        {
            "row": row,
            "query_id": f"q{row}",
            "dataset": name,
            "split": "train",
            "instruction": "Find: ",
            "question": f"what is the {names[entity]}?",
            "image": None if row % 4 == 3 else picture(f"images/q{row}.png", entity),
            "answers": [f"number {entity}."],
            "positives": [f"{entity:04d}"] + ([f"{(entity + 1) % entities:04d}"] if row % 7 == 0 else []),
        }
        for row, entity in enumerate(shown)
    ]
    missing = "images/missing.png"
    rows[1]["image"] = missing
    files.append((missing, folder / missing))
    write_rows(folder / "passages.parquet", passages)
    write_rows(folder / "queries.parquet", rows)
    images.build(folder / "pack", files, pixels.Resize("cover", SIDE, SIDE))
    return folder


def write_rows(path: Path, rows: list[dict], row_group_size: int = 8) -> None:
    """A Parquet file with the house's types."""
    types = {"row": pa.int64(), "positives": LIST, "answers": LIST}
    schema = pa.schema([(column, types.get(column, pa.string())) for column in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=row_group_size)


def tiny_model(folder: Path, **settings) -> Path:
    """A saved RetrieverModel on the random CLIP of `tiny_backbones`: vectors of size 8, 3 query tokens."""
    from retcap import plugins
    from retcap.retriever.config import ReTConfig
    from retcap.retriever.model import RetrieverModel
    from tiny_backbones import save_hf_clip

    backbone = plugins.load("backbones", "clip_hf").load(save_hf_clip(folder / "clip"))
    defaults = {"hidden_size": 8, "num_queries": 3, "num_heads": 2, "dropout_p": 0.1, "attention_dropout": 0.1}
    config = ReTConfig(**(defaults | settings))
    return RetrieverModel.build(config, backbone, seed=3).save_pretrained(folder / "initial")


def source(folder: Path, name: str = "world", **options) -> dict:
    """A set's files as `TrainingJob` names them."""
    files = {side: str(folder / f"{side}.parquet") for side in ("queries", "passages")}
    return {"name": name, **files, "pack": str(folder / "pack"), **options}


def settings() -> dict:
    """What a training job has of the config's training: its defaults."""
    values = RetrievalTraining().model_dump()
    return {name: value for name, value in values.items() if name in TrainingJob.__struct_fields__}


def job(world: Path, initial: Path, scratch: Path, **options) -> TrainingJob:
    """A short run on the CPU; `options` override."""
    import msgspec

    own = {
        "initial": str(initial),
        "train": [source(world)],
        "validation": [source(world)],
        "scratch": str(scratch),
        "output": str(scratch.with_name(f"{scratch.name}-model")),
        "seed": 5,
        "epochs": 3,
        "per_device_batch_size": 8,
        "learning_rate": 3e-3,
        "log_steps": 2,
        "save_steps": 2,
        "device": "cpu",
    }
    return msgspec.convert(settings() | own | options, TrainingJob)
