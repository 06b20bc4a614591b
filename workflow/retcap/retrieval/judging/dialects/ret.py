"""The rules of `inference.py` of aimagelab/ReT, commit 3fee6aa."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from retcap.retrieval.judging.originals import Original


class Ret(Original):
    """Queries that share an id are judged by the ranking of the last; numbers are looked for as they are printed."""

    name = "ret"
    in_words = (
        "every row of a repeated passage id takes a place, a string answer is taken apart into letters, and an empty "
        "answer is in every text"
    )

    def sources(self, ids: Sequence[str]) -> Int[np.ndarray, " Q"]:
        last = {name: position for position, name in enumerate(ids)}
        return np.array([last[name] for name in ids], dtype=np.int64)

    def substring(self, answer: Any) -> str | None:
        if isinstance(answer, dict):
            answer = str(answer["wikidata"]) if "wikidata" in answer else None
        return answer.strip().lower() if isinstance(answer, str) else None

    def query_text(self, instruction: str, question: str) -> str:
        return f"{instruction} {question}"


DIALECT = Ret()
