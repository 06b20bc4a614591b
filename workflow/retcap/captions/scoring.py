"""Scores the captions of one system: the content of `<model>_metrics.json` and a table of per-item values.

Every (image, query) pair counts once, with all its references. A failed or empty caption is an empty string: it keeps
its place and scores 0. A metric that cannot be computed is null with its reason, and marked as failed unless it says
that no further run could change this. Intervals are percentile bootstrap over images: the pairs of one share it and its
annotators, and on QuIC-360 the standard error of CIDEr over images is 1.4 to 1.5 times the one over pairs.

Where a human baseline is scored, every system is scored a second time, on the references without the one that the human
says (`retcap.captions.held_out`). These values compare with the human's, the others do not. A third time, with the
captions of other pictures (`retcap.captions.shuffled`): what a system loses by that, it owes to the picture.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np
import pandas as pd

from retcap import plugins
from retcap.analysis import bootstrap
from retcap.captions import held_out, shuffled
from retcap.captions.context import Context, Result
from retcap.captions.files import STATUSES
from retcap.captions.item_tables import HELD_OUT, LEVEL, SHUFFLED, intervals
from retcap.captions.pairs import Pairs, align
from retcap.captions.places import Places
from retcap.captions.shuffled import Partners

log = logging.getLogger(__name__)

PROMISED = ("bleu4", "meteor", "rougeL", "spice", "cider")  # keys every metrics file has, in this order


@dataclass(frozen=True)
class Scores:
    """All results of one system by key, and which plugin gave each key."""

    pairs: Pairs
    results: dict[str, Result] = field(default_factory=dict)
    raw_results: dict[str, Result] = field(default_factory=dict)
    plugin_of: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # per plugin, cleaned and raw captions together
    draws: int = 1  # of the held-out reference, or of the other pictures
    held_out: "Scores | None" = None  # the same system on the references without one; None: nobody asked
    shuffled: "Scores | None" = None  # its captions given to other pictures with the same query; None: nobody asked


def score_captions(
    items: pd.DataFrame,
    captions: pd.DataFrame,
    metric_names: Sequence[str],
    context: Context,
    held: Places | None = None,
    partners: Partners | None = None,
) -> Scores:
    """All metrics on the cleaned captions, and on the raw ones where a metric is quick enough.

    With `held`, also on the references without one. The human baseline has those values alone: against all references
    its caption would meet itself. With `partners`, also the captions of these.
    """
    modules = {name: plugins.load("metrics", name) for name in metric_names}
    for name, module in modules.items():
        if module.CARD.task != "captioning":
            raise ValueError(f"`{name}` is a metric for {module.CARD.task}. Name metrics whose task is captioning.")
    judges = {name: module for name, module in modules.items() if module.CARD.kind == "score"}
    pairs, human = align(items, captions), "held_out" in captions and any(captions["held_out"].notna())
    scores = Scores(pairs) if human else _score(pairs, modules, context, raw=True)
    if partners and not human:
        others = _score(shuffled.expand(pairs, partners), judges, context, raw=False)
        scores = replace(scores, shuffled=_fold(others, judges, len(next(iter(partners.values()))), "image:shuffled"))
    if held is None or not (set(held) & set(pairs.item_ids)):
        return scores
    draws = len(next(iter(held.values())))
    expanded = held_out.expand(pairs, held, human=human)
    found = _fold(_score(expanded, judges, context, raw=human), judges, draws, "refs:held-out")
    if human:  # how captions look hangs on no reference, so the other systems have it already
        looks = {name: module for name, module in modules.items() if module.CARD.kind == "look"}
        first = _score(held_out.expand(pairs, held_out.first(held), human=True), looks, context, raw=False)
        found.results.update(held_out.spread(first.results, draws))
        found.plugin_of.update(first.plugin_of)
        found.seconds.update(first.seconds)
    return replace(scores, held_out=found)


def _fold(found: Scores, modules: Mapping[str, ModuleType], draws: int, what: str) -> Scores:
    for name, module in modules.items():
        for results in (found.results, found.raw_results):
            own = {key: result for key, result in results.items() if found.plugin_of[key] == name}
            results.update(held_out.fold(own, module, draws, what))
    return replace(found, draws=draws)


def _score(pairs: Pairs, modules: Mapping[str, ModuleType], context: Context, *, raw: bool) -> Scores:
    scores = Scores(pairs)
    for name, module in modules.items():
        started = time.perf_counter()
        found = compute(name, module, pairs.cleaned, pairs.references, context, pairs.images)
        signed = {
            key: replace(result, signature=f"{result.signature}|clean:{pairs.cleaner}") for key, result in found.items()
        }
        scores.results.update(signed)
        scores.plugin_of.update(dict.fromkeys(found, name))
        if raw and module.CARD.kind == "score" and getattr(module, "SCORE_RAW", True):
            same = pairs.raw == pairs.cleaned
            scores.raw_results.update(found if same else compute(name, module, pairs.raw, pairs.references, context))
        scores.seconds[name] = round(time.perf_counter() - started, 3)
        log.info("%s on %d captions: %.2f s", name, len(pairs.item_ids), scores.seconds[name])
    return scores


def report(scores: Scores, *, rng: np.random.Generator, draws: int = 1000) -> dict:
    """The promised five values, every value in detail with its interval, the counts, and the values of raw text.

    `references` says what the values stand for: "all", or "held out" for the human baseline, whose values are those of
    the section `held_out`. Every system has that section where a human baseline is scored, and two of them compare.
    `shuffled`: the values of its captions given to other pictures.
    """
    # so that the draws of the other values are the same with and without these sections
    [apart], [again] = rng.spawn(1), rng.spawn(1)
    beside = None if scores.held_out is None else _section(scores, apart, draws, HELD_OUT)
    if scores.held_out is not None and beside is not None and not scores.results:
        references, shown, raw = "held out", beside, scores.held_out.raw_results
    else:
        references, shown, raw = "all", _section(scores, rng, draws), scores.raw_results
    pairs = scores.pairs
    counts = {status: pairs.statuses.count(status) for status in STATUSES} | {"excluded": pairs.excluded}
    return {
        "references": references,
        "num_samples": shown["num_samples"],
        "metrics": shown["metrics"],
        "raw_metrics": {key: raw[key].value if key in raw else None for key in PROMISED},
        "details": shown["details"],
        "held_out": beside,
        "shuffled": None if scores.shuffled is None else _section(scores, again, draws, SHUFFLED),
        "counts": counts,
        "bootstrap": {"unit": "image", "images": len(set(pairs.images)), "draws": draws, "level": LEVEL},
        "metric_seconds": _total(scores),
    }


def _section(scores: Scores, rng: np.random.Generator, draws: int, mark: str = "") -> dict:
    """Number of pairs, the promised values, and every value in detail; where there are several draws, their number."""
    found = {HELD_OUT: scores.held_out, SHUFFLED: scores.shuffled}.get(mark) or scores
    bounds = intervals(scores, rng=rng, draws=draws, mark=mark)
    details = _details(0, "Not in the list of metrics to compute.")
    for key, result in found.results.items():
        details[key] = _detail(result, found.plugin_of[key], bounds.get(key))
    section = {
        "num_samples": len(set(found.pairs.item_ids)),
        "metrics": {key: details[key]["value"] for key in PROMISED},
    }
    return section | {"details": details} | ({"draws": found.draws} if mark else {})


def _total(scores: Scores) -> dict[str, float]:
    every = [one.seconds for one in (scores, scores.held_out, scores.shuffled) if one is not None]
    return {name: round(sum(one.get(name, 0.0) for one in every), 3) for names in every for name in names}


def not_computed(result: dict) -> dict[str, str]:
    """Metrics of `report` that were asked for and did not come: key -> reason."""
    sections = [result["shuffled"], result["held_out"], result]
    found = [(key, detail) for section in sections if section for key, detail in section["details"].items()]
    return {key: detail["reason"] for key, detail in found if detail["failed"]}


def not_scored(pairs: int, reason: str) -> dict:
    """The same content for a system that gave no captions at all: every value null with the reason."""
    return {
        "references": "all",
        "num_samples": pairs,
        "metrics": dict.fromkeys(PROMISED),
        "raw_metrics": dict.fromkeys(PROMISED),
        "details": _details(pairs, reason),
        "held_out": None,
        "shuffled": None,
        "counts": dict.fromkeys(STATUSES, 0) | {"failed": pairs},
        "bootstrap": None,
        "metric_seconds": {},
    }


def compute(
    name: str,
    module: ModuleType,
    candidates: list[str],
    references: list[list[str]],
    context: Context,
    images: list[str] | None = None,
) -> dict[str, Result]:
    """The results of one metric by key; all null with the reason where it could not be computed."""
    if not candidates:
        reason = "There is no pair with a reference."
        return {key: Result(None, 0, name, reason=reason, excused=True) for key in module.KEYS}
    try:
        pictures = {"images": images} if getattr(module, "NEEDS_IMAGES", False) else {}
        found = module.score(candidates, references, context, **pictures)
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


def _detail(result: Result, plugin: str | None, interval: bootstrap.Interval | None) -> dict:
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
