"""What all parts of the configuration share: the base class, the field function, common types."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from retcap import plugins

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveNumber = Annotated[float, Field(gt=0)]


def key(default: Any, meaning: str, unit: str = "", source: str = "") -> Any:
    """A field with its meaning, unit and the origin of its default, which the generated files show."""
    factory: dict[str, Any] = (
        {"default_factory": lambda: default} if isinstance(default, list | dict) else {"default": default}
    )
    return Field(description=meaning, json_schema_extra={"unit": unit, "source": source}, **factory)


def plugin(kind: str) -> AfterValidator:
    """Validates the name of a plugin; the error lists the known ones and the nearest."""
    return AfterValidator(lambda name: plugins.path(kind, name) and name)


Captioner = Annotated[str, plugin("captioners")]
Metric = Annotated[str, plugin("metrics")]
Dataset = Annotated[str, plugin("datasets")]
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
