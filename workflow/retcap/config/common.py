"""Keys that all studies share. The whole configuration adds a section for each study, see `model`."""

from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from retcap.config.backbones import BackboneChoice
from retcap.config.limits import EXAMPLES, SEEDS
from retcap.config.parts import ExperimentName, NotNegative, OwnName, Section, key, without_nulls


class Report(Section):
    """The report page."""

    title: str = key("retcap: vision-language experiments", "title of the page")
    examples: NotNegative = key(9, "captioned panoramas shown", "pairs", most=EXAMPLES)


class Common(Section):
    """The whole configuration as far as no study is concerned; the defaults are the embedded demo."""

    experiment: ExperimentName = key("demo", "results/<experiment>/")
    seed: NotNegative = key(0, "base of every random draw", most=SEEDS)
    device: Literal["cpu", "cuda"] = key("cpu", "cuda: GPU rules ask for their GPUs; cpu: they ask for none")
    studies: list[str] = key([], "studies to run")
    on_top_of: str | None = key(None, "in an overlay: file beside it that must be given before it", "path")
    report: Report = key(Report(), "the report page")
    backbones: dict[OwnName, BackboneChoice] = key(
        {"tiny": BackboneChoice()}, "CLIP backbones, by a name of your own; null leaves one out"
    )

    @field_validator("backbones", mode="before")
    @classmethod
    def _null_leaves_out(cls, entries: Any, info: ValidationInfo) -> Any:
        return without_nulls(cls, entries, info)

    def section(self, study: str) -> Any:
        """The keys of a study."""
        return getattr(self, study)
