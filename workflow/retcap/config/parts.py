"""What all parts of the configuration share: the base class, the field function, common types."""

import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from retcap import plugins
from retcap.retrieval.system_names import RANDOM, UNTRAINED, ZERO_SHOT

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
TAKEN = (RANDOM, "tiny_clip", "best-per-set")  # the random baseline; folders of models


def key(default: Any, meaning: str, unit: str = "", source: str = "") -> Any:
    """A field with its meaning, unit and the origin of its default, which the generated files show."""
    factory: dict[str, Any] = (
        {"default_factory": lambda: default} if isinstance(default, list | dict) else {"default": default}
    )
    return Field(description=meaning, json_schema_extra={"unit": unit, "source": source}, **factory)


def plugin(kind: str, task: str | None = None) -> AfterValidator:
    """Validates the name of a plugin (for a task); the error lists the known ones and the nearest."""

    def known(name: str) -> str:
        plugins.check(kind, name, task)
        return name

    return AfterValidator(known)


def own_name(name: str) -> str:
    """A name that the user gives to a retriever or a backbone: it becomes part of paths below the results."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"{name!r} cannot be a name: letters, digits, dots, underscores and dashes, the first a letter or a digit."
        )
    if name in TAKEN or name.startswith((ZERO_SHOT, UNTRAINED)) or name in plugins.names("captioners"):
        raise ValueError(
            f"`{name}` names something else in the results: a baseline, a folder or a captioner. Rename it."
        )
    return name


Captioner = Annotated[str, plugin("captioners")]
CaptionMetric = Annotated[str, plugin("metrics", "captioning")]
CaptionSet = Annotated[str, plugin("datasets", "captioning")]
RetrievalSetName = Annotated[str, plugin("datasets", "retrieval")]
Checkpoint = Annotated[str, AfterValidator(os.path.expanduser)]  # nothing further down the line knows what ~ is
OwnName = Annotated[str, AfterValidator(own_name)]
BackbonePlugin = Annotated[str, plugin("backbones")]


class Section(BaseModel):
    """Base of all parts: unknown keys are errors, defaults are validated too."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_none(cls, values: Any) -> Any:
        """Snakemake hands the values of `--config` on as text, also a null."""
        return (
            {name: None if value == "null" else value for name, value in values.items()}
            if isinstance(values, dict)
            else values
        )
