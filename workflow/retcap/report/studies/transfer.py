"""The transfer study on the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap.report import wording

if TYPE_CHECKING:
    from retcap.report.transfer import TransferInputs
    from retcap.transfer.plan import TransferPlan


def params(plan: "TransferPlan") -> dict[str, Any]:
    """Where the scores are, and the accuracy that each set's authors use."""
    return {"scores": plan.scores(), "metrics": {name: plan.own["sets"][name]["metric"] for name in plan.bases}}


def inputs(found: Any, params: Any, failed: Mapping[str, Any]) -> "TransferInputs":
    """The study's files. `failed`: failures by path, in place of a folder."""
    from retcap.report.transfer import TransferInputs

    records: dict[str, dict[str, Path]] = {name: {} for name, _, _ in params.scores}
    for name, encoder, folder in params.scores:
        if folder not in failed:
            records[name][encoder] = Path(folder, encoder, f"{name}.json")
    return TransferInputs(
        records=records,
        failed=[(encoder, name, failed[folder].why) for name, encoder, folder in params.scores if folder in failed],
        summary=Path(found.summary),
        differences=Path(found.differences),
        metrics=params.metrics,
    )


def section(inputs: "TransferInputs", experiment: str) -> dict[str, Any]:
    """Values of the template."""
    from retcap.report import transfer

    return transfer.section(inputs)


def opening(section: Mapping[str, Any]) -> list[str]:
    """Sentences for the top of the page: what zero-shot and features are worth on every set, and what failed."""
    failed = [f"{one['name']} failed on {one['on']}." for one in section["failed"]]
    if not section["sets"]:
        return [*failed, "No set was scored, so there is nothing to say of transfer."]
    said = [f"Transfer of frozen features was judged on {wording.listing([one['name'] for one in section['sets']])}."]
    for one in section["shots"]:
        said += [f"On {one['set']}: {text[0].lower()}{text[1:]}" for text in one["worth"]]
    return [*failed, *said]


def contents(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Anchors and titles of what is there."""
    parts = [
        ("transfer-scores", "Scores", section["sets"]),
        ("transfer-shots", "Few-shot", section["shots"]),
        ("transfer-robustness", "Under shift", section["robustness"]),
        ("transfer-retrieval", "Image and text", section["retrieval"]),
        ("transfer-differences", "Differences", section["differences"]),
        ("transfer-overlap", "Overlap", section["overlap"]),
        ("transfer-cost", "Cost", section["costs"]),
    ]
    return [(anchor, title) for anchor, title, shown in parts if shown]
