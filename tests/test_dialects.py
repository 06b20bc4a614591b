"""The disagreements between published implementations, one by one, in all three dialects, plain and vectorised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrieval_tables as world
from retcap.retrieval.judging import dialects, numerals, plain
from retcap.retrieval.judging.files import Files
from retcap.retrieval.judging.matching import find
from retcap.retrieval.judging.patterns import Patterns
from retcap.retrieval.judging.rules import DialectError

DIALECTS = dialects.names()
ORIGINALS = ("ret", "flmr")


def recalls(records, corpus, rankings, dialect, ks=(1, 2, 3), metric="R"):
    """A metric at every K; checks on the way that the plain functions say the same."""
    result = world.score_files(records, corpus, rankings, dialect, ks)
    found = [world.value(result, f"{metric}@{k}") for k in ks]
    if metric in ("R", "PR") and all(record.get("answer") is not None for record in records):
        corpus_as_loaded = [(str(one[0]), *one[1:]) for one in corpus]
        plain = [world.plain_scores(records, corpus_as_loaded, rankings, dialect, k)[metric == "PR"] for k in ks]
        assert found == plain
    return found


def test_all_dialects_are_covered():
    assert DIALECTS == ["flmr", "ret", "strict"]
    assert [dialects.load(name).name for name in DIALECTS] == DIALECTS
    assert all(dialects.load(name).in_words for name in DIALECTS)
    with pytest.raises(ValueError, match=r"one of flmr, ret, strict\. Got 'trec' instead"):
        dialects.load("trec")


# 1 ------------------------------------------------------------------------------------------------ string answer


@pytest.mark.parametrize(("dialect", "expected"), [("strict", [0.0, 1.0]), ("ret", [1.0, 1.0]), ("flmr", [1.0, 1.0])])
def test_case_01_a_string_answer_is_one_answer(dialect, expected):
    records = [{"answer": "Nationals Park", "passage_id": ["a"]}]
    corpus = [("a", "a zoo in Boston"), ("b", "the NATIONALS PARK stadium")]
    assert recalls(records, corpus, [[0, 1]], dialect, ks=(1, 2), metric="PR") == expected


def test_case_01_without_a_blank_the_characters_still_match_almost_everything():
    patterns = dialects.load("ret").answer_patterns("Boston", "q")
    assert patterns.texts == ("b", "o", "s", "t", "n")
    assert patterns.are_in("a zoo")


# 2 ------------------------------------------------------------------------------------------- null passage text


def test_case_02_a_null_text_never_matches_and_keeps_its_place():
    records, corpus = [{"answer": ["zoo"], "passage_id": ["b"]}], [("a", None), ("b", "the zoo")]
    assert recalls(records, corpus, [[0, 1]], "strict", metric="PR", ks=(1, 2)) == [0.0, 1.0]
    assert recalls(records, corpus, [[0, 1]], "strict", ks=(1, 2)) == [0.0, 1.0]
    assert world.score_files(records, corpus, [[0, 1]])["null_texts"] == 1


@pytest.mark.parametrize("dialect", ORIGINALS)
def test_case_02_the_originals_stop_and_the_message_names_query_and_row(dialect):
    records, corpus = [{"answer": ["zoo"], "passage_id": ["b"]}], [("b", "the zoo"), ("a", None)]
    with pytest.raises(DialectError, match=rf"query row 0 \(id 'q0'\): .* rank 2 \(row 1\) has no text; {dialect}"):
        world.score_files(records, corpus, [[0, 1]], dialect)
    with pytest.raises(DialectError, match="without text"):  # also when an earlier text already matched
        plain.pseudo_recall(Patterns(("zoo",)), [("b", "the zoo"), ("a", None)], 2, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_case_02_an_empty_text_is_not_null_and_stops_nobody(dialect):
    records, corpus = [{"answer": ["zoo"], "passage_id": ["b"]}], [("a", ""), ("b", "the zoo"), ("c", " ")]
    assert recalls(records, corpus, [[0, 2, 1]], dialect, metric="PR") == [0.0, 0.0, 1.0]
    assert world.score_files(records, corpus, [[0, 2, 1]], dialect)["null_texts"] == 0


# 3 ------------------------------------------------------------------------------------------------- null answers


def test_case_03_queries_without_an_answer_are_left_out_of_pr():
    records = [{"answer": None, "passage_id": ["a"]}, {"answer": ["zoo"], "passage_id": ["b"]}]
    corpus = [("a", "the zoo"), ("b", "a pond")]
    result = world.score_files(records, corpus, [[0, 1], [0, 1]])
    assert world.value(result, "PR@1") == 1.0
    assert result["n_pr_queries"] == 1
    assert result["n_queries"] == 2
    assert world.value(result, "R@1") == 0.5


def test_case_03_pr_is_null_when_no_query_has_an_answer():
    result = world.score_files([{"passage_id": ["a"]}], [("a", "x")], [[0]])
    assert result["metrics"]["PR@1"] == {"value": None, "ci_low": None, "ci_high": None, "n": 0, "clusters": 0}
    assert result["floors"]["PR@1"] is None
    assert result["pr_ceiling"] is None
    assert world.value(result, "R@1") == 1.0


@pytest.mark.parametrize("dialect", ORIGINALS)
def test_case_03_the_originals_stop_at_a_null_among_answers_but_not_without_any(dialect):
    records = [{"answer": None, "passage_id": ["a"]}, {"answer": ["zoo"], "passage_id": ["b"]}]
    corpus = [("a", "the zoo"), ("b", "a pond")]
    with pytest.raises(DialectError, match=r"query row 0 \(id 'q0'\): the answer is None"):
        world.score_files(records, corpus, [[0, 1], [0, 1]], dialect)
    only_null = world.score_files([{"answer": None, "passage_id": ["a"]}], corpus, [[0]], dialect)
    assert world.value(only_null, "PR@1") is None
    assert world.value(only_null, "R@1") == 1.0


# 4 ------------------------------------------------------------------------------------------------ empty answers


@pytest.mark.parametrize("dialect", DIALECTS)
def test_case_04_empty_answers(dialect):
    corpus = [("a", "a pond"), ("b", "the zoo")]
    only_empty = world.score_files([{"answer": ["", "  "], "passage_id": ["a"]}], corpus, [[0]], dialect)
    assert world.value(only_empty, "PR@1") == (None if dialect == "strict" else 1.0)
    assert only_empty["n_pr_queries"] == (0 if dialect == "strict" else 1)
    some = recalls([{"answer": ["", "zoo"], "passage_id": ["a"]}], corpus, [[0, 1]], dialect, (1, 2), "PR")
    assert some == ([0.0, 1.0] if dialect == "strict" else [1.0, 1.0])


# 5 ---------------------------------------------------------------------------------------------- word boundaries


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("answer", "text", "substring", "word"),
    [
        ("bear", "a bearing wall", 1.0, 0.0),
        ("no", "nothing", 1.0, 0.0),
        ("2", "since 1926", 1.0, 0.0),
        ("bear", "the Bear.", 1.0, 1.0),
        ("strasse", "die ＳＴＲＡẞＥ 5", 0.0, 1.0),  # full width and capital sharp s: NFKC and case folding
        ("naïve", "a nai\u0308ve view", 0.0, 1.0),  # the same letter in two parts
    ],
)
def test_case_05_substrings_and_whole_words_stand_side_by_side(dialect, answer, text, substring, word):
    result = world.score_files([{"answer": [answer], "passage_id": ["a"]}], [("a", text)], [[0]], dialect)
    assert (world.value(result, "PR@1"), world.value(result, "PR word@1")) == (substring, word)


# 6 ----------------------------------------------------------------------------------------------- numeric answers


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ({"wikidata": 1.0, "range": [0.9, 1.1]}, "weighs 1 kg", 1.0),
        ({"wikidata": 1.0, "range": [0.9, 1.1]}, "since 2010", 0.0),
        ({"range": [0.9, 1.1]}, "weighs 1 kg", 1.0),
        ({"wikidata": 4807.0}, "4,807 m high", 1.0),
        ({"wikidata": 4807.0}, "4,80 m high", 0.0),
        ({}, "weighs 1 kg", None),
        ({"wikidata": "Mont Blanc"}, "on Mont Blanc", 1.0),
    ],
)
def test_case_06_numeric_answers_in_strict(answer, text, expected):
    records, corpus = [{"answer": [answer], "passage_id": ["a"]}], [("a", text)]
    assert recalls(records, corpus, [[0]], "strict", (1,), "PR") == [expected]
    result = world.score_files(records, corpus, [[0]])
    numeric = isinstance(answer.get("wikidata", 0.0), float)
    assert result["numeric_hits"]["1"] == (1 if expected == 1.0 and numeric else 0)
    assert world.value(result, "PR word@1") == expected  # a number is read as a whole number anyway


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ({"wikidata": 1.0, "range": [0.9, 1.1]}, "weighs 1 kg", 0.0),  # looks for "1.0"
        ({"wikidata": 1.0}, "weighs 21.05 kg", 1.0),
        ({"wikidata": 4807.0}, "4,807 m high", 0.0),
        ({"wikidata": "Mont Blanc"}, "on Mont Blanc", 1.0),
    ],
)
def test_case_06_ret_looks_for_the_printed_number(answer, text, expected):
    records, corpus = [{"answer": [answer], "passage_id": ["a"]}], [("a", text)]
    assert recalls(records, corpus, [[0]], "ret", (1,), "PR") == [expected]


@pytest.mark.parametrize(("dialect", "answer"), [("ret", {"range": [1, 2]}), ("ret", {}), ("flmr", {"wikidata": 1.0})])
def test_case_06_the_originals_stop_at_other_dicts(dialect, answer):
    with pytest.raises(DialectError, match=r"query row 0 .*one answer is \{"):
        world.score_files([{"answer": [answer], "passage_id": ["a"]}], [("a", "1")], [[0]], dialect)


# 7 -------------------------------------------------------------------------------------------- repeated query ids


def test_case_07_rows_with_one_query_id():
    records = [{"data_id": "x", "answer": ["pond"], "passage_id": [gold]} for gold in "ab"]
    corpus = [("a", "a pond"), ("b", "the zoo")]
    rankings = [[0, 1], [0, 1]]
    strict = world.score_files(records, corpus, [[0], [1]])
    assert world.value(strict, "R@1") == 1.0
    assert world.value(strict, "PR@1") == 0.5
    assert strict["repeated_query_ids"] == 1
    last = world.score_files(records, corpus, [[0], [1]], "ret")  # both on the last row's ranking
    assert world.value(last, "R@1") == 0.5
    assert world.value(world.score_files(records, corpus, rankings, "ret"), "R@1") == 0.5
    with pytest.raises(DialectError, match="1 query ids are repeated; flmr stops"):
        world.score_files(records, corpus, rankings, "flmr")


def test_case_07_ret_never_looks_at_the_ranking_that_the_last_row_replaces():
    records = [{"data_id": "x", "answer": ["pond"], "passage_id": [gold]} for gold in "ab"]
    corpus = [("a", "a pond"), ("b", "the zoo")]
    assert world.value(world.score_files(records, corpus, [[], [1]], "ret"), "R@1") == 0.5
    with pytest.raises(DialectError, match="has no hits; ret takes the maximum of nothing"):
        world.score_files(records, corpus, [[0], []], "ret")


# 8 ------------------------------------------------------------------------------------------- repeated passage ids


@pytest.mark.parametrize(("dialect", "expected"), [("strict", [0, 1, 1]), ("ret", [0, 0, 0]), ("flmr", [0, 0, 0])])
def test_case_08_rows_of_one_passage_id(dialect, expected):
    records = [{"answer": ["second"], "passage_id": ["B"]}]
    corpus = [("A", "first"), ("A", "second"), ("A", "third"), ("B", "b"), ("C", "c"), ("D", "d")]
    assert recalls(records, corpus, [[0, 1, 2, 3, 4, 5]], dialect, (1, 2, 3)) == expected
    assert recalls(records, corpus, [[0, 1, 2, 3, 4, 5]], dialect, (5,)) == [1.0]
    pseudo = recalls(records, corpus, [[0, 1, 2, 3, 4, 5]], dialect, (1, 2, 3), "PR")
    assert pseudo == ([0, 0, 0] if dialect == "strict" else [0, 1, 1])  # strict uses the text of the row that is kept
    result = world.score_files(records, corpus, [[0, 1, 2, 3, 4, 5]], dialect)
    assert result["duplicates_collapsed"] == (2 if dialect == "strict" else 0)
    assert (result["corpus_size"], result["corpus_rows"], result["duplicate_passages"]) == (4, 6, 2)


# 9 --------------------------------------------------------------------------------------------------- short lists


@pytest.mark.parametrize("dialect", DIALECTS)
def test_case_09_short_and_empty_lists(dialect):
    records = [{"answer": ["zoo"], "passage_id": ["a"]}, {"answer": ["zoo"], "passage_id": ["b"]}]
    corpus = [("a", "the zoo"), ("b", "a pond"), ("c", "c")]
    assert recalls(records, corpus, [[0], [2, 1, 0]], dialect) == [0.5, 1.0, 1.0]
    assert world.score_files(records, corpus, [[0], [2, 1, 0]], dialect)["short_lists"] == 1
    if dialect == "strict":
        result = world.score_files(records, corpus, [[], [2, 1, 0]])
        assert [world.value(result, name) for name in ("R@3", "PR@3", "MRR@3", "nDCG@3")] == pytest.approx(
            [0.5, 0.5, 0.25, 0.5 / np.log2(3)]
        )
        assert (result["short_lists"], result["empty_lists"]) == (1, 1)
        assert world.value(world.score_files(records, corpus, [[], []]), "R@1") == 0.0
    else:
        with pytest.raises(DialectError, match=rf"query row 0 .* has no hits; {dialect} takes the maximum of nothing"):
            world.score_files(records, corpus, [[], [2, 1, 0]], dialect)
        with pytest.raises(DialectError, match="maximum of nothing"):
            plain.recall(["a"], [], 1, dialect)


# 10 --------------------------------------------------------------------------------------------------- types of ids


@pytest.mark.parametrize(("dialect", "expected"), [("strict", 1.0), ("ret", 1.0), ("flmr", 0.0)])
def test_case_10_a_number_and_its_text_are_one_id_except_in_flmr(dialect, expected):
    records, corpus = [{"answer": ["x"], "passage_id": [123]}], [("123", "x"), ("00123", "y")]
    assert recalls(records, corpus, [[0]], dialect, (1,)) == [expected]
    assert recalls(records, corpus, [[1]], dialect, (1,)) == [0.0]  # leading zeros make another id


@pytest.mark.parametrize(("dialect", "expected"), [("strict", 1.0), ("ret", 1.0), ("flmr", 0.0)])
def test_case_10_a_gold_id_outside_a_list(dialect, expected):
    records, corpus = [{"answer": ["x"], "passage_id": "Q5"}], [("Q5", "x"), ("Q", "y")]
    assert recalls(records, corpus, [[0]], dialect, (1,)) == [expected]
    assert recalls(records, corpus, [[1]], dialect, (1,)) == [0.0 if dialect != "flmr" else 1.0]  # by character


@pytest.mark.parametrize(("dialect", "expected"), [("strict", 1.0), ("ret", 1.0), ("flmr", None)])
def test_case_10_a_number_outside_a_list_stops_flmr(dialect, expected):
    records, corpus = [{"answer": ["x"], "passage_id": 5}], [("5", "x"), ("6", "y")]
    if expected is None:
        with pytest.raises(DialectError, match=r"query row 0 \(id 'q0'\): the gold passage is 5, not a list; flmr"):
            world.score_files(records, corpus, [[0]], dialect)
    else:
        assert recalls(records, corpus, [[0]], dialect, (1,)) == [expected]


# 11 (ties) is tested on the search itself, in test_search.py ------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_case_11_equal_scores_are_judged_in_the_order_of_the_ranks(dialect):
    records, corpus = [{"answer": ["x"], "passage_id": ["b"]}], [("a", "x"), ("b", "y")]
    queries, passages = world.tables_from_files(records, corpus)
    hits = world.hit_table([[0, 1]], queries, passages)
    tied = hits.set_column(hits.column_names.index("score"), "score", [np.zeros(2, dtype=np.float32)])
    backwards = tied.take([1, 0])  # the order of the lines in the file must not matter
    for table in (tied, backwards):
        result = world.score_hits(Files.of(queries, passages, table), (1, 2), dialect, about=world.ABOUT).result
        assert [world.value(result, f"R@{k}") for k in (1, 2)] == [0.0, 1.0]


# 12 ------------------------------------------------------------------------------------------------- exact names


@pytest.mark.parametrize("dialect", DIALECTS)
def test_case_12_names_are_exact_values(dialect):
    result = world.score_files([{"answer": ["x"], "passage_id": ["a"]}], [("a", "y")], [[0]], dialect)
    assert result["dataset"] == "okvqa_mm"
    assert world.value(result, "R@1") == 1.0
    assert world.value(result, "PR@1") == 0.0
    assert set(result["metrics"]) == {
        f"{label}@{k}" for label in ("R", "PR", "PR word", "MRR", "nDCG") for k in (1, 2, 3)
    }


# 13 ------------------------------------------------------------------------------------------ empty instructions


def query_text(dialect, instruction, question):
    return dialects.load(dialect).query_text(instruction, question)


def test_case_13_query_text():
    assert query_text("strict", "", " what? ") == "what?"
    assert query_text("strict", "", "") == ""
    assert query_text("strict", "Find documents: ", "what?") == "Find documents: what?"
    assert query_text("ret", "Find documents: ", "what?") == "Find documents:  what?"  # two blanks
    assert query_text("flmr", "Find: it", "what?") == "Find[MASK] it[MASK]what?"
    with pytest.raises(DialectError, match="instruction is empty"):
        query_text("flmr", "", "what?")


# ------------------------------------------------------------------------------- the fast path equals the plain one

TEXT = st.text(alphabet="aAbB cé1２.ß", max_size=12)
ANSWER = st.one_of(
    TEXT,
    st.lists(TEXT, max_size=3),
    st.lists(st.sampled_from([{"wikidata": 1.0}, {"wikidata": 2.0, "range": [0.5, 1.5]}, "b"]), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(DIALECTS))
def test_vectorised_scores_equal_the_plain_ones(data, dialect):
    corpus = [
        (data.draw(st.sampled_from(["p0", "p1", "p2", "p 3", "4"])), data.draw(st.none() | TEXT))
        for _ in range(data.draw(st.integers(1, 7)))
    ]
    gold = st.one_of(
        st.sampled_from(["p1", "p 3", "zz", 4]), st.lists(st.sampled_from(["p0", "p1", "4", 4]), max_size=3)
    )
    rows = st.permutations(range(len(corpus)))
    count = data.draw(st.integers(1, 4))
    records = [{"answer": data.draw(ANSWER), "passage_id": data.draw(gold)} for _ in range(count)]
    rankings = [data.draw(rows)[: data.draw(st.integers(0, len(corpus)))] for _ in range(count)]
    ks = (1, 2, 5)
    try:
        # the originals look at the K texts they are given, and here they are given max(ks)
        plain = [world.plain_scores(records, corpus, rankings, dialect, k) for k in ks[::-1]][::-1]
    except DialectError:
        with pytest.raises(DialectError):
            world.score(records, corpus, rankings, dialect, ks)
        return
    result = world.score(records, corpus, rankings, dialect, ks)
    for k, (recall, pseudo) in zip(ks, plain, strict=True):
        assert world.value(result, f"R@{k}") == pytest.approx(recall, abs=1e-12)
        assert world.value(result, f"PR@{k}") == (pseudo if pseudo is None else pytest.approx(pseudo, abs=1e-12))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="abé𝔸 _", max_size=25), max_size=12),
    st.lists(st.none() | st.text(alphabet="abé𝔸 _", max_size=60), max_size=8),
)
def test_finding_many_patterns_equals_the_in_operator(patterns, texts):
    found = find(patterns, texts, str.upper)
    for number, pattern in enumerate(patterns):
        expected = [row for row, text in enumerate(texts) if text is not None and pattern in text.upper()]
        assert found.rows(number).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="abé𝔸 _", min_size=1, max_size=12), max_size=12),
    st.lists(st.none() | st.text(alphabet="abé𝔸 _.", max_size=40), max_size=8),
)
def test_whole_words_have_no_word_character_beside_them(patterns, texts):
    def alone(pattern, text):
        padded = f".{text}."
        places = [i for i in range(len(padded)) if padded.startswith(pattern, i)]
        word = [c.isalnum() or c == "_" for c in padded]
        return any(not word[i - 1] and not word[i + len(pattern)] for i in places if 0 < i < len(padded) - len(pattern))

    found = find(patterns, texts, whole_words=True)
    for number, pattern in enumerate(patterns):
        expected = [row for row, text in enumerate(texts) if text is not None and alone(pattern, text)]
        assert found.rows(number).tolist() == expected


def test_a_finder_remembers_what_it_found(monkeypatch):
    from retcap.retrieval.judging import matching

    texts, searched = ["The Zoo", None, "zoological", "pond"], []

    def watched(patterns, *rest, **options):
        searched.append(list(patterns))
        return find(patterns, *rest, **options)

    monkeypatch.setattr(matching, "find", watched)
    finder = matching.Finder(texts)
    for patterns, options in ((["zoo", "o"], {}), (["pond", "zoo"], {}), (["zoo"], {"whole_words": True})):
        found = finder.rows(patterns, str.lower, **options)
        expected = find(patterns, texts, str.lower, **options)
        assert {name: rows.tolist() for name, rows in found.items()} == {
            name: expected.rows(place).tolist() for place, name in enumerate(patterns)
        }
    assert searched == [["zoo", "o"], ["pond"], ["zoo"]]  # a whole word is another question


def test_finding_across_chunks_and_pieces(monkeypatch):
    from retcap.retrieval.judging import matching

    monkeypatch.setattr(matching, "CHUNK", 37)
    monkeypatch.setattr(matching, "PIECE", 5)
    texts = [f"number {i} of the long list" for i in range(40)]
    patterns = ["number 1", "r 39 of the long list", "t", "tn", "of the long lists", texts[17], "list number"]
    found = find(patterns, texts)
    for number, pattern in enumerate(patterns):
        assert found.rows(number).tolist() == [row for row, text in enumerate(texts) if pattern in text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weighs 1 kg since 2010", [1, 2010]),
        ("1,234,567.5 and 1,00,000 and 12\u202f345", [1234567.5, 100000, 12345]),
        ("5-10 metres, −3 and -4, Covid-19", [5, 10, -3, -4, 19]),
        ("version 1.2.3, B52, 3,5 and x_7", []),
        ("born 1990. died 2001, aged 10.5.", [1990, 2001, 10.5]),
        ("3.5kg, 1990s, .5 and 2e3", [3.5, 1990, 0.5, 2000]),
        ("2010\u00a0km and 7\u00a08", [2010, 7, 8]),
        ("1e999 is left out", []),
        ("２０ full width", [20]),
        ("", []),
    ],
)
def test_numbers_in_texts(text, expected):
    assert numerals.numbers(text) == expected
    table = numerals.NumberTable([None, text, "0.25"])
    for number in expected:
        assert 1 in table.rows_within((float(number), float(number)))
    assert set(table.rows_within((-1e9, 1e9)).tolist()) == ({1, 2} if expected else {2})
