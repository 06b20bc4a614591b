"""Reading M2KR and ReT-M2KR: every published irregularity, every kind of broken line, and the data set plugins."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import real_data
from retcap import plugins
from retcap.records import DatasetCard
from retcap.retrieval.judging.answers import parse_answers
from retcap.retrieval.m2kr import reader
from retcap.retrieval.m2kr.lines import Query, without_instruction
from retcap.retrieval.m2kr.normalise import normalise
from retcap.retrieval.m2kr.reader import Source
from retcap.retrieval.m2kr.roots import LeavesRoot, Roots
from retcap.retrieval.m2kr.tables import PASSAGES, QUERIES, TableWriter
from retcap.retrieval.splits import spill

REAL = real_data.folder("m2kr")
OVEN = {
    "data_id": "oven_entity_val_00000007",
    "dataset_id": "oven_validation_m2kr",
    "question": "what is this bridge called?",
    "instruction": "Using the provided image, obtain documents that address the subsequent question: ",
    "image_path": "oven_eval/image_downloads/a/b.jpg",
    "passage_text": "Iron Bridge is a bridge.",
    "passage_id": "Q42",
    "passage_image_path": "infoseek/wikipedia_images_full/Q42/Q42.jpg",
    "answer": "Iron Bridge",
}
EVQA = OVEN | {
    "data_id": "EVQA_3",
    "passage_id": "WikiWeb_Prunus laurocerasus_1",
    "answer": ["5 metres", "5 metres ", "5 metres"],
}
INFOSEEK = OVEN | {
    "data_id": "infoseek_train_00000001",
    "passage_text": None,
    "passage_image_path": None,
    "answer": ["8 km", {"wikidata": 8.0, "range": [7.6, 8.4]}],
}
OKVQA = OVEN | {
    "data_id": 3575865,
    "passage_id": ["0012533314", "17255922"],
    "passage_text": ['title: "A" content: bear', 'title: "B" content: toy'],
    "passage_image_path": ["infoseek/a.jpg", None],
    "answer": ["teddy bear", "bear"],
}


def write_lines(path: Path, *lines: dict | str | bytes) -> Path:
    path.write_bytes(
        b"".join(
            (line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode())
            + b"\n"
            for line in lines
        )
    )
    return path


def raw_line(**values: str) -> str:
    """OVEN's line with some fields as JSON text, which json.dumps would not write."""
    named = {name: f"<{name}>" for name in values}
    line = json.dumps(OVEN | named)
    for name, text in values.items():
        line = line.replace(f'"<{name}>"', text)
    return line


def read_queries(path: Path, roots=".") -> tuple[list[Query], list]:
    rejected: list = []
    return list(Source(path, rejected.append).queries(Roots(roots))), rejected


def run(tmp_path: Path, *lines, split="train", **options) -> tuple[dict, list[dict], list[dict], list[dict]]:
    """Normalise the lines: card, query rows, passage rows, quarantine."""
    file = write_lines(tmp_path / "queries.jsonl", *lines)
    out = tmp_path / "out"
    settings: dict[str, Any] = {"roots": "/images"} | options
    card = normalise("m2kr_any", split, queries=[file], out=out, **settings)
    tables = [pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("queries", "passages")]
    quarantine = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert json.loads((out / "card.json").read_text()) == card
    return card, *tables, quarantine


def test_the_four_published_forms_become_one(tmp_path):
    card, queries, passages, quarantine = run(tmp_path, OVEN, EVQA, INFOSEEK, OKVQA)
    assert quarantine == []
    assert [row["query_id"] for row in queries] == [
        "oven_entity_val_00000007",
        "EVQA_3",
        "infoseek_train_00000001",
        "3575865",
    ]
    assert [row["answers"] for row in queries] == [["Iron Bridge"], ["5 metres"], ["8 km"], ["teddy bear", "bear"]]
    assert [row["numeric"] for row in queries] == [[], [], [{"low": 7.6, "high": 8.4}], []]
    assert [row["answer_kind"] for row in queries] == ["string", "list", "list", "list"]
    assert queries[1]["positives"] == ["WikiWeb_Prunus laurocerasus_1"]
    assert queries[3]["positives"] == ["0012533314", "17255922"]  # the leading zeros belong to the id
    assert queries[0]["instruction"].endswith("question:")  # no blank at the end: joined with one blank later
    assert [row["row"] for row in queries] == [0, 1, 2, 3]
    assert {row["passage_id"]: row["image"] for row in passages} == {
        "Q42": "infoseek/wikipedia_images_full/Q42/Q42.jpg",
        "WikiWeb_Prunus laurocerasus_1": "infoseek/wikipedia_images_full/Q42/Q42.jpg",
        "0012533314": "infoseek/a.jpg",
        "17255922": None,
    }
    assert card["queries"]["rows"] == 4
    assert card["passages"] == {
        "rows": 4,
        "duplicate_ids": 0,
        "ids_with_several_texts": 0,
        "from_query_lines": 4,
        "ids_without_content": 0,
        "without_content": 0,
        "null_texts": 0,
        "null_images": 1,
        "images_without_root": 0,
    }


