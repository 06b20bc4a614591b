"""Trains one captioner of the grid by the Hugging Face Trainer, on the callbacks and the sampler that studies share.

Checkpoints hold what is trained alone. A killed training that is started again with the same scratch folder ends with
the weights of one that was never killed: order of the rows, dropout and schedule go on where they stopped.
"""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from retcap.contrastive.checkpoints import SECONDS, WEIGHTS, EpochLoader, last_checkpoint, seed_dropout
from retcap.contrastive.sampler import BatchesOfRank
from retcap.contrastive.selection import MACRO, SCORE, Pace, Selection
from retcap.files.whole import replacing
from retcap.jobs.scratch import locked
from retcap.prefix.data import Batch, CaptionRows
from retcap.prefix.model import PrefixCaptioner

log = logging.getLogger(__name__)
SELECTED = "eval_log_likelihood"  # mean log-probability of a validation token, in nats: the higher, the better
DONE = "done.json"


class TrainingSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a captioner is trained; the names are those of the configuration."""

    epochs: float
    max_steps: int | None
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    max_gradient_norm: float | None
    eval_steps: int | None
    save_steps: int
    patience: int | None
    threshold: float
    compute: str
    workers: int
    max_caption_tokens: int


class Progress(TrainerCallback):
    """Tells a person how far the training is."""

    def __init__(self, show: Callable[[int, int], Any] | None) -> None:
        self.show = show

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Called by the Trainer after each optimiser step."""
        if self.show is not None:
            self.show(state.global_step, state.max_steps)


class PrefixTrainer(Trainer):
    """Optimiser, schedule and checkpoints are the Trainer's; batches, loss and validation are ours."""

    def __init__(
        self,
        captioner: PrefixCaptioner,
        args: TrainingArguments,
        rows: CaptionRows,
        batches: BatchesOfRank,
        valid: CaptionRows | None,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.captioner, self.rows, self.batches, self.valid = captioner, rows, batches, valid
        collate: Any = rows.collate
        super().__init__(captioner, args, data_collator=collate, train_dataset=rows, callbacks=callbacks)
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = False
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self._before = 0.0

    def get_train_dataloader(self) -> DataLoader:
        """Batches in the order of the sampler; the loader draws no numbers from the generator of the dropout."""
        workers = self.args.dataloader_num_workers
        return EpochLoader(
            self.rows,
            batch_sampler=self.batches,
            collate_fn=self.rows.collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.args.device.type == "cuda",
            generator=torch.Generator(),
        )

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, **_: Any) -> Any:
        """Mean cross entropy over the tokens of the batch, in nats."""
        total, count = self.captioner.log_likelihood(**inputs)
        loss = -total / count
        return (loss, None) if return_outputs else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean log-probability of a validation token. Draws no random numbers."""
        assert self.valid is not None
        total = count = 0.0
        self.captioner.eval()
        with torch.inference_mode():
            for rows in self.valid.batches(self.args.per_device_train_batch_size * 4):
                batch = self._prepare_inputs(self.valid.collate([self.valid[row] for row in rows]))  # type: ignore
                with self.compute_loss_context_manager():
                    own, tokens = self.captioner.log_likelihood(**batch)
                total, count = total + float(own), count + float(tokens)
        self.captioner.train()
        metrics = {SELECTED: total / count}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the seconds of training; refuse a loss that is not finite."""
        if not math.isfinite(logs.get("loss", 0.0)):
            raise FloatingPointError(
                f"The loss is {logs['loss']} after step {self.state.global_step}. Lower prefix.training.learning_rate "
                "or compute in fp32."
            )
        logs["seconds"] = self._seconds()
        super().log(logs)
        log.info("step %d of %d: %s", self.state.global_step, self.state.max_steps, logs)

    def _seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def train(self, resume_from_checkpoint: str | None = None, **options: Any) -> Any:
        """Train from the start or from a checkpoint, whose seconds are added to those of this session."""
        self._started = time.perf_counter()
        if resume_from_checkpoint:
            self._before = json.loads((Path(resume_from_checkpoint) / SECONDS).read_text())
        return super().train(resume_from_checkpoint, **options)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        write(self.captioner, folder)
        (folder / SECONDS).write_text(json.dumps(self._seconds()))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        restore(self.captioner, Path(resume_from_checkpoint))


