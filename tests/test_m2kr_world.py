"""The retrieval world: real file formats and irregularities, one answer per picture, the same bytes every time."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from retcap import plugins
from retcap.retrieval.m2kr.normalise import normalise
from retcap.retrieval.splits.audit import audit
from retcap.worlds.m2kr.drawing import SIDE, View, draw, silhouette
from retcap.worlds.m2kr.looks import COLOURS, PATTERNS, SHAPES, Look, all_looks, describe, make_entities
from small_world import SMALL

world_plugin = plugins.load("datasets", "m2kr_world")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    world_plugin.build(folder, seed=4, **SMALL)
    return folder


@pytest.fixture(scope="module")
def tables(world, tmp_path_factory) -> dict:
    """(data set, split) -> card, query rows, passage rows."""
    made = {}
    for dataset, splits in world_plugin.FILES.items():
        for split in splits:
            files = world_plugin.files(world, dataset, split)
            out = tmp_path_factory.mktemp(f"{dataset}_{split}")
            card = normalise(dataset, split, **files, roots=world / world_plugin.IMAGES, out=out)
            rows = [pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("queries", "passages")]
            made[dataset, split] = (out, card, *rows)
    return made


def tree(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


def test_same_seed_same_bytes(world, tmp_path):
    world_plugin.build(tmp_path / "again", seed=4, **SMALL)
    world_plugin.build(tmp_path / "other", seed=5, **SMALL)
    assert tree(tmp_path / "again") == tree(world) != tree(tmp_path / "other")


def test_sizes_and_reasons_of_rejection(tables):
    assert len(tables) == 11
    for (dataset, split), (_, card, queries, passages) in tables.items():
        expected = {"train": SMALL["train_queries"][dataset] + 1, "valid": 12, "test": 23}[split]
        assert len(queries) == (23 if (dataset, split) == ("m2kr_okvqa", "valid") else expected)
        assert passages
        reasons = set(card["rejected"]["reasons"])
        assert {"broken_json", "missing_id"} <= reasons
        if split == "train":
            positive = "unequal_lists" if dataset == "m2kr_okvqa" else "missing_positive"
            assert reasons == {
                "broken_json",
                "missing_id",
                positive,
                "wrong_type",
                "path_leaves_root",
                "empty_query",
            }
        assert card["queries"]["positives_not_in_passages"] == 0


def test_the_published_irregularities_are_there(world, tables):
    raw = {
        dataset: [json.loads(row) for row in files["queries"][0].read_text().splitlines() if row.endswith("}")]
        for dataset, files in ((name, world_plugin.files(world, name, "train")) for name in world_plugin.FILES)
    }
    assert all(isinstance(row["answer"], str) for row in raw["m2kr_oven"])
    assert all(row["answer"][1] == row["answer"][0] + " " for row in raw["m2kr_evqa"])
    assert all(" " in str(row["passage_id"]) for row in raw["m2kr_evqa"] if row["passage_id"])
    assert any(isinstance(answer, dict) for row in raw["m2kr_infoseek"] for answer in row["answer"])
    assert sum(row["passage_text"] is None for row in raw["m2kr_infoseek"]) >= 2
    assert sum(isinstance(row["data_id"], int) for row in raw["m2kr_okvqa"]) == 37 + 1  # and one repeat
    assert any(len(row["passage_id"] or ()) > 1 for row in raw["m2kr_okvqa"])
    corpus = tables["m2kr_okvqa", "test"][3]
    assert sum(row["passage_id"].startswith("00") for row in corpus) >= 3
    assert tables["m2kr_infoseek", "train"][1]["queries"]["repeated_instruction"] >= 1
    assert tables["m2kr_infoseek", "test"][1]["passages"]["duplicate_ids"] == 1


def test_answers_stand_in_the_gold_passage(tables):
    checked = 0
    for (dataset, split), (_, _, queries, passages) in tables.items():
        texts = {row["passage_id"]: row["text"] or "" for row in passages}
        for row in queries:
            gold = " ".join(texts[name] for name in row["positives"])
            numbers = [float(word.rstrip(".").replace(",", "")) for word in gold.split() if word[0].isdigit()]
            found = any(text in gold for text in row["answers"])
            found |= any(one["low"] <= number <= one["high"] for one in row["numeric"] for number in numbers)
            if dataset != "m2kr_okvqa":
                assert found, (dataset, split, row["query_id"])
            checked += found
    assert checked > 300


def test_training_asks_about_seen_things_only_and_the_test_about_both(world, tables):
    entities = json.loads((world / "world.json").read_text())["entities"]
    seen = {one["wikidata"]: one["seen"] for one in entities}
    assert sum(not value for value in seen.values()) == 9  # 0.3 of 30
    for dataset in ("m2kr_oven", "m2kr_infoseek"):
        assert all(seen[name] for row in tables[dataset, "train"][2] for name in row["positives"])
        assert {seen[name] for row in tables[dataset, "test"][2] for name in row["positives"]} == {True, False}


def test_only_the_known_leak_is_found(tables):
    for dataset, splits in world_plugin.FILES.items():
        known = plugins.load("datasets", dataset).KNOWN_LEAKS
        names = {split: "published_valid" if (dataset, split) == ("m2kr_okvqa", "valid") else split for split in splits}
        folders = {names[split]: tables[dataset, split][0] for split in splits}
        report = audit(folders, dataset=dataset, known_leaks=known)
        assert report["failures"] == []
        assert bool(report["known_leaks"]) == (dataset == "m2kr_okvqa")


def test_images_exist_but_for_the_lost_ones(world, tables):
    missing = total = 0
    for _, _, queries, passages in tables.values():
        for path in {row["image"] for row in queries + passages} - {None}:
            total += 1
            missing += not (world / "images" / path).is_file()
    assert 0 <= missing < 0.05 * total
    with Image.open(next((world / "images/coco/val2014").iterdir())) as picture:
        assert (picture.size, picture.mode, picture.format) == ((SIDE, SIDE), "RGB", "JPEG")


def test_pairs_name_existing_pictures(world):
    with (world / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * SMALL["pairs"]
    assert all((world / row["filepath"]).is_file() and row["caption"] for row in rows)
    words = {word for row in rows for word in row["caption"].split()}
    assert words & set(COLOURS)
    assert words & set(SHAPES)


def test_texts_are_short_enough_for_a_small_context(tables):
    longest = max(len((row["text"] or "").split()) for *_, passages in tables.values() for row in passages)
    assert longest <= 40


def test_every_look_draws_another_picture():
    view = View("sand", (0.5, 0.5), 0.7, 10.0, 1.0, 0.0)
    pictures = {draw(view, [(look, view)], np.random.default_rng(0)).tobytes() for look in all_looks()}
    assert len(pictures) == len(COLOURS) * len(SHAPES) * len(PATTERNS) == 384


def test_a_silhouette_stays_inside_its_circle():
    for shape in SHAPES:
        view = View("sand", (0.5, 0.5), 0.5, 30.0, 1.0, 0.0)
        y, x = np.nonzero(silhouette(shape, view) > 0.5)
        reach = np.hypot(x + 0.5 - SIDE / 2, y + 0.5 - SIDE / 2).max()
        # corners of the square and the cross lie up to 1.13 radii out
        assert 0.5 * SIDE / 4 < reach < 1.2 * SIDE / 4 + 1


def test_descriptions_name_the_look_and_sometimes_leave_one_word_out():
    rng = np.random.default_rng(2)
    full = {describe(Look("red", "star", "dotted"), omit=0.0, rng=rng) for _ in range(200)}
    assert full == {
        f"{p} {c} {s}" for p in ("dotted", "spotted") for c in ("red", "crimson") for s in ("star", "asterisk")
    }
    short = [len(describe(Look("red", "star", "dotted"), omit=0.3, rng=rng).split()) for _ in range(2000)]
    assert np.mean(np.array(short) == 2) == pytest.approx(0.3, abs=0.04)  # four standard errors of 2,000 draws
    assert min(short) == 2


def test_uses_and_materials_follow_from_the_look():
    assert len({look.use for look in all_looks()}) == len({look.material for look in all_looks()}) == 24


def test_entities_have_distinct_names_and_ids_and_a_share_of_twins():
    entities = make_entities(100, twins=0.1, unseen=0.3, rng=np.random.default_rng(1))
    assert len({one.name for one in entities}) == len({one.wikidata for one in entities}) == 100
    assert len({one.look for one in entities}) == 90


def test_unknown_sets_and_splits_are_named(tmp_path):
    with pytest.raises(ValueError, match="has no m2kr_infoseek valid"):
        world_plugin.files(tmp_path, "m2kr_infoseek", "valid")
    with pytest.raises(ValueError, match="train_queries names oven; the world has m2kr_oven"):
        world_plugin.build(tmp_path, seed=0, train_queries={"oven": 3})
