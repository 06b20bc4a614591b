"""The retrieval study's own steps: splits of a set, pictures to pack, systems, pre-training pairs, the table."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from retcap import plugins
from retcap.config.retrieval import Retrieval
from retcap.jobs.failures.record import Failure
from retcap.retrieval import study, summary, systems
from retcap.retrieval.differences import differences
from retcap.retrieval.m2kr import pictures
from retcap.retrieval.trainings import spread, trainings
from retcap.retriever import pairs
from small_world import SMALL

WORLD = "<m2kr_world>/"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    plugins.load("datasets", "m2kr_world").build(folder, seed=4, **SMALL)
    return folder


def settings(world: Path, name: str, **changes) -> dict:
    """The demo's settings of a data set, pointed at a small world."""
    text = json.dumps(Retrieval().datasets[name].model_dump()).replace(WORLD, f"{world}/")
    values = json.loads(text) | {"valid_limit": 7} | changes
    if values["holdout"]:
        values["holdout"]["rows"] = 5
    return values


def test_a_hold_out_that_is_too_large_names_its_key_and_no_hidden_folder(world: Path, tmp_path: Path):
    plugin, large = plugins.load("datasets", "m2kr_infoseek"), settings(world, "m2kr_infoseek")
    large["holdout"]["rows"] = 46
    with pytest.raises(ValueError, match=r"^retrieval.datasets.m2kr_infoseek.holdout: holding out 46") as raised:
        study.normalise_set(plugin, tmp_path / ".set.partial", large, seed=3)
    assert ".partial" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(Retrieval().datasets))
def test_every_set_gets_three_splits_that_do_not_share_questions(world: Path, name: str, tmp_path: Path):
    folder = tmp_path / name
    study.normalise_set(plugins.load("datasets", name), folder, settings(world, name), seed=3)
    rows = {
        split: pq.read_table(folder / split / "queries.parquet").to_pylist() for split in ("train", "valid", "test")
    }
    assert len(rows["test"]) >= 20
    assert 0 < len(rows["valid"]) <= 7
    asked = {split: {(row["image"], row["question"]) for row in found if row["image"]} for split, found in rows.items()}
    assert not asked["train"] & asked["valid"]
    assert (folder / "published_valid").is_dir() is (name == "m2kr_okvqa")
    splits = study.split_folders(folder)
    assert list(splits) == (
        ["train", "valid", "published_valid", "test"] if name == "m2kr_okvqa" else ["train", "valid", "test"]
    )


def test_all_pictures_of_queries_and_passages_are_packed_and_none_outside_the_root(world: Path, tmp_path: Path):
    study.normalise_set(plugins.load("datasets", "m2kr_oven"), tmp_path / "oven", settings(world, "m2kr_oven"), seed=3)
    files = dict(pictures.picture_files(tmp_path / "oven", world / "images"))
    passages = pq.read_table(tmp_path / "oven/test/passages.parquet")["image"].to_pylist()
    assert {path for path in passages if path} <= set(files)
    assert all(file.is_relative_to(world / "images") for file in files.values())
    assert sum(file.is_file() for file in files.values()) > 0.9 * len(files)


def test_random_vectors_differ_between_queries_and_passages(tmp_path: Path):
    pq.write_table(pa.table({"query_id": list("abc")}), tmp_path / "queries.parquet")
    pq.write_table(pa.table({"passage_id": list("abc")}), tmp_path / "passages.parquet")
    made = []
    for side, name in (("query", "queries"), ("passage", "passages")):
        place = systems.Place(
            side, tmp_path / f"{name}.parquet", tmp_path, tmp_path / f"{name}.npy", tmp_path / f"{name}.ids.parquet"
        )
        options = {"shards": 1, "storage": "float32"}
        systems.embed(None, place, options, shard=0, dataset="x", seed=1, threads=1, progress=iter)
        made.append(np.load(place.out))
    assert made[0].shape == (3, systems.RANDOM_SIZE)
    assert not np.isclose(made[0], made[1]).all(axis=1).any()


