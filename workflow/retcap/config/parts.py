"""What all parts of the configuration share: the base class, the field function, common types."""

import math
import os
import re
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from retcap import plugins
from retcap.captioning import outcome
from retcap.config.wording import shown
from retcap.retrieval.system_names import RANDOM, UNTRAINED, ZERO_SHOT

T = TypeVar("T")
TAKEN = (RANDOM, "tiny_clip", "best-per-set")  # the random baseline; folders of models
GROUPS = ("all", "light", "newest")  # of captioners: every one, the four light ones, the two newest
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
PLACEHOLDER = r"<([a-z0-9_]+)>(?=/|$)"  # begins a path in a folder that experiments share; see `shared`
LONGEST_NAME = 80  # characters: file systems allow 255 bytes, and names are joined with others to file names


def key(
    default: Any,
    meaning: str,
    unit: str = "",
    source: str = "",
    most: tuple[float, str] | None = None,
    least: float = 0,
) -> Any:
    """A field with its meaning, unit and the origin of its default, which the generated files show.

    `most` is the largest value that makes sense, and why; error messages quote it.
    """
    factory: dict[str, Any] = (
        {"default_factory": lambda: default} if isinstance(default, list | dict) else {"default": default}
    )
    extra: dict[str, Any] = {"unit": unit, "source": source}
    bounds: dict[str, Any] = {"ge": least} if least else {}
    if most is not None:
        bounds["le"], extra["limit"] = most
    return Field(description=meaning, json_schema_extra=extra, **bounds, **factory)


def plugin(kind: str, task: str | None = None) -> AfterValidator:
    """Validates the name of a plugin (for a task); the error lists the known ones and the nearest."""

    def known(name: str) -> str:
        plugins.check(kind, name, task)
        return name

    return AfterValidator(known)


def own_name(name: str) -> str:
    """A name that the user gives to a retriever or a backbone: it becomes part of paths below the results."""
    _check_name(name)
    if name in TAKEN or name.startswith((ZERO_SHOT, UNTRAINED)) or name in plugins.names("captioners"):
        raise ValueError(
            f"`{name}` names something else in the results: a baseline, a folder or a captioner. Rename it."
        )
    return name


def system_name(name: str) -> str:
    """A name that the user gives to captions made elsewhere: it becomes part of the names of files."""
    _check_name(name)
    if name.casefold() in outcome.BASELINES or name in plugins.names("captioners"):
        raise ValueError(f"`{name}` is the name of a baseline or a captioner. Rename it.")
    return name


def experiment_name(name: str) -> str:
    """The name of a folder of results; `results/data` holds what all experiments share."""
    _check_name(name)
    if name.casefold() == "data":  # also where file systems do not tell case
        raise ValueError(
            f"results/{name} holds the generated worlds and downloads that all experiments share. Choose another name."
        )
    return name


def data_path(path: str) -> str:
    """A path to data: `~` becomes the home folder, and what Snakemake would take for a wildcard is refused."""
    path = os.path.expanduser(path)
    if any(sign in path for sign in "{}"):
        raise ValueError(
            f"{path!r} has braces, which Snakemake takes for wildcards. Rename the file or folder, or make a link to "
            "it without them."
        )
    start = re.match(PLACEHOLDER, path)
    if any(sign in path[start.end() if start else 0 :] for sign in "<>"):
        raise ValueError(
            f"{path!r} has angle brackets, which Snakemake takes for path variables. Rename the file or folder, or "
            "make a link to it without them."
        )
    if any(ord(sign) < 32 for sign in path):
        raise ValueError(f"{path!r} has a line break or another control character. Is a quotation mark missing?")
    return path


def repository(text: str) -> str:
    """A repository of the hub: it becomes part of a path."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text):
        raise ValueError(f"{shown(text)} cannot be a repository: give its owner and name, owner/name.")
    return text


def revision(text: str) -> str:
    """A commit, tag or branch of a hub repository: it becomes part of a path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", text) or ".." in text or len(text) > LONGEST_NAME:
        raise ValueError(f"{shown(text)} cannot be a revision: give a commit, a tag or a branch.")
    return text


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"{shown(name)} cannot be a name: letters, digits, dots, underscores and dashes, the first a letter or a "
            "digit."
        )
    if len(name) > LONGEST_NAME:
        raise ValueError(f"has {len(name)} characters, and at most {LONGEST_NAME} fit into the names of files.")


