"""What becomes of one system's captions: scores, or the reason why it has none."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from retcap.captioning import failed_pairs, outcome
from retcap.captions import (
    clip_features,
    corenlp,
    files,
    frequencies,
    item_tables,
    places,
    reference_texts,
    scoring,
    shuffled,
)
from retcap.captions.context import NO_ENCODER, Context
from retcap.captions.pairs import align

Job = tuple[str, dict[str, str]]  # rule and wildcards


class Judged(NamedTuple):
    """One system's metrics file and table of scores, and what the next run has to try again."""

    result: dict[str, Any]
    table: pd.DataFrame
    again: list[tuple[str, Job | None]]  # reason, and the job if it is not the scoring


def judge(system: str, found: Any, params: Any, failed: Mapping[str, Any]) -> Judged:
    """`found`: paths of pairs, captions, outcome, frequencies, tokens, paraphrases, human, spice, clip.

    `failed`: failures among them, by path.

    A system without captions is not scored, nor a model that failed on too many pairs. Without frequencies there is no
    CIDEr, without a human baseline nothing is held out. All of this is in the result.
    """
    pairs = files.read_items(found.pairs)
    if lost := [failed[path] for path in (found.outcome, found.captions) if path in failed]:
        return _not_scored(system, len(pairs), lost[0].why)
    about, captions = outcome.read(found.outcome), files.read_captions(found.captions)
    elsewhere = about["kind"] == "elsewhere"
    lost_pairs = failed_pairs.count(pairs, captions, without_picture=elsewhere)
    if (reason := failed_pairs.problem(lost_pairs, params.max_failed_share)) is not None:
        result, table, _ = _not_scored(system, len(pairs), reason)
        statuses = captions["status"].tolist()
        counts = {status: statuses.count(status) for status in files.STATUSES}
        jobs = [] if elsewhere else outcome.jobs(system, about)
        return Judged(result | {"counts": counts}, table, [(reason, one) for one in jobs])
    human = getattr(found, "human", None)
    held = places.of_human(files.read_captions(human)) if human and human not in failed else None
    partners = None if about["kind"] == "baseline" else _partners(pairs, captions, params)
    known = failed.get(found.frequencies)
    idf = frequencies.read(found.frequencies) if known is None else frequencies.uncounted(known.why)
    tokens = getattr(found, "tokens", None)
    texts = reference_texts.read(tokens, found.paraphrases) if tokens and tokens not in failed else None
    with Context(idf, parser(getattr(found, "spice", None), failed), texts, *_clip(found, failed)) as context:
        scores = scoring.score_captions(pairs, captions, params.metrics, context, held, partners)
        result = scoring.report(scores, rng=np.random.default_rng(params.seed), draws=params.draws)
    missing = [f"{key} was not computed: {reason}" for key, reason in scoring.not_computed(result).items()]
    again: list[tuple[str, Job | None]] = [(missing[0], None)] if missing else []
    return Judged(about | result, item_tables.item_table(scores), again)


def _clip(found: Any, failed: Mapping[str, Any]) -> tuple[clip_features.ClipFeatures | None, str]:
    """Vectors for CLIPScore, or why there are none."""
    path = getattr(found, "clip", None)
    if not path:
        return None, NO_ENCODER
    return (None, failed[path].why) if path in failed else (clip_features.read(path), "")


def parser(path: str | None, failed: Mapping[str, Any]) -> corenlp.CoreNLP:
    """What SPICE parses with, or why it cannot."""
    if not path:
        return corenlp.CoreNLP()
    return corenlp.CoreNLP(reason=failed[path].why) if path in failed else corenlp.read(path)


def _partners(items: pd.DataFrame, captions: pd.DataFrame, params: Any) -> shuffled.Partners | None:
    """Whose captions each pair gets beside its own; None where the configuration wants no shuffled row."""
    queries = dict(zip(items["item_id"], items["query"], strict=True))
    drawn = shuffled.partners(align(items, captions), queries, seed=params.seed, draws=params.shuffled_draws)
    return drawn if params.shuffled_draws else None


def _not_scored(system: str, pairs: int, reason: str) -> Judged:
    return Judged(outcome.failed(system, reason) | scoring.not_scored(pairs, reason), item_tables.empty_table(), [])
