"""Before hours of packing: the probe of the raw files, rejected lines and missing pictures of what was read."""

import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from retcap import plugins
from retcap.config.retrieval import Retrieval
from retcap.retrieval import study
from retcap.retrieval.m2kr import presence, probe, readiness
from retcap.retrieval.m2kr.readiness import NotReady
from retcap.retrieval.m2kr.roots import Roots
from small_world import SMALL

WORLD = "<m2kr_world>/"
LIMITS = {"train": 0.01, "valid": 0.01, "test": 0.001}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    plugins.load("datasets", "m2kr_world").build(folder, seed=4, **SMALL)
    return folder


def settings(world: Path, name: str, **changes) -> dict:
    """The demo's settings of a data set, pointed at a small world."""
    text = json.dumps(Retrieval().datasets[name].model_dump()).replace(WORLD, f"{world}/")
    values = json.loads(text) | changes
    if values["holdout"]:
        values["holdout"]["rows"] = 5
    return values


def files_of(own: dict) -> dict[str, list[str]]:
    return {part: own[part] for part in ("train", "train_passages", "valid", "valid_passages", "test", "passages")}


def check(folder: Path, roots, **changes) -> dict:
    options = {"dataset": "m2kr_x", "max_rejected": LIMITS, "max_share": 0.5, "threads": 2} | changes
    return readiness.check(folder, roots, **options)


@pytest.fixture
def ours(world: Path, tmp_path: Path) -> dict:
    """The files of one set outside the folder of the world, as a user's own."""
    own = settings(world, "m2kr_oven", roots=f"{world}/images")
    for part, paths in files_of(own).items():
        copies = [tmp_path / Path(path).name for path in paths]
        for path, copy in zip(paths, copies, strict=True):
            copy.write_bytes(Path(path).read_bytes())
        own[part] = [str(copy) for copy in copies]
    return own


def normalised(own: dict, folder: Path, name: str = "m2kr_oven") -> Path:
    study.normalise_set(plugins.load("datasets", name), folder, own, seed=3)
    return folder


@pytest.mark.parametrize("name", sorted(Retrieval().datasets))
def test_the_planted_lines_of_the_generated_world_stop_nothing(world: Path, name: str, tmp_path: Path):
    folder = normalised(settings(world, name), tmp_path / name, name)
    report = check(folder, world / "images")
    assert report["missing"]["test"]["query"]["with_image"] > 0
    assert {one["rejected"] for split in report["rejected"].values() for one in split.values()} == {0}


def test_too_many_rejected_lines_and_missing_pictures_are_one_error_with_all_of_them(ours: dict, tmp_path: Path):
    lines = Path(ours["train"][0]).read_text().splitlines()
    Path(ours["train"][0]).write_text("\n".join(lines[:3] + ["{"] * 190) + "\n")
    folder = normalised(ours, tmp_path / "set")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotReady) as caught:
        check(folder, tmp_path / "empty")
    text = str(caught.value)
    assert text.startswith(
        "m2kr_x is not ready to be packed:\n  - train: 190 of 193 lines of its queries were rejected"
    )
    assert "(98.45%), retrieval.max_rejected.train = 0.01 allows 1. Reasons in this split: 190 broken_json." in text
    assert f"Read {folder}/train/quarantine.jsonl, then repair the files or raise the limit." in text
    assert "  - test: 2 of 25 lines of its queries were rejected (8.00%), retrieval.max_rejected.test = 0.001" in text
    assert "more pictures are missing than retrieval.missing_images.max_share = 0.5 allows:\n" in text
    assert f"are not there, such as {tmp_path}/empty/" in text
    assert "Correct retrieval.datasets.m2kr_x.roots, unpack the rest, or raise max_share." in text
    high = dict.fromkeys(LIMITS, 1.0)
    report = check(folder, tmp_path / "empty", max_rejected=high, max_share=1.0)
    assert report["rejected"]["train"]["queries"]["rejected"] == 190
    assert report["missing"]["test"]["query"]["share"] == 1


def test_a_few_bad_queries_are_not_hidden_by_a_large_corpus(ours: dict, tmp_path: Path):
    with open(ours["passages"][0], "a") as file:
        file.writelines(json.dumps({"passage_id": f"X{n}", "passage_text": "x"}) + "\n" for n in range(5000))
    folder = normalised(ours, tmp_path / "set")
    limits = dict.fromkeys(LIMITS, 1.0) | {"test": 0.01}
    with pytest.raises(NotReady, match=r"test: 2 of 25 lines of its queries were rejected"):
        check(folder, ours["roots"], max_rejected=limits, max_share=1.0)


