"""Scores the captions of one system: the content of `<model>_metrics.json` and a table of per-item values.

Every (image, query) pair counts once, with all its references. A failed or empty caption is an empty string: it keeps
its place and scores 0. A metric that cannot be computed is null with its reason, and marked as failed unless it says
that no further run could change this. Intervals are percentile bootstrap
over images: the pairs of one image share the image and its annotators, and on QuIC-360 the standard error of CIDEr
over images is 1.4 to 1.5 times the one over pairs.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from retcap import plugins, stats
from retcap.captioning.clean import CLEANER_VERSION
from retcap.captioning.context import Context, Result
from retcap.captioning.files import STATUSES, check_same_items

log = logging.getLogger(__name__)

PROMISED = ("bleu4", "meteor", "rougeL", "spice", "cider")  # keys every metrics file has, in this order
LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class Pairs:
    """What is judged, in the order of the items. Excluded pairs and pairs without any reference are left out."""

    item_ids: list[str]
    images: list[str]
    cleaned: list[str]
    raw: list[str]
    references: list[list[str]]
    statuses: list[str]
    excluded: int = 0


@dataclass(frozen=True)
class Scores:
    """All results of one system by key, and which plugin gave each key."""

    pairs: Pairs
    results: dict[str, Result]
    raw_results: dict[str, Result] = field(default_factory=dict)
    plugin_of: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # per plugin, cleaned and raw captions together


def score_captions(
    items: pd.DataFrame, captions: pd.DataFrame, metric_names: Sequence[str], context: Context
) -> Scores:
    """All metrics on the cleaned captions, and on the raw ones where a metric is quick enough."""
    modules = {name: plugins.load("metrics", name) for name in metric_names}
    for name, module in modules.items():
        if module.CARD.task != "captioning":
            raise ValueError(f"`{name}` is a metric for {module.CARD.task}. Name metrics whose task is captioning.")
    pairs = align(items, captions)
    cleaning = f"|clean:{CLEANER_VERSION if 'cleaned' in captions else 'no'}"
    scores = Scores(pairs, {})
    for name, module in modules.items():
        started = time.perf_counter()
        found = _compute(name, module, pairs.cleaned, pairs.references, context)
        signed = {key: replace(result, signature=result.signature + cleaning) for key, result in found.items()}
        scores.results.update(signed)
        scores.plugin_of.update(dict.fromkeys(found, name))
        if getattr(module, "SCORE_RAW", True):
            same = pairs.raw == pairs.cleaned
            scores.raw_results.update(found if same else _compute(name, module, pairs.raw, pairs.references, context))
        scores.seconds[name] = round(time.perf_counter() - started, 3)
        log.info("%s on %d pairs: %.2f s", name, len(pairs.item_ids), scores.seconds[name])
    return scores


def align(items: pd.DataFrame, captions: pd.DataFrame) -> Pairs:
    """Match captions to items by id. Ids must agree exactly; nothing is dropped silently."""
    for column, where in ((items["item_id"], "items"), (captions["item_id"], "captions")):
        if column.duplicated().any():
            raise ValueError(f"The {where} hold item_id {next(iter(column[column.duplicated()]))!r} more than once.")
    check_same_items(Path("captions to score"), set(items["item_id"]), set(captions["item_id"]))
    rows = captions.set_index("item_id").loc[items["item_id"]]
    raw = [_text(text) for text in rows["raw"]]
    cleaned = [_text(text) for text in rows["cleaned"]] if "cleaned" in rows else list(raw)
    overrides = rows["references_override"] if "references_override" in rows else [None] * len(rows)
    references = [
        _references(override if isinstance(override, Sequence | np.ndarray) else own)
        for own, override in zip(items["references"], overrides, strict=True)
    ]
    statuses = [_status(*row) for row in zip(items["item_id"], rows["status"], raw, cleaned, strict=True)]
    keep = [i for i, texts in enumerate(references) if texts and statuses[i] != "excluded"]
    images = items["image_key"].where(items["image_key"].notna(), items["image"]).tolist()
    return Pairs(
        item_ids=[items["item_id"].iloc[i] for i in keep],
        images=[images[i] for i in keep],
        cleaned=[cleaned[i] if statuses[i] == "ok" else "" for i in keep],
        raw=[raw[i] if statuses[i] in ("ok", "cleaned_to_empty") else "" for i in keep],
        references=[references[i] for i in keep],
        statuses=[statuses[i] for i in keep],
        excluded=len(references) - len(keep),
    )


def report(scores: Scores, *, rng: np.random.Generator, draws: int = 1000) -> dict:
    """The promised five values, every value in detail with its interval, the counts, and the values of raw text."""
    pairs = scores.pairs
    intervals = bootstrap(scores, rng=rng, draws=draws)
    details = _details(0, "Not in the list of metrics to compute.")
    for key, result in scores.results.items():
        details[key] = _detail(result, scores.plugin_of[key], intervals.get(key))
    counts = {status: pairs.statuses.count(status) for status in STATUSES} | {"excluded": pairs.excluded}
    raw = scores.raw_results
    return {
        "num_samples": len(pairs.item_ids),
        "metrics": {key: details[key]["value"] for key in PROMISED},
        "raw_metrics": {key: raw[key].value if key in raw else None for key in PROMISED},
        "details": details,
        "counts": counts,
        "bootstrap": {"unit": "image", "images": len(set(pairs.images)), "draws": draws, "level": LEVEL},
        "metric_seconds": scores.seconds,
    }


def not_computed(result: dict) -> dict[str, str]:
    """Metrics of `report` that were asked for and did not come: key -> reason."""
    return {key: detail["reason"] for key, detail in result["details"].items() if detail["failed"]}


def not_scored(pairs: int, reason: str) -> dict:
    """The same content for a system that gave no captions at all: every value null with the reason."""
    return {
        "num_samples": pairs,
        "metrics": dict.fromkeys(PROMISED),
        "raw_metrics": dict.fromkeys(PROMISED),
        "details": _details(pairs, reason),
        "counts": dict.fromkeys(STATUSES, 0) | {"failed": pairs},
        "bootstrap": None,
        "metric_seconds": {},
    }


def empty_table() -> pd.DataFrame:
    """The item table of a system that was not scored: the columns every table has, without rows."""
    return pd.DataFrame({"item_id": [], "image": [], "status": []}, dtype=object)


def bootstrap(scores: Scores, *, rng: np.random.Generator, draws: int = 1000) -> dict[str, stats.Interval]:
    """The value of every key with its interval over images; all keys share the draws."""
    if not scores.pairs.item_ids:
        return {}
    codes, count = stats.cluster_codes(scores.pairs.images)
    weights = stats.draw_weights(count, draws, rng)
    frame = item_table(scores)
    intervals = {}
    for key, result in scores.results.items():
        if result.value is not None:
            table, statistic = table_and_statistic(frame, key, scores.plugin_of[key])
            intervals[key] = stats.bootstrap(table, codes, weights, statistic, LEVEL)
    return intervals


def item_table(scores: Scores) -> pd.DataFrame:
    """One row per judged pair: item_id, image, status, each key's value and, where there are any, its statistics."""
    pairs = scores.pairs
    columns: dict[str, object] = {"item_id": pairs.item_ids, "image": pairs.images, "status": pairs.statuses}
    for key, result in scores.results.items():
        if result.items is not None:
            columns[key] = result.items
        if result.statistics is not None:
            columns[f"{key}_statistics"] = list(result.statistics)
    return pd.DataFrame(columns)


