"""Exact search against the plain definition: block sizes, ties, duplicate ids, bad vectors, memory; the indexes."""

import json
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retcap.features.vectors import Vectors
from retcap.search import blocks as search_blocks
from retcap.search import exact as search
from retcap.search.approximate import IndexSettings, compare_indexes, overlap
from vector_shards import write_shard

QUERIES, PASSAGES, WIDTH, DEPTH = 7, 53, 12, 5


def unit(rng: np.random.Generator, count: int, width: int = WIDTH, dtype=np.float16) -> np.ndarray:
    vectors = rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)


def plain_search(queries: Vectors, passages: Vectors, depth: int, collapse: bool = True) -> list[tuple]:
    """The definition, one pair at a time: (query, rank, passage, score)."""
    hits = []
    p = passages.block(0, len(passages), np.float64)
    for number, query in enumerate(queries.block(0, len(queries), np.float64)):
        scored = [(-float(np.float32((row * query).sum())), int(passages.rows[i]), i) for i, row in enumerate(p)]
        seen, rank = set(), 0
        for negative, _, position in sorted(scored):
            if collapse and passages.codes[position] in seen:
                continue
            seen.add(passages.codes[position])
            rank += 1
            hits.append((number, rank, position, -negative))
            if len(seen) == depth:
                break
    return hits


def as_tuples(hits: search.Hits) -> list[tuple]:
    return [tuple(value.item() for value in row) for row in zip(*hits, strict=True)]


def assert_same(found: search.Hits, expected: list[tuple]) -> None:
    assert as_tuples(found) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("collapse", [True, False])
def test_blocked_search_equals_the_definition_for_every_block_size(monkeypatch, dtype, collapse):
    rng = np.random.default_rng(1)
    queries = Vectors.of(unit(rng, QUERIES, dtype=dtype))
    passages = Vectors.of(unit(rng, PASSAGES, dtype=dtype), ids=[f"p{i % 31}" for i in range(PASSAGES)])
    expected = plain_search(queries, passages, DEPTH, collapse)
    covered = 0
    for size in (1, 2, 10, 26, 52, 53, 60):
        for query_size in (2, 9):
            monkeypatch.setattr(
                search_blocks.Budget, "of", lambda *_, s=size, q=query_size: search_blocks.Budget(q, s, 4)
            )
            threads = 2 if size == 10 else 1
            assert_same(search.exact_search(queries, passages, DEPTH, threads=threads, collapse=collapse), expected)
            covered += 1
    assert covered == 14


