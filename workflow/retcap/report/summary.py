"""The opening paragraph, computed from the numbers: failures first, then the best model against its baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.report import contrasts, scores, wording
from retcap.report.comparisons import Difference
from retcap.report.ranking_plots import value_of
from retcap.report.retrieval import find, mean_of_all
from retcap.report.scores import HEADLINE, System

WORTH_SAYING = 0.02  # share of missing pictures that the opening mentions


def captioning(section: Mapping[str, Any]) -> list[str]:
    """Sentences on the captioning study."""
    systems: Sequence[System] = section["systems"]
    models = [system for system in systems if not system.baseline]
    done, sentences = scores.by_headline(models), _failures(models, systems)
    if not models:
        return [*sentences, "No captioning model was asked for; only baselines were scored."]
    if not done:
        return [*sentences, "No model finished, so there are no caption scores."]
    scored = [model for model in done if model.value(HEADLINE) is not None]
    if not scored:
        missing = f"{scores.title(HEADLINE)} was not computed for any of them"
        return [*sentences, f"{wording.plural(len(done), 'model')} finished, but {missing}."]
    if any(model.tiny for model in done):
        sentences.append("The models here are tiny checkpoints of the named architectures, not the published weights.")
    if others := [f"{model.name} ({model.record['model_id']})" for model in done if model.unpublished]:
        sentences.append(f"Not the published weights: {wording.listing(others)}.")
    sentences.append(_best(scored, section["items"]))
    sentences += _against_blind(scored[0], section["sight"]) + _against_human(scored[0], section["human"])
    rivals = _rivals(scored, (section["tests"] or {}).get("letters"))
    if rivals:
        sentences.append(f"A paired test does not tell it apart from {wording.listing(rivals)}.")
    if empties := sum(_empty(model) for model in done):
        verb = "and count" if empties > 1 else "and counts"
        sentences.append(f"In all, {wording.plural(empties, 'caption')} failed or came out empty {verb} as zero.")
    missing = [scores.title(k) for k in scores.METRICS if any(s.value(k) is None for s in systems if not s.failed)]
    if missing:
        sentences.append(f"Not computed for every system: {wording.listing(missing)}.")
    return sentences


def retrieval(section: Mapping[str, Any]) -> list[str]:
    """Sentences on the retrieval study: macro R@5 of the best trained system, against the baselines."""
    places = ["" if one["whole"] else f" on {one['on']}" for one in section["failed"]]
    reasons = [wording.first_clause(one["reason"]) for one in section["failed"]]
    failed = [f"{one['name']}{on} ({why})" for one, on, why in zip(section["failed"], places, reasons, strict=True)]
    said = [f"Of the retrieval systems, {wording.listing(list(dict.fromkeys(failed)))} failed."] if failed else []
    if not section["results"]:
        return [*said, "No retrieval system finished, so there are no retrieval scores."]
    k = section["k"]
    metric = f"R@{k}"
    means = {}
    for system in section["once"]:  # one training of each: the best of several seeds would be the luckiest
        values = [value_of(find(section["results"], system, name), metric) for name in section["datasets"]]
        if (mean := mean_of_all(values)) is not None:
            means[system] = mean
    if not means:
        return said
    trained = [name for name in section["trained"] if name in means]
    best = max(trained or means, key=lambda name: means[name])
    sets = wording.plural(len(section["datasets"]), "data set")
    sentences = [
        *said,
        f"In retrieval, {best} finds a gold passage among the first {k} for {wording.percent(means[best])}\u202f% "
        f"of the queries (mean over {sets}).",
    ]
    order = sorted((name for name in means if name != best), key=lambda name: -means[name])
    if order:
        others = [f"{name} {wording.percent(means[name])}\u202f%" for name in order]
        sentences.append(f"For comparison: {wording.listing(others)}.")
    good, asked = contrasts.won(section["contrasts"], best)
    if asked:
        which = f"all {asked}" if good == asked else f"{good} of {asked}"
        sentences.append(f"{best}’s lead is clear of zero in {which} paired comparisons in {metric}.")
    missing, named = (sum(row[key] for row in section["images"]) for key in ("missing", "with_image"))
    if missing > WORTH_SAYING * named:
        amount = f"{wording.count(missing)} of {wording.count(named)} pictures"
        sentences.append(f"{amount} were missing or broken: what should have been seen was in part not there.")
    if section["generated"]:
        names = wording.listing([section["titles"][name] for name in section["generated"]])
        which = "The data sets" if len(section["generated"]) == len(section["datasets"]) else f"The sets named {names}"
        sentences.append(f"{which} are generated by the pipeline: no score on them compares with a published one.")
    return sentences


def _failures(models: Sequence[System], systems: Sequence[System]) -> list[str]:
    failed = [model for model in models if model.failed]
    sentences = []
    if failed:
        named = wording.listing([f"{model.name} ({wording.first_clause(model.reason)})" for model in failed])
        sentences.append(f"{len(failed)} of {wording.plural(len(models), 'model')} failed: {named}.")
    lost = [system.name for system in systems if system.baseline and system.failed]
    if lost:
        noun = "baseline" if len(lost) == 1 else "baselines"
        sentences.append(f"The {noun} {wording.listing(lost)} failed.")
    return sentences


def _best(scored: Sequence[System], items: Mapping[str, int] | None) -> str:
    best, detail = scored[0], scored[0].detail(HEADLINE)
    span = wording.interval(detail.get("ci_low"), detail.get("ci_high"))
    pairs = best.record.get("num_samples") or (items or {}).get("pairs")
    where = f" on {wording.plural(pairs, 'image–query pair')}" if pairs else ""
    what = f"the highest {scores.title(HEADLINE)}" if len(scored) > 1 else f"a {scores.title(HEADLINE)}"
    among = f"Of the {len(scored)} models scored, {best.name} has" if len(scored) > 1 else f"{best.name} has"
    joint = ":" if len(scored) > 1 else " of"
    bounds = f" (95\u202f% interval {span})" if span else ""
    return f"{among} {what}{where}{joint} {wording.number(best.value(HEADLINE))}{bounds}."


def _against_blind(best: System, sight: Mapping[str, Any] | None) -> list[str]:
    blind = (sight or {}).get("blocks", {}).get("blind", {}).get(best.name, {}).get(HEADLINE)
    if blind is None or blind.value is None:
        return []
    verdicts = {"good": ", so it uses the picture", "bad": ", so by this metric the picture did not help"}
    verdict = verdicts.get(blind.verdict, ", too little to say that it uses the picture") if blind.interval else ""
    return [f"Against the blind baseline, which never sees the image, that is {_span(blind)}{verdict}."]


def _against_human(best: System, human: Mapping[str, Any] | None) -> list[str]:
    rows = {row["system"].name: row["cells"] for row in (human or {"rows": []})["rows"]}
    difference = rows.get(best.name, {}).get(HEADLINE, {}).get("difference")
    if difference is None or difference.value is None:
        return []
    return [f"Against a human caption, both without that reference of the pair, it is {_span(difference)}."]


def _span(difference: Difference) -> str:
    return f"{difference.text} ({difference.interval})" if difference.interval else difference.text


def _rivals(scored: Sequence[System], letters: Mapping[str, str] | None) -> list[str]:
    if not letters:
        return []
    own = set(letters.get(scored[0].name, ""))
    return [model.name for model in scored[1:] if own & set(letters.get(model.name, ""))]


def _empty(model: System) -> int:
    counts = model.record.get("counts") or {}
    return sum(counts.get(key) or 0 for key in ("empty", "failed", "cleaned_to_empty"))
