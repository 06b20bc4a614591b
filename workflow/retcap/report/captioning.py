"""The captioning section: everything its template shows, as plain values."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from retcap import plugins
from retcap.analysis import ranks
from retcap.captioning import policies
from retcap.captions.item_tables import HELD_OUT
from retcap.report import agreement, caption_differences, differences, examples, pictures, plots, scores, wording
from retcap.report.facts import facts
from retcap.report.inputs import CaptioningInputs, column, read_json, read_jsonl, read_rows, read_table
from retcap.report.rejected import by_reason
from retcap.report.scores import HEADLINE, System

FEW_PAIRS = 20  # per-query scores on fewer pairs are shown, but greyed: their noise is larger than the differences
Rows = Mapping[str, Mapping[str, Any]]  # item id -> row of a captions table


def section(inputs: CaptioningInputs) -> dict[str, Any]:
    """Values for `captioning.html`."""
    summary = read_json(inputs.summary)
    systems = scores.read_systems(summary, inputs.summary, inputs.generated)
    done = [system.name for system in systems if not system.failed]
    models = [system.name for system in scores.by_headline([s for s in systems if not s.baseline])]
    captions = {name: _captions(inputs.captions[name]) for name in done if name in inputs.captions}
    tables = {name: read_table(inputs.scores[name], ["item_id"]) for name in done if name in inputs.scores}
    headline = {name: column(table, HEADLINE) for name, table in tables.items() if HEADLINE in table.columns}
    headline |= {name: _first_draw(table) for name, table in tables.items() if name not in headline}
    items = [] if inputs.items is None else read_rows(inputs.items, ["item_id", "image", "query", "references"])
    pack, found = pictures.open_pack(inputs.image_pack), differences.read(inputs.differences)
    return {
        "systems": systems,
        "items": {"pairs": len(items), "images": len({item["image"] for item in items})} if items else None,
        "scores": scores.score_table(systems, scores.shown_keys(systems)),
        "others": scores.score_table(systems, scores.other_keys(systems)),
        "tiny_encoder": any(
            "|encoder:tiny|" in (one.detail("clipscore") or {}).get("signature", "") for one in systems
        ),
        "looks": scores.score_table(systems, scores.looks(systems), ranked=False),
        "plots": dot_plots(systems),
        "sight": caption_differences.sight_table(systems, found),
        "human": caption_differences.human_table(systems, found),
        "tests": caption_differences.model_tests(systems, found, ranks.read(inputs.ranks)),
        "output": output_table(systems, captions, inputs.max_new_tokens),
        "agreement": agreement.table(inputs.agreement, inputs.agreement_failed),
        "cost": cost_plot(systems),
        "energy": any((one.record.get("cost") or {}).get("joules_per_caption") is not None for one in systems),
        "cap": inputs.max_new_tokens,
        "cleaning": scores.cleaning_table(systems),
        "setup": setup_table(systems, captions),
        "elsewhere": [system for system in systems if system.elsewhere and system.record.get("source")],
        "first_look": summary.get("first_look"),
        "queries": query_table(items, headline, models),
        "examples": examples.build(items, captions, headline, models, inputs.examples, pack),
        "metric": scores.title(HEADLINE),
        "generated": inputs.generated,
        "coverage": [] if inputs.coverage is None else facts(_named(summary) | read_json(inputs.coverage)),
        "training": [line for system in systems for line in facts(system.record.get("training") or {})],
        "quarantine": [] if inputs.quarantine is None else by_reason(read_jsonl(inputs.quarantine)),
        "quarantine_given": inputs.quarantine is not None,
        "signatures": scores.signatures(systems),
    }


def dot_plots(systems: Sequence[System]) -> list[Any]:
    """One dot plot per metric that at least one system has a value for; a system that stands apart is left out."""
    systems = [system for system in systems if not system.stands_apart]
    order = [*scores.by_headline([s for s in systems if not s.baseline])]
    order += scores.by_headline([s for s in systems if s.baseline])
    drawn = []
    for key in scores.HEADLINES:
        dots = []
        for system in order:
            value, detail = system.value(key), system.detail(key)
            if value is not None:
                dots.append(plots.Dot(system.name, value, detail.get("ci_low"), detail.get("ci_high"), system.baseline))
        if dots:
            said = "; ".join(f"{dot.name} {wording.number(dot.value)}" for dot in dots)
            drawn.append(plots.dot_plot(dots, scores.title(key), f"{scores.title(key)} with 95 % intervals: {said}"))
    return drawn


def output_table(systems: Sequence[System], captions: Mapping[str, Rows], cap: int | None) -> list[dict[str, Any]]:
    """What each system wrote: counts by status, captions at the token cap, mean words, seconds per caption."""
    rows = []
    for system in [s for s in systems if not s.failed]:
        said = [row for row in captions.get(system.name, {}).values() if row["status"] != "excluded"]
        row = {
            "system": system,
            "counts": system.record.get("counts") or {},
            "at_cap": None,
            "words": None,
            "seconds": None,
            "cost": system.record.get("cost") or {},
        }
        if said:
            texts = [row["cleaned"] if isinstance(row.get("cleaned"), str) else row["raw"] or "" for row in said]
            row["words"] = statistics.fmean(len(text.split()) for text in texts)
        if said and not system.baseline and not system.elsewhere:  # these have no tokens and no time worth a number
            seconds = [row["seconds"] for row in said if row.get("seconds") is not None]
            row["seconds"] = statistics.fmean(seconds) if seconds else None
            row["at_cap"] = None if cap is None else sum((row.get("tokens") or 0) >= cap for row in said)
        rows.append(row)
    return rows


def cost_plot(systems: Sequence[System]) -> Any:
    """The headline metric against seconds per caption; None below two models that have both."""
    dots, seconds = [], []
    for system in scores.by_headline(systems):
        rate, value = (system.record.get("cost") or {}).get("captions_per_second"), system.value(HEADLINE)
        if rate and value is not None:
            detail = system.detail(HEADLINE)
            dots.append(plots.Dot(system.name, value, detail.get("ci_low"), detail.get("ci_high")))
            seconds.append(1 / rate)
    if len(dots) < 2:
        return None
    said = "; ".join(
        f"{dot.name} {wording.number(dot.value)} at {wording.number(s)} s" for dot, s in zip(dots, seconds, strict=True)
    )
    title = scores.title(HEADLINE)
    return plots.cost_plot(dots, seconds, title, f"{title} against seconds per caption: {said}")


def setup_table(systems: Sequence[System], captions: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """How each model was run: weights, revision, dtype, image policy and the prompt of its first item."""
    rows = []
    for system in [s for s in systems if not s.baseline and not s.failed and not s.elsewhere]:
        prompts = [row["prompt"] for row in captions.get(system.name, {}).values() if row.get("prompt")]
        policy = policy_words(system.name, system.record.get("image_policy"))
        prompt = prompts[0] if prompts else wording.NOTHING
        rows.append({"system": system, "record": system.record, "policy": policy, "prompt": prompt})
    return rows


def policy_words(captioner: str, policy: str | None) -> str:
    """What the image policy does to a panorama, in the words of the captioner's file; its bare name without a file."""
    if policy is None:
        return wording.NOTHING
    try:
        words = policies.words(plugins.load("captioners", captioner)).get(policy)
    except plugins.UnknownPlugin:
        words = None
    return f"{policy}: {words}" if words else policy


