"""Towers and tokenizer around transformers' CLIPModel.

Sub-modules keep the names that ReT-1 checkpoints carry (`text_model.text_model.…`, `vision_model.vision_model.…`), so
those load by name. Pooling is the library's own: configurations with `eos_token_id == 2` read the highest token id,
all others the first end token (transformers#21029).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModel, CLIPVisionModel, PreTrainedTokenizerBase

from retcap.clip.tower import TextTower, TokenBatch, Tokenizer, TowerOutput, VisionTower, pick


class HfTextTower(TextTower):
    """Causal text transformer with end-token pooling."""

    text_model: Any  # CLIPTextModel
    text_projection: Any  # Linear, None once cut

    def __init__(self, text_model: CLIPTextModel, text_projection: nn.Linear) -> None:
        super().__init__()
        self.text_model, self.text_projection = text_model, text_projection
        self.widths = (text_model.config.hidden_size,) * text_model.config.num_hidden_layers
        self.context_length = text_model.config.max_position_embeddings
        self.output_size = text_projection.out_features

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
        pooled: bool = True,
    ) -> TowerOutput:
        output = self.text_model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        projected = self.text_projection(output.pooler_output) if pooled else None
        return TowerOutput(pick(output.hidden_states[1:], layers), projected)

    def _cut(self, depth: int) -> tuple[str, ...]:
        dropped = _cut_encoder(self.text_model.encoder, self.layers, depth, "text_model")
        self.text_model.final_layer_norm = nn.Identity()
        self.text_projection = None
        self.widths = self.widths[:depth]
        return (*dropped, "text_model.final_layer_norm.", "text_projection.")

    def set_gradient_checkpointing(self, enable: bool) -> None:
        _set_checkpointing(self.text_model, enable)


class HfVisionTower(VisionTower):
    """Vision transformer; visual token 0 is the class token."""

    vision_model: Any  # CLIPVisionModel
    visual_projection: Any  # Linear, None once cut

    def __init__(self, vision_model: CLIPVisionModel, visual_projection: nn.Linear) -> None:
        super().__init__()
        self.vision_model, self.visual_projection = vision_model, visual_projection
        self.widths = (vision_model.config.hidden_size,) * vision_model.config.num_hidden_layers
        self.output_size = visual_projection.out_features

    def forward(self, pixel_values: Tensor, *, layers: Sequence[int] | None = None, pooled: bool = True) -> TowerOutput:
        output = self.vision_model(pixel_values=pixel_values, output_hidden_states=True)
        projected = self.visual_projection(output.pooler_output) if pooled else None
        return TowerOutput(pick(output.hidden_states[1:], layers), projected)

    def _cut(self, depth: int) -> tuple[str, ...]:
        dropped = _cut_encoder(self.vision_model.encoder, self.layers, depth, "vision_model")
        self.vision_model.post_layernorm = nn.Identity()
        self.visual_projection = None
        self.widths = self.widths[:depth]
        return (*dropped, "vision_model.post_layernorm.", "visual_projection.")

    def set_gradient_checkpointing(self, enable: bool) -> None:
        _set_checkpointing(self.vision_model, enable)


class HfTokenizer(Tokenizer):
    """A tokenizer that transformers loads from a folder or the hub."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context_length: int) -> None:
        self.tokenizer, self.context_length = tokenizer, context_length

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        batch = self.tokenizer(
            list(texts), padding="longest", truncation=True, max_length=self.context_length, return_tensors="pt"
        )
        return TokenBatch(batch["input_ids"], batch["attention_mask"])

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)


def towers(model: CLIPModel) -> tuple[HfTextTower, HfVisionTower]:
    """The two towers of one CLIPModel; they share its parameters."""
    return HfTextTower(model.text_model, model.text_projection), HfVisionTower(
        model.vision_model, model.visual_projection
    )


def _cut_encoder(encoder: Any, layers: int, depth: int, name: str) -> tuple[str, ...]:
    encoder.layers = encoder.layers[:depth]
    return tuple(f"{name}.encoder.layers.{layer}." for layer in range(depth, layers))


def _set_checkpointing(model: CLIPTextModel | CLIPVisionModel, enable: bool) -> None:
    if enable:
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.activation_checkpointing_disable()
