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


def tiles(items: list[Encoded]) -> list[int] | None:
    """Into how many tiles each item's picture was cut: the second of five axes; None for a model without such."""
    cut = [max((tensor.shape[1] for tensor in item.values() if tensor.ndim == 5), default=0) for item in items]
    return cut if any(cut) else None


def stack(parts: list[Tensor], counts: list[int] | None = None) -> Tensor:
    """Image tensors along the first axis. Those with `counts` tiles, pixels and masks, are filled up with empty ones.

    >>> stack([torch.ones(1, 1, 2), torch.ones(1, 2, 2)], counts=[1, 2]).sum(dim=-1).tolist()
    [[2.0, 0.0], [2.0, 2.0]]
    """
    if counts is not None and [part.shape[1] if part.ndim > 1 else None for part in parts] == counts:
        width = max(counts)
        parts = [
            torch.nn.functional.pad(part, (0, 0) * (part.ndim - 2) + (0, width - count))
            for part, count in zip(parts, counts, strict=True)
        ]
    return torch.cat(parts)
