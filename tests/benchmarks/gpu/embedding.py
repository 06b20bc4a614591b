"""Speed of embedding beside the bare forward pass of the same batches on ready tensors (goal: 0.9)."""

import itertools
import os
import time
from typing import Any

import torch

from gpu import retrievers
from gpu.cases import Case, Context
from gpu.measure import Peak, finite, synchronise, timed
from retcap.features import tokens
from retcap.features.encoding import Encoder, plan
from retcap.pictures.images import ImagePack

BATCHES = (256, 1024)


def cases() -> list[Case]:
    """Passages, whose texts fill the context, and queries."""
    return [
        Case(f"{side}, batch {batch}", lambda context, side=side, batch=batch: _speed(context, side, batch))
        for side in ("passage", "query")
        for batch in BATCHES
    ]


def _speed(context: Context, side: Any, batch: int) -> dict[str, Any]:
    """Rows per second from a token table and a pack to vectors in memory, tokenising left out."""
    source = retrievers.world(context, *context.size((32_768, 4096), (24, 12)))
    model = retrievers.retriever(context).to(context.device).eval()
    chunks = tokens.tokenise(
        tokens.read(
            getattr(source, f"{'queries' if side == 'query' else 'passages'}"), side, tokens.image_keys(source.pack)
        ),
        model.tokenizer,
    )
    table = tokens.TokenTable.from_chunks(chunks)
    threads = context.size(min(os.cpu_count() or 1, 16), 1)
    size = context.size(batch, 5 if batch == BATCHES[0] else 7)
    encoder = Encoder(model, side, ImagePack(source.pack), batch_size=size, precision="bf16", threads=threads)
    rows = plan(table, torch.arange(len(table)).numpy(), size)
    ready = [retrievers.moved(encoder._inputs(table, part), context.device) for part in rows[: context.size(16, 3)]]
    turn = itertools.cycle(ready)

    @torch.inference_mode()
    def bare() -> torch.Tensor:
        return encoder._model(next(turn))

    seconds, spread = timed(bare, context.device, warmup=len(ready), repeats=2 * len(ready))
    bare_rate = sum(len(part) for part in rows[: len(ready)]) / len(ready) / seconds
    for _ in zip(range(context.size(4, 1)), encoder.run(table), strict=False):  # warm-up
        pass
    with Peak(context.device) as peak:
        start = time.perf_counter()
        vectors = encoder.all(table)
        synchronise(context.device)
        rate = len(table) / (time.perf_counter() - start)
    finite(torch.from_numpy(vectors))
    return {
        "rows/s": rate,
        "bare rows/s": bare_rate,
        "of the bare pass (goal: 0.9)": rate / bare_rate,
        "spread of the bare pass": spread,
        "threads": threads,
        **peak.values(),
    }
