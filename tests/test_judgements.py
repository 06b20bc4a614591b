"""Metrics beside people's ratings: a file that can be reckoned by hand, wrong files, and the published values."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

import real_data
from retcap.captions import agreement, corenlp, judgements
from retcap.captions.context import Context
from retcap.config import resolve
from retcap.report import agreement as page
from workflow_script import run_script

EXPERT = real_data.folder("judgements") / "flickr8k_expert.json"
JARS, PARSES = os.environ.get("RETCAP_CORENLP"), os.environ.get("RETCAP_SPICE_PARSES")


class Spaces(Context):
    """Tokens are words between spaces: no JVM."""

    def ptb(self, texts):
        return list(texts)


def small() -> dict:
    """Two images; the better a caption, the more of its words are in the reference. One caption has one rating."""

    def image(reference: str, *rated: tuple[str, list[float]]) -> dict:
        ratings = [{"caption": text, "rating": one, "worker": "x"} for text, given in rated for one in given]
        return {"ground_truth": [reference, " "], "human_judgement": ratings}

    return {
        "1.jpg": image(
            "a red bus on a wet road", ("a red bus on a road", [4, 4, 3]), ("a blue bus", [2, 1, 2]), ("two cats", [1])
        ),
        "2.jpg": image("two cats sleep on a mat", ("two cats sleep", [3, 4]), ("a red bus on a road", [1, 1])),
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.json"
    path.write_text(json.dumps(small()), encoding="utf-8")
    return path


def test_ratings_are_read_with_the_pair_they_are_of(file: Path):
    judged = judgements.read(file)
    assert judged.candidates == [
        "a red bus on a road",
        "a blue bus",
        "two cats",
        "two cats sleep",
        "a red bus on a road",
    ]
    assert judged.images == ["1.jpg"] * 3 + ["2.jpg"] * 2
    assert judged.references == [["a red bus on a wet road"]] * 3 + [["two cats sleep on a mat"]] * 2  # no blank one
    assert judged.pair.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 3, 4, 4]
    assert judged.rating.tolist() == [4, 4, 3, 2, 1, 2, 1, 3, 4, 1, 1]
    assert not judged.is_flickr8k_expert


def test_tau_is_the_one_counted_by_hand():
    """Scores 1 2 3 against ratings 1 3 2: two pairs agree, one does not, no ties."""
    found = agreement.taus(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    assert found == pytest.approx({"tau_b": 1 / 3, "tau_c": 1 / 3})
    # ratings 1 1 2: two pairs agree, the third is a tie: b = 2 / sqrt(3 * 2), c = 2 * 2 / (9 * 1/2)
    tied = agreement.taus(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0]))
    assert tied == pytest.approx({"tau_b": 2 / 6**0.5, "tau_c": 8 / 9})
    assert agreement.taus(np.zeros(3), np.array([1.0, 3.0, 2.0])) == {"tau_b": None, "tau_c": None}


def test_people_are_compared_with_the_mean_of_the_others(file: Path):
    found = agreement.people(judgements.read(file))
    assert found["n"] == 10  # the only rating of its caption has no others
    others = [3.5, 3.5, 4, 1.5, 2, 1.5, 4, 3, 1, 1]
    ratings = [4, 4, 3, 2, 1, 2, 3, 4, 1, 1]
    assert {kind: found[kind] for kind in ("tau_b", "tau_c")} == agreement.taus(np.array(others), np.array(ratings))


def test_every_metric_has_a_row_and_a_reason_where_it_has_no_value(file: Path):
    found = agreement.agreement(judgements.read(file), str(file), ["rouge_l", "bleu_coco", "length", "spice"], Spaces())
    rows = {row["key"]: row for row in found["metrics"]}
    assert list(rows) == ["rougeL", "bleu1_coco", "bleu2_coco", "bleu3_coco", "bleu4_coco", "spice"]
    assert 0 < rows["rougeL"]["tau_c"] <= 1
    assert rows["rougeL"]["published_tau_c"] is None  # said of other ratings
    assert rows["spice"]["tau_b"] is None
    assert "captioning.spice.download" in rows["spice"]["reason"]
    assert agreement.not_computed(found) == {}  # nobody asked for its parser
    assert (found["images"], found["pairs"], found["ratings"], found["file"]) == (2, 5, 11, "ratings.json")
    assert found["known_as"] is found["published_source"] is None


def test_a_metric_that_breaks_is_no_success(file: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_):
        raise OSError("no disk")

    monkeypatch.setattr(Spaces, "tokenised", broken)
    found = agreement.agreement(judgements.read(file), str(file), ["rouge_l"], Spaces())
    assert agreement.not_computed(found) == {"rougeL": "OSError: no disk"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "ratings.json is no JSON"),
        ("{}", "has no images. Expected is"),
        ('{"1.jpg": {"ground_truth": ["a"]}}', r"image '1.jpg': Object missing required field `human_judgement`"),
        ('{"1.jpg": {"ground_truth": [" "], "human_judgement": []}}', "image '1.jpg' has no reference"),
        ("NAN", r"image '1.jpg': the rating of 'two cats' is nan, no number"),
        ("SAME", "nothing to compare with, all 11 ratings are the same"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(file: Path, content: str, message: str):
    found = small()
    if content == "NAN":
        found["1.jpg"]["human_judgement"][-1]["rating"] = float("nan")
    if content == "SAME":
        for image in found.values():
            image["human_judgement"] = [one | {"rating": 1} for one in image["human_judgement"]]
    file.write_text(json.dumps(found) if content in ("NAN", "SAME") else content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        judgements.read(file)


def test_the_rule_writes_the_table_of_the_report(file: Path, tmp_path: Path):
    given = {"judgements": file, "spice": []}
    out = {"agreement": tmp_path / "agreement.json"}
    run_script(tmp_path, "validate_metrics", inputs=given, outputs=out, params={"metrics": ["bleu_coco", "spice"]})
    shown = page.table(out["agreement"])
    assert shown is not None
    assert [row["name"] for row in shown["rows"]][-1] == "SPICE"  # what has no value comes last
    assert shown["rows"][-1]["cells"] == ["–", "–"]
    assert shown["notes"][0][1].startswith("SPICE: SPICE needs Stanford CoreNLP")
    assert (shown["of"], shown["n"]) == ("ratings.json", {"images": 2, "pairs": 5, "ratings": 11})
    assert page.table(None) is None
    assert page.table(out["agreement"], "no disk") == {"failed": "no disk"}


def test_a_file_that_is_not_there_is_found_before_anything_runs(tmp_path: Path):
    with pytest.raises(ValueError, match=r"captioning\.judgements.*no file at `.*gone\.json`"):
        resolve({"captioning": {"judgements": str(tmp_path / "gone.json")}})


# ---------------------------------------------------------------- the ratings that published values are about

needs_ratings = pytest.mark.skipif(not EXPERT.is_file(), reason=f"{EXPERT} is not there (set RETCAP_TEST_DATA)")


@pytest.mark.slow
@needs_ratings
def test_the_metrics_agree_with_the_experts_of_flickr8k_as_published():
    judged = judgements.read(EXPERT)
    assert judged.is_flickr8k_expert
    with Context() as context:
        found = agreement.agreement(judged, str(EXPERT), ["bleu_coco", "rouge_l", "cider"], context)
    checked = [row for row in found["metrics"] if row["published_tau_b"] is not None]
    assert {row["key"] for row in checked} == {"bleu4_coco", "rougeL", "cider"}  # METEOR takes half a minute more
    for row in checked:
        for kind in ("tau_b", "tau_c"):
            assert round(100 * row[kind], 1) == row[f"published_{kind}"], row["key"]
    assert round(100 * found["people"]["tau_b"], 1) == 65.7
    assert round(100 * found["length"]["tau_c"], 1) == -9.5


@pytest.mark.slow
@needs_ratings
@pytest.mark.skipif(not JARS, reason="RETCAP_CORENLP does not name the folder with the CoreNLP 3.6.0 jars")
def test_spice_agrees_with_the_experts_of_flickr8k_as_published(tmp_path: Path):
    """51.7 (tau-b) and 44.9 (tau-c) are the published values; parsing takes a quarter of an hour the first time."""
    found = msgspec.structs.replace(corenlp.of_folder(Path(str(JARS))), parses=PARSES or str(tmp_path))
    with Context(corenlp=found, timeout_s=600) as context:
        [row] = agreement.agreement(judgements.read(EXPERT), str(EXPERT), ["spice"], context)["metrics"]
    assert 100 * row["tau_b"] == pytest.approx(row["published_tau_b"], abs=0.2)
    assert 100 * row["tau_c"] == pytest.approx(row["published_tau_c"], abs=0.2)
