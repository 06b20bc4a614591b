"""Correctness of captioning: what a caption's batch does to it, and what full memory does."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu import captioner_models
from gpu.cases import Case, Context
from gpu.correctness import tf32
from gpu.measure import Peak, finite, lid
from retcap import plugins
from retcap.captioning import model
from retcap.captioning.generate import caption_all

FP32_ATOL = 1e-4  # of first-step logits; wrong padding gives a hundred times as much and more
TOKENS = 8
NEEDS = {"qwen2.5-vl-3b": ("torchvision",), "internvl3-2b": ("torchvision",)}  # their video processors import it


def cases() -> list[Case]:
    """All comparisons of this file."""
    return [
        *(Case(f"batches of {name}", _batches(name), NEEDS.get(name, ())) for name in plugins.names("captioners")),
        Case("captioning out of memory", out_of_memory),
    ]


def _batches(name: str) -> Any:
    """What a batch of prompts of unequal length does to the captions of a tiny captioner, as a function."""

    def compare(context: Context) -> dict[str, Any]:
        folder = captioner_models.tiny(context, name)
        rng = np.random.default_rng(0)
        pack = [rng.integers(0, 256, (64, 128, 3), dtype=np.uint8) for _ in captioner_models.QUERIES]
        values: dict[str, Any] = {}
        for dtype in ("float32", "bfloat16"):
            captioner = model.load(plugins.load("captioners", name), folder, device=str(context.device), dtype=dtype)
            items = [
                captioner.encode(query, image, query)
                for query, image in zip(captioner_models.QUERIES, pack, strict=True)
            ]
            assert len({item["input_ids"].shape[1] for item in items}) > 1, "no padding to trip over"
            with tf32(False):
                alone = torch.cat([first_logits(captioner, [item]) for item in items])
                together = first_logits(captioner, items)
                texts = [captioner.generate([item], TOKENS)[0].text for item in items]
                same = sum(map(str.__eq__, texts, (caption.text for caption in captioner.generate(items, TOKENS))))
            finite([alone, together], f"logits of {name} in {dtype}")
            short = {"float32": "fp32", "bfloat16": "bf16"}[dtype]
            values[f"{short}: logits differ by"] = float((together - alone).abs().max())
            values[f"{short}: same captions"] = f"{same} of {len(items)}"
        values["spread of the logits"] = float(alone.std())
        if values["fp32: logits differ by"] > FP32_ATOL:
            raise AssertionError(f"{name} on {context.device}: a batch changes its items: {values}")
        return values

    return compare


def first_logits(captioner: model.Captioner, items: list[dict[str, Tensor]]) -> Tensor:
    """Logits of the first new token of every item, as generation sees them (items x vocabulary, fp32, CPU)."""
    with torch.inference_mode():
        made = captioner.model.generate(
            **captioner.collate(items), **captioner.greedy(1), output_logits=True, return_dict_in_generate=True
        )
    return made.logits[0].float().cpu()


def out_of_memory(context: Context) -> dict[str, Any]:
    """With too little memory for the batch asked for, captioning halves it and gives the same captions.

    LLaVA-1.5 at true width with three layers in fp32, so that a batch is gigabytes; one query, so it is one bucket.
    """
    large, small = context.size((32, 8), (4, 2))
    captioner = captioner_models.captioner(context, "llava-1.5-7b", dtype="float32", layers=3)
    items, pack = captioner_models.items(context, large, captioner_models.QUERIES[:1])
    sizes: list[int] = []
    real = captioner.generate

    def counted(batch: list[Any], most: int) -> list[model.Caption]:
        made = real(batch, most)
        sizes.append(len(batch))
        return made

    def captions(batch_size: int) -> tuple[list[str], int]:
        sizes.clear()
        with Peak(context.device) as peak:
            records = caption_all(captioner, items, pack, batch_size=batch_size, max_new_tokens=TOKENS)
        assert all(record["status"] != "failed" for record in records), records
        return [record["raw"] for record in records], peak.reserved

    captioner.generate = counted
    with tf32(False):
        wanted, least = captions(small)
        _, most = captions(large)
        widest = max(sizes)
        with lid(context.device, (least + most) // 2, captioner.model, rows=small):
            found, _ = captions(large)
    if max(sizes) >= widest:
        raise AssertionError(f"memory never ran out: batches of {sorted(set(sizes))} went through under the lid")
    if found != wanted:
        differ = sum(map(str.__ne__, found, wanted))
        raise AssertionError(f"{differ} of {len(wanted)} captions are others after halving")
    return {"batch without the lid": widest, "batch reached": max(sizes), "captions that differ": 0}
