"""The captioning study on the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retcap.captioning.plan import CaptioningPlan
from retcap.report.studies import named

if TYPE_CHECKING:
    from retcap.report.inputs import CaptioningInputs


def params(plan: CaptioningPlan) -> dict[str, Any]:
    """Systems, the token cap, the number of examples, and whether the captions are the pipeline's own."""
    return {
        "systems": plan.systems,
        "generated": plan.generated,
        "max_new_tokens": plan.own["max_new_tokens"],
        "examples": plan.plan.config["report"]["examples"],
    }


def inputs(found: Any, params: Any, failed: Mapping[str, Any]) -> "CaptioningInputs":
    """The captioning study's files. `failed`: failures by path, in place of a file."""
    from retcap.report.inputs import CaptioningInputs

    lost = failed.get(found.agreement) if found.agreement else None
    return CaptioningInputs(
        summary=Path(found.summary),
        scores=named(params.systems, found.scores, failed),
        captions=named(params.systems, found.captions, failed),
        items=Path(found.pairs),
        differences=Path(found.differences),
        ranks=Path(found.ranks),
        image_pack=Path(found.pack),
        coverage=Path(found.coverage),
        quarantine=Path(found.quarantine),
        agreement=Path(found.agreement) if found.agreement and lost is None else None,
        agreement_failed=None if lost is None else lost.why,
        max_new_tokens=params.max_new_tokens,
        examples=params.examples,
        generated=params.generated,
    )


def section(inputs: "CaptioningInputs", experiment: str) -> dict[str, Any]:
    """Values of the template."""
    from retcap.report import captioning

    return captioning.section(inputs)


def opening(section: Mapping[str, Any]) -> list[str]:
    """Sentences for the top of the page."""
    from retcap.report import captioning_opening

    return captioning_opening.opening(section)


def contents(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Anchors and titles of what is there."""
    parts = [
        ("caption-scores", "Scores", True),
        ("caption-sight", "Sight test", section["sight"]),
        ("caption-human", "Human captions", section["human"]),
        ("caption-differences", "Which differ", section["tests"]),
        ("caption-agreement", "Metrics and people", section["agreement"]),
        ("caption-queries", "By query", section["queries"]),
        ("caption-examples", "Examples", section["examples"]),
        ("caption-looks", "How captions look", section["looks"]["metrics"]),
        ("caption-output", "Captions and cost", True),
        ("caption-setup", "Set-up", section["setup"]),
        ("caption-data", "Data", section["coverage"] or section["quarantine_given"]),
    ]
    return [(anchor, title) for anchor, title, shown in parts if shown]