@pytest.mark.skipif(not (REAL / "seed_examples.jsonl").exists(), reason="the four published records are not here")
def test_the_published_records_parse():
    queries, rejected = read_queries(REAL / "seed_examples.jsonl")
    assert rejected == []
    assert [query.query_id for query in queries] == [
        "oven_entity_val_00000000",
        "EVQA_0",
        "infoseek_train_00000000",
        "3575865",
    ]
    assert [query.answers.texts for query in queries] == [
        ["Nationals Park"],
        ["5 to 15 metres"],
        ["energy conversion", "energy transformation", "conversion"],
        ["teddy bear", "stuffed animal", "bear"],
    ]
    assert [[passage.passage_id for passage in query.positives] for query in queries] == [
        ["Q517545"],
        ["WikiWeb_Prunus laurocerasus_1"],
        ["Q178185"],
        ["12533314", "17255922"],
    ]
    assert queries[3].positives[1].text is not None
    assert queries[3].positives[1].text.startswith('title: "Amr Salama"')


def test_field_names_of_the_original_m2kr(tmp_path):
    line = {
        "question_id": 17,
        "img_path": "coco/x.jpg",
        "pos_item_ids": ["7"],
        "pos_item_contents": ["title: x"],
        "question": "what?",
        "instruction": "Find it:",
        "answers": ["a"],
    }
    _, queries, passages, quarantine = run(tmp_path, line)
    assert quarantine == []
    assert (queries[0]["query_id"], queries[0]["image"], queries[0]["answers"]) == ("17", "coco/x.jpg", ["a"])
    assert passages[0]["text"] == "title: x"
    corpus = write_lines(tmp_path / "corpus.jsonl", {"passage_id": 7, "passage_content": "title: x"})
    (passage,) = Source(corpus, lambda rejected: None).passages(Roots(None))
    assert (passage.passage_id, passage.text) == ("7", "title: x")


def test_answers_and_positives_keep_their_json_text(tmp_path):
    odd = '[1.50, "a\\u00e9", {"wikidata": 1e1,  "range": null}]'
    line = json.dumps(OVEN | {"passage_id": ["007", 8], "passage_text": None, "passage_image_path": None})
    line = line.replace('"Iron Bridge"', odd)
    old = {"question_id": 1, "img_path": "a.jpg", "pos_item_ids": "Q 7", "answers": "é"}
    for folder, lines in (("train", (line, json.dumps(old, ensure_ascii=False))), ("test", (OVEN, INFOSEEK, OKVQA))):
        (tmp_path / folder).mkdir()
        _, queries, _, quarantine = run(tmp_path / folder, *lines, split=folder)
        assert quarantine == []
        texts = [(row["answer_json"], row["positives_json"]) for row in queries]
        if folder == "train":
            assert texts == [(odd, '["007", 8]'), ('"é"', '"Q 7"')]
            assert queries[0]["positives"] == ["007", "8"]
        else:
            raw = [[json.loads(text) for text in pair] for pair in texts]
            assert raw == [[record["answer"], record["passage_id"]] for record in (OVEN, INFOSEEK, OKVQA)]


def test_a_query_without_an_answer_field_has_a_null_answer(tmp_path):
    _, queries, _, _ = run(tmp_path, {key: value for key, value in OVEN.items() if key != "answer"})
    assert (queries[0]["answer_json"], queries[0]["answers"], queries[0]["answer_kind"]) == ("null", [], "null")


