"""Saving and loading retrievers by parameter name: our own folders, and ReT-1 checkpoints.

A folder holds config.json, model.safetensors and the tokenizer's files. Every key that is missing, unexpected or of
another shape is named, and is an error unless the caller allows it by a pattern.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from retcap import plugins
from retcap.clip.tower import Backbone, ImageInput
from retcap.files.whole import replacing_folder
from retcap.retriever.config import ReTConfig, from_mapping, from_ret1, to_mapping
from retcap.retriever.encoder import TOWERS
from retcap.retriever.network import RetrieverNetwork
from retcap.torch_state import seeded

log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=RetrieverNetwork)

MODEL_TYPE = "retcap_ret2"
RET1_MODEL_TYPE = "retriever"
WEIGHTS = "model.safetensors"
HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
# In ReT-1 files without use for us: a norm that nothing ever read, and position numbers that older transformers stored.
RET1_UNUSED = ("*.ret_cell.sa_ln.*", "*.embeddings.position_ids")


class LoadReport(NamedTuple):
    """Sorted names of keys: asked for but not in the file, in the file only, of another shape, known to be unused."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    unused: tuple[str, ...]


class CheckpointMismatch(ValueError):
    """The file does not fit the model; `report` has the names."""

    def __init__(self, message: str, report: LoadReport) -> None:
        super().__init__(message)
        self.report = report


def save(model: RetrieverNetwork, folder: Path) -> Path:
    """Write the model to `folder`, replacing one that is there; readers never see a half-written folder."""
    with replacing_folder(folder) as unfinished:
        unfinished.mkdir()
        model.tokenizer.save(unfinished)
        config = {
            "model_type": MODEL_TYPE,
            "retriever": to_mapping(model.config),
            "backbone": {"plugin": model.plugin, "spec": model.spec},
        }
        (unfinished / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(state, unfinished / WEIGHTS, metadata={"format": "pt"})
        (unfinished / WEIGHTS).chmod(0o644)  # safetensors makes it readable for its owner only
    return folder


def load(
    source: str | Path,
    *,
    kind: type[Network] = RetrieverNetwork,
    revision: str | None = None,
    allow: Sequence[str] = (),
    tokenizer_source: str | Path | None = None,
) -> tuple[Network, LoadReport]:
    """Model in evaluation mode from a folder or a hub id, and what was found in the file.

    `allow`: glob patterns of keys that may be missing, unexpected or misshapen (such keys keep fresh weights).
    `tokenizer_source`: for ReT-1 checkpoints, which have no tokenizer files: folder or hub id of the text backbone.
    """
    folder = _folder(source, revision)
    config = json.loads((folder / "config.json").read_text())
    written, ret1 = config.get("model_type"), config.get("model_type") == RET1_MODEL_TYPE
    if written not in (MODEL_TYPE, RET1_MODEL_TYPE):
        raise ValueError(
            f"{folder / 'config.json'}: model_type {written!r} is no retriever that can be read here. "
            f"Readable: {MODEL_TYPE!r} (this project) and {RET1_MODEL_TYPE!r} (ReT-1)."
        )
    with seeded(0):  # any weights will do: all are overwritten unless `allow` says otherwise
        model = kind(*(_ret1_parts(config, folder, tokenizer_source) if ret1 else _parts(config, folder)))
    report = load_weights(model, folder, allow=(*allow, "logit_scale") if ret1 else allow)
    return model.eval(), report


@torch.no_grad()
def load_weights(model: RetrieverNetwork, folder: Path, *, allow: Sequence[str] = ()) -> LoadReport:
    """Copy all weights of a folder into the model by name. Nothing is copied if a key does not fit."""
    found, files = _stored(folder)
    wanted = model.state_dict()
    unused = {key for key in found if _matches(key, RET1_UNUSED) or key.startswith(_dropped(model))}
    fitting = found.keys() & wanted.keys()
    misshapen = {key for key in fitting if tuple(found[key]) != tuple(wanted[key].shape)}
    report = LoadReport(
        missing=tuple(sorted(wanted.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - wanted.keys() - unused)),
        misshapen=tuple(
            f"{key} {found[key]} in the file, {tuple(wanted[key].shape)} here" for key in sorted(misshapen)
        ),
        unused=tuple(sorted(unused)),
    )
    _refuse(folder, report, allow)
    for file, names in files.items():
        with safe_open(file, framework="pt") as tensors:
            for stored, key in names:
                if key in fitting and key not in misshapen:
                    wanted[key].copy_(tensors.get_tensor(stored))
    log.info("%s: %d tensors loaded, %d known unused ones left out", folder, len(fitting), len(unused))
    return report


def _parts(config: dict[str, Any], folder: Path) -> tuple[ReTConfig, Backbone]:
    part = config["backbone"]
    with _without_model_type_warning():
        backbone: Backbone = plugins.load("backbones", part["plugin"]).build(part["spec"], folder)
    return from_mapping(config["retriever"]), backbone


@contextmanager
def _without_model_type_warning() -> Iterator[None]:
    """Transformers looks for the tokenizer's class in config.json, which is ours, and warns that it is not its own."""
    source = logging.getLogger("transformers.configuration_utils")
    hide = lambda record: MODEL_TYPE not in record.getMessage()  # noqa: E731
    source.addFilter(hide)
    try:
        yield
    finally:
        source.removeFilter(hide)


def _ret1_parts(
    config: dict[str, Any], folder: Path, tokenizer_source: str | Path | None
) -> tuple[ReTConfig, Backbone]:
    """ReT-1 keeps two tower configurations of transformers; CLIP's joint projection is not part of it."""
    settings, parts = from_ret1(config)
    if tokenizer_source is None:
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            name = parts["text_config"].get("_name_or_path") or "its text backbone"
            raise FileNotFoundError(f"{folder}: ReT-1 checkpoints hold no tokenizer. Pass tokenizer_source={name!r}.")
        tokenizer_source = folder
    image = asdict(ImageInput(parts["vision_config"].get("image_size", 224)))
    clip = {"model_type": "clip", **parts}
    spec = {"config": clip, "image": image, "source": config.get("_name_or_path"), "revision": None}
    return settings, plugins.load("backbones", "clip_hf").build(spec, tokenizer_source)


def _folder(source: str | Path, revision: str | None) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if Path(source).is_absolute() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise FileNotFoundError(f"{source}: no such folder, and not a hub id of the form owner/name.")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(HUB_FILES)))


