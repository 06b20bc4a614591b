"""The opening paragraph, computed from the numbers: failures first, then the best model against its baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.report import contrasts, scores, wording
from retcap.report.comparisons import Difference
from retcap.report.ranking_plots import K, value_of
from retcap.report.retrieval import find, mean_of_all
from retcap.report.scores import HEADLINE, System


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
    sentences.append(_best(scored, section["items"]))
    sentences += _against(scored[0], section["sight"])
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
    metric = f"R@{K}"
    means = {}
    for system in section["systems"]:
        values = [value_of(find(section["results"], system, name), metric) for name in section["datasets"]]
        if (mean := mean_of_all(values)) is not None:
            means[system] = mean
    if not means:
        return []
    trained = [name for name in section["trained"] if name in means]
    best = max(trained or means, key=lambda name: means[name])
    sets = wording.plural(len(section["datasets"]), "data set")
    sentences = [
        f"In retrieval, {best} finds a gold passage among the first {K} for {wording.percent(means[best])}\u202f% "
        f"of the queries (mean over {sets})."
    ]
    order = sorted((name for name in means if name != best), key=lambda name: -means[name])
    if order:
        others = [f"{name} {wording.percent(means[name])}\u202f%" for name in order]
        sentences.append(f"For comparison: {wording.listing(others)}.")
    good, asked = contrasts.won(section["contrasts"], best)
    if asked:
        which = f"all {asked}" if good == asked else f"{good} of {asked}"
        sentences.append(f"Its lead is clear of zero in {which} paired comparisons in {metric}.")
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


def _against(best: System, sight: Mapping[str, Any] | None) -> list[str]:
    blocks = (sight or {}).get("blocks", {})
    blind, human = (blocks.get(name, {}).get(best.name, {}).get(HEADLINE) for name in ("blind", "human"))
    sentences = []
    if blind is not None and blind.value is not None:
        verdicts = {"good": ", so it uses the picture", "bad": ", so by this metric the picture did not help"}
        verdict = verdicts.get(blind.verdict, ", too little to say that it uses the picture") if blind.interval else ""
        sentences.append(f"Against the blind baseline, which never sees the image, that is {_span(blind)}{verdict}.")
    if human is not None and human.value is not None:
        sentences.append(f"Against a held-out human caption it is {_span(human)}.")
    return sentences


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