BROKEN = {  # name -> (line, reason, part of the detail)
    "cut off": ('{"data_id": "x", "question": "wha', "broken_json", "malformed"),
    "no object": ("[1, 2]", "wrong_type", "Expected `object`"),
    "bad utf-8": (b'{"data_id": "\xff\xfe"}', "broken_json", "utf-8"),
    "no id": (OVEN | {"data_id": None}, "missing_id", "data_id"),
    "blank id": (OVEN | {"data_id": "  "}, "missing_id", "data_id"),
    "id is a float": (OVEN | {"data_id": 1.5}, "wrong_type", "$.data_id"),
    "question is a number": (OVEN | {"question": 3}, "wrong_type", "$.question"),
    "answer holds a list": (OVEN | {"answer": [["x"]]}, "wrong_type", "$.answer"),
    "answer of M2KR is a boolean": (
        {"question_id": "1", "question": "?", "pos_item_ids": ["1"], "answers": True},
        "wrong_type",
        "got `bool` - at `$.answers`",
    ),
    "positive is a float": (OKVQA | {"passage_id": ["1", 2.5]}, "wrong_type", "$.passage_id[1]"),
    "no positive": (OVEN | {"passage_id": None}, "missing_positive", "no passage id"),
    "empty positives": (
        OKVQA | {"passage_id": [], "passage_text": [], "passage_image_path": []},
        "missing_positive",
        "id",
    ),
    "more texts than ids": (OKVQA | {"passage_id": ["1"]}, "unequal_lists", "1 passage ids but 2 passage texts"),
    "neither text nor image": (OVEN | {"question": " ", "image_path": None}, "empty_query", "question"),
    "parent folder": (OVEN | {"image_path": "a/../../x.jpg"}, "path_leaves_root", "a/../../x.jpg"),
    "absolute": (OVEN | {"image_path": "/etc/passwd"}, "path_leaves_root", "/etc/passwd"),
    "windows": (OVEN | {"image_path": "..\\x.jpg"}, "path_leaves_root", "x.jpg"),
    "drive": (OVEN | {"image_path": "C:/x.jpg"}, "path_leaves_root", "C:/x.jpg"),
    "NUL": (OVEN | {"image_path": "a\0.jpg"}, "path_leaves_root", "a"),
    "passage image": (OVEN | {"passage_image_path": "../x.jpg"}, "path_leaves_root", "../x.jpg"),
    "deep in an unknown field": (raw_line(hobby="[" * 1000 + "]" * 1000), "nested_too_deeply", "recursion"),
    "deep answer": (raw_line(answer="[" * 1000 + "]" * 1000), "nested_too_deeply", "recursion"),
    "deep dict as answer": (
        raw_line(answer='{"wikidata": ' * 40 + "1" + "}" * 40),
        "nested_too_deeply",
        "`answer` is nested 40 deep, 32 are allowed",
    ),
    "answer of 310 digits": (raw_line(answer="1" * 310), "number_out_of_range", "beyond double precision"),
    "wikidata of 310 digits": (
        raw_line(answer='[{"wikidata": ' + "1" * 310 + "}]"),
        "number_out_of_range",
        "beyond double precision",
    ),
    "range of 310 digits": (
        raw_line(answer='{"range": [1, ' + "1" * 310 + "]}"),
        "number_out_of_range",
        "beyond double precision",
    ),
    "answer of 5,000 digits": (raw_line(answer="1" * 5000), "wrong_type", "out of range"),
    "a broken byte in a key": (
        json.dumps(OVEN).encode().replace(b'"answer"', b'"answ\xffr"'),
        "broken_json",
        "can't decode byte 0xff",
    ),
    "a key that stands twice": (
        raw_line(passage_id='"Q1", "passage_id": "Q2"'),
        "repeated_key",
        "the key `passage_id` stands there 2 times",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lines_go_to_quarantine_with_file_line_and_reason(tmp_path, name):
    line, reason, detail = BROKEN[name]
    card, queries, _, quarantine = run(tmp_path, OVEN, "", line, EVQA)
    assert [row["query_id"] for row in queries] == [OVEN["data_id"], EVQA["data_id"]]
    (rejected,) = quarantine
    assert (rejected["file"], rejected["line"], rejected["reason"]) == ("queries.jsonl", 3, reason)
    assert detail in rejected["detail"]
    assert 0 < len(rejected["record"]) <= reader.RECORD_LIMIT
    assert card["rejected"] == {"rows": 1, "reasons": {reason: 1}}


@given(
    st.lists(
        st.binary(max_size=40)
        | st.text(max_size=40).map(str.encode)
        | st.fixed_dictionaries(
            {
                "data_id": st.sampled_from(["a", 7, None, 1.5]),
                "passage_id": st.sampled_from(["Q1", ["1", 2], [], None]),
            },
            optional={"answer": st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5)},
        ).map(lambda record: json.dumps({"question": "?", **record}).encode()),
        max_size=12,
    )
)
def test_every_line_is_a_row_or_in_the_quarantine(tmp_path_factory, lines):
    file = tmp_path_factory.mktemp("lines") / "q.jsonl"
    file.write_bytes(b"\n".join(line.replace(b"\n", b"") for line in lines))
    source = Source(file, (rejected := []).append)
    queries = list(source.queries(Roots(".")))
    assert len(queries) + len(rejected) + source.blank == source.lines
    assert source.rejected == len(rejected)


def test_a_passage_without_text_and_image_stays_in_the_corpus(tmp_path):
    rows = [{"passage_id": "1"}, {"passage_id": "2", "passage_text": "x"}, {"passage_id": "3", "passage_text": " "}]
    corpus = write_lines(tmp_path / "c.jsonl", *rows)
    card, _, passages, quarantine = run(tmp_path, OVEN, split="test", passages=[corpus])
    assert [(row["passage_id"], row["text"]) for row in passages] == [("1", None), ("2", "x"), ("3", "")]
    assert quarantine == []
    assert card["passages"]["without_content"] == 2
    assert "Passages without text and picture: 2 of 3; they stay in the corpus." in card["warnings"]


def test_a_line_without_end_is_rejected_in_pieces_and_reading_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "LINE_LIMIT", 4096)
    file = write_lines(tmp_path / "q.jsonl", "[" + "1," * 9000, OVEN)
    queries, rejected = read_queries(file)
    assert [query.query_id for query in queries] == [OVEN["data_id"]]
    assert [(one.line, one.reason) for one in rejected] == [(1, "line_too_long")]


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(OVEN).encode() + b"\r\n\r\n" + json.dumps(EVQA).encode())
    queries, rejected = read_queries(file)
    assert (len(queries), rejected) == (2, [])


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No data file at .*none\.jsonl\. Correct its name"):
        list(Source(tmp_path / "none.jsonl", lambda rejected: None).queries(Roots(None)))


