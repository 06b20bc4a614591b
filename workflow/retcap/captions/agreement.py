"""Do our metrics agree with people? Kendall's tau between the score of a caption and each rating that people gave it.

    tau_b = (C - D) / sqrt((N - T_score) (N - T_rating))        ties in either ranking leave its side of the norm
    tau_c = 2 (C - D) / (n^2 (m - 1) / m)                       m: the smaller number of distinct values

C, D: concordant and discordant pairs of ratings, N = n (n - 1) / 2, T: pairs tied (Kendall 1945; Stuart 1953; as
`scipy.stats.kendalltau`). Every rating is an observation of its own, as in all published tables, so captions that
several people rated count as often. A metric in which less is better is turned round. Published tables quote tau_c for
Flickr8k-Expert, older ones tau_b.

Beside the metrics stand two marks: the length of a caption in words, which is what a metric must beat to be of use, and
people among themselves: each rating against the mean of the others that the same caption got.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retcap import plugins
from retcap.captions import scoring
from retcap.captions.context import Context
from retcap.captions.judgements import Judgements


class Published(NamedTuple):
    """Values in percent; None: not printed."""

    tau_b: float | None
    tau_c: float | None


# On the 16,992 ratings of Flickr8k-Expert. The COCO versions of BLEU and ROUGE-L are the ones that were published.
PUBLISHED = {
    "bleu4_coco": Published(30.6, 30.8),
    "rougeL": Published(32.1, 32.3),
    "meteor": Published(41.5, 41.8),
    "cider": Published(43.6, 43.9),
    "spice": Published(51.7, 44.9),
}
SOURCE = "YuigaWada/CaptionEvalKit-for-VLMs, benchmarks/expected (commit 23f154b)"


def agreement(judged: Judgements, file: str, metric_names: Sequence[str], context: Context) -> dict[str, Any]:
    """Content of `metric_agreement.json`: tau_b and tau_c per key of every metric that scores, or why there is none."""
    known = judged.is_flickr8k_expert
    judges = [name for name in metric_names if plugins.load("metrics", name).CARD.kind == "score"]
    return {
        "file": Path(file).name,
        "sha256": judged.sha256,
        "known_as": "Flickr8k-Expert" if known else None,
        "published_source": SOURCE if known else None,
        "images": len(set(judged.images)),
        "pairs": len(judged.candidates),
        "ratings": len(judged.rating),
        "metrics": [row for name in judges for row in _rows(name, judged, context, known)],
        "length": taus(np.array([len(text.split()) for text in judged.candidates])[judged.pair], judged.rating),
        "people": people(judged),
    }


def not_computed(found: dict[str, Any]) -> dict[str, str]:
    """Metrics that should have come and did not: key -> reason."""
    return {row["key"]: row["reason"] for row in found["metrics"] if row["failed"]}


def taus(scores: np.ndarray, ratings: np.ndarray) -> dict[str, float | None]:
    """tau_b and tau_c; None where all scores are equal, so that nothing is ranked."""
    from scipy.stats import kendalltau

    if len(np.unique(scores)) < 2:
        return {"tau_b": None, "tau_c": None}
    found: dict[str, Any] = {kind: kendalltau(scores, ratings, variant=kind) for kind in ("b", "c")}
    return {f"tau_{kind}": float(one.statistic) for kind, one in found.items()}


def people(judged: Judgements) -> dict[str, Any]:
    """Each rating against the mean of the others of its pair, over pairs that have others."""
    count, total = np.bincount(judged.pair), np.bincount(judged.pair, judged.rating)
    has = count[judged.pair] > 1
    if not has.any():
        return {"n": 0, "tau_b": None, "tau_c": None}
    others = (total[judged.pair] - judged.rating)[has] / (count[judged.pair][has] - 1)
    return {"n": int(has.sum())} | taus(others, judged.rating[has])


def _rows(name: str, judged: Judgements, context: Context, known: bool) -> list[dict[str, Any]]:
    module = plugins.load("metrics", name)
    rows = []
    for key, result in scoring.compute(name, module, judged.candidates, judged.references, context).items():
        said = PUBLISHED.get(key, Published(None, None)) if known else Published(None, None)
        found: dict[str, float | None] = {"tau_b": None, "tau_c": None}
        if result.items is not None:
            better = result.items if module.CARD.higher_is_better else -result.items
            found = taus(better[judged.pair], judged.rating)
        reason = result.reason
        if reason is None and found["tau_b"] is None:
            reason = "It has no values of single captions." if result.items is None else "All captions score the same."
        rows.append(
            {"key": key, "metric": name}
            | found
            | {
                "published_tau_b": said.tau_b,
                "published_tau_c": said.tau_c,
                "signature": result.signature,
                "reason": reason,
                "failed": result.value is None and not result.excused,
            }
        )
    return rows
