"""One encoder of the retriever: adapters in front of the cell, the recurrence over layers, and the output head.

Letters: B items, R items that have the modality, K query tokens, H hidden size, D output size.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retcap.clip.tower import Tower, TowerOutput
from retcap.retriever.cell import Modality, RetCell
from retcap.retriever.config import ReTConfig

TOWERS: tuple[str, ...] = ("text", "vision")


class Seen(NamedTuple):
    """What a tower made of the items that have its modality; `rows` None means all items."""

    output: TowerOutput
    mask: Float[Tensor, " B"]
    rows: Int[Tensor, " R"] | None
    token_mask: Tensor | None


class RetEncoder(nn.Module):
    """Adapters, cell and output head; owns the towers unless it shares those of the query encoder (then None)."""

    def __init__(self, config: ReTConfig, towers: dict[str, Tower], layers: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.pooling, self.steps, size = config.pooling, len(layers["text"]), config.hidden_size
        self.text_model: Tower | None = None
        self.vision_model: Tower | None = None
        for name in TOWERS:
            widths = [towers[name].widths[layer] for layer in layers[name]]
            self.add_module(f"{name}_adapter", nn.ModuleList(nn.Linear(width, size) for width in widths))
            if config.global_features:
                joint = towers[name].output_size
                self.add_module(f"{name}_global", nn.Sequential(nn.LayerNorm(joint), nn.Linear(joint, size)))
        self.ret_cell = RetCell(config)
        projected = config.late_proj_output_size
        self.late_proj = nn.Linear(size, projected, bias=False) if projected else nn.Identity()

    def forward(self, items: int, seen: dict[str, Seen]) -> Tensor:
        """Unit vectors (B, D), or unit tokens (B, K, D) with pooling "none"."""
        state = self.ret_cell.start(items)
        for step in range(self.steps):
            state = self.ret_cell(state, *(self._step(name, step, seen.get(name)) for name in TOWERS))
        if self.pooling != "none":
            state = state.mean(dim=1) if self.pooling == "mean" else state[:, 0]
            for name in TOWERS:
                state = self._add_global(name, state, seen.get(name))
        return functional.normalize(self.late_proj(state).float(), dim=-1)

    def _step(self, name: str, step: int, seen: Seen | None) -> Modality | None:
        if seen is None:
            return None
        states = getattr(self, f"{name}_adapter")[step](seen.output.hidden[step])
        return Modality(states, seen.mask, seen.rows, seen.token_mask)

    def _add_global(self, name: str, state: Tensor, seen: Seen | None) -> Tensor:
        """Add the adapted global feature of one tower, times its mask. A choice of this project, not of the paper."""
        if seen is None or seen.output.pooled is None:
            return state
        added = getattr(self, f"{name}_global")(seen.output.pooled).to(state.dtype)
        rows = torch.arange(len(state), device=state.device) if seen.rows is None else seen.rows
        return state.index_add(0, rows, added * seen.mask[rows, None].to(state.dtype))
