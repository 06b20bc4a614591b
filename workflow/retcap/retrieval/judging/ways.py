"""The same hits scored by the rules of several dialects: the first one in full, the others beside it.

Published numbers come from programs that count differently (see `dialects/`). The first dialect makes the result;
another one adds its metrics under `dialects`, or the reason for which its original program would have stopped.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from retcap.retrieval.judging.files import Files
from retcap.retrieval.judging.rules import DialectError
from retcap.retrieval.scoring import Scored, score_hits

log = logging.getLogger(__name__)
KEPT = ("metrics", "gaps", "floors", "pr_ceiling", "pr_gold", "n_pr_queries", "duplicates_collapsed")


def score_ways(
    queries: pa.Table,
    passages: pa.Table,
    hits: pa.Table,
    ks: Sequence[int],
    dialects: Sequence[str],
    seed: int,
    *,
    about: Mapping[str, str | None],
    draws: int = 1000,
) -> Scored:
    """`score_hits` by the first dialect; its result gets `dialects`: name -> metrics, or `stopped` with a sentence.

    All dialects draw the same query images, so their intervals differ by the rules only.
    """
    files = Files.of(queries, passages, hits)
    scored: dict[str, Scored] = {}
    ways: dict[str, dict[str, Any]] = {}
    for name in dialects:
        main = name == dialects[0]
        try:
            rng = np.random.default_rng(seed)
            scored[name] = score_hits(files, ks, name, rng, about=about, draws=draws, with_slices=main)
        except DialectError as error:
            if main:
                raise
            log.info("%s: %s", name, error.reason)
            ways[name] = {"stopped": error.reason}
        else:
            ways[name] = {key: scored[name].result[key] for key in KEPT}
    result, per_query = scored[dialects[0]]
    return Scored(result | {"dialects": ways}, per_query)
