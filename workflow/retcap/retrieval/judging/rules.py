"""What a dialect decides: which hits take a place in a list, which passages are gold, and what answers look for.

Everything else is the same for all (`judging.py`). Corpus ids count as text, which they are in all published corpora;
those of queries have the type that they have in the file.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from retcap.retrieval.judging.files import Corpus, Ranked
from retcap.retrieval.judging.lists import Lists
from retcap.retrieval.judging.patterns import Patterns


class DialectError(ValueError):
    """The original program would stop here. `reason` says at which query and why; the message adds the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason} Put strict first in retrieval.dialects: it is defined for every input.")
        self.reason = reason


class Wanted(NamedTuple):
    """What to look for, per query, and whether the query is in the denominator of PR."""

    patterns: list[Patterns]
    counted: Bool[np.ndarray, " Q"]


class Dialect(ABC):
    """The rules of one program. Where that would crash, they raise DialectError, which names the query.

    The first four work on whole files; the others are the plain definition, on values of one query as they are in the
    file (`query` names it in messages), with which the tests compare.
    """

    name: ClassVar[str]  # that of its file
    in_words: ClassVar[str]  # for the report: how it differs from the rules of this project

    @abstractmethod
    def lists(self, ranked: Ranked, corpus: Corpus, queries: pa.Table, depth: int) -> Lists:
        """The first `depth` places of every query, in the order of the rows of `queries`."""

    def gold(self, queries: pa.Table) -> list[list[str]]:
        """Keys of the gold passages of every query, repeats included."""
        return [one or [] for one in queries["positives"].to_pylist()]

    @abstractmethod
    def wanted(self, queries: pa.Table, lists: Lists, corpus: Corpus) -> Wanted:
        """What every query looks for in the texts of its list."""

    @abstractmethod
    def passages(self, corpus: Corpus) -> Int[np.ndarray, " N"]:
        """For every row of the corpus the passage that it counts as."""

    @abstractmethod
    def places(self, ranked: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        """The places of one ranking, from the (key, text) of its hits, best first."""

    def gold_keys(self, raw: Any, query: str) -> list[str]:
        """Keys of the gold passages of a `passage_id` value; equal keys are the same passage."""
        return [self.passage_key(value) for value in (raw if isinstance(raw, list) else [raw]) if value is not None]

    def passage_key(self, value: Any) -> str:
        """Key of one passage id: its text."""
        return str(value)

    @abstractmethod
    def answer_patterns(self, raw: Any, query: str) -> Patterns:
        """Substrings and ranges of an `answer` value."""

    @abstractmethod
    def counts(self, patterns: Patterns) -> bool:
        """Whether a query that looks for these is in the denominator of PR."""

    @abstractmethod
    def contains_answer(self, patterns: Patterns, text: str | None) -> bool:
        """Whether a passage text contains an answer."""

    @abstractmethod
    def query_text(self, instruction: str, question: str) -> str:
        """A query as the program builds it. Models here always get that of `strict`; the others are on record."""
