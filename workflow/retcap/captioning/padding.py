"""Many encoded items as one batch: token columns padded, image tensors stacked."""

import torch
from torch import Tensor

# Tensors with one column per token, and what pads them; `None` stands for the pad token of the tokenizer at hand.
TOKEN_FIELDS: dict[str, int | None] = {
    "input_ids": None,
    "attention_mask": 0,
    "token_type_ids": 0,
    "mm_token_type_ids": 0,
    "qformer_input_ids": None,
    "qformer_attention_mask": 0,
}

Encoded = dict[str, Tensor]  # of one item: batch dimension 1, unpadded


def pad(parts: list[Tensor], filler: int, side: str) -> Tensor:
    """Rows of unequal length, each 1 x length, as one items x longest tensor."""
    width = max(part.shape[1] for part in parts)
    rows = []
    for part in parts:
        missing = width - part.shape[1]
        before, after = (missing, 0) if side == "left" else (0, missing)
        rows.append(torch.nn.functional.pad(part, (before, after), value=filler))
    return torch.cat(rows)


def stack(parts: list[Tensor]) -> Tensor:
    """Image tensors along the first axis; an axis of tiles (the second of five) is filled up with zeros."""
    if parts[0].ndim == 5:
        tiles = max(part.shape[1] for part in parts)
        parts = [torch.nn.functional.pad(part, (0, 0) * 3 + (0, tiles - part.shape[1])) for part in parts]
    return torch.cat(parts)
