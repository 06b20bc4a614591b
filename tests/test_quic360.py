"""QuIC-360 reader and `prepare`: grouping, irregular rows, errors as a user reads them, and the real files."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import real_data
from retcap.captions import files, prepare, reading
from retcap.datasets import quic360
from retcap.datasets.quic360 import OutsideRoot, Row
from retcap.pictures import images
from retcap.records import Rejected

REAL = real_data.folder("quic360")
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no QuIC-360 files; {real_data.VARIABLE} names their folder")


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def read(path, **columns):
    records = list(quic360.rows(path, **columns))
    return [r for r in records if isinstance(r, Row)], [r for r in records if isinstance(r, Rejected)]


def picture(path, seed=0, size=(8, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(array).save(path)


def outputs(folder):
    names = {"items": "items.parquet", "requests": "requests.parquet", "rows": "rows.parquet", "images": "images"}
    names |= {"quarantine": "quarantine.jsonl", "coverage": "coverage.json"}
    return prepare.Outputs(**{key: folder / "out" / name for key, name in names.items()})


def quarantine(out):
    return [json.loads(line) for line in out.quarantine.read_text().splitlines()]


# --- reading ---


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_byte_order_mark_and_line_ends(tmp_path, delimiter, bom, newline):
    text = newline.join(["url,query,annotation", "a.jpg,people,a man", "", "b.jpg,sea,waves", ""])
    rows, rejected = read(write(tmp_path / "a.csv", bom + text.replace(",", delimiter)))
    assert rows == [Row(2, "a.jpg", "people", "a man"), Row(4, "b.jpg", "sea", "waves")]
    assert rejected == []


def test_line_numbers_survive_multi_line_captions_and_quotes(tmp_path):
    text = 'url,query,annotation\na.jpg,sea,"two\nlines, and ""quotes"""\nb.jpg,sea,doesn"t\nc.jpg,sea,x\n'
    rows, _ = read(write(tmp_path / "a.csv", text))
    assert [(row.line, row.annotation) for row in rows] == [(2, 'two\nlines, and "quotes"'), (4, 'doesn"t'), (5, "x")]


@pytest.mark.parametrize("cell", ["", "  ", "None", "NaN", "nan", " None ", "NULL", "<NA>", "\u200b", "None\ufeff"])
def test_missing_annotation_is_quarantined_but_its_row_stays(tmp_path, cell):
    csv = write(tmp_path / "a.csv", f"url,query,annotation\na.jpg,trees,{cell}\na.jpg,trees,x\n")
    found = reading.read(quic360, csv)
    assert found.rows[0] == Row(2, "a.jpg", "trees", cell)
    assert found.rows[0].caption is None
    assert [(r.line, r.reason, r.detail) for r in found.rejected] == [
        (2, "empty_annotation", f"the cell holds {cell!r}")
    ]


@pytest.mark.parametrize("caption", ["None of them is there", "nano", "none", "Nan sits on a bench", "0"])
def test_captions_that_only_look_missing_are_kept(tmp_path, caption):
    rows, rejected = read(write(tmp_path / "a.csv", f"url,query,annotation\na.jpg,trees,{caption}\n"))
    assert rows[0].annotation == caption
    assert not rejected


def test_rows_without_url_or_query_and_with_too_many_cells(tmp_path):
    text = "url,query,annotation\n,trees,x\na.jpg, ,x\na.jpg\na.jpg,sea,red, white and blue\n,,\na.jpg,\u200b,x\n"
    rows, rejected = read(write(tmp_path / "a.csv", text + "b.jpg,sea,x\n"))
    assert [(r.line, r.reason) for r in rejected] == [
        (2, "missing_url"),
        (3, "missing_query"),
        (4, "missing_query"),
        (5, "malformed_row"),
        (6, "missing_url"),
        (7, "missing_query"),
    ]
    assert [row.line for row in rows] == [8]
    assert rejected[3].record == "a.jpg,sea,red, white and blue"


