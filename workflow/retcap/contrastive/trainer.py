"""The Hugging Face Trainer for a retriever: batches of pairs, contrastive loss over all ranks, exact resuming."""

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from retcap.contrastive import cached_gradient, gather, loss
from retcap.contrastive.checkpoints import SECONDS, WEIGHTS, EpochLoader
from retcap.contrastive.sampler import BatchesOfRank
from retcap.features.collator import Collator
from retcap.retriever.data import TrainingRows
from retcap.retriever.validation import Validation

log = logging.getLogger(__name__)


class PairModel(nn.Module):
    """Query vectors, passage vectors and scale in one forward pass, because DDP follows one forward pass per step."""

    def __init__(self, retriever: nn.Module):
        super().__init__()
        self.retriever: Any = retriever

    def forward(self, query: Mapping[str, Any], passage: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H) unit vectors of both sides, and exp(logit_scale)."""
        return self._vectors("query", query), self._vectors("passage", passage), self.retriever.scale()

    def _vectors(self, side: str, inputs: Mapping[str, Any]) -> Tensor:
        pixels = inputs["pixels"]
        return self.retriever(
            side=side,
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            pixel_values=None if pixels is None else self.retriever.image.normalise(pixels),
            text_mask=inputs["text_mask"],
            image_mask=inputs["image_mask"],
        )


class RetrieverTrainer(Trainer):
    """Everything not overridden here (optimiser, schedule, DDP, checkpoints) is the Trainer's."""

    def __init__(
        self,
        retriever: nn.Module,
        args: TrainingArguments,
        rows: TrainingRows,
        batches: BatchesOfRank,
        collator: Collator,
        validation: Validation | None,
        callbacks: list[TrainerCallback],
        *,
        horizon_steps: int,
        symmetric: bool = True,
        across_ranks: bool = True,
        chunk: int | None = None,
    ):
        self.rows, self.batches, self.validation = rows, batches, validation
        self.pair = PairModel(retriever)
        self.horizon_steps, self.chunk = horizon_steps, chunk
        self.loss_options = {"symmetric": symmetric, "across_ranks": across_ranks}
        super().__init__(self.pair, args, data_collator=collator, train_dataset=rows, callbacks=callbacks)
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = (
            False  # the loss is a mean over its batch; the Trainer divides by accumulation steps
        )
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self._repeated: Tensor | int = 0
        self._since = time.perf_counter(), 0  # time and step of the last log entry
        self._seconds_before = 0.0

    def get_train_dataloader(self) -> DataLoader:
        """Batches of this rank; not wrapped by accelerate, which would share them out a second time."""
        workers = self.args.dataloader_num_workers
        return EpochLoader(
            self.rows,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
            pin_memory=self.args.device.type == "cuda",
            generator=torch.Generator(),  # else every epoch would take a number from the generator of the dropout
        )

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule runs over its own horizon, which may lie behind the last step."""
        return super().create_scheduler(self.horizon_steps, optimizer)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Contrastive loss of one batch (nats); the vectors leave the model in fp32."""
        query, passage, factor = model(query=inputs["query"], passage=inputs["passage"])
        value = self._contrast(query, passage, factor, inputs)
        return (value, (query, passage)) if return_outputs else value

    def _contrast(self, query: Tensor, passage: Tensor, factor: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        codes = inputs["codes"]
        self._repeated = self._repeated + loss.repeated_pairs(codes)
        positives = inputs.get("positives")
        return loss.contrastive_loss(query, passage, factor, codes, positives, **self.loss_options)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass, with cached gradients if `chunk` is set."""
        if self.chunk is None:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        inputs = self._prepare_inputs(inputs)
        pairs = {side: inputs[side] for side in ("query", "passage")}
        weight = 1 / self.current_gradient_accumulation_steps
        value = cached_gradient.backward(
            # The bare model, since DDP would average after every chunk; the Trainer's autocast is part of it.
            encode=lambda chunk: self.pair(**chunk)[:2],
            chunks=cached_gradient.split(pairs, self.chunk),
            loss_of=lambda query, passage: self._contrast(query, passage, self.pair.retriever.scale(), inputs),
            weight=weight,
        )
        if self.accelerator.sync_gradients:
            gather.average_gradients(self.pair.parameters())
        return value * weight

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Scores of all validation sets, logged as `eval_<set>_R@k` and so on. Draws no random numbers."""
        assert self.validation is not None
        scores = self.validation.score(self.pair.retriever)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add throughput, temperature and repeated passages to training entries; refuse a loss that is not finite."""
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise FloatingPointError(
                    f"The loss is {logs['loss']} after step {self.state.global_step}. "
                    "Lower the learning rate or train in fp32."
                )
            then, step = self._since
            steps = max(self.state.global_step - step, 1)
            now = time.perf_counter()
            logs["pairs_per_s"] = steps * self.get_total_train_batch_size(self.args) / max(now - then, 1e-9)
            logs["scale"] = float(self.pair.retriever.logit_scale.detach().exp())
            logs["repeated_pairs_per_step"] = float(self._repeated) / steps
            self._repeated = 0
        self._since = time.perf_counter(), self.state.global_step
        logs["seconds"] = self._seconds()
        super().log(logs)
        log.info("step %d of %d: %s", self.state.global_step, self.state.max_steps, logs)

    def _seconds(self) -> float:
        """Seconds of training so far, over all sessions."""
        return self._seconds_before + time.perf_counter() - self._started

    def train(self, resume_from_checkpoint: str | None = None, **options: Any) -> Any:
        """Train from the start or from a checkpoint, whose seconds are added to those of this session."""
        if self.chunk is not None:
            cached_gradient.refuse_batch_norms(self.pair.train())
        self._started = time.perf_counter()
        if resume_from_checkpoint:
            state = json.loads((Path(resume_from_checkpoint) / "trainer_state.json").read_text())
            self._seconds_before = json.loads((Path(resume_from_checkpoint) / SECONDS).read_text())
            self._since = self._started, state["global_step"]
        else:
            self._since = self._started, 0
        return super().train(resume_from_checkpoint, **options)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            # save_model, not save_file: towers that both sides share are one tensor with two names
            safetensors.torch.save_model(self.pair, str(folder / WEIGHTS))
            (folder / SECONDS).write_text(json.dumps(self._seconds()))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        safetensors.torch.load_model(self.pair, str(Path(resume_from_checkpoint) / WEIGHTS), strict=True)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        if gather.ranks() > 1:
            dist.barrier()  # trainer_state.json comes next and last: once it is there, every rank's file is