def _each_once(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        twice = next(value for at, value in enumerate(values) if value in values[:at])
        raise ValueError(f"{shown(twice)} is given more than once. Give each once.")
    return values


def captioner_or_group(name: str) -> str:
    """A captioner's name, or that of a group of them; the error lists both."""
    if name not in GROUPS:
        try:
            plugins.check("captioners", name)
        except plugins.UnknownPlugin as error:
            raise ValueError(f"{error} Groups: {', '.join(GROUPS)}.") from None
    return name


def members(groups: list[str]) -> list[str]:
    """Captioners of a list of names and groups, each once; those of a group from the smallest model to the largest."""
    found: list[str] = []
    for name in groups:
        found += [one for one in _group(name) if one not in found] if name in GROUPS else [name] * (name not in found)
    return found


def _group(name: str) -> list[str]:
    cards = [plugins.load("captioners", one).CARD for one in plugins.names("captioners")]
    chosen = [card for card in cards if name == "all" or name in card.groups]
    return [card.name for card in sorted(chosen, key=lambda card: (card.params_b, card.name))]


Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
NotNegativeNumber = Annotated[float, Field(ge=0)]
Unique = Annotated[list[T], AfterValidator(_each_once)]  # a list in which nothing stands twice
Captioner = Annotated[str, plugin("captioners")]
Captioners = Annotated[
    list[Annotated[str, AfterValidator(captioner_or_group)]], AfterValidator(_each_once), AfterValidator(members)
]  # names and groups; the resolved configuration has names alone
CaptionMetric = Annotated[str, plugin("metrics", "captioning")]
CaptionSet = Annotated[str, plugin("datasets", "captioning")]
RetrievalSetName = Annotated[str, plugin("datasets", "retrieval")]
DATA_PATH = AfterValidator(data_path)
DataPath = Annotated[str, DATA_PATH]
Repository = Annotated[str, AfterValidator(repository)]
Revision = Annotated[str, AfterValidator(revision)]
Checkpoint = DataPath  # a folder, a hub id, or a word such as `tiny`
OwnName = Annotated[str, AfterValidator(own_name)]
SystemName = Annotated[str, AfterValidator(system_name)]
ExperimentName = Annotated[
    str, AfterValidator(experiment_name), Field(json_schema_extra={"pattern": f"^{NAME}$", "maxLength": LONGEST_NAME})
]
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

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts with truth values and with infinity; a number that is meant is neither."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if (
            isinstance(value, str)
            and int in kinds
            and str not in kinds
            and re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d{1,2}", value)
        ):
            value = int(float(value)) if float(value).is_integer() else value  # `1e4` is text in YAML
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool) and kinds & {int, float} and bool not in kinds:
                raise ValueError(f"must be a number. Got {shown(one)} instead.")
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"must be a finite number. Got {shown(one)} instead.")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """All plain types in an annotation.

    >>> sorted(kind.__name__ for kind in _kinds(list[Annotated[int, "meta"]] | None))
    ['NoneType', 'int']
    """
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    arguments = get_args(annotation)
    if not arguments:
        return {annotation}
    inner = arguments[:1] if get_origin(annotation) is Annotated else arguments
    return set().union(*(_kinds(argument) for argument in inner))


def without_nulls(section: type[BaseModel], entries: Any, info: ValidationInfo) -> Any:
    """Entries by the user's own names. An overlay cannot delete one of the defaults; it sets it to null instead.

    Those of the defaults come first: Snakemake puts what an overlay adds before them, and the first one stands for all.
    """
    if not isinstance(entries, dict):
        return entries
    defaults = section.model_fields[str(info.field_name)].get_default(call_default_factory=True)
    names = [*(name for name in defaults if name in entries), *(name for name in entries if name not in defaults)]
    return {name: entries[name] for name in names if entries[name] not in (None, "null")}
