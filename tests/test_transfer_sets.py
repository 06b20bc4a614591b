"""Classification sets as plugins, the generated one, and their features: what is read, refused and kept."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retcap import plugins
from retcap.features import encoders, frozen, image_sets, trained_on
from retcap.pictures import perceptual
from retcap.transfer import overlap, results, scoring, study
from retcap.worlds.transfer import build, shifts


def png(value: int, side: int = 12) -> bytes:
    """A picture of noise of its own."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(value).integers(0, 256, size=(side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar(file: Path, members: dict[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def published(folder: Path) -> Path:
    """A set of two classes in the layout of CLIP_benchmark: 11 tars to see that 10 follows 9."""
    folder.mkdir()
    (folder / "classnames.txt").write_text("red {x}\ntea\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\na {c}\n")
    for number in range(11):
        tar(
            folder / "test" / f"{number}.tar",
            {f"s{number}.png": png(number), f"s{number}.cls": str(number % 2).encode()},
        )
    tar(
        folder / "test" / "3.tar",
        {"./s3.webp.png": b"", "s3.json": b"{}", "s3.PNG": png(3), "s3.cls": b"1\n", "s3.txt": b"one\n\ntwo\n"},
    )
    tar(
        folder / "train" / "0.tar",
        {
            name: data
            for n in range(4)
            for name, data in ((f"t{n}.png", png(20 + n)), (f"t{n}.cls", b"01"[n % 2 : n % 2 + 1]))
        },
    )
    return folder


def test_tars_of_clip_benchmark_are_read_in_the_order_of_their_numbers(tmp_path: Path):
    source, plugin = published(tmp_path / "set"), image_sets.load("webdataset_tars")
    tar(source / "test" / "3.tar", {"s3.json": b"{}", "s3.PNG": png(3), "s3.cls": b"1\n", "s3.txt": b"one\n\ntwo\n"})
    assert plugin.labels(source) == image_sets.Labels(("red {x}", "tea"), ("a photo of a {}.", "a {}"))
    assert plugin.splits(source) == ["test", "train"]
    found = list(plugin.items(source, "test"))
    assert [item.name for item in found] == [f"s{number}" for number in range(11)]
    assert [item.label for item in found] == [number % 2 for number in range(11)]
    assert found[3].captions == ("one", "two")
    assert found[3].picture == png(3)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.png": b"x", "a.cls": b"one"}, r"0.tar: the label of `a` is 'one'. A .cls file holds the number"),
        ({"a.cls": b"1"}, r"the sample `a` has 0 pictures \(.cls\). It needs one"),
        ({"a.png": b"x", "a.jpg": b"x"}, "the sample `a` has 2 pictures"),
    ],
)
def test_a_sample_that_is_wrong_is_named(tmp_path: Path, members: dict[str, bytes], message: str):
    tar(tmp_path / "test" / "0.tar", members)
    with pytest.raises(ValueError, match=message):
        list(image_sets.load("webdataset_tars").items(tmp_path, "test"))


def test_a_tar_that_was_cut_off_is_an_error(tmp_path: Path):
    tar(tmp_path / "test" / "0.tar", {"a.png": png(1, side=60), "a.cls": b"1"})
    file = tmp_path / "test" / "0.tar"
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r"0.tar is no whole tar file .* Fetch it again"):
        list(image_sets.load("webdataset_tars").items(tmp_path, "test"))


def test_a_folder_of_ones_own_needs_no_code(tmp_path: Path):
    plugin = image_sets.load("image_folder")
    for split in ("train", "val", "test", "test-fog"):
        for name in ("tea_pot", "cup"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "a.PNG").write_bytes(png(1))
            (tmp_path / split / name / "notes.md").write_text("no picture")
    assert plugin.labels(tmp_path).classes == ("cup", "tea pot")
    assert plugin.splits(tmp_path) == ["test", "test-fog", "train", "valid"]
    assert image_sets.tested(plugin.splits(tmp_path)) == ["test", "test-fog"]
    assert [(item.name, item.group, item.label) for item in plugin.items(tmp_path, "valid")] == [
        ("cup/a.PNG", "cup/a.PNG", 0),
        ("tea_pot/a.PNG", "tea_pot/a.PNG", 1),
    ]
    (tmp_path / "classnames.txt").write_text("a cup\n")
    with pytest.raises(ValueError, match=r"classnames.txt has 1 names, and there are 2 folders of classes"):
        plugin.labels(tmp_path)
    (tmp_path / "test" / "mug").mkdir()
    with pytest.raises(ValueError, match=r"mug: no such class among the training pictures. Known: cup, tea_pot"):
        list(plugin.items(tmp_path, "test"))


