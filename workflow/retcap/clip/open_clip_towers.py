"""Towers and tokenizer around open_clip: ViT and ModifiedResNet image towers, causal text transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transformer import VisionTransformer, text_global_pool
from torch import Tensor, nn

from retcap.clip.tower import TextTower, TokenBatch, Tokenizer, TowerOutput, UnsupportedBackbone, VisionTower, pick


class OpenClipTextTower(TextTower):
    """open_clip's causal text transformer, run on as many positions as the batch has, not always the whole context."""

    attn_mask: Tensor
    text_projection: Any  # parameter, Linear or None

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        text: Any = getattr(model, "text", model)  # CustomTextCLIP keeps the text side apart, CLIP holds it flat
        if getattr(text, "attn_mask", None) is None or getattr(text, "cls_emb", None) is not None:
            raise UnsupportedBackbone(
                f"The text side of {type(model).__name__} is not a causal transformer with end-token pooling. "
                "Use a CLIP text tower without `hf_model_name`, `no_causal_mask` and `embed_cls`."
            )
        self.token_embedding: Any = text.token_embedding
        self.transformer: Any = text.transformer
        self.positional_embedding: Any = text.positional_embedding
        self.ln_final: Any = text.ln_final
        self.text_projection = text.text_projection
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        self.pool_type = str(getattr(text, "text_pool_type", None) or text.pool_type)
        self.eos_id: int | None = getattr(text, "text_eos_id", None) or getattr(text, "eos_id", None)
        self.context_length = int(text.context_length)
        self.widths = (self.transformer.width,) * self.transformer.layers
        self.output_size = self._project(torch.zeros(1, self.widths[0])).shape[-1]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
        pooled: bool = True,
    ) -> TowerOutput:
        del attention_mask  # padding follows the end token, and the causal mask already hides it from every real token
        length = input_ids.shape[1]
        states = self.token_embedding(input_ids) + self.positional_embedding[:length]
        final, hidden = self.transformer.forward_intermediates(states, attn_mask=self.attn_mask[:length, :length])
        return TowerOutput(pick(hidden, layers), self._pool(final, input_ids) if pooled else None)

    def _pool(self, states: Tensor, input_ids: Tensor) -> Tensor:
        pooled = text_global_pool(self.ln_final(states), input_ids, self.pool_type, eos_token_id=self.eos_id)
        return self._project(pooled)

    def _project(self, pooled: Tensor) -> Tensor:
        projection = self.text_projection
        if projection is None:
            return pooled
        return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection

    def _cut(self, depth: int) -> tuple[str, ...]:
        dropped = _cut_blocks(self.transformer, depth, "transformer")
        self.ln_final, self.text_projection = nn.Identity(), None
        self.widths = self.widths[:depth]
        return (*dropped, "ln_final.", "text_projection")

    def set_gradient_checkpointing(self, enable: bool) -> None:
        self.transformer.grad_checkpointing = enable


class OpenClipVitTower(VisionTower):
    """Vision transformer; visual token 0 is the class token."""

    visual: Any

    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__()
        self.visual = visual
        self.widths = (visual.transformer.width,) * visual.transformer.layers
        self.output_size = visual.output_dim

    def forward(self, pixel_values: Tensor, *, layers: Sequence[int] | None = None, pooled: bool = True) -> TowerOutput:
        output = self.visual.forward_intermediates(
            pixel_values, intermediates_only=not pooled, output_fmt="NLC", output_extra_tokens=True
        )
        pairs = zip(output["image_intermediates_prefix"], output["image_intermediates"], strict=True)
        hidden = [torch.cat(pair, dim=1) for pair in pairs]
        return TowerOutput(pick(hidden, layers), output.get("image_features"))

    def _cut(self, depth: int) -> tuple[str, ...]:
        dropped = _cut_blocks(self.visual.transformer, depth, "visual.transformer")
        self.visual.ln_post, self.visual.proj, self.visual.attn_pool = nn.Identity(), None, None
        self.widths = self.widths[:depth]
        return (*dropped, "visual.ln_post.", "visual.proj", "visual.attn_pool")

    def set_gradient_checkpointing(self, enable: bool) -> None:
        self.visual.set_grad_checkpointing(enable)


