"""Vectors of a CLIP encoder for all pictures and texts that are judged: the file between encoding and scoring.

Encoding (`clip_encoding`) needs torch, which takes longer to load than the vectors take to make; scoring does not.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

ABOUT = b"retcap"  # key of the file's metadata


class ClipFeatures(NamedTuple):
    """Unit vectors by picture and by text; `encoder` says whose they are, for the signature."""

    encoder: str
    images: Mapping[str, Float[np.ndarray, " E"]]
    texts: Mapping[str, Float[np.ndarray, " E"]]
    cut: int = 0  # texts that were longer than the encoder reads


def write(features: ClipFeatures, path: Path | str) -> None:
    """One Parquet file: a row per picture and text."""
    rows = [("image", *one) for one in features.images.items()] + [("text", *one) for one in features.texts.items()]
    kinds, keys, vectors = zip(*rows, strict=True) if rows else ((), (), ())
    about = {"encoder": features.encoder, "cut": features.cut}
    schema = pa.schema(
        [("kind", pa.string()), ("key", pa.string()), ("vector", pa.list_(pa.float32()))],
        metadata={ABOUT: json.dumps(about).encode()},
    )
    pq.write_table(pa.table([list(kinds), list(keys), [one.tolist() for one in vectors]], schema=schema), path)


def read(path: Path | str) -> ClipFeatures:
    """Read what `write` wrote."""
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[ABOUT])
    found: dict[str, dict[str, np.ndarray]] = {"image": {}, "text": {}}
    for kind, key, vector in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
        found[kind][key] = np.array(vector, dtype=np.float32)
    return ClipFeatures(about["encoder"], found["image"], found["text"], about["cut"])