def test_a_folder_without_splits_is_all_test(tmp_path: Path):
    for name in ("n01440764", "cup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png(1))
    plugin = image_sets.load("image_folder")
    assert plugin.splits(tmp_path) == ["test"]
    assert [item.label for item in plugin.items(tmp_path, "test")] == [0, 1]
    assert "1 of 2 classes are named like WordNet ids (`n01440764`)" in plugin.labels(tmp_path).warnings[0]


@pytest.mark.parametrize(
    ("classes", "templates", "message"),
    [
        (("a", "b", "a"), (), "here: two classes are named `a`"),
        (("a", " "), (), "here: class 1 has no name"),
        ((), (), "here: no class"),
        (("a", "b"), ("a photo",), "here: the template `a photo` needs one {}"),
        (("a", "b"), ("{} {c}",), "needs one {}"),
    ],
)
def test_names_and_templates_that_say_nothing_are_refused(classes: tuple, templates: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        image_sets.checked(image_sets.Labels(classes, templates), "here")


def test_the_real_digits_have_their_published_numbers_and_splits_of_our_own():
    plugin = image_sets.load("sklearn_digits")
    parts = {split: list(plugin.items(None, split)) for split in plugin.splits(None)}
    assert {split: len(items) for split, items in parts.items()} == {"train": 1087, "valid": 179, "test": 531}
    names = [item.name for items in parts.values() for item in items]
    assert len(set(names)) == 1797
    assert np.bincount([item.label for item in parts["test"]]).min() == 51  # of 174 eights and 177 twos
    assert Image.open(io.BytesIO(parts["test"][0].picture)).size == (64, 64)


@pytest.mark.parametrize("name", plugins.names("datasets", "classification"))
def test_every_classification_plugin_has_the_three_functions(name: str):
    module = image_sets.load(name)
    assert all(callable(getattr(module, function)) for function in ("labels", "splits", "items"))


def test_the_sweep_of_classification_plugins_is_complete():
    assert plugins.names("datasets", "classification") == ["image_folder", "sklearn_digits", "webdataset_tars"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer") / "world"
    counts = build.write(folder, build.World(train=2, valid=1, test=1), seed=3)
    assert counts == {"train": 130, "valid": 64, "test": 64} | {f"test-{shift}": 64 for shift in shifts.SHIFTS}
    return folder


def test_the_generated_set_is_the_same_for_the_same_seed(world: Path, tmp_path: Path):
    build.write(tmp_path, build.World(2, 1, 1), seed=3)
    for file in sorted(world.rglob("*.*")):
        assert file.read_bytes() == (tmp_path / file.relative_to(world)).read_bytes(), file


def test_a_shift_shows_the_same_things_under_the_same_names(world: Path):
    plugin = image_sets.load("webdataset_tars")
    test = list(plugin.items(world, "test"))
    assert all(len(item.captions) == build.CAPTIONS for item in test)
    classes = plugin.labels(world).classes
    for item in test[:5]:
        colour, _ = classes[item.label].split()
        assert any(colour in text or shifts.COLOURS[colour][0] in text for text in item.captions)
    for shift in shifts.SHIFTS:
        other = list(plugin.items(world, f"test-{shift}"))
        assert [(item.group, item.label) for item in other] == [(item.group, item.label) for item in test]
        assert all(a.picture != b.picture for a, b in zip(test, other, strict=True))


@pytest.fixture(scope="module")
def pixel_features(world: Path) -> frozen.Features:
    folder = world.parent / "features"
    frozen.embed(folder, image_sets.load("webdataset_tars"), world, encoders.PixelEncoder(), threads=1)
    return frozen.read(folder)


def test_features_keep_every_picture_in_the_order_of_the_set(world: Path, pixel_features: frozen.Features):
    plugin, found = image_sets.load("webdataset_tars"), pixel_features
    expected = [
        item.name
        for split in ("train", "valid", *image_sets.tested(plugin.splits(world)))
        for item in plugin.items(world, split)
    ]
    assert found.items["name"].tolist() == expected
    assert found.images.shape == (len(expected), 192)
    np.testing.assert_allclose(np.linalg.norm(found.images, axis=1), 1, atol=1e-5)  # fp32 sum of 192 squares
    assert found.prompts is None
    assert found.about["pictures"]["test"] == 64


def test_a_set_whose_folder_is_missing_is_named(tmp_path: Path):
    plugin = image_sets.load("webdataset_tars")
    with pytest.raises(FileNotFoundError, match=r"No folder .*food \(seen from .*\)\. Fetch the set, or leave"):
        frozen.embed(tmp_path / "out", plugin, tmp_path / "food", encoders.PixelEncoder(), threads=1)
    assert not (tmp_path / "out").exists()


def test_planted_copies_are_found_and_little_else(pixel_features: frozen.Features):
    hashes, rows = pixel_features.items["phash"], pixel_features.rows
    copies = [row for row in rows("train") if pixel_features.items["name"][row].startswith("copy")]
    near = overlap.by_hash(hashes[rows("train")], hashes[rows("test")], bits=6)
    planted = {int(pixel_features.items["name"][row].removeprefix("copy")) for row in copies}
    assert planted <= set(np.flatnonzero(near).tolist())
    assert near.sum() <= len(planted) + 6


def test_pictures_behind_a_backbone_are_found_again(pixel_features: frozen.Features, tmp_path: Path):
    from retcap.worlds.transfer.build import COPY

    plugin, rng = image_sets.load("webdataset_tars"), np.random.default_rng(8)
    source = Path(pixel_features.about["folder"])
    seen = [item.picture for item in plugin.items(source, "test")][:5]
    for number, data in enumerate(seen):
        Image.open(io.BytesIO(data)).save(tmp_path / f"{number}.jpg", **COPY)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "other.png")
    names = [*(f"{number}.jpg" for number in range(5)), "other.png", "0.jpg", "gone.png"]
    (tmp_path / "pairs.csv").write_text("filepath,caption\n" + "".join(f"{name},a thing\n" for name in names))
    (tmp_path / "out").mkdir()
    encoder = encoders.PixelEncoder()
    assert trained_on.write(tmp_path / "out", tmp_path / "pairs.csv", encoder, threads=2) == 6
    settings = scoring.Settings([1], 1, 32.0, 1.0, 10.0, 1, 200, 0.2, 4, 0.999, [1], 200, 0)
    folder = tmp_path / "features"
    frozen.embed(folder, plugin, source, encoder, threads=1)
    record, _ = study.score(folder, {}, settings, tmp_path / "out" / trained_on.FILE)
    copies = record["overlap"]["training"]["overlapping"]
    assert copies <= record["overlap"]["training, by vector"]["overlapping"] < 64  # of pixels, so of copies at least
    found = record["overlap"]["pre-training"]
    assert (found["pictures"], found["overlapping"]) == (6, 5)
    probe = found["classifiers"]["probe"]
    assert probe["gain"]["low"] <= probe["gain"]["value"] == pytest.approx(probe["all"] - probe["clean"])
    assert study.score(folder, {}, settings)[0]["overlap"].get("pre-training") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture\na.png\n", r"pairs.csv has no column `filepath` \(found: picture\)"),
        ("filepath\na.png\n", r"pairs.csv: none of 1 pictures can be read\. Paths start from its folder"),
    ],
)
def test_a_list_of_pictures_that_says_nothing_is_an_error(text: str, said: str, tmp_path: Path):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        trained_on.write(tmp_path, tmp_path / "pairs.csv", encoders.PixelEncoder(), threads=1)