def write(captioner: PrefixCaptioner, folder: Path) -> None:
    """The trained weights, into a folder that is there."""
    state = {name: value.contiguous() for name, value in captioner.trained_state().items()}
    safetensors.torch.save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it readable for its owner only


def restore(captioner: PrefixCaptioner, folder: Path) -> None:
    """Put back what `write` wrote."""
    captioner.load_trained(safetensors.torch.load_file(folder / WEIGHTS))


def train(
    captioner: PrefixCaptioner,
    rows: CaptionRows,
    valid: CaptionRows | None,
    settings: TrainingSettings,
    *,
    seed: int,
    scratch: Path,
    device: str,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[str, Any]:
    """Train the captioner, which has the best weights afterwards; the curves.

    train, eval: lists of log entries with step and epoch; best: value, step and epoch of the weights that were kept,
    None without validation, where they are the last; stopped: "early", "max_steps" or "epochs"; steps; seconds. With
    the same scratch folder a second call trains nothing.
    """
    with locked(scratch, "trains"):
        if (scratch / DONE).is_file():
            restore(captioner, scratch)
            return json.loads((scratch / DONE).read_text())
        curves, best = _train(captioner, rows, valid, settings, seed, scratch, device, progress)
        if best is not None:
            restore(captioner, best)
        write(captioner, scratch)
        for folder in [*scratch.glob("checkpoint-*"), scratch / "best"]:
            shutil.rmtree(folder, ignore_errors=True)
        with replacing(scratch / DONE) as file:
            file.write_text(json.dumps(curves))
        return curves


def _train(
    captioner: PrefixCaptioner,
    rows: CaptionRows,
    valid: CaptionRows | None,
    settings: TrainingSettings,
    seed: int,
    scratch: Path,
    device: str,
    progress: Callable[[int, int], Any] | None,
) -> tuple[dict[str, Any], Path | None]:
    batches = BatchesOfRank([len(rows)], [1.0], settings.batch_size, seed=seed)
    steps = max(round(settings.epochs * len(batches)), 1)
    last = min(steps, settings.max_steps or steps)
    arguments = _arguments(settings, scratch, seed, device, last)
    every = (settings.eval_steps or len(batches)) if valid is not None else None
    selection = Selection(
        scratch / "best", {MACRO: SELECTED}, settings.patience, settings.threshold, _writer(captioner), writes=True
    )
    callbacks = [Pace(every, settings.save_steps, last), selection, Progress(progress)]
    trainer = PrefixTrainer(captioner, arguments, rows, batches, valid, callbacks)
    checkpoint = last_checkpoint(scratch, 1)
    seed_dropout(seed, 0)
    log.info("%s", f"going on from {checkpoint}" if checkpoint else f"training for {last} steps")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    state, kept = trainer.state, scratch / "best" / MACRO
    early = valid is not None and state.global_step < last and selection.finished(state)
    curves = {
        "train": [entry for entry in state.log_history if "loss" in entry],
        "eval": [entry for entry in state.log_history if SELECTED in entry],
        "best": json.loads((kept / SCORE).read_text()) if valid is not None else None,
        "stopped": "early" if early else "max_steps" if last < steps else "epochs",
        "steps": state.global_step,
        "seconds": trainer._seconds(),
    }
    return curves, kept if valid is not None else None


def _writer(captioner: PrefixCaptioner) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        folder.mkdir(parents=True)
        write(captioner, folder)

    return save


def _arguments(settings: TrainingSettings, scratch: Path, seed: int, device: str, steps: int) -> TrainingArguments:
    """AdamW with the epsilon that ClipCap's optimiser had, 1e-6, and a linear warm-up and decay."""
    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=settings.batch_size,
        max_steps=steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=min(settings.warmup_steps, max(steps - 1, 0)),
        weight_decay=settings.weight_decay,
        adam_epsilon=1e-6,
        max_grad_norm=settings.max_gradient_norm or 0.0,
        bf16=settings.compute == "bf16",
        fp16=settings.compute == "fp16",
        seed=seed,
        use_cpu=device != "cuda",
        dataloader_num_workers=settings.workers,
        logging_strategy="steps",
        logging_steps=max(steps // 20, 1),
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
