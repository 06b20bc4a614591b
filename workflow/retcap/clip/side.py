"""The side of the pictures that a CLIP takes: as its checkpoint declares it, and as the loaded model has it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap import plugins

if TYPE_CHECKING:
    from retcap.clip.tower import Backbone

DEFAULT_PX = 224  # where the key is left out: CLIPVisionConfig of transformers, CLIPVisionCfg of open_clip


def declared(file: Path, *section: str) -> int:
    """`image_size` in a section of a checkpoint's JSON file, in pixels. Raises ValueError where that is no side."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        for name in section:
            found = found.get(name) or {}
        side = found.get("image_size", DEFAULT_PX)
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read: {error}.") from error
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise ValueError(
            f"{file}: {'.'.join(section)}.image_size is {side!r}, and pictures are packed as squares: their side is "
            "one number of pixels."
        )
    return side


def load(chosen: Mapping[str, Any], source: str | Path) -> "Backbone":
    """The towers of a configured backbone, of which pictures of `side_px` were packed. ValueError for another side."""
    towers = plugins.load("backbones", chosen["plugin"]).load(source, revision=chosen["revision"])
    if towers.image.side_px != chosen["side_px"]:
        raise ValueError(
            f"{source} takes pictures of {towers.image.side_px} px, and for {chosen['side_px']} px they were packed. "
            f"Set `side_px: {towers.image.side_px}` where `backbones` names it."
        )
    return towers