def test_vectors_near_one_another_are_found_in_blocks_as_without(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(4)
    train, test = rng.standard_normal((11, 3)), rng.standard_normal((7, 3))
    train, test = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (train, test))
    expected = [(test[row] @ train.T).max() >= 0.8 for row in range(7)]
    monkeypatch.setattr(overlap, "BLOCK", 4)
    assert overlap.by_vector(train, test, 0.8).tolist() == expected
    assert 0 < sum(expected) < 7


def test_what_an_overlap_adds_is_all_minus_clean():
    from retcap.analysis import bootstrap

    hit, near = np.array([True, True, False, False, True]), np.array([True, False, False, False, False])
    weights = bootstrap.draw_weights(5, 200, np.random.default_rng(5))
    found = overlap.accuracies(hit, near, np.arange(5), weights)
    assert (found.all, found.clean, found.overlap, found.overlapping) == (0.6, 0.5, 1.0, 1)
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0.1)
    assert overlap.accuracies(hit, ~near & near, np.arange(5), weights).gain is None


def test_flat_pictures_overlap_with_nothing():
    none = np.array([perceptual.NO_HASH], np.uint64)
    assert not overlap.by_hash(none, none, bits=4).any()


def test_what_cannot_be_used_goes_to_the_quarantine(tmp_path: Path):
    source = published(tmp_path / "set")
    tar(
        source / "test" / "0.tar",
        {"a.png": b"no picture", "a.cls": b"0", "b.png": png(1), "b.cls": b"7", "c.png": png(2)},
    )
    tar(source / "test" / "3.tar", {"s3.png": png(3), "s3.cls": b"1"})
    about = frozen.embed(
        tmp_path / "out", image_sets.load("webdataset_tars"), source, encoders.PixelEncoder(), threads=2
    )
    assert about["rejected"] == {"image_broken": 1, "unknown_class": 1, "no_label": 1}
    lines = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_bytes().split(b"\n") if line]
    assert [line["record"] for line in lines] == ["a", "b", "c"]
    assert lines[1]["detail"] == "label 7, and classes are numbered 0 to 1"
    assert len(frozen.read(tmp_path / "out").rows("test")) == 10


