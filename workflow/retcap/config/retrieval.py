"""Configuration of the retrieval study; its data stand in `retrieval_data`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from retcap.config.limits import (
    ACCUMULATION,
    BATCH,
    DEPTH,
    DEVICES,
    DRAWS,
    EPOCHS,
    MEMORY,
    PIXELS,
    RATE,
    SEEDS,
    SHARDS,
    STEPS,
    WORKERS,
)
from retcap.config.parts import (
    Fraction,
    NotNegative,
    NotNegativeNumber,
    OwnName,
    Positive,
    PositiveNumber,
    RetrievalSetName,
    Section,
    Unique,
    key,
    without_nulls,
)
from retcap.config.retrieval_data import SEED, Download, MaxRejected, MissingImages, Pack, RetrievalSet, world_sets
from retcap.retrieval.judging import dialects
from retcap.retrieval.splits.audit_checks import FAIL_ON, AuditCheck

Seed = Annotated[int, Field(ge=0, le=SEEDS[0])]
DialectName = Annotated[str, AfterValidator(dialects.check)]


class RetrieverChoice(Section):
    """One retriever: a backbone and the settings of the recurrent cell."""

    backbone: str = key("tiny", "name in `backbones`")
    layer_strategy: str = key("auto", "`auto`: floor(L·j/3) − 1 for j = 1, 2, 3; `explicit`; or a ReT-1 name", "", SEED)
    cell: dict[str, Any] = key({}, "fields of the recurrent cell, such as hidden_size; config/README.md lists them")


class TinyClip(Section):
    """Contrastive pre-training of the small CLIP that serves the demo as backbone."""

    steps: Positive = key(300, "optimiser steps", "steps", most=STEPS)
    batch_size: Positive = key(128, "image-text pairs per step", "pairs", most=BATCH, least=2)
    learning_rate: PositiveNumber = key(1.5e-3, "peak learning rate of AdamW", most=RATE)
    side_px: Positive = key(64, "side of the square pictures it takes", "px", most=PIXELS, least=32)


class RetrievalTraining(Section):
    """Training of the retriever. The full study's values stand in config/m2kr.yaml; these suit the demo world."""

    seeds: Annotated[Unique[Seed], Field(min_length=1)] | None = key(
        None, "train each retriever once per seed, the first under its own name; null: once, with `seed`"
    )
    epochs: PositiveNumber = key(2, "passes over the mixed training rows", "epochs", most=EPOCHS)
    max_steps: Positive | None = key(None, "stop here; the schedule does not change", "steps", most=STEPS)
    schedule_epochs: PositiveNumber | None = key(
        None, "horizon of warm-up and decay; null: epochs", "epochs", most=EPOCHS
    )
    per_device_batch_size: Positive = key(64, "pairs per device and step", "pairs", SEED, most=BATCH)
    gradient_accumulation: Positive = key(1, "batches per step", "batches", SEED, most=ACCUMULATION)
    chunk_size: Positive | None = key(None, "pairs per chunk of exact cached gradients; null: off", "pairs", most=BATCH)
    learning_rate: PositiveNumber = key(1e-3, "peak learning rate of AdamW", most=RATE)
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = key("cosine", "learning-rate schedule", "", SEED)
    warmup_ratio: Fraction = key(0.1, "share of the schedule spent on warm-up", "", SEED)
    weight_decay: NotNegativeNumber = key(0.0, "of AdamW")
    bf16: bool = key(False, "bfloat16 autocast")
    tf32: bool = key(False, "TF32 matrix products on GPUs that have them")
    symmetric_loss: bool = key(True, "mean of query→passage and passage→query")
    positive_sets: bool = key(False, "another positive of a query is never its negative")
    gather_negatives: bool = key(True, "negatives from all devices")
    learn_temperature: bool = key(True, "train the logit scale")
    freeze: Unique[Literal["text", "vision"]] = key([], "towers that stay as they are")
    gradient_checkpointing: bool = key(False, "less memory, one more forward pass")
    eval_k: Annotated[Unique[Positive], Field(min_length=1)] = key(
        [1, 5, 10], "cut-offs of R@k and PR@k in evaluations during training"
    )
    select_metric: str = key("R@10", "its mean over the sets selects the checkpoint and stops the run", "", SEED)
    load_best: bool = key(True, "keep the selected checkpoint; false: the last one", "", SEED)
    keep_best_per_set: bool = key(True, "keep the best checkpoint of the mean and of each set in models/best-per-set/")
    patience: Positive | None = key(3, "evaluations without progress before stopping; null: never stop early", "", SEED)
    threshold: NotNegativeNumber = key(0.001, "smallest progress, as a fraction", "", SEED)
    eval_steps: Positive | None = key(None, "steps between evaluations; null: one per epoch", "steps")
    save_steps: Positive = key(50, "steps between resumable checkpoints", "steps")
    save_minutes: PositiveNumber | None = key(5, "minutes between them, whichever comes first; null: steps only", "min")
    log_steps: Positive = key(10, "steps between points of the loss curve", "steps")
    gpus: Positive = key(1, "devices of one training run; more than one starts torchrun", "GPUs", most=DEVICES)
    workers: NotNegative | None = key(
        0,
        "data-loader processes per device, at most as many as threads are granted; null: as many",
        "processes",
        most=WORKERS,
    )


