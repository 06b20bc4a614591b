"""Memory and speed of the captioners at true size with random weights in bf16, on panoramas of real size."""

import time
from typing import Any

import torch

from gpu import captioner_models, estimates
from gpu.captioning import NEEDS, first_logits
from gpu.cases import Case, Context
from gpu.measure import GIB, Peak, finite, synchronise, timed
from retcap import plugins
from retcap.captioning.generate import caption_all

BATCHES = (1, 8, 32, 64)
TOKENS = 64


def cases() -> list[Case]:
    """One case per captioner: a model is built once."""
    return [Case(name, _measured(name), NEEDS.get(name, ())) for name in plugins.names("captioners")]


def _measured(name: str) -> Any:
    def measure(context: Context) -> dict[str, Any]:
        begun = time.perf_counter()
        captioner = captioner_models.captioner(context, name)
        synchronise(context.device)
        built = time.perf_counter() - begun
        batches, tokens = context.size(BATCHES, (1, 3)), context.size(TOKENS, 4)
        items, pack = captioner_models.items(context, batches[-1])
        start = time.perf_counter()
        encoded = [captioner.encode(query, pack[key], key) for _, query, key in items[: batches[-1]]]
        preprocessing = (time.perf_counter() - start) / len({key for _, _, key in items})
        values: dict[str, Any] = {
            "parameters, billions": sum(p.numel() for p in captioner.model.parameters()) / 1e9,
            "weights GiB": estimates.weight_bytes(captioner.model) / GIB,
            "seconds to build": built,
            "preprocessing, s per panorama": preprocessing,
            "prompt tokens": max(item["input_ids"].shape[1] for item in encoded),
        }
        finite(first_logits(captioner, encoded[:1]), f"logits of {name}")
        return (
            values
            | _by_batch(context, captioner, encoded, batches, tokens)
            | _ours(context, captioner, items, pack, tokens)
        )

    return measure


def _by_batch(
    context: Context, captioner: Any, encoded: list[Any], batches: tuple[int, ...], tokens: int
) -> dict[str, Any]:
    """Seconds per caption and peak memory of `model.generate` alone, for every batch that fits; the largest of them."""
    values: dict[str, Any] = {}
    largest = 0
    for size in batches:
        batch = captioner.collate(encoded[:size])

        @torch.inference_mode()
        def generate(batch: Any = batch) -> torch.Tensor:
            return captioner.model.generate(**batch, **captioner.greedy(tokens))

        try:
            with Peak(context.device) as peak:
                seconds, _ = timed(generate, context.device, warmup=1, repeats=context.size(2, 1))
        except torch.OutOfMemoryError:
            values |= {f"batch {size}: s per caption": None, f"batch {size}: peak GiB": None}
            continue
        largest = size
        values |= {f"batch {size}: s per caption": seconds / size, f"batch {size}: peak GiB": peak.allocated / GIB}
    return values | {"largest batch that fits (of those tried)": largest}


def _ours(context: Context, captioner: Any, items: list[Any], pack: Any, tokens: int) -> dict[str, Any]:
    """`caption_all` with its preprocessing, per caption, and its seconds over those of generation alone."""
    size = context.size(8, 3)
    captioner._pixels.clear()
    captioner._texts.clear()
    chosen = items[: context.size(24, 3)]
    synchronise(context.device)
    start = time.perf_counter()
    records = caption_all(captioner, chosen, pack, batch_size=size, max_new_tokens=tokens)
    seconds = time.perf_counter() - start
    failed = [record["reason"] for record in records if record["status"] == "failed"]
    assert not failed, failed[0]
    assert all(record["capped"] and record["tokens"] == tokens for record in records), "a caption ended early"
    return {"caption_all, batch 8: s per caption": seconds / len(chosen)}
