"""The prefix captioning study in the configuration."""

from collections.abc import Callable, Iterator
from pathlib import Path

from retcap import spelling
from retcap.config.common import Common
from retcap.config.errors import Place, Problem
from retcap.config.prefix import CocoWorld, Prefix
from retcap.config.study import STUDIES, Checkpoint, Study


def problems(own: Prefix, config: Common) -> Iterator[Problem]:
    """A backbone that is none, and none at all; a comparison of a length with itself."""
    if "prefix" in config.studies and not config.backbones:
        text = "no backbone is left. Name one, or take `prefix` out of `studies`."
        yield Problem(("backbones",), text, (STUDIES,))
    if own.backbone is not None and own.backbone not in config.backbones:
        hint = spelling.did_you_mean(own.backbone, config.backbones)
        text = f"`{own.backbone}` is no backbone.{hint} Known: {', '.join(config.backbones)}."
        yield Problem(("prefix", "backbone"), text, (("backbones",), STUDIES))
    if own.compare[0] == own.compare[1]:
        yield Problem(("prefix", "compare"), "names the same prefix length twice. Name two.")


def folders(own: Prefix) -> Iterator[tuple[Place, str]]:
    """Annotations and pictures."""
    yield ("prefix", "folder"), own.folder


def checkpoints(own: Prefix) -> Iterator[Checkpoint]:
    """The language model, where no rule makes it."""
    place = ("prefix", "language_model")
    if f"/{CocoWorld.PLACEHOLDER}/" not in own.language_model:
        yield Checkpoint(place, own.language_model, (), "config.json", own.language_model_revision)


def warnings(own: Prefix, comes: Callable[[str], bool]) -> Iterator[Problem]:
    """A folder that is not there yet."""
    if not comes(own.folder):
        text = f"warning: no folder at `{own.folder}` (seen from {Path.cwd()}), so no caption can be read."
        yield Problem(("prefix", "folder"), text)


STUDY = Study(
    number=4,
    meaning="a CLIP vector becomes a prefix of GPT-2: captions by length, mapper, tuning and decoding",
    section=Prefix,
    worlds=(CocoWorld,),
    backbones=True,
    problems=problems,
    folders=folders,
    checkpoints=checkpoints,
    warnings=warnings,
)
