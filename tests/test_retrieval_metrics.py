"""Retrieval scores: against ranx, as properties, floors against enumeration, intervals, slices, wrong files."""

import itertools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrieval_tables as world
from retcap import plugins
from retcap.analysis import bootstrap
from retcap.analysis.compare import compare
from retcap.features.vectors import Vectors
from retcap.records import Difference
from retcap.retrieval.differences import pairs
from retcap.retrieval.judging.files import Files
from retcap.retrieval.judging.floors import random_hit
from retcap.retrieval.judging.rules import DialectError
from retcap.retrieval.judging.ways import score_ways
from retcap.retrieval.scoring import KS, cluster_keys, measures, score_hits
from retcap.search.exact import exact_search, write_hits

LABELS = ("R", "PR", "PR word", "MRR", "nDCG")


def random_world(seed: int, queries: int = 40, passages: int = 60, depth: int = 20):
    """Records, corpus and rankings with numeric answers, several gold passages, missing texts and gold passages."""
    rng = np.random.default_rng(seed)
    words = ["zoo", "pond", "bear", "bearing", "old 12 town", "5,000 people", "tower"]
    corpus = [
        (
            f"p{i}",
            None if rng.random() < 0.1 else " ".join(rng.choice(words, 3)),
            "x.png" if rng.random() < 0.5 else None,
        )
        for i in range(passages)
    ]
    answers = [["zoo"], "bear", [{"wikidata": 12.0}], ["pond", {"range": [4000, 6000]}], None, ["nowhere"]]
    records = [
        {
            "answer": answers[rng.integers(len(answers))],
            "passage_id": [f"p{i}" for i in rng.integers(0, passages + 5, size=rng.integers(1, 4))],
            "image_path": f"image{rng.integers(queries // 2)}.jpg" if rng.random() < 0.9 else None,
        }
        for _ in range(queries)
    ]
    rankings = [rng.permutation(passages)[:depth].tolist() for _ in range(queries)]
    return records, corpus, rankings


def scored(seed: int = 0, dialect: str = "strict", ks=(1, 5, 10, 20), draws: int = 200, **sizes):
    records, corpus, rankings = random_world(seed, **sizes)
    queries, passages = world.tables_from_files(records, corpus)
    hits = world.hit_table(rankings, queries, passages)
    rng = np.random.default_rng(1)
    return (
        queries,
        passages,
        hits,
        score_hits(Files.of(queries, passages, hits), ks, dialect, rng, about=world.ABOUT, draws=draws),
    )


