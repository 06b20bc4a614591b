"""Checkpoints that the configuration names: words, folders and hub ids, as far as can be seen without a network."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retcap import spelling
from retcap.config import sides
from retcap.config.checks import STUDIES
from retcap.config.errors import Place, Problem

if TYPE_CHECKING:
    from retcap.config import Config

FOLDERS = ("models", "model", "checkpoints", "checkpoint", "weights", "data", "results", "output", "outputs", "runs")
OPEN_CLIP = "open_clip_config.json"  # in a folder of open_clip; transformers' folders have config.json


class Named(NamedTuple):
    """A checkpoint of the configuration: the words that mean one, the file that its folder must have, its revision."""

    place: Place
    source: str
    words: tuple[str, ...]
    file: str
    revision: str | None
    named_models: bool = False  # open_clip's own model names, with the tag of the weights as revision


def findings(config: "Config") -> Iterator[Problem]:
    """Checkpoints that cannot be what they seem to be."""
    for one in _named(config):
        if (text := _wrong(one)) is not None:
            yield Problem(one.place, text, (STUDIES,))
        elif one.place[0] == "backbones":
            yield from sides.findings(config, str(one.place[1]))
    if "retrieval" in config.studies:
        for name, own in config.backbones.items():
            if own.checkpoint == "tiny" and own.plugin != "clip_open_clip":
                text = f"the tiny CLIP is one of open_clip, and {own.plugin} cannot read it. Use `clip_open_clip`."
                place: Place = ("backbones", name)
                yield Problem((*place, "plugin"), text, ((*place, "checkpoint"), STUDIES))


def _named(config: "Config") -> Iterator[Named]:
    if "retrieval" in config.studies:
        for name, own in config.backbones.items():
            opened = own.plugin == "clip_open_clip"
            place: Place = ("backbones", name, "checkpoint")
            yield Named(
                place,
                own.checkpoint,
                ("tiny",),
                OPEN_CLIP if opened else "config.json",
                own.revision,
                named_models=opened,
            )
    if "captioning" in config.studies:
        words = ("tiny", "hub")
        yield Named(("captioning", "checkpoint"), config.captioning.checkpoint, words, "config.json", None)
        for name, options in config.captioning.options.items():
            place = ("captioning", "options", name)
            if options.checkpoint is not None:
                yield Named((*place, "checkpoint"), options.checkpoint, words, "config.json", options.revision)
            elif options.revision is not None:
                source = config.captioning.checkpoint
                yield Named((*place, "revision"), source, words, "config.json", options.revision)


def _wrong(one: Named) -> str | None:
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
    if one.revision is None and (owner in FOLDERS or Path(owner).is_dir()) and not _cached(source):
        return (
            f"no folder at `{source}` {seen}, though it looks like one. Give the path of a folder; if it is a hub id, "
            "say so by its `revision`."
        )
    return None


def _wrong_folder(one: Named) -> str | None:
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


def _unknown_word(one: Named) -> str:
    hint = spelling.did_you_mean(one.source, one.words)
    named = " A model name of open_clip needs the tag of its weights as `revision`." if one.named_models else ""
    words = " or ".join(f"`{word}`" for word in one.words)
    return (
        f"no folder at `{one.source}` (seen from {Path.cwd()}), and no hub id, which is owner/name.{hint} "
        f"Give {words}, a folder, or a hub id.{named}"
    )


def _cached(source: str) -> bool:
    """Whether the hub's cache on this machine knows the id."""
    home = Path(os.environ.get("HF_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    return (cache / f"models--{source.replace('/', '--')}").is_dir()
