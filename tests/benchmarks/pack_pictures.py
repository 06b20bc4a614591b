"""How much faster JPEGs are packed with `shrink_on_load`, how far the pixels move, and how many bytes a picture takes.

    python tests/benchmarks/pack_pictures.py --pictures FOLDER

Every picture of the folder is brought to several sizes, saved as JPEG (quality 90), and packed to 224 px squares as
config/m2kr.yaml asks for (cover, JPEG), one after another in one thread; with and without the shortcut in turn, so that
a busy machine slows both. Times are CPU milliseconds per picture. Moved: how far pixels decoded with the shortcut lie
from the exact ones, and for comparison how far the storage as JPEG moves them, in levels of 255: mean and largest.

RESULTS
"""

import argparse
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from retcap.pictures import pixels
from retcap.pictures.pixels import Resize

SIZES = [(500, 375), (1024, 768), (2048, 1536), (4000, 3000)]  # px; ImageNet and COCO lie at the first
SIDE = 224


def sources(folder: Path, size: tuple[int, int]) -> Iterator[bytes]:
    """The pictures of a folder, cut to the proportions and brought to the size, as JPEG files."""
    for file in sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png")):
        with Image.open(file) as image:
            rgb = image.convert("RGB")
        width = min(rgb.width, rgb.height * size[0] // size[1])
        left = (rgb.width - width) // 2
        part = rgb.crop((left, 0, left + width, width * size[1] // size[0]))
        buffer = io.BytesIO()
        part.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def main() -> None:
    """Print a row per size: milliseconds with and without, how far pixels move, bytes stored."""
    parser = argparse.ArgumentParser(description="Time packing with and without shrink_on_load.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"{'source px':>12} {'exact ms':>9} {'shrunk ms':>9} {'faster':>7} {'moved':>12} {'by storage':>12} {'kB':>6}"
    )
    for size in SIZES:
        files = list(sources(arguments.pictures, size))
        seconds = dict.fromkeys((False, True), 0.0)
        stored, shrunk, storage = [], [], []
        for data in files * arguments.rounds:
            found = {}
            for shrink in seconds:
                started = time.process_time()
                found[shrink], _ = pixels.decode(data, Resize("cover", SIDE, SIDE, shrink))
                packed = pixels.encode(found[shrink], "jpeg")
                seconds[shrink] += time.process_time() - started
            stored.append(len(packed))
            shrunk.append(distance(found[False], found[True]))
            storage.append(distance(found[True], pixels.decode_stored(packed)))
        exact, quick = (1000 * spent / len(stored) for spent in seconds.values())
        moved, by_storage = (f"{apart.mean():.2f}, {apart.max()}" for apart in map(np.concatenate, (shrunk, storage)))
        times = f"{exact:>9.1f} {quick:>9.1f} {exact / quick:>6.1f}x"
        kilobytes = np.mean(stored) / 1000
        print(f"{size[0]:>5} x {size[1]:<4} {times} {moved:>12} {by_storage:>12} {kilobytes:>6.1f}", flush=True)


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Levels by which every value of two pictures differs."""
    return np.abs(one.astype(int) - other).ravel()


if __name__ == "__main__":
    main()
