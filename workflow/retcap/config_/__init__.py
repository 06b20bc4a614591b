"""The typed configuration: every key with its default, meaning, unit and origin.

`config/config.yaml`, `config/schema.json` and the table in `config/README.md` are generated from here
(`python -m retcap.config_files`). Unknown keys are errors. Nothing else in the package reads the configuration: rules pass
single values to scripts as params.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from retcap import plugins
from retcap.config_errors import ConfigError, explain

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def key(default: Any, meaning: str, unit: str = "", source: str = "") -> Any:
    """A field with its meaning, unit and the origin of its default, which the generated files show."""
    factory = {"default_factory": lambda: default} if isinstance(default, list | dict) else {"default": default}
    return Field(description=meaning, json_schema_extra={"unit": unit, "source": source}, **factory)


def _plugin(kind: str) -> AfterValidator:
    return AfterValidator(lambda name: plugins.path(kind, name) and name)


Captioner = Annotated[str, _plugin("captioners")]
CaptionMetric = Annotated[str, _plugin("metrics")]
Dataset = Annotated[str, _plugin("datasets")]


class Section(BaseModel):
    """Base of all parts: unknown keys are errors, defaults are validated too."""

    model_config = ConfigDict(extra="forbid", validate_default=True)


class Columns(Section):
    """Names of the columns in the caption CSV."""

    image: str = key("url", "column with the image's path or http address", source="QuIC-360 files")
    query: str = key("query", "column with the query (what the caption is about)", source="QuIC-360 files")
    annotation: str = key("annotation", "column with one reference caption", source="QuIC-360 files")


class CaptionerOptions(Section):
    """Settings of one captioner; every key left out takes the study's value."""

    checkpoint: str | None = key(None, "`tiny`, `hub`, a hub id or a folder; null: captioning.checkpoint")
    revision: str | None = key(None, "hub revision (commit); null: the one pinned in the model's card")
    batch_size: Positive | None = key(None, "(image, query) pairs per batch; null: captioning.batch_size")
    image_policy: Literal["native", "letterbox", "squash"] | None = key(None, "null: captioning.image_policy")
    trust_remote_code: bool = key(False, "run model code from the hub, for this model only")


class TinyTraining(Section):
    """Training of the tiny checkpoints that stand in for the real models where `checkpoint` is `tiny`."""

    steps: Annotated[int, Field(gt=0)] | None = key(None, "optimiser steps; null: the captioner's own number", "steps")
    batch_size: Positive = key(32, "panoramas per step", "pairs")
    learning_rate: Annotated[float, Field(gt=0)] = key(2e-3, "peak learning rate of AdamW")


class PanoramaWorld(Section):
    """The generated panorama world: 2:1 pictures with objects left, in the middle and right."""

    train_images: Positive = key(2500, "panoramas to train the tiny captioners on", "images")
    test_images: Positive = key(60, "panoramas to caption", "images")
    seed: Annotated[int, Field(ge=0)] = key(0, "seed of the world; its own, so that experiments can share one world")


class Captioning(Section):
    """Study 2: vision-language models caption panoramas; each (image, query) pair has several references."""

    dataset: Dataset = key("quic360", "data set plugin that reads the CSV")
    csv: str = key("results/data/panorama_world/test.csv", "CSV to caption; the default is generated", "path")
    train_csv: str | None = key(
        "results/data/panorama_world/train.csv",
        "CSV of training captions: for the blind baseline and the tiny checkpoints; null: none",
        "path",
    )
    images_root: str | None = key(None, "folder that image paths start from; null: the CSV's folder", "path")
    require_images: bool = key(True, "quarantine pairs without a readable image; false: keep them for the baselines")
    columns: Columns = key(Columns(), "column names")
    split: str = key("test", "name of the split, for the record")
    max_width_px: Positive = key(2048, "panoramas are decoded once and capped to this width", "px")
    max_height_px: Positive = key(1024, "and to this height", "px")
    models: list[Captioner] = key(["llava-1.5-7b", "qwen2.5-vl-3b"], "captioners, in the order of the table")
    checkpoint: str = key("tiny", "`tiny`: build and train small ones of the same architecture; `hub`: the real ones")
    options: dict[Captioner, CaptionerOptions] = key({}, "settings per captioner, by name")
    tiny: TinyTraining = key(TinyTraining(), "training of the tiny checkpoints")
    prompt: Literal["bare", "instruct"] = key("bare", "`bare`: the query alone; `instruct`: a sentence around it")
    image_policy: Literal["native", "letterbox", "squash"] = key("squash", "how a 2:1 panorama becomes model input")
    batch_size: Positive = key(8, "(image, query) pairs per batch; halved by itself when memory runs out", "pairs")
    max_new_tokens: Positive = key(64, "longest caption", "tokens", "ablation guide")
    baselines: list[Literal["human", "blind"]] = key(["human", "blind"], "rows beside the models")
    metrics: list[CaptionMetric] = key(
        ["bleu", "bleu_coco", "meteor", "rouge_l", "cider", "spice"], "caption metrics, by plugin name"
    )
    bootstrap_draws: Annotated[int, Field(ge=100)] = key(1000, "draws of the image-clustered bootstrap", "draws")


class Report(Section):
    """The report page."""

    title: str = key("retcap: vision-language experiments", "title of the page")
    examples: Annotated[int, Field(ge=0)] = key(9, "captioned panoramas shown", "pairs")


class Config(Section):
    """The whole configuration; the defaults are the embedded demo."""

    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = key("demo", "results/<experiment>/")
    seed: Annotated[int, Field(ge=0)] = key(0, "base of every random draw")
    device: Literal["cpu", "cuda"] = key("cpu", "cuda: GPU rules ask for their GPUs; cpu: they ask for none")
    studies: list[Literal["captioning"]] = key(["captioning"], "studies to run")
    panorama_world: PanoramaWorld = key(PanoramaWorld(), "the generated panorama world")
    captioning: Captioning = key(Captioning(), "study 2: vision-language models caption panoramas")
    report: Report = key(Report(), "the report page")


def resolve(raw: dict[str, Any], files: list[str | Path] = (), overrides: dict[str, Any] | None = None) -> dict:
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


def _missing_inputs(config: Config) -> list[tuple[tuple[str, ...], str]]:
    """Input files that neither exist nor are made by a rule, as (key path, message)."""
    named = {}
    if "captioning" in config.studies:
        named = {("captioning", "csv"): config.captioning.csv, ("captioning", "train_csv"): config.captioning.train_csv}
    return [
        (place, f"no file at `{path}` (seen from {Path.cwd()}). Give the path of your own copy of the data.")
        for place, path in named.items()
        if path is not None and not path.startswith(GENERATED) and not Path(path).is_file()
    ]
