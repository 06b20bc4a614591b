"""The side of the pictures of each backbone, known while the plan is made: without weights and without a network."""

from collections.abc import Iterator
from pathlib import Path

from retcap import plugins
from retcap.config.backbones import BackboneChoice
from retcap.config.common import Common
from retcap.config.errors import Problem


def findings(config: Common, name: str) -> Iterator[Problem]:
    """What is wrong with the side of a backbone whose checkpoint is one."""
    own, place = config.backbones[name], ("backbones", name, "side_px")
    try:
        declared = _declared(config, own)
    except ValueError as error:
        yield Problem(("backbones", name, "checkpoint"), str(error), (place,))
        return
    if declared is None and own.side_px is None:
        text = (
            f"is not given, and `{own.checkpoint}` is no folder that says it. Give the side of the pictures that the "
            "model takes, `image_size` in its configuration on the hub: 224 for most."
        )
        yield Problem(place, text, (("backbones", name, "checkpoint"),))
    if own.side_px is not None and declared not in (None, own.side_px):
        says = "retrieval.tiny_clip.side_px" if own.checkpoint == "tiny" else f"`{own.checkpoint}`"
        text = f"{own.side_px} px, but {says} says {declared}. Leave `side_px` out here, or set it to {declared}."
        yield Problem(place, text, (("retrieval", "tiny_clip", "side_px"), ("backbones", name, "checkpoint")))


def filled(config: Common) -> Common:
    """The configuration with the side of every backbone of which it can be known."""
    sides = {name: own.side_px or _declared(config, own) for name, own in config.backbones.items()}
    known = {name: own.model_copy(update={"side_px": sides[name]}) for name, own in config.backbones.items()}
    return config.model_copy(update={"backbones": known})


def _declared(config: Common, own: BackboneChoice) -> int | None:
    """Side that a checkpoint itself says, in pixels; None for one that is no folder here."""
    if own.checkpoint == "tiny":
        return config.section("retrieval").tiny_clip.side_px
    folder = Path(own.checkpoint)
    return plugins.load("backbones", own.plugin).side_px(folder) if folder.is_dir() else None
