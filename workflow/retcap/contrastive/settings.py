"""The settings of one training run, and what the Hugging Face Trainer gets of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import torch
from transformers import TrainingArguments

from retcap.jobs.devices import NotEnoughDevices
from retcap.retriever.data import Source
from retcap.retriever.validation import ValidationFiles


class TrainingJob(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """All that a training run depends on. What the config has (`retrieval.training`) has its default there alone."""

    initial: str  # folder of the model to start from, written by its save_pretrained
    train: list[Source]
    validation: list[ValidationFiles]
    scratch: str
    output: str
    seed: int
    label: str = "training"  # how progress lines begin
    best_output: str | None = None  # folder for macro/ and <set>/: best weights of the mean and of each set; None: no
    epochs: float
    max_steps: int | None  # stop here even if the epochs are not over; the schedule does not change
    schedule_epochs: float | None  # length of warm-up and decay; None: `epochs`
    per_device_batch_size: int
    gradient_accumulation: int
    chunk_size: int | None  # pairs per chunk of cached gradients; None: the whole batch at once
    learning_rate: float
    scheduler: str
    warmup_ratio: float  # of the schedule
    weight_decay: float
    max_gradient_norm: float = 1.0
    bf16: bool
    tf32: bool  # on GPUs that have it
    symmetric_loss: bool
    positive_sets: bool  # no other positive of a query is its negative
    gather_negatives: bool  # negatives from all ranks
    learn_temperature: bool
    gradient_checkpointing: bool
    eval_k: tuple[int, ...]
    select_metric: str  # its macro mean chooses the checkpoint and stops the run
    load_best: bool  # the output is the best macro checkpoint; else the last
    patience: int | None  # evaluations without progress; None: no early stopping
    threshold: float  # smallest progress, as a fraction
    eval_steps: int | None  # None: at the end of each epoch
    save_steps: int
    save_minutes: float | None  # save as soon as the last checkpoint is so old; None: by steps only
    log_steps: int
    eval_batch_size: int = 256
    workers: int  # data-loader processes per rank
    device: Literal["cuda", "cpu"] = "cuda"
    model_class: str = "retcap.retriever.model:RetrieverModel"

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ValueError("This training cannot run:\n" + "\n".join(f"  - {line}" for line in problems))

    def _problems(self) -> Iterator[str]:
        for kind, sets in (("train", self.train), ("validation", self.validation)):
            names = [part.name for part in sets]
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield f"{kind}: the name {name!r} stands for more than one set."
            for name in sorted({name for name in names if Path(name).name != name or name in ("", "macro")}):
                yield f"{kind}: {name!r} cannot name a set: names are used for folders, and macro is their mean."
        if not self.train:
            yield "train: there is no set to train on."
        metric, _, k = self.select_metric.partition("@")
        if metric not in ("R", "PR") or not k.isdigit() or int(k) not in self.eval_k:
            yield f"select_metric {self.select_metric!r} must be R@k or PR@k with k one of eval_k {list(self.eval_k)}."
        if not 0 <= self.warmup_ratio < 1:
            yield f"warmup_ratio {self.warmup_ratio} must lie in 0..1 (1 excluded): it is a share of the schedule."
        for name in (
            "epochs", "schedule_epochs", "max_steps", "per_device_batch_size", "gradient_accumulation", "save_minutes",
        ):  # fmt: skip
            if (value := getattr(self, name)) is not None and value <= 0:
                yield f"{name} {value} must be positive."
        if self.schedule_epochs is not None and self.max_steps is None and self.schedule_epochs < self.epochs:
            yield (
                f"schedule_epochs {self.schedule_epochs} is shorter than epochs {self.epochs}: behind its end a cosine "
                "rises again. Make it at least as long, or name max_steps."
            )
        for name in ("chunk_size", "eval_steps", "save_steps", "log_steps", "eval_batch_size", "patience"):
            if (value := getattr(self, name)) is not None and value < 1:
                yield f"{name} {value} must be at least 1."


def ranks_of(asked: int, leased: list[str]) -> int:
    """The number of processes that train together: one per GPU asked for, or one on the CPU, where none is leased.

    Raises NotEnoughDevices where fewer are leased: Snakemake hands out what `--resources gpu` allows without a word,
    and with another global batch the experiment would be another one.
    """
    if leased and len(leased) < asked:
        raise NotEnoughDevices(
            f"retrieval.training.gpus = {asked}, but this job was granted {len(leased)}: the batch would be "
            f"{len(leased)}/{asked} of the configured one. Run with `--resources gpu={asked}`, or configure fewer GPUs "
            "and a larger per_device_batch_size."
        )
    return asked if leased else 1


def loader_workers(asked: int | None, threads: int, ranks: int) -> int:
    """Data-loader processes per rank: what is asked for, but never more than the threads that a rank is granted.

    One thread of a rank is left to the training itself, where there are several. None asks for all the others.

    >>> [loader_workers(asked, threads, 1) for asked, threads in [(12, 16), (12, 8), (None, 16), (0, 16), (12, 1)]]
    [12, 7, 15, 0, 1]
    >>> loader_workers(None, 16, 2)
    7
    """
    most = max(threads // ranks - 1, 1)
    return most if asked is None else min(asked, most)


def trainer_arguments(job: TrainingJob) -> TrainingArguments:
    """The Trainer's part of the settings. `max_steps` is filled in later, from the number of batches."""
    cuda = job.device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise RuntimeError("device is cuda, but torch sees no GPU. Ask for one (resources gpu), or set device to cpu.")
    arguments = TrainingArguments(
        output_dir=job.scratch,
        per_device_train_batch_size=job.per_device_batch_size,
        gradient_accumulation_steps=job.gradient_accumulation,
        learning_rate=job.learning_rate,
        lr_scheduler_type=job.scheduler,
        warmup_steps=job.warmup_ratio,  # below 1 the Trainer takes it as a share of the schedule
        weight_decay=job.weight_decay,
        max_grad_norm=job.max_gradient_norm,
        bf16=job.bf16,
        tf32=job.tf32 if cuda and torch.cuda.get_device_capability() >= (8, 0) else None,
        seed=job.seed,
        use_cpu=not cuda,
        dataloader_num_workers=job.workers,
        dataloader_prefetch_factor=4 if job.workers else None,
        logging_strategy="steps",
        logging_steps=job.log_steps,
        logging_nan_inf_filter=False,  # it would replace a NaN by the mean so far
        eval_strategy="no",  # Pace decides
        save_strategy="no",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        # a batch without any image gives the vision tower no gradient, which DDP must be told to expect
        ddp_find_unused_parameters=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # never DataParallel: several GPUs go through torchrun
    return arguments
