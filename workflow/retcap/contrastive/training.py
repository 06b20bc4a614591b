"""Trains a retriever: from a folder with an untrained (or older) model to a folder with the best one, and its curves.

    result = training.launch(TrainingJob(...), gpus=2)

With more than one GPU the job runs under torchrun (`python -m retcap.contrastive.training job.json` on each rank).
Checkpoints live in `scratch`, which the caller names after the job's parameters and inputs: a killed job started again
with the same scratch folder goes on where it stopped, with the same data order and dropout draws. The output appears
when all is done.
"""

import json
import logging
import os
import shutil
import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import torch.distributed as dist
from transformers import TrainerState, TrainingArguments

from retcap.contrastive import gather, torchrun
from retcap.contrastive.narration import Narration
from retcap.contrastive.sampler import BatchesOfRank
from retcap.contrastive.selection import MACRO, SCORE, Pace, Selection, copy_linked
from retcap.contrastive.settings import TrainingJob, trainer_arguments
from retcap.contrastive.trainer import RetrieverTrainer, last_checkpoint, seed_dropout
from retcap.features import tokens
from retcap.features.collator import Collator
from retcap.files.whole import replacing, replacing_folder
from retcap.jobs.scratch import locked
from retcap.retriever.data import TrainingRows, prepare
from retcap.retriever.validation import Validation

log = logging.getLogger(__name__)
BEFORE = "before.json"  # in the scratch folder: the scores before training


