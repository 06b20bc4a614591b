"""Hugging Face CLIPModel weights as an open_clip `local-dir` folder: neither library brings this conversion."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, CLIPConfig, CLIPModel

from retcap import plugins

RENAMED = (  # transformers name, open_clip name; the first match of each pattern is applied, in this order
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
TRANSPOSED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}


def hf_to_open_clip(source: str | Path, folder: Path, *, revision: str | None = None) -> Path:
    """Read a transformers CLIP from a folder or hub id and write it to `folder` for open_clip; returns the folder."""
    backbone = plugins.load("backbones", "clip_hf").load(source, revision=revision)
    model: Any = CLIPModel.from_pretrained(source, revision=revision or "main", use_safetensors=True, dtype="float32")
    folder.mkdir(parents=True, exist_ok=True)
    AutoTokenizer.from_pretrained(source, revision=revision).save_pretrained(folder)
    statistics = {"mean": backbone.image.mean, "std": backbone.image.std, "interpolation": backbone.image.interpolation}
    config = {"model_cfg": model_config(model.config), "preprocess_cfg": statistics}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(state_dict(model.state_dict()), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return folder


def model_config(config: CLIPConfig) -> dict[str, Any]:
    """open_clip's `model_cfg`. `eos_token_id` 2 is transformers' mark for pooling at the highest token id."""
    text: Any = config.text_config
    vision: Any = config.vision_config
    activations = {text.hidden_act, vision.hidden_act}
    if len(activations) > 1 or not activations <= {"gelu", "quick_gelu"}:
        raise ValueError(
            f"open_clip has one activation for both towers, gelu or quick_gelu; got {sorted(activations)}."
        )
    pooling = {"pool_type": "argmax"} if text.eos_token_id == 2 else {"pool_type": "eos", "eos_id": text.eos_token_id}
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": activations == {"quick_gelu"},
        "vision_cfg": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
            "hf_tokenizer_name": "in this folder",
            **pooling,
        },
    }


def state_dict(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under open_clip's names: queries, keys and values joined, projections transposed."""
    result = {}
    for name, tensor in state.items():
        if name in TRANSPOSED:
            result[TRANSPOSED[name]] = tensor.T.contiguous()
        elif name.endswith("position_ids") or re.search(r"\.self_attn\.[kv]_proj\.", name):
            continue  # keys and values follow their queries
        elif match := re.search(r"\.self_attn\.q_proj\.(weight|bias)$", name):
            parts = [state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            result[_renamed(name[: match.start()] + f".attn.in_proj_{match[1]}")] = torch.cat(parts)
        else:
            result[_renamed(name)] = tensor.contiguous()
    return result


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
