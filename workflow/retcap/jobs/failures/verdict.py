"""The last lines of a run: what failed, why and what to do; what is missing without being a failure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from retcap.jobs.failures import record
from retcap.jobs.failures.record import Failure
from retcap.metric_titles import title

SHAPES_RESULTS = False  # see retcap.reruns.digest


class Verdict(NamedTuple):
    """Lines on failures, which make the exit status, and lines on what else is worth knowing."""

    missing: list[str]  # systems that lack results, metrics that lack values
    failures: list[str]
    notes: list[str]


def reach(failed: Iterable[Failure], summaries: Iterable[Mapping[str, Any]]) -> Verdict:
    """`failed`: records in place of results; `summaries`: of the studies that have one (all_models_summary.json)."""
    failed = list(failed)
    failures = [line(group) for group in grouped(record.roots(failed))]
    missing = [failure.system for failure in failed if failure.system is not None]
    notes: list[str] = []
    for summary in summaries:
        for name, reason in summary["failures"].items():
            if name not in missing:  # no job of it failed: its captions were not good enough
                failures.append(f"{name}: {reason.rstrip('.')}.")
                missing.append(name)
        absent = [one for one in summary["not_computed"] if one["failed"]]
        missing += [one["metric"] for one in absent]
        failures += [without_value(one) for one in absent]
        notes += [without_value(one) for one in summary["not_computed"] if not one["failed"]]
        notes += [failed_pairs(one) for one in summary["models"] if one.get("failed_pairs", {}).get("failed")]
    return Verdict(list(dict.fromkeys(missing)), failures, notes)


def text(found: Verdict, report: str) -> str:
    """The failures of a run for its last lines."""
    head = f"results are missing: {', '.join(found.missing)}. The rest is in {report}."
    tail = "The same command tries these again, and nothing else."
    return "\n".join([head, *(f"  - {line}" for line in found.failures), f"  {tail}"])


def grouped(roots: Sequence[Failure]) -> list[list[Failure]]:
    """Jobs of one rule and system that failed for one reason: the shards and data sets of a system."""
    groups: dict[tuple, list[Failure]] = {}
    for root in roots:
        groups.setdefault((root.rule, root.system, root.reason), []).append(root)
    return list(groups.values())


def line(group: Sequence[Failure]) -> str:
    """One line on jobs that failed alike: which, why, the remedy, the log."""
    first, more = group[0], len(group) - 1
    others = f" and {more} more" if more else ""
    parts = [f"{first.job}{others}: {first.reason.rstrip('.')}.", first.remedy, f"Log: {first.log}"]
    return " ".join(part for part in parts if part)


def without_value(one: Mapping[str, Any]) -> str:
    """A line on a metric that has no value; `one`: an entry of the summary's `not_computed`."""
    return f"{title(one['metric'])} of {', '.join(one['systems'])} was not computed: {one['reason'].rstrip('.')}."


def failed_pairs(model: Mapping[str, Any]) -> str:
    """A line on a model that has no caption for some pairs; `model`: an entry of the summary."""
    lost = model["failed_pairs"]
    if model.get("kind") == "elsewhere":
        name = model["model_name"]
        return f"{name}: its file has no caption of {lost['failed']} of {lost['of']} pairs; they count as zero."
    again = (
        "the next run tries them again"
        if lost["tried_again"]
        else "they failed twice in the same way and are left alone until something changes"
    )
    first = f"the first: {lost['first']}"
    return f"{model['model_name']}: {lost['failed']} of {lost['of']} pairs failed and count as zero ({first}); {again}."