def test_pairs_of_one_picture_are_put_together(tmp_path: Path):
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (9, 7), colour).save(tmp_path / f"{name}.png")
    with open(tmp_path / "pairs.csv", "w", newline="") as file:
        csv.writer(file).writerows([("filepath", "caption"), ("a.png", "one"), ("b.png", "two"), ("a.png", "three")])
    pictures, captions = pairs.read(tmp_path / "pairs.csv", 5)
    assert pictures.shape == (2, 5, 5, 3)
    assert captions == [["one", "three"], ["two"]]


def test_texts_for_the_tokenizer_pass_over_broken_lines(world: Path):
    found = pairs.texts(world)
    assert len(found) > 50
    assert any("?" in text for text in found)


def test_texts_for_the_tokenizer_keep_lines_with_unusual_breaks(tmp_path: Path):
    texts = [f"what is{character}this?" for character in "\x85\u2028\u2029"]
    lines = [json.dumps({"question": text}, ensure_ascii=False) for text in texts]
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "jsonl/oven_train.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    assert pairs.texts(tmp_path) == sorted(texts)


def result(system: str, dataset: str, value: float) -> dict:
    metrics = {"R@5": {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "n": 4}}
    way = {"metrics": metrics, "floors": {"R@5": 0.1}}
    sides = {"ret": way | {"floors": {}}, "flmr": {"stopped": "query row 3 has no hits"}}
    return {"system": system, "dataset": dataset, "corpus_size": 5, **way, "dialects": {"strict": way, **sides}}


def test_the_table_has_a_row_per_dialect_system_set_and_metric():
    frame = summary.table([result("a", "x", 0.5), result("b", "x", 0.25)]).astype(object)
    columns = ["dialect", "system", "dataset", "metric", "value", "ci_low", "n", "floor", "corpus_size"]
    assert frame.where(frame.notna(), None)[columns].values.tolist() == [
        ["strict", "a", "x", "R@5", 0.5, 0.4, 4, 0.1, 5],
        ["strict", "b", "x", "R@5", 0.25, 0.15, 4, 0.1, 5],
        ["ret", "a", "x", "R@5", 0.5, 0.4, 4, None, 5],
        ["ret", "b", "x", "R@5", 0.25, 0.15, 4, None, 5],
    ]