def test_a_bad_quote_costs_one_row_and_an_open_quote_stops_with_its_line(tmp_path):
    text = 'url,query,annotation\na.jpg,sea,"x" y\nb.jpg,sea,z\n'
    rows, rejected = read(write(tmp_path / "a.csv", text))
    assert [(r.line, r.reason, r.record) for r in rejected] == [(2, "malformed_row", 'a.jpg,sea,"x" y')]
    assert [row.line for row in rows] == [3]
    with pytest.raises(ValueError, match=r"a\.csv, line 3: a quote is opened here and never closed"):
        read(write(tmp_path / "a.csv", 'url,query,annotation\na.jpg,sea,x\nb.jpg,sea,"open\nc.jpg,sea,x\n'))
    with pytest.raises(ValueError, match=r"a\.csv, line 2: a quote is opened here and never closed"):
        read(write(tmp_path / "a.csv", 'url,query,annotation\nb.jpg,sea,"' + "open\n" * 50_000))


def test_query_blanks_are_collapsed_and_spelling_is_kept(tmp_path):
    rows, _ = read(
        write(tmp_path / "a.csv", "url,query,annotation\n a.jpg , what  they are doing ,x\nb,arthitecture,y\n")
    )
    assert [(row.url, row.query) for row in rows] == [("a.jpg", "what they are doing"), ("b", "arthitecture")]


def test_column_names_can_be_configured_and_order_is_free(tmp_path):
    path = write(tmp_path / "a.csv", "text,id,Picture,asked\nx,1,a.jpg,sea\n")
    rows, _ = read(path, image="Picture", query="asked", annotation="text")
    assert rows == [Row(2, "a.jpg", "sea", "x")]
    with pytest.raises(ValueError, match="has no column") as error:
        read(path, image="picture", query="asked", annotation="text")
    assert str(error.value) == (
        f"{path} has no column `picture`. Did you mean `Picture`? Columns found: text, id, Picture, asked. "
        "Set `captioning.columns.image` to the right one."
    )


def test_errors_for_missing_empty_and_badly_encoded_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No caption file at .*nowhere\.csv\. Set `captioning\.csv`"):
        read(tmp_path / "nowhere.csv")
    for text in ("", "\n\n", "\ufeff"):
        with pytest.raises(ValueError, match=r"is empty\. It needs a header line"):
            read(write(tmp_path / "a.csv", text))
    with pytest.raises(ValueError, match="a header but no rows"):
        read(write(tmp_path / "a.csv", "url,query,annotation\n\n"))
    with pytest.raises(ValueError, match=r"a\.csv, line 3: byte 0xe9 is not UTF-8.*iconv"):
        read(write(tmp_path / "a.csv", "url,query,annotation\na,sea,x\nb,sea,café\n", "latin-1"))
    with pytest.raises(ValueError, match=r"the header cannot be read \(.*\)\. Check the quotes in its first line"):
        read(write(tmp_path / "a.csv", '"url"x,query,annotation\na,sea,x\n'))
    with pytest.raises(ValueError, match="is empty"):
        read(write(tmp_path / "a.csv", ",,\n,,\n"))


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")],
)
def test_other_unicode_encodings_get_their_own_advice(tmp_path, encoding, named):
    path = write(tmp_path / "a.csv", "url,query,annotation\na.jpg,sea,x\n", encoding)
    with pytest.raises(ValueError, match=rf"a\.csv is {named}, not UTF-8\. .*`iconv -f {named} -t UTF-8`"):
        read(path)