def launch(job: TrainingJob, gpus: int = 1) -> dict[str, Any]:
    """Run the job, in this process or on `gpus` ranks under torchrun, and return the curves."""
    if gpus <= 1:
        return run(job)
    scratch = Path(job.scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    file = scratch / "job.json"
    file.write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    torchrun.follow([*command, "-m", "retcap.contrastive.training", str(file)], job.label)
    return json.loads((scratch / "curves.json").read_text())


def run(job: TrainingJob) -> dict[str, Any]:
    """Train on this rank; rank 0 writes `output` and `scratch/curves.json`. Returns the curves.

    train, eval: lists of log entries with step and epoch, eval from step 0 on; best: for "macro" and each set the
    metric, value, step and epoch of its best weights; data: counts per set; stopped: "early", "max_steps" or "epochs";
    seconds over all sessions.
    """
    scratch = Path(job.scratch)
    first = int(os.environ.get("RANK", "0")) == 0
    with locked(scratch, "trains") if first else nullcontext():
        arguments = trainer_arguments(job)
        model = _load_model(job)
        with arguments.main_process_first(desc="preparing the training data"):
            sets, counts = prepare(job.train, scratch / "data", model.tokenizer, job.workers)
            validation = _validation(job, scratch, model.tokenizer)
        trainer, selection = _trainer(job, arguments, model, sets, validation)
        checkpoint = last_checkpoint(scratch, gather.ranks())
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json")) if checkpoint else TrainerState()
        if checkpoint and (state.global_step >= arguments.max_steps or (validation and selection.finished(state))):
            log.info("%s is the end of the training; nothing to train", checkpoint)
            trainer._load_from_checkpoint(str(checkpoint))
        else:
            if checkpoint:
                log.info("going on from %s", checkpoint)
            elif validation:
                _score_untrained(validation, model, scratch)
            seed_dropout(job.seed, gather.rank())
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            state = trainer.state
        curves = _curves(job, state, counts, arguments.max_steps, selection)
        if gather.rank() == 0:
            best = selection.folder / MACRO if job.load_best and validation else None
            with replacing_folder(Path(job.output)) as unfinished:
                model.save_pretrained(unfinished) if best is None else copy_linked(best, unfinished)
            if job.best_output:
                with replacing_folder(Path(job.best_output)) as unfinished:
                    _gather_best(selection, unfinished)
            (scratch / "curves.json").write_text(json.dumps(curves))
        if gather.ranks() > 1:
            dist.barrier()
        return curves


def _load_model(job: TrainingJob) -> Any:
    module, name = job.model_class.split(":")
    model = getattr(import_module(module), name).from_pretrained(job.initial)
    model.logit_scale.requires_grad_(job.learn_temperature)
    if job.gradient_checkpointing:
        model.set_gradient_checkpointing(True)
    return model


def _validation(job: TrainingJob, scratch: Path, tokenizer: Any) -> Validation | None:
    if not job.validation:
        return None
    return Validation(
        job.validation,
        scratch / "validation",
        tokenizer,
        job.eval_k,
        batch_size=job.eval_batch_size,
        precision="bf16" if job.bf16 else "fp32",
        threads=max(job.workers, 1),
    )


def _trainer(
    job: TrainingJob, arguments: TrainingArguments, model: Any, sets: list[Any], validation: Validation | None
) -> tuple[RetrieverTrainer, Selection]:
    batches = BatchesOfRank(
        [len(part) for part in sets],
        [source.weight for source in job.train],
        job.per_device_batch_size,
        seed=job.seed,
        rank=gather.rank(),
        ranks=gather.ranks(),
    )
    steps = -(-len(batches) // job.gradient_accumulation)  # optimiser steps per epoch
    total = max(round(job.epochs * steps), 1)
    arguments.max_steps = min(total, job.max_steps or total)
    if job.per_device_batch_size < 2 and not job.gather_negatives:
        raise ValueError("One pair per batch has no negatives of its own. Use per_device_batch_size 2, or gather them.")
    names = [files.name for files in job.validation]
    selection = Selection(
        Path(job.scratch) / "best",
        {name: f"eval_{name}_{job.select_metric}" for name in (MACRO, *names)},
        job.patience,
        job.threshold,
        save=model.save_pretrained,
        writes=gather.rank() == 0,
    )
    evaluate_every = (job.eval_steps or steps) if validation else None
    narration = Narration(job.label, job.select_metric, speaks=gather.rank() == 0)
    trainer = RetrieverTrainer(
        model,
        arguments,
        TrainingRows(sets, job.seed),
        batches,
        Collator(tokens.padding_id(model.tokenizer), job.positive_sets),
        validation,
        [Pace(evaluate_every, job.save_steps, arguments.max_steps, job.save_minutes), selection, narration],
        horizon_steps=max(round((job.schedule_epochs or job.epochs) * steps), 1),
        symmetric=job.symmetric_loss,
        across_ranks=job.gather_negatives,
        chunk=job.chunk_size,
    )
    return trainer, selection


def _curves(
    job: TrainingJob, state: TrainerState, counts: dict[str, Any], last_step: int, selection: Selection
) -> dict[str, Any]:
    best = {}
    for name in selection.metrics:
        score = selection.folder / name / SCORE
        if score.is_file():
            best[name] = json.loads(score.read_text())
    train = [entry for entry in state.log_history if "loss" in entry]
    evaluations = [entry for entry in state.log_history if any(key.startswith("eval_") for key in entry)]
    if (before := Path(job.scratch) / BEFORE).is_file():
        evaluations.insert(0, json.loads(before.read_text()))
    early = bool(job.validation) and state.global_step < last_step and selection.finished(state)
    return {
        "train": train,
        "eval": evaluations,
        "best": best,
        "data": counts,
        "stopped": "early" if early else "max_steps" if job.max_steps == last_step else "epochs",
        "steps": state.global_step,
        "seconds": train[-1]["seconds"] if train else 0.0,
        "job": msgspec.json.decode(msgspec.json.encode(job)),
    }


def _score_untrained(validation: Validation, model: Any, scratch: Path) -> None:
    """Evaluate before the first step: the beginning of the curves. It takes no part in choosing the weights."""
    scores = {f"eval_{name}": value for name, value in validation.score(model).items()}
    if gather.rank() == 0:
        with replacing(scratch / BEFORE) as partial:
            partial.write_text(json.dumps(scores | {"step": 0, "epoch": 0.0}))


def _gather_best(selection: Selection, folder: Path) -> None:
    """The best model of the macro mean and of each set, with its score; equal ones share their files."""
    folder.mkdir()
    for name in selection.metrics:
        kept = selection.folder / name
        if kept.is_dir():
            copy_linked(kept, folder / name)
            shutil.copy(kept / SCORE, folder / name)


def main(arguments: list[str]) -> None:
    """One rank under torchrun: `python -m retcap.contrastive.training job.json`."""
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    run(msgspec.json.decode(Path(arguments[0]).read_bytes(), type=TrainingJob))


if __name__ == "__main__":
    main(sys.argv[1:])
