"""Exact search of 5,000 queries among 1,000,000 vectors of width 512, beside the raw product."""

from typing import Any

import numpy as np
import torch

from gpu.cases import Case, Context, LeftOut
from gpu.correctness import tf32
from gpu.measure import Peak, timed

DEPTH = 100
BLOCK = 100_000  # passages per product
PRECISIONS = ("fp32", "tf32", "bf16")


def cases() -> list[Case]:
    """By torch, which is everywhere, and by the package's search, which needs faiss."""
    return [
        *(Case(f"torch, {precision}", lambda context, p=precision: _by_torch(context, p)) for precision in PRECISIONS),
        Case("the package's exact search", _by_package, needs=("faiss",)),
    ]


def _vectors(context: Context) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors on the device in fp32: queries near one passage each, so that there is something to find."""
    queries, passages, width = context.size((5000, 1_000_000, 512), (7, 200, 16))
    generator = torch.Generator(context.device).manual_seed(0)
    drawn = torch.randn(passages, width, generator=generator, device=context.device)
    corpus = torch.nn.functional.normalize(drawn, dim=1)
    noise = torch.randn(queries, width, generator=generator, device=context.device)
    near = corpus[:queries] + noise * width**-0.5
    return torch.nn.functional.normalize(near, dim=1), corpus


def _by_torch(context: Context, precision: str) -> dict[str, Any]:
    """Blocked products with a running top-k, beside the products alone; and how much is found of what fp32 finds."""
    queries, corpus = _vectors(context)
    block, depth = context.size(BLOCK, 64), context.size(DEPTH, 5)
    wanted = topk(queries, corpus, depth, block)[1]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    queries, corpus = queries.to(dtype), corpus.to(dtype)
    options = {"warmup": context.size(2, 1), "repeats": context.size(10, 3), "limit_s": 20.0}
    with tf32(precision == "tf32"), Peak(context.device) as peak:
        product, _ = timed(lambda: _products(queries, corpus, block), context.device, **options)
        whole, spread = timed(lambda: topk(queries, corpus, depth, block)[0], context.device, **options)
        found = topk(queries, corpus, depth, block)[1]
    return {
        "seconds": whole,
        "raw product, seconds": product,
        "times the product": whole / product,
        "spread": spread,
        f"of fp32's best {depth} found": _shared(found, wanted),
        "best one the same": float((found[:, 0] == wanted[:, 0]).float().mean()),
        **peak.values(),
    }


def _products(queries: torch.Tensor, corpus: torch.Tensor, block: int) -> torch.Tensor:
    """The products of all blocks, each thrown away; the largest score of the last."""
    for start in range(0, len(corpus), block):
        scores = queries @ corpus[start : start + block].T
    return scores[:, 0]


def topk(queries: torch.Tensor, corpus: torch.Tensor, depth: int, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores, places) of the best `depth` passages of each query, block by block."""
    best = queries.new_empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(corpus), block):
        scores, here = (queries @ corpus[start : start + block].T).topk(min(depth, len(corpus) - start), dim=1)
        best, places = torch.cat([best, scores], dim=1), torch.cat([places, here + start], dim=1)
        best, order = best.topk(min(depth, best.shape[1]), dim=1)
        places = places.gather(1, order)
    return best, places


def _shared(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found[:, :, None] == wanted[:, None, :]).any(dim=2).float().mean())


def _by_package(context: Context) -> dict[str, Any]:
    """`exact_search`, which has a defined order and scores its candidates again in fp64, beside one call of faiss."""
    import faiss

    from retcap.features.vectors import Vectors
    from retcap.search.exact import exact_search

    if context.cuda and not (hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus()):
        raise LeftOut("faiss here was built without GPUs")
    queries, corpus = (vectors.cpu().numpy() for vectors in _vectors(context))
    depth = context.size(DEPTH, 5)
    options = {"warmup": 1, "repeats": 3}
    resources = faiss.StandardGpuResources() if context.cuda else None

    def bare() -> np.ndarray:
        if resources is not None:
            return faiss.knn_gpu(resources, queries, corpus, depth, metric=faiss.METRIC_INNER_PRODUCT)[0]
        return faiss.knn(queries, corpus, depth, metric=faiss.METRIC_INNER_PRODUCT)[0]

    ours, theirs = Vectors.of(queries.astype(np.float16)), Vectors.of(corpus.astype(np.float16))
    raw, _ = timed(bare, context.device, **options)
    whole, spread = timed(lambda: exact_search(ours, theirs, depth, gpu=context.cuda).score, context.device, **options)
    return {"seconds": whole, "bare faiss, seconds": raw, "times faiss": whole / raw, "spread": spread}
