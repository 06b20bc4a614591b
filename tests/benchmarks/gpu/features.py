"""Speed of CLIP feature extraction: pictures from memory as bytes, normalised on the device, beside ready tensors."""

from typing import Any

import torch

from gpu import retrievers
from gpu.cases import Case, Context
from gpu.measure import Peak, timed


def cases() -> list[Case]:
    """The towers of three published checkpoints."""
    return [Case(name, lambda context, name=name: _speed(context, name)) for name in retrievers.TOWERS if name != "toy"]


def _speed(context: Context, name: str) -> dict[str, Any]:
    """Images and texts per second in bf16."""
    model = retrievers.backbone(context, name).to(context.device).eval()
    size = context.size(512, 5)
    side, device = model.image.side_px, context.device
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8, generator=generator)
    pinned = pictures.pin_memory() if context.cuda else pictures
    ready = model.image.normalise(pictures.to(device))
    ids, mask = model.tokenizer([retrievers.sentence(retrievers.np.random.default_rng(0), 45)] * size)
    ids, mask = ids.to(device), mask.to(device)

    @torch.inference_mode()
    def run(work: Any) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return work()

    options = {"warmup": context.size(5, 1), "repeats": context.size(30, 3), "limit_s": 10.0}
    with Peak(device) as peak:
        whole, _ = timed(
            lambda: run(lambda: model.encode_image(model.image.normalise(pinned.to(device, non_blocking=True)))),
            device,
            **options,
        )
        bare, spread = timed(lambda: run(lambda: model.encode_image(ready)), device, **options)
        texts, _ = timed(lambda: run(lambda: model.encode_text(ids, mask)), device, **options)
    return {
        "images/s": size / whole,
        "bare images/s": size / bare,
        "of the bare pass": bare / whole,
        "spread of the bare pass": spread,
        "texts/s": size / texts,
        **peak.values(),
    }