@pytest.mark.parametrize(
    ("raw", "texts", "ranges", "unusable"),
    [
        (None, [], [], 0),
        ("Nationals Park", ["Nationals Park"], [], 0),
        (["", "  "], [], [], 2),
        (["", "zoo"], ["zoo"], [], 1),
        (["b", "a ", "a", " b"], ["b", "a"], [], 0),
        ({"wikidata": 1.0, "range": [0.9, 1.1]}, [], [(0.9, 1.1)], 0),
        ([{"range": [0.9, 1.1]}], [], [(0.9, 1.1)], 0),
        ([{"range": [1.1, 0.9]}], [], [(0.9, 1.1)], 0),
        ([{"wikidata": 4807}], [], [(4807.0, 4807.0)], 0),
        ([{"wikidata": 4807, "range": None}], [], [(4807.0, 4807.0)], 0),
        ([{"wikidata": "iron"}], ["iron"], [], 0),
        ([{}, None, {"wikidata": True}, {"range": [1]}], [], [], 4),
        ([5, 2.5], [], [(5.0, 5.0), (2.5, 2.5)], 0),
    ],
)
def test_answers(raw, texts, ranges, unusable):
    found = parse_answers(raw)
    assert (found.texts, found.ranges, found.unusable) == (texts, ranges, unusable)


@given(st.lists(st.text()))
def test_answer_texts_are_distinct_stripped_and_in_order(raw):
    found = parse_answers(raw)
    stripped = [text.strip() for text in raw]
    assert found.texts == sorted(set(stripped) - {""}, key=stripped.index)
    assert found.unusable == stripped.count("")


