"""Configuration of the CLIP backbones, which studies share."""

from retcap.config.limits import PIXELS
from retcap.config.parts import BackbonePlugin, Checkpoint, Positive, Revision, Section, key


class BackboneChoice(Section):
    """One CLIP backbone."""

    plugin: BackbonePlugin = key("clip_open_clip", "`clip_open_clip` or `clip_hf`")
    checkpoint: Checkpoint = key("tiny", "`tiny`: the small CLIP trained on the demo world; a hub id or a folder")
    revision: Revision | None = key(None, "hub revision (commit)")
    side_px: Positive | None = key(
        None,
        "side of the square pictures it takes, for checkpoints that are not on this machine; null: as the folder says",
        "px",
        most=PIXELS,
        least=32,
    )
