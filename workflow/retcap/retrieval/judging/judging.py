"""Marks for every hit of every query: is it a gold passage, does its text contain an answer? By the rules of a dialect.

Equal to the plain definition (`plain.py`), but for whole files: 5,000 queries x 500 hits against 100,000 passages in
seconds, and the facts about the whole corpus that floor and ceiling need come out of the same pass.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from retcap.retrieval.judging.files import Files
from retcap.retrieval.judging.gold import Gold
from retcap.retrieval.judging.marks import TextMarks
from retcap.retrieval.judging.rules import Dialect


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


def judge(files: Files, depth: int, rules: Dialect) -> tuple[Judged, Evidence]:
    """Judge the first `depth` places of every query's list."""
    queries, corpus = files.queries, files.corpus
    lists = rules.lists(files.ranked, corpus, queries, depth)
    gold = Gold.of(rules.gold(queries), [rules.passage_key(name) for name in corpus.names])
    wanted = rules.wanted(queries, lists, corpus)
    passages = rules.passages(corpus)
    marks = TextMarks(lists.rows, corpus, gold, passages)
    marks.fill(wanted.patterns, corpus, files.finder)
    counts = {
        "duplicates_collapsed": len(files.ranked.query) - int(lists.lengths.sum()),
        "repeated_query_ids": len(queries) - len(queries["query_id"].unique()),
        "short_lists": lists.short,
        "empty_lists": int((lists.lengths == 0).sum()),
        **corpus.counts,
        "gold_missing": gold.missing,
        "no_gold": int((gold.count == 0).sum()),
    }
    found = marks.answer_passages, marks.word_passages, marks.gold_answers, marks.gold_words
    evidence = Evidence(len(np.unique(passages)), gold.in_corpus(corpus, passages), *found, counts)
    first = gold.first_places(lists.rows, corpus)
    return Judged(first, marks.answer, marks.words, marks.numeric, gold.count, wanted.counted), evidence