def test_a_repeated_instruction_is_removed_from_the_question(tmp_path):
    both = OVEN | {"question": OVEN["instruction"] + OVEN["question"]}
    card, queries, _, _ = run(tmp_path, both, OVEN)
    assert [row["question"] for row in queries] == [OVEN["question"]] * 2
    assert card["queries"]["repeated_instruction"] == 1
    assert "Questions that repeated their instruction in front: 1;" in card["warnings"][0]
    assert without_instruction("Find", "") == ("Find", False)


@pytest.mark.parametrize(
    ("question", "instruction", "kept"),
    [
        ("Whatever is it?", "What", None),
        ("Find it", "Find it: ", None),  # nothing would be left to ask
        ("Find it:", "Find it: ", None),
        ("Find it\twhat?", "Find it", "what?"),
        ("What?Where?", "What?", "Where?"),
        ("Was\u0308 it?", "Was", None),  # the mark above belongs to the letter before it
    ],
)
def test_only_whole_words_with_something_behind_them_are_a_repeated_instruction(question, instruction, kept):
    assert without_instruction(question, instruction) == ((question, False) if kept is None else (kept, True))


def test_inline_passages_are_kept_once_and_null_parts_are_filled_from_other_lines(tmp_path):
    null = OVEN | {"passage_text": None, "passage_image_path": None}
    picture_only = OVEN | {"passage_id": "Q7", "passage_text": None}
    nothing = OVEN | {"passage_id": "Q8", "passage_text": None, "passage_image_path": None}
    other = OVEN | {"passage_text": "Iron Bridge, another text."}
    text_late = OVEN | {"passage_id": "Q7", "passage_image_path": None}
    card, queries, passages, _ = run(tmp_path, null, OVEN, OVEN, other, picture_only, text_late, nothing)
    assert [(row["passage_id"], row["text"], row["image"]) for row in passages] == [
        ("Q42", OVEN["passage_text"], OVEN["passage_image_path"]),
        ("Q7", OVEN["passage_text"], OVEN["passage_image_path"]),
    ]
    assert len(queries) == 7
    assert card["passages"]["ids_without_content"] == 1
    assert card["passages"]["ids_with_several_texts"] == 1
    assert card["queries"]["without_any_positive_in_passages"] == 1


def test_counts_are_exact_whatever_is_spilled(tmp_path, monkeypatch):
    monkeypatch.setattr(spill, "HELD", 3)
    rng = np.random.default_rng(5)
    drawn = [(int(q), sorted(map(int, set(rng.integers(0, 30, 3))))) for q in rng.integers(0, 40, 60)]
    base = OVEN | {"passage_image_path": None, "answer": None}
    lines = [
        base | {"data_id": q, "passage_id": golds, "passage_text": [f"text {i % 3}" for i in golds]}
        for q, golds in drawn
    ]
    corpus = write_lines(
        tmp_path / "c.jsonl", *({"passage_id": i, "passage_text": f"t{n}"} for n, i in enumerate([*range(9), 3, 3, 4]))
    )
    card, *_ = run(tmp_path, *lines, split="test", passages=[corpus])
    golds = [gold for _, some in drawn for gold in some]
    assert card["queries"]["duplicate_ids"] == 60 - len({q for q, _ in drawn})
    assert card["queries"]["positives"] == len(golds)
    assert card["queries"]["positives_not_in_passages"] == sum(gold > 8 for gold in golds)
    assert card["queries"]["without_any_positive_in_passages"] == sum(min(some) > 8 for _, some in drawn)
    assert (card["passages"]["rows"], card["passages"]["duplicate_ids"]) == (12, 3)
    assert card["passages"]["ids_with_several_texts"] == 2
    card, _, passages, _ = run(tmp_path, *lines, split="train")
    assert sorted(row["passage_id"] for row in passages) == sorted({str(gold) for gold in golds})


def test_repeated_ids_stay_as_rows_and_are_counted(tmp_path):
    row = {"passage_id": "Q42", "passage_text": "x"}
    corpus = write_lines(tmp_path / "c.jsonl", row, row, {"passage_id": 42, "passage_text": "y"})
    card, queries, passages, _ = run(tmp_path, OVEN, OVEN, split="test", passages=[corpus])
    assert [one["passage_id"] for one in passages] == ["Q42", "Q42", "42"]
    assert [one["row"] for one in passages] == [0, 1, 2]
    assert len(queries) == 2
    assert (card["queries"]["duplicate_ids"], card["passages"]["duplicate_ids"]) == (1, 1)


