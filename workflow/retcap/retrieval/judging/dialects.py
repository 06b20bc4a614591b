"""The three ways of scoring a ranking behind published numbers, rule by rule, on values as they are in the file.

`strict`  this project's default: defined for every input, never fails
`ret`     `inference.py` of aimagelab/ReT, commit 3fee6aa
`flmr`    `examples/example_use_preflmr.py` of LinWeizheDragon/FLMR, commit be4b748

Only scoring differs: the ranking is always that of our exact search. Corpus ids count as text, which they are in all
published corpora; those of queries have the type that they have in the file. Where the original program would crash,
its dialect raises DialectError, which names the query. These functions are the plain definition; `judging.py` computes
the same for whole files.

>>> [contains_answer(answer_patterns("Nationals Park", name, "q1"), "a zoo in Boston", name) for name in DIALECTS]
[False, True, True]
"""

import json
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from retcap.retrieval.judging.answers import parse_answers
from retcap.retrieval.judging.numerals import contains_number


class DialectError(ValueError):
    """The original program would stop here. `reason` says at which query and why; the message adds the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason} Put strict first in retrieval.dialects: it is defined for every input.")
        self.reason = reason


class Dialect(NamedTuple):
    """Rules that tables are judged by."""

    name: str
    collapses: bool  # rows of one passage id count once; otherwise each row takes a place in the top K
    tolerant: bool  # null texts, null answers and empty lists are defined; otherwise they stop the program
    repeated_ids: str  # rows that share a query id: "own" ranking each, all the "last" one's, or a "crash"


DIALECTS = {
    "strict": Dialect("strict", collapses=True, tolerant=True, repeated_ids="own"),
    "ret": Dialect("ret", collapses=False, tolerant=False, repeated_ids="last"),
    "flmr": Dialect("flmr", collapses=False, tolerant=False, repeated_ids="crash"),
}


def dialect_of(name: str) -> Dialect:
    """The rules of a dialect by name."""
    if name not in DIALECTS:
        raise ValueError(f"A dialect is one of {', '.join(DIALECTS)}. Got {name!r} instead.")
    return DIALECTS[name]


class Patterns(NamedTuple):
    """What one query's answers look for: lower-case substrings (an empty one is in every text) and number ranges."""

    texts: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...] = ()

    @property
    def usable(self) -> bool:
        return bool(self.texts or self.ranges)


def answer_patterns(raw: Any, dialect: str, query: str) -> Patterns:
    """Substrings and ranges of an `answer` value as it is in the file. `query` names the query in messages."""
    if dialect == "strict":
        answers = parse_answers(raw)
        return Patterns(tuple(dict.fromkeys(text.lower() for text in answers.texts)), tuple(answers.ranges))
    if not isinstance(raw, str | list):
        raise DialectError(f"{query}: the answer is {raw!r}; {dialect} iterates over it and stops.")
    return Patterns(tuple(dict.fromkeys(_original(answer, dialect, query) for answer in raw)))  # a string by character


def _original(answer: Any, dialect: str, query: str) -> str:
    if isinstance(answer, str):
        return answer.strip().lower()
    if dialect == "ret" and isinstance(answer, dict) and "wikidata" in answer:
        return str(answer["wikidata"]).strip().lower()
    raise DialectError(f"{query}: one answer is {answer!r}; {dialect} cannot strip it and stops.")


def word_pattern(text: str) -> str:
    """Form in which whole words are compared: compatibility characters unified, case folded.

    >>> word_pattern("ＳＴＲＡẞＥ") == word_pattern("strasse")
    True
    """
    return unicodedata.normalize("NFKC", text).casefold()


def contains_answer(patterns: Patterns, text: str | None, dialect: str) -> bool:
    """Whether a passage text contains an answer. A null text contains none in `strict` and stops the others."""
    if text is None:
        if not dialect_of(dialect).tolerant:
            raise DialectError(f"A passage without text is among the hits; {dialect} lower-cases it and stops.")
        return False
    lowered = text.lower()
    return any(pattern in lowered for pattern in patterns.texts) or contains_number(text, patterns.ranges)


def gold_keys(raw: Any, dialect: str, query: str) -> list[Hashable]:
    """Keys of the gold passages of a `passage_id` value as it is in the file; equal keys are the same passage.

    `flmr` compares values together with their types, takes a string that is not in a list apart into characters, and
    stops at a number that is not in one. `query` names the query in messages.
    """
    if dialect == "flmr" and not isinstance(raw, str | list):
        raise DialectError(f"{query}: the gold passage is {raw!r}, not a list; flmr iterates over it and stops.")
    values = raw if isinstance(raw, list) or (dialect == "flmr" and isinstance(raw, str)) else [raw]
    return [passage_key(value, dialect) for value in values if value is not None]


def passage_key(value: Any, dialect: str) -> str:
    """Key of one passage id: its text, or for `flmr` its JSON, in which 123 and "123" differ."""
    return json.dumps(value) if dialect == "flmr" else str(value)


def query_text(instruction: str, question: str, dialect: str, mask: str = "[MASK]") -> str:
    """Text of a query as each original builds it. Models here always get the `strict` one; the others are on record.

    >>> query_text(" Find it: ", "what?", "strict"), query_text("Find it", "what?", "flmr")
    ('Find it: what?', 'Find it[MASK]what?')
    """
    if dialect == "strict":
        return " ".join(part.strip() for part in (instruction, question) if part.strip())
    if dialect == "ret":
        return f"{instruction} {question}"
    if not instruction:
        raise DialectError("The instruction is empty; flmr looks at its last character and stops.")
    closed = instruction if instruction[-1] == ":" else instruction + ":"
    return closed.replace(":", mask) + question


def plain_recall(gold: Sequence[Hashable], ranked: Sequence[Hashable], k: int, dialect: str) -> float:
    """R@K of one query, by the definition. `ranked`: passage keys, best first, possibly with repeats."""
    if not ranked and not dialect_of(dialect).tolerant:
        raise DialectError(f"A query has no hits; {dialect} takes the maximum of nothing and stops.")
    places = list(dict.fromkeys(ranked)) if dialect_of(dialect).collapses else list(ranked)
    return float(any(key in gold for key in places[:k]))


def plain_pseudo_recall(
    patterns: Patterns, ranked: Sequence[tuple[Hashable, str | None]], k: int, dialect: str
) -> float | None:
    """PR@K of one query, by the definition; None where `strict` leaves the query out. `ranked`: (key, text) pairs."""
    rules = dialect_of(dialect)
    if rules.tolerant and not patterns.usable:
        return None
    if not ranked and not rules.tolerant:
        raise DialectError(f"A query has no hits; {dialect} takes the maximum of nothing and stops.")
    found = [contains_answer(patterns, text, dialect) for _, text in _places(ranked, rules)[:k]]
    return float(any(found))  # looked at all of them first, as the originals do: a null after a hit stops them too


def _places(ranked: Sequence[tuple[Hashable, str | None]], rules: Dialect) -> list[tuple[Hashable, str | None]]:
    if not rules.collapses:
        return list(ranked)
    first: dict[Hashable, str | None] = {}
    for key, text in ranked:
        first.setdefault(key, text)  # the text of the best row is the one that is kept
    return list(first.items())
