"""Pixels of one image: read, check, decode, orient, resize. Used by the image pack; everything here is a pure function.

Files come from the web: any of them may be missing, cut short, no image at all, or a few bytes that claim gigapixels.
Each such case is a `BadImage` with a short reason, never a crash.
"""

import contextlib
import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from retcap.pictures.allowance import Allowance
from retcap.pictures.depth import UnknownScale, to_8_bits

# Largest panorama accepted. QuIC-360 has up to 6k x 3k = 18 Mpx; 24k x 12k is the largest that consumer cameras stitch.
# Pillow's own limit (89 Mpx, error at twice that) would refuse it; no limit at all would let one file fill the memory.
MAX_SOURCE_PX = 300_000_000
MAX_FILE_BYTES = 1_000_000_000  # a 24k x 12k JPEG of the best quality has a fifth of it
JPEG_QUALITY = 95
# What decoding holds per pixel at its worst moment (measured: 10.0 for a progressive JPEG, which keeps its coefficients
# beside the pixels; 8.4 with transparency, 4.4 for a plain JPEG, 3.4 for 16-bit grey).
BYTES_PER_PX = 10
MEMORY = Allowance(2_500_000_000)  # of all threads: small pictures side by side, the largest alone; rules ask for 4 GB
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object in a message: another one in every run
SCALED_AS_THEY_ARE = ("RGB", "L")  # grey scaled before it becomes RGB gives the same pixels in a fourth of the memory


class BadImage(ValueError):
    """An image that cannot be used; `reason` is the short code for the quarantine, `detail` says what was found."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Resize:
    """How an image is brought to size, bicubic with antialiasing.

    fit     inside width x height with its proportions, never enlarged
    cover   shortest side to the target, then the centre is cut out: exactly width x height. For a square target this is
            CLIP's preprocessing (Radford et al. 2021; torchvision Resize + CenterCrop)
    squash  exactly width x height, proportions given up

    `shrink_on_load` lets the JPEG decoder skip detail down to twice the target: faster, and pixels differ a little.
    """

    mode: str
    width: int
    height: int
    shrink_on_load: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("fit", "cover", "squash") or min(self.width, self.height) < 1:
            raise ValueError(f"{self!r}: mode must be fit, cover or squash, and both sides at least 1 px.")

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after scaling, before any cut.

        >>> Resize("fit", 2048, 1024).scaled(4000, 2000), Resize("cover", 224, 224).scaled(640, 480)
        ((2048, 1024), (298, 224))
        """
        if self.mode == "squash":
            return self.width, self.height
        if self.mode == "fit":
            factor = min(1.0, self.width / width, self.height / height)
            return max(1, round(width * factor)), max(1, round(height * factor))
        if (
            self.width * height >= self.height * width
        ):  # as torchvision: the short side is exact, the long one rounded down
            return self.width, max(self.height, height * self.width // width)
        return max(self.width, width * self.height // height), self.height


def file_bytes(file: Path) -> bytes:
    """The file's bytes. BadImage: image_missing, image_unreadable, image_too_large."""
    try:
        # Without O_NONBLOCK, opening a named pipe waits for somebody to write into it, and no signal ends the wait.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            state = os.fstat(opened.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise BadImage("image_unreadable", f"{file} is {_kind(state.st_mode)}, not a file")
            if state.st_size > MAX_FILE_BYTES:
                raise BadImage("image_too_large", f"{file}: {state.st_size} bytes, more than {MAX_FILE_BYTES}")
            return opened.read()
    except (FileNotFoundError, NotADirectoryError):
        raise BadImage("image_missing", f"no file {file}") from None
    except IsADirectoryError:
        raise BadImage("image_unreadable", f"{file} is a folder, not a file") from None
    except BadImage:
        raise
    except (OSError, ValueError) as error:  # no permission, a socket, a name with a null byte
        raise BadImage("image_unreadable", f"{file}: {error}") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((name for is_one, name in kinds.items() if is_one(mode)), "a device")


def decode(data: bytes, resize: Resize) -> tuple[np.ndarray, tuple[int, int]]:
    """(uint8 RGB, height x width x 3) and the (height, width) of the source, both after its EXIF orientation.

    Transparency is dropped without a background, as the models' own processors do. BadImage: image_too_large,
    image_unknown_scale (nothing says which value is white), image_broken. The same bytes always give the same detail.
    """
    try:
        with _open(data) as image:
            width, height = image.size
            if width * height > MAX_SOURCE_PX:
                raise BadImage("image_too_large", f"{width} x {height} px, more than {MAX_SOURCE_PX} px")
            if resize.shrink_on_load and image.format == "JPEG":
                enough = 2 * (max if resize.mode == "squash" else min)(resize.scaled(width, height))
                image.draft("RGB", (enough, enough))  # a square, since the orientation is not known yet
            with MEMORY.of(BYTES_PER_PX * image.width * image.height):
                image.load()
                loaded = image.size  # a fraction of the source after draft
                _turn_upright(image)
                if image.size != loaded:
                    width, height = height, width
                return _resized(to_8_bits(image), resize, resize.scaled(width, height)), (height, width)
    except (BadImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # Pillow refuses far above the limit before it tells the size
        raise BadImage("image_too_large", str(error)) from error
    except UnknownScale as error:
        raise BadImage("image_unknown_scale", str(error)) from error
    except UnidentifiedImageError as error:  # its message holds the address of an object
        begins = f"begins with the bytes {data[:8].hex(' ')}" if data else "is empty"
        raise BadImage("image_broken", f"no picture in a format that is known; the file {begins}") from error
    except Exception as error:  # decoders meet hostile bytes: OSError, SyntaxError, struct.error, zlib.error, ...
        raise BadImage("image_broken", f"{type(error).__name__}: {ADDRESS.sub('', str(error))}") from error


def _open(data: bytes) -> Image.Image:
    # Pillow's limit is global to the process; ours is checked before any pixel is decoded, so it may be wide open here.
    Image.MAX_IMAGE_PIXELS = MAX_SOURCE_PX
    return Image.open(io.BytesIO(data))


def _turn_upright(image: Image.Image) -> None:
    with contextlib.suppress(Exception):  # broken EXIF is no reason to lose a good picture
        ImageOps.exif_transpose(image, in_place=True)


def _resized(image: Image.Image, resize: Resize, scaled: tuple[int, int]) -> np.ndarray:
    if image.mode not in SCALED_AS_THEY_ARE:
        image = image.convert("RGB")
    if image.size != scaled:
        image = image.resize(scaled, Image.Resampling.BICUBIC)
    if resize.mode == "cover":
        left, top = round((image.width - resize.width) / 2), round((image.height - resize.height) / 2)
        image = image.crop((left, top, left + resize.width, top + resize.height))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def encode(image: np.ndarray, encoding: str) -> bytes:
    """Bytes to store for one uint8 RGB image: the raw pixels, or a JPEG (lossy) or PNG (slow, exact) file."""
    if encoding == "raw":
        return image.tobytes()
    buffer = io.BytesIO()
    if encoding == "jpeg":
        Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    elif encoding == "png":
        Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    else:
        raise ValueError(f"image encoding `{encoding}` is unknown. Known: raw, jpeg, png.")
    return buffer.getvalue()


def decode_stored(data: bytes) -> np.ndarray:
    """The uint8 RGB image that `encode` stored as JPEG or PNG."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
