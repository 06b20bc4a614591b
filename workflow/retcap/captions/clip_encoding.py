"""Encodes all pictures and texts that are judged by one CLIP encoder, once for all systems of a study.

Texts go in behind the words "A photo depicts", as in the paper (Hessel et al. 2021, section 3), panoramas squashed to
the encoder's square: the whole panorama, twice too narrow.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from retcap.captions.clip_features import ClipFeatures
from retcap.clip.tower import Backbone

log = logging.getLogger(__name__)
PROMPT = "A photo depicts "
BATCH = 64
MANY = 0.01  # texts longer than the encoder reads: a larger share is worth a warning


def encode(
    backbone: Backbone,
    encoder: str,
    pack: Mapping[str, np.ndarray],
    images: Iterable[str],
    texts: Iterable[str],
    device: str = "cpu",
) -> ClipFeatures:
    """Vectors of the pictures with these keys of the pack, and of these texts; each once, blank texts left out."""
    keys = sorted(set(images))
    lines = sorted({text for text in texts if text.strip()}, key=lambda text: (len(text), text))
    backbone = backbone.to(device).eval()
    pictures = _in_batches(keys, lambda part: _images(backbone, [pack[key] for key in part], device))
    cut, vectors = 0, []
    for start in range(0, len(lines), BATCH):
        batch = backbone.tokenizer([PROMPT + text for text in lines[start : start + BATCH]])
        cut += int((batch.attention_mask.sum(dim=1) >= backbone.tokenizer.context_length).sum())
        vectors.append(_text_vectors(backbone, batch, device))
    longest = backbone.tokenizer.context_length
    say = log.warning if cut > MANY * len(lines) else log.info
    say("%d of %d texts fill the %d tokens of %s, which sees no word beyond", cut, len(lines), longest, encoder)
    words = np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)
    return ClipFeatures(encoder, dict(zip(keys, pictures, strict=True)), dict(zip(lines, words, strict=True)), cut)


def _in_batches(keys: Sequence[str], vectors: Any) -> list[np.ndarray]:
    return [row for start in range(0, len(keys), BATCH) for row in vectors(keys[start : start + BATCH])]


def _images(backbone: Backbone, pictures: Sequence[np.ndarray], device: str) -> np.ndarray:
    side = backbone.image.side_px
    squashed = [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in pictures]
    pixels = torch.from_numpy(np.stack([np.asarray(one) for one in squashed])).to(device)
    with torch.inference_mode():
        return backbone.encode_image(backbone.image.normalise(pixels)).float().cpu().numpy()


def _text_vectors(backbone: Backbone, batch: Any, device: str) -> np.ndarray:
    with torch.inference_mode():
        found = backbone.encode_text(batch.input_ids.to(device), batch.attention_mask.to(device))
    return found.float().cpu().numpy()
