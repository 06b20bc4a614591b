"""Vectors of a CLIP encoder for all pictures and texts that are judged, made once for all systems of a study.

The encoder needs torch, which takes longer to load than the vectors take to make; scoring has none of it. Texts go in
behind the words "A photo depicts", as in the paper (Hessel et al. 2021, section 3), panoramas squashed to the encoder's
square: the whole panorama, twice too narrow.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

if TYPE_CHECKING:
    from retcap.clip.tower import Backbone

log = logging.getLogger(__name__)
PROMPT = "A photo depicts "
BATCH = 64
ABOUT = b"retcap"  # key of the file's metadata


class ClipFeatures(NamedTuple):
    """Unit vectors by picture and by text; `encoder` says whose they are, for the signature."""

    encoder: str
    images: Mapping[str, Float[np.ndarray, " E"]]
    texts: Mapping[str, Float[np.ndarray, " E"]]
    cut: int = 0  # texts that were longer than the encoder reads


def encode(
    backbone: "Backbone",
    encoder: str,
    pack: Mapping[str, np.ndarray],
    images: Iterable[str],
    texts: Iterable[str],
    device: str = "cpu",
) -> ClipFeatures:
    """Vectors of the pictures with these keys of the pack, and of these texts; each once, blank texts left out."""
    keys, lines = (
        sorted(set(images)),
        sorted({text for text in texts if text.strip()}, key=lambda text: (len(text), text)),
    )
    backbone = backbone.to(device).eval()
    pictures = _in_batches(keys, lambda part: _images(backbone, [pack[key] for key in part], device))
    cut, vectors = 0, []
    for start in range(0, len(lines), BATCH):
        batch = backbone.tokenizer([PROMPT + text for text in lines[start : start + BATCH]])
        cut += int((batch.attention_mask.sum(dim=1) >= backbone.tokenizer.context_length).sum())
        vectors.append(_text_vectors(backbone, batch, device))
    if cut:
        log.warning(
            "%d of %d texts fill the %d tokens of %s", cut, len(lines), backbone.tokenizer.context_length, encoder
        )
    words = np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)
    return ClipFeatures(encoder, dict(zip(keys, pictures, strict=True)), dict(zip(lines, words, strict=True)), cut)


def _in_batches(keys: Sequence[str], vectors: Any) -> list[np.ndarray]:
    return [row for start in range(0, len(keys), BATCH) for row in vectors(keys[start : start + BATCH])]


def _images(backbone: "Backbone", pictures: Sequence[np.ndarray], device: str) -> np.ndarray:
    import torch
    from PIL import Image

    side = backbone.image.side_px
    squashed = [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in pictures]
    pixels = torch.from_numpy(np.stack([np.asarray(one) for one in squashed])).to(device)
    with torch.inference_mode():
        return backbone.encode_image(backbone.image.normalise(pixels)).float().cpu().numpy()


def _text_vectors(backbone: "Backbone", batch: Any, device: str) -> np.ndarray:
    import torch

    with torch.inference_mode():
        found = backbone.encode_text(batch.input_ids.to(device), batch.attention_mask.to(device))
    return found.float().cpu().numpy()


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
