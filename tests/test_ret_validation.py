"""Scores during training against a plain computation, with the irregularities of the real files."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ret_world import tiny_model, write_rows, write_world
from retcap.features import encoding, tokens
from retcap.pictures.images import ImagePack
from retcap.retriever.validation import Validation, ValidationFiles

pytestmark = pytest.mark.numeric

KS = (1, 3, 7)
OPTIONS = {"batch_size": 16, "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from retcap.retriever.model import RetrieverModel

    torch.set_num_threads(1)
    return RetrieverModel.from_pretrained(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Repeated passage ids, unusable answers, a positive that is nowhere."""
    folder = write_world(tmp_path_factory.mktemp("world"), entities=17, queries=29, seed=8)
    passages = pq.read_table(folder / "passages.parquet").to_pylist()
    for copy in (3, 3, 6):
        passages.append({**passages[copy], "row": len(passages), "text": f"Another Text, Number {copy}."})
    queries = pq.read_table(folder / "queries.parquet").to_pylist()
    queries[2]["answers"] = ["", "  "]
    queries[3]["answers"] = None
    queries[4]["answers"] = [" NUMBER 6 ", "nothing"]
    queries[5]["positives"] = ["nowhere"]
    write_rows(folder / "passages.parquet", passages)
    write_rows(folder / "queries.parquet", queries)
    return folder


def files(world: Path, name: str) -> ValidationFiles:
    return ValidationFiles(name, str(world / "queries.parquet"), str(world / "passages.parquet"), str(world / "pack"))


def vectors(model, world: Path, side: str) -> np.ndarray:
    file = world / ("queries.parquet" if side == "query" else "passages.parquet")
    rows = tokens.read(file, side, tokens.image_keys(world / "pack"))
    table = tokens.TokenTable.from_chunks(tokens.tokenise(rows, model.tokenizer))
    return encoding.Encoder(model, side, ImagePack(world / "pack"), batch_size=16).all(table)


def plainly(model, world: Path) -> dict[str, float]:
    """The two definitions, query by query."""
    passages = pq.read_table(world / "passages.parquet").to_pylist()
    queries = pq.read_table(world / "queries.parquet").to_pylist()
    scores = vectors(model, world, "query") @ vectors(model, world, "passage").T
    found: dict[str, list[bool]] = {f"{kind}@{k}": [] for kind in ("R", "PR") for k in KS}
    for query, row in zip(queries, scores, strict=True):
        ranked: list[dict] = []
        for at in np.argsort(-row):
            if passages[at]["passage_id"] not in [one["passage_id"] for one in ranked]:
                ranked.append(passages[at])
        answers = [answer.strip().lower() for answer in query["answers"] or [] if answer.strip()]
        for k in KS:
            found[f"R@{k}"].append(any(one["passage_id"] in query["positives"] for one in ranked[:k]))
            if answers:
                texts = [(one["text"] or "").lower() for one in ranked[:k]]
                found[f"PR@{k}"].append(any(answer in text for answer in answers for text in texts))
    assert len(found["PR@1"]) == 27
    return {name: float(np.mean(values)) for name, values in found.items()}


def test_scores_equal_the_plain_computation(model, world, tmp_path, caplog):
    scores = Validation([files(world, "one")], tmp_path, model.tokenizer, KS, **OPTIONS).score(model)
    expected = plainly(model, world)
    assert 0 < expected["R@1"] < expected["R@7"] < 1
    assert 0 < expected["PR@1"] < expected["PR@7"] < 1
    for name, value in expected.items():
        assert scores[f"one_{name}"] == pytest.approx(value), name
        assert scores[f"macro_{name}"] == pytest.approx(value), name
    assert "one: 1 of 29 queries have no positive" in caplog.text


def test_macro_is_the_mean_over_sets_that_have_the_metric(model, world, tmp_path):
    silent = tmp_path / "silent"
    silent.mkdir()
    queries = pq.read_table(world / "queries.parquet").to_pylist()
    write_rows(silent / "queries.parquet", [{**query, "answers": []} for query in queries[:9]])
    (silent / "passages.parquet").symlink_to(world / "passages.parquet")
    text_only = ValidationFiles("two", str(silent / "queries.parquet"), str(silent / "passages.parquet"))
    both = Validation([files(world, "one"), text_only], tmp_path / "v", model.tokenizer, KS, **OPTIONS).score(model)
    assert both["macro_R@3"] == pytest.approx((both["one_R@3"] + both["two_R@3"]) / 2)
    assert "two_PR@3" not in both
    assert both["macro_PR@3"] == both["one_PR@3"]


def test_prepared_sets_are_used_again(model, world, tmp_path):
    first = Validation([files(world, "one")], tmp_path, model.tokenizer, KS, **OPTIONS).score(model)
    made = (tmp_path / "one" / "about.json").stat().st_mtime_ns
    second = Validation([files(world, "one")], tmp_path, model.tokenizer, KS, **OPTIONS).score(model)
    assert (tmp_path / "one" / "about.json").stat().st_mtime_ns == made
    assert first == second
