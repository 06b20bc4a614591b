"""CLIP as transformers stores it: OpenAI CLIP, TinyCLIP, LAION exports.

The activation is read from `hidden_act` in config.json (TinyCLIP was trained with plain GELU, OpenAI CLIP with
QuickGELU); it is never assumed.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap.clip.side import declared
from retcap.jobs import hub
from retcap.records import BackboneCard

if TYPE_CHECKING:
    from transformers import CLIPModel

    from retcap.clip.tower import Backbone, ImageInput

log = logging.getLogger(__name__)

CARD = BackboneCard(
    name="clip_hf",
    title="CLIP of transformers",
    library="transformers, CLIPModel",
    sources="folder with config.json and safetensors, or hub id with a revision (commit, tag or branch)",
    image_layers="transformer blocks, before the final norm",
    text_layers="transformer blocks, before the final norm",
    examples=("wkcn/TinyCLIP-ViT-61M-32-Text-29M-LAION400M", "openai/clip-vit-base-patch32"),
    licence="of the checkpoint: TinyCLIP is MIT, and so is OpenAI's code",
    notes="The activation is that of config.json; end-token pooling is the library's.",
)


def side_px(folder: Path) -> int:
    """Side of the pictures, as the folder says. Raises ValueError where it does not."""
    return declared(folder / "config.json", "vision_config")


def load(source: str | Path, *, revision: str | None = None) -> "Backbone":
    """Both towers with weights from a local folder or a hub id (+ revision: commit, tag or branch)."""
    from transformers import AutoTokenizer, CLIPConfig

    from retcap.clip.tower import warn_unpinned

    warn_unpinned(source, revision)
    offline = hub.offline(source)
    with hub.checkpoint(source, revision):
        config = CLIPConfig.get_config_dict(source, revision=revision, local_files_only=offline)[0]
    if config.get("model_type") != "clip":
        raise ValueError(
            f"{source}: config.json says model_type {config.get('model_type')!r}, this backbone reads 'clip'. "
            "Weights of open_clip load with the backbone `clip_open_clip`."
        )
    model: Any = _with_weights(source, revision, offline)
    with hub.checkpoint(source, revision):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, local_files_only=offline)
    image = _image_input(source, revision, model.config.vision_config.image_size, offline)
    return _backbone(model, tokenizer, image, {"source": str(source), "revision": revision})


def _with_weights(source: str | Path, revision: str | None, offline: bool) -> "CLIPModel":
    from transformers import CLIPModel

    options: Any = {"use_safetensors": True, "dtype": "float32", "output_loading_info": True}
    try:
        loaded: Any = CLIPModel.from_pretrained(
            source, revision=revision or "main", local_files_only=offline, **options
        )
    except OSError as error:
        if "safetensors" not in str(error):
            with hub.checkpoint(source, revision):
                raise
        raise FileNotFoundError(
            f"{source}, revision {revision or 'main'}: no model.safetensors. Pickled weights are never read: "
            "name a revision that has it, or a folder with a converted copy."
        ) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:  # transformers fills them with random numbers and only warns
        raise ValueError(f"{source}: {len(missing)} parameters have no weights in the file, first {missing[:5]}.")
    return model


def build(spec: dict[str, Any], tokenizer_source: str | Path) -> "Backbone":
    """The same architecture with fresh weights, from a saved `spec`; tokenizer files from a folder or hub id."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    from retcap.clip.tower import ImageInput

    model = CLIPModel(CLIPConfig.from_dict(json.loads(json.dumps(spec["config"]))))
    options = spec["image"]
    image = ImageInput(options["side_px"], tuple(options["mean"]), tuple(options["std"]), options["interpolation"])
    origin = {key: spec.get(key) for key in ("source", "revision")}
    return _backbone(model, AutoTokenizer.from_pretrained(tokenizer_source), image, origin)


def _backbone(model: "CLIPModel", tokenizer: Any, image: "ImageInput", origin: dict[str, Any]) -> "Backbone":
    from dataclasses import asdict

    from retcap.clip.hf_towers import HfTokenizer, towers
    from retcap.clip.tower import Backbone

    text, vision = towers(model)
    spec = {"config": json.loads(model.config.to_json_string()), "image": asdict(image), **origin}
    return Backbone(
        plugin="clip_hf",
        spec=spec,
        text=text,
        vision=vision,
        tokenizer=HfTokenizer(tokenizer, text.context_length),
        image=image,
        logit_scale=model.logit_scale.item(),
    )


def _image_input(source: str | Path, revision: str | None, side_px: int, offline: bool) -> "ImageInput":
    """Colour statistics from preprocessor_config.json; CLIP's own where the file is not there (ReT-1 has none)."""
    from transformers.utils.hub import cached_file

    from retcap.clip.tower import OPENAI_MEAN, OPENAI_STD, ImageInput

    file = cached_file(
        source,
        "preprocessor_config.json",
        revision=revision,
        local_files_only=offline,
        _raise_exceptions_for_missing_entries=False,
    )
    if file is None:
        log.info("%s has no preprocessor_config.json: using the mean and standard deviation of OpenAI CLIP", source)
        return ImageInput(side_px)
    options = json.loads(Path(file).read_text())
    mean, std = tuple(options.get("image_mean", OPENAI_MEAN)), tuple(options.get("image_std", OPENAI_STD))
    resampling = {2: "bilinear", 3: "bicubic"}.get(options.get("resample", 3), "bicubic")  # PIL's numbers
    return ImageInput(side_px, mean, std, resampling)
