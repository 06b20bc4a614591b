"""This project's rules: defined for every input. A passage counts once, a query without usable answers not for PR."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from retcap.retrieval.judging.answers import parse_answers
from retcap.retrieval.judging.files import Corpus, Ranked
from retcap.retrieval.judging.lists import Lists
from retcap.retrieval.judging.patterns import Patterns
from retcap.retrieval.judging.rules import Dialect, Wanted


class Strict(Dialect):
    """Distinct passages in every list, each query judged by its own."""

    name = "strict"
    in_words = "the rules of this page"

    def lists(self, ranked: Ranked, corpus: Corpus, queries: pa.Table, depth: int) -> Lists:
        return Lists.of(ranked.once(corpus), corpus, len(queries), depth)

    def wanted(self, queries: pa.Table, lists: Lists, corpus: Corpus) -> Wanted:
        texts, ranges = queries["answers"].to_pylist(), queries["numeric"].to_pylist()
        patterns = [
            Patterns(
                tuple(dict.fromkeys(text.strip().lower() for text in some or () if text and text.strip())),
                tuple((one["low"], one["high"]) for one in numeric or ()),
            )
            for some, numeric in zip(texts, ranges, strict=True)
        ]
        return Wanted(patterns, np.array([one.usable for one in patterns], dtype=bool))

    def passages(self, corpus: Corpus) -> Int[np.ndarray, " N"]:
        return corpus.codes

    def places(self, ranked: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        first: dict[str, str | None] = {}
        for key, text in ranked:
            first.setdefault(key, text)  # the text of the best row is the one that is kept
        return list(first.items())

    def answer_patterns(self, raw: Any, query: str) -> Patterns:
        answers = parse_answers(raw)
        return Patterns(tuple(dict.fromkeys(text.lower() for text in answers.texts)), tuple(answers.ranges))

    def counts(self, patterns: Patterns) -> bool:
        return patterns.usable

    def contains_answer(self, patterns: Patterns, text: str | None) -> bool:
        return text is not None and patterns.are_in(text)

    def query_text(self, instruction: str, question: str) -> str:
        return " ".join(part.strip() for part in (instruction, question) if part.strip())


DIALECT = Strict()
