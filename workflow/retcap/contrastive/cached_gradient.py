"""Gradients of a batch that does not fit into memory, exactly: cached gradients (Gao et al. 2021, "Scaling deep
contrastive learning batch size under memory limited setup", arXiv 2101.06983).

    1. encode chunk by chunk without a graph, remembering the state of the random generators before each chunk
    2. compute the loss of the whole batch on these vectors, and its gradient with respect to each vector
    3. encode each chunk again, now with a graph and the remembered random state, and push its vectors' gradients
       through

Memory is that of one chunk plus the vectors; the price is one extra forward pass. The random state after the step is
the one after step 1, so dropout draws are the same as without caching.

Exact as long as a row's vectors do not depend on the other rows of its chunk. So batch norms must be in evaluation
mode, where `RetrieverModel` keeps them; one that normalises by its batch is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class RandomState:
    """State of the random generators that dropout draws from: the CPU's and, if there is one, the current GPU's."""

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() and torch.cuda.is_initialized() else None

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda)


def backward(
    encode: Callable[[Any], Sequence[Tensor]],
    chunks: Sequence[Any],
    loss_of: Callable[..., Tensor],
    weight: float = 1.0,
) -> Tensor:
    """Add `weight` times the loss's gradients to the parameters' `.grad`, and return the loss, detached.

    `encode(chunk)` gives one or more tensors of rows; `loss_of` takes each of them joined over all chunks. Parameters
    that `loss_of` uses itself (a temperature) get their gradient in step 2. Collectives belong into `loss_of`, never
    into `encode`.
    """
    states, encoded = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(RandomState())
            encoded.append(encode(chunk))
    after = RandomState()
    joined = [torch.cat(parts).requires_grad_() for parts in zip(*encoded, strict=True)]
    loss = loss_of(*joined)
    (loss * weight).backward()
    sizes = [len(parts[0]) for parts in encoded]
    gradients = zip(*(torch.split(vectors.grad, sizes) for vectors in joined), strict=True)  # pyright: ignore
    for chunk, state, chunk_gradients in zip(chunks, states, gradients, strict=True):
        state.restore()
        outputs = encode(chunk)
        torch.autograd.backward(list(outputs), list(chunk_gradients))
    after.restore()
    return loss.detach()


def refuse_batch_norms(model: nn.Module) -> None:
    """Raise if a module of a model in training mode would normalise by the rows of one chunk."""
    norms = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    if norms:
        raise ValueError(
            f"chunk_size would change the training: {len(norms)} batch norms normalise by the chunk, first {norms[0]}. "
            "Set chunk_size to null, or keep them in evaluation mode, as RetrieverModel does."
        )


def split(inputs: Any, size: int) -> list[Any]:
    """A nested batch in pieces of `size` rows; None stays None.

    >>> split({"a": torch.arange(3), "b": None}, 2)
    [{'a': tensor([0, 1]), 'b': None}, {'a': tensor([2]), 'b': None}]
    """
    rows = _rows(inputs)
    return [_cut(inputs, start, start + size) for start in range(0, rows, size)]


def _rows(inputs: Any) -> int:
    if isinstance(inputs, Mapping):
        return max(_rows(value) for value in inputs.values())
    return 0 if inputs is None else len(inputs)


def _cut(inputs: Any, start: int, stop: int) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _cut(value, start, stop) for name, value in inputs.items()}
    return None if inputs is None else inputs[start:stop]