# ------------------------------------------------------------------------------------------ against another program


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
given = json.load(sys.stdin)
found = evaluate(Qrels(given["qrels"]), Run(given["run"]), given["metrics"])
print(json.dumps({name: float(value) for name, value in found.items()}))
"""


def test_recall_mrr_and_ndcg_equal_ranx():
    queries, _, hits, found = scored(3, queries=60)
    qrels = {f"{row}": dict.fromkeys(gold, 1) for row, gold in enumerate(queries["positives"].to_pylist())}
    run: dict[str, dict[str, float]] = {f"{row}": {} for row in range(len(queries))}
    for hit in hits.to_pylist():
        run[f"{hit['query_row']}"][hit["passage_id"]] = hit["score"]
    names = {"R": "hit_rate", "MRR": "mrr", "nDCG": "ndcg"}
    metrics = {f"{ours}@{k}": f"{theirs}@{k}" for ours, theirs in names.items() for k in (1, 5, 10, 20)}
    # without its compiler, which would take minutes for these few numbers; in its own process, where that can be set
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps({"qrels": qrels, "run": run, "metrics": list(metrics.values())}),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = json.loads(done.stdout)
    assert len(expected) == 12
    for ours, theirs in metrics.items():
        assert world.value(found.result, ours) == pytest.approx(expected[theirs], abs=1e-9)


# ---------------------------------------------------------------------------------------------------- the plugins


def test_every_retrieval_plugin_gives_its_measures():
    assert set(measures()) == set(LABELS)
    found = [name for name in plugins.names("metrics") if plugins.load("metrics", name).CARD.task == "retrieval"]
    assert found == ["mrr", "ndcg", "pseudo_recall_at_k", "recall_at_k"]
    for name in found:
        card = plugins.load("metrics", name).CARD
        assert (card.name, card.low, card.high) == (name, 0.0, 1.0)


@pytest.mark.parametrize(
    ("plugin", "function", "label"),
    [("recall_at_k", "recall_at_k", "R"), ("mrr", "mrr_at_k", "MRR"), ("ndcg", "ndcg_at_k", "nDCG")],
)
def test_vectorised_metrics_equal_their_plain_form(plugin, function, label):
    plain = getattr(plugins.load("metrics", plugin), function)
    records, corpus, rankings = random_world(5)
    result = world.score(records, corpus, rankings, ks=KS[:4])
    for k in KS[:4]:
        values = [
            plain([corpus[row][0] for row in rows], set(record["passage_id"]), k)
            for record, rows in zip(records, rankings, strict=True)
        ]
        assert world.value(result, f"{label}@{k}") == pytest.approx(np.mean(values), abs=1e-12)


def test_plain_pseudo_recall_equals_the_vectorised_one():
    plain = plugins.load("metrics", "pseudo_recall_at_k").pseudo_recall_at_k
    corpus = [("a", "The Bear"), ("b", None), ("c", "a zoo")]
    for answers, ranking, k in itertools.product((["bear "], ["zoo", ""]), itertools.permutations(range(3)), (1, 2, 3)):
        result = world.score([{"answer": answers, "passage_id": ["a"]}], corpus, [ranking])
        assert world.value(result, f"PR@{k}") == plain([corpus[row][1] for row in ranking], answers, k)


# ------------------------------------------------------------------------------------------- numbered cases 14 to 20


def test_case_14_a_constant_added_to_all_scores_changes_nothing():
    queries, passages, hits, found = scored(7)
    lowered = hits.set_column(hits.column_names.index("score"), "score", pa.array(hits["score"].to_numpy() - 9))
    again = score_hits(
        Files.of(queries, passages, lowered), (1, 5, 10, 20), rng=np.random.default_rng(1), about=world.ABOUT, draws=200
    )
    assert again.result == found.result


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_case_15_recall_never_falls_with_k_and_is_at_least_the_fraction_found(seed):
    records, corpus, rankings = random_world(seed, queries=8, passages=15, depth=15)
    ks = tuple(range(1, 16))
    result = world.score(records, corpus, rankings, ks=ks)
    for label in ("R", "PR", "PR word", "MRR"):
        curve = [world.value(result, f"{label}@{k}") for k in ks]
        assert curve == sorted(curve, key=lambda one: one or 0)
    for k in ks:
        fraction = np.mean(
            [
                len({f"p{row}" for row in rows[:k]} & set(record["passage_id"])) / len(set(record["passage_id"]))
                for record, rows in zip(records, rankings, strict=True)
            ]
        )
        assert world.value(result, f"R@{k}") >= fraction - 1e-12
        assert world.value(result, f"nDCG@{k}") <= world.value(result, f"R@{k}") + 1e-12
    present = [bool({f"p{i}" for i in range(15)} & set(record["passage_id"])) for record in records]
    assert world.value(result, "R@15") == pytest.approx(np.mean(present))  # the whole corpus is in the list
    assert result["r_ceiling"] == pytest.approx(np.mean(present))
    assert world.value(result, "PR@15") == (
        None if result["n_pr_queries"] == 0 else pytest.approx(result["pr_ceiling"])
    )


def test_case_16_a_gold_passage_outside_the_corpus_is_a_miss_and_counted():
    result = world.score_files(
        [{"answer": ["x"], "passage_id": ["a", "gone"]}, {"passage_id": ["gone"]}], [("a", "x")], [[0], [0]]
    )
    assert result["gold_missing"] == 2
    assert world.value(result, "R@1") == 0.5
    assert world.value(result, "nDCG@2") == pytest.approx(0.5 / (1 + 1 / math.log2(3)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_case_17_permuting_corpus_rows_and_queries_changes_nothing(seed):
    records, corpus, rankings = random_world(seed, queries=9, passages=12, depth=7)
    rng = np.random.default_rng(seed)
    order, turn = rng.permutation(len(corpus)), rng.permutation(len(records))
    place = np.argsort(order)
    moved = [[int(place[row]) for row in rankings[query]] for query in turn]
    one = world.score(records, corpus, rankings)
    other = world.score([records[query] for query in turn], [corpus[row] for row in order], moved)
    assert one["metrics"].keys() == other["metrics"].keys()
    for name, record in one["metrics"].items():
        assert record["value"] == pytest.approx(other["metrics"][name]["value"], abs=1e-12)  # sums in another order


def test_case_18_repeated_answers_and_trailing_blanks_change_nothing():
    corpus, rankings = [("a", "5 to 15 metres tall"), ("b", "tall")], [[1, 0]]
    results = [
        world.score_files([{"answer": answer, "passage_id": ["a"]}], corpus, rankings)
        for answer in (["5 to 15 metres"], ["5 to 15 metres", "5 to 15 metres ", "5 to 15 metres"])
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ("a very long answer", "long", 0.0),
        ("the same text", "The Same Text", 1.0),
        (".*", "anything", 0.0),
        ("C++ (1985)", "written in c++ (1985) and", 1.0),
        ("[a-z]+", "lower", 0.0),
        ("\\d", "5", 0.0),
    ],
)
def test_case_19_long_equal_and_special_answers(answer, text, expected):
    result = world.score_files([{"answer": [answer], "passage_id": ["a"]}], [("a", text)], [[0]])
    assert world.value(result, "PR@1") == expected
    assert world.value(result, "PR word@1") == expected


def test_case_20_the_result_says_what_was_scored():
    *_, found = scored(2)
    result = json.loads(json.dumps(found.result, allow_nan=False))
    for key in (
        "system", "dataset", "revision", "checkpoint", "dialect", "ks", "depth", "corpus_size", "corpus_rows",
        "duplicate_passages", "null_texts", "n_queries", "n_pr_queries", "n_clusters", "gold_missing", "no_gold",
        "duplicates_collapsed", "repeated_query_ids", "short_lists", "empty_lists", "numeric_hits", "metrics", "gaps",
        "floors", "r_ceiling", "pr_ceiling", "pr_gold", "pr_word_ceiling", "pr_word_gold", "slices", "bootstrap",
    ):  # fmt: skip
        assert key in result, key
    assert (result["corpus_size"], result["n_queries"], result["dialect"]) == (60, 40, "strict")
    assert result["bootstrap"] == {"draws": 200, "level": 0.95, "unit": "query image"}
    with pytest.raises(ValueError, match="`about` lacks revision, checkpoint"):
        score_hits(Files.of(*scored(2)[:3]), about={"system": "x", "dataset": "y"})


# ------------------------------------------------------------------------------------------- floors and ceilings


def test_the_floor_equals_enumeration_of_all_rankings():
    total, k = 6, 2
    for marked in range(total + 1):
        subsets = list(itertools.combinations(range(total), k))
        expected = np.mean([any(place < marked for place in subset) for subset in subsets])
        assert random_hit(np.array([marked]), total, k)[0] == pytest.approx(expected, abs=1e-15)


@settings(max_examples=200)
@given(st.integers(1, 300), st.data())
def test_the_floor_equals_exact_binomials(total, data):
    marked, k = data.draw(st.integers(0, total)), data.draw(st.integers(1, total + 3))
    k_used = min(k, total)
    expected = 1 - math.comb(total - marked, k_used) / math.comb(total, k_used)
    assert random_hit(np.array([marked, 0]), total, k)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_floor_is_accurate_where_binomials_overflow():
    """Chance R@5 of one gold passage is exactly 5/N; the four corpora of M2KR (0.157, 0.0097, 0.0051 percent)."""
    for total in (3_192, 51_472, 98_276, 10_000_000):
        assert random_hit(np.array([1]), total, 5)[0] == pytest.approx(5 / total, rel=1e-12)
    assert random_hit(np.array([7]), 114_516, 500)[0] == pytest.approx(0.030163, abs=1e-5)
    with pytest.raises(ValueError, match="Between 0 and 3"):
        random_hit(np.array([4]), 3, 1)


def test_the_floor_is_what_random_rankings_score():
    records, corpus, _ = random_world(11, queries=60, passages=30)
    rng = np.random.default_rng(0)
    rankings = [rng.permutation(30)[:5].tolist() for _ in range(60 * 40)]
    result = world.score(records * 40, corpus, rankings, ks=(1, 5))
    covered = 0
    for name, floor in result["floors"].items():
        value, count = world.value(result, name), result["metrics"][name]["n"]
        assert value == pytest.approx(floor, abs=4 * 0.5 / math.sqrt(count))  # four standard errors
        covered += 1
    assert covered == 6


def test_floor_gold_and_ceiling_by_hand():
    corpus = [("a", "the zoo"), ("b", "a pond"), ("b", "zoo and pond"), ("c", None)]
    records = [
        {"answer": ["zoo"], "passage_id": ["a"]},  # in the texts of ids a and b: m = 2 of N = 3 distinct ids
        {"answer": ["pond"], "passage_id": ["c"]},  # in b only (two rows, one passage); the gold text is null
        {"answer": ["bear"], "passage_id": ["b"]},  # nowhere
    ]
    result = world.score(records, corpus, [[0], [0], [0]], ks=(1, 2))
    assert result["floors"]["PR@1"] == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert result["floors"]["PR@2"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert result["floors"]["R@1"] == pytest.approx(1 / 3)
    assert result["pr_ceiling"] == pytest.approx(2 / 3)
    assert result["pr_gold"] == pytest.approx(1 / 3)


def test_no_ranking_scores_above_the_ceiling():
    *_, found = scored(4)
    for k in (1, 5, 10, 20):
        assert world.value(found.result, f"PR@{k}") <= found.result["pr_ceiling"]
        assert world.value(found.result, f"PR word@{k}") <= found.result["pr_word_ceiling"]
        assert world.value(found.result, f"R@{k}") <= found.result["r_ceiling"]


# --------------------------------------------------------------------------------- intervals, slices, per query


def test_intervals_draw_whole_images():
    """The queries of an image share their outcome: drawing single queries would halve the width of the interval."""
    corpus = [("a", "x"), ("b", "y")]
    records = [{"answer": ["x"], "passage_id": ["a"], "image_path": f"{i // 4}.jpg"} for i in range(80)]
    rankings = [[(i // 4) % 2] for i in range(80)]
    queries, passages = world.query_table(records), world.passage_table(corpus)
    hits = world.hit_table(rankings, queries, passages)
    alone = queries.set_column(queries.column_names.index("image"), "image", pa.array([f"{i}" for i in range(80)]))
    widths = []
    for table in (queries, alone):
        rng = np.random.default_rng(0)
        found = score_hits(Files.of(table, passages, hits), (1,), rng=rng, about=world.ABOUT).result
        record = found["metrics"]["R@1"]
        assert record["ci_low"] < record["value"] == 0.5 < record["ci_high"]
        widths.append(record["ci_high"] - record["ci_low"])
    assert found["n_clusters"] == 80
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.25)


def test_no_hit_of_any_query_has_an_upper_bound():
    corpus = [("a", "x"), ("b", "y")]
    records = [{"answer": ["x"], "passage_id": ["a"], "image_path": f"{i // 2}.jpg"} for i in range(80)]
    queries, passages = world.query_table(records), world.passage_table(corpus)
    hits = world.hit_table([[1]] * 80, queries, passages)
    result = score_hits(Files.of(queries, passages, hits), (1,), rng=np.random.default_rng(0), about=world.ABOUT).result
    bound = 1 - 0.025 ** (1 / 40)
    for metric in ("R@1", "PR@1", "MRR@1", "nDCG@1"):
        found = {"value": 0.0, "ci_low": 0.0, "ci_high": pytest.approx(bound, rel=1e-12), "n": 80, "clusters": 40}
        assert result["metrics"][metric] == found
    assert result["gaps"]["PR-R@1"]["ci_low"] == pytest.approx(-bound, rel=1e-12)


def test_every_estimate_says_how_many_pictures_it_comes_from():
    corpus = [("a", "x", "p.jpg"), ("b", "y")]
    golds = ["a"] * 30 + ["b"] * 90
    records = [{"answer": ["x"], "passage_id": [g], "image_path": f"{i // 3}.jpg"} for i, g in enumerate(golds)]
    queries, passages = world.query_table(records), world.passage_table(corpus)
    hits = world.hit_table([[i % 2] for i in range(120)], queries, passages)
    result = score_hits(Files.of(queries, passages, hits), (1,), rng=np.random.default_rng(0), about=world.ABOUT).result
    assert result["metrics"]["R@1"]["clusters"] == 40
    slices = {value: one["R@1"]["clusters"] for value, one in result["slices"]["gold image"].items()}
    assert slices == {"with image": 10, "without image": 30}
    plain = score_hits(Files.of(queries, passages, hits), (1,), about=world.ABOUT).result  # without intervals
    assert plain["slices"]["gold image"]["with image"]["R@1"]["clusters"] == 10


def test_clusters_are_images_by_content_where_known():
    table = pa.table({"row": [0, 1, 2, 3], "image": ["a.jpg", "b.jpg", None, None], "image_key": ["k", "k", None, "k"]})
    assert cluster_keys(table) == ["image k", "image k", "row 2", "image k"]
    assert cluster_keys(table.drop_columns(["image_key"])) == ["image a.jpg", "image b.jpg", "row 2", "row 3"]


def test_gap_is_paired_over_the_queries_that_count_in_pr():
    *_, found = scored(6)
    table = found.per_query.to_pandas()
    counted = table[table["counts_in_pr"]]
    expected = (counted["PR@5"] - counted["R@5"]).mean()
    gap = found.result["gaps"]["PR-R@5"]
    assert gap["value"] == pytest.approx(expected)
    assert gap["n"] == len(counted) == found.result["n_pr_queries"] < len(table)
    assert gap["ci_low"] < gap["value"] < gap["ci_high"]


def test_slices_cover_every_query_once_and_average_to_the_whole():
    queries, passages, hits, _ = scored(8)
    seen = queries.append_column("gold_seen", pa.array([i % 3 == 0 for i in range(len(queries))]))
    result = score_hits(
        Files.of(seen, passages, hits), (5,), rng=np.random.default_rng(0), about=world.ABOUT, draws=50
    ).result
    assert set(result["slices"]) == {"answers", "gold image", "gold passage in training"}
    assert set(result["slices"]["answers"]) == {"text", "number", "text and number", "none"}
    for parts in result["slices"].values():
        assert sum(part["n"] for part in parts.values()) == len(queries)
        mean = sum(part["n"] * part["R@5"]["value"] for part in parts.values()) / len(queries)
        assert mean == pytest.approx(world.value(result, "R@5"))
    assert result["slices"]["answers"]["none"]["PR@5"]["value"] is None
    assert result["slices"]["gold passage in training"]["seen"]["n"] == 14


def test_the_table_per_query_reproduces_the_scores():
    *_, found = scored(9)
    table = found.per_query.to_pandas()
    assert len(table) == found.result["n_queries"]
    for name in found.result["metrics"]:
        assert table[name].mean() == pytest.approx(world.value(found.result, name))  # null is left out by both
    for k in (1, 5, 10, 20):
        assert (table["first_gold_rank"] <= k).mean() == pytest.approx(world.value(found.result, f"R@{k}"))
    systems = [bootstrap.mean_table(table[name].to_numpy(dtype=float)) for name in ("PR@10", "PR@5")]
    codes, count = bootstrap.cluster_codes(table["cluster"])
    gain = bootstrap.paired_difference(*systems, codes, bootstrap.draw_weights(count, 300, np.random.default_rng(0)))
    assert gain.value == pytest.approx(world.value(found.result, "PR@10") - world.value(found.result, "PR@5"))


def test_the_same_seed_gives_the_same_bytes():
    first, second = (scored(10)[3] for _ in range(2))
    assert json.dumps(first.result) == json.dumps(second.result)
    assert first.per_query.equals(second.per_query)


def test_seen_entities_are_a_slice_of_their_own_unless_they_are_the_passages():
    queries, passages, hits, _ = scored(8)
    flags = [[i % 3 == 0 for i in range(len(queries))], [i % 2 == 0 for i in range(len(queries))]]
    expected = ({"entity in training"}, {"entity in training", "gold passage in training"})
    for entity, names in zip(flags, expected, strict=True):
        seen = queries.append_column("gold_seen", pa.array(flags[0])).append_column("entity_seen", pa.array(entity))
        found = score_hits(Files.of(seen, passages, hits), (5,), about=world.ABOUT).result["slices"]
        assert set(found) - {"answers", "gold image"} == names
        assert found["entity in training"]["unseen"]["n"] == entity.count(False)


# -------------------------------------------------------------------------------- one ranking, several dialects


def ways(records, corpus, rankings, dialects, draws=50):
    queries, passages = world.tables_from_files(records, corpus)
    hits = world.hit_table(rankings, queries, passages)
    return score_ways(queries, passages, hits, (1, 2), dialects, 3, about=world.ABOUT, draws=draws)


def test_one_ranking_is_scored_by_all_dialects():
    records = [{"answer": "a zoo", "passage_id": ["B"], "image_path": f"{i}.jpg"} for i in range(4)]
    corpus = [("A", "pond"), ("A", "tree"), ("B", "a zoo")]
    rankings = [[0, 1, 2], [0, 1, 2], [2, 0, 1], [2, 1, 0]]
    found = ways(records, corpus, rankings, ["strict", "ret", "flmr"])
    assert list(found.result["dialects"]) == ["strict", "ret", "flmr"]
    values = {
        name: [way["metrics"][metric]["value"] for metric in ("R@1", "R@2", "PR@1")]
        for name, way in found.result["dialects"].items()
    }
    assert values == {"strict": [0.5, 1.0, 0.5], "ret": [0.5, 0.5, 1.0], "flmr": [0.5, 0.5, 1.0]}
    strict = ways(records, corpus, rankings, ["strict"])
    assert found.result | {"dialects": {}} == strict.result | {"dialects": {}}
    assert found.result["dialect"] == "strict"
    assert found.result["metrics"] == found.result["dialects"]["strict"]["metrics"]
    assert found.per_query.equals(strict.per_query)
    same = [found.result["dialects"][name]["metrics"]["R@1"] for name in ("strict", "ret")]
    assert same[0] == same[1]  # equal scores have equal intervals: the same images were drawn


def test_hits_of_one_search_serve_dialects_that_count_rows_and_those_that_count_passages(tmp_path):
    """The search goes on until `depth` distinct passages are there and drops no row: A A A B, C is too far down."""
    records = [{"answer": ["x"], "passage_id": ["B"]}]
    queries, passages = world.tables_from_files(records, [(name, "x") for name in "AAABC"])
    angles = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    corpus = Vectors.of(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), ids=list("AAABC"))
    asked = Vectors.of(np.array([[1.0, 0.0]], dtype=np.float32), ids=["q0"])
    write_hits(tmp_path / "hits.parquet", exact_search(asked, corpus, 2, collapse=False), asked, corpus)
    hits = pq.read_table(tmp_path / "hits.parquet")
    assert hits["passage_row"].to_pylist() == [0, 1, 2, 3]
    found = score_ways(queries, passages, hits, (1, 2), ["strict", "ret"], 0, about=world.ABOUT, draws=50).result
    assert [way["metrics"]["R@2"]["value"] for way in found["dialects"].values()] == [1.0, 0.0]
    assert [way["duplicates_collapsed"] for way in found["dialects"].values()] == [2, 0]


def test_a_program_that_would_stop_says_why_beside_the_main_dialect_and_stops_as_main():
    records = [{"answer": ["zoo"], "passage_id": ["b"]}, {"answer": [{"range": [1, 2]}], "passage_id": ["b"]}]
    corpus, rankings = [("a", "the zoo"), ("b", "pond")], [[0, 1], [1, 0]]
    found = ways(records, corpus, rankings, ["strict", "flmr", "ret"]).result["dialects"]
    for name in ("flmr", "ret"):
        assert set(found[name]) == {"stopped"}
        assert found[name]["stopped"].startswith("query row 1 (id 'q1'): one answer is {'range': [1, 2]}; " + name)
        assert "retrieval.dialects" not in found[name]["stopped"]  # the report says what happened, not what to do
        message = rf"query row 1 .* {name} cannot .*Put strict first in retrieval\.dialects"
        with pytest.raises(DialectError, match=message):
            ways(records, corpus, rankings, [name, "strict"])


# ------------------------------------------------------------------------------------------------- wrong files


def test_hits_of_a_search_that_missed_a_shard_are_refused(tmp_path):
    queries, passages, _, _ = scored(1)
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(count, 6)).astype(np.float32) for count in (len(queries), len(passages))]
    asked = Vectors.of(vectors[0], ids=queries["query_id"].to_pylist())
    whole = Vectors.of(vectors[1], ids=passages["passage_id"].to_pylist())
    part = Vectors.of(vectors[1][:50], ids=passages["passage_id"].to_pylist()[:50])
    for corpus, complete in ((whole, True), (part, False)):
        write_hits(tmp_path / "hits.parquet", exact_search(asked, corpus, 10), asked, corpus)
        hits = pq.read_table(tmp_path / "hits.parquet")
        if complete:
            assert score_hits(Files.of(queries, passages, hits), (1, 10), about=world.ABOUT).result["short_lists"] == 0
        else:
            with pytest.raises(ValueError, match="searched in 50 passages, but the tables hold 40 and 60"):
                score_hits(Files.of(queries, passages, hits), (1, 10), about=world.ABOUT)


def test_hits_of_another_run_are_refused():
    queries, passages, hits, _ = scored(1)
    wrong_query = hits.set_column(0, "query_row", pa.array(hits["query_row"].to_numpy() + 1))
    other_ids = passages.set_column(1, "passage_id", pa.array([f"x{i}" for i in range(len(passages))]))
    twice = hits.set_column(2, "rank", pa.array(np.ones(len(hits), dtype=np.int32)))
    for arguments, message in [
        ((queries, passages, wrong_query), "query_row 40 is not a row of queries"),
        ((queries, passages.slice(0, 9), hits), "is not a row of passages"),
        ((queries, other_ids, hits), r"hits: line 0 has passage_id 'p\d+', but that row is now 'x\d+'"),
        ((queries, passages, twice), r"query row 0 \(id 'q0'\) has rank 1 twice"),
    ]:
        with pytest.raises(ValueError, match=message):
            score_hits(Files.of(*arguments), about=world.ABOUT)
    with pytest.raises(ValueError, match="whole numbers from 1"):
        score_hits(Files.of(queries, passages, hits), (0, 5), about=world.ABOUT)
    with pytest.raises(ValueError, match=r"column `answer_json` is missing; .* strict"):
        score_hits(Files.of(queries.drop_columns(["answer_json"]), passages, hits), dialect="ret", about=world.ABOUT)


# ------------------------------------------------------------------------------------------------- differences


def systems_with_a_planted_gain() -> dict[str, pa.Table]:
    """`better` finds the gold passage for 30 of 60 images where `worse` does not; `twin` equals `worse`."""
    corpus = [("a", "x"), ("b", "y")]
    records = [
        {"answer": ["x"] if i % 5 else None, "passage_id": ["a"], "image_path": f"{i // 2}.jpg"} for i in range(120)
    ]
    queries, passages = world.query_table(records), world.passage_table(corpus)
    rankings = {"better": [[(i // 2) % 2] for i in range(120)], "worse": [[1]] * 120, "twin": [[1]] * 120}
    hits = {name: world.hit_table(ranking, queries, passages) for name, ranking in rankings.items()}
    return {
        name: score_hits(Files.of(queries, passages, one), (1,), about=world.ABOUT).per_query
        for name, one in hits.items()
    }


def differences(tables: dict[str, pa.Table], metrics: tuple[str, ...], rounds: int, baselines=()) -> list[Difference]:
    rng = np.random.default_rng(0)
    return compare(pairs(tables, "demo", metrics, baselines), lambda: rng, draws=1000, rounds=rounds)


def test_a_planted_gain_is_found_and_twins_are_not_told_apart():
    records = differences(systems_with_a_planted_gain(), ("R@1", "PR@1"), rounds=999)
    found = {(one.first, one.second, one.metric): one for one in records}
    assert len(found) == 6
    gain = found["better", "worse", "R@1"]
    assert gain.difference == pytest.approx(0.5)
    assert 0.3 < gain.ci_low < 0.5 < gain.ci_high < 0.7
    assert (gain.p, gain.n) == (1 / 1000, 120)
    assert gain.p_holm == pytest.approx(3 / 1000)  # the smallest of three
    assert found["better", "worse", "PR@1"].n == 96  # queries without an answer take no part
    same = found["worse", "twin", "R@1"]
    assert (same.difference, same.p, same.p_holm) == (0, 1, 1)


def test_baselines_are_compared_but_are_no_part_of_the_family():
    tables = systems_with_a_planted_gain()
    records = differences(tables, ("R@1",), rounds=99, baselines=("worse", "twin"))
    assert [(one.first, one.second) for one in records] == [("better", "worse"), ("better", "twin")]
    assert all(one.p == 1 / 100 and one.p_holm is None for one in records)


def test_systems_scored_on_other_queries_are_not_compared():
    tables = systems_with_a_planted_gain()
    tables["worse"] = tables["worse"].slice(0, 100)
    with pytest.raises(ValueError, match="demo: worse and better were scored on different queries"):
        differences(tables, ("R@1",), rounds=9)
