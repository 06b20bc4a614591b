"""Builds the demo's COCO-style set: photos of the retrieval world's things with five captions each.

It is written in the layout of COCO with Karpathy's split, `dataset_coco.json` beside `train2014/` and `val2014/`, and
has the kinds of records that cannot be used. Things, scenes and words are those that the tiny CLIP was trained on; the
pictures are new ones.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retcap.worlds.m2kr import texts
from retcap.worlds.m2kr.album import Album
from retcap.worlds.m2kr.looks import all_looks

CAPTIONS = 5  # per picture, as in COCO
RESTVAL = 0.2  # share of training pictures that come from COCO's validation set
ANNOTATIONS = "dataset_coco.json"


class World(NamedTuple):
    """Pictures of each split."""

    train: int
    valid: int
    test: int


def write(folder: Path, world: World, seed: int) -> None:
    """Write pictures and annotations."""
    images: list[dict[str, Any]] = []
    looks = all_looks()
    for stream, (split, count) in enumerate(world._asdict().items()):
        rng = np.random.default_rng([seed, stream])  # so that more training pictures leave the test split as it is
        album = Album(folder, rng)
        for _ in range(count):
            rest = split != "train" or rng.random() < RESTVAL
            part = "val2014" if rest else "train2014"
            name = f"COCO_{part}_{len(images):012d}.jpg"
            look, second = looks[rng.integers(len(looks))], album.clutter()
            _, scene = album.scene_of(f"{part}/{name}", look, second)
            said = [_sentence(texts.caption(look, scene, second, rng), rng) for _ in range(CAPTIONS)]
            own = {"train": "restval" if rest else "train", "valid": "val", "test": "test"}[split]
            images.append(_image(len(images), part, name, own, said))
    _spoil(folder, images)
    content = json.dumps({"images": images, "dataset": "coco"}, indent=1)
    (folder / ANNOTATIONS).write_text(content + "\n", encoding="utf-8")


def captions(folder: Path) -> list[str]:
    """All training captions, in order: what a language model may read."""
    content = json.loads((folder / ANNOTATIONS).read_text(encoding="utf-8"))
    images = {image["filename"]: image for image in content["images"] if image["split"] in ("train", "restval")}
    raws = [one["raw"].strip() for image in images.values() for one in image["sentences"]]
    return [raw for raw in raws if raw]


def _sentence(words: str, rng: np.random.Generator) -> str:
    """As people write them: a capital, most often a full stop, sometimes blanks or a line break at the end."""
    text = words[0].upper() + words[1:]
    return text + str(rng.choice([". ", ".", ".", ".", "", ".\n"]))


def _image(number: int, part: str, name: str, split: str, said: list[str]) -> dict[str, Any]:
    sentences = [
        {"tokens": text.lower().strip(" .\n").split(), "raw": text, "imgid": number, "sentid": CAPTIONS * number + at}
        for at, text in enumerate(said)
    ]
    about = {"filepath": part, "filename": name, "imgid": number, "split": split, "cocoid": number}
    return about | {"sentids": [one["sentid"] for one in sentences], "sentences": sentences}


def _spoil(folder: Path, images: list[dict[str, Any]]) -> None:
    """Records that cannot be used: an empty caption, a lost and a broken picture, one without captions, one twice."""
    by_split = {split: [one for one in images if one["split"] == split] for split in ("train", "test")}
    for split, own in by_split.items():
        if not own:
            continue
        own[0]["sentences"].append({"tokens": [], "raw": " ", "imgid": own[0]["imgid"], "sentid": -1})
        first = len(images)
        for at, name in enumerate(("lost", "broken", "silent")):
            text = [] if name == "silent" else ["A photo of a red disc."]
            one = _image(first + at, "val2014", f"COCO_val2014_{name}_{split}.jpg", split, text)
            images.append(one)
            if name == "broken":
                file = folder / one["filepath"] / one["filename"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"\xff\xd8\xff\xe0 broken download")
        images.append(own[-1] | {})
