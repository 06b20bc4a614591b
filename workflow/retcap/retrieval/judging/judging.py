"""Marks for every hit of every query: is it a gold passage, does its text contain an answer? By the rules of a dialect.

Equal to the plain functions of `dialects.py`, but for whole files: 5,000 queries x 500 hits against 100,000 passages in
seconds, and the facts about the whole corpus that floor and ceiling need come out of the same pass.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from retcap.retrieval.judging import ranking
from retcap.retrieval.judging.dialects import (
    Dialect,
    DialectError,
    Patterns,
    answer_patterns,
    dialect_of,
    gold_keys,
    passage_key,
    word_pattern,
)
from retcap.retrieval.judging.matching import Finder
from retcap.retrieval.judging.numerals import NumberTable


@dataclass(frozen=True)
class Judged:
    """What the metrics are computed from. D places per query; a place beyond the end of a list is False everywhere."""

    gold: Bool[np.ndarray, "Q D"]  # the first row of each gold passage in the list
    answer: Bool[np.ndarray, "Q D"]  # the text contains an answer
    words: Bool[np.ndarray, "Q D"]  # ... as whole words, Unicode-normalised
    numeric: Bool[np.ndarray, "Q D"]  # ... as a number within an answer's range
    gold_count: Int[np.ndarray, " Q"]  # distinct gold passages, also those the corpus lacks
    counted: Bool[np.ndarray, " Q"]  # whether the query is in the denominator of PR


@dataclass(frozen=True)
class Evidence:
    """Facts per query that do not depend on the ranking, and counts of the file. Passages are rows or distinct ids,
    as the dialect counts them."""

    total: int  # passages that a ranking orders
    gold_passages: Int[np.ndarray, " Q"]  # gold passages in the corpus
    answer_passages: Int[np.ndarray, " Q"]  # passages whose text contains an answer
    word_passages: Int[np.ndarray, " Q"]
    gold_answers: Bool[np.ndarray, " Q"]  # the text of some gold passage contains an answer
    gold_words: Bool[np.ndarray, " Q"]
    counts: dict[str, int]


def judge(
    queries: pa.Table, passages: pa.Table, hits: pa.Table, depth: int, dialect: str, finder: Finder | None = None
) -> tuple[Judged, Evidence]:
    """Judge the first `depth` places of every query's list. `finder`: of the same passages, where one is at hand."""
    rules = dialect_of(dialect)
    corpus = ranking.Corpus.of(passages)
    lists = ranking.read_lists(queries, corpus, hits, depth, rules)
    keys = [passage_key(value, dialect) for value in corpus.names] if dialect == "flmr" else corpus.names
    gold = _gold_codes(queries, dialect, keys)
    is_gold = _first_gold(lists.rows, corpus, gold)
    patterns = _patterns(queries, dialect)
    answering = any(one.usable for one in patterns) if rules.tolerant else _any_answer(queries)
    counted = np.array([answering and (one.usable or not rules.tolerant) for one in patterns], dtype=bool)
    if answering and not rules.tolerant:
        _refuse_null_texts(lists.rows, corpus, queries, dialect)
    marks = _Marks(lists.rows, corpus, gold, rules)
    marks.fill(patterns if answering else [Patterns(())] * len(patterns), finder or Finder(corpus.texts))
    judged = Judged(is_gold, marks.answer, marks.words, marks.numeric, gold.count, counted)
    counts = lists.counts | corpus.counts | {"gold_missing": gold.missing, "no_gold": int((gold.count == 0).sum())}
    total = len(corpus.names) if rules.collapses else len(corpus.codes)
    gold_passages = marks.gold_passages()
    evidence = Evidence(
        total, gold_passages, marks.answer_passages, marks.word_passages, marks.gold_answers, marks.gold_words, counts
    )
    return judged, evidence


@dataclass(frozen=True)
class _Gold:
    query: Int[np.ndarray, " G"]  # (query, code) pairs of the gold passages in the corpus, sorted
    code: Int[np.ndarray, " G"]
    count: Int[np.ndarray, " Q"]
    missing: int  # (query, gold passage) pairs whose passage the corpus lacks


def _gold_codes(queries: pa.Table, dialect: str, keys: Sequence[str]) -> _Gold:
    column = "positives_json" if dialect == "flmr" else "positives"
    _require(queries, column, dialect)
    lists = queries[column].to_pylist()
    if dialect == "flmr":
        golds = [gold_keys(json.loads(text), dialect, ranking.name_of(queries, at)) for at, text in enumerate(lists)]
    else:
        golds = lists
    codes = {key: code for code, key in enumerate(keys)}
    distinct = [list(dict.fromkeys(str(key) for key in one or ())) for one in golds]
    pairs = [(query, codes[key]) for query, one in enumerate(distinct) for key in one if key in codes]
    query, code = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    count = np.array([len(one) for one in distinct], dtype=np.int64)
    return _Gold(query, code, count, int(count.sum()) - len(pairs))


def _first_gold(rows: Int[np.ndarray, "Q D"], corpus: ranking.Corpus, gold: _Gold) -> Bool[np.ndarray, "Q D"]:
    """Marks the first place of each gold passage: a repeated row of it is no second find."""
    size = len(corpus.names) + 1
    code = np.where(rows >= 0, corpus.codes[rows], size - 1)  # the extra code belongs to no passage
    key = np.arange(len(rows))[:, None] * size + code
    marked = np.isin(key, gold.query * size + gold.code)
    flat, place = np.unique(np.where(marked, key, -1).ravel(), return_index=True)
    first = np.zeros(marked.size, dtype=bool)
    first[place[flat >= 0]] = True
    return first.reshape(marked.shape)