class Embedding(Section):
    """Encoding of queries and passages."""

    shards: Positive = key(1, "jobs per data set and system", "shards", most=SHARDS)
    batch_size: Positive = key(128, "items per batch", "items", most=BATCH)
    compute: Literal["fp32", "bf16", "fp16"] = key("fp32", "what the model computes in")
    storage: Literal["float32", "float16"] = key("float32", "what is written")


class Search(Section):
    """Nearest-passage search."""

    depth: Positive = key(100, "distinct passages kept per query", "passages", most=DEPTH)
    memory_mb: Positive = key(1024, "budget of working memory", "MB", most=MEMORY, least=64)
    approximate: Unique[Literal["ivf_flat", "ivf_pq", "hnsw"]] = key(
        ["ivf_flat", "ivf_pq", "hnsw"], "indexes to compare with the exact search; they change no score"
    )


class Retrieval(Section):
    """Study 1: image and question retrieve passages of text and image, on M2KR."""

    datasets: dict[RetrievalSetName, RetrievalSet] = key(world_sets(), "data sets, by plugin name; null leaves one out")
    download: Download = key(Download(), "published files")
    retrievers: dict[OwnName, RetrieverChoice] = key(
        {"ret2": RetrieverChoice(cell={"hidden_size": 96, "num_queries": 4})},
        "retrievers to train, by a name of your own; null leaves one out",
    )
    baselines: Unique[Literal["random", "zero_shot", "untrained"]] = key(
        ["random", "zero_shot", "untrained"], "rows beside the trained retrievers"
    )
    tiny_clip: TinyClip = key(TinyClip(), "the demo's backbone")
    pack: Pack = key(Pack(), "image packs, one for each data set and side")
    max_rejected: MaxRejected = key(
        MaxRejected(), "rejected lines that stop the run; those of the generated world are planted and do not count"
    )
    missing_images: MissingImages = key(MissingImages(), "pictures that are missing or broken")
    training: RetrievalTraining = key(RetrievalTraining(), "training")
    embedding: Embedding = key(Embedding(), "embedding")
    search: Search = key(Search(), "search")
    k: Annotated[list[Positive], Field(min_length=1)] = key(
        [1, 5, 10, 20, 50, 100], "cut-offs of R@k and PR@k", "", "FLMR, ReT"
    )
    dialects: Annotated[list[DialectName], Field(min_length=1)] = key(
        ["strict", "ret", "flmr"], "rules of scoring; the first makes all tables, the others stand beside it"
    )
    bootstrap_draws: Positive = key(1000, "draws of the image-clustered bootstrap", "draws", most=DRAWS, least=100)
    near_duplicate_bits: Annotated[int, Field(ge=0, le=11)] | None = key(
        8, "audit near-duplicate images too: bits of 64 that may differ; null: off", "bits"
    )
    fail_on: Unique[AuditCheck] = key(list(FAIL_ON), "audit findings that stop the run")
    published: bool = key(False, "show published results beside ours; they make sense beside the real data only")

    @field_validator("datasets", "retrievers", mode="before")
    @classmethod
    def _null_leaves_out(cls, entries: Any, info: ValidationInfo) -> Any:
        return without_nulls(cls, entries, info)

    @field_validator("dialects")
    @classmethod
    def _each_dialect_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError(f"each dialect once, the main one first. Got {', '.join(names)} instead.")
        return names

    @field_validator("k")
    @classmethod
    def _each_cut_off_once(cls, cuts: list[int]) -> list[int]:
        if len(set(cuts)) < len(cuts):
            raise ValueError(f"each cut-off once. Got {', '.join(map(str, cuts))} instead.")
        return sorted(cuts)