def test_a_cell_that_is_too_long_is_told_from_an_open_quote(tmp_path):
    """Python's csv module stops at 131,072 characters, which looked like a quote that is never closed."""
    long, longest = "word " * 30_000, "w" * quic360.LONGEST_CELL
    text = f'url,query,annotation\na.jpg,sea,"{long}"\nb.jpg,sea,{longest}\nc.jpg,sea,x\n'
    rows, rejected = read(write(tmp_path / "a.csv", text))
    assert [row.url for row in rows] == ["b.jpg", "c.jpg"]
    [found] = rejected
    assert (found.line, found.reason, len(found.record)) == (2, "cell_too_long", quic360.SHOWN)
    assert found.detail == "the annotation has 150000 characters, more than 131072: is a closing quote missing?"


def test_a_doubled_column_is_refused_where_it_is_used(tmp_path):
    path = write(tmp_path / "a.csv", "url,query,annotation,annotation,note,note\na.jpg,sea,x,y,1,2\n")
    with pytest.raises(ValueError, match=r"has 2 columns `annotation`; which of them is meant\? Rename all but one"):
        read(path)
    with pytest.raises(ValueError, match=r"has 2 columns `note`.*`captioning\.columns\.query`"):
        read(path, query="note", annotation="url", image="query")
    path = write(tmp_path / "a.csv", "url,query,annotation,note,note\na.jpg,sea,x,1,2\n")
    assert read(path)[0] == [Row(2, "a.jpg", "sea", "x")]  # the other columns are nobody's business


def test_a_column_serves_one_purpose(tmp_path):
    path = write(tmp_path / "a.csv", "url,query,annotation\na.jpg,sea,x\n")
    with pytest.raises(ValueError, match=r"names the column `url` for image and query and annotation"):
        read(path, query="url", annotation="url")


def test_captions_gives_query_and_caption(tmp_path):
    path = write(tmp_path / "a.csv", "url,query,annotation\na,sea,x\na,sea,\nb,sky,y\n")
    found = reading.read(quic360, path)
    assert found.captions() == [("sea", "x"), ("sky", "y")]
    assert found.facts() == {"csv": "a.csv", "rows": 3, "rows_used": 2, "quarantined": {"empty_annotation": 1}}


def test_training_captions_without_a_usable_row_are_an_error(tmp_path):
    path = write(tmp_path / "a.csv", "url,query,annotation\na,sea,\n,sea,x\n")
    with pytest.raises(
        ValueError, match=r"none of its 2 rows can be used: \{'empty_annotation': 1, 'missing_url': 1\}"
    ):
        reading.training(quic360, path, {})


def test_rows_set_aside_are_warned_about_from_one_percent_on(tmp_path, caplog):
    good = "a.jpg,sea,x\n"
    for bad, warned in ((1, False), (2, True)):
        caplog.clear()
        path = write(tmp_path / "a.csv", "url,query,annotation\n" + good * (100 - bad) + "a.jpg,sea,\n" * bad)
        reading.training(quic360, path, {})
        assert (path.name in caplog.text) == warned
    assert "a.csv: 2 of 100 rows set aside (2.0%): 2 empty_annotation; see blind_quarantine.jsonl" in caplog.text


# --- finding images ---


def test_locate_joins_paths_and_addresses(tmp_path):
    root = tmp_path / "data" / "quic360"
    picture(root / "test" / "images" / "x y.png")
    picture(root / "flat.png")
    wanted = root / "test" / "images" / "x y.png"
    assert quic360.locate("test/images/x y.png", root) == wanted
    assert quic360.locate("test\\images\\x y.png", root) == wanted
    assert quic360.locate("data/quic360/test/images/x y.png", root) == wanted  # as the guide writes it
    assert quic360.locate(str(wanted), root) == wanted
    assert quic360.locate("https://live.example.org/65/flat.png?x=1", root) == root / "flat.png"
    assert quic360.locate("HTTP://live.example.org/x%20y.png", root / "test") == wanted
    assert quic360.locate("gone.png", root) == root / "gone.png"
    assert quic360.locate("x" * 5000, root) == root / ("x" * 5000)


