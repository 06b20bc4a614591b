"""The GPU gives what the CPU gives. The dry mode compares the CPU with itself, through the same code."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu import retrievers
from gpu.cases import Case, Context
from gpu.measure import Peak, finite, lid, relative
from retcap.features import tokens
from retcap.features.encoding import Encoder

# Largest length of a difference from fp32 on the CPU, in lengths of the CPU's result: (vectors, all gradients).
# fp32: sums in another order. The others are three times what a CPU gives at true size (8 pairs): with bf16 autocast
# 0.0031 and 0.026, with the factors of every product rounded to the 10 bits of TF32 0.00034 and 0.0019.
TOLERANCES = {"fp32": (1e-4, 1e-4), "tf32": (0.001, 0.006), "bf16": (0.01, 0.08)}


def cases() -> list[Case]:
    """All comparisons of this part."""
    from gpu import captioning, processes

    return [
        *(Case(f"retriever {precision}", _retriever(precision)) for precision in TOLERANCES),
        Case("embedding out of memory", embedding_out_of_memory),
        *captioning.cases(),
        *processes.cases(),
    ]


def _retriever(precision: str) -> Any:
    """The comparison in one precision, as a function of the context."""

    def compare(context: Context) -> dict[str, Any]:
        size = context.size(8, 3)
        model = retrievers.retriever(context, dropout_p=0.0, attention_dropout=0.0)
        rows = retrievers.rows_of(
            context, retrievers.world(context, *context.size((256, 64), (24, 12))), model.tokenizer
        )
        wanted = _gradients(context, model, rows, size, torch.device("cpu"), "fp32")
        found = _gradients(context, model, rows, size, context.device, precision)
        vectors, gradients = TOLERANCES[precision]
        values = {
            "vectors differ by": relative(found[0], wanted[0]),
            "allowed": vectors,
            "gradients differ by": relative(found[1], wanted[1]),
            "allowed for gradients": gradients,
            "loss": found[2],
            "loss on the CPU": wanted[2],
        }
        if values["vectors differ by"] > vectors or values["gradients differ by"] > gradients:
            raise AssertionError(f"{precision} on {context.device}: {values}")
        return values

    return compare


def _gradients(
    context: Context, model: Any, rows: Any, size: int, device: torch.device, precision: str
) -> tuple[Tensor, Tensor, float]:
    """(vectors of both sides, all gradients as one vector, loss) of one batch."""
    pair = retrievers.pair_model(model, device)
    pair.zero_grad()
    (batch,) = retrievers.batches(rows, model.tokenizer, size, 1, device)
    with tf32(precision == "tf32"):
        with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
            value, vectors = retrievers.forward(pair, batch)
        value.backward()
    vectors = vectors.detach().cpu()
    gradients = torch.cat([p.grad.detach().cpu().flatten() for p in pair.parameters() if p.grad is not None])
    finite([vectors, gradients, value], f"{precision} on {device}")
    model.to("cpu")
    return vectors, gradients, value.item()


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether products of fp32 matrices and convolutions may round their factors to TF32 within the block.

    By the settings that the Trainer makes too: PyTorch refuses a mixture of these and the older `allow_tf32`.
    """
    backends = (torch.backends, torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [place.fp32_precision for place in backends]
    for place in backends:
        place.fp32_precision = "tf32" if allowed else "ieee"
    try:
        yield
    finally:
        for place, value in zip(backends, before, strict=True):
            place.fp32_precision = value


def embedding_out_of_memory(context: Context) -> dict[str, Any]:
    """With too little memory for the batch asked for, embedding halves it and gives the same vectors.

    fp32 without TF32: another batch size is another order of sums, so equal means equal to 1e-4.
    """
    large, small = context.size((1024, 128), (16, 4))
    model = retrievers.retriever(context).to(context.device).eval()
    source = retrievers.world(context, *context.size((2048, 512), (24, 12)))
    table = tokens.TokenTable.from_chunks(
        tokens.tokenise(tokens.read(source.passages, "passage", tokens.image_keys(source.pack)), model.tokenizer)
    )
    pack = retrievers.images.ImagePack(source.pack)

    def embed(batch_size: int) -> tuple[np.ndarray, int, int]:
        encoder = Encoder(model, "passage", pack, batch_size=batch_size, precision="fp32", threads=context.size(8, 1))
        with Peak(context.device) as peak:
            vectors = encoder.all(table)
        return vectors, encoder.batch_size, peak.reserved

    with tf32(False):
        wanted, _, least = embed(small)
        _, kept, most = embed(large)
        assert kept == large, f"{large} rows per batch did not fit without a lid: ask for fewer"
        with lid(context.device, (least + most) // 2, model, rows=small):
            found, reached, _ = embed(large)
    if reached >= large:
        raise AssertionError(f"memory never ran out: {large} rows per batch went through under the lid")
    difference = float(np.abs(found - wanted).max())
    if difference > 1e-4:
        raise AssertionError(f"vectors differ by {difference} after halving")
    return {"batch asked for": large, "batch reached": reached, "largest difference": difference}
