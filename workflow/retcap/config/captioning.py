"""Configuration of the captioning study."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from retcap.captioning import prompts
from retcap.config.limits import (
    BATCH,
    DRAWS,
    HELD_OUT,
    PIXELS,
    RATE,
    ROWS,
    SEEDS,
    SHARDS,
    STEPS,
    TOKENS,
    WORLD_IMAGES,
)
from retcap.config.parts import (
    Captioner,
    Captioners,
    CaptionMetric,
    CaptionSet,
    Checkpoint,
    DataPath,
    Fraction,
    NotNegative,
    Positive,
    PositiveNumber,
    Revision,
    Section,
    SystemName,
    Unique,
    key,
    without_nulls,
)
from retcap.config.study import SharedFolder

Policy = Literal["native", "letterbox", "squash", "views"]
Prompt = Annotated[str, AfterValidator(lambda text: text if prompts.template(text) else "")]
CaptionFiles = DataPath | Annotated[Unique[DataPath], Field(min_length=1)]  # one file or several


class Columns(Section):
    """Names of the columns in the caption CSV."""

    image: str = key("url", "column with the image's path or http address", source="QuIC-360 files")
    query: str = key("query", "column with the query (what the caption is about)", source="QuIC-360 files")
    annotation: str = key("annotation", "column with one reference caption", source="QuIC-360 files")

    @model_validator(mode="after")
    def _one_purpose_each(self) -> "Columns":
        """A column that is query and reference at once would give captions that repeat the query a perfect score."""
        names = {"image": self.image, "query": self.query, "annotation": self.annotation}
        for name in names.values():
            if len(keys := [key for key, own in names.items() if own == name]) > 1:
                raise ValueError(f"`{name}` is named for {' and '.join(keys)}. Each needs a column of its own.")
        return self


class PredictionColumns(Section):
    """Names of the columns (CSV, TSV) or keys (JSON lines) of captions made elsewhere. The defaults are those of the
    `<model>_predictions.csv` that this pipeline writes."""

    item: str | None = key(None, "column with the item id of pairs.parquet; null: image and query tell the pair")
    image: str = key("image_path", "column with the image, as in the caption CSV or at least its file name")
    query: str = key("instruction", "column with the query")
    caption: str = key("prediction", "column with the caption")


class Predictions(Section):
    """Captions that were made elsewhere."""

    file: DataPath = key("", "CSV, TSV or JSON lines (`.jsonl`), one record per pair", "path")
    columns: PredictionColumns = key(PredictionColumns(), "column names")


class CaptionerOptions(Section):
    """Settings of one captioner; every key left out takes the study's value."""

    checkpoint: Checkpoint | None = key(None, "`tiny`, `hub`, a hub id or a folder; null: captioning.checkpoint")
    revision: Revision | None = key(None, "hub revision (commit); null: the one pinned in the model's card")
    batch_size: Positive | None = key(None, "(image, query) pairs per batch; null: captioning.batch_size", most=BATCH)
    image_policy: Policy | None = key(None, "null: captioning.image_policy")
    trust_remote_code: bool = key(False, "run model code from the hub, for this model only")


class TinyTraining(Section):
    """Training of the tiny checkpoints that stand in for the real models where `checkpoint` is `tiny`."""

    steps: Positive | None = key(None, "optimiser steps; null: the captioner's own number", "steps", most=STEPS)
    batch_size: Positive = key(32, "panoramas per step", "pairs", most=BATCH)
    learning_rate: PositiveNumber = key(2e-3, "peak learning rate of AdamW", most=RATE)


class PanoramaWorld(SharedFolder):
    """The generated panorama world: 2:1 pictures with objects left, in the middle and right."""

    PLACEHOLDER: ClassVar[str] = "panorama_world"
    MEANING: ClassVar[str] = "the generated panorama world"

    train_images: Positive = key(2500, "panoramas to train the tiny captioners on", "images", most=WORLD_IMAGES)
    test_images: Positive = key(60, "panoramas to caption", "images", most=WORLD_IMAGES)
    seed: NotNegative = key(0, "seed of the world; its own, so that experiments can share one world", most=SEEDS)

    def makes(self, path: str, *, folder: bool) -> bool:
        """The two CSVs and the pictures."""
        return path in (("", "images") if folder else ("train.csv", "test.csv"))


class Spice(Section):
    """What SPICE parses captions with: Stanford CoreNLP 3.6.0, which no Python package contains."""

    download: bool = key(False, "fetch CoreNLP 3.6.0 and its models (385 MB, GPL) from Maven; false: no SPICE")
    jars: DataPath | None = key(
        None, "folder with stanford-corenlp-3.6.0.jar and -models.jar of your own, instead of a download", "path"
    )
    heap_mb: Positive = key(4000, "memory of the parser; captions of more than 200 words need more", "MB", least=1000)