@pytest.mark.parametrize("url", ["../x.png", "a/../../x.png", "/etc/passwd", "..\\x.png", "a\0.png", "https://e.org/"])
def test_paths_never_leave_their_root(tmp_path, url):
    picture(tmp_path / "x.png")
    with pytest.raises(OutsideRoot):
        quic360.locate(url, tmp_path / "root")


# --- prepare ---


CSV = """url,query,annotation
b.png,sea, big  waves
a.png,people,one man
b.png,sea,
b.png,sky,None
b.png,sea,big  waves
gone.png,sea,x
gone.png,sea,
https://e.org/far.png,sea,x
../out.png,sea,x
,sea,x
a.png,people,"a man
walks"
"""


@pytest.fixture
def small(tmp_path):
    picture(tmp_path / "a.png", 1, (7, 5))
    picture(tmp_path / "b.png", 2, (40, 20))
    return write(tmp_path / "test.csv", CSV)


def test_prepare_groups_rows_to_pairs(small, tmp_path):
    out = outputs(tmp_path)
    coverage = prepare.prepare(small, out, max_width_px=20, max_height_px=20)
    items = files.read_items(out.items)
    assert list(zip(items["image"], items["query"], strict=True)) == [("b.png", "sea"), ("a.png", "people")]
    assert list(items["references"]) == [["big waves", "big waves"], ["one man", "a man walks"]]
    assert list(items["rows"]) == [[2, 4, 6], [3, 12]]
    requests = files.read_requests(out.requests)
    assert list(requests) == ["item_id", "query", "image_key"]
    assert list(requests["item_id"]) == sorted(items["item_id"])
    assert items["item_id"][0] == prepare.item_id("b.png", "sea")
    pack = images.ImagePack(out.images)
    assert pack[items["image_key"][0]].shape == (10, 20, 3)
    assert pack[items["image_key"][1]].shape == (5, 7, 3)

    assert [(r["line"], r["reason"]) for r in quarantine(out)] == [
        (4, "empty_annotation"),
        (5, "empty_annotation"),
        (7, "image_missing"),
        (8, "empty_annotation"),
        (9, "image_not_local"),
        (10, "image_outside_root"),
        (11, "missing_url"),
    ]
    assert coverage == json.loads(out.coverage.read_text())
    expected = {"csv": "test.csv", "dataset": "quic360", "rows": 11}
    expected |= {"rows_kept": 4, "rows_quarantined": 7}
    expected |= {"pairs_lost": {"image_missing": 1, "image_not_local": 1, "image_outside_root": 1, "no_reference": 1}}
    expected |= {"images": 5, "images_there": 2, "pairs": 6, "pairs_kept": 2, "references": 4, "duplicate_rows": 0}
    expected |= {"references_per_pair": {"2": 2}, "single_reference_share": 0.0}
    expected |= {"images_lost": {"image_missing": 1, "image_not_local": 1, "image_outside_root": 1}}
    assert {key: coverage[key] for key in expected} == expected
    assert coverage["quarantined"]["empty_annotation"] == 3
    assert coverage["pack"]["stored"] == 2

    rows = files.read_rows(out.rows)
    assert len(rows) == 10  # all but the row without an image
    assert rows["reference"][0] == " big  waves"  # as in the file
    assert rows["item_id"][5] is None


def test_prepare_without_required_images_keeps_the_pairs(small, tmp_path):
    coverage = prepare.prepare(small, outputs(tmp_path), require_images=False)
    items = files.read_items(outputs(tmp_path).items)
    assert list(items["image"]) == ["b.png", "a.png", "gone.png", "https://e.org/far.png", "../out.png"]
    assert [key is None for key in items["image_key"]] == [False, False, True, True, True]
    assert coverage["images_lost"] == {"image_missing": 1, "image_not_local": 1, "image_outside_root": 1}
    assert set(coverage["quarantined"]) == {"empty_annotation", "missing_url"}
    assert coverage["pairs_lost"] == {"no_reference": 1}