def _stored(folder: Path) -> tuple[dict[str, tuple[int, ...]], dict[Path, list[tuple[str, str]]]]:
    """Shapes by canonical key, and for every weight file its (stored name, canonical key) pairs."""
    shapes: dict[str, tuple[int, ...]] = {}
    files: dict[Path, list[tuple[str, str]]] = {}
    for file in _weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            files[file] = [(name, canonical_key(name)) for name in sorted(tensors.keys())]
            shapes |= {key: tuple(tensors.get_slice(name).get_shape()) for name, key in files[file]}
    return shapes, files


def _weight_files(folder: Path) -> Iterator[Path]:
    index = folder / f"{WEIGHTS}.index.json"
    if not index.is_file():
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(
                f"{folder}: no {WEIGHTS}. Weights are read from safetensors only, never from pickles."
            )
        yield folder / WEIGHTS
        return
    for name in sorted(set(json.loads(index.read_text())["weight_map"].values())):
        if Path(name).name != name:
            raise ValueError(f"{index}: weight file {name!r} lies outside the folder.")
        yield folder / name


def canonical_key(stored: str) -> str:
    """Key under one layout: transformers 4 wraps CLIP towers once more in their own name, transformers 5 does not.

    >>> canonical_key("query_model.text_model.embeddings.token_embedding.weight")
    'query_model.text_model.text_model.embeddings.token_embedding.weight'
    """
    inner = (
        r"^((?:query|passage)_model\.(text|vision)_model\.)(?=embeddings|encoder|pre_layrnorm|post_layernorm|final_)"
    )
    return re.sub(inner, r"\1\2_model.", stored)


def _dropped(model: RetrieverNetwork) -> tuple[str, ...]:
    sides = ("query_model", "passage_model")
    return tuple(f"{side}.{name}_model.{prefix}" for side in sides for name in TOWERS for prefix in model.dropped[name])


def _refuse(folder: Path, report: LoadReport, allow: Sequence[str]) -> None:
    lines = []
    for kind in ("missing", "unexpected", "misshapen"):
        bad = [key for key in getattr(report, kind) if not _matches(key.split(" ")[0], allow)]
        lines += [f"  {kind}: {key}" for key in bad]
    if lines:
        raise CheckpointMismatch(
            f"{folder}: {len(lines)} keys do not fit the model; nothing was loaded. "
            "Allow them by name patterns (`allow`) only if you know why.\n" + "\n".join(lines),
            report,
        )


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
