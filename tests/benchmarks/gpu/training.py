"""Training speed of TinyCLIP-61M/32 ReT-2 in bf16: the trainer, a bare loop of the same step, and what options pay."""

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu import processes, retrievers
from gpu.cases import Case, Context, LeftOut
from gpu.correctness import tf32
from gpu.measure import Peak, timed
from gpu.profiling import shares
from retcap.contrastive.sampler import BatchesOfRank
from retcap.contrastive.settings import loader_workers
from retcap.contrastive.trainer import EpochLoader
from retcap.features import tokens
from retcap.features.collator import Collator

SEED_PAIRS_PER_S = (
    583  # of the study this one follows: 353,647 steps of 64 pairs in 38,824 s, on a GPU it does not name
)
BATCHES = (64, 512)
BARE, TRAINER = "bare loop, batch {}", "trainer, batch {}"
ATTENTIONS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "plain": SDPBackend.MATH,
}


def cases() -> list[Case]:
    """Both batch sizes first, then one option after another at the larger one."""
    speeds = [case for batch in BATCHES for case in _speeds(batch)]
    options = [
        Case("TF32 instead of bf16", _step(precision="tf32")),
        Case("fp32 instead of bf16", _step(precision="fp32")),
        Case("AdamW: one kernel per tensor", _step(optimiser={"foreach": False, "fused": False})),
        Case("AdamW: foreach", _step(optimiser={"foreach": True})),
        *(Case(f"attention: {name}", _step(attention=name)) for name in ATTENTIONS),
        Case("attention: transformers' eager", _step(prepare=_eager)),
        Case("channels-last weights", _step(prepare=_channels_last)),
        Case("towers run on missing pictures too", _step(prepare=_static)),
        Case("compiled, static shapes", _step(prepare=_static, compiled=True)),
        Case("compiled, missing pictures skipped", _step(compiled=True)),
        Case("cached gradients, chunks of an eighth", _chunks),
        Case("gradient checkpointing", _step(prepare=lambda model: model.set_gradient_checkpointing(True))),
    ]
    loaders = [
        Case(f"loader alone, {words}", _loader(workers)) for words, workers in (("no worker", 0), ("all cores", None))
    ]
    return [*speeds, *loaders, *options, Case("where the time goes", _profile)]


def _speeds(batch: int) -> Iterator[Case]:
    yield Case(BARE.format(batch), _step(batch=batch))
    yield Case(TRAINER.format(batch), lambda context: _trainer(context, batch))


def _world(context: Context) -> Any:
    return retrievers.world(context, *context.size((32_768, 4096), (24, 12)))


def _toy(context: Context, batch: int) -> int:
    return context.size(batch, 4 if batch == BATCHES[0] else 6)


def _workers(context: Context) -> int:
    """Loader processes as the pipeline would have them with all cores; none in the dry mode."""
    return 0 if context.dry else loader_workers(None, os.cpu_count() or 1, 1)


def _trainer(context: Context, batch: int) -> dict[str, Any]:
    """Pairs per second of `training.run`, pictures from the pack through the loader: the median of its log entries."""
    size, steps, every = _toy(context, batch), *context.size((200, 20) if batch < 256 else (80, 10), (3, 1))
    job = processes.job(
        context,
        _world(context),
        retrievers.initial(context),
        f"speed-{batch}",
        per_device_batch_size=size,
        max_steps=steps,
        log_steps=every,
        bf16=True,
        workers=_workers(context),
    )
    with Peak(context.device) as peak:
        curves = processes.train(job)
    entries = [entry["pairs_per_s"] for entry in curves["train"]][2:]  # the first ones hold the start of the workers
    rate = statistics.median(entries)
    bare = _measure(context, batch=batch)["pairs/s"]
    return {
        "pairs/s": rate,
        "of the bare loop (goal: 0.95)": rate / bare,
        "times the seed's 583 (goal: 5)": rate / SEED_PAIRS_PER_S,
        "slowest entry": min(entries),
        "workers": job.workers,
        **peak.values(),
    }


def _step(**options: Any) -> Callable[[Context], dict[str, Any]]:
    return lambda context: _measure(context, **options)