def test_rows_held_out_are_judged_with_the_training_files(world: Path, tmp_path: Path):
    own = settings(world, "m2kr_infoseek")
    splits = dict(readiness.read_cards(normalised(own, tmp_path / "set", "m2kr_infoseek")))
    assert sorted(splits) == ["test", "train"]
    assert [file["content"] for file in splits["train"]["source"]["files"]] == ["passages", "queries"]


def test_what_the_disk_says_about_a_picture(tmp_path: Path):
    (tmp_path / "images/folder.jpg").mkdir(parents=True)
    (tmp_path / "blob").write_bytes(b"")
    (tmp_path / "images/a.jpg").symlink_to(tmp_path / "blob")
    (tmp_path / "images/gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "images/loop.jpg").symlink_to(tmp_path / "images/loop.jpg")
    (tmp_path / "images/out").symlink_to(tmp_path)
    roots = Roots(tmp_path / "images")
    found = {}
    for path in ("a.jpg", "b.jpg", "a.jpg/b.jpg", "gone.jpg", "loop.jpg", "folder.jpg", "x" * 300, "out/blob"):
        file = roots.resolve(path)
        assert file is not None
        found[path[:12]] = presence.reason_of(file, roots)
    assert found == {
        "a.jpg": None,
        "b.jpg": "image_missing",
        "a.jpg/b.jpg": "path_leaves_root",  # the link is taken for a folder, and leads out
        "gone.jpg": "image_missing",
        "loop.jpg": "image_unreadable",
        "folder.jpg": "image_unreadable",
        "x" * 12: "image_unreadable",
        "out/blob": "path_leaves_root",
    }


def test_looking_for_all_pictures_goes_through_every_path_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(presence, "AT_ONCE", 3)
    Image.new("RGB", (3, 3)).save(tmp_path / "one.png")
    names = [f"{'ab'[n % 2]}/{n}.png" for n in range(101)]
    for name in names[::2]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "one.png")
    monkeypatch.setattr(presence, "picture_files", lambda *_: ((name, tmp_path / name) for name in names))
    verdicts, places = presence.look_for_all(tmp_path, tmp_path, threads=2)
    assert len(verdicts.paths) == 101
    assert sum(verdicts.reasons[code] == "image_missing" for code in verdicts.codes) == 50
    assert places.in_words() == [f"b/: 50 of 50 are not there, such as {tmp_path}/b/1.png"]


def test_a_wrong_folder_shows_in_the_probe_before_anything_is_read(ours: dict, tmp_path: Path, caplog):
    with caplog.at_level(logging.WARNING):
        found = probe.probe(files_of(ours), ours["roots"], dataset="m2kr_oven", max_share=0.5)
    assert set(found) == {f"{part}, {side}" for part in ("train", "valid", "test") for side in ("query", "passage")} | {
        "passages, passage"
    }
    assert all(one["asked"] > 0 for one in found.values())
    (tmp_path / "wrong").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        probe.probe(files_of(ours), {"": tmp_path / "wrong", "infoseek": ours["roots"]}, dataset="oven", max_share=0.05)
    text = str(caught.value)
    assert text.startswith("oven: of the pictures that its files name, more are missing in a sample than retrieval.mis")
    assert f"such as {tmp_path}/wrong/oven_eval/" in text
    assert "Correct retrieval.datasets.oven.roots, unpack the rest, or raise max_share." in text
    assert probe.probe(files_of(ours), tmp_path / "wrong", dataset="oven", max_share=1.0)


def test_the_probe_looks_everywhere_in_a_file_and_passes_over_what_it_cannot_read(tmp_path: Path):
    image = {"passage_image_path": None, "image_path": None}
    lines = [json.dumps({"image_path": f"{'early' if n < 5000 else 'late'}/{n}.jpg"} | {}) for n in range(10_000)]
    lines[17:19] = ['{"image_path": "../out.jpg"}', "[" * 2000]
    (tmp_path / "q.jsonl").write_text("\n".join([json.dumps(image), *lines]))
    (tmp_path / "r.jsonl").write_text("")
    found = probe.probe({"train": [tmp_path / "q.jsonl", tmp_path / "r.jsonl"]}, tmp_path, dataset="x", max_share=1.0)
    assert 900 < found["train, query"]["asked"] <= probe.PROBED
    counts = [int(line.split()[1]) for line in found["train, query"]["folders"]]
    assert len(counts) == 2
    assert min(counts) > 400  # half of them, give or take six standard deviations of 16


def test_a_share_that_chance_can_explain_does_not_stop_the_probe(tmp_path: Path):
    for n in range(60):
        if n % 10:
            (tmp_path / f"{n}.jpg").touch()
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"image_path": f"{n}.jpg"}) + "\n" for n in range(60)))
    files = {"train": [tmp_path / "q.jsonl"]}
    assert probe.probe(files, tmp_path, dataset="x", max_share=0.05)["train, query"]["missing"] == 6
