"""What every backbone looks like to the rest of the house: a text tower, a vision tower, a tokenizer, an image input.

Letters: B batch, T tokens of a text, P visual tokens of an image, E joint embedding size. A tower's layer j is what
block j puts out *before* any final norm (`hidden_states[1:]` in transformers; the embedding output is not counted).
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

log = logging.getLogger(__name__)

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's training images, RGB in 0..1 (openai/CLIP, clip.py)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


class UnsupportedBackbone(ValueError):
    """A model whose towers cannot give hidden states per layer here; the message says which kinds can."""


class TowerOutput(NamedTuple):
    """`hidden`: one (B, tokens, width) tensor per layer asked for. `pooled`: projected global feature, not unit."""

    hidden: tuple[Tensor, ...]
    pooled: Tensor | None


class TokenBatch(NamedTuple):
    """Token ids padded to the longest text of the batch, and 1 for real tokens, 0 for padding."""

    input_ids: Tensor
    attention_mask: Tensor


class Tokenizer(ABC):
    """Texts to ids, cut at the context length with the end token kept."""

    context_length: int

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> TokenBatch: ...

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files that `build` needs; nothing if the library ships the vocabulary."""


@dataclass(frozen=True)
class ImageInput:
    """Side in pixels and colour statistics that a vision tower was trained with."""

    side_px: int
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    interpolation: str = "bicubic"

    def normalise(self, images: UInt8[Tensor, "B side side2 3"], dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 RGB images of the right side to normalised (B, 3, side, side), on the device where they lie."""
        if images.shape[1:] != (self.side_px, self.side_px, 3):
            raise ValueError(
                f"Images of shape {tuple(images.shape[1:])} for a vision tower that takes "
                f"({self.side_px}, {self.side_px}, 3). Pack the images with this side before encoding."
            )
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        return ((pixels - mean) / std).to(dtype)


class Tower(nn.Module, ABC):
    """One modality. `widths[j]` is the hidden size of layer j; a ResNet's stages differ, a transformer's do not."""

    widths: tuple[int, ...]
    output_size: int

    @property
    def layers(self) -> int:
        """Number of layers that can be read."""
        return len(self.widths)

    def drop_unused(self, layers: Sequence[int], pooled: bool) -> tuple[str, ...]:
        """Delete what nobody reads: blocks above the last layer, and final norm and projection unless `pooled`.

        Such parameters would never get a gradient (DDP stops on them) and cost memory. Returns the key prefixes of what
        is gone, so that a checkpoint may still carry them. A tower that gives pooled features stays whole.
        """
        return () if pooled else self._cut(max(layers) + 1)

    @abstractmethod
    def _cut(self, depth: int) -> tuple[str, ...]: ...

    @abstractmethod
    def set_gradient_checkpointing(self, enable: bool) -> None:
        """Recompute activations in the backward pass: less memory, about a third more time."""


class TextTower(Tower):
    """Text side; `context_length` in tokens."""

    context_length: int

    @abstractmethod
    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        *,
        layers: Sequence[int] | None = None,
        pooled: bool = True,
    ) -> TowerOutput:
        """Hidden states (B, T, width) of `layers` (None: all) and, if asked for, the projected end-token feature."""


class VisionTower(Tower):
    """Image side."""

    @abstractmethod
    def forward(
        self, pixel_values: Float[Tensor, "B 3 side side"], *, layers: Sequence[int] | None = None, pooled: bool = True
    ) -> TowerOutput:
        """Hidden states (B, P, width) of `layers` (None: all) and, if asked for, the projected global feature."""


class Backbone(nn.Module):
    """Two towers that were trained together. `spec` holds what `build` needs to make the same architecture again."""

    def __init__(
        self,
        *,
        plugin: str,
        spec: dict[str, Any],
        text: TextTower,
        vision: VisionTower,
        tokenizer: Tokenizer,
        image: ImageInput,
        logit_scale: float,
    ) -> None:
        super().__init__()
        self.plugin, self.spec, self.tokenizer, self.image = plugin, spec, tokenizer, image
        self.text, self.vision = text, vision
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Float[Tensor, "B E"]:
        """Unit text vectors for CLIP zero-shot work."""
        return functional.normalize(self.text(input_ids, attention_mask, layers=()).pooled, dim=-1)

    def encode_image(self, pixel_values: Tensor) -> Float[Tensor, "B E"]:
        """Unit image vectors for CLIP zero-shot work; `pixel_values` come from `image.normalise`."""
        return functional.normalize(self.vision(pixel_values, layers=()).pooled, dim=-1)

    def parameter_counts(self) -> dict[str, int]:
        """Parameters per tower, projections included; the token embedding, often left out in papers, apart as well."""
        text, vision = count_parameters(self.text), count_parameters(self.vision)
        embedding = sum(
            parameter.numel() for name, parameter in self.text.named_parameters() if "token_embedding" in name
        )
        total = count_parameters(self)
        return {"text": text, "text_token_embedding": embedding, "vision": vision, "total": total}


def warn_unpinned(source: str | Path, revision: str | None) -> None:
    """Log a warning if the weights come from a hub without a fixed revision."""
    if revision is None and not Path(source).is_dir():
        log.warning(
            "%s is loaded without a revision, so it may change under you. Set `revision` of its backbone to a commit.",
            source,
        )


def count_parameters(module: nn.Module, trainable_only: bool = False) -> int:
    """Number of parameters; a tensor shared by two modules counts once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def pick(hidden: Sequence[Tensor], layers: Sequence[int] | None) -> tuple[Tensor, ...]:
    """The layers asked for, in the order asked for."""
    return tuple(hidden) if layers is None else tuple(hidden[layer] for layer in layers)
