"""Captions as tokens beside the vectors of their pictures, from a folder of features."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from retcap.contrastive.sampler import Key
from retcap.features.frozen import Features


class Batch(TypedDict):
    """B pictures with a caption each, padded on the right."""

    vectors: Tensor  # B D
    tokens: Tensor  # B T
    mask: Tensor  # B T: where there is a token


class CaptionRows(Dataset):
    """Every caption of a split with the row of its picture.

    A caption ends with the end token, so that the model learns to stop; one that is longer than `longest` tokens is cut
    and does not end. `cut` counts these. `length`: what the unit vectors of the features are stretched to.
    """

    def __init__(self, features: Features, split: str, tokenizer: Any, *, longest: int, length: float) -> None:
        pictures = features.rows(split)
        captions = features.items["captions"]
        texts = [text for row in pictures for text in captions[row]]
        if not texts:
            raise ValueError(f"There is no caption in the split `{split}` (pictures: {len(pictures)}).")
        self.pictures = np.repeat(pictures, [len(captions[row]) for row in pictures])
        encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
        self.cut = sum(len(ids) + 1 > longest for ids in encoded)
        self.tokens = [np.array([*ids, tokenizer.eos_token_id][:longest]) for ids in encoded]
        self.vectors, self.length = features.images, length

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, key: int | Key) -> tuple[np.ndarray, np.ndarray]:
        row = key[1] if isinstance(key, tuple) else key
        return self.vectors[self.pictures[row]], self.tokens[row]

    def collate(self, rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> Batch:
        """Rows as one batch, as wide as its longest caption."""
        tokens = np.zeros((len(rows), max(len(ids) for _, ids in rows)), np.int64)
        mask = np.zeros(tokens.shape, bool)
        for at, (_, ids) in enumerate(rows):
            tokens[at, : len(ids)] = ids
            mask[at, : len(ids)] = True
        vectors = np.stack([vector for vector, _ in rows]) * np.float32(self.length)
        return Batch(vectors=torch.from_numpy(vectors), tokens=torch.from_numpy(tokens), mask=torch.from_numpy(mask))

    def batches(self, size: int) -> list[list[int]]:
        """All rows, those of like length together, so that little is padded."""
        order = sorted(range(len(self)), key=lambda row: (len(self.tokens[row]), row))
        return [order[start : start + size] for start in range(0, len(order), size)]
