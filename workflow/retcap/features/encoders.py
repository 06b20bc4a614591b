"""What turns pictures and texts into vectors: a CLIP backbone, or raw pixels as the bar that any features must pass."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

PIXELS = "pixels"  # the encoder that knows nothing
PIXELS_SIDE, PIXELS_BLOCK = 64, 8  # px: 8 x 8 means of blocks make 192 numbers
Pictures = UInt8[np.ndarray, "N side side2 3"]


@runtime_checkable
class Encoder(Protocol):
    """Unit vectors of pictures and texts, and what they cost."""

    side_px: int
    resize: str  # mode of `retcap.pictures.pixels.Resize`

    def images(self, pictures: Pictures) -> Float[np.ndarray, "N E"]: ...

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "M E"] | None: ...

    def about(self) -> dict[str, Any]: ...


class PixelEncoder:
    """Pictures shrunk to 8 x 8 pixels, less their mean: what a probe can do without any learned features."""

    side_px, resize = PIXELS_SIDE, "squash"

    def images(self, pictures: Pictures) -> Float[np.ndarray, "N E"]:
        """Unit vectors; a picture of one grey has no direction and becomes a constant one."""
        cells = self.side_px // PIXELS_BLOCK
        blocks = pictures.reshape(len(pictures), cells, PIXELS_BLOCK, cells, PIXELS_BLOCK, 3)
        flat = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(pictures), -1) / 255
        flat = flat - flat.mean(axis=1, keepdims=True)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        plain = np.full_like(flat, flat.shape[1] ** -0.5)
        return np.where(length > 1e-6, flat / np.maximum(length, 1e-6), plain)

    def texts(self, texts: Sequence[str]) -> None:
        """Pixels have no words."""

    def about(self) -> dict[str, Any]:
        """No parameters."""
        return {"encoder": PIXELS, "side_px": self.side_px, "parameters": None, "gflops": None}


class ClipEncoder:
    """A CLIP backbone on a device, computing in `compute` (fp32, bf16 or fp16); vectors come back in float32."""

    def __init__(self, backbone: Any, *, resize: str, device: str, compute: str, batch_size: int) -> None:
        self.backbone = backbone.to(device).eval()
        self.side_px, self.resize = backbone.image.side_px, resize
        self.device, self.compute, self.batch_size = device, compute, batch_size

    def images(self, pictures: Pictures) -> Float[np.ndarray, "N E"]:
        """Projected image vectors."""
        import torch

        parts = []
        for start in range(0, len(pictures), self.batch_size):
            batch = torch.from_numpy(pictures[start : start + self.batch_size]).to(self.device)
            with self._precision():
                parts.append(self.backbone.encode_image(self.backbone.image.normalise(batch)).float().cpu().numpy())
        return _finite(np.concatenate(parts), "pictures")

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "M E"]:
        """Projected text vectors. Texts of like length are encoded together, each distinct one once."""
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        parts = []
        for start in range(0, len(distinct), self.batch_size):
            ids, mask = self.backbone.tokenizer(distinct[start : start + self.batch_size])
            with self._precision():
                parts.append(self.backbone.encode_text(ids.to(self.device), mask.to(self.device)).float().cpu().numpy())
        number = {text: row for row, text in enumerate(distinct)}
        return _finite(np.concatenate(parts), "texts")[[number[text] for text in texts]]

    def about(self) -> dict[str, Any]:
        """Parameters, and billions of floating-point operations of one picture and one text."""
        spec = self.backbone.spec
        return {
            "encoder": self.backbone.plugin,
            "source": spec.get("source"),
            "revision": spec.get("revision"),
            "side_px": self.side_px,
            "compute": self.compute,
            "device": self.device,
            "parameters": self.backbone.parameter_counts(),
            "gflops": gflops(self.backbone, self.device),
        }

    def _precision(self) -> Any:
        import contextlib

        import torch

        stack = contextlib.ExitStack()
        stack.enter_context(torch.inference_mode())
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.compute)
        if kind is not None:
            stack.enter_context(torch.autocast(self.device, kind))
        return stack


def load(name: str, source: str | Path | None, settings: dict[str, Any] | None, device: str, **options: Any) -> Encoder:
    """An encoder by name: `pixels`, or a backbone of the configuration. `source`: its folder, where a rule made it."""
    if name == PIXELS:
        return PixelEncoder()
    from retcap import plugins

    assert settings is not None
    backbone = plugins.load("backbones", settings["plugin"]).load(
        source or settings["checkpoint"], revision=None if source else settings["revision"]
    )
    return ClipEncoder(backbone, device=device, **options)


def gflops(backbone: Any, device: str) -> dict[str, float]:
    """Billions of floating-point operations of one picture and of one text of the longest length.

    The formulas are torch's (`torch.utils.flop_counter`): matrix products, convolutions and attention count, a
    multiply-add as two. Its own counter imports the compiler first, which takes longer than a small model.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        flops = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            count: Any = flop_registry.get(func._overloadpacket)
            self.flops += count(*args, **(kwargs or {}), out_val=result) if count else 0
            return result

    side, length = backbone.image.side_px, backbone.tokenizer.context_length
    picture = torch.zeros(1, 3, side, side, device=device)
    text = torch.ones(1, length, dtype=torch.long, device=device)
    found = {}
    for name, run in (
        ("image", lambda: backbone.encode_image(picture)),
        ("text", lambda: backbone.encode_text(text, torch.ones_like(text))),
    ):
        with torch.enable_grad(), Counter() as counter:  # without gradients whole blocks run as one uncounted kernel
            run()
        found[name] = counter.flops / 1e9
    return found


class Clock:
    """Seconds that encoding alone has taken: decoding and reading are another matter."""

    def __init__(self) -> None:
        self.seconds, self.items = 0.0, 0

    def timed(self, encoder: Encoder, pictures: Pictures) -> Float[np.ndarray, "N E"]:
        """The vectors of some pictures."""
        started = time.perf_counter()
        found = encoder.images(pictures)
        self.seconds += time.perf_counter() - started
        self.items += len(pictures)
        return found


def _finite(vectors: Float[np.ndarray, "N E"], what: str) -> Float[np.ndarray, "N E"]:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise FloatingPointError(
            f"{len(bad)} of {len(vectors)} vectors of {what} are not finite. Check the checkpoint, or compute in fp32."
        )
    return vectors