def query_table(
    items: Sequence[Mapping[str, Any]], headline: examples.Scores, models: Sequence[str]
) -> dict[str, Any] | None:
    """Mean headline score per query and model, with the number of pairs; None without item scores."""
    shown = [name for name in models if name in headline]
    if not items or not shown:
        return None
    members = defaultdict(list)
    for item in items:
        members[item["query"]].append(item["item_id"])
    order = sorted(members, key=lambda query: (-len(members[query]), query))
    means = {query: [_mean([headline[name].get(item) for item in members[query]]) for name in shown] for query in order}
    top = max((mean for row in means.values() for mean in row if mean is not None), default=0.0) or 1.0
    rows = [
        {
            "query": query,
            "n": len(members[query]),
            "few": len(members[query]) < FEW_PAIRS,
            "cells": [{"text": wording.number(mean), "heat": round((mean or 0.0) / top, 3)} for mean in means[query]],
        }
        for query in order
    ]
    return {"models": shown, "rows": rows, "few": FEW_PAIRS, "ends": _ends(members, means, headline.get("human"))}


def _ends(
    members: Mapping[str, Sequence[str]],
    means: Mapping[str, Sequence[float | int | None]],
    human: Mapping[str, float] | None,
) -> dict[str, dict[str, Any]] | None:
    """The queries that the models describe worst and best, of those with enough pairs; None where there are not two."""
    known = {query: mean for query, row in means.items() if (mean := _mean(row)) is not None}
    enough = sorted((mean, query) for query, mean in known.items() if len(members[query]) >= FEW_PAIRS)
    if len(enough) < 2:
        return None
    return {
        name: {"query": query, "mean": mean, "human": _mean([(human or {}).get(item) for item in members[query]])}
        for name, (mean, query) in {"hardest": enough[0], "easiest": enough[-1]}.items()
    }


def _captions(path: Path) -> Rows:
    return {row["item_id"]: row for row in read_rows(path, ["item_id", "raw", "status"])}


def _named(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {"split": summary["split"]} if summary.get("split") else {}


def _first_draw(table: pd.DataFrame) -> dict[str, float]:
    """Headline score of each human caption that is shown: the first draw's, against the other references."""
    if (name := f"{HEADLINE}{HELD_OUT}") not in table.columns:
        return {}
    return {item: values[0] for item, values in zip(table["item_id"], table[name], strict=True) if values is not None}


def _mean(values: Sequence[float | int | None]) -> float | int | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
