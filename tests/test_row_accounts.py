"""No row of a caption CSV is lost: each gives one reference or stands in the quarantine, once, whatever it holds."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retcap.captions import baselines, files, prepare, reading
from retcap.datasets import quic360
from workflow_script import run_script

INVISIBLE = ["", " ", "\u200b", "\u200d\ufeff", "\t \u2060", "\u3164", "None", "nan\u200b", "<NA>"]
THERE = ["a.png", " b.png "]
URLS = st.sampled_from([*THERE, "gone.png", "../out.png", "broken.png", "https://e.org/x", *INVISIBLE])
QUERIES = st.sampled_from(["sea", "sky", "what  they are doing", "sea\u200b", *INVISIBLE])
CAPTIONS = st.sampled_from(["a man", "two\nlines", 'a "quoted" word', "a, b", "=1+1", "...", "x\u2028y", *INVISIBLE])
WELL_FORMED = st.tuples(URLS, QUERIES, CAPTIONS)
SHORT, LONG = st.tuples(URLS), st.tuples(URLS, QUERIES, CAPTIONS, CAPTIONS)
TORN = st.sampled_from(['a.png,sea,"x" y', '"a.png"b,sea,x', ",,", "a.png,sea,x,y,z", ""])  # as they stand in the file
LINES = st.lists(WELL_FORMED | SHORT | LONG | TORN, min_size=1, max_size=12)


def content(lines: list) -> str:
    """The text of a file: tuples as quoted cells, strings as they are."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["url", "query", "annotation"])
    for line in lines:
        writer.writerow(line) if isinstance(line, tuple) else buffer.write(f"{line}\n")
    return buffer.getvalue()


def is_record(line: tuple | str) -> bool:
    """All but blank lines, and lines of a single cell of blanks."""
    return bool(line) and (isinstance(line, str) or len(line) > 1 or bool(line[0].strip()))


def has_caption(line: tuple | str) -> bool:
    return isinstance(line, tuple) and len(line) == 3 and not set(line) & set(INVISIBLE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two good pictures and a broken one."""
    made = tmp_path_factory.mktemp("rows")
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (4, 2), (number, 0, 0)).save(made / name)
    (made / "broken.png").write_bytes(b"no picture")
    return made


@settings(max_examples=150, deadline=None)
@given(lines=LINES, require_images=st.booleans())
def test_rows_in_are_rows_used_and_rows_set_aside(folder, lines, require_images):
    (folder / "test.csv").write_bytes(content(lines).encode())
    names = {"items": "items.parquet", "requests": "requests.parquet", "rows": "rows.parquet", "images": "images"}
    names |= {"quarantine": "quarantine.jsonl", "coverage": "coverage.json"}
    out = prepare.Outputs(**{key: folder / "out" / name for key, name in names.items()})
    expected = sum(has_caption(line) and (line[0] in THERE or not require_images) for line in lines)
    if not expected:
        with pytest.raises((ValueError, FileNotFoundError), match=r"can be used|but no rows"):
            prepare.prepare(folder / "test.csv", out, require_images=require_images)
        return
    coverage = prepare.prepare(folder / "test.csv", out, require_images=require_images)
    items, rows = files.read_items(out.items), files.read_rows(out.rows).to_dict("records")
    rejected = [json.loads(line) for line in out.quarantine.read_text(encoding="utf-8").split("\n")[:-1]]
    used = {row["line"] for row in rows if row["item_id"] and row["reference"] is not None}
    aside = {record["line"] for record in rejected}
    assert len(used) == expected == coverage["rows_kept"] == sum(map(len, items["references"]))
    assert len(aside) == len(rejected) == coverage["rows_quarantined"] == sum(coverage["quarantined"].values())
    assert not used & aside
    assert coverage["rows"] == sum(map(is_record, lines)) == len(used) + len(aside)
    assert coverage["pairs"] == coverage["pairs_kept"] + sum(coverage["pairs_lost"].values())
    assert all(reference.strip() for references in items["references"] for reference in references)


@settings(max_examples=150, deadline=None)
@given(lines=LINES)
def test_every_training_row_feeds_the_blind_row_or_is_set_aside(folder, lines):
    (folder / "train.csv").write_bytes(content(lines).encode())
    expected = [line for line in lines if has_caption(line)]
    if not expected:
        with pytest.raises(ValueError, match=r"can be used|but no rows"):
            reading.training(quic360, folder / "train.csv", {})
        return
    found = reading.training(quic360, folder / "train.csv", {})
    assert [caption for _, caption in found.captions()] == [line[2] for line in expected]
    facts = found.facts()
    assert facts["rows"] == sum(map(is_record, lines)) == facts["rows_used"] + sum(facts["quarantined"].values())
    asked = {"item_id": "1", "image": "a.png", "image_key": "k", "query": found.captions()[0][0], "references": ["x"]}
    captions = baselines.blind(files.frame([asked], files.ITEMS), found.captions(), seed=0)
    assert captions["prompt"][0] == "training medoid"
    assert captions["raw"][0].strip()


def test_a_torn_training_file_is_told_and_its_rows_are_kept(tmp_path):
    """Half of it malformed: the blind row changes, so the log warns, the outcome counts, and the rows are written."""
    good, torn = "a.png,sea,a wide sea with many waves is seen\n", 'a.png,sea,"x" y\n'
    (tmp_path / "train.csv").write_text("url,query,annotation\n" + good * 3 + torn * 3)
    item = {"item_id": "1", "image": "a.png", "image_key": "k", "query": "sea", "references": ["x"]}
    files.write_items(tmp_path / "pairs.parquet", [item | {"rows": [2]}])
    outputs = {"captions": "blind.parquet", "outcome": "blind.json", "quarantine": "blind_quarantine.jsonl"}
    params = {"dataset": "quic360", "seed": 0, "columns": {}}
    inputs = {"pairs": "pairs.parquet", "train": "train.csv"}
    log = run_script(tmp_path, "caption_blind", inputs=inputs, outputs=outputs, params=params)
    assert "WARNING retcap.captions.reading: train.csv: 3 of 6 rows set aside (50.0%): 3 malformed_row; see" in log
    facts = {"csv": "train.csv", "rows": 6, "rows_used": 3, "quarantined": {"malformed_row": 3}}
    assert json.loads((tmp_path / "blind.json").read_text())["training"] == facts
    rejected = [json.loads(line) for line in (tmp_path / "blind_quarantine.jsonl").read_text().split("\n")[:-1]]
    assert [(one["line"], one["record"]) for one in rejected] == [(line, 'a.png,sea,"x" y') for line in (5, 6, 7)]