class OpenClipResNetTower(VisionTower):
    """ModifiedResNet; its four stages are the layers, each flattened to (B, height x width, channels)."""

    visual: Any

    def __init__(self, visual: ModifiedResNet) -> None:
        super().__init__()
        self.visual = visual
        self.widths = tuple(stage[-1].conv3.out_channels for stage in self._stages())
        self.output_size = visual.output_dim

    def forward(self, pixel_values: Tensor, *, layers: Sequence[int] | None = None, pooled: bool = True) -> TowerOutput:
        states, maps = self.visual.stem(pixel_values), []
        for stage in self._stages():
            states = stage(states)
            maps.append(states)
        hidden = [stage_map.flatten(2).transpose(1, 2) for stage_map in maps]
        return TowerOutput(pick(hidden, layers), self.visual.attnpool(states) if pooled else None)

    def _stages(self) -> list[Any]:
        stages = [getattr(self.visual, f"layer{number}") for number in (1, 2, 3, 4)]
        return [stage for stage in stages if stage is not None]

    def _cut(self, depth: int) -> tuple[str, ...]:
        dropped = tuple(f"visual.layer{number}." for number in range(depth + 1, self.layers + 1))
        for number in range(depth + 1, self.layers + 1):
            setattr(self.visual, f"layer{number}", None)
        self.visual.attnpool = None
        self.widths = self.widths[:depth]
        return (*dropped, "visual.attnpool.")

    def set_gradient_checkpointing(self, enable: bool) -> None:
        """Not offered by open_clip for ResNets, and their activations are small; does nothing."""


class OpenClipTokenizer(Tokenizer):
    """open_clip's tokenizers; the mask reaches up to the end token, columns after the longest text are cut off."""

    def __init__(self, text_cfg: dict[str, Any], folder: str | Path | None, tower: OpenClipTextTower) -> None:
        self.context_length = tower.context_length
        self._pool_type, self._eos_id = tower.pool_type, tower.eos_id
        options = text_cfg.get("tokenizer_kwargs") or {}
        if text_cfg.get("hf_tokenizer_name"):
            source = str(folder or text_cfg["hf_tokenizer_name"])
            self.tokenizer = HFTokenizer(source, context_length=self.context_length, **options)
        else:
            self.tokenizer = SimpleTokenizer(context_length=self.context_length, **options)

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        input_ids = self.tokenizer(list(texts))
        ids = input_ids if self._pool_type == "argmax" else (input_ids == self._eos_id).int()
        end = ids.argmax(dim=1)
        attention_mask = (torch.arange(input_ids.shape[1]) <= end[:, None]).long()
        longest = int(end.max()) + 1
        return TokenBatch(input_ids[:, :longest], attention_mask[:, :longest])

    def save(self, folder: Path) -> None:
        if isinstance(self.tokenizer, HFTokenizer):
            self.tokenizer.save_pretrained(folder)


def vision_tower(visual: nn.Module) -> VisionTower:
    """The tower for open_clip's image side, by its class."""
    if isinstance(visual, VisionTransformer):
        return OpenClipVitTower(visual)
    if isinstance(visual, ModifiedResNet):
        return OpenClipResNetTower(visual)
    raise UnsupportedBackbone(
        f"open_clip image tower {type(visual).__name__} gives no hidden states per layer here. "
        "Supported: VisionTransformer and ModifiedResNet; timm towers are not."
    )


def _cut_blocks(transformer: Any, depth: int, name: str) -> tuple[str, ...]:
    dropped = tuple(f"{name}.resblocks.{layer}." for layer in range(depth, len(transformer.resblocks)))
    transformer.resblocks = transformer.resblocks[:depth]
    return dropped
