"""Baselines for retrieval without training: CLIP's own features, and random vectors.

Zero-shot fusion is the sum of both features, each times its mask, as in UniIR's CLIP-SF (Wei et al. 2023, section 4.1)
and in mteb's figures for CLIP ("text + image embeddings summed"):

    e = normalise( m_t * f_text + m_v * f_image )

The features are not normalised before the sum by default, so the longer one weighs more; `unit_parts=True` gives both
the same weight.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from retcap.clip.tower import Backbone, Tower
from retcap.features.embedding import Storage, VectorFile, ids_path, shard_rows, write_ids
from retcap.features.tokens import ID_COLUMN, Side

BLOCK = 4_096  # rows whose random vectors are drawn together, so shards of any size give the same vectors


class ZeroShot(nn.Module):
    """A CLIP backbone with the retriever's interface, so that `embedding.embed` takes it as a model."""

    def __init__(self, backbone: Backbone, *, unit_parts: bool = False):
        super().__init__()
        self.backbone, self.unit_parts = backbone, unit_parts
        self.tokenizer, self.image = backbone.tokenizer, backbone.image

    def forward(
        self,
        side: Side,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"],
        pixel_values: Float[Tensor, "B 3 side side"] | None,
        text_mask: Tensor,
        image_mask: Tensor,
    ) -> Float[Tensor, "B H"]:
        """Unit vectors; a row without text and image gives zeros."""
        del side  # queries and passages are treated alike
        total = self._part(self.backbone.text(input_ids, attention_mask, layers=()).pooled, text_mask)
        if pixel_values is not None and bool(image_mask.any()):
            pooled = self.backbone.vision(pixel_values[image_mask], layers=()).pooled
            images = total.new_zeros(total.shape)
            images[image_mask] = pooled.to(total.dtype)
            total = total + self._part(images, image_mask)
        return F.normalize(total, dim=-1)

    def tower(self, side: Side, name: str) -> Tower:
        """The text or vision tower, the same on both sides."""
        del side
        return getattr(self.backbone, name)

    def _part(self, features: Tensor, mask: Tensor) -> Tensor:
        features = features.float()
        return (F.normalize(features, dim=-1) if self.unit_parts else features) * mask[:, None]


def random_vectors(rows: range, size: int, seed: int) -> Iterator[tuple[range, Float[np.ndarray, "N H"]]]:
    """Unit vectors uniform on the sphere, by blocks; row i's vector depends on (seed, i) alone, not on the range."""
    for block in range(rows.start // BLOCK, -(-rows.stop // BLOCK)):
        vectors = np.random.default_rng([seed, block]).standard_normal((BLOCK, size), np.float32)
        here = range(max(rows.start, block * BLOCK), min(rows.stop, (block + 1) * BLOCK))
        part = vectors[here.start - block * BLOCK : here.stop - block * BLOCK]
        yield here, part / np.linalg.norm(part, axis=1, keepdims=True)


def embed_random(
    side: Side,
    parquet: Path | str,
    out_npy: Path | str,
    out_ids: Path | str | None = None,
    *,
    size: int,
    seed: int,
    shard: int = 0,
    shards: int = 1,
    storage: Storage = "float32",
) -> dict[str, Any]:
    """A shard of random vectors in the files that `embedding.embed` writes. Take another seed for each side."""
    rows = shard_rows(np.full(pq.ParquetFile(parquet).metadata.num_rows, -1), shard, shards)  # no pictures: a range
    ids = pq.read_table(parquet, columns=[ID_COLUMN[side]])[ID_COLUMN[side]][rows[0] : rows[-1] + 1].to_pylist()
    with VectorFile(Path(out_npy), len(rows), storage) as file:
        for here, vectors in random_vectors(range(rows[0], rows[-1] + 1), size, seed):
            file.write(np.arange(here.start, here.stop) - rows[0], vectors, ids)
        about = {"random": True, "seed": seed, "storage": storage, "normalised": True, "side": side}
        write_ids(Path(out_ids or ids_path(out_npy)), rows, ids, about)
    return {"rows": len(rows)}
