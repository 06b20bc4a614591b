"""COCO captions in all their files, the generated set, and what is set aside of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retcap.datasets import coco
from retcap.features import encoders, frozen, image_sets
from retcap.records import Rejected
from retcap.worlds.coco import build


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (200, 30, 30)).save(file)


def image(name: str, split: str, *raws: Any, **own: Any) -> dict[str, Any]:
    sentences = [{"raw": raw, "tokens": [], "imgid": 0, "sentid": 0} for raw in raws]
    return {"filepath": "val2014", "filename": name, "split": split, "sentences": sentences, "cocoid": 1} | own


def karpathy(folder: Path, images: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    return folder


def read(folder: Path, split: str) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    found = list(coco.items(folder, split))
    good = {item.name: item.captions for item in found if not isinstance(item, Rejected)}
    return good, [one.reason for one in found if isinstance(one, Rejected)]


def test_karpathys_file_with_its_irregularities(tmp_path: Path):
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "t.jpg"):
        picture(tmp_path / "val2014" / name)
    folder = karpathy(
        tmp_path,
        [
            image("a.jpg", "train", " A red  bus.\n", "One bus", "A red  bus."),  # repeats stay
            image("b.jpg", "restval", "A dog.", "", None, 7, "None", "x" * 2001),
            image("a.jpg", "train", "again"),
            image("c.jpg", "train"),
            image("lost.jpg", "train", "Gone."),
            image("../../secret.jpg", "train", "Out."),
            image("d.jpg", "val", "A cat."),
            image("t.jpg", "test", "A test."),
            image("e.jpg", "holdout", "Where?"),
            {"split": "train"},
            "not a picture",
        ],
    )
    good, rejected = read(folder, "train")
    assert good == {"val2014/a.jpg": ("A red bus.", "One bus", "A red bus."), "val2014/b.jpg": ("A dog.",)}
    assert rejected == [
        *["empty_caption"] * 4,
        *("caption_too_long", "repeated_image", "no_caption", "missing_image", "outside_folder", "no_caption"),
    ]
    assert read(folder, "valid") == ({"val2014/d.jpg": ("A cat.",)}, [])
    good, rejected = read(folder, "test")
    assert good == {"val2014/t.jpg": ("A test.",)}
    assert rejected == ["unknown_split", "unknown_split"]
    assert coco.splits(folder) == ["test", "train", "valid"]
    detail = next(one.detail for one in coco.items(folder, "test") if isinstance(one, Rejected))
    assert detail == "val2014/e.jpg: the split is 'holdout'; known: train, restval, val, valid, test"


def test_cocos_own_files_say_their_split_by_their_names(tmp_path: Path):
    picture(tmp_path / "images/val2014/COCO_val2014_000000000009.jpg")
    picture(tmp_path / "train2017/000000000007.jpg")
    (tmp_path / "annotations").mkdir()
    content = {
        "images": [{"id": 9, "file_name": "COCO_val2014_000000000009.jpg"}, {"id": 8, "file_name": "8.jpg"}],
        "annotations": [
            {"image_id": 9, "id": 1, "caption": "A bus."},
            {"image_id": 9, "id": 2, "caption": "A red bus."},
            {"image_id": 77, "id": 3, "caption": "Of nothing."},
        ],
    }
    (tmp_path / "annotations/captions_val2014.json").write_text(json.dumps(content))
    new = {"images": [{"id": 7, "file_name": "000000000007.jpg"}], "annotations": [{"image_id": 7, "caption": "New."}]}
    (tmp_path / "annotations/captions_train2017.json").write_text(json.dumps(new))
    assert coco.splits(tmp_path) == ["train", "valid"]
    good, rejected = read(tmp_path, "valid")
    assert good == {"COCO_val2014_000000000009.jpg": ("A bus.", "A red bus.")}
    assert rejected == ["no_caption", "missing_image"]
    assert read(tmp_path, "train") == ({"000000000007.jpg": ("New.",)}, [])


def test_the_lists_that_the_published_code_reads(tmp_path: Path):
    picture(tmp_path / "train2014/COCO_train2014_000000000009.jpg")
    picture(tmp_path / "val2014/COCO_val2014_000000000012.jpg")
    rows = [
        {"image_id": "9", "id": 1, "caption": "A bus."},
        {"image_id": 12, "id": 2, "caption": "A cup."},
        {"image_id": "9", "id": 3, "caption": "Red."},
        {"image_id": "x", "caption": "?"},
        "nothing",
    ]
    (tmp_path / "train_caption.json").write_text(json.dumps(rows))
    good, rejected = read(tmp_path, "train")
    assert good == {"9": ("A bus.", "Red."), "12": ("A cup.",)}
    assert rejected == ["missing_image", "empty_caption", "no_caption"]


def test_files_that_are_not_there_or_no_annotations(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"No annotations in .*Put Karpathy's dataset_coco.json there"):
        coco.labels(tmp_path)
    (tmp_path / "dataset_coco.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset_coco.json is no JSON file"):
        coco.splits(tmp_path)
    (tmp_path / "dataset_coco.json").write_text("{}")
    with pytest.raises(ValueError, match=r"neither a list of captions nor an object with `images`"):
        coco.splits(tmp_path)
    (tmp_path / "dataset_coco.json").unlink()
    (tmp_path / "captions_mine.json").write_text("[]")
    with pytest.raises(ValueError, match=r"captions_mine.json: the name says no split"):
        coco.splits(tmp_path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    build.write(folder, build.World(7, 2, 3), seed=0)
    return folder


def test_the_generated_set_has_captions_and_every_kind_of_broken_record(world: Path, tmp_path: Path):
    about = frozen.embed(tmp_path / "out", image_sets.load("coco"), world, encoders.PixelEncoder(), threads=1)
    assert about["pictures"] == {"train": 7, "valid": 2, "test": 3}
    kinds = ("empty_caption", "missing_image", "image_broken", "no_caption", "repeated_image")
    assert about["rejected"] == dict.fromkeys(kinds, 2)
    found = frozen.read(tmp_path / "out")
    assert [len(texts) for texts in found.items["captions"]] == [5] * 12
    assert np.linalg.norm(found.images, axis=1) == pytest.approx(np.ones(12), abs=1e-6)


def test_more_training_pictures_leave_the_test_split_as_it_is(world: Path, tmp_path: Path):
    build.write(tmp_path, build.World(9, 2, 3), seed=0)

    def texts(folder: Path) -> list[tuple[str, ...]]:
        return [item.captions for item in coco.items(folder, "test") if not isinstance(item, Rejected)]

    assert texts(tmp_path) == texts(world)
    assert len(build.captions(tmp_path)) == 5 * 9 + 2  # of the lost and of the broken picture too
