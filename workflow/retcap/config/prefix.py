"""Configuration of the prefix captioning study."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from retcap.config.limits import BATCH, DRAWS, EPOCHS, HELD_OUT, RATE, SEEDS, STEPS, TOKENS, WORKERS, WORLD_IMAGES
from retcap.config.parts import (
    CaptionMetric,
    Checkpoint,
    DataPath,
    NotNegative,
    NotNegativeNumber,
    Positive,
    PositiveNumber,
    Revision,
    Section,
    Unique,
    key,
    plugin,
)
from retcap.config.study import SharedFolder

PictureSet = Annotated[str, plugin("datasets", "classification")]
Mapper = Literal["mlp", "mlp_matched", "transformer"]
Tuning = Literal["frozen", "lora", "tuned"]
Decoding = Literal["greedy", "beam", "nucleus", "contrastive"]
PAPER = "Mokady et al. 2021"
CODE = "published code of ClipCap"
SIMCTG = "Su et al. 2022"
PREFIX = (256.0, "GPT-2 has 1,024 positions, and an MLP for so long a prefix 20 billion parameters")
CELLS = (24.0, "the numbers of its cells make the name of a job's folder, and names have 255 bytes")
LAYERS = (96.0, "the published mapper has 8")
BRANCHES = (64.0, "each is one more sequence to read at every step")
RANK = (1024.0, "a matrix of GPT-2 has 768 rows")


class CocoWorld(SharedFolder):
    """The generated COCO-style set, and a small GPT-2 that has read its training captions."""

    PLACEHOLDER: ClassVar[str] = "coco_world"
    MEANING: ClassVar[str] = "the generated captions with their pictures, and a small GPT-2"
    train: Positive = key(1200, "training pictures, five captions each", "pictures", most=WORLD_IMAGES)
    valid: Positive = key(60, "validation pictures", "pictures", most=WORLD_IMAGES)
    test: Positive = key(150, "test pictures", "pictures", most=WORLD_IMAGES)
    language_steps: Positive = key(150, "optimiser steps of the small GPT-2", "steps", most=STEPS)
    seed: NotNegative = key(0, "seed of the world", most=SEEDS)

    def makes(self, path: str, *, folder: bool) -> bool:
        """The folder itself, and that of the language model."""
        return path in ("", "gpt2") if folder else path.startswith("gpt2/")


class Lora(Section):
    """Low-rank updates of GPT-2, for the tuning `lora`."""

    rank: Positive = key(8, "rank of the updates", most=RANK)
    alpha: Positive = key(16, "their factor is alpha / rank", most=(10_000.0, "the updates would drown the weights"))


class Transformer(Section):
    """The mapper `transformer`."""

    layers: Positive = key(8, "layers", source=CODE, most=LAYERS)
    heads: Positive = key(8, "attention heads; the width of GPT-2 must be a multiple", source=CODE, most=LAYERS)


class PrefixTraining(Section):
    """Training of every cell."""

    epochs: PositiveNumber = key(1, "epochs, which the schedule runs over", "epochs", most=EPOCHS)
    max_steps: Positive | None = key(None, "steps after which it ends, schedule too; null: by epochs", most=STEPS)
    batch_size: Positive = key(48, "captions per step", "captions", most=BATCH, least=2)
    learning_rate: PositiveNumber = key(2e-3, "peak learning rate of AdamW", most=RATE)
    warmup_steps: NotNegative = key(20, "steps of linear warm-up; a linear decay to 0 follows", "steps", most=STEPS)
    weight_decay: NotNegativeNumber = key(0.0, "of AdamW", source=CODE, most=RATE)
    max_gradient_norm: PositiveNumber | None = key(1.0, "gradients are cut to this length; null: never")
    eval_steps: Positive | None = key(None, "steps between validations; null: every epoch", "steps", most=STEPS)
    save_steps: Positive = key(2000, "steps between checkpoints", "steps", most=STEPS)
    patience: Positive | None = key(3, "validations without progress after which it ends; null: never", most=STEPS)
    threshold: NotNegativeNumber = key(0.0, "smallest progress of the mean log-probability of a token", "nats")
    compute: Literal["fp32", "bf16", "fp16"] = key("fp32", "what it computes in")
    workers: NotNegative = key(0, "data-loader processes", most=WORKERS)
    max_caption_tokens: Positive = key(40, "longer training captions are cut", "tokens", most=TOKENS)


class PrefixDecoding(Section):
    """How captions are decoded; every way takes what concerns it."""

    max_tokens: Positive = key(30, "longest caption", "tokens", most=TOKENS)
    beams: Positive = key(5, "beams, scored by their mean log-probability", source=CODE, most=BRANCHES)
    top_p: Annotated[float, Field(gt=0, le=1)] = key(0.8, "probability that the nucleus holds", source=CODE)
    temperature: PositiveNumber = key(1.0, "of sampling", source=CODE)
    alpha: Annotated[float, Field(ge=0, le=1)] = key(0.6, "weight of the penalty in contrastive search", source=SIMCTG)
    candidates: Positive = key(4, "tokens that contrastive search chooses among", source=SIMCTG, most=BRANCHES)
    batch_size: Positive = key(100, "pictures per batch", "pictures", most=BATCH)


class Prefix(Section):
    """Study 4: a mapper turns a CLIP vector into a prefix of GPT-2. Every combination of the lists is a cell."""

    dataset: PictureSet = key("coco", "data set plugin that reads the pictures and their captions")
    folder: DataPath = key("<coco_world>", "folder of annotations and pictures; the default is generated", "path")
    backbone: str | None = key(None, "which of `backbones` sees the pictures; null: the first")
    resize: Literal["cover", "squash"] = key(
        "squash", "`cover`: shortest side, centre crop, as CLIP; `squash`: exact size"
    )
    compute: Literal["fp32", "bf16", "fp16"] = key("fp32", "what the backbone computes in")
    batch_size: Positive = key(128, "pictures per batch of the backbone", "pictures", most=BATCH)
    vector_length: PositiveNumber = key(
        8.0,
        "length that every vector is given: 1 is a unit vector, the square root of its size unit variance",
    )
    language_model: Checkpoint = key("<coco_world>/gpt2", "GPT-2: a hub id or a folder")
    language_model_revision: Revision | None = key(None, "hub revision (commit)")
    prefix_lengths: Annotated[Unique[Annotated[Positive, Field(le=PREFIX[0])]], Field(min_length=1)] = key(
        [1, 10, 20], "prefix lengths", "tokens"
    )
    mappers: Annotated[Unique[Mapper], Field(min_length=1)] = key(
        ["mlp"], "`mlp`, `transformer`: as published; `mlp_matched`: as many parameters for every prefix length"
    )
    tunings: Annotated[Unique[Tuning], Field(min_length=1)] = key(
        ["tuned"], "GPT-2: `frozen`, `lora` or `tuned` as a whole"
    )
    decodings: Annotated[Unique[Decoding], Field(min_length=1)] = key(
        ["greedy", "beam"], "ways of decoding; the first is that of the plot"
    )
    seeds: Annotated[Unique[Annotated[NotNegative, Field(le=SEEDS[0])]], Field(min_length=1)] = key(
        [0, 1, 2], "every cell is trained once with each of these seeds"
    )
    matched_to: Annotated[Positive, Field(le=PREFIX[0])] = key(
        10, "prefix length whose published MLP the mapper `mlp_matched` has the parameters of", "tokens"
    )
    transformer: Transformer = key(Transformer(), "the mapper `transformer`")
    lora: Lora = key(Lora(), "low-rank updates")
    training: PrefixTraining = key(PrefixTraining(), "training")
    decoding: PrefixDecoding = key(PrefixDecoding(), "decoding")
    cells_per_job: Positive = key(24, "trainings, or decodings, that share one job", "cells", most=CELLS)
    metrics: Unique[CaptionMetric] = key(
        ["bleu_coco", "meteor", "rouge_l", "cider", "spice", "distinct"], "caption metrics, by plugin name"
    )
    human_draws: Positive = key(
        2, "how often a reference is held out to be the human caption; scores are means", "draws", most=HELD_OUT
    )
    compare: Annotated[list[Positive], Field(min_length=2, max_length=2)] = key(
        [10, 20], "two prefix lengths that are compared with the power of the design; others are left out", "tokens"
    )
    visible_difference: PositiveNumber = key(0.5, "difference that the comparison should see", "BLEU-4 points")
    bootstrap_draws: Positive = key(1000, "draws of the bootstrap over pictures", "draws", most=DRAWS, least=100)

    @model_validator(mode="after")
    def _bleu_is_there(self) -> "Prefix":
        if "bleu_coco" not in self.metrics:
            raise ValueError("`metrics` lack bleu_coco, which the plot and the comparison are made of. Add it.")
        return self