def _patterns(queries: pa.Table, dialect: str) -> list[Patterns]:
    """What to look for, per query: from the normalised columns, or for the originals from the answer as in the file."""
    if dialect == "strict":
        texts, ranges = queries["answers"].to_pylist(), queries["numeric"].to_pylist()
        return [
            Patterns(
                tuple(dict.fromkeys(text.strip().lower() for text in some or () if text and text.strip())),
                tuple((one["low"], one["high"]) for one in numeric or ()),
            )
            for some, numeric in zip(texts, ranges, strict=True)
        ]
    if not _any_answer(queries):
        return [Patterns(())] * len(queries)
    raw = [json.loads(text) for text in queries["answer_json"].to_pylist()]
    return [answer_patterns(answer, dialect, ranking.name_of(queries, row)) for row, answer in enumerate(raw)]


def _any_answer(queries: pa.Table) -> bool:
    _require(queries, "answer_json", "the dialects of published code")
    return any(text != "null" for text in queries["answer_json"].to_pylist())


def _require(queries: pa.Table, column: str, dialect: str) -> None:
    if column not in queries.column_names:
        raise ValueError(
            f"queries: the column `{column}` is missing; {dialect} needs the values as they are in the data file. "
            "Normalise the data again, or score by strict only (retrieval.dialects)."
        )


def _refuse_null_texts(rows: Int[np.ndarray, "Q D"], corpus: ranking.Corpus, queries: pa.Table, dialect: str) -> None:
    null = np.array([text is None for text in corpus.texts], dtype=bool)
    bad = np.argwhere((rows >= 0) & null[rows]) if null.any() else np.zeros((0, 2), dtype=int)
    if len(bad):
        query, place = bad[0]
        raise DialectError(
            f"{ranking.name_of(queries, int(query))}: the passage at rank {place + 1} "
            f"(row {corpus.rows[rows[query, place]]}) has no text; {dialect} lower-cases it and stops."
        )


class _Marks:
    """Fills the marks query by query: one mask over the corpus at a time, shared by queries with equal answers."""

    def __init__(self, rows: Int[np.ndarray, "Q D"], corpus: ranking.Corpus, gold: _Gold, rules: Dialect) -> None:
        self.rows, self.corpus, self.gold, self.rules = rows, corpus, gold, rules
        self.answer, self.words, self.numeric = (np.zeros(rows.shape, dtype=bool) for _ in range(3))
        self.answer_passages, self.word_passages = (np.zeros(len(rows), dtype=np.int64) for _ in range(2))
        self.gold_answers, self.gold_words = (np.zeros(len(rows), dtype=bool) for _ in range(2))
        self._order = np.argsort(corpus.codes, kind="stable")  # rows by passage id
        self._starts = np.searchsorted(corpus.codes[self._order], np.arange(len(corpus.names) + 1))

    def gold_passages(self) -> Int[np.ndarray, " Q"]:
        """Gold passages of each query that the corpus holds."""
        sizes = np.diff(self._starts) if not self.rules.collapses else np.ones(len(self.corpus.names))
        return np.bincount(self.gold.query, weights=sizes[self.gold.code], minlength=len(self.rows)).astype(np.int64)

    def fill(self, patterns: Sequence[Patterns], finder: Finder) -> None:
        texts = sorted({text for one in patterns for text in one.texts})
        words = sorted({word_pattern(text) for text in texts} - {""})  # an empty pattern is no word
        plain = finder.rows(texts, str.lower)
        whole = finder.rows(words, word_pattern, whole_words=True)
        numbers = NumberTable(self.corpus.texts if any(one.ranges for one in patterns) else ())
        groups: dict[Patterns, list[int]] = {}
        for query, one in enumerate(patterns):
            groups.setdefault(one, []).append(query)
        for one, members in groups.items():
            if not one.usable:
                continue
            ranged = [numbers.rows_within(bounds) for bounds in one.ranges]
            texted = [plain[text] for text in one.texts]
            worded = [whole[form] for form in map(word_pattern, one.texts) if form]
            self._mark(members, self._mask(ranged), self.numeric)
            answers, forms = self._mask([*ranged, *texted]), self._mask([*ranged, *worded])
            self._mark(members, answers, self.answer, self.answer_passages, self.gold_answers)
            self._mark(members, forms, self.words, self.word_passages, self.gold_words)

    def _mask(self, found: Sequence[np.ndarray]) -> Bool[np.ndarray, " N"]:
        mask = np.zeros(len(self.corpus.codes) + 1, dtype=bool)  # the last one answers for -1, a place without a hit
        for rows in found:
            mask[rows] = True
        return mask

    def _mark(
        self,
        members: Sequence[int],
        mask: Bool[np.ndarray, " N"],
        places: Bool[np.ndarray, "Q D"],
        passages: Int[np.ndarray, " Q"] | None = None,
        golds: Bool[np.ndarray, " Q"] | None = None,
    ) -> None:
        places[members] = mask[self.rows[members]]
        if passages is None or golds is None:
            return
        unique = len(self.corpus.names) == len(self.corpus.codes) or not self.rules.collapses
        present = mask[:-1]
        passages[members] = present.sum() if unique else len(np.unique(self.corpus.codes[present]))
        for query in members:
            low, high = np.searchsorted(self.gold.query, [query, query + 1])
            golds[query] = any(
                mask[self._order[self._starts[code] : self._starts[code + 1]]].any()
                for code in self.gold.code[low:high]
            )
