"""Checkpoints of ClipCap's published code: a state dict with `clip_project.*` and `gpt.*`.

Files of 2021 also carry the causal masks of GPT-2 (`.attn.bias`, `.attn.masked_bias`), which transformers no longer
has. Mind the dot: `attn.c_attn.bias` is a bias of its own.
"""

import copy
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retcap.prefix.mappers import MlpMapper, TransformerMapper
from retcap.prefix.model import PrefixCaptioner

MASKS = (".attn.bias", ".attn.masked_bias")


def read(path: Path) -> dict[str, Tensor]:
    """The state dict of a `.pt` file; nothing but tensors is unpickled. ValueError for anything else."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not any(str(name).startswith("clip_project.") for name in state):
        raise ValueError(f"{path} is no checkpoint of ClipCap: it has no `clip_project.*`.")
    return state


def captioner(state: dict[str, Tensor], language_model: Any, heads: int = 8) -> PrefixCaptioner:
    """A captioner with these weights; mapper, lengths and widths follow from the shapes. `heads`: of a transformer.

    ValueError where names are missing or left over.
    """
    state = {name: value for name, value in state.items() if not name.endswith(MASKS)}
    width = language_model.config.n_embd
    mapper = _transformer(state, width, heads) if "clip_project.prefix_const" in state else _mlp(state, width)
    model = PrefixCaptioner(mapper, language_model, mapper.prefix_length)
    missing, left = model.load_state_dict(state, strict=False)
    if missing or left:
        raise ValueError(
            f"{len(missing)} weights are missing and {len(left)} left over, first {sorted([*missing, *left])[0]}: "
            "is it a checkpoint for another language model?"
        )
    return model


def state(model: PrefixCaptioner) -> dict[str, Tensor]:
    """The weights of a captioner under the names of ClipCap; updates of LoRA are added to what they update."""
    if model.tuning != "lora":
        return model.state_dict()
    merged = copy.deepcopy(model.gpt).merge_and_unload()
    mapper = {f"clip_project.{name}": value for name, value in model.clip_project.state_dict().items()}
    return mapper | {f"gpt.{name}": value for name, value in merged.state_dict().items()}


def _mlp(found: dict[str, Tensor], width: int) -> MlpMapper:
    first, last = (found[f"clip_project.model.{number}.weight"] for number in (0, 2))
    return MlpMapper(first.shape[1], width, last.shape[0] // width, hidden=first.shape[0])


def _transformer(found: dict[str, Tensor], width: int, heads: int) -> TransformerMapper:
    numbers = [re.match(r"clip_project\.transformer\.layers\.(\d+)\.", name) for name in found]
    out, vector_size = found["clip_project.linear.weight"].shape
    ratio = found["clip_project.transformer.layers.0.mlp.fc1.weight"].shape[0] / width
    return TransformerMapper(
        vector_size,
        width,
        found["clip_project.prefix_const"].shape[0],
        clip_length=out // width,
        layers=1 + max(int(number[1]) for number in numbers if number),
        heads=heads,
        ratio=ratio,
    )
