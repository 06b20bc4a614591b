"""A captioner of true size with random weights, built straight on its device; the demo's tiny one in the dry mode."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu.captioner_sizes import SIZES
from gpu.cases import Context, LeftOut
from retcap import plugins
from retcap.captioning import model, policies
from retcap.captioning.weights import Weights
from retcap.worlds import recipes

QUERIES = ("people", "the left side of the room", "what can be seen through the windows and the open door")
PROCESSOR, CONFIG = "processor_config.json", "config.json"
SEED = 3
LAYERS = {"num_hidden_layers", "num_layers", "num_decoder_layers", "depth"}


def tiny(context: Context, name: str) -> Path:
    """Folder of the untrained tiny checkpoint of a captioner; made once."""
    folder = context.scratch / "tiny" / name
    if not folder.exists():
        recipes.load(name).build(folder, list(QUERIES), SEED)
    return folder


def config(folder: Path, name: str, layers: int | None = None) -> Any:
    """The configuration of true size, with the token ids of the tiny checkpoint in `folder`.

    layers: that many in each tower instead of all.
    """
    from transformers import AutoConfig

    small = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    true = _with_layers(copy.deepcopy(_sizes(name)["config"]), layers)
    true |= _ids(small)
    text = small.get("text_config", {})
    true["text_config"] = {"model_type": text.get("model_type"), **true["text_config"], **_ids(text)}
    return AutoConfig.for_model(small["model_type"], **true)


def _ids(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key.endswith(("_token_id", "_token_index"))}


def _sizes(name: str) -> dict[str, Any]:
    if name not in SIZES:
        raise LeftOut(f"the true size of {name} is not written down in captioner_sizes.py")
    return SIZES[name]


def _with_layers(values: dict[str, Any], layers: int | None) -> dict[str, Any]:
    if layers is None:
        return values
    for part in ("vision_config", "text_config"):
        changed = {key: layers if key in LAYERS else value for key, value in values[part].items()}
        if "fullatt_block_indexes" in changed:
            changed["fullatt_block_indexes"] = [layers - 1]
        values[part] = changed
    return values


def empty(configuration: Any, architecture: str, device: torch.device | str, dtype: torch.dtype) -> Any:
    """The model with random weights on the device (on `meta`: none at all), in the dtype of a loaded checkpoint.

    What the library keeps in fp32 whatever is asked for (Q-Formers, T5's output projections) is in fp32 here too.
    """
    import transformers

    with torch.device(device):
        made = getattr(transformers, architecture)._from_config(configuration, dtype=dtype)
    kept = set(getattr(made, "_keep_in_fp32_modules", None) or ())
    for name, parameter in made.named_parameters():
        if dtype == torch.bfloat16 and kept & set(name.split(".")):
            parameter.data = parameter.data.float()
    made.tie_weights()
    return made.eval()


def processor(folder: Path, name: str, target: Path) -> Any:
    """The processor of true size: the tiny checkpoint's with the published sizes, through its files."""
    from transformers import AutoProcessor

    if not target.exists():
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors"))
        file = target / PROCESSOR
        settings = json.loads(file.read_text(encoding="utf-8"))
        wanted = _sizes(name)["processor"]
        images = settings.get("image_processor", {}) | wanted.get("image_processor", {})
        file.write_text(json.dumps(settings | wanted | {"image_processor": images}), encoding="utf-8")
    return AutoProcessor.from_pretrained(target, local_files_only=True)


def captioner(
    context: Context,
    name: str,
    *,
    dtype: str | None = None,
    layers: int | None = None,
    device: torch.device | str | None = None,
) -> model.Captioner:
    """A captioner that never ends a caption: no end token is in force, so all have the same length.

    In the dry mode it is the demo's tiny one; `layers` and `device` are for the true size.
    """
    plugin, folder = plugins.load("captioners", name), tiny(context, name)
    precision = dtype or context.size("bfloat16", "float32")
    if context.dry:
        made = model.load(plugin, folder, device=str(context.device), dtype=precision)
    else:
        known = processor(folder, name, context.scratch / "true" / name)
        place = context.device if device is None else device
        made = model.Captioner(
            plugin=plugin,
            model=empty(config(folder, name, layers), plugin.CARD.architecture, place, getattr(torch, precision)),
            processor=known,
            policy="native",
            prompt_set="instruct",
            weights=Weights("random"),
            prepare=policies.prepared(plugin, known, "native"),
        )
        made.model.generation_config.pad_token_id = known.tokenizer.pad_token_id
        if made.encoder_decoder:
            made.model.generation_config.decoder_start_token_id = known.tokenizer.pad_token_id
    made.model.generation_config.eos_token_id = None
    return made


def panorama(context: Context, seed: int) -> np.ndarray:
    """A generated 2:1 panorama, height x width x 3: 2048 x 1024 px, as the pack of the study holds them."""
    height = context.size(1024, 64)
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (height // 16, height // 8, 3), dtype=np.uint8)
    return patches.repeat(16, axis=0).repeat(16, axis=1)


def items(
    context: Context, count: int, queries: tuple[str, ...] = QUERIES
) -> tuple[list[tuple[str, str, str]], dict[str, np.ndarray]]:
    """(item id, query, image key) of `count` items, all queries about a panorama, and the panoramas."""
    pack = {f"image{number}": panorama(context, number) for number in range(-(-count // len(queries)))}
    made = [(f"{key}|{query}", query, key) for key in pack for query in queries]
    return made[:count], pack
