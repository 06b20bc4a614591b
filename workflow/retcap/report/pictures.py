"""Pictures of the report: thumbnails as data URIs, so that the page needs no other file."""

import base64
import io
import math
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from retcap.pictures.images import ImagePack

JPEG_QUALITY = 78  # above 80 the size grows faster than anyone can see at thumbnail scale


def open_pack(folder: Path | None) -> ImagePack | None:
    """The image pack at a folder, or None when there is none."""
    if folder is None:
        return None
    return ImagePack(folder)


def keys_of(folder: Path | None, paths: Iterable[str | None]) -> dict[str, str]:
    """Pack key of every path that was packed; a large pack is not read whole for the sake of a few pictures."""
    wanted = sorted({path for path in paths if isinstance(path, str)})
    if folder is None or not wanted:
        return {}
    table = pq.read_table(Path(folder) / "paths.parquet", columns=["path", "key"], filters=[("path", "in", wanted)])
    return {row["path"]: row["key"] for row in table.to_pylist() if row["key"] is not None}


def thumbnail(pack: ImagePack | None, key: str | None, width_px: int) -> str | None:
    """One image of the pack as a JPEG data URI, at most `width_px` wide; None when it is not there."""
    if pack is None or not isinstance(key, str):
        return None
    return data_uri(Image.fromarray(pack[key]), width_px) if key in pack else None


def data_uri(image: Image.Image, width_px: int) -> str:
    """A picture as a JPEG data URI, scaled down to at most `width_px` wide, never up."""
    if image.width > width_px:
        height_px = max(1, math.floor(image.height * width_px / image.width))
        image = image.resize((width_px, height_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