def test_a_checkpoint_is_named_by_its_weights(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    assert systems.checkpoint(str(tmp_path), None) is None
    assert systems.checkpoint(None, "openai/clip@abc") == "openai/clip@abc"
    assert systems.checkpoint(None, None) is None  # random vectors: not the files of the working folder
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = systems.checkpoint(str(tmp_path), None)
    assert first == hashlib.sha256(b"one").hexdigest() == systems.checkpoint(None, str(tmp_path))
    (tmp_path / "config.json").write_text("{ }")
    assert systems.checkpoint(str(tmp_path), None) == first  # the weights only
    (tmp_path / "model-2.safetensors").write_bytes(b"two")
    assert systems.checkpoint(str(tmp_path), None) not in (None, first)


def test_published_rows_are_marked_and_carry_their_caveat():
    rows = summary.published_rows(["m2kr_oven"])
    assert rows["source"].str.startswith("published: ").all()
    assert rows["caveat"].str.len().min() > 10
    ret = rows[(rows["system"] == "ReT CLIP ViT-L") & (rows["dataset"] == "m2kr_oven") & (rows["metric"] == "R@5")]
    assert ret["value"].tolist() == [0.82]


def test_paired_differences_are_those_of_the_means(tmp_path: Path):
    values = {"ours": [1.0, 1.0, 0.0, 1.0], "other": [0.0, 1.0, 0.0, 0.0]}
    paths = {}
    for name, column in values.items():
        paths[name] = {"x": tmp_path / f"{name}.parquet"}
        pq.write_table(
            pa.table({"query_row": range(4), "query_id": list("abcd"), "cluster": list("abcd"), "R@5": column}),
            paths[name]["x"],
        )
    found = differences(paths, ["ours"], 5, draws=200, seed=1)
    assert [(one.first, one.second, one.dataset, one.metric) for one in found] == [("ours", "other", "x", "R@5")]
    assert found[0].difference == 0.5
    assert 0 <= found[0].ci_low <= 0.5 <= found[0].ci_high <= 1


def test_differences_are_among_the_systems_that_have_a_result(tmp_path: Path):
    """One trained system failed on both sets, a baseline on one: the others keep their differences, in every digit."""

    def table(name: str, dataset: str, seed: int) -> Path:
        hits = np.random.default_rng(seed).integers(0, 2, 40).astype(float)
        path = tmp_path / f"{name}-{dataset}.parquet"
        ids = [str(row) for row in range(40)]
        pq.write_table(pa.table({"query_row": range(40), "query_id": ids, "cluster": ids, "R@5": hits}), path)
        return path

    seeds = {"a": 1, "b": 2, "blind": 3}
    whole = {name: {one: table(name, one, seed + len(one)) for one in ("x", "yy")} for name, seed in seeds.items()}
    lost = {"failed": {}, "a": whole["a"], "b": whole["b"], "blind": {"yy": whole["blind"]["yy"]}}
    found = differences(lost, ["failed", "a", "b"], 5, draws=200, seed=1)
    assert [(one.first, one.second, one.dataset) for one in found] == [
        ("a", "b", "x"),
        ("a", "b", "yy"),
        ("a", "blind", "yy"),
        ("b", "blind", "yy"),
    ]
    complete = differences(whole, ["a", "b"], 5, draws=200, seed=1)
    assert [one for one in found if one.dataset == "yy"] == [one for one in complete if one.dataset == "yy"]
    assert differences({"failed": {}}, ["failed"], 5, draws=200, seed=1) == []


def test_what_failed_stands_beside_what_was_scored(tmp_path: Path):
    failure = Failure("error", "embed_retrieval", {"encoder": "b"}, "MemoryError", "b.log")
    (tmp_path / "a.json").write_text(json.dumps(result("a", "x", 0.5)))
    places, paths = [("a", "x"), ("b", "x")], [str(tmp_path / "a.json"), "b.json"]
    scored = summary.gather(places, paths, ["a.parquet", "b.parquet"], {"b.json": failure})
    assert scored.results == [result("a", "x", 0.5)]
    assert scored.per_query == {"a": {"x": Path("a.parquet")}, "b": {}}
    assert scored.failed == {("b", "x"): "MemoryError (embed_retrieval b)"}
    rows = summary.failed_rows(scored.failed)
    assert rows.to_dict("records") == [
        {"system": "b", "dataset": "x", "source": "failed: MemoryError (embed_retrieval b)"}
    ]


def test_systems_that_agree_on_every_query_may_still_differ_on_others(tmp_path: Path):
    paths = {name: {"x": tmp_path / f"{name}.parquet"} for name in ("ours", "other")}
    columns = {"query_row": range(60), "query_id": [str(n) for n in range(60)], "cluster": [str(n) for n in range(60)]}
    for found in paths.values():
        pq.write_table(pa.table(columns | {"R@5": [float(n % 2) for n in range(60)]}), found["x"])
    (record,) = differences(paths, ["ours"], 5, draws=100, seed=1)
    bound = 1 - 0.025 ** (1 / 60)
    assert (record.difference, record.clusters) == (0, 60)
    assert (record.ci_low, record.ci_high) == pytest.approx((-bound, bound))


def test_validation_in_the_test_corpus_gets_the_passages_that_its_lines_bring(world: Path, tmp_path: Path):
    """A gold passage of a validation query that the test corpus lacks could never be found."""
    values = settings(world, "m2kr_evqa", valid_limit=None)
    corpus = tmp_path / "corpus.jsonl"
    valid = [json.loads(line) for line in Path(values["valid"][0]).read_text().splitlines() if line.endswith("}")]
    gold = next(row["passage_id"] for row in valid if row.get("passage_text") and row.get("data_id"))
    lines = Path(values["passages"][0]).read_text().splitlines()
    corpus.write_text("\n".join(line for line in lines if f'"{gold}"' not in line) + "\n")
    for name, valid_passages in (("added", []), ("own", [str(corpus)])):
        study.normalise_set(
            plugins.load("datasets", "m2kr_evqa"),
            tmp_path / name,
            values | {"passages": [str(corpus)], "valid_passages": valid_passages},
            seed=3,
        )
        ids = pq.read_table(tmp_path / name / "valid/passages.parquet")["passage_id"].to_pylist()
        assert (gold in ids) is (name == "added")
        assert gold not in pq.read_table(tmp_path / name / "test/passages.parquet")["passage_id"].to_pylist()


def test_a_set_without_its_folder_of_pictures_is_not_read(world: Path, tmp_path: Path):
    plugin = plugins.load("datasets", "m2kr_oven")
    for roots, error, words in [
        (
            f"{world}/nowhere",
            FileNotFoundError,
            r"datasets\.m2kr_oven\.roots: no folder at .*/nowhere\. Unpack",
        ),
        ({"": f"{world}/images", "coco": "coco"}, FileNotFoundError, r"roots: no folder at .*/coco\."),
        ("", ValueError, r"datasets\.m2kr_oven\.roots names no folder of pictures. Got ''"),
        ({}, ValueError, r"names no folder of pictures. Got \{\}"),
    ]:
        with pytest.raises(error, match=words):
            study.normalise_set(plugin, tmp_path / "oven", settings(world, "m2kr_oven", roots=roots), seed=3)
        assert not (tmp_path / "oven").exists()


def test_a_list_of_files_without_a_usable_row_is_an_error(world: Path, tmp_path: Path):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": 1}\n' * 3 + "{\n")
    plugin, rejects = plugins.load("datasets", "m2kr_oven"), tmp_path / "rejects.jsonl"
    for part, words in [
        (
            "test",
            r"m2kr_oven test: no usable row in the queries files .*wrong\.jsonl \(4 lines; rejected in this",
        ),
        ("passages", r"m2kr_oven test: no usable row in the passages files"),
        ("train", r"m2kr_oven train: no usable row in the queries files"),
        ("train_passages", r"m2kr_oven train: no usable row in the passages files"),  # lines bring passages, yet
        ("valid", r"m2kr_oven valid: no usable row in the queries files"),
    ]:
        changed = settings(world, "m2kr_oven", **{part: [str(wrong)]})
        with pytest.raises(ValueError, match=words) as caught:
            study.normalise_set(plugin, tmp_path / part, changed, seed=3, rejects=rejects)
        assert f"Rejected lines: {rejects}" in str(caught.value)
        assert sum("wrong.jsonl" in line for line in rejects.read_text().splitlines()) == 4
        rejects.unlink()


def test_trainings_with_several_seeds_have_a_spread():
    made = trainings(["a", "b"], [0, 7, 9], 5)
    assert made["a-seed7"] == ("a", 7)
    results = [
        result(system, dataset, value)
        for dataset in ("x", "y")
        for system, value in [("a", 0.5), ("a-seed7", 0.25), ("a-seed9", 0.75), ("b", 0.5), ("random", 0.1)]
    ]
    found = spread(results, made)
    assert [(one["retriever"], one["dataset"], one["trainings"]) for one in found] == [
        ("a", "x", 3), ("b", "x", 1), ("a", "y", 3), ("b", "y", 1)
    ]  # fmt: skip
    three, one = found[:2]
    assert (three["mean"], three["lowest"], three["highest"], three["seeds"]) == (0.5, 0.25, 0.75, "0 7 9")
    assert three["standard_deviation"] == pytest.approx(0.25)  # of 0.25, 0.5, 0.75 with n - 1
    assert (one["mean"], one["standard_deviation"]) == (0.5, None)


def test_the_first_seed_keeps_the_name_of_its_retriever():
    assert trainings(["a"], None, 5) == {"a": ("a", 5)}
    assert trainings(["a"], [3], 5) == {"a": ("a", 3)}
    assert list(trainings(["a", "b"], [3, 0], 0)) == ["a", "a-seed0", "b", "b-seed0"]