def test_a_test_split_never_adds_inline_passages_to_the_corpus(tmp_path):
    corpus = write_lines(tmp_path / "c.jsonl", {"passage_id": "Q1", "passage_text": "x"})
    card, _, passages, _ = run(tmp_path, OVEN, split="test", passages=[corpus])
    assert [one["passage_id"] for one in passages] == ["Q1"]
    assert card["queries"]["positives_not_in_passages"] == 1


def test_images_without_a_root_are_missing_images(tmp_path):
    card, queries, passages, quarantine = run(tmp_path, OVEN, roots={"infoseek": "/data/infoseek"})
    # the path stays, so that the screening counts it among the missing ones and treats it like them
    assert (queries[0]["image"], passages[0]["image"]) == (OVEN["image_path"], OVEN["passage_image_path"])
    assert quarantine == []
    assert card["queries"]["images_without_root"] == 1


def test_a_row_whose_only_content_is_a_picture_without_a_root_is_set_aside(tmp_path):
    rows = [OVEN | {"question": ""}, OVEN | {"data_id": "q2"}]
    _, queries, _, quarantine = run(tmp_path, *rows, roots={"infoseek": "/data/infoseek"})
    assert len(queries) == 1
    assert [one["reason"] for one in quarantine] == ["empty_query"]


def test_the_longest_prefix_wins_and_is_replaced():
    roots = Roots({"coco": "/a", "coco/val2014": "/b", "": "/c"})
    assert str(roots.resolve("coco/val2014/x.jpg")) == "/b/x.jpg"
    assert str(roots.resolve("coco/train2014/x.jpg")) == "/a/train2014/x.jpg"
    assert str(roots.resolve("cocoa/x.jpg")) == "/c/cocoa/x.jpg"
    assert Roots(roots).prefixes == roots.prefixes
    assert Roots("").resolve("x.jpg") is None is Roots(None).resolve("x.jpg")


@given(st.lists(st.sampled_from(["a", "..", ".", "b c", "...", ""]), min_size=1, max_size=6).map("/".join))
def test_no_accepted_path_leaves_its_root(path):
    try:
        file = Roots("/data/images").resolve(path)
    except LeavesRoot:
        return
    assert file is not None
    assert os.path.normpath(file).startswith("/data/images")


def test_a_link_to_a_file_may_lead_anywhere_and_one_to_a_folder_only_below_a_root(tmp_path):
    for name in ("blobs", "images", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "blobs/5f3a").touch()
    (tmp_path / "elsewhere/x.jpg").touch()
    (tmp_path / "images/link.jpg").symlink_to(tmp_path / "blobs/5f3a")  # as in a hub cache
    (tmp_path / "images/coco").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/own").symlink_to(tmp_path / "images")
    (tmp_path / "images/loop").symlink_to(tmp_path / "images/loop")
    (tmp_path / "other").symlink_to(tmp_path / "images")
    for folder in ("images", "other"):  # the root itself may be a link
        roots = Roots(tmp_path / folder)
        for path in ("link.jpg", "own/link.jpg", "none/at/all.jpg", "x" * 300 + ".jpg", "loop", "loop/x.jpg"):
            file = roots.resolve(path)
            assert file is not None
            roots.check(file)
        refused = roots.resolve("coco/x.jpg")
        assert refused is not None
        with pytest.raises(LeavesRoot, match=r"/coco leads over a link to .*/elsewhere, out of all roots. Name that"):
            roots.check(refused)
        declared = Roots({"": tmp_path / folder, "elsewhere": tmp_path / "elsewhere"})
        declared.check(refused)
    beside = tmp_path / "images-2"  # the name begins like that of the root
    beside.mkdir()
    (tmp_path / "images/two").symlink_to(beside)
    with pytest.raises(LeavesRoot):
        Roots(tmp_path / "images").check(tmp_path / "images/two/x.jpg")