def test_ties_go_to_the_lower_corpus_row_whatever_the_block_and_the_shard_order(tmp_path):
    """Equal vectors tie exactly; the rows of the second shard are lower than those of the first."""
    rng = np.random.default_rng(2)
    one = unit(rng, 1, dtype=np.float32)
    copies = np.repeat(one, 40, axis=0)
    write_shard(tmp_path, 0, copies[:21], range(100, 121), [f"a{i}" for i in range(21)])
    write_shard(tmp_path, 1, copies[21:], range(19), [f"b{i}" for i in range(19)])
    passages, queries = Vectors.open(tmp_path), Vectors.of(unit(rng, 3, dtype=np.float32))
    found = search.exact_search(queries, passages, 25)
    for query in range(3):
        rows = passages.rows[found.passage[found.query == query]]
        assert rows.tolist() == [*range(19), *range(100, 106)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_search_equals_the_definition_with_many_ties_and_duplicates(data):
    """Vectors of small whole numbers tie all the time; ids repeat; K may exceed the corpus."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    count, depth = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 70))
    ids = [str(number) for number in rng.integers(0, data.draw(st.integers(1, 60)), size=count)]
    queries = Vectors.of(rng.integers(-2, 3, size=(3, 4)).astype(np.float16))
    passages = Vectors.of(rng.integers(-1, 2, size=(count, 4)).astype(np.float16), ids=ids, rows=rng.permutation(count))
    collapse = data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SPARE", data.draw(st.integers(0, 5)))
        patch.setattr(search_blocks.Budget, "of", lambda *_: search_blocks.Budget(2, 9, 4))
        assert_same(
            search.exact_search(queries, passages, depth, memory_mb=1, collapse=collapse),
            plain_search(queries, passages, depth, collapse),
        )


def test_duplicates_are_collapsed_before_k_is_counted():
    """One id holds the 200 best rows, more than the candidates of the first pass; other ids must still come."""
    query = Vectors.of(np.array([[1.0, 0.0]], dtype=np.float32))
    angles = np.concatenate([np.linspace(0, 0.1, 200), np.linspace(0.5, 1, 6)])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    passages = Vectors.of(vectors, ids=["many"] * 200 + list("abcdef"))
    found = search.exact_search(query, passages, 4)
    assert [passages.ids[int(p)].as_py() for p in found.passage] == ["many", "a", "b", "c"]
    assert found.passage[0] == 0
    every = search.exact_search(query, passages, 4, collapse=False)
    assert len(every.rank) == 203
    assert every.rank[-1] == 203


def test_a_collapsed_model_ties_all_passages_and_is_still_ordered(caplog):
    passages = Vectors.of(np.ones((3000, 4), dtype=np.float16) / 2)
    with caplog.at_level("INFO"):
        found = search.exact_search(Vectors.of(np.ones((2, 4), dtype=np.float16) / 2), passages, 6, memory_mb=1)
    assert found.passage.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert "2 queries tie in masses" in caplog.text


def test_permuting_the_corpus_permutes_the_hits_when_scores_differ():
    rng = np.random.default_rng(5)
    queries, vectors = Vectors.of(unit(rng, QUERIES)), unit(rng, PASSAGES, dtype=np.float32)
    order = rng.permutation(PASSAGES)
    straight = search.exact_search(queries, Vectors.of(vectors), DEPTH)
    permuted = search.exact_search(queries, Vectors.of(vectors[order]), DEPTH)
    assert order[permuted.passage].tolist() == straight.passage.tolist()
    assert permuted.score.tobytes() == straight.score.tobytes()


def test_scores_below_zero_are_hits_too():
    queries = Vectors.of(np.array([[1.0, 0.0]], dtype=np.float16))
    found = search.exact_search(queries, Vectors.of(-np.eye(2, dtype=np.float16)), 2)
    assert found.passage.tolist() == [1, 0]
    assert found.score.tolist() == [0.0, -1.0]


def test_k_beyond_the_corpus_gives_the_whole_corpus():
    rng = np.random.default_rng(6)
    found = search.exact_search(Vectors.of(unit(rng, 2)), Vectors.of(unit(rng, 3)), 50)
    assert found.rank.tolist() == [1, 2, 3] * 2


def test_close_scores_are_ordered_by_their_fp64_values():
    """Scores that fp32 sums of 1,024 channels cannot tell apart reliably: the order must be that of the definition."""
    rng = np.random.default_rng(7)
    base = unit(rng, 1, 1024, np.float32)
    near = (base + rng.normal(0, 1e-5, size=(90, 1024))).astype(np.float32)
    queries, passages = Vectors.of(base), Vectors.of(near)
    assert_same(search.exact_search(queries, passages, 9), plain_search(queries, passages, 9))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_an_error_with_their_place(tmp_path, bad):
    rng = np.random.default_rng(8)
    vectors = unit(rng, PASSAGES)
    vectors[33, 2] = bad
    write_shard(tmp_path, 0, vectors[:20], range(20), [f"p{i}" for i in range(20)])
    write_shard(tmp_path, 1, vectors[20:], range(20, PASSAGES), [f"p{i}" for i in range(20, PASSAGES)])
    queries = Vectors.of(unit(rng, 2))
    with pytest.raises(ValueError, match=r"shard-1\.npy, line 13 \(row 33, id 'p33'\): NaN or infinite"):
        search.exact_search(queries, Vectors.open(tmp_path), 3)
    with pytest.raises(ValueError, match=r"array, line 33 .*NaN or infinite"):
        search.exact_search(Vectors.of(vectors), queries, 3)


def test_the_memory_budget_holds(tmp_path):
    rng = np.random.default_rng(9)
    write_shard(tmp_path, 0, unit(rng, 9_000, 64), range(9_000), [f"p{i}" for i in range(9_000)])
    queries, passages = Vectors.of(unit(rng, 500, 64)), Vectors.open(tmp_path)
    generous = search.exact_search(queries, passages, 20)
    for memory_mb in (1, 4):
        tracemalloc.start()
        tight = search.exact_search(queries, passages, 20, memory_mb=memory_mb)
        peak_mb = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        result_mb = 2 * sum(column.nbytes for column in tight) / 2**20
        assert peak_mb < memory_mb + result_mb + 0.5  # half a MB of small Python objects
        assert [column.tobytes() for column in tight] == [column.tobytes() for column in generous]


def test_too_small_a_budget_says_how_much_is_needed():
    rng = np.random.default_rng(10)
    with pytest.raises(ValueError, match=r"memory_mb = 0\.001 is too little .* at least [0-9.]+ MB are needed"):
        search.exact_search(Vectors.of(unit(rng, 2)), Vectors.of(unit(rng, 90)), 5, memory_mb=0.001)


def test_hits_file_has_the_agreed_columns(tmp_path):
    rng = np.random.default_rng(11)
    queries = Vectors.of(unit(rng, 2), ids=["q a", "q b"], rows=np.array([5, 9]))
    passages = Vectors.of(unit(rng, 4), ids=list("wxyz"), rows=np.array([10, 11, 12, 13]))
    search.write_hits(tmp_path / "hits.parquet", search.exact_search(queries, passages, 3), queries, passages)
    table = pq.read_table(tmp_path / "hits.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "query_row": "int64",
        "query_id": "string",
        "rank": "int32",
        "passage_row": "int64",
        "passage_id": "string",
        "score": "float",
    }
    assert json.loads(table.schema.metadata[search.SEARCHED.encode()]) == {"queries": 2, "passages": 4}
    first = table.to_pylist()[0]
    assert (first["query_row"], first["query_id"], first["rank"]) == (5, "q a", 1)
    assert "wxyz"[first["passage_row"] - 10] == first["passage_id"]


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path):
    rng = np.random.default_rng(12)
    vectors = unit(rng, 12)
    for number in range(12):
        write_shard(tmp_path, number, vectors[number : number + 1], [number], [f"p{number}"])
    opened = Vectors.open(tmp_path)
    assert opened.rows.tolist() == list(range(12))  # shard-10 comes after shard-9, not after shard-1
    np.testing.assert_array_equal(opened.block(3, 11), vectors[3:11].astype(np.float32))
    np.testing.assert_array_equal(opened.take(np.array([11, 0, 7])), vectors[[11, 0, 7]].astype(np.float32))


def test_shards_of_an_earlier_run_are_left_alone_when_others_are_named(tmp_path):
    rng = np.random.default_rng(5)
    for number in range(3):
        write_shard(tmp_path, number, unit(rng, 2), [2 * (number % 2), 2 * (number % 2) + 1], ["a", "b"])
    with pytest.raises(ValueError, match="row 0 is in more than one place"):
        Vectors.open(tmp_path)
    named = Vectors.open([tmp_path / "shard-0.npy", tmp_path / "shard-1.npy"])
    assert named.rows.tolist() == [0, 1, 2, 3]


def test_broken_shards_are_named(tmp_path):
    rng = np.random.default_rng(13)
    with pytest.raises(FileNotFoundError, match="run it first"):
        Vectors.open(tmp_path)
    np.save(tmp_path / "shard-0.npy", unit(rng, 3))
    with pytest.raises(FileNotFoundError, match=r"shard-0\.ids\.parquet is missing"):
        Vectors.open(tmp_path)
    write_shard(tmp_path, 0, unit(rng, 3), [0, 1], list("ab"))
    with pytest.raises(ValueError, match=r"shard-0\.npy: 3 vectors, 2 rows and 2 ids"):
        Vectors.open(tmp_path)
    write_shard(tmp_path, 0, unit(rng, 3), [0, 1, 2], list("abc"))
    write_shard(tmp_path, 2, unit(rng, 2), [3, 4], list("cd"))
    with pytest.raises(FileNotFoundError, match=r"shard-1\.npy is missing"):
        Vectors.open(tmp_path)
    write_shard(tmp_path, 1, unit(rng, 2), [2, 3], list("cd"))
    write_shard(tmp_path, 2, unit(rng, 2), [4, 5], list("ef"))
    with pytest.raises(ValueError, match="row 2 is in more than one place"):
        Vectors.open(tmp_path)
    with pytest.raises(ValueError, match="float16 or float32"):
        Vectors.of(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"width 12 .*passages 5"):
        search.exact_search(Vectors.of(unit(rng, 1)), Vectors.of(unit(rng, 3, 5)), 1)
    with pytest.raises(ValueError, match="depth must be 1 or more"):
        search.exact_search(Vectors.of(unit(rng, 1)), Vectors.of(unit(rng, 3)), 0)


@pytest.mark.parametrize("long", [1e30, 2e18])
def test_vectors_whose_scores_would_overflow_are_refused_by_name(long):
    """Scores of infinity came with passage -1 beside them."""
    rng = np.random.default_rng(15)
    queries, passages = unit(rng, 40, 4, np.float32), unit(rng, 50, 4, np.float32)
    for side, vectors in (("query", queries), ("passage", passages)):
        broken = vectors.copy()
        broken[17] *= np.float32(long)
        pair = (broken, passages) if side == "query" else (queries, broken)
        with pytest.raises(
            ValueError, match=rf"array, line 17 \(row 17, id '17'\): its length is {long:.3g}".replace("+", r"\+")
        ):
            search.exact_search(*map(Vectors.of, pair), 5)


def test_the_longest_vectors_that_are_allowed_have_finite_scores():
    vectors = np.full((3, 4), 0.49e18, np.float32)
    hits = search.exact_search(Vectors.of(vectors), Vectors.of(vectors), 3)
    assert np.isfinite(hits.score).all()
    assert hits.passage.tolist() == [0, 1, 2] * 3


def test_a_gpu_that_is_not_there_is_an_error():
    import faiss

    if faiss.get_num_gpus():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match="finds no GPU"):
        search_blocks.use_gpu(True)
    assert search_blocks.use_gpu(None) is False


def test_gpu_and_cpu_give_the_same_bytes():
    import faiss

    if not faiss.get_num_gpus():
        pytest.skip("no GPU on this machine")
    rng = np.random.default_rng(14)
    queries, passages = Vectors.of(unit(rng, 50, 64)), Vectors.of(unit(rng, 4000, 64))
    cpu, gpu = (search.exact_search(queries, passages, 20, gpu=gpu) for gpu in (False, True))
    assert [column.tobytes() for column in cpu] == [column.tobytes() for column in gpu]


def test_hits_read_again_are_the_hits_that_were_written(tmp_path):
    """Shards hold rows out of order, so positions in the vectors are not rows; the order is by position."""
    rng = np.random.default_rng(6)
    write_shard(tmp_path, 0, unit(rng, 3), [8, 2, 5], list("abc"))
    write_shard(tmp_path, 1, unit(rng, 4), [0, 7, 1, 3], list("adef"))
    passages = Vectors.open(tmp_path)
    queries = Vectors.of(unit(rng, 3), rows=np.array([4, 0, 9]))
    hits = search.exact_search(queries, passages, 5, collapse=False)
    search.write_hits(tmp_path / "hits.parquet", hits, queries, passages)
    assert_same(search.read_hits(tmp_path / "hits.parquet", queries, passages), as_tuples(hits))
    other = Vectors.of(unit(rng, 3), rows=np.array([4, 0, 8]))
    with pytest.raises(ValueError, match=r"hits.parquet: row 9 is not in .*search them again"):
        search.read_hits(tmp_path / "hits.parquet", other, passages)


def test_indexes_are_measured_against_exact_search(capfd):
    rng = np.random.default_rng(15)
    size = 39 * 256  # the least that the codes of ivf_pq can be learned from
    centres = unit(rng, 30, 32, np.float32)
    stored = centres[rng.integers(30, size=size)] + 0.3 * unit(rng, size, 32, np.float32)
    passages = Vectors.of(stored.astype(np.float32), ids=[f"p{i % (size - 100)}" for i in range(size)])
    queries = Vectors.of((stored[:40] + 0.1 * unit(rng, 40, 32, np.float32)).astype(np.float32))
    exact = search.exact_search(queries, passages, 10)
    sweep = [
        IndexSettings("flat"),
        IndexSettings("ivf_flat", effort=(1, 8, 30), cells=30),
        IndexSettings("ivf_pq", effort=(30,), cells=30, code_bytes=8),
        IndexSettings("hnsw", effort=(16, 200), links=16),
    ]
    records = compare_indexes(queries, passages, exact, 10, sweep)
    recall = {(record["kind"], record["effort"]): record["recall"] for record in records}
    assert len(records) == 7
    assert recall["flat", 1] == 1.0
    assert recall["ivf_flat", 1] < recall["ivf_flat", 8] <= recall["ivf_flat", 30] == 1.0  # all cells probed: exact
    assert recall["hnsw", 200] >= 0.95
    assert 0.2 < recall["ivf_pq", 30] < 1.0  # 8 bytes per vector cannot keep the order of close neighbours
    assert all(record["search_s"] > 0 and record["index_mb"] > 0 for record in records)
    by_name = {record["options"]: record["index_mb"] for record in records}
    assert by_name["IVF30,PQ8x8np"] < by_name["IVF30,Flat"]
    assert capfd.readouterr().err == ""  # faiss warns there when it has too little to learn from


def test_indexes_that_cannot_be_built_are_left_out_with_the_reason(capfd):
    rng = np.random.default_rng(17)
    few = Vectors.of(unit(rng, 50, 18, dtype=np.float32))
    exact = search.exact_search(few, few, 3)
    kinds = [IndexSettings(kind) for kind in ("flat", "ivf_flat", "ivf_pq", "hnsw")]
    records = compare_indexes(few, few, exact, 3, kinds)
    assert [(record["kind"], record.get("effort")) for record in records] == [
        ("flat", 1),
        ("ivf_flat", 1),  # one cell only: probing 4, 16 or 64 would be the same
        ("ivf_pq", None),
        ("hnsw", 16),
        ("hnsw", 64),
        ("hnsw", 256),
    ]
    assert records[2]["skipped"] == "it learns 256 codes and needs at least 9984 passages for that; there are 50"
    assert records[2]["options"] == "IVF1,PQ9x8np"  # 9 is the largest divisor of 18 up to 16
    assert all(record["recall"] > 0.9 and record["queries"] == 50 for record in records if "skipped" not in record)
    tiny = Vectors.of(unit(rng, 20, 18, dtype=np.float32))
    records = compare_indexes(tiny, tiny, search.exact_search(tiny, tiny, 3), 3, kinds[1:2])
    assert "needs at least 39 passages" in records[0]["skipped"]
    records = compare_indexes(few, few, exact, 3, kinds[:1], memory_mb=0.01)
    assert records[0]["skipped"] == "it needs about 0.0 MB, more than search.memory_mb = 0.01"
    assert capfd.readouterr().err == ""


def test_the_estimate_of_the_memory_stays_within_the_budget_and_is_logged(caplog):
    rng = np.random.default_rng(18)
    passages, queries = Vectors.of(unit(rng, 400, 64)), Vectors.of(unit(rng, 300, 64))
    for memory_mb in (0.3, 1, 1000):
        budget = search_blocks.Budget.of(memory_mb, 64, 44, 2)
        assert 0 < budget.needed_mb(300, 400, 64, 44, 2) <= memory_mb
    assert budget.needed_mb(300, 400, 64, 44, 2) < 3  # what these need, not what would be allowed
    with caplog.at_level("INFO"):
        search.exact_search(queries, passages, 9, memory_mb=7)
    assert "of working memory, of 7 MB allowed" in caplog.text


def test_index_recall_by_hand():
    """Exact top 2 distinct: ids a, b. Found rows 0, 1 (both id a), 3 (id c): one of two."""
    passages = Vectors.of(np.zeros((4, 1), dtype=np.float32), ids=["a", "a", "b", "c"])
    exact = search.Hits(np.array([0, 0]), np.array([1, 2]), np.array([0, 2]), np.zeros(2, dtype=np.float32))
    assert overlap(np.array([[0, 1, 3, -1]]), exact, passages, 2) == 0.5
    assert overlap(np.array([[2, -1, -1, -1]]), exact, passages, 2) == 0.5
    assert overlap(np.array([[1, 2, 3, -1]]), exact, passages, 2) == 1.0
    every = search.Hits(np.zeros(3, np.int64), np.arange(1, 4), np.array([0, 1, 2]), np.zeros(3, dtype=np.float32))
    assert overlap(np.array([[0, 1, 3, -1]]), every, passages, 2) == 0.5  # the same, where hits keep repeated rows


def test_index_settings_are_checked():
    rng = np.random.default_rng(16)
    few = Vectors.of(unit(rng, 20, dtype=np.float32))
    exact = search.exact_search(few, few, 3)
    for settings_, message in [
        (IndexSettings("lsh"), "one of flat, ivf_flat, ivf_pq, hnsw"),
        (IndexSettings("ivf_pq", code_bytes=5), "does not divide the width 12"),
    ]:
        with pytest.raises(ValueError, match=message):
            compare_indexes(few, few, exact, 3, [settings_])
    with pytest.raises(ValueError, match="reach rank 3, but k = 9"):
        compare_indexes(few, few, exact, 9, [IndexSettings("flat")])
