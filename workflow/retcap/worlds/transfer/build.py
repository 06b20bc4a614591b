"""Builds the demo's classification set: things of the retrieval world, to be told by colour and shape (64 classes).

It is written as tar files in the layout of CLIP_benchmark, with captions for image-text retrieval beside the test
pictures. Things, scenes and words are those that the tiny CLIP was trained on; the pictures are new ones. Some training
pictures are re-encoded copies of test pictures, as crawled sets have them: the overlap analysis should find them.
"""

import io
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from retcap.worlds.m2kr import texts
from retcap.worlds.m2kr.drawing import JPEG, random_view
from retcap.worlds.m2kr.looks import COLOURS, PATTERNS, SHAPES, Look
from retcap.worlds.transfer.shifts import SHIFTS, Shot, draw

TEMPLATES = (
    "a photo of a {c}",
    "a {c}",
    "a {c} on sand",
    "a {c} on grass",
    "a photo of a {c} at night",
    "a {c} on wood",
)
CAPTIONS = 3  # per test picture
COPIES = 0.03  # share of test pictures with a re-encoded copy among the training pictures
COPY = {**JPEG, "quality": 60}


class World(NamedTuple):
    """Pictures per class in each split."""

    train: int
    valid: int
    test: int


def write(folder: Path, world: World, seed: int) -> dict[str, int]:
    """Write all files; gives the pictures per split."""
    rng = np.random.default_rng(seed)
    classes = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    folder.mkdir(parents=True, exist_ok=True)
    _lines(folder / "classnames.txt", [" ".join(one) for one in classes])
    _lines(folder / "zeroshot_classification_templates.txt", list(TEMPLATES))
    shots = {split: _shots(classes, count, rng) for split, count in world._asdict().items()}
    captions = [
        [texts.caption(shot.look, shot.view.scene, None, rng) for _ in range(CAPTIONS)] for _, shot in shots["test"]
    ]
    copied = np.sort(rng.permutation(len(shots["test"]))[: round(COPIES * len(shots["test"]))])
    counts = {}
    for split in ("train", "valid"):
        samples = [
            _sample(f"s{number:07d}", label, draw(shot, None)) for number, (label, shot) in enumerate(shots[split])
        ]
        if split == "train":
            samples += [
                _sample(f"copy{at:07d}", shots["test"][at][0], draw(shots["test"][at][1], None), COPY) for at in copied
            ]
        counts[split] = _tar(folder / split / "0.tar", samples)
    for shift in (None, *SHIFTS):
        split = "test" if shift is None else f"test-{shift}"
        samples = [
            _sample(f"s{number:07d}", label, draw(shot, shift), captions=captions[number] if shift is None else ())
            for number, (label, shot) in enumerate(shots["test"])
        ]
        counts[split] = _tar(folder / split / "0.tar", samples)
    return counts


def _shots(classes: list[tuple[str, str]], count: int, rng: np.random.Generator) -> list[tuple[int, Shot]]:
    """So many pictures of each class, in random order, with any pattern."""
    patterns = list(PATTERNS)
    found = []
    for label in rng.permutation(np.repeat(np.arange(len(classes)), count)):
        colour, shape = classes[label]
        look = Look(colour, shape, patterns[rng.integers(len(patterns))])
        found.append((int(label), Shot(look, random_view(rng), int(rng.integers(2**31)))))
    return found


def _sample(key: str, label: int, picture: Image.Image, options: dict = JPEG, captions=()) -> dict[str, bytes]:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    parts = {f"{key}.jpg": buffer.getvalue(), f"{key}.cls": str(label).encode()}
    return parts | ({f"{key}.txt": "\n".join(captions).encode()} if captions else {})


def _tar(file: Path, samples: list[dict[str, bytes]]) -> int:
    """Write the samples, without times and owners, so that the same world has the same bytes; gives their number."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for sample in samples:
            for name, data in sample.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return len(samples)


def _lines(file: Path, lines: list[str]) -> None:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
