"""Collects rows from all ranks, with gradients and with different numbers of rows per rank.

Everything works without a process group too: then there is one rank and nothing to collect.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn


def ranks() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if ranks() > 1 else 0


def from_first(value: bool) -> bool:
    """What rank 0 says, on every rank."""
    if ranks() == 1:
        return value
    said = [value]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def rows(local: Float[Tensor, "B H"]) -> Float[Tensor, "N H"]:
    """Rows of all ranks in the order of the ranks.

    The gradient of a row is the sum over ranks of the gradients of their losses: every rank's loss sees every row.
    """
    return _Rows.apply(local) if ranks() > 1 else local


def labels(local: Int[Tensor, "B ..."], fill: int = 0) -> Int[Tensor, "N ..."]:
    """Integers of all ranks, without gradient; a second axis may differ between ranks and is filled up with `fill`."""
    if ranks() == 1:
        return local
    if local.ndim == 2:
        width = max(_sizes(local.shape[1], local.device))
        local = F.pad(local, (0, width - local.shape[1]), value=fill)
    return torch.cat(_collect(local, _sizes(len(local), local.device)))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over ranks, as DDP would; where it is missing it counts as 0."""
    if ranks() == 1:
        return
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= ranks()


def _sizes(size: int, device: torch.device) -> list[int]:
    sizes = torch.empty(ranks(), dtype=torch.int64, device=device)
    dist.all_gather_into_tensor(sizes, torch.tensor([size], device=device))
    return sizes.tolist()


def _collect(local: Shaped[Tensor, "B ..."], sizes: list[int]) -> list[Tensor]:
    """Tensors of all ranks. Collectives need equal shapes, so each is padded to the longest and cut again."""
    longest = max(sizes)
    padded = local.new_zeros((longest, *local.shape[1:]))
    padded[: len(local)] = local
    collected = local.new_empty((ranks() * longest, *local.shape[1:]))
    dist.all_gather_into_tensor(collected, padded)
    return [part[:size] for part, size in zip(collected.split(longest), sizes, strict=True)]


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, local: Tensor) -> Tensor:
        sizes = _sizes(len(local), local.device)
        ctx.start = sum(sizes[: rank()])
        ctx.size = len(local)
        return torch.cat(_collect(local.contiguous(), sizes))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()  # autograd may hand out an expanded or a shared tensor; all_reduce works in place
        dist.all_reduce(gradient)
        return gradient[ctx.start : ctx.start + ctx.size]