def test_rows_that_are_not_the_published_number_are_a_warning(tmp_path):
    corpus = write_lines(tmp_path / "c.jsonl", {"passage_id": "Q42", "passage_text": "x"})
    published = {"queries": 5, "passages": 1}
    card, *_ = run(tmp_path, OVEN, EVQA, split="test", passages=[corpus], published=published)
    assert [text for text in card["warnings"] if text.startswith("Rows of")] == [
        "Rows of queries: 2, published are 5 (-3)."
    ]
    (tmp_path / "world.json").touch()  # as in the folder of a generated world, whose numbers nobody has published
    card, *_ = run(tmp_path, OVEN, EVQA, split="test", passages=[corpus], published=published)
    assert not any(text.startswith("Rows of") for text in card["warnings"])
    assert card["generated"]


def test_one_file_under_two_names_and_repeated_ids_are_warnings(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        write_lines(tmp_path / name, OVEN, EVQA)
    card = normalise(
        "m2kr_any", "train", queries=[tmp_path / "a.jsonl", tmp_path / "b.jsonl"], roots="/images", out=tmp_path / "out"
    )
    assert card["warnings"] == [
        "The same queries twice: b.jsonl has the content of a.jsonl; its 2 rows count twice.",
        "Query ids that come again: 2 of 4 rows; each row is a question of its own.",
    ]


def test_unusual_answers_are_a_warning(tmp_path):
    card, *_ = run(tmp_path, OVEN, answer_kinds=["list"])
    assert card["warnings"] == ["Answers come as string instead of list. Is it the right file?"]


def test_limit_reads_the_first_usable_records(tmp_path):
    card, queries, _, _ = run(tmp_path, "{", OVEN, EVQA, OKVQA, limit=2)
    assert [row["query_id"] for row in queries] == [OVEN["data_id"], EVQA["data_id"]]
    assert card["files"][0]["lines"] == 3


def test_same_input_same_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        run(tmp_path / folder, OVEN, EVQA, INFOSEEK, OKVQA, "{")
    for name in ("queries.parquet", "passages.parquet", "quarantine.jsonl", "card.json"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()


def test_row_groups_have_a_fixed_size_and_rows_are_numbered_through(tmp_path):
    with TableWriter(tmp_path / "p.parquet", PASSAGES, rows_per_group=7) as writer:
        for number in range(17):
            writer.append((f"id{number}", "m2kr_any", "test", None, None))
    file = pq.ParquetFile(tmp_path / "p.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [7, 7, 3]
    assert file.read()["row"].to_pylist() == list(range(17))


def test_an_empty_file_gives_empty_tables(tmp_path):
    card, queries, passages, _ = run(tmp_path)
    assert (queries, passages, card["queries"]["rows"]) == ([], [], 0)
    assert pq.read_schema(tmp_path / "out/queries.parquet").equals(QUERIES)


def test_the_four_sets_are_plugins_with_the_same_facts():
    found = [name for name in plugins.names("datasets") if name.startswith("m2kr_") and name != "m2kr_world"]
    assert found == ["m2kr_evqa", "m2kr_infoseek", "m2kr_okvqa", "m2kr_oven"]
    for name in found:
        module = plugins.load("datasets", name)
        assert isinstance(module.CARD, DatasetCard)
        assert (module.CARD.name, module.CARD.task) == (name, "retrieval")
        assert set(module.TEST_FILES) == {"queries", "passages"}
        assert set(module.ANSWER_KINDS) <= {"string", "list"}
        assert module.HOLD_OUT in (None, "passage", "image", "row")
        # a set needs validation questions of its own, or a way to hold some out; OKVQA's own are its test questions
        assert ("valid" in module.PUBLISHED_ROWS) != (module.HOLD_OUT is not None) or name == "m2kr_okvqa"
        assert all(pair.count("+") == 1 and ":" in pair for pair in module.KNOWN_LEAKS)


def test_more_than_a_hundredth_of_rejected_lines_is_a_warning(tmp_path):
    lines = [{**OVEN, "data_id": f"q{number}"} for number in range(99)]
    card, *_ = run(tmp_path, *lines, "{")
    assert not any("Rejected" in text for text in card["warnings"])  # 1 of 100
    card, *_ = run(tmp_path, *lines, "{", "{")
    assert card["warnings"][0] == "Rejected lines: 2 of 101 (2.0%): 2 broken_json; see quarantine.jsonl."
