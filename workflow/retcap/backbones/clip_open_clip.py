"""CLIP as open_clip stores it: local-dir folders, hub repositories with open_clip_config.json, named models."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap.clip.side import declared
from retcap.jobs import hub
from retcap.records import BackboneCard

if TYPE_CHECKING:
    from retcap.clip.tower import Backbone

CARD = BackboneCard(
    name="clip_open_clip",
    title="CLIP of open_clip",
    library="open_clip_torch, CLIP and CustomTextCLIP",
    sources="folder with open_clip_config.json and open_clip_model.safetensors, hub id with a revision (commit), or "
    "model name with the tag of its weights as revision",
    image_layers="blocks of a VisionTransformer, or the four stages of a ModifiedResNet",
    text_layers="blocks of the causal transformer, before the final norm",
    examples=("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "RN50-quickgelu with tag openai"),
    licence="of the checkpoint: LAION's is MIT",
    notes="timm image towers and Hugging Face text towers give no hidden states here and are refused.",
)
HUB_FILES = ("*.json", "*.txt", "*.model", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


def side_px(folder: Path) -> int:
    """Side of the pictures, as the folder says. Raises ValueError where it does not."""
    return declared(folder / "open_clip_config.json", "model_cfg", "vision_cfg")


def load(source: str | Path, *, revision: str | None = None) -> "Backbone":
    """Both towers with weights: a folder, a hub id (contains `/`), or a model name with its weights' tag (revision)."""
    import open_clip

    folder, name, tag = _locate(source, revision)
    model_cfg = _named_config(name, tag) if folder is None else _folder_config(folder)["model_cfg"]
    # Without require_pretrained a folder that lacks safetensors gives random weights and a mere warning.
    model = open_clip.create_model(
        name, pretrained=tag, require_pretrained=True, precision="fp32", device="cpu", weights_only=True
    )
    spec = {"model_cfg": model_cfg, "preprocess_cfg": dict(open_clip.get_model_preprocess_cfg(model))}
    return _backbone(model, {**spec, "source": str(source), "revision": revision}, folder)


def build(spec: dict[str, Any], tokenizer_source: str | Path) -> "Backbone":
    """The same architecture with fresh weights, from a saved `spec`; tokenizer files from `tokenizer_source`."""
    from open_clip.model import CLIP, CustomTextCLIP

    model_cfg = json.loads(json.dumps(spec["model_cfg"]))
    model_class = CustomTextCLIP if model_cfg.pop("custom_text", False) else CLIP
    return _backbone(model_class(**model_cfg), spec, tokenizer_source)


def _locate(source: str | Path, revision: str | None) -> tuple[Path | None, str, str | None]:
    """Folder if there is one, the name open_clip takes, and its pretrained tag (named models only)."""
    if Path(source).is_dir():
        return Path(source), f"local-dir:{source}", None
    if "/" in str(source):
        from huggingface_hub import snapshot_download

        from retcap.clip.tower import warn_unpinned

        warn_unpinned(source, revision)
        wanted = {"allow_patterns": list(HUB_FILES), "local_files_only": hub.offline(source)}
        with hub.checkpoint(source, revision):
            folder = Path(snapshot_download(str(source), revision=revision, **wanted))
        return folder, f"local-dir:{folder}", None
    if revision is None:
        raise ValueError(f"{source}: not a folder. A named open_clip model needs its weights' tag as revision.")
    return None, str(source), revision


def _folder_config(folder: Path) -> dict[str, Any]:
    file = folder / "open_clip_config.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there. A transformers folder (config.json) loads with the backbone `clip_hf`."
        )
    return json.loads(file.read_text())


def _named_config(name: str, tag: str | None) -> dict[str, Any]:
    """Configuration of a named model; refuses the pairs where open_clip only warns about the wrong activation."""
    import open_clip

    assert tag is not None  # `_locate` asks for it
    config = open_clip.get_model_config(name)
    if config is None:
        raise ValueError(f"open_clip knows no model {name!r}, and no such folder exists. See open_clip.list_models().")
    weights = open_clip.get_pretrained_cfg(name, tag) or {}
    if bool(weights.get("quick_gelu")) != bool(config.get("quick_gelu")):
        raise ValueError(
            f"{name} with weights {tag!r}: trained with quick_gelu={bool(weights.get('quick_gelu'))}, "
            "but the model has the other activation. Use the name "
            f"with{'out' if config.get('quick_gelu') else ''} the ending `-quickgelu`."
        )
    return config


def _backbone(model: Any, spec: dict[str, Any], tokenizer_source: str | Path | None) -> "Backbone":
    from retcap.clip.open_clip_towers import OpenClipTextTower, OpenClipTokenizer, vision_tower
    from retcap.clip.tower import OPENAI_MEAN, OPENAI_STD, Backbone, ImageInput

    text, options = OpenClipTextTower(model), spec["preprocess_cfg"]
    side = spec["model_cfg"]["vision_cfg"].get("image_size", 224)
    mean, std = tuple(options.get("mean", OPENAI_MEAN)), tuple(options.get("std", OPENAI_STD))
    return Backbone(
        plugin="clip_open_clip",
        spec=spec,
        text=text,
        vision=vision_tower(model.visual),
        tokenizer=OpenClipTokenizer(spec["model_cfg"]["text_cfg"], tokenizer_source, text),
        image=ImageInput(side, mean, std, options.get("interpolation", "bicubic")),
        logit_scale=model.logit_scale.item(),
    )
