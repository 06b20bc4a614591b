"""The ReT-2 retriever: CLIP towers, one recurrent fusion cell, one unit vector per item (text, image or both).

Letters: B items, T tokens, K query tokens, H hidden size, D output size.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retcap.clip.tower import Backbone, Tower, count_parameters
from retcap.retriever.config import ReTConfig
from retcap.retriever.encoder import TOWERS, RetEncoder, Seen
from retcap.retriever.layers import resolve
from retcap.torch_state import seeded

Side = str  # "query" or "passage"


class RetrieverNetwork(nn.Module):
    """Query and passage encoder and a learned `logit_scale`. Takes over the backbone's towers, cuts what is never read.

    `skip_missing`: items without an image (or text) never run through that tower. Their result is the same as with a
    masked filler; switch it off only where shapes must be static (compiled graphs).
    """

    def __init__(self, config: ReTConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config, self.plugin, self.spec = config, backbone.plugin, backbone.spec
        self.tokenizer, self.image, self.skip_missing = backbone.tokenizer, backbone.image, True
        towers: dict[str, Tower] = {"text": backbone.text, "vision": backbone.vision}
        self.layers = dict(zip(TOWERS, _resolve(config, towers), strict=True))
        self.query_model = RetEncoder(config, towers, self.layers)
        self.passage_model = None if config.share_encoders else RetEncoder(config, towers, self.layers)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init))
        self.dropped = {name: towers[name].drop_unused(self.layers[name], config.global_features) for name in TOWERS}
        for name, tower in towers.items():
            tower.requires_grad_(not self._frozen(name))
            setattr(self.query_model, f"{name}_model", tower)
            if self.passage_model is not None and not getattr(config, f"share_{name}_tower"):
                setattr(self.passage_model, f"{name}_model", copy.deepcopy(tower))
        self.train(self.training)

    @classmethod
    def build(cls, config: ReTConfig, backbone: Backbone, *, seed: int) -> "RetrieverNetwork":
        """New cell on given towers; initial weights depend on `seed` alone, the global generator stays as it is."""
        with seeded(seed):
            return cls(config, backbone)

    def forward(
        self,
        side: Side,
        input_ids: Int[Tensor, "B T"] | None = None,
        attention_mask: Int[Tensor, "B T"] | None = None,
        pixel_values: Float[Tensor, "B 3 side side"] | None = None,
        text_mask: Tensor | None = None,
        image_mask: Tensor | None = None,
    ) -> Tensor:
        """Unit vectors (B, D). Masks: (B,), 1 where the item has a text (image); None means all items have one.

        Rows of `pixel_values` and `input_ids` whose mask is 0 may hold anything. A text without one real token counts
        as missing. Neither modality: a fixed vector.
        """
        first = next((value for value in (input_ids, pixel_values, text_mask, image_mask) if value is not None), None)
        if first is None:
            raise ValueError("An item needs input_ids, pixel_values or both; got neither.")
        items, seen = len(first), {}
        tokens = attention_mask if attention_mask is not None or input_ids is None else torch.ones_like(input_ids)
        if tokens is not None:
            has_token = tokens.any(dim=1)
            text_mask = has_token if text_mask is None else text_mask.bool() & has_token
        given = {"text": (text_mask, (input_ids, tokens)), "vision": (image_mask, (pixel_values,))}
        for name, (mask, inputs) in given.items():
            result = self._look(self.tower(side, name), name, mask, inputs)
            if result is not None:
                seen[name] = result
        return self.encoder(side)(items, seen)

    def query(self, **inputs: Any) -> Tensor:
        """`forward` for queries."""
        return self(side="query", **inputs)

    def passage(self, **inputs: Any) -> Tensor:
        """`forward` for passages."""
        return self(side="passage", **inputs)

    @torch.inference_mode()
    def encode(self, side: Side, **inputs: Any) -> Tensor:
        """`forward` in evaluation mode and without gradients; the mode of the model afterwards is the one before."""
        training = self.training
        self.eval()
        try:
            return self(side=side, **inputs)
        finally:
            self.train(training)

    def scale(self) -> Tensor:
        """exp(logit_scale), after clamping the parameter itself: a clamp of its value would stop the gradient."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=self.config.logit_scale_max)
        return self.logit_scale.exp()

    def train(self, mode: bool = True) -> "RetrieverNetwork":
        """Training mode, but frozen towers and all batch norms stay in evaluation mode.

        A batch norm that trains would make a row's vector depend on the other rows: on the chunk, on the padding images
        and on the number of ranks. So it keeps the statistics of pre-training; its scale and shift still learn.
        """
        super().train(mode)
        for encoder in self.encoders():
            for name in TOWERS:
                tower = getattr(encoder, f"{name}_model")
                for module in tower.modules() if tower is not None else ():
                    if self._frozen(name) or isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.training = False
        return self

    def encoders(self) -> list[RetEncoder]:
        """The one shared encoder, or query and passage encoder."""
        return [encoder for encoder in (self.query_model, self.passage_model) if encoder is not None]

    def encoder(self, side: Side) -> RetEncoder:
        """The encoder that serves one side."""
        if side not in ("query", "passage"):
            raise ValueError(f"side must be 'query' or 'passage', got {side!r}.")
        return self.passage_model if side == "passage" and self.passage_model is not None else self.query_model

    def tower(self, side: Side, name: str) -> Tower:
        """The text or vision tower of one side, shared or its own."""
        own = getattr(self.encoder(side), f"{name}_model")
        return own if own is not None else getattr(self.query_model, f"{name}_model")

    def set_gradient_checkpointing(self, enable: bool) -> None:
        """Recompute tower activations in the backward pass."""
        for side in ("query", "passage"):
            for name in TOWERS:
                self.tower(side, name).set_gradient_checkpointing(enable)

    def parameter_counts(self) -> dict[str, int]:
        """Parameters in use, per part; what `drop_unused` deleted is not counted, shared parts count once."""
        counts: dict[str, int] = dict.fromkeys(("text", "vision", "cell", "adapters", "late_proj", "global"), 0)
        for encoder in self.encoders():
            for child, module in encoder.named_children():
                counts[_part(child)] += count_parameters(module)
        return counts | {"total": count_parameters(self), "trainable": count_parameters(self, trainable_only=True)}

    def _frozen(self, name: str) -> bool:
        return getattr(self.config, f"{name}_frozen")

    def _look(self, tower: Tower, name: str, mask: Tensor | None, inputs: Sequence[Tensor | None]) -> Seen | None:
        """Run one tower on the items that have its modality; None if there are none."""
        if inputs[0] is None:
            if mask is not None and bool(mask.any()):
                raise ValueError(
                    f"The {name} mask marks {int(mask.sum())} items as present, but no {name} input is given."
                )
            return None
        mask = inputs[0].new_ones(len(inputs[0])) if mask is None else mask
        rows = mask.nonzero().squeeze(1) if self.skip_missing else None
        if rows is not None and len(rows) == 0:
            return None
        rows = None if rows is not None and len(rows) == len(mask) else rows
        chosen = [value if rows is None or value is None else value[rows] for value in inputs]
        output = tower(*chosen, layers=self.layers[name], pooled=self.config.global_features)
        token_mask = chosen[1].bool() if name == "text" and chosen[1] is not None else None
        if token_mask is not None and rows is None:
            token_mask = token_mask | ~token_mask.any(dim=1, keepdim=True)  # softmax over nothing would be NaN
        return Seen(output, mask.float(), rows, token_mask)


def _resolve(config: ReTConfig, towers: dict[str, Tower]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return resolve(
        config.layer_strategy,
        text_layers=towers["text"].layers,
        vision_layers=towers["vision"].layers,
        explicit_text=config.text_layers,
        explicit_vision=config.vision_layers,
    )


def _part(child: str) -> str:
    """Counted part of an encoder's child module: text_model is "text", both adapters are "adapters"."""
    if child == "ret_cell":
        return "cell"
    stem, _, kind = child.partition("_")
    return {"adapter": "adapters", "model": stem, "global": "global"}.get(kind, child)
