"""The prefix captioning study on the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retcap.prefix.plan import PrefixPlan
    from retcap.report.prefix import PrefixInputs


def params(plan: "PrefixPlan") -> dict[str, Any]:
    """The metrics, in order, and what every job makes, for the list of what failed."""
    jobs = [*plan.training_jobs, *plan.decoding_jobs]
    return {"metrics": plan.own["metrics"], "said": {job: plan.said(job) for job in jobs}}


def inputs(found: Any, params: Any, failed: Mapping[str, Any]) -> "PrefixInputs":
    """The study's files. `failed`: failures by path, in place of a file."""
    from retcap.report.prefix import PrefixInputs

    lost = [path for path in (*found.models, *found.scores) if path in failed]
    return PrefixInputs(
        summary=Path(found.summary),
        differences=Path(found.differences),
        features=Path(found.features),
        models=[Path(path) for path in found.models if path not in failed],
        failed=[(params.said.get(Path(path).name, Path(path).name), failed[path].why) for path in lost],
    )


def section(inputs: "PrefixInputs", experiment: str) -> dict[str, Any]:
    """Values of the template."""
    from retcap.report import prefix

    return prefix.section(inputs)


def opening(section: Mapping[str, Any]) -> list[str]:
    """Sentences for the top of the page: what failed, whether captions beat the blind one, and the study's question."""
    failed = [f"{one['name']} failed." for one in section["failed"]]
    if not section["conditions"]:
        return [*failed, "No cell was scored, so there is nothing to say of prefix captioning."]
    return [*failed, *section["said"]]


def contents(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Anchors and titles of what is there."""
    parts = [
        ("prefix-scores", "Scores", section["conditions"]),
        ("prefix-length", "Prefix length", section["plots"]),
        ("prefix-question", "Power", section["questions"]),
        ("prefix-differences", "Differences", section["differences"]),
        ("prefix-training", "Training and cost", section["conditions"]),
    ]
    return [(anchor, title) for anchor, title, shown in parts if shown]
