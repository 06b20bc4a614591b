"""Missing and broken pictures: counted by split and side, masked or dropped, an error above the declared share."""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.retrieval import study
from retcap.retrieval.m2kr.normalise import normalise
from retcap.retrieval.m2kr.pictures import picture_files
from retcap.retrieval.splits import screening
from retcap.retrieval.splits.screening import MissingImages, screen

QUERIES = {  # picture of every query
    "train": ["a.png", "gone.png", None, "elsewhere/x.png", "b.png", "broken.png"],
    "valid": ["b.png", "a.png"],
    "test": ["gone.png", "a.png", "broken.png", None, "b.png"],
}
PASSAGES = [("P0", "text", "a.png"), ("P1", "text", "broken.png"), ("P2", None, "gone.png"), ("P3", "text", None)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three normalised splits that share a corpus, and the pack of their pictures."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "images").mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (9, 7), colour).save(folder / f"images/{name}.png")
    (folder / "images/broken.png").write_bytes(b"no picture")
    corpus = folder / "corpus.jsonl"
    rows = [{"passage_id": name, "passage_text": text, "passage_image_path": image} for name, text, image in PASSAGES]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, pictures in QUERIES.items():
        lines = [
            {"data_id": f"{split}{n}", "question": f"what {n}?", "instruction": "Find:", "image_path": image}
            | {"passage_id": f"P{n % 4}", "passage_text": None, "answer": "x"}
            for n, image in enumerate(pictures)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        arguments = {"queries": [folder / f"{split}.jsonl"], "passages": [corpus], "roots": folder / "images"}
        normalise("m2kr_any", split, out=folder / "normalised" / split, **arguments)
    files = [(path, file) for path, file in picture_files(folder / "normalised", folder / "images")]
    kept = [(path, file) for path, file in files if not path.startswith("elsewhere/")]  # as without a root for it
    assert [path for path, _ in files] == ["a.png", "gone.png", "elsewhere/x.png", "b.png", "broken.png"]
    images.build(folder / "pack", kept, Resize("squash", 4, 4))
    return folder


def screened(world: Path, out: Path, policy: screening.Policy, max_share: float = 1.0) -> dict:
    source = world / "normalised"
    return screen(source, world / "pack", out, policy=policy, max_share=max_share, dataset="m2kr_any")


def ids(folder: Path, split: str) -> list[str]:
    return pq.read_table(folder / split / "queries.parquet")["query_id"].to_pylist()


def test_every_missing_picture_is_counted_by_split_side_and_reason(world: Path, tmp_path: Path):
    report = screened(world, tmp_path / "out", "mask")
    train, test = report["splits"]["train"], report["splits"]["test"]
    assert train["query"] == {
        "rows": 6,
        "with_image": 5,
        "missing": 3,
        "share": 3 / 5,
        "reasons": {"image_broken": 1, "image_missing": 1, "image_without_root": 1},
        "dropped": 0,
        "kept": 6,
    }
    assert (test["query"]["missing"], report["splits"]["valid"]["query"]["missing"]) == (2, 0)
    assert test["passage"]["reasons"] == {"image_broken": 1, "image_missing": 1}
    assert test["passage"]["left_empty"] == 1  # P2 had nothing but its picture
    assert (report["policy"], report["max_share"]) == ("mask", 1.0)


def test_mask_keeps_every_row_and_takes_the_picture_off_passages(world: Path, tmp_path: Path):
    screened(world, tmp_path / "out", "mask")
    for split in QUERIES:
        before, after = (
            pq.read_table(top / split / "queries.parquet") for top in (world / "normalised", tmp_path / "out")
        )
        assert after.equals(before)
    passages = pq.read_table(tmp_path / "out/test/passages.parquet")
    assert passages["image"].to_pylist() == ["a.png", None, None, None]
    assert passages["passage_id"].to_pylist() == [name for name, _, _ in PASSAGES]
    assert passages.schema.equals(pq.read_schema(world / "normalised/test/passages.parquet"))


def test_drop_leaves_out_queries_with_a_missing_picture_and_no_passage(world: Path, tmp_path: Path):
    report = screened(world, tmp_path / "out", "drop")
    assert ids(tmp_path / "out", "train") == ["train0", "train2", "train4"]  # a query without any picture stays
    assert ids(tmp_path / "out", "test") == ["test1", "test3", "test4"]
    queries = study.test_queries(tmp_path / "out")
    assert queries["row"].to_pylist() == [0, 1, 2]  # numbered anew: all later steps see these rows only
    seen = {
        gold for row in pq.read_table(tmp_path / "out/train/queries.parquet").to_pylist() for gold in row["positives"]
    }
    assert seen == {"P0", "P2"}
    assert queries["gold_seen"].to_pylist() == [False, False, True]  # P1, P3, P0
    assert pq.read_table(tmp_path / "out/test/passages.parquet").num_rows == len(PASSAGES)
    test = report["splits"]["test"]["query"]
    assert (test["rows"], test["dropped"], test["kept"]) == (5, 2, 3)
    card, old = (json.loads((top / "test/card.json").read_text()) for top in (tmp_path / "out", world / "normalised"))
    assert card["queries"] == {"rows": 3}
    assert card["hash"] != old["hash"]  # other data: results say so in their revision


@pytest.mark.parametrize("policy", ["mask", "drop"])
def test_every_row_concerned_is_written_down(world: Path, tmp_path: Path, policy: screening.Policy):
    screened(world, tmp_path / "out", policy)
    lines = [json.loads(line) for line in (tmp_path / "out/missing_images.jsonl").read_text().splitlines()]
    fate = {"mask": "masked", "drop": "dropped"}[policy]
    assert [line for line in lines if line["split"] == "test"] == [
        {"split": "test", "role": role, "row": row, "id": name, "image": image, "reason": reason, "fate": what}
        for role, row, name, image, reason, what in [
            ("query", 0, "test0", "gone.png", "image_missing", fate),
            ("query", 2, "test2", "broken.png", "image_broken", fate),
            ("passage", 1, "P1", "broken.png", "image_broken", "masked"),
            ("passage", 2, "P2", "gone.png", "image_missing", "masked"),
        ]
    ]
    assert len(lines) == 2 + 3 + 3 * 2


def test_too_many_missing_pictures_are_an_error_that_names_all_of_them(world: Path, tmp_path: Path):
    with pytest.raises(MissingImages, match=r"(?s)max_share = 0\.55 allows:\n  train, query: 3 of 5 rows") as caught:
        screened(world, tmp_path / "out", "mask", max_share=0.55)
    text = str(caught.value)
    assert "test, passage: 2 of 3 rows with a picture (66.7%): 1 image_broken, 1 image_missing" in text
    assert "test, query" not in text  # 2 of 4
    assert "Repair the files or `roots`, or raise max_share" in text
    assert not (tmp_path / "out").exists()
    screened(world, tmp_path / "out", "mask", max_share=2 / 3)  # just allowed


def test_a_split_without_any_query_left_is_an_error(world: Path, tmp_path: Path):
    images.build(tmp_path / "pack", [], Resize("squash", 4, 4))  # nothing could be packed
    arguments = {"max_share": 1.0, "dataset": "m2kr_any"}
    report = screen(world / "normalised", tmp_path / "pack", tmp_path / "m", policy="mask", **arguments)
    assert report["splits"]["valid"]["query"]["reasons"] == {"image_without_root": 2}
    with pytest.raises(MissingImages, match=r"policy = drop no query is left in valid: .* use policy `mask`"):
        screen(world / "normalised", tmp_path / "pack", tmp_path / "d", policy="drop", **arguments)


def test_verdicts_find_every_path_in_a_large_pack(tmp_path: Path):
    names = [f"p{n}.png" for n in range(3000)]
    Image.new("RGB", (3, 3)).save(tmp_path / "one.png")
    files = [(name, tmp_path / ("one.png" if n % 3 else "gone.png")) for n, name in enumerate(names)]
    images.build(tmp_path / "pack", files, Resize("squash", 2, 2))
    verdicts = screening.Verdicts.of(tmp_path / "pack")
    column = pq.read_table(tmp_path / "pack/paths.parquet")["path"].combine_chunks()
    found = [verdicts.reasons[code] for code in verdicts.of_column(column)]
    assert found == ["" if n % 3 else "image_missing" for n in range(3000)]
    assert np.array_equal(verdicts.of_column(column.slice(7, 0)), np.zeros(0, np.uint8))


def test_more_missing_pictures_than_one_would_overlook_are_a_warning(world: Path, tmp_path: Path, caplog):
    with caplog.at_level(logging.WARNING):
        screened(world, tmp_path / "out", "mask")
    warned = [record.getMessage() for record in caplog.records]
    assert warned[0] == (
        "m2kr_any train, query: the picture is missing or broken in 3 of 5 rows with a picture (60.0%): "
        "1 image_broken, 1 image_missing, 1 image_without_root"
    )
    assert not any("valid, query" in text for text in warned)  # none missing there
