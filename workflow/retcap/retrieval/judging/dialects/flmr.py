"""The rules of `examples/example_use_preflmr.py` of LinWeizheDragon/FLMR, commit be4b748."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from retcap.retrieval.judging.files import name_of
from retcap.retrieval.judging.originals import Original
from retcap.retrieval.judging.rules import DialectError

MASK = "[MASK]"


class Flmr(Original):
    """Ids are compared together with their types; repeated query ids and answers that are dicts stop the program."""

    name = "flmr"
    in_words = (
        "every row of a repeated passage id takes a place, string answers and gold ids outside a list are taken apart "
        "into letters, an empty answer is in every text, and ids are equal only with equal types"
    )

    def sources(self, ids: Sequence[str]) -> Int[np.ndarray, " Q"]:
        if repeated := len(ids) - len(set(ids)):
            raise DialectError(f"{repeated} query ids are repeated; flmr stops at its report.")
        return np.arange(len(ids))

    def gold(self, queries: pa.Table) -> list[list[str]]:
        raw = self.values(queries, "positives_json")
        return [self.gold_keys(one, name_of(queries, row)) for row, one in enumerate(raw)]

    def gold_keys(self, raw: Any, query: str) -> list[str]:
        """A string that is not in a list is taken apart into characters, and a number that is not in one stops it."""
        if not isinstance(raw, str | list):
            raise DialectError(f"{query}: the gold passage is {raw!r}, not a list; flmr iterates over it and stops.")
        return [self.passage_key(value) for value in raw if value is not None]

    def passage_key(self, value: Any) -> str:
        """Its JSON, in which 123 and "123" differ."""
        return json.dumps(value)

    def substring(self, answer: Any) -> str | None:
        return answer.strip().lower() if isinstance(answer, str) else None

    def query_text(self, instruction: str, question: str) -> str:
        if not instruction:
            raise DialectError("The instruction is empty; flmr looks at its last character and stops.")
        closed = instruction if instruction[-1] == ":" else instruction + ":"
        return closed.replace(":", MASK) + question


DIALECT = Flmr()
