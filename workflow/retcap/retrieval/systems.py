"""The compared systems: what turns queries and passages into vectors. Their names: `system_names`."""

import hashlib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from retcap.clip import side
from retcap.retrieval.splits.hashing import file_sha256
from retcap.retrieval.system_names import RANDOM, ZERO_SHOT

RANDOM_SIZE = 64  # channels of the random vectors; chance does not depend on it
WEIGHTS = (".safetensors", ".bin", ".pt")  # suffixes of the files that hold them


class Place(NamedTuple):
    """Where vectors of one side of a data set are read from and written to."""

    side: Literal["query", "passage"]
    table: Path
    pack: Path | None  # none for random vectors
    out: Path  # shard-<i>.npy
    ids: Path  # shard-<i>.ids.parquet


def checkpoint(folder: str | None, named: str | None) -> str | None:
    """What a result says about its weights: SHA-256 of the weight files in a folder, else the hub name they have."""
    place = folder or named
    files = sorted(file for file in Path(place).glob("*") if file.suffix in WEIGHTS) if place else []
    if not files:
        return named
    hashes = [file_sha256(file) for file in files]
    return hashes[0] if len(files) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def load(system: str, source: str | None, backbone: dict[str, Any], device: str) -> Any:
    """The encoder of a system; None for the random one. `source`: folder or hub id; `backbone`: its settings."""
    if system == RANDOM:
        return None
    assert source is not None
    if system.startswith(ZERO_SHOT):
        from retcap.features.zero_shot import ZeroShot

        return ZeroShot(side.load(backbone, source)).to(device).eval()
    from retcap.retriever.model import RetrieverModel

    return RetrieverModel.from_pretrained(source).to(device).eval()


def embed(
    model: Any,
    place: Place,
    settings: dict[str, Any],
    *,
    shard: int,
    dataset: str,
    seed: int,
    threads: int,
    progress: Callable[..., Iterable],
) -> dict[str, Any]:
    """Write one shard of one side and return its counts."""
    from retcap.features import embedding, zero_shot

    shards = {"shard": shard, "shards": settings["shards"], "storage": settings["storage"]}
    if model is None:
        seed = zlib.crc32(f"{seed} {dataset} {place.side}".encode())  # else luck would be the same on every set
        return zero_shot.embed_random(
            place.side, place.table, place.out, place.ids, size=RANDOM_SIZE, seed=seed, **shards
        )
    assert place.pack is not None  # else every picture would count as missing
    return embedding.embed(
        model,
        place.side,
        place.table,
        place.pack,
        place.out,
        place.ids,
        batch_size=settings["batch_size"],
        dtype=settings["compute"],
        threads=threads,
        progress=progress,
        **shards,
    )
