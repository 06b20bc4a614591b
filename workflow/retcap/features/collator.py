"""Joins single rows to batches: padded tokens, stacked images, masks. Letters: B rows, T tokens of the longest text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retcap.contrastive.loss import NO_PASSAGE
from retcap.pictures.images import ImagePack


class Collator:
    """Joins examples to one batch: padded tokens, uint8 images, masks, passage codes, positive sets if asked for."""

    def __init__(self, padding_id: int, positive_sets: bool = False):
        self.padding_id, self.positive_sets = padding_id, positive_sets

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = {side: self.side([row[side] for row in examples]) for side in ("query", "passage")}
        batch["codes"] = torch.tensor([row["code"] for row in examples])
        if self.positive_sets:
            batch["positives"] = pad([row["positives"] for row in examples], NO_PASSAGE)[0]
        return batch

    def side(self, items: list[tuple[np.ndarray, bool, np.ndarray | None]]) -> dict[str, Tensor | None]:
        """Inputs of one side; `pixels` is None when no row has an image."""
        ids, has_text, images = zip(*items, strict=True)
        input_ids, attention_mask = pad(ids, self.padding_id)
        pixels, image_mask = stack_images(images)
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "pixels": pixels,
            "text_mask": torch.tensor(has_text),
            "image_mask": image_mask,
        }


def pad(rows: Sequence[np.ndarray], fill: int) -> tuple[Tensor, Tensor]:
    """(input_ids, attention_mask), both (B, T) int64, filled up on the right to the longest row."""
    longest = max(len(row) for row in rows)
    input_ids = np.full((len(rows), longest), fill, np.int64)
    attention_mask = np.zeros((len(rows), longest), np.int64)
    for at, row in enumerate(rows):
        input_ids[at, : len(row)] = row
        attention_mask[at, : len(row)] = 1
    return torch.from_numpy(input_ids), torch.from_numpy(attention_mask)


def stack_images(images: Sequence[np.ndarray | None]) -> tuple[Tensor | None, Tensor]:
    """(pixels, image_mask): uint8 (B, height, width, 3) with zeros for missing images, None if all are; bool (B,)."""
    mask = torch.tensor([image is not None for image in images])
    present = [image for image in images if image is not None]
    if not present:
        return None, mask
    if len(shapes := {image.shape for image in present}) > 1:
        raise ValueError(
            f"Images of {len(shapes)} sizes in one batch, such as {sorted(shapes)[:2]}. "
            "Build the image pack with mode `cover` or `squash`, so that all have the side the model takes."
        )
    pixels = np.zeros((len(images), *present[0].shape), np.uint8)
    for at, image in enumerate(images):
        if image is not None:
            pixels[at] = image
    return torch.from_numpy(pixels), mask


def image_of(pack: ImagePack | None, key: str | None) -> np.ndarray | None:
    """The packed image, or None where there is none."""
    return pack[key] if pack is not None and key else None