def _measure(
    context: Context,
    *,
    batch: int = BATCHES[-1],
    precision: str = "bf16",
    optimiser: dict[str, bool] | None = None,
    attention: str | None = None,
    prepare: Callable[[Any], None] | None = None,
    compiled: bool = False,
) -> dict[str, Any]:
    """Pairs per second of a bare loop on ready tensors: forward, loss, backward, clipping, AdamW."""
    size = _toy(context, batch)
    step, pair = _loop(context, size, precision, optimiser, prepare, compiled)
    kernels = sdpa_kernel([ATTENTIONS[attention]]) if attention and context.cuda else nullcontext()
    often = {"warmup": context.size(5, 0), "repeats": context.size(30, 1), "limit_s": 15.0}
    # The Trainer allows TF32 for what autocast leaves in fp32.
    with kernels, tf32(precision != "fp32"), Peak(context.device) as peak:
        try:
            seconds, spread = timed(step, context.device, **often)
        except RuntimeError as error:
            if "No available kernel" not in str(error):
                raise
            raise LeftOut("this kernel cannot do all attentions of the model (texts are masked)") from None
    assert all(torch.isfinite(p).all() for p in pair.parameters()), "the weights are no longer finite"
    return {"pairs/s": size / seconds, "ms per step": 1000 * seconds, "spread": spread, **peak.values()}


def _loop(
    context: Context,
    size: int,
    precision: str = "bf16",
    optimiser: dict[str, bool] | None = None,
    prepare: Callable[[Any], None] | None = None,
    compiled: bool = False,
) -> tuple[Callable[[], Any], nn.Module]:
    """One training step as a function, over four ready batches in turn, and the model."""
    model = retrievers.retriever(context)
    if prepare is not None:
        prepare(model)
    pair = retrievers.pair_model(model, context.device)
    rows = retrievers.rows_of(context, _world(context), model.tokenizer)
    ready = retrievers.batches(rows, model.tokenizer, size, context.size(4, 2), context.device)
    chosen = {"fused": context.cuda} if optimiser is None else optimiser  # fused is the Trainer's own default
    adamw = torch.optim.AdamW(pair.parameters(), lr=1e-5, weight_decay=0.0, **chosen)
    run = torch.compile(pair, disable=context.dry) if compiled else pair
    turn = iter(range(10**9))

    def step() -> torch.Tensor:
        batch = ready[next(turn) % len(ready)]
        with torch.autocast(context.device.type, torch.bfloat16, enabled=precision == "bf16"):
            value = retrievers.loss_of(run, batch)
        value.backward()
        nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        return value.detach()

    return step, pair


def _eager(model: Any) -> None:
    for tower in (model.tower("query", "text").text_model, model.tower("query", "vision").vision_model):
        tower.set_attn_implementation("eager")


def _channels_last(model: Any) -> None:
    model.to(memory_format=torch.channels_last)


def _static(model: Any) -> None:
    model.skip_missing = False


def _chunks(context: Context) -> dict[str, Any]:
    """The trainer with cached gradients: memory for one chunk, one forward pass more."""
    size = _toy(context, BATCHES[-1])
    job = processes.job(
        context,
        _world(context),
        retrievers.initial(context),
        "chunks",
        per_device_batch_size=size,
        chunk_size=max(size // 8, 2),
        max_steps=context.size(40, 2),
        log_steps=context.size(10, 1),
        workers=_workers(context),
    )
    with Peak(context.device) as peak:
        entries = processes.train(job)["train"][1:]
    return {"pairs/s": statistics.median(entry["pairs_per_s"] for entry in entries), **peak.values()}


def _loader(workers: int | None) -> Callable[[Context], dict[str, Any]]:
    """Pairs per second of the trainer's loader with nobody waiting for the model, pinned where there is a GPU."""

    def load(context: Context) -> dict[str, Any]:
        size = _toy(context, BATCHES[-1])
        count = 0 if workers == 0 else _workers(context)
        tokenizer = retrievers.backbone(context, "toy").tokenizer
        rows = retrievers.rows_of(context, _world(context), tokenizer)
        loader = EpochLoader(
            rows,
            batch_sampler=BatchesOfRank([len(rows)], [1.0], size, seed=0),
            collate_fn=Collator(tokens.padding_id(tokenizer)),
            num_workers=count,
            persistent_workers=count > 0,
            prefetch_factor=4 if count else None,
            pin_memory=context.cuda,
        )
        batches = iter(loader)
        seconds, spread = timed(
            lambda: retrievers.moved(next(batches), context.device),
            context.device,
            warmup=context.size(20, 0),
            repeats=context.size(30, 1),
            limit_s=15,
        )
        return {"pairs/s": size / seconds, "workers": count, "spread": spread}

    return load


def _profile(context: Context) -> dict[str, Any]:
    """Shares of the time of kernels in the bare loop, and of the wall-clock time in which no kernel ran."""
    step, _ = _loop(context, _toy(context, BATCHES[-1]))
    return shares(step, context.device, steps=context.size(10, 1))
