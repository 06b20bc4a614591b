"""Image-text pairs for contrastive pre-training, from a `pairs.csv` with the columns filepath and caption."""

import csv
from pathlib import Path

import msgspec
import numpy as np

from retcap.files import jsonl
from retcap.pictures import pixels


def read(file: Path, side_px: int) -> tuple[np.ndarray, list[list[str]]]:
    """Pictures, uint8 (N, side, side, 3), and the captions of each. Paths start from the file's folder.

    Rows of one picture are put together. A picture that cannot be read is an error: such files are made, not found.
    """
    captions: dict[str, list[str]] = {}
    with open(file, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            captions.setdefault(row["filepath"], []).append(row["caption"])
    resize = pixels.Resize("squash", side_px, side_px)
    pictures = [pixels.decode((file.parent / path).read_bytes(), resize)[0] for path in captions]
    return np.stack(pictures), list(captions.values())


def texts(world: Path) -> list[str]:
    """Questions and passages of a world's training files, for a tokenizer that has to know their words."""
    found: set[str] = set()
    for file in sorted((world / "jsonl").rglob("*train*.jsonl")):
        for line in jsonl.lines(file):
            try:
                record = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):  # the world has broken lines on purpose
                continue
            if isinstance(record, dict):
                found.update(
                    text
                    for text in map(record.get, ("instruction", "question", "passage_text"))
                    if isinstance(text, str)
                )
    return sorted(found)