def test_manifest_names_the_scored_set_and_nothing_else(small, tmp_path):
    out = outputs(tmp_path)
    first = prepare.prepare(small, out)["manifest_sha256"]
    lines = CSV.splitlines(keepends=True)
    write(small, "".join([lines[0], lines[2], *lines[1:2], *lines[3:]]))  # other order, same set
    assert prepare.prepare(small, out)["manifest_sha256"] == first
    picture(tmp_path / "a.png", 3, (7, 5))
    assert prepare.prepare(small, out)["manifest_sha256"] != first


def test_two_runs_give_the_same_bytes(small, tmp_path):
    out = outputs(tmp_path)
    written = []
    for workers in (1, 3):
        prepare.prepare(small, out, workers=workers)
        paths = [out.items, out.requests, out.rows, out.quarantine, out.coverage, *sorted(out.images.iterdir())]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]


def test_what_a_captioner_gets_is_as_it_was_after_a_change_that_does_not_concern_it(small, tmp_path):
    out = outputs(tmp_path)
    prepare.prepare(small, out)
    before = out.requests.read_bytes()
    header, *records = csv.reader(io.StringIO(CSV))
    changed = io.StringIO()
    csv.writer(changed).writerows([header, *reversed(records)])  # other order
    write(small, changed.getvalue().replace("one man", "one woman"))  # and another word
    prepare.prepare(small, out)
    assert out.requests.read_bytes() == before
    write(small, CSV + "a.png,sea,waves\n")
    prepare.prepare(small, out)
    assert len(files.read_requests(out.requests)) == 3


def test_captions_of_other_pictures_are_refused(small, tmp_path):
    out = outputs(tmp_path)
    prepare.prepare(small, out)
    requests = files.read_requests(out.requests)
    captions = requests.assign(raw="x", status="ok")
    files.check_same_pictures(requests, captions)
    files.check_same_pictures(requests, captions.assign(image_key=None))  # a baseline
    captions.loc[1, "image_key"] = "0" * 64
    with pytest.raises(ValueError, match=r"1 of 2 captions were made from pictures that have changed since.*forcerun"):
        files.check_same_pictures(requests, captions)


def test_no_image_at_all_is_an_error_with_the_remedy(tmp_path):
    csv = write(tmp_path / "test.csv", "url,query,annotation\nimages/a.jpg,sea,x\nimages/b.jpg,sea,x\n")
    with pytest.raises(FileNotFoundError) as error:
        prepare.prepare(csv, outputs(tmp_path))
    for part in ("none of its 2 images", "image_missing", "images/a.jpg", "captioning.images_root", str(tmp_path)):
        assert part in str(error.value)


def test_no_pair_left_is_an_error(tmp_path):
    csv = write(tmp_path / "test.csv", "url,query,annotation\na.png,sea,None\n")
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"none of its 1 rows can be used: \{'empty_annotation': 1\}"):
        prepare.prepare(csv, outputs(tmp_path))
    csv = write(tmp_path / "test.csv", "url,query,annotation\na.png,sea,None\nb.png,sea,x\n")
    with pytest.raises(ValueError, match=r"none of 2 pairs can be used\. Rows set aside: \{.*'image_missing': 1\}"):
        prepare.prepare(csv, outputs(tmp_path))


def test_downloads_happen_only_when_asked_for(tmp_path, monkeypatch):
    csv = write(tmp_path / "t.csv", "url,query,annotation\nhttps://e.org/far.png,sea,x\nhttps://e.org/b.png,sea,x\n")
    asked = []

    def fetch(url, target):
        asked.append(url)
        if url.endswith("b.png"):
            raise OSError("404")
        picture(target)

    monkeypatch.setattr(prepare.plugins.load("datasets", "quic360"), "download", fetch)
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        prepare.prepare(csv, outputs(tmp_path))
    assert asked == []
    coverage = prepare.prepare(csv, outputs(tmp_path), download_to=tmp_path / "cache")
    assert len(asked) == 2
    assert (coverage["images_there"], coverage["images_lost"]) == (1, {"image_not_downloaded": 1})
    prepare.prepare(csv, outputs(tmp_path), download_to=tmp_path / "cache")
    assert asked[2:] == ["https://e.org/b.png"]  # the other one is there already


