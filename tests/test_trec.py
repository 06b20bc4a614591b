"""TREC files: what other programs read is what we wrote, and reading it back gives the same rows."""

from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import retrieval_tables as world
from retcap.retrieval import trec
from retcap.retrieval.judging.collapse import collapsed

NAMES = ["WikiWeb_Prunus laurocerasus_1", "100 %", "a%20b", "a b", "tab\there", "\u00a0", "Ünï cödé", "Q1"]


def files(scores=None, ids=None):
    """Queries, and two hits for each, over ids that break naive formats."""
    records = [{"data_id": name, "passage_id": [NAMES[i], NAMES[i], "Q1"]} for i, name in enumerate(ids or NAMES)]
    queries, passages = world.query_table(records), world.passage_table([(name, "text") for name in NAMES])
    hits = world.hit_table([[(i + 1) % 8, i] for i in range(len(records))], queries, passages)
    if scores is not None:
        hits = hits.set_column(5, "score", pa.array(scores, type=pa.float32()))
    return queries, hits


def fields_of(path):
    return [line.split() for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def id_of(field):
    return unquote(field.partition("%%")[0], errors="strict")


def read_run(path, queries):
    """(query row, rank, passage id, score) of every line, as another program reads them, in the file's order."""
    rows = {field: row for row, field in trec.query_fields(queries).items()}
    return [
        (rows[query], int(rank), id_of(passage), np.float32(score))
        for query, _, passage, rank, score, _ in fields_of(path)
    ]


def rows_of(hits):
    names = ("query_row", "rank", "passage_id", "score")
    return list(zip(*(hits[name].to_pylist() for name in names), strict=True))


@given(st.text(min_size=1))
def test_every_id_survives_and_is_one_field(name):
    field = trec.escape(name)
    assert id_of(field) == name
    assert field.split() == [field]
    assert "%%" not in field


def test_ids_that_look_alike_stay_different():
    assert len({trec.escape(name) for name in NAMES}) == len(NAMES)
    with pytest.raises(ValueError, match="empty id"):
        trec.escape("")


def test_run_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random((8, 2)).astype(np.float32) - 3, axis=1)[:, ::-1].ravel()  # falling, and below zero
    queries, hits = files(scores)
    trec.write_run(tmp_path / "run.trec", queries, hits, tag="retcap test")
    lines = (tmp_path / "run.trec").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == 16
    assert all(len(line.split()) == 6 and line.endswith("retcap%20test") for line in lines)
    assert read_run(tmp_path / "run.trec", queries) == rows_of(hits)  # also the last bit of every score


def test_run_round_trip_keeps_tied_hits_in_order(tmp_path):
    queries, hits = files(np.zeros(16))
    trec.write_run(tmp_path / "run.trec", queries, hits, tag="t")
    assert read_run(tmp_path / "run.trec", queries) == rows_of(hits)
    trec.write_run(tmp_path / "safe.trec", queries, hits, tag="t", tie_safe=True)
    scores = [float(line.split()[4]) for line in (tmp_path / "safe.trec").read_text().split("\n")[:-1]]
    assert scores == [1.0, 0.5] * 8  # no tie is left for a tool to break


def test_repeated_query_ids_stay_apart(tmp_path):
    queries, hits = files(np.tile([2, 1], 8), ids=["same"] * 3 + NAMES[3:])
    assert trec.query_fields(queries)[1] == "same%%1"
    trec.write_run(tmp_path / "run.trec", queries, hits, tag="t")
    assert read_run(tmp_path / "run.trec", queries) == rows_of(hits)


def test_a_repeated_passage_stands_in_a_run_once_at_its_best_row(tmp_path):
    queries = world.query_table([{"data_id": name, "passage_id": ["b"]} for name in ("q", "r")])
    passages = world.passage_table([(name, "text") for name in "abaab"])
    hits = world.hit_table([[2, 0, 1, 4, 3], [1, 4, 0]], queries, passages)
    for table in (hits, hits.take([7, 3, 1, 0, 2, 4, 6, 5])):  # the order of the lines does not count
        trec.write_run(tmp_path / "run.trec", queries, table, tag="t")
        lines = [line.split() for line in (tmp_path / "run.trec").read_text().split("\n")[:-1]]
        assert [(query, passage, rank) for query, _, passage, rank, *_ in lines] == [
            ("q", "a", "1"),
            ("q", "b", "2"),
            ("r", "b", "1"),
            ("r", "a", "2"),
        ]
        assert [float(score) for *_, score, _ in lines] == pytest.approx([1, 1 / 3, 1, 1 / 3])
    assert collapsed(hits).schema.equals(hits.schema)
    assert len(collapsed(hits.slice(0, 0))) == 0


def test_qrels_round_trip(tmp_path):
    queries, _ = files()
    trec.write_qrels(tmp_path / "qrels.trec", queries)
    found: dict[str, list[str]] = {}
    for query, zero, passage, relevance in fields_of(tmp_path / "qrels.trec"):
        assert (zero, relevance) == ("0", "1")
        found.setdefault(query, []).append(id_of(passage))
    fields = trec.query_fields(queries)
    assert len(found) == len(queries)
    for row, gold in enumerate(queries["positives"].to_pylist()):
        assert found[fields[row]] == list(dict.fromkeys(gold))  # each gold passage once
