"""The transfer study behind its features: records, comparison, robustness, the page, the plan and the configuration."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from retcap import studies
from retcap.config import ConfigError, resolve
from retcap.features import frozen, image_sets
from retcap.features.encoders import PixelEncoder
from retcap.plan import Plan
from retcap.records import Difference
from retcap.report import page, transfer_sentences
from retcap.report.studies import transfer as on_page
from retcap.transfer import scoring, study, summary
from retcap.worlds.transfer import build, shifts
from transfer_words import WordEncoder

ROOT = Path(__file__).parents[1]
SETTINGS = scoring.Settings([1, 2, 4], 3, 32.0, 1.0, 100.0, 1, 200, 0.2, 4, None, [1, 5], 200, 0)
DIGITS = {"plugin": "sklearn_digits"}
ENCODERS = {"words": WordEncoder, "pixels": PixelEncoder}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Records and places of two encoders on the generated set, as the rules write them."""
    folder = tmp_path_factory.mktemp("study")
    build.write(folder / "world", build.World(train=5, valid=2, test=3), seed=1)
    records: dict = {"things": {}}
    places: dict = {"things": {}}
    for name, kind in ENCODERS.items():
        own = {"templates": None, "metric": "mean per class", "train_per_class": 4}
        plugin = image_sets.load("webdataset_tars")
        frozen.embed(folder / name, plugin, folder / "world", kind(), threads=1, own=own)
        records["things"][name], places["things"][name] = study.score(folder / name, {}, SETTINGS)
    return SimpleNamespace(folder=folder, records=records, places=places)


def test_zero_shot_is_above_chance_and_below_perfect(results: SimpleNamespace):
    words = results.records["things"]["words"]
    scores = words["evaluations"]["test"]["scores"]
    assert list(scores) == ["bare name", "one template", "ensemble of 6", "probe"]
    for name in scores:
        assert 3 / 64 < scores[name]["top-1"]["value"] < 0.9
        assert scores[name]["mean per class"]["value"] == pytest.approx(scores[name]["top-1"]["value"])  # 3 of each
    assert words["metric"] == "mean per class"
    assert words["pictures"]["train"] == 4 * 64  # of 5, and the copies behind them are left out too
    assert 0.01 < words["retrieval"]["image to text"]["R@5"]["value"] < 0.9
    assert results.records["things"]["pixels"]["retrieval"] is None


def test_what_learned_from_the_same_features_has_the_same_scores(results: SimpleNamespace):
    own = results.places["things"]
    assert own["words"]["probe"].equals(own["pixels"]["probe"])  # both see pixels
    assert own["words"]["2-shot, draw 1"].equals(own["pixels"]["2-shot, draw 1"])


def test_differences_are_those_of_the_places(results: SimpleNamespace):
    found = summary.differences(results.records, results.places, draws=200, seed=0)
    pairs = {(one.first, one.second): one for one in found}
    assert list(pairs) == [
        ("words: probe", "words: ensemble of 6"),
        ("words: ensemble of 6", "words: one template"),
        ("words: one template", "words: bare name"),
        ("words: probe", "pixels: probe"),
    ]
    table = results.places["things"]["words"]
    table = table[table["evaluation"] == "test"]
    one = pairs["words: probe", "words: ensemble of 6"]
    assert one.difference == pytest.approx(((table["probe"] == 0) * 1.0 - (table["ensemble of 6"] == 0)).mean())
    assert one.n == one.clusters == 192
    assert pairs["words: probe", "pixels: probe"].difference == 0
    assert all(one.p_holm is None for one in found)  # raw pixels are no rival
    other = results.places["things"]["pixels"].iloc[::-1]
    with pytest.raises(ValueError, match=r"things: words and pixels were judged on different pictures\. Embed"):
        summary.differences(
            results.records, {"things": {**results.places["things"], "pixels": other}}, draws=200, seed=0
        )


def test_robustness_is_over_all_encoders_with_a_line_through_those_that_learned(results: SimpleNamespace):
    found = summary.summarise(results.records, results.places, draws=200, seed=0)["things"]
    assert list(found) == [f"test-{name}" for name in sorted(shifts.SHIFTS)]
    for shift in found.values():
        assert shift["paired"]
        assert shift["references"] == 2 * (1 + 3)  # probe and three k, of two encoders
        assert [one["learned"] for one in shift["classifiers"]].count(False) == 3
        residuals = [one["effective"] for one in shift["classifiers"] if one["learned"]]
        assert abs(np.mean(residuals)) < 0.05  # a line by least squares, if in another scale
    json.dumps(found, allow_nan=False)


