"""JSON lines: what goes in comes out, whatever characters it holds and wherever a process was killed."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import retcap
from retcap.files import jsonl
from retcap.records import Rejected

PACKAGE = Path(retcap.__file__).parent
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # everything that str.splitlines cuts at
TEXTS = st.text(st.sampled_from(LINE_ENDS + 'a"\\\t\0é😀')) | st.text()
RECORDS = st.dictionaries(TEXTS, TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none(), max_size=3)


@given(st.lists(RECORDS, max_size=4))
@example([{f"a{end}b": f"one{end}two"} for end in LINE_ENDS])
def test_what_is_written_is_read_by_us_and_by_careless_readers(records):
    text = b"".join(map(jsonl.encode, records)).decode()
    assert [json.loads(line) for line in text.splitlines()] == records
    assert [json.loads(line) for line in text.split("\n")[:-1]] == records


@given(st.lists(RECORDS, max_size=3), st.lists(RECORDS, max_size=3), st.integers(0, 10_000))
def test_after_a_kill_at_any_byte_whole_lines_are_kept_and_new_ones_added(tmp_path_factory, first, second, cut):
    file = tmp_path_factory.mktemp("cut") / "records.jsonl"
    jsonl.append(file, first)
    whole = file.read_bytes()
    cut %= len(whole) + 1
    file.write_bytes(whole[:cut])
    kept = first[: whole[:cut].count(b"\n")]
    assert list(jsonl.read(file, appended=True)) == kept
    jsonl.append(file, second)
    assert list(jsonl.read(file)) == kept + second


def test_a_cut_line_longer_than_a_block_is_cut_off_too(tmp_path):
    file = tmp_path / "records.jsonl"
    jsonl.append(file, [{"n": 1}])
    with open(file, "ab") as stream:
        stream.write(b'{"text": "' + 200_000 * b"x")
    jsonl.append(file, [{"n": 2}])
    assert list(jsonl.read(file)) == [{"n": 1}, {"n": 2}]


def test_a_line_that_is_not_json_is_named(tmp_path):
    file = tmp_path / "records.jsonl"
    file.write_bytes(b'{"n": 1}\n\n{"n": 2\n{"n": 3}\n')
    with pytest.raises(ValueError, match=r"records\.jsonl:3: not valid JSON .*one JSON value per line expected"):
        list(jsonl.read(file))
    file.write_bytes(b'{"n": "\xff"}')
    with pytest.raises(ValueError, match=r"records\.jsonl:1: not valid JSON"):
        list(jsonl.read(file))


def test_a_last_line_without_an_end_is_a_record_unless_the_file_was_appended_to(tmp_path):
    file = tmp_path / "records.jsonl"
    file.write_bytes(b'{"n": 1}\r\n12')
    assert list(jsonl.read(file)) == [{"n": 1}, 12]
    assert list(jsonl.read(file, appended=True)) == [{"n": 1}], "12 may be what is left of 1234"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "folder" / "records.jsonl"
    assert jsonl.write(file, [Rejected("a.csv", 3, "empty", "one\u2028two", "x"), {"n": 2}]) == 2
    before = file.read_bytes()
    with pytest.raises(TypeError, match="PosixPath"):
        jsonl.write(file, [{"n": 1}, {"n": Path("not JSON")}])
    assert file.read_bytes() == before
    assert next(jsonl.read(file))["detail"] == "one\u2028two"
    assert [path.name for path in file.parent.iterdir()] == ["records.jsonl"]


def test_nothing_in_the_package_cuts_text_where_data_may_hold_a_break():
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    assert [file.name for file in files if ".splitlines(" in file.read_text(encoding="utf-8")] == []