def table_and_statistic(frame: pd.DataFrame, key: str, metric: str) -> tuple[np.ndarray, stats.Statistic]:
    """From an item table, what `retcap.stats` needs to resample one key: rows to add up, and sums to score.

    `metric` is the plugin that gave the key (`details[key]["metric"]` of the metrics file). The table may come back
    from a Parquet file: paired tests between systems need no metric tool and no captions.
    """
    if f"{key}_statistics" not in frame:
        return stats.mean_table(frame[key].to_numpy(dtype=np.float64)), stats.mean
    table = np.array(frame[f"{key}_statistics"].tolist(), dtype=np.float64)
    return table, partial(plugins.load("metrics", metric).from_statistics, key)


def _compute(name: str, module, candidates: list[str], references: list[list[str]], context: Context) -> dict:
    if not candidates:
        reason = "There is no pair with a reference."
        return {key: Result(None, 0, name, reason=reason, excused=True) for key in module.KEYS}
    try:
        found = module.score(candidates, references, context)
    except Exception as error:  # one broken tool must cost one metric, not the run; the log keeps the traceback
        log.exception("Metric %s failed", name)
        reason = f"{type(error).__name__}: {error}"
        return {key: Result(None, len(candidates), name, reason=reason) for key in module.KEYS}
    if tuple(found) != tuple(module.KEYS):
        raise ValueError(f"Metric `{name}` gave the keys {list(found)}, its KEYS are {list(module.KEYS)}.")
    return found


def _details(n: int, reason: str) -> dict[str, dict]:
    """The promised keys, all null."""
    return {key: _detail(Result(None, n, "", reason=reason, excused=True), None, None) for key in PROMISED}


def _detail(result: Result, plugin: str | None, interval: stats.Interval | None) -> dict:
    card = plugins.load("metrics", plugin).CARD if plugin else None
    bounds = [None, None] if interval is None or np.isnan(interval.low) else [interval.low, interval.high]
    return {
        "value": result.value,
        "unit": card.unit if card else None,
        "higher_is_better": card.higher_is_better if card else None,
        "metric": plugin,
        "signature": result.signature,
        "n": result.n,
        "reason": result.reason,
        "failed": result.value is None and not result.excused,
        "ci_low": bounds[0],
        "ci_high": bounds[1],
    }


def _status(item_id: str, status: str, raw: str, cleaned: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"Item {item_id!r} has status {status!r}. Known: {', '.join(STATUSES)}.")
    if status == "ok" and not cleaned.strip():
        return "cleaned_to_empty" if raw.strip() else "empty"
    return status


def _text(text: object) -> str:
    return text if isinstance(text, str) else ""  # null, NaN


def _references(texts: Sequence[object]) -> list[str]:
    return [text for text in texts if isinstance(text, str) and text.strip()]