def test_the_long_table_has_every_score_once(results: SimpleNamespace):
    rows = list(summary.rows(results.records))
    assert all(tuple(row) == summary.COLUMNS for row in rows)
    keys = [tuple(row[name] for name in summary.COLUMNS[:5]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert ("things", "words", "test-noise", "ensemble of 6", "top-5") in keys
    assert ("things", "pixels", "test", "4-shot", "top-1") in keys
    assert ("things", "words", "test", "text to image", "R@5") in keys


@pytest.fixture(scope="module")
def html(results: SimpleNamespace) -> str:
    folder, failed = results.folder, {"failed": SimpleNamespace(why="killed for memory")}
    for name in ENCODERS:
        study.write(folder / "scores" / name, "things", results.records["things"][name], results.places["things"][name])
    robust = {"robustness": summary.summarise(results.records, results.places, draws=200, seed=0)}
    (folder / "summary.json").write_text(json.dumps(robust))
    (folder / "differences.json").write_text("[]")
    found = SimpleNamespace(summary=folder / "summary.json", differences=folder / "differences.json")
    scores = [("things", name, str(folder / "scores")) for name in ENCODERS] + [("things", "<b>big", "failed")]
    params = SimpleNamespace(scores=scores, metrics={"things": "mean per class"})
    section = on_page.section(on_page.inputs(found, params, failed), "demo")
    said = " ".join(on_page.opening(section))
    assert "On things: zero-shot by words is worth" in said
    assert "<b>big failed on things." in said
    anchors = {anchor for anchor, _ in on_page.contents(section)}
    text = page.environment().get_template("studies/transfer.html").render(transfer=section)
    assert all(f'id="{anchor}"' in text for anchor in anchors)
    return text


def test_the_page_says_every_number_with_its_n(html: str, results: SimpleNamespace):
    scores = results.records["things"]["words"]["evaluations"]["test"]["scores"]
    assert f"{100 * scores['ensemble of 6']['mean per class']['value']:.1f}" in html
    assert "things: mean per class accuracy in percent on 192 test pictures of 64 classes; chance 1.6" in html
    assert html.count('role="img"') == 1 + len(shifts.SHIFTS)
    assert "&lt;b&gt;big failed" in html
    assert "<b>big" not in html
    assert "nan" not in html.lower().replace("nano", "")


def compared(dataset: str, first: str, low: float, high: float) -> Difference:
    """A difference of two probes in its interval."""
    about = {"dataset": dataset, "first": first, "second": "pixels: probe", "metric": "top-1", "n": 90, "clusters": 90}
    return Difference(**about, difference=(low + high) / 2, ci_low=low, ci_high=high, p=0.5, p_holm=None)


def test_features_that_lose_to_pixels_are_said_to():
    found = [
        compared("digits", "tiny: probe", -0.13, -0.08),
        compared("digits", "big: probe", 0.02, 0.04),
        compared("digits", "other: probe", -0.01, 0.03),
        compared("digits", "tiny: ensemble of 4", 0.1, 0.2),
        compared("things", "tiny: probe", 0.1, 0.2),
    ]
    assert transfer_sentences.beside_pixels(found, "digits") == [
        "A probe on features of tiny is 10.5 points worse than one on raw pixels (−13.0 to −8.0): "
        "the features have lost what tells.",
        "A probe on features of big is 3.0 points better than one on raw pixels (2.0–4.0).",
        "A probe on features of other is neither clearly better nor worse than one on raw pixels (−1.0 to 3.0).",
    ]


def planned(**config: object) -> studies.Plans:
    return studies.plans(Plan(resolve({"studies": ["transfer"], **config}), ROOT / "workflow"))


def test_the_plan_of_the_demo():
    own = planned()["transfer"]
    assert own.encoders == ["tiny", "pixels"]
    assert own.bases == ["things", "digits"]
    assert own.bundles == {"tiny": [("tiny", "things"), ("pixels", "things"), ("tiny", "digits"), ("pixels", "digits")]}
    (folder,) = own.files("tiny")  # the digits need none
    assert folder.startswith("results/data/transfer_world/")
    assert own.backbone("tiny") == "tiny"
    assert own.features("pixels", "digits") == "results/demo/transfer/features/tiny/pixels/digits"
    assert own.embedded("tiny") == ["results/demo/transfer/features/tiny"]
    assert [one["shifts"] for one in own.scorings("tiny")] == [{}] * 4
    assert own.trained_on("tiny").endswith("/pairs.csv")
    assert own.trained_on("tiny").startswith(own.pictures("tiny"))  # the folder that a rule makes
    hashes = "results/demo/transfer/features/tiny/trained_on.npy"
    assert [one["trained_on"] for one in own.scorings("tiny")] == [hashes, None, hashes, None]
    assert own.scores()[1] == ("things", "pixels", "results/demo/transfer/scores/tiny")
    assert scoring.Settings(**own.settings()).shots == [1, 2, 4, 8, 16]


def test_another_backbone_brings_a_job_of_its_own_and_changes_none():
    before = planned()["transfer"]
    after = planned(
        backbones={"tiny": {}, "other": {"plugin": "clip_hf", "checkpoint": "a/b", "revision": "0" * 40, "side_px": 64}}
    )["transfer"]
    assert list(after.bundles) == ["tiny", "other"]
    assert after.bundles["other"] == [("other", "things"), ("other", "digits")]  # raw pixels are with the first
    for of in ("readings", "scorings", "embedding_code", "embedded", "files"):
        assert getattr(after, of)("tiny") == getattr(before, of)("tiny")


def test_the_full_experiment_has_a_plan_without_its_data():
    given = yaml.safe_load((ROOT / "config/clip-transfer.yaml").read_text())
    given["backbones"]["tiny"] = {}  # as config.yaml, below it, has
    own = studies.plans(Plan(resolve(given), ROOT / "workflow"))["transfer"]
    assert len(own.bundles) == 6 * 17 == len(own.backbones) * len(own.sets)
    assert all(own.files(bundle) == [] for bundle in own.bundles)
    assert len(own.scored) == 6 * 13
    assert own.shifts("imagenet") == ["imagenetv2", "imagenet_sketch", "imagenet_r", "imagenet_a"]


def test_a_shift_in_another_set_is_scored_with_its_base():
    sets = {"things": None, "sketches": DIGITS | {"shift_of": "digits"}, "digits": DIGITS}
    own = planned(transfer={"sets": sets, "jobs": "set"})["transfer"]
    assert own.bases == ["digits"]
    assert own.shifts("digits") == ["sketches"]
    assert own.sets == ["digits", "sketches"]  # those of the defaults come first
    assert own.bundles["tiny/sketches"] == [("tiny", "sketches"), ("pixels", "sketches")]
    assert own.scored == ["results/demo/transfer/scores/tiny/digits"]
    folder = "results/demo/transfer/features/tiny/"
    assert own.embedded("tiny/digits") == [f"{folder}digits", f"{folder}sketches"]
    assert own.scorings("tiny/digits")[1] == {
        "encoder": "pixels",
        "set": "digits",
        "features": f"{folder}digits/pixels/digits",
        "trained_on": None,
        "shifts": {"sketches": f"{folder}sketches/pixels/sketches"},
    }


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"trained_on": {"tinny": "a.csv"}}, r"transfer.trained_on.tinny.*no backbone is named `tinny`. Did you mean"),
        ({"trained_on": {"tiny": "gone.csv"}}, r"transfer.trained_on.tiny.*no file at `gone.csv`"),
        ({"backbones": ["tinny"]}, r"transfer.backbones.*`tinny` is no backbone. Did you mean `tiny`"),
        ({"sets": {"mine": {"plugin": "image_folder"}}}, r"transfer.sets.mine.folder.*is null, and image_folder reads"),
        (
            {"sets": {"more": DIGITS | {"shift_of": "digit"}, "digits": DIGITS}},
            r"transfer.sets.more.shift_of.*`digit` is no other set. Did you mean `digits`",
        ),
        ({"probe": {"c_low": 10, "c_high": 1}}, r"transfer.probe.c_low.*10 is larger than c_high, 1"),
        ({"sets": {"digits": DIGITS | {"templates": ["no place"]}}}, r"`no place` needs one \{\}"),
        ({"sets": {"digits": {"plugin": "quic360"}}}, r"No dataset for classification is named `quic360`"),
    ],
)
def test_mistakes_are_named_with_their_place_and_remedy(section: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        resolve({"studies": ["transfer"], "transfer": section})
