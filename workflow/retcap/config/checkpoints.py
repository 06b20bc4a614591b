"""Checkpoints that the configuration names: words, folders and hub ids, as far as can be seen without a network."""

import os
from collections.abc import Iterator
from pathlib import Path

from retcap import spelling
from retcap.config import sides, studies
from retcap.config.backbones import BackboneChoice
from retcap.config.common import Common
from retcap.config.errors import Place, Problem
from retcap.config.study import STUDIES, Checkpoint
from retcap.jobs import hub

FOLDERS = ("models", "model", "checkpoints", "checkpoint", "weights", "data", "results", "output", "outputs", "runs")
OPEN_CLIP = "open_clip_config.json"  # in a folder of open_clip; transformers' folders have config.json


def findings(config: Common) -> Iterator[Problem]:
    """Checkpoints that cannot be what they seem to be."""
    for one in _named(config):
        if (text := _wrong(one)) is not None:
            yield Problem(one.place, text, (STUDIES,))
        elif one.place[0] == "backbones":
            yield from sides.findings(config, str(one.place[1]))
    for name, own in _backbones(config).items():
        if own.checkpoint == "tiny" and own.plugin != "clip_open_clip":
            text = f"the tiny CLIP is one of open_clip, and {own.plugin} cannot read it. Use `clip_open_clip`."
            place: Place = ("backbones", name)
            yield Problem((*place, "plugin"), text, ((*place, "checkpoint"), STUDIES))


def _named(config: Common) -> Iterator[Checkpoint]:
    for name, own in _backbones(config).items():
        opened = own.plugin == "clip_open_clip"
        place: Place = ("backbones", name, "checkpoint")
        file = OPEN_CLIP if opened else "config.json"
        yield Checkpoint(place, own.checkpoint, ("tiny",), file, own.revision, named_models=opened)
    for study, section in studies.sections(config):
        yield from study.checkpoints(section)


def _backbones(config: Common) -> dict[str, BackboneChoice]:
    """Those that a study of the run stands on."""
    return config.backbones if any(study.backbones for study, _ in studies.sections(config)) else {}


def _wrong(one: Checkpoint) -> str | None:
    """What is wrong with a checkpoint; None where nothing is."""
    source, path = one.source, Path(one.source)
    if not source:
        return "is empty. Give the path of a folder, or a hub id."
    if source == "tiny" and one.revision:
        return "the `tiny` checkpoint has no revision. Leave `revision` out."
    if source in one.words:
        return None
    if path.is_dir():
        return _wrong_folder(one)
    if path.exists():
        return f"`{source}` is a file. Give the folder that holds {one.file}."
    seen = f"(seen from {Path.cwd()})"
    if os.path.isabs(source) or source.startswith((".", "~")) or source.count("/") > 1 or source.endswith("/"):
        return f"no checkpoint at `{source}` {seen}. Give the path of a folder, or a hub id."
    owner, _, name = source.partition("/")
    if not name:
        return None if one.named_models and one.revision else _unknown_word(one)
    if one.revision is None and (owner in FOLDERS or Path(owner).is_dir()) and hub.cached(source) is None:
        return (
            f"no folder at `{source}` {seen}, though it looks like one. Give the path of a folder; if it is a hub id, "
            "say so by its `revision`."
        )
    return None


def _wrong_folder(one: Checkpoint) -> str | None:
    folder = Path(one.source)
    if one.revision is not None:
        return f"`{one.source}` is a folder, and a folder has no revision. Leave `revision` out."
    if (folder / one.file).is_file():
        return None
    if one.file == "config.json" and (folder / OPEN_CLIP).is_file():
        return (
            f"`{one.source}` holds {OPEN_CLIP}: it is one of open_clip. Use a backbone with `plugin: clip_open_clip`."
        )
    if one.file == OPEN_CLIP and (folder / "config.json").is_file():
        return f"`{one.source}` holds config.json: it is one of transformers. Use `plugin: clip_hf`."
    return f"`{one.source}` is no checkpoint: it holds no {one.file}."


def _unknown_word(one: Checkpoint) -> str:
    hint = spelling.did_you_mean(one.source, one.words)
    named = " A model name of open_clip needs the tag of its weights as `revision`." if one.named_models else ""
    words = " or ".join(f"`{word}`" for word in one.words)
    return (
        f"no folder at `{one.source}` (seen from {Path.cwd()}), and no hub id, which is owner/name.{hint} "
        f"Give {words}, a folder, or a hub id.{named}"
    )