class Captioning(Section):
    """Study 2: vision-language models caption panoramas; each (image, query) pair has several references."""

    dataset: CaptionSet = key("quic360", "data set plugin that reads the CSV")
    csv: CaptionFiles = key(
        "<panorama_world>/test.csv", "CSV to caption, or a list of several; the default is generated", "path"
    )
    train_csv: CaptionFiles | None = key(
        "<panorama_world>/train.csv",
        "CSV of training captions: for the blind baseline and the tiny checkpoints; null: none",
        "path",
    )
    images_root: DataPath | None = key(None, "folder that image paths start from; null: the folder of each CSV", "path")
    limit: Positive | None = key(
        None, "for a first look: only the first (image, query) pairs of the CSV; null: all", "pairs", most=ROWS
    )
    require_images: bool = key(True, "quarantine pairs without a readable image; false: keep them for the baselines")
    download_to: DataPath | None = key(
        None, "folder for pictures given by http address; null: never use the network", "path"
    )
    pack_encoding: Literal["raw", "jpeg", "png"] = key("raw", "how decoded panoramas are stored; raw is fastest")
    columns: Columns = key(Columns(), "column names")
    split: str = key("test", "name of the split, for the record")
    max_width_px: Positive = key(
        2048, "panoramas are decoded once and capped to this width", "px", most=PIXELS, least=16
    )
    max_height_px: Positive = key(1024, "and to this height", "px", most=PIXELS, least=16)
    models: Captioners = key(["all"], "captioners, in the order of the table: names, or `all`, `light`, `newest`")
    checkpoint: Checkpoint = key(
        "tiny", "`tiny`: build and train small ones of the same architecture; `hub`: the real ones"
    )
    options: dict[Captioner, CaptionerOptions] = key({}, "settings per captioner, by name")
    tiny: TinyTraining = key(TinyTraining(), "training of the tiny checkpoints")
    prompt: Prompt = key(
        "bare", "`bare`: the query alone; `instruct`: a sentence around it; or a text of your own with `{query}` in it"
    )
    image_policy: Policy = key("squash", "how a 2:1 panorama becomes model input")
    batch_size: Positive = key(
        8, "(image, query) pairs per batch; halved by itself when memory runs out", "pairs", most=BATCH
    )
    shards: Positive = key(
        1,
        "jobs that share the captions of one model, each with GPUs of its own; any other number keeps what is done",
        "jobs",
        most=SHARDS,
    )
    max_new_tokens: Positive = key(64, "longest caption", "tokens", "ablation guide", most=TOKENS)
    max_failed_share: Fraction = key(
        0.01, "a model that failed on a larger share of the pairs that have a picture is not scored; 1: always scored"
    )
    predictions: dict[SystemName, Predictions] = key(
        {}, "captions made elsewhere, by a name of your own: scored and compared like those of the models"
    )
    baselines: Unique[Literal["human", "blind"]] = key(["human", "blind"], "rows beside the models")
    human_draws: Positive = key(
        5,
        "how often a reference is held out to be the human caption, another one each time; scores are means",
        "draws",
        most=HELD_OUT,
    )
    shuffled_draws: NotNegative = key(
        1,
        "how often every caption is given to another picture with the same query and scored there; scores are means; "
        "0: no such row",
        "draws",
        most=HELD_OUT,
    )
    metrics: Unique[CaptionMetric] = key(
        [
            *("bleu", "bleu_coco", "meteor", "rouge_l", "cider", "spice", "chrf", "rouge_score"),
            *("unsupported", "clipscore"),
            *("length", "distinct", "repetition", "refusals"),
        ],
        "caption metrics, by plugin name",
    )
    spice: Spice = key(Spice(), "the parser of SPICE")
    encoder: str | None = key(
        "tiny",
        "name in `backbones`: the CLIP that CLIPScore stands on; a `tiny` one judges the generated world alone; null: "
        "no CLIPScore",
    )
    judgements: DataPath | None = key(
        None,
        "ratings of captions by people, in the format of Flickr8k-Expert: how far each metric agrees with them stands "
        "in the report; null: no such table",
        "path",
    )
    bootstrap_draws: Positive = key(1000, "draws of the image-clustered bootstrap", "draws", most=DRAWS, least=100)

    @field_validator("predictions", mode="before")
    @classmethod
    def _null_leaves_out(cls, entries: Any, info: ValidationInfo) -> Any:
        return without_nulls(cls, entries, info)

    def csvs(self) -> dict[tuple[str | int, ...], str]:
        """Every caption file by its key: of `csv`, then of `train_csv`."""
        found: dict[tuple[str | int, ...], str] = {}
        for name in ("csv", "train_csv"):
            given = getattr(self, name)
            found |= {(name, at): path for at, path in enumerate(given)} if isinstance(given, list) else {}
            found |= {(name,): given} if isinstance(given, str) else {}
        return found

    def checkpoint_of(self, captioner: str) -> str:
        """Checkpoint of one captioner, its own or else the study's."""
        own = self.options.get(captioner)
        return self.checkpoint if own is None or own.checkpoint is None else own.checkpoint
