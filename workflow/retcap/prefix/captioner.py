"""A trained cell as a folder: `model.safetensors` with what was trained, `config.json` with all that it stands on.

The language model and the CLIP that it was trained with are named, not copied: both must be where they were.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from retcap.jobs import hub
from retcap.prefix import mappers, training
from retcap.prefix.model import PrefixCaptioner, with_lora
from retcap.torch_state import seeded

CONFIG = "config.json"


class Loaded(NamedTuple):
    """A captioner ready to speak, and what its folder says."""

    model: PrefixCaptioner
    tokenizer: Any
    about: dict[str, Any]


def language_model(source: str | Path, revision: str | None) -> tuple[Any, Any]:
    """GPT-2 and its tokenizer, from a folder or the hub; weights are read from safetensors alone."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    with hub.checkpoint(source, revision):
        model = GPT2LMHeadModel.from_pretrained(source, revision=revision or "main", use_safetensors=True)
        return model, AutoTokenizer.from_pretrained(source, revision=revision or "main")


def build(cell: Mapping[str, Any], vector_size: int, gpt: Any) -> PrefixCaptioner:
    """An untrained captioner; the initial weights hang on the seed of the cell alone. `gpt` becomes part of it."""
    with seeded(cell["seed"]):
        mapper = mappers.build(
            cell["mapper"],
            vector_size,
            gpt.config.n_embd,
            cell["prefix_length"],
            matched_to=cell["matched_to"],
            layers=cell["transformer_layers"],
            heads=cell["transformer_heads"],
        )
        gpt = with_lora(gpt, cell["lora_rank"], cell["lora_alpha"]) if cell["tuning"] == "lora" else gpt
    return PrefixCaptioner(mapper, gpt, cell["prefix_length"], cell["tuning"])


def save(folder: Path, captioner: PrefixCaptioner, about: Mapping[str, Any]) -> None:
    """Write the folder of a trained cell. `about`: its settings (`cell`), vector size, sources."""
    folder.mkdir(parents=True)
    training.write(captioner, folder)
    (folder / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, base: tuple[Any, Any] | None = None, device: str = "cpu") -> Loaded:
    """A trained cell. `base`: its language model and tokenizer, untouched, where they are at hand.

    FileNotFoundError for a folder that is none.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"{folder}: no {CONFIG}. Give the folder of a trained cell, prefix/models/<job>/<cell>."
        )
    about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    gpt, tokenizer = base or language_model(about["language_model"], about["language_model_revision"])
    model = build(about["cell"], about["vector_size"], gpt)
    training.restore(model, folder)
    return Loaded(model.to(device).eval(), tokenizer, about)
