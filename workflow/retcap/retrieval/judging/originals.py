"""What the published programs have in common: every row takes a place, and they stop at what they do not expect."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from retcap.retrieval.judging.files import Corpus, Ranked, name_of
from retcap.retrieval.judging.lists import Lists
from retcap.retrieval.judging.patterns import Patterns
from retcap.retrieval.judging.rules import Dialect, DialectError, Wanted


class Original(Dialect):
    """A published program."""

    @abstractmethod
    def sources(self, ids: Sequence[str]) -> Int[np.ndarray, " Q"]:
        """By whose ranking each query is judged, where ids are repeated."""

    @abstractmethod
    def substring(self, answer: Any) -> str | None:
        """What is looked for of one answer; None where the program stops."""

    def lists(self, ranked: Ranked, corpus: Corpus, queries: pa.Table, depth: int) -> Lists:
        lists = Lists.of(ranked, corpus, len(queries), depth)
        sources = self.sources(queries["query_id"].to_pylist())
        empty = np.flatnonzero(lists.lengths[sources] == 0)
        if len(empty):
            name = name_of(queries, int(empty[0]))
            raise DialectError(f"{name} has no hits; {self.name} takes the maximum of nothing and stops.")
        return replace(lists, rows=lists.rows[sources])

    def wanted(self, queries: pa.Table, lists: Lists, corpus: Corpus) -> Wanted:
        raw = list(self.values(queries, "answer_json"))
        if all(answer is None for answer in raw):
            return Wanted([Patterns(())] * len(raw), np.zeros(len(raw), dtype=bool))
        patterns = [self.answer_patterns(answer, name_of(queries, row)) for row, answer in enumerate(raw)]
        self._refuse_null_texts(lists.rows, corpus, queries)
        return Wanted(patterns, np.ones(len(raw), dtype=bool))

    def values(self, queries: pa.Table, column: str) -> Iterator[Any]:
        """Values of every query as they are in the data file."""
        if column not in queries.column_names:
            raise ValueError(
                f"queries: the column `{column}` is missing; {self.name} needs the values as they are in the data "
                "file. Normalise the data again, or score by strict only (retrieval.dialects)."
            )
        yield from map(json.loads, queries[column].to_pylist())

    def passages(self, corpus: Corpus) -> Int[np.ndarray, " N"]:
        return np.arange(len(corpus.codes))

    def places(self, ranked: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        if not ranked:
            raise DialectError(f"A query has no hits; {self.name} takes the maximum of nothing and stops.")
        return list(ranked)

    def answer_patterns(self, raw: Any, query: str) -> Patterns:
        if not isinstance(raw, str | list):
            raise DialectError(f"{query}: the answer is {raw!r}; {self.name} iterates over it and stops.")
        found: dict[str, None] = {}
        for answer in raw:  # of a string, character by character
            text = self.substring(answer)
            if text is None:
                raise DialectError(f"{query}: one answer is {answer!r}; {self.name} cannot strip it and stops.")
            found[text] = None
        return Patterns(tuple(found))

    def counts(self, patterns: Patterns) -> bool:
        return True

    def contains_answer(self, patterns: Patterns, text: str | None) -> bool:
        if text is None:
            raise DialectError(f"A passage without text is among the hits; {self.name} lower-cases it and stops.")
        return patterns.are_in(text)

    def _refuse_null_texts(self, rows: Int[np.ndarray, "Q D"], corpus: Corpus, queries: pa.Table) -> None:
        null = np.array([text is None for text in corpus.texts], dtype=bool)
        bad = np.argwhere((rows >= 0) & null[rows]) if null.any() else np.zeros((0, 2), dtype=int)
        if len(bad):
            query, place = bad[0]
            raise DialectError(
                f"{name_of(queries, int(query))}: the passage at rank {place + 1} "
                f"(row {corpus.rows[rows[query, place]]}) has no text; {self.name} lower-cases it and stops."
            )
