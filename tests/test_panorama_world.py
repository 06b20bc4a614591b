"""Panorama world: deterministic, in QuIC's format with its irregular rows, and impossible to answer without looking."""

import collections
import csv
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from retcap.captions import baselines, files, prepare, reading
from retcap.datasets import panorama_world, quic360
from retcap.datasets.quic360 import Row

SIZES = {"train_images": 150, "test_images": 30}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    counts = panorama_world.build(folder, **SIZES, seed=5)
    return folder, counts


@pytest.fixture(scope="module")
def prepared(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    names = {
        "items": "items.parquet",
        "requests": "requests.parquet",
        "rows": "rows.parquet",
        "images": "images",
        "quarantine": "quarantine.jsonl",
    }
    out = prepare.Outputs(**{key: out / name for key, name in names.items()}, coverage=out / "coverage.json")
    return out, prepare.prepare(world[0] / "test.csv", out)


def digest(folder):
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(name): hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def scenes(folder):
    """(image, place) -> row of scenes.csv."""
    with open(folder / "scenes.csv", encoding="utf-8", newline="") as file:
        return {(row["image"], row["place"]): row for row in csv.DictReader(file)}


def test_same_seed_same_bytes_other_seed_other_world(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        panorama_world.build(tmp_path / name, train_images=3, test_images=4, seed=seed)
    panorama_world.build(tmp_path / "d", train_images=5, test_images=4, seed=1)
    a, b, c, d = (digest(tmp_path / name) for name in "abcd")
    assert len(a) == 3 + 3 + 4 + 4  # CSVs, train, test, and a broken and a bare picture per split
    assert a == b
    assert all(a[name] != c[name] for name in a)
    assert all(a[name] == d[name] for name in a if "test" in name)  # more training pictures leave the test split alone


def test_pictures_are_panoramas(world):
    for split, size in (("train", (256, 128)), ("test", (512, 256))):
        for number in (0, 7):
            with Image.open(world[0] / "images" / f"{split}-{number:05d}.jpg") as image:
                assert image.size == size


def test_the_drawn_colour_is_where_the_scene_says(world):
    folder, names = world[0], list(panorama_world.COLOURS)
    right = 0
    for (image, place), row in scenes(folder).items():
        pixels = np.asarray(Image.open(folder / image)).astype(int)
        height, width = pixels.shape[:2]
        x = (2 * panorama_world.PLACES.index(place) + 1) * width // 6
        spot = pixels[int(0.5 * height) : int(0.6 * height), x - 4 : x + 4].reshape(-1, 3).mean(axis=0)
        distance = [np.abs(spot - panorama_world.COLOURS[name]).sum() for name in names]
        right += names[int(np.argmin(distance))] == row["colour"]
    total = 3 * sum(SIZES.values())
    assert len(scenes(folder)) == total
    drawn = [(row["colour"], row["shape"]) for row in scenes(folder).values()]
    assert drawn[:30] != drawn[3 * SIZES["train_images"] :][:30]  # the splits are drawn apart
    assert right >= 0.95 * total  # the middle of the place may miss a low or high triangle


def test_train_has_one_true_caption_per_pair(world):
    folder, known = world[0], scenes(world[0])
    rows = [row for row in quic360.rows(folder / "train.csv") if isinstance(row, Row) and row.caption]
    regular = [row for row in rows if (row.url, "left") in known and "\n" not in row.annotation]
    assert len(regular) >= 4 * SIZES["train_images"]
    for row in regular:
        assert {"large", "small"}.isdisjoint(row.annotation.split())
        assert "a orange" not in row.annotation
        asked = [row.query] if row.query in panorama_world.PLACES else panorama_world.PLACES
        for place in asked:
            assert known[row.url, place]["colour"] in row.annotation
            assert known[row.url, place]["shape"] in row.annotation
    per_pair = collections.Counter((row.url, row.query) for row in rows)
    assert sum(count == 1 for count in per_pair.values()) >= 0.98 * len(per_pair)


def test_prepared_test_split_looks_like_quic360(prepared):
    out, coverage = prepared
    items = files.read_items(out.items)
    assert coverage["images_lost"] == {"image_broken": 1, "image_missing": 1}
    assert 3 * SIZES["test_images"] <= len(items) <= 4 * SIZES["test_images"] + 1
    assert 4.5 < coverage["references"] / len(items) < 5.5
    assert coverage["references_per_pair"]["1"] == 1
    assert coverage["quarantined"] == {
        "empty_annotation": 3,
        "image_broken": 1,
        "image_missing": 2,
    }
    assert coverage["pairs_lost"] == {"image_broken": 1, "image_missing": 2, "no_reference": 1}
    assert coverage["duplicate_rows"] == 1
    assert coverage["pack"]["duplicates"] == 1
    lines = [json.loads(line) for line in out.quarantine.read_text().splitlines()]
    assert {line["record"].rpartition(",")[2] for line in lines if line["reason"] == "empty_annotation"} == {"", "None"}
    texts = [text for references in items["references"] for text in references]
    assert any("voilà" in text for text in texts)
    assert not any("\n" in text or "  " in text for text in texts)
    assert "\n" in "".join(files.read_rows(out.rows)["reference"].dropna())
    assert {"None", ""}.isdisjoint(texts)
    assert "a orange" not in " ".join(texts)


def test_references_of_a_pair_differ_in_words_and_agree_on_the_scene(world, prepared):
    known = scenes(world[0])
    items = files.read_items(prepared[0].items)
    regular = items[[len(references) > 3 for references in items["references"]]]
    for item in regular.to_dict("records"):
        assert len(set(item["references"])) >= 4
        place = item["query"] if item["query"] in panorama_world.PLACES else "left"
        truth = known[item["image"], place]
        assert all(truth["colour"] in text and truth["shape"] in text for text in item["references"])


def test_blind_captions_are_mostly_wrong(world, prepared):
    """The sight test of the demo: a fixed caption must name the wrong thing nearly always (chance is 1 in 18)."""
    known = scenes(world[0])
    items = files.read_items(prepared[0].items)
    captions = baselines.blind(items, reading.read(quic360, world[0] / "train.csv").captions(), seed=0)
    assert set(captions["prompt"]) == {"training medoid"}
    hits = shown = 0
    for item, raw in zip(items.to_dict("records"), captions["raw"], strict=True):
        if (truth := known.get((item["image"], item["query"]))) is not None:
            shown += 1
            hits += truth["colour"] in raw and truth["shape"] in raw
    assert shown > 70
    assert hits / shown < 0.2


def test_empty_splits_are_allowed(tmp_path):
    counts = panorama_world.build(tmp_path, train_images=0, test_images=2, seed=0)
    assert counts["train_rows"] == 0
    assert (tmp_path / "train.csv").read_text() == "url,query,annotation\n"
    assert counts["test_images"] == 2