def test_download_has_a_size_limit_and_leaves_nothing_half(tmp_path):
    source = write(tmp_path / "source.bin", "x" * 100)
    quic360.download(source.as_uri(), tmp_path / "whole" / "x.bin")
    assert (tmp_path / "whole" / "x.bin").read_bytes() == source.read_bytes()
    with pytest.raises(OSError, match="more than 99 bytes"):
        quic360.download(source.as_uri(), tmp_path / "cut" / "x.bin", limit_bytes=99)
    assert not (tmp_path / "cut").exists()


# --- several files, and the first pairs ---

SECOND = "url,query,annotation\na.png,people,two men\nd.png,sea,foam\nd.png,sea,None\n"


def test_several_files_count_as_one(small, tmp_path):
    second = write(tmp_path / "second.csv", SECOND)
    picture(tmp_path / "d.png", 4)
    out = outputs(tmp_path)
    coverage = prepare.prepare([small, second], out)
    assert (coverage["csv"], coverage["rows"], coverage["pairs_kept"]) == ("test.csv, second.csv", 14, 3)
    items = files.read_items(out.items)
    assert [list(texts) for texts in items["references"]] == [
        ["big waves", "big waves"],
        ["one man", "a man walks", "two men"],
        ["foam"],
    ]
    set_aside = [(record["file"].rsplit("/", 1)[-1], record["line"]) for record in quarantine(out)]
    assert set_aside[-1] == ("second.csv", 4)
    assert len(set(set_aside)) == len(set_aside) == coverage["rows_quarantined"]
    rows = files.read_rows(out.rows)
    assert list(rows["csv"][-3:]) == ["second.csv"] * 3
    alone = prepare.prepare([small], outputs(tmp_path / "alone"))
    assert alone["manifest_sha256"] == prepare.prepare(small, outputs(tmp_path / "plain"))["manifest_sha256"]


def test_a_path_that_means_two_files_is_refused_unless_one_root_is_named(tmp_path):
    text = "url,query,annotation\nx.png,sea,waves\n"
    csvs = [write(tmp_path / name / "test.csv", text) for name in ("one", "two")]
    for seed, csv_path in enumerate(csvs):
        picture(csv_path.parent / "x.png", seed)
    with pytest.raises(ValueError, match=r"`x\.png`, which means different files: .*one/x\.png and .*two/x\.png\. Set"):
        prepare.prepare(csvs, outputs(tmp_path))
    coverage = prepare.prepare(csvs, outputs(tmp_path), images_root=tmp_path / "two")
    assert (coverage["pairs_kept"], coverage["references"]) == (1, 2)
    (tmp_path / "one/x.png").unlink()  # now there is one file that can be meant
    assert prepare.prepare(csvs, outputs(tmp_path))["pairs_kept"] == 1


