"""The typed configuration: every key with its default, meaning, unit and origin.

`config/config.yaml`, `config/schema.json` and the table in `config/README.md` are generated from here
(`python -m retcap.config.files`). Unknown keys are errors. Nothing else in the package reads the configuration: rules
pass single values to scripts as params.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from retcap.config.captioning import Captioning, PanoramaWorld
from retcap.config.errors import ConfigError, explain
from retcap.config.parts import NotNegative, Section, key
from retcap.config.retrieval import Retrieval
from retcap.config.retrieval_data import M2krWorld


class Report(Section):
    """The report page."""

    title: str = key("retcap: vision-language experiments", "title of the page")
    examples: NotNegative = key(9, "captioned panoramas shown", "pairs")


class Config(Section):
    """The whole configuration; the defaults are the embedded demo."""

    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = key("demo", "results/<experiment>/")
    seed: NotNegative = key(0, "base of every random draw")
    device: Literal["cpu", "cuda"] = key("cpu", "cuda: GPU rules ask for their GPUs; cpu: they ask for none")
    studies: list[Literal["retrieval", "captioning"]] = key(["retrieval", "captioning"], "studies to run")
    m2kr_world: M2krWorld = key(M2krWorld(), "the generated retrieval world")
    retrieval: Retrieval = key(Retrieval(), "study 1: image and question retrieve passages of text and image")
    panorama_world: PanoramaWorld = key(PanoramaWorld(), "the generated panorama world")
    captioning: Captioning = key(Captioning(), "study 2: vision-language models caption panoramas")
    report: Report = key(Report(), "the report page")


def resolve(raw: dict[str, Any], files: Sequence[str | Path] = (), overrides: dict[str, Any] | None = None) -> dict:
    """The validated configuration as plain Python values, numbers coerced (`1e-3` is text in YAML).

    `files` are the YAML files it was merged from, later ones winning, and `overrides` what came from the command line:
    both serve to name the place of an error. Raises ConfigError with all errors at once.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(explain(error, Config, files, overrides or {})) from None
    problems = _missing_inputs(config)
    if problems:
        raise ConfigError(explain(problems, Config, files, overrides or {}))
    return config.model_dump(mode="python")


GENERATED = "results/data/"  # below it the workflow makes the files itself


def _missing_inputs(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Input files that neither exist nor are made by a rule, as (key path, message)."""
    named: list[tuple[tuple[str | int, ...], str | None]] = []
    if "captioning" in config.studies:
        named += [(("captioning", name), getattr(config.captioning, name)) for name in ("csv", "train_csv")]
    if "retrieval" in config.studies:
        for dataset, files in config.retrieval.datasets.items():
            for part, paths in files.files().items():
                named += [(("retrieval", "datasets", dataset, part, place), path) for place, path in enumerate(paths)]
    return [
        (place, f"no file at `{path}` (seen from {Path.cwd()}). Give the path of your own copy of the data.")
        for place, path in named
        if path is not None and not path.startswith(GENERATED) and not Path(path).is_file()
    ]
