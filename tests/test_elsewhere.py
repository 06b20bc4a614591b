"""Captions made elsewhere: how records find their pairs, what is set aside, and what becomes of pairs without one."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from retcap.captioning import failed_pairs, outcome
from retcap.captions import elsewhere, files
from retcap.captions.prepare import item_id

COLUMNS = {"item": None, "image": "image_path", "query": "instruction", "caption": "prediction"}
HEAD = "image_path,instruction,prediction\n"
PAIRS = [("a/1.jpg", "sea"), ("a/1.jpg", "what they are doing"), ("https://e.org/2.jpg?w=9", "sea"), ("b/3.jpg", "sea")]


@pytest.fixture
def items() -> pd.DataFrame:
    records = [
        {"item_id": item_id(image, query), "image": image, "image_key": None, "query": query, "references": ["x"]}
        for image, query in PAIRS
    ]
    return files.frame(records, files.ITEMS)


@pytest.fixture
def rows(items: pd.DataFrame) -> pd.DataFrame:
    """The rows of the pairs, and one of a pair that is not scored."""
    return pd.DataFrame([*PAIRS, ("c/9.jpg", "sea")], columns=["image", "query"])


@pytest.fixture
def take(tmp_path: Path, items: pd.DataFrame, rows: pd.DataFrame):
    def taking(text: str, name: str = "mine.csv", columns: dict = COLUMNS) -> elsewhere.Taken:
        (tmp_path / name).write_bytes(text.encode())
        return elsewhere.take(tmp_path / name, columns, "mine", items, rows)

    return taking


def said(taken: elsewhere.Taken) -> dict[str, str]:
    return dict(zip(taken.captions["item_id"], taken.captions["raw"], strict=True))


def test_every_record_is_used_repeated_or_set_aside(take, tmp_path):
    text = HEAD + "a/1.jpg,sea,waves\na/1.jpg,sea,waves\na/1.jpg,sea,foam\na/1.jpg, what  they are doing ,they swim\n"
    text += 'c/9.jpg,sea,x\na/1.jpg,sky,x\n,sea,x\na/1.jpg,,x\nb/3.jpg,sea,"x" y\n'
    taken = take(text)
    reasons = [(record.line, record.reason) for record in taken.rejected]
    assert reasons == [
        (4, "second_caption"),
        (6, "pair_left_out"),
        (7, "unknown_pair"),
        (8, "missing_image"),
        (9, "missing_query"),
        (10, "malformed_record"),
    ]
    about = taken.about
    assert about["records"] == about["captions"] + about["repeated"] + len(taken.rejected) == 9
    assert (about["captions"], about["repeated"], about["pairs"], about["pairs_without_caption"]) == (2, 1, 4, 2)
    assert about["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert said(taken)[item_id("a/1.jpg", "sea")] == "waves"  # the first one, whatever comes later


def test_a_pair_without_a_caption_failed_and_an_empty_caption_is_empty(take, items):
    taken = take(HEAD + "a/1.jpg,sea,waves\nb/3.jpg,sea, \n")
    assert list(taken.captions["status"]) == ["ok", "failed", "failed", "empty"]
    assert taken.captions["reason"][1] == "mine.csv has no caption of this pair"
    lost = failed_pairs.count(items, taken.captions, without_picture=True)
    assert (lost.failed, lost.of) == (2, 4)  # although none of the pictures is on this machine


def test_a_file_name_is_enough_where_it_stands_for_one_image(take):
    taken = take(HEAD + "/home/me/1.jpg,sea,waves\n2.jpg,sea,foam\nC:\\pics\\3.jpg,sea,boats\n")
    assert taken.about["matched_by_file_name"] == 3
    assert list(said(taken).values()) == ["waves", "", "foam", "boats"]


def test_a_file_name_that_stands_for_two_images_matches_none(take, items, rows):
    taken = take(HEAD + "x/1.jpg,sea,waves\ny/1.jpg,sea,foam\nb/3.jpg,sea,boats\n")  # two of theirs
    assert [record.reason for record in taken.rejected] == ["unknown_pair", "unknown_pair"]


def test_a_pair_that_is_left_out_is_not_taken_for_another_of_the_same_file_name(tmp_path, items):
    rows = pd.DataFrame([*PAIRS, ("z/3.jpg", "sea")], columns=["image", "query"])
    (tmp_path / "mine.csv").write_text(HEAD + "z/3.jpg,sea,left out\n3.jpg,sea,whose?\nb/3.jpg,sea,boats\n")
    taken = elsewhere.take(tmp_path / "mine.csv", COLUMNS, "mine", items, rows)
    assert [record.reason for record in taken.rejected] == ["pair_left_out", "unknown_pair"]
    assert said(taken)[item_id("b/3.jpg", "sea")] == "boats"


def test_ids_and_json_lines(take):
    columns = COLUMNS | {"item": "id", "caption": "text"}
    lines = [{"id": item_id(*PAIRS[3]), "text": "boats"}, {"id": "0" * 16, "text": "x"}, {"id": item_id(*PAIRS[0])}]
    lines += [{"id": item_id(*PAIRS[1]), "text": None}, ["no object"]]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "{\n"
    taken = take(text, "mine.jsonl", columns)
    assert said(taken)[item_id(*PAIRS[3])] == "boats"
    assert list(taken.captions["status"]) == ["failed", "empty", "failed", "ok"]
    assert [(record.line, record.reason) for record in taken.rejected] == [
        (2, "unknown_pair"),
        (3, "malformed_record"),
        (5, "malformed_record"),
        (6, "malformed_record"),
    ]
    assert "the key `text` is missing" in taken.rejected[1].detail


def test_a_wrong_column_is_named_with_its_key(take):
    with pytest.raises(
        ValueError, match=r"no column `prediction`.*Set `captioning\.predictions\.mine\.columns\.caption`"
    ):
        take("image_path,instruction,text\na/1.jpg,sea,x\n")
    with pytest.raises(ValueError, match=r"no record has the key `prediction`\. Set `captioning\.predictions\.mine"):
        take('{"image_path": "a/1.jpg", "instruction": "sea"}\n', "mine.jsonl")


def test_a_file_that_fits_no_pair_is_an_error_with_the_first_reason(take):
    with pytest.raises(ValueError, match=r"none of its 1 records fits a pair.*'unknown_pair': 1.*'q\.jpg' and 'sea'"):
        take(HEAD + "q.jpg,sea,x\n")


def test_the_outcome_names_the_file_and_its_hash(take):
    about = outcome.elsewhere("mine", take(HEAD + "a/1.jpg,sea,waves\n").about)
    assert (about["kind"], about["model_id"], about["seconds"]) == ("elsewhere", None, None)
    assert about["source"]["file"].endswith("mine.csv")
    assert about["failed_pairs"]["failed"] == 3
    assert [outcome.kind(name) for name in ("mine", "human", "llava-1.5-7b")] == ["elsewhere", "baseline", "model"]