def test_a_limit_takes_the_first_pairs_and_loses_no_row(small, tmp_path):
    out = outputs(tmp_path)
    coverage = prepare.prepare(small, out, limit=1)
    assert coverage["first_look"] == {"first_pairs": 1, "of": 6}
    assert (coverage["pairs"], coverage["pairs_kept"], coverage["images"], coverage["references"]) == (1, 1, 1, 2)
    rows = files.read_rows(out.rows)
    assert len(rows) == 10  # all that can be read: the idf of CIDEr is that of the whole file
    assert list(rows["beyond_limit"]) == [
        row != ("b.png", "sea") for row in zip(rows["image"], rows["query"], strict=True)
    ]
    captions = [{"item_id": item, "raw": "x", "status": "ok"} for item in files.read_items(out.items)["item_id"]]
    files.write_captions(tmp_path / "c.parquet", captions)
    files.write_predictions(tmp_path / "p.csv", rows, files.read_captions(tmp_path / "c.parquet"))
    with open(tmp_path / "p.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)].count("beyond_limit") == 7
    assert "first_look" not in prepare.prepare(small, out, limit=6)


# --- predictions ---


def test_predictions_have_one_line_per_csv_row(small, tmp_path):
    out = outputs(tmp_path)
    prepare.prepare(small, out)
    captions = [
        {"item_id": item, "raw": f" raw\n{number}", "cleaned": f"raw {number}", "status": "ok"}
        for number, item in enumerate(files.read_items(out.items)["item_id"])
    ]
    files.write_captions(tmp_path / "captions.parquet", captions)
    read_back = files.read_captions(tmp_path / "captions.parquet")
    assert (read_back["raw"][0], read_back["reason"][0], read_back["tokens"][0]) == (" raw\n0", None, 0)
    files.write_predictions(tmp_path / "p.csv", files.read_rows(out.rows), read_back)
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "image_path,instruction,reference,prediction,prediction_raw,status"
    assert lines[1] == "b.png,sea, big  waves,raw 0, raw 0,ok"
    assert lines[3] == "b.png,sea,,raw 0, raw 0,ok"
    assert lines[6] == "gone.png,sea,x,,,quarantined"
    assert len(lines) == 11
    with pytest.raises(ValueError, match=r"1 items have no caption \(first: "):
        files.write_predictions(tmp_path / "p.csv", files.read_rows(out.rows), read_back.iloc[:1])


def test_caption_files_refuse_unknown_status_and_repeated_ids(tmp_path):
    with pytest.raises(ValueError, match=r"status 'fine' is unknown\. Known: ok, failed, empty"):
        files.write_captions(tmp_path / "c.parquet", [{"item_id": "a", "raw": "", "status": "fine"}])
    with pytest.raises(ValueError, match="item_id a occurs twice"):
        files.write_captions(tmp_path / "c.parquet", [{"item_id": "a", "raw": "", "status": "ok"}] * 2)
    assert list(tmp_path.iterdir()) == []
    files.write_captions(tmp_path / "c.parquet", [])
    assert len(files.read_captions(tmp_path / "c.parquet")) == 0
    with pytest.raises(ValueError, match=r"has no column `image`\. Columns found: item_id, raw"):
        files.read_items(tmp_path / "c.parquet")


# --- the real files ---


@needs_real
def test_real_panoramas(tmp_path):
    out = outputs(tmp_path)
    coverage = prepare.prepare(REAL / "panoramas.csv", out, max_width_px=512, max_height_px=256)
    expected = {"rows": 27, "images": 3, "images_there": 3, "pairs": 5, "pairs_kept": 5, "references": 27}
    assert {key: coverage[key] for key in expected} == expected
    assert coverage["references_per_pair"] == {"4": 1, "5": 1, "6": 3}
    pack = images.ImagePack(out.images)
    assert [pack[key].shape for key in pack.keys()] == [(256, 512, 3)] * 3  # noqa: SIM118  not a dict
    sizes = pq.read_table(out.images / "index.parquet", columns=["source_height", "source_width"]).to_pylist()
    assert sizes == [{"source_height": 1024, "source_width": 2048}] * 3


@needs_real
def test_real_captions_without_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="none of its 171 images"):
        prepare.prepare(REAL / "test_head.csv", outputs(tmp_path))
    coverage = prepare.prepare(REAL / "test_head.csv", outputs(tmp_path), require_images=False)
    expected = {"rows": 800, "rows_kept": 800, "images": 171, "images_there": 0, "pairs": 171, "pairs_kept": 171}
    assert {key: coverage[key] for key in expected} == expected
    assert coverage["references"] == 800
    assert sum(coverage["references_per_pair"].values()) == 171