SETTINGS = scoring.Settings([1, 2], 3, 32.0, 0.1, 10.0, 1, 200, 0.2, 4, None, [1, 5], 100, 0)


def with_prompts(found: frozen.Features) -> frozen.Features:
    """Pixels with words: the prompts of a class are the mean picture of its training pictures, slightly moved."""
    train = found.rows("train")
    means = np.stack([found.images[train[found.items["label"][train] == label]].mean(axis=0) for label in range(64)])
    prompts = np.stack([means, means + 0.01], axis=1)
    return found._replace(prompts=prompts, about=found.about | {"templates": ["a {}"]})


def test_every_classifier_is_judged_on_every_shift(pixel_features: frozen.Features):
    base = with_prompts(pixel_features)
    found, about = scoring.classifiers(base, SETTINGS)
    assert [one.name for one in found if one.kind != "few-shot"] == ["bare name", "one template", "probe"]
    assert about["few_shot"]["shots"] == [1, 2]
    table = scoring.table(found, scoring.evaluations(base, {}))
    assert table.groupby("evaluation").size().to_dict() == dict.fromkeys(
        ["test", *(f"test-{shift}" for shift in shifts.SHIFTS)], 64
    )
    judged = results.judge(table, about | {"classes": 64, "draws": 3}, draws=100, seed=0)
    for name, one in judged["evaluations"].items():
        own = table[table["evaluation"] == name]
        for classifier, scores in one["scores"].items():
            assert scores["top-1"]["value"] == pytest.approx((own[classifier] == 0).mean())
            assert scores["top-1"]["value"] <= scores["top-5"]["value"]
            assert scores["mean per class"]["value"] == pytest.approx(scores["top-1"]["value"])  # one picture per class
    assert [point["k"] for point in judged["few_shot"]["points"]] == [1, 2]
    json.dumps(judged, allow_nan=False)


def test_a_shifted_set_with_fewer_classes_is_compared_on_those(pixel_features: frozen.Features):
    base = with_prompts(pixel_features)
    own = [40, 3, 17]
    rows = np.flatnonzero(np.isin(base.items["label"], own) & (base.items["split"] == "test"))
    items = {name: np.asarray(column, object)[rows] for name, column in base.items.items()}
    items["label"] = np.array([own.index(label) for label in items["label"]])
    other = frozen.Features(
        items,
        base.images[rows],
        None,
        {},
        {"classes": [base.about["classes"][label] for label in own], "templates": []},
    )
    found = scoring.evaluations(base, {"few": other})
    assert [one.name for one in found][-2:] == ["few", "test of few"]
    classifiers, _ = scoring.classifiers(base, SETTINGS)
    table = scoring.table(classifiers, found)
    pair = [table[table["evaluation"] == name].set_index("name").sort_index() for name in ("few", "test of few")]
    assert pair[0]["label"].tolist() == pair[1]["label"].tolist()  # numbers of the base set's classes
    assert pair[0]["probe"].tolist() == pair[1]["probe"].tolist()  # the same pictures, so the same places
    assert (pair[0]["probe"] <= 2).all()
    with pytest.raises(
        ValueError, match=r"`few` is a shift of `its base set`, which has no class `red disk`. Did you mean `red disc`"
    ):
        scoring.evaluations(base, {"few": other._replace(about={"classes": ["red disk"], "templates": []})})


def test_pixels_of_one_grey_have_a_direction_all_the_same():
    found = encoders.PixelEncoder().images(np.full((2, 64, 64, 3), 7, np.uint8))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)  # fp32 sum of 192 squares
